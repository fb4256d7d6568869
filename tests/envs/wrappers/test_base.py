"""What all wrappers have in common, and what each of them must keep to."""

import re

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.envs.toy import HashChain
from rlcore.envs.wrappers import (
    CastObservation,
    ClipReward,
    EpisodeStatistics,
    FlattenObservation,
    FrameStack,
    LastActionReward,
    NormalizeObservation,
    NormalizeReward,
    RandomizeAction,
    ScaleReward,
    SignReward,
    TimeLimit,
    Wrapper,
    innermost,
    twin,
)
from rlcore.tree import map_
from tests.envs.worlds import through_a_file
from tests.envs.wrappers.fakes import Tape, nested, play, same, snapshot

ALL = [
    Wrapper,
    lambda env: TimeLimit(env, 4),
    lambda env: FrameStack(env, 3),
    lambda env: FrameStack(env, 1),
    LastActionReward,
    ClipReward,
    SignReward,
    lambda env: ScaleReward(env, 0.1),
    NormalizeReward,
    NormalizeObservation,
    CastObservation,
    FlattenObservation,
    lambda env: RandomizeAction(env, 0.5),
    EpisodeStatistics,
]
TAPES = [
    dict(n=1),
    dict(n=3),
    dict(n=3, faults=0.1),
    dict(n=2, next_step=True, faults=0.1),
    dict(n=3, faults=0.1, obs=nested),
    dict(n=2, ends=0.9, obs=nested),
]


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("tape", TAPES)
def test_steps_hold_and_keep_what_they_promise(make, tape):
    """Nothing inside is written into (it is read-only), and the arrays hold until step() was called twice more."""
    env = make(Tape(**tape, seed=5))
    acted_on, held = env.reset(), None
    for _ in range(60):
        copy = map_(np.copy, acted_on)
        step = env.step(np.ones(env.n_envs, np.int64))
        inner = innermost(env).given[-1]
        assert step.obs is env.obs
        assert same(acted_on, copy)
        assert same(step.valid, inner["valid"])
        assert same(step.terminated, inner["terminated"])
        assert not (step.terminated & step.truncated).any()
        if same(step.truncated, inner["truncated"]):  # no TimeLimit has cut anything
            assert (step.final_obs is step.obs) == innermost(env).plain
        assert step.reward.dtype == np.float32
        assert np.isfinite(step.reward).all()
        assert contains(env.observation_space, step.obs, env.n_envs)
        assert contains(env.observation_space, step.final_obs, env.n_envs)
        if held is not None:
            assert same(*(dict(s._asdict(), info=0) for s in held))
        acted_on, held = step.obs, (step, snapshot(step))


@pytest.mark.parametrize("make", [make for make in ALL if make not in (NormalizeObservation, NormalizeReward)])
@pytest.mark.parametrize("tape", TAPES)
def test_two_resets_play_the_same_episodes(make, tape):
    env = make(Tape(**tape, seed=5))
    env.reset()
    first = play(env, 30)
    env.reset()
    assert all(same(a._asdict(), b._asdict()) for a, b in zip(first, play(env, 30), strict=True))


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("tape", TAPES)
def test_loaded_it_goes_on_bit_for_bit(make, tape):
    env = make(Tape(**tape, seed=5))
    env.reset()
    play(env, 17)
    other = make(Tape(**tape, seed=6))
    assert same(other.load(through_a_file(env.state())), env.obs)
    there, here = play(env, 30), play(other, 30)
    assert all(same(a._asdict(), b._asdict()) for a, b in zip(there, here, strict=True))
    clocks = {"running": 0, "seconds": 0}
    assert same(*({**e.state()["own"], **clocks} for e in (env, other)))


@pytest.mark.parametrize("make", ALL)
def test_its_own_state_can_be_loaded(make):
    """Its arrays are live: loading must not read what it has written already."""
    env, other = (make(Tape(seed=5, faults=0.1)) for _ in range(2))
    for e in (env, other):
        e.reset()
        play(e, 17)
    env.load(env.state())
    assert all(same(a._asdict(), b._asdict()) for a, b in zip(play(env, 30), play(other, 30), strict=True))


@pytest.mark.parametrize("make", ALL)
def test_a_state_from_before_the_first_reset(make):
    """As if never saved: what the load shows of the first observations is not counted twice."""
    env, other = make(Tape(seed=5)), make(Tape(seed=5))
    obs = other.load(through_a_file(env.state()))
    assert other.obs is obs
    assert obs is not None
    env.reset(), other.reset()
    assert all(same(a._asdict(), b._asdict()) for a, b in zip(play(env, 30), play(other, 30), strict=True))


@pytest.mark.parametrize("make", ALL)
def test_an_interrupted_step_cuts_the_streams(make):
    """The environment inside has stepped, the wrapper has not: no transition may come of the next step."""
    env = make(Tape(n=2, seed=5, ends=0.0))
    env.reset()
    play(env, 3)
    after, env.after = env.after, interrupt
    with pytest.raises(KeyboardInterrupt):
        env.step(np.ones(2, np.int64))
    env.after = after
    other = make(Tape(n=2, seed=5, ends=0.0))
    other.load(through_a_file(env.state()))
    for e in (env, other):
        step = e.step(np.ones(2, np.int64))
        assert not step.valid.any()
        assert not step.ended.any()
        assert step.final_obs is step.obs
        assert e.step(np.ones(2, np.int64)).valid.all()
    env.reset()
    assert env.step(np.ones(2, np.int64)).valid.all()


