"""C51, QR-DQN, Rainbow and the options of DQN solve toy tasks."""

from dataclasses import fields

import pytest

from rlcore.agents import DQN, QRDQN, CategoricalDQN, DoubleDQN, Rainbow
from rlcore.explorers import Schedule
from tests.learning.tasks import PASSES, SEEDS, finds_best_arm, solves_chain
from tests.learning.test_dqn import TOY

MEMBERS = {  # class, settings beside those of TOY
    "dueling": (DQN, dict(dueling=True)),
    "double": (DoubleDQN, {}),
    "noisy": (DQN, dict(noisy=True, epsilon=None, gamma=0.8)),  # at 0.99 two steps more cost less than the noise
    "prioritized": (DoubleDQN, dict(prioritized=True)),
    "c51": (CategoricalDQN, dict(v_min=0.0, v_max=1.5, n_atoms=16)),
    "qr-dqn": (QRDQN, dict(n_quantiles=8)),
    "rainbow": (
        Rainbow,
        dict(v_min=0.0, v_max=1.5, n_atoms=16, epsilon=None, double=True, dueling=True, noisy=True, prioritized=True),
    ),
}


def config_of(name, **changes):
    cls, settings = MEMBERS[name]
    settings = {field.name: getattr(TOY, field.name) for field in fields(TOY)} | settings | changes
    return cls, cls.Config(**settings)


@pytest.mark.parametrize("name", [name for name in MEMBERS if name != "double"])  # which test_dqn.py has
def test_the_chain_is_solved(name):
    cls, config = config_of(name)
    assert sum(solves_chain(cls, config, 4, 3_000, seed) for seed in range(SEEDS)) >= PASSES


@pytest.mark.parametrize("name", ["double", "c51", "qr-dqn"])
def test_the_best_allowed_arm_is_found(name):
    """A forbidden arm raises; observations are dicts."""
    cls, config = config_of(name, gamma=0.0, epsilon=Schedule(1.0, 0.2, 1_500))
    assert sum(finds_best_arm(cls, config, 4, 3_000, seed, True) for seed in range(SEEDS)) >= PASSES
