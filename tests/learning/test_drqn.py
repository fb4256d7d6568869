"""DRQN and R2D2 solve toy tasks, those that need a memory above all."""

from dataclasses import replace

import pytest

from rlcore.agents import DQN, DRQN, R2D2, DQNConfig, DRQNConfig, R2D2Config
from rlcore.explorers import Schedule
from tests.learning.tasks import PASSES, SEEDS, finds_best_arm, remembers, solves_chain

SETTINGS = dict(
    learning_rate=Schedule(3e-3), buffer_size=2_000, learning_starts=200, batch_size=16, sequence_length=8,
    update_every=4, gradient_steps=1, target_update_interval=50, epsilon=Schedule(1.0, 0.1, 500), hidden=(),
    lstm_hidden_size=16, gamma=0.9,
)  # fmt: skip
TASKS = {
    DRQN: DRQNConfig(**SETTINGS),
    R2D2: R2D2Config(**{**SETTINGS, "sequence_length": 6}, burn_in=2, n_step=3),
}


@pytest.mark.parametrize("cls", TASKS)
def test_a_bit_is_remembered(cls):
    assert sum(remembers(cls, TASKS[cls], 4, 1_600, seed) for seed in range(SEEDS)) >= PASSES


def test_without_memory_it_is_not():
    config = DQNConfig(**{k: v for k, v in SETTINGS.items() if k not in ("sequence_length", "lstm_hidden_size")})
    assert not any(remembers(DQN, config, 4, 800, seed) for seed in range(3))


def test_the_chain_is_walked():
    config = replace(TASKS[DRQN], epsilon=Schedule(1.0, 0.1, 1_200))
    assert sum(solves_chain(DRQN, config, 4, 2_000, seed) for seed in range(SEEDS)) >= PASSES


def test_the_best_allowed_arm_is_found():
    config = R2D2Config(**{**SETTINGS, "sequence_length": 1, "batch_size": 32}, burn_in=0)
    assert sum(finds_best_arm(R2D2, config, 4, 1_200, seed, True) for seed in range(SEEDS)) >= PASSES
