import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers.utils import RunningMeanStd
from hypothesis import given, settings
from hypothesis import strategies as st

from rlcore.envs.wrappers import NormalizeObservation, NormalizeReward, twin
from rlcore.envs.wrappers.normalize import PRIOR, Moments
from rlcore.rng import generator
from tests.envs.worlds import through_a_file
from tests.envs.wrappers.fakes import Tape, nested, play, same


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.integers(0, 2**31), st.sampled_from([0.0, 1e6]))
def test_moments_of_batches_are_those_of_all_rows(sizes, seed, offset):
    rng = generator(seed)
    rows = rng.normal(size=(sum(sizes), 3)) * [1, 10, 1e-3] + offset
    moments, peer = Moments(3, 1e-8), RunningMeanStd(shape=(3,))
    for batch in np.split(rows, np.cumsum(sizes)[:-1]):
        moments.update(batch)
        peer.update(batch)
    n, k = len(rows), PRIOR  # the prior: k rows with mean 0 and variance 1
    mean = rows.sum(0) / (n + k)
    var = (((rows - mean) ** 2).sum(0) + k * (1 + mean**2)) / (n + k)
    np.testing.assert_allclose(moments.mean, mean, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(moments.var, var, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(moments.std, np.sqrt(moments.var + 1e-8), rtol=1e-14)
    np.testing.assert_allclose(moments.mean, peer.mean, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(moments.var, peer.var, rtol=1e-6, atol=1e-12)
    assert moments.count == pytest.approx(peer.count)


def test_variance_does_not_cancel_far_from_zero():
    """The sum of squares less the square of the sum would lose all digits here."""
    rng, moments = generator(0), Moments(1, 1e-8)
    moments.load({"mean": np.array([1e9]), "var": np.array([1.0]), "count": PRIOR})
    for _ in range(1000):
        moments.update(1e9 + rng.normal(size=(8, 1)))
    assert moments.var[0] == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize("tape", [{}, {"faults": 0.1}, {"faults": 0.1, "next_step": True}, {"n": 1, "ends": 0.6}])
@pytest.mark.parametrize("clip", [0.7, None])
def test_observations_against_the_formula(tape, clip):
    """Every observation to act on is counted once; true last ones are scaled alike and not counted."""
    env = NormalizeObservation(Tape(**tape, seed=2), clip, epsilon=1e-3)
    peer, bound = RunningMeanStd(shape=(2,)), np.inf if clip is None else clip

    def scaled(obs):
        return np.clip((obs - peer.mean) / np.sqrt(peer.var + 1e-3), -bound, bound)

    first = env.reset()
    raw = Tape(**tape, seed=2).reset()
    peer.update(raw.astype(float))
    np.testing.assert_allclose(first, scaled(raw), atol=1e-6)
    for step, inner in zip(play(env, 50), env.env.given, strict=True):
        peer.update(inner["obs"].astype(float))
        np.testing.assert_allclose(step.obs, scaled(inner["obs"]), atol=1e-5)
        np.testing.assert_allclose(step.final_obs, scaled(inner["final_obs"]), atol=1e-5)
        assert step.obs.dtype == np.float32
    bound = spaces.Box(-bound, bound, (2,), np.float32)
    assert env.observation_space == bound


def test_only_floats_of_nested_observations_change():
    env = NormalizeObservation(Tape(seed=2, obs=nested))
    env.reset()
    step, inner = play(env, 1)[0], env.env.given[0]
    for same_as_inside in ("frame", "action_mask"):
        assert same(step.obs[same_as_inside], inner["obs"][same_as_inside])
    where, count = step.obs["where"]
    assert same(count, inner["obs"]["where"][1])
    assert not same(where, inner["obs"]["where"][0])
    space = env.observation_space
    assert space["where"][0] == spaces.Box(-10, 10, (2,), np.float32)
    assert space["where"][1] == env.env.observation_space["where"][1]
    assert space["frame"] == env.env.observation_space["frame"]
    exported = env.exported()
    assert (exported["kind"], exported["epsilon"], exported["clip"]) == ("normalize", 1e-8, 10.0)
    assert exported["mean"]["frame"] is exported["mean"]["action_mask"] is exported["mean"]["where"][1] is None
    mean, var = exported["mean"]["where"][0], exported["var"]["where"][0]
    expected = np.clip((inner["obs"]["where"][0] - mean) / np.sqrt(var + 1e-8), -10, 10).astype(np.float32)
    assert same(where, expected)


def test_a_mask_of_floats_is_no_observation():
    tape = Tape(obs=lambda base: {"obs": base.copy(), "action_mask": np.ones_like(base)})
    box = tape.observation_space
    tape.observation_space = spaces.Dict({"obs": box, "action_mask": spaces.Box(0, 1, (2,), np.float32)})
    env = NormalizeObservation(tape)
    env.reset()
    assert (play(env, 9)[-1].obs["action_mask"] == 1).all()
    assert env.observation_space["action_mask"] == tape.observation_space["action_mask"]


def test_evaluation_shares_the_moments_and_leaves_them_alone():
    trained = NormalizeObservation(Tape(seed=2))
    trained.reset()
    play(trained, 30)
    env = twin(trained, Tape(1, seed=8))
    before = through_a_file(trained.state())
    first = env.reset()
    seen = play(env, 30)
    assert same(trained.state()["own"], before["own"])
    expected = (np.array([[0.0, 0.0]]) - trained.moments.mean) / trained.moments.std
    np.testing.assert_allclose(first, np.clip(expected, -10, 10), atol=1e-6)
    play(trained, 30)  # live: what it learns next counts there, too
    env.reset()
    assert not same(play(env, 30)[-1].obs, seen[-1].obs)
    trained.load(before)
    env.reset()
    assert same(play(env, 30)[-1].obs, seen[-1].obs)


def test_training_can_be_switched_off():
    env = NormalizeObservation(Tape(seed=2))
    env.reset()
    play(env, 5)
    env.training = False
    before = through_a_file(env.own_state())
    play(env, 5)
    env.reset()
    assert same(env.own_state(), before)


@pytest.mark.parametrize("tape", [{}, {"faults": 0.1}, {"faults": 0.1, "next_step": True}, {"n": 1, "ends": 0.6}])
@pytest.mark.parametrize("clip", [0.7, None])
def test_rewards_against_the_formula(tape, clip):
    """R = gamma R + r for each stream and episode; rewards over the deviation of all R, this step's included."""
    env = NormalizeReward(Tape(**tape, seed=4), 0.9, 1e-3, clip)
    peer, bound = RunningMeanStd(shape=()), np.inf if clip is None else clip
    env.reset()
    returns = [0.0] * env.n_envs
    cut = 0
    for step, inner in zip(play(env, 60), env.env.given, strict=True):
        counted = []
        for i, valid in enumerate(inner["valid"]):
            returns[i] = 0.9 * returns[i] + float(inner["reward"][i])
            if valid:
                counted.append(returns[i])
            if not valid or inner["terminated"][i] or inner["truncated"][i]:
                returns[i] = 0.0
                cut += 1
        if counted:
            peer.update(np.array(counted))
        expected = np.clip(inner["reward"] / np.sqrt(peer.var + 1e-3), -bound, bound)
        np.testing.assert_allclose(step.reward, expected, rtol=1e-5)
        assert same(step.info, inner["info"])
    assert cut > 5


def test_a_reset_begins_new_returns():
    env = NormalizeReward(Tape(1, ends=0), 1.0)
    env.reset()
    play(env, 10)
    env.reset()
    play(env, 1, np.array([0]))
    assert env.own_state()["returns"].tolist() == [[1.0]]


def test_what_is_refused():
    ints = Tape()
    ints.observation_space = spaces.Box(0, 255, (2,), np.uint8)
    with pytest.raises(ValueError, match=r"no Box of floats in Box\(0, 255.*CastObservation and RescaleObservation"):
        NormalizeObservation(ints)
    for wrapper in (NormalizeObservation, NormalizeReward):
        for bad in (0, -1, float("nan")):
            with pytest.raises(ValueError, match="clip must be positive or None"):
                wrapper(Tape(), clip=bad)
            with pytest.raises(ValueError, match="epsilon, added to a variance, must be positive"):
                wrapper(Tape(), epsilon=bad)
    for gamma in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"gamma must be within \[0, 1\]"):
            NormalizeReward(Tape(), gamma)


@pytest.mark.parametrize("make", [NormalizeObservation, NormalizeReward])
def test_a_damaged_state_changes_nothing(make):
    env = make(Tape())
    env.reset()
    play(env, 3)
    good = through_a_file(env.state())
    for name, value, message in (
        ("mean", np.zeros(3), "mean of running moments must be"),
        ("var", np.full(np.shape(one(good)["var"]), np.nan), "var of running moments must be"),
        ("var", np.full(np.shape(one(good)["var"]), -1.0), "negative variance"),
        ("count", 0.0, "no count"),
    ):
        bad = through_a_file(env.state())
        one(bad)[name] = value
        with pytest.raises(ValueError, match=message):
            env.load(bad)
        assert same(through_a_file(env.state()), good)
    bad = through_a_file(env.state())
    if make is NormalizeObservation:
        bad["own"]["moments"] = [None]
    else:
        bad["own"]["returns"] = np.zeros(3)
    with pytest.raises(ValueError, match="load: Normalize"):
        env.load(bad)


def one(state):
    """The saved moments."""
    moments = state["own"]["moments"]
    return moments[0] if isinstance(moments, list) else moments
