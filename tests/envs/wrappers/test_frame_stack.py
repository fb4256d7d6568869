from collections import deque

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import FrameStackObservation
from hypothesis import given, settings
from hypothesis import strategies as st

from rlcore.envs import SerialEnv
from rlcore.envs.toy import HashChain
from rlcore.envs.wrappers import FrameStack
from rlcore.tree import leaves, map_
from tests.envs.worlds import Nested
from tests.envs.wrappers.fakes import NESTED, Tape, nested, same, snapshot


class Brute:
    """One stream's stack, kept as Gymnasium does: a deque of whole observations."""

    def __init__(self, k, obs):
        self.k = k
        self.begin(obs)

    def begin(self, obs):
        self.frames = deque([obs] * self.k, maxlen=self.k)

    def stack(self):
        return map_(lambda *parts: np.stack(parts), *self.frames)


def row(obs, i):
    return map_(lambda leaf: np.array(leaf[i]), obs)


def unmasked(obs):
    return {k: v for k, v in obs.items() if k != "action_mask"} if isinstance(obs, dict) else obs


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 4),
    st.integers(1, 5),
    st.integers(0, 10**6),
    st.sampled_from([0.0, 0.1, 0.6, 1.0]),
    st.sampled_from([0.0, 0.2]),
    st.booleans(),
    st.sampled_from([None, nested]),
)
def test_against_a_stack_of_each_stream(n, k, seed, ends, faults, next_step, obs):
    """Also while two steps are held: a window into memory that is still in use would show."""
    env = FrameStack(Tape(n, seed, ends, faults, next_step, obs), k)
    first = env.reset()
    raw = unmasked(Tape(n, seed, obs=obs).reset())
    brute = [Brute(k, row(raw, i)) for i in range(n)]
    assert all(same(row(unmasked(first), i), b.stack()) for i, b in enumerate(brute))
    acted_on, held = first, []
    for _ in range(40):
        before = map_(np.copy, acted_on)
        step = env.step(np.ones(n, np.int64))
        assert same(acted_on, before)
        inner = env.env.given[-1]
        for i, b in enumerate(brute):
            b.frames.append(row(unmasked(inner["final_obs"]), i))
            if inner["valid"][i]:
                assert same(row(unmasked(step.final_obs), i), b.stack())
            over = inner["terminated"][i] or inner["truncated"][i]
            if not inner["valid"][i] or (over and not next_step):
                b.begin(row(unmasked(inner["obs"]), i))
            assert same(row(unmasked(step.obs), i), b.stack())
        if obs is nested:
            assert same(step.obs["action_mask"], inner["obs"]["action_mask"])
            assert same(step.final_obs["action_mask"], inner["final_obs"]["action_mask"])
        held = [*held[-1:], (step, snapshot(step))]
        assert all(same(a._asdict(), b._asdict()) for a, b in held)
        acted_on = step.obs


def test_against_gymnasium():
    """Within an episode; at its end Gymnasium has reset nothing yet."""
    env, peer = FrameStack(SerialEnv(HashChain, 1, seed=3), 3), FrameStackObservation(HashChain(), 3)
    mine = env.reset()
    theirs, _ = peer.reset(seed=env_seed(3, 0))
    assert env.observation_space == peer.observation_space
    number = 0
    for _ in range(60):
        np.testing.assert_array_equal(mine[0], theirs)
        step = env.step(np.array([1]))
        theirs, *_, terminated, truncated, _ = peer.step(1)
        mine = step.obs
        if terminated or truncated:
            np.testing.assert_array_equal(step.final_obs[0], theirs)
            number += 1
            theirs, _ = peer.reset(seed=env_seed(3, number))
    assert number > 3


def env_seed(seed, number):
    from rlcore.envs import episode_seed

    return episode_seed(seed, number)


def test_successive_stacks_share_their_frames():
    env = FrameStack(Tape(2, ends=0), 4)
    before, shared = env.reset(), 0
    for _ in range(26):
        obs = env.step(np.zeros(2, np.int64)).obs
        shared += np.shares_memory(before[:, 1:], obs[:, :-1])
        before = obs
    assert shared == 24  # a strip has room for 12 more frames


def test_spaces_are_gymnasiums():
    space = FrameStack(Tape(obs=nested), 3).observation_space
    peer = FrameStackObservation(Nested(), 3).observation_space
    assert space["frame"] == spaces.Box(0, 255, (3, 2, 3), np.uint8)
    assert space["where"][0] == spaces.Box(-np.inf, np.inf, (3, 2), np.float32)
    assert space["action_mask"] == NESTED["action_mask"]
    assert FrameStack(SerialEnv(Nested), 3).observation_space == peer
    env = FrameStack(SerialEnv(Nested), 3)
    obs = env.reset()
    assert [leaf.shape for leaf in leaves(obs)] == [(1, 3, 3), (1, 3, 2, 2), (1, 3, 2), (1, 3)]


def test_what_is_refused():
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        FrameStack(Tape(), 0)


def test_it_exports_what_a_runner_needs():
    assert FrameStack(Tape(), 4).exported() == {"kind": "frame_stack", "k": 4, "masked": False}
    assert FrameStack(Tape(obs=nested), 2).exported() == {"kind": "frame_stack", "k": 2, "masked": True}
