"""Episode seeds: pure, spread, 31 bits, and the same episodes for any number of environments."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlcore.envs import SerialEnv, VectorEnv, episode_seed
from rlcore.envs.base import no_transition, refuse_others
from rlcore.envs.toy import HashChain

SEEDS = st.integers(-(2**70), 2**70)
NUMBERS = st.integers(0, 2**50)


def splitmix64(x: int) -> int:
    """The generator's output function as published, in NumPy's wrapping arithmetic."""
    with np.errstate(over="ignore"):
        z = np.uint64(x)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return int(z ^ (z >> np.uint64(31)))


def test_known_values():
    """SplitMix64 seeded with 0 begins with 0xE220A8397B1DCDAF: state 0x9E37... is seed 1, number -1 here."""
    assert splitmix64(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF
    assert episode_seed(1, -1) == 0xE220A8397B1DCDAF >> 33


@given(SEEDS, NUMBERS)
def test_a_pure_function_of_31_bits(seed, number):
    value = episode_seed(seed, number)
    assert type(value) is int
    assert 0 <= value < 2**31
    assert value == episode_seed(seed, number)
    state = (seed * 0x9E3779B97F4A7C15 + (number + 1) * 0xD1342543DE82EF95) % 2**64
    assert value == splitmix64(state) >> 33


@pytest.mark.parametrize(("seeds", "numbers"), [([0], range(20_000)), (range(20_000), [0]), (range(150), range(150))])
def test_spread(seeds, numbers):
    values = np.array([episode_seed(s, n) for s in seeds for n in numbers])
    assert len(values) - len(np.unique(values)) < 0.0005 * len(values)  # n / 2**32 of them by chance: 0 to 3
    bits = (values[:, None] >> np.arange(31)) & 1
    assert np.abs(bits.mean(0) - 0.5).max() < 5 * 0.5 / len(values) ** 0.5
    neighbours = (bits[1:] ^ bits[:-1]).mean()
    assert abs(neighbours - 0.5) < 0.01


def test_numpy_integers_are_integers():
    assert episode_seed(np.int64(7), np.int32(3)) == episode_seed(7, 3)
    assert SerialEnv(HashChain, seed=np.int64(7)).reset().tolist() == SerialEnv(HashChain, seed=7).reset().tolist()
    with pytest.raises(TypeError):
        episode_seed(0.5, 1)


def first_observations(n_envs: int, episodes: int, seed: int = 3) -> dict[int, int]:
    """Which episode HashChain played, by the number that it should have."""
    env = SerialEnv(HashChain, n_envs, seed)
    obs, number = env.reset(), np.arange(n_envs)
    played = dict(zip(number.tolist(), obs[:, 0].tolist()))
    while len(played) < episodes + 8 * n_envs:
        step = env.step(np.zeros(n_envs, np.int64))
        for i in step.ended.nonzero()[0]:
            number[i] += n_envs
            played[int(number[i])] = int(step.obs[i, 0])
    return played


def test_any_number_of_environments_plays_the_same_episodes():
    one = first_observations(1, 60)
    for n in (2, 3, 8):
        several = first_observations(n, 40)
        common = one.keys() & several.keys()
        assert len(common) > 20
        assert {k: one[k] for k in common} == {k: several[k] for k in common}
    raw = HashChain()
    assert [int(raw.reset(seed=episode_seed(3, k))[0][0]) for k in range(40)] == [one[k] for k in range(40)]


def test_a_vector_env_must_say_how_it_steps():
    with pytest.raises(TypeError, match="abstract"):
        VectorEnv()


def test_a_state_of_another_is_refused():
    refuse_others({"env": "A", "n_envs": 2, "more": 1}, {"env": "A", "n_envs": 2})
    with pytest.raises(ValueError, match="n_envs 3, here it is 2"):
        refuse_others({"env": "A", "n_envs": 3}, {"env": "A", "n_envs": 2})
    with pytest.raises(ValueError, match="env None, here it is 'A'"):
        refuse_others({}, {"env": "A"})


def test_rows_that_are_no_transitions():
    step = no_transition(np.ones((2, 3)), 2)
    assert step.valid.tolist() == step.ended.tolist() == step.reward.tolist() == [0, 0]
    assert step.obs is step.final_obs