def interrupt(*args):
    raise KeyboardInterrupt


def test_an_interrupted_reset_cuts_the_streams():
    env = Wrapper(Tape(n=2))
    env.reset()
    env.first = interrupt
    with pytest.raises(KeyboardInterrupt):
        env.reset()
    assert not env.step(np.ones(2, np.int64)).valid.any()


def test_a_load_that_fails_leaves_it_not_started():
    env = FrameStack(Tape(n=2), 3)
    env.reset()
    state = env.state()
    env.env.load = interrupt
    with pytest.raises(KeyboardInterrupt):
        env.load(state)
    with pytest.raises(ValueError, match=r"call reset\(\) before step"):
        env.step(np.ones(2, np.int64))


def test_a_reset_mends_an_interrupted_step():
    env = FrameStack(Tape(n=2), 2)
    env.reset()
    env._torn = True
    env.reset()
    assert env.step(np.ones(2, np.int64)).valid.all()


def test_what_is_no_vector_env_is_refused():
    with pytest.raises(TypeError, match=r"FrameStack: expected a VectorEnv, such as SerialEnv .*HashChain"):
        FrameStack(HashChain(), 4)


def test_a_step_before_the_first_reset_is_refused():
    tape = Tape()
    tape.reset()
    with pytest.raises(ValueError, match=r"FrameStack: call reset\(\) before step\(\)"):
        FrameStack(tape, 4).step(np.zeros(3, np.int64))


def test_states_of_others_are_refused():
    env = FrameStack(ClipReward(Tape(2)), 3)
    env.reset()
    play(env, 4)
    state, obs = env.state(), np.copy(env.obs)
    for other, message in (
        (ClipReward(FrameStack(Tape(2), 3)), "wrapper 'FrameStack', here it is 'ClipReward'"),
        (FrameStack(ClipReward(Tape(2)), 4), "k 3, here it is 4"),
        (FrameStack(ClipReward(Tape(2), -2), 3), "low -1.0, here it is -2.0"),
        (FrameStack(ClipReward(Tape(3)), 3), "obs {'': '(2, 3, 2) float32'}, here they are {'': '(3, 3, 2) float32'}"),
        (Tape(2), "tape None, here it is 2"),
    ):
        other.reset()
        play(other, 2)
        before = other.state()
        with pytest.raises(ValueError, match=re.escape(message)):
            other.load(state) if isinstance(other, Wrapper) else other.check(state)
        assert same(other.state(), before)
    assert same(env.load(state), obs)


def test_observations_that_are_passed_on_are_saved_once():
    env = ClipReward(EpisodeStatistics(Tape()))
    env.reset()
    state = env.state()
    assert "obs" not in state
    assert "obs" not in state["env"]
    assert "obs" in state["env"]["env"]


def test_it_tells_what_the_environment_inside_tells():
    env = Wrapper(Tape(2, seed=7))
    assert (env.n_envs, env.seed, env.resumable) == (2, 7, "own")
    with pytest.raises(ValueError, match="Tape renders no pictures"):
        env.render(1)
    with pytest.raises(ValueError, match="put what cuts episodes inside FrameStack"):
        FrameStack(env, 2).restart(np.ones(2, bool))
    assert env.exported() == {}
    closed = []
    env.env.close = lambda: closed.append(1)
    env.close()
    assert closed


def test_the_twin_for_evaluation():
    """It is around the bare environment what the other is, without what concerns the rewards."""
    env = TimeLimit(Tape(3), 7)
    for wrap in (SignReward, NormalizeReward, RescaleNothing, lambda env: RandomizeAction(env, 0.25, 3), ClipReward):
        env = wrap(env)
    env = FrameStack(NormalizeObservation(ScaleReward(env, 2)), 2)
    bare = Tape(1, seed=9)
    other = twin(env, bare)
    chain = []
    while isinstance(other, Wrapper):
        chain.append(other)
        other = other.env
    assert other is bare is innermost(chain[0])
    assert [type(w) for w in chain] == [FrameStack, NormalizeObservation, RandomizeAction, RescaleNothing, TimeLimit]
    assert (chain[0].k, chain[2].fraction, chain[4].limit) == (2, 0.25, 7)


class RescaleNothing(Wrapper):
    """One of a user's own, without settings."""


def contains(space, obs, n):
    """Whether obs is a batch of a space's elements."""
    if isinstance(space, spaces.Dict):
        return set(obs) == set(space) and all(contains(space[k], obs[k], n) for k in space)
    if isinstance(space, spaces.Tuple):
        return isinstance(obs, tuple) and all(contains(s, o, n) for s, o in zip(space, obs, strict=True))
    return len(obs) == n and all(space.contains(o) for o in obs)
