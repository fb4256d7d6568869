"""The toy environments keep Gymnasium's contract and have the values that they claim."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from rlcore.envs.toy import Chain, Forever, HashChain


@pytest.mark.parametrize("make", [Chain, lambda: Chain(3, limit=7), Forever, HashChain])
def test_gymnasium_accepts_it(make):
    check_env(make(), skip_render_check=True)  # a warning fails the test


def transitions(env: Chain, states: range) -> dict[tuple[int, int], tuple[int, float, bool]]:
    """(state, action) -> (next state, reward, terminated), found by acting."""
    found = {}
    for s in states:
        for action in (0, 1):
            env.reset(seed=0)
            for _ in range(s):
                env.step(1)
            obs, reward, terminated, _, _ = env.step(action)
            assert obs.sum() == 1
            found[s, action] = int(obs.argmax()), reward, terminated
    return found


@pytest.mark.parametrize("gamma", [0.5, 0.9])
@pytest.mark.parametrize("n", [1, 5])
def test_chain_values_by_linear_solve(n, gamma):
    """(I - gamma P) v = r under always-right, and under the even policy as a second system."""
    table = transitions(Chain(n), range(n))
    for policy in ({1: 1.0}, {0: 0.5, 1: 0.5}):
        p, r = np.zeros((n, n)), np.zeros(n)
        for s in range(n):
            for action, chance in policy.items():
                after, reward, over = table[s, action]
                r[s] += chance * reward
                if not over:
                    p[s, after] += chance
        value = np.linalg.solve(np.eye(n) - gamma * p, r)
        if policy == {1: 1.0}:
            np.testing.assert_allclose(value, [gamma ** (n - 1 - s) for s in range(n)])
        else:
            assert (value <= [gamma ** (n - 1 - s) for s in range(n)]).all()


def test_chain_by_hand():
    env = Chain(2, limit=4)
    assert env.reset()[0].tolist() == [1, 0, 0]
    rows = [env.step(a)[:4] for a in (0, 1, 0, 1)]
    assert [r[0].argmax() for r in rows] == [0, 1, 0, 1]
    assert [r[1:] for r in rows] == [(0.0, False, False)] * 3 + [(0.0, False, True)]
    env.reset()
    rows = [env.step(a)[1:4] for a in (0, 0, 1, 1)]
    assert rows[-1] == (1.0, True, True)  # the goal in the last step allowed: both


def test_forever_is_cut_and_never_terminates():
    env = Forever(3)
    env.reset()
    assert [env.step(0)[1:4] for _ in range(3)] == [(1.0, False, False)] * 2 + [(1.0, False, True)]


def test_hash_chain_keeps_its_law_and_tells_transitions_apart():
    env, rng = HashChain(), np.random.Generator(np.random.PCG64(0))
    seen, ends = set(), []
    for k in range(200):
        obs, over = env.reset(seed=k)[0], False
        while not over:
            action = int(rng.integers(4))
            after, _, terminated, truncated, _ = env.step(action)
            assert env.observation_space.contains(after)
            assert after.tolist() == env.after(obs[None], np.array([action]))[0].tolist()
            others = [env.after(obs[None], np.array([a]))[0].tolist() for a in range(4) if a != action]
            assert after.tolist() not in others
            seen.add(tuple(after.tolist()))
            obs, over = after, terminated or truncated
        ends.append(terminated)
    assert len(seen) > 800  # no state comes twice
    assert 60 < sum(ends) < 140
