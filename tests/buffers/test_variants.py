"""What every replay keeps: a world whose states are hashes of their past, ends from a real environment, one pattern."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rlcore import buffers
from rlcore.buffers import Replay
from rlcore.envs import SerialEnv
from rlcore.envs.toy import HashChain
from rlcore.envs.wrappers import FrameStack
from rlcore.rng import generator

OBS = ((2,), np.int64)
STACK = ((3, 2), np.int64)
VARIANTS: dict[str, Callable[..., Replay]] = {
    "Replay": buffers.Replay,
    "Prioritized": buffers.Prioritized,
    "FrameReplay": buffers.FrameReplay,
    "PrioritizedFrames": buffers.PrioritizedFrames,
    "SequenceReplay": buffers.SequenceReplay,
    "PrioritizedSequences": buffers.PrioritizedSequences,
    "FrameSequences": buffers.FrameSequences,
    "PrioritizedFrameSequences": buffers.PrioritizedFrameSequences,
}


def made(name: str, capacity: int = 150, burn_in: int = 3) -> Replay:
    columns = {"obs": STACK if "Frame" in name else OBS, "action": ((), np.int64)}
    if "Sequence" in name:
        return VARIANTS[name](capacity, columns, generator(0), 4, 0.9, burn_in)
    return VARIANTS[name](capacity, columns, generator(0), 1, 0.9)


def newest(obs: np.ndarray, name: str) -> np.ndarray:
    return obs[..., -1, :] if "Frame" in name else obs


def check_hashes(name: str, batch: dict[str, Any]) -> None:
    """Every observation is what came of the one before it, and every stack that of its episode."""
    if "Sequence" in name:
        mask, action = batch["mask"], batch["action"][batch["mask"]]
        obs, after = batch["obs"][3:-1][mask], batch["obs"][4:][mask]
    else:
        action, obs, after = batch["action"], batch["obs"], batch["next_obs"]
    assert (newest(after, name) == HashChain.after(newest(obs, name), action)).all()
    if "Frame" in name:
        assert (after[:, :-1] == obs[:, 1:]).all()
        assert (obs[..., 0] == obs[:, -1:, 0]).all()  # of one episode


@pytest.mark.parametrize("name", VARIANTS)
def test_nothing_is_mixed_over_many_laps_of_the_ring(name):
    """Three streams, episodes of 5 steps in the middle, truncated and terminated; priorities come back late."""
    buffer, rng = made(name), generator(1)
    env: Any = SerialEnv(HashChain, 3)
    env = FrameStack(env, 3) if "Frame" in name else env
    obs, late = env.reset(), []
    for _ in range(500):
        action = rng.integers(0, 4, 3)
        step = env.step(action)
        buffer.add(obs, action, step)
        obs = step.obs
        if len(buffer):
            batch = buffer.sample(8)
            check_hashes(name, batch)
            if "Prioritized" in name:
                late.append((batch["row"].copy(), rng.random(8)))
                if len(late) > 20:  # 60 rows later, and more
                    buffer.update(*late.pop(0))
    assert buffer._written > 10 * buffer.capacity


@pytest.mark.parametrize("name", VARIANTS)
def test_the_draws_are_of_all_transitions_alike(name):
    buffer, rng = made(name, 60), generator(2)
    env: Any = SerialEnv(HashChain, 2)
    env = FrameStack(env, 3) if "Frame" in name else env
    obs = env.reset()
    for _ in range(100):
        action = rng.integers(0, 4, 2)
        step = env.step(action)
        buffer.add(obs, action, step)
        obs = step.obs
    counts = np.zeros(buffer._written)
    for _ in range(200):
        np.add.at(counts, buffer.sample(100)["row"], 1)
    counts = counts[counts > 0]
    assert len(counts) == len(buffer)
    freedom, expected = len(buffer) - 1, 20_000 / len(buffer)
    statistic = ((counts - expected) ** 2 / expected).sum()
    assert statistic - freedom < 4 * np.sqrt(2 * freedom)  # chi-square: mean k, variance 2 k; strata make it less


@pytest.mark.parametrize("name", VARIANTS)
def test_a_state_of_another_kind_of_replay_is_refused(name):
    buffer = made(name)
    for other in VARIANTS:
        if made(other).state().keys() != buffer.state().keys():
            with pytest.raises(ValueError, match="a replay's state has"):
                buffer.load(made(other).state())


@pytest.mark.parametrize("name", VARIANTS)
def test_an_empty_replay_says_so(name):
    with pytest.raises(ValueError, match="no transition"):
        made(name).sample(1)
