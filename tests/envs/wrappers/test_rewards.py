import numpy as np
import pytest

from rlcore.envs.wrappers import ClipReward, RewardWrapper, ScaleReward, SignReward
from tests.envs.wrappers.fakes import Tape, play

ACTION = np.array([0, -9])  # rewards are the steps of the episode plus half of it: 1, 2, 3 and -3.5, -2.5, -1.5


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (ClipReward, [[1, -1], [1, -1], [1, -1]]),
        (lambda env: ClipReward(env, -3, 2.5), [[1, -3], [2, -2.5], [2.5, -1.5]]),
        (lambda env: ClipReward(env, None, 0), [[0, -3.5], [0, -2.5], [0, -1.5]]),
        (lambda env: ClipReward(env, low=-2, high=None), [[1, -2], [2, -2], [3, -1.5]]),
        (SignReward, [[1, -1], [1, -1], [1, -1]]),
        (lambda env: ScaleReward(env, 0.5), [[0.5, -1.75], [1, -1.25], [1.5, -0.75]]),
        (RewardWrapper, [[1, -3.5], [2, -2.5], [3, -1.5]]),
    ],
)
def test_by_hand(make, expected):
    env = make(Tape(2, ends=0))
    env.reset()
    rewards = [step.reward for step in play(env, 3, ACTION)]
    assert [r.tolist() for r in rewards] == expected
    assert all(r.dtype == np.float32 for r in rewards)


def test_the_sign_of_nothing_is_nothing():
    env = SignReward(Tape(1, ends=0))
    env.reset()
    assert play(env, 1, np.array([-2]))[0].reward == 0


@pytest.mark.parametrize("make", [ClipReward, SignReward, lambda env: ScaleReward(env, 3)])
def test_episodes_are_told_by_raw_rewards(make):
    env = make(Tape(2, seed=3))
    env.reset()
    told = [(*map(int, e), total) for s in play(env, 40) for *e, total in told_in(s)]
    tape = Tape(2, seed=3)
    tape.reset()
    raw = [(*map(int, e), total) for s in play(tape, 40) for *e, total in told_in(s)]
    assert told == raw
    assert len(raw) > 3


def told_in(step):
    stream, total, length = step.info.get("episode", ((), (), ()))
    return zip(stream, length, total)


def test_what_is_refused():
    for low, high in ((1, 1), (2, -2), (float("nan"), 1), (None, float("nan"))):
        with pytest.raises(ValueError, match="ClipReward: low must be below high"):
            ClipReward(Tape(), low, high)
    for scale in (float("inf"), float("nan")):
        with pytest.raises(ValueError, match="ScaleReward: scale must be finite"):
            ScaleReward(Tape(), scale)


def test_infinite_bounds_are_none():
    """A state has only numbers that JSON has."""
    assert ClipReward(Tape(), -np.inf, np.float32(1)).settings == {"low": None, "high": 1.0}
