"""SerialEnv: hand-computed steps, the same transitions as raw Gymnasium loops, refusals, and exact resume."""

from __future__ import annotations

import copy
import json

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit

from rlcore.buffers import Replay
from rlcore.envs import SerialEnv, episode_seed
from rlcore.envs.toy import Chain, Forever, HashChain
from rlcore.rng import generator
from rlcore.tree import leaves, map_
from tests.envs.worlds import (
    ACTIONS,
    Hidden,
    InPlace,
    Moody,
    Nested,
    Reuses,
    Signed,
    Walk,
    World,
    through_a_file,
)

CLASSIC = ["CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCar-v0", "FrozenLake-v1"]


def batch_of(space, n, rng):
    """Random actions (N, ...) for each kind of space."""
    if isinstance(space, spaces.Dict):
        return {k: batch_of(s, n, rng) for k, s in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(batch_of(s, n, rng) for s in space.spaces)
    if isinstance(space, spaces.Discrete):
        return rng.integers(space.n, size=n)
    if isinstance(space, spaces.MultiDiscrete):
        return rng.integers(space.nvec, size=(n, *space.shape))
    if isinstance(space, spaces.MultiBinary):
        return rng.integers(2, size=(n, *space.shape)).astype(np.int8)
    return rng.uniform(space.low, space.high, (n, *space.shape)).astype(space.dtype)


def frozen(step):
    """All of a step as bytes, to compare later."""
    arrays = [step.obs, step.reward, step.terminated, step.truncated, step.final_obs, step.valid, step.info]
    return [leaf.tobytes() for leaf in leaves(tuple(arrays))]


def play(env, steps, rng):
    return [frozen(env.step(batch_of(env.action_space, env.n_envs, rng))) for _ in range(steps)]


# the stream
def test_auto_reset_by_hand():
    """Two chains of length 2: stream 0 goes right, right (the goal); stream 1 left, right, left: cut after 3."""
    env = SerialEnv(lambda: Chain(2, limit=3), 2)
    assert env.reset().tolist() == [[1, 0, 0], [1, 0, 0]]
    first = env.step(np.array([1, 0]))
    assert first.obs.tolist() == [[0, 1, 0], [1, 0, 0]]
    assert first.final_obs is first.obs is env.obs
    assert first.info == {}
    assert first.reward.tolist() == [0, 0]

    second = env.step(np.array([1, 1]))
    assert second.obs.tolist() == [[1, 0, 0], [0, 1, 0]]  # stream 0 has begun anew
    assert second.final_obs.tolist() == [[0, 0, 1], [0, 1, 0]]  # its true successor is the goal
    assert second.reward.tolist() == [1, 0]
    assert (second.terminated.tolist(), second.truncated.tolist()) == ([True, False], [False, False])
    stream, returns, lengths = second.info["episode"]
    assert (stream.tolist(), returns.tolist(), lengths.tolist()) == ([0], [1.0], [2])

    third = env.step(np.array([0, 0]))
    assert third.obs.tolist() == [[1, 0, 0], [1, 0, 0]]
    assert third.final_obs.tolist() == [[1, 0, 0], [1, 0, 0]]
    assert third.final_obs is not third.obs
    assert (third.terminated.tolist(), third.truncated.tolist()) == ([False, False], [False, True])
    stream, returns, lengths = third.info["episode"]
    assert (stream.tolist(), returns.tolist(), lengths.tolist()) == ([1], [0.0], [3])
    for step in (first, second, third):
        assert step.valid.all()
        assert step.ended.tolist() == (step.terminated | step.truncated).tolist()
        assert [a.dtype for a in step[:5]] == [np.float32, np.float32, bool, bool, np.float32]


def test_both_streams_can_end_at_once():
    env = SerialEnv(lambda: Forever(2), 3)
    env.reset()
    env.step(np.zeros(3, int))
    step = env.step(np.zeros(3, int))
    assert [a.tolist() for a in step.info["episode"]] == [[0, 1, 2], [2.0, 2.0, 2.0], [2, 2, 2]]


def test_terminated_wins_over_truncated():
    env = SerialEnv(lambda: Chain(2, limit=2))
    env.reset()
    env.step(np.array([1]))
    step = env.step(np.array([1]))
    assert (step.terminated.tolist(), step.truncated.tolist()) == ([True], [False])


def test_two_resets_play_the_same_episodes():
    for reseed in ("episode", "once"):
        env = SerialEnv(Walk, 3, seed=4, reseed=reseed)
        first = env.reset().tobytes(), play(env, 90, generator(0))
        assert (env.reset().tobytes(), play(env, 90, generator(0))) == first
        other = SerialEnv(Walk, 3, seed=5, reseed=reseed)
        assert other.reset().tobytes() != first[0]


def test_arrays_hold_until_step_was_called_twice_more():
    env = SerialEnv(lambda: Chain(2, limit=3), 2)
    obs = env.reset()
    kept, then = [obs], [obs.copy()]
    rng = generator(0)
    for k in range(30):
        if k in (13, 20):  # neither must a reset touch them, nor a step its observation
            kept.append(env.reset())
            then.append(kept[-1].copy())
        step = env.step(rng.integers(2, size=2))
        assert all((a == b).all() for a, b in zip(kept, then))
        kept = list(step[:6])
        then = copy.deepcopy(kept)


def test_an_environment_that_reuses_its_buffer():
    env = SerialEnv(Reuses, 2)
    begin = env.reset()[:, 0].tolist()
    assert begin == [episode_seed(0, i) % 97 for i in range(2)]
    steps = [env.step(np.zeros(2, int)) for _ in range(2)]
    assert [s.obs[:, 0].tolist() for s in steps] == [[b + k for b in begin] for k in (1, 2)]
    last = env.step(np.zeros(2, int))
    assert last.final_obs[:, 0].tolist() == [b + 3 for b in begin]
    assert last.obs[:, 0].tolist() == [episode_seed(0, i) % 97 for i in (2, 3)]


def test_float64_reaches_agents_as_float32():
    env, raw = SerialEnv(Walk), Walk()
    obs, true = env.reset(), raw.reset(seed=episode_seed(0, 0))[0]
    assert true.dtype == np.float64
    assert obs.dtype == np.float32
    assert obs[0].tolist() == true.astype(np.float32).tolist()


def test_returns_are_summed_in_float64():
    env = SerialEnv(lambda: World(limit=10, change=lambda t, obs, r: (obs, np.float32(16_777_216 if t == 1 else 1))))
    env.reset()
    steps = [env.step(np.array([0])) for _ in range(10)]
    assert steps[-1].info["episode"][1].tolist() == [16_777_216 + 9]  # in float32 the ones would be lost
    assert json.dumps([env.state()[k] for k in ("returns", "lengths", "numbers")])


@pytest.mark.parametrize("reward", [1, True, np.bool_(True), np.int64(1), np.array(1.0)])
def test_any_scalar_is_a_reward(reward):
    env = SerialEnv(lambda: World(change=lambda t, obs, r: (obs, reward)))
    env.reset()
    assert env.step(np.array([0])).reward.tolist() == [1.0]


# the same as raw loops
@pytest.mark.parametrize("n_envs", [1, 4])
@pytest.mark.parametrize("name", CLASSIC)
def test_transitions_are_those_of_raw_loops(name, n_envs):
    steps = 300
    env = SerialEnv(name, n_envs, seed=11)
    rng = generator(1)
    actions = [batch_of(env.action_space, n_envs, rng) for _ in range(steps)]
    obs, rows = env.reset().copy(), []
    for a in actions:
        step = env.step(a)
        rows.append([copy.deepcopy(x) for x in (obs, *step[:5])])
        obs = step.obs.copy()
    for i in range(n_envs):
        raw, k = gymnasium.make(name), 0
        o, _ = raw.reset(seed=episode_seed(11, i))
        for row, a in zip(rows, actions):
            after, reward, terminated, truncated, _ = raw.step(int(a[i]) if a.ndim == 1 else a[i])
            final = np.asarray(after)
            if terminated or truncated:
                k += 1
                after, _ = raw.reset(seed=episode_seed(11, i + n_envs * k))
            expected = o, after, np.float32(reward), terminated, truncated and not terminated, final
            assert all((got[i] == want).all() for got, want in zip(row, map(np.asarray, expected)))
            o = after
        assert k > 0 or name == "Acrobot-v1"


def test_reseed_once_seeds_the_first_episode_of_each_stream_only():
    env, raws = SerialEnv(Walk, 2, seed=3, reseed="once"), [Walk(), Walk()]
    expected = [raw.reset(seed=episode_seed(3, i))[0] for i, raw in enumerate(raws)]
    np.testing.assert_array_equal(env.reset(), np.float32(expected))
    for _ in range(100):
        step = env.step(np.array([1, 2]))
        for i, raw in enumerate(raws):
            after, _, over, _, _ = raw.step(i + 1)
            after = raw.reset()[0] if over else after
            np.testing.assert_array_equal(step.obs[i], np.float32(after))


# nested observations and actions
def test_dict_and_tuple_observations_by_hand():
    env = SerialEnv(Nested, 2)
    obs = env.reset()
    assert map_(lambda a: (a.shape, str(a.dtype)), obs) == {
        "bits": ((2, 3), "int8"),
        "image": ((2, 2, 2), "uint8"),
        "pair": (((2, 2), "float32"), ((2,), "int64")),
    }
    rng = generator(0)
    steps = [copy.deepcopy(env.step(batch_of(ACTIONS, 2, rng))) for _ in range(4)]
    assert steps[2].obs["pair"][0].tolist() == [[3, 1]] * 2
    assert steps[2].obs["bits"].tolist() == [[1, 1, 0]] * 2
    last = steps[3]
    assert last.obs["image"].tolist() == np.zeros((2, 2, 2)).tolist()
    assert last.final_obs["image"].tolist() == np.full((2, 2, 2), 4).tolist()
    assert last.final_obs["pair"][1].tolist() == [4, 4]
    assert last.info["episode"][1].tolist() == [10.0, 10.0]


SPACES = [
    spaces.Discrete(5),
    spaces.Box(-1, 1, (2, 3), np.float32),
    spaces.MultiDiscrete([3, 4]),
    spaces.MultiBinary(3),
    ACTIONS,
    spaces.Tuple((spaces.Discrete(3), spaces.Dict(x=spaces.Box(-1, 1, (1,), np.float32)))),
]


def kinds(tree):
    """Nested as an action is, and the shape and kind of each part."""
    return map_(lambda a: (np.shape(a), np.asarray(a).dtype.kind), tree)


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_each_environment_gets_its_action(space):
    env = SerialEnv(lambda: Nested(space), 3)
    env.reset()
    batch = batch_of(space, 3, generator(0))
    env.step(batch)
    for i, one in enumerate(env.envs):
        assert kinds(one.got[0]) == kinds(space.sample())
        assert map_(np.ndarray.tolist, map_(np.asarray, one.got[0])) == map_(lambda a, i=i: a[i].tolist(), batch)
    assert type(env.envs[0].got[0]) is int or not isinstance(space, spaces.Discrete)


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("space", SPACES, ids=str)
def test_every_kind_of_action_resumes(space, hidden):
    env = SerialEnv(lambda: Nested(space, hidden), 2)
    env.reset()
    play(env, 7, generator(0))
    saved = through_a_file(env.state())
    assert env.resumable == ("replay" if hidden else "own")
    expected = play(env, 9, generator(1))
    other = SerialEnv(lambda: Nested(space, hidden), 2)
    other.load(saved)
    assert play(other, 9, generator(1)) == expected


def test_actions_are_kept_when_their_array_is_used_again():
    space = spaces.Box(-1, 1, (1,), np.float32)
    env, buffer = SerialEnv(lambda: World(action_space=space)), np.zeros((1, 1), np.float32)
    env.reset()
    for k in range(3):
        buffer[:] = k / 4
        env.step(buffer)
    env.resumable = "replay"
    assert env.state()["streams"]["0"]["actions"].tolist() == [[0], [0.25], [0.5]]


# refusals
def spoil(at, obs=None, reward=None):
    return lambda t, o, r: (o if obs is None or t != at else obs, r if reward is None or t != at else reward)


@pytest.mark.parametrize("reward", [float("nan"), float("inf"), -np.inf, np.float32(np.nan), np.float64("inf"), 1e39])
def test_a_reward_that_is_no_number_is_refused(reward):
    changes = iter([None, spoil(3, reward=reward)])
    env = SerialEnv(lambda: World(change=next(changes)), 2)
    env.reset()
    for _ in range(2):
        env.step(np.zeros(2, int))
    with pytest.raises(ValueError, match=r"environment 1 \(World\) gave the reward (nan|-?inf|1e\+39) in step 3"):
        env.step(np.zeros(2, int))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_observation_that_is_no_number_is_refused(bad):
    changes = iter([None, spoil(2, obs=np.array([0, bad], np.float32))])
    env = SerialEnv(lambda: World(change=next(changes)), 2)
    env.reset()
    env.step(np.zeros(2, int))
    with pytest.raises(ValueError, match=r"environment 1 \(World\) gave the observation .*(nan|inf).* in step 2"):
        env.step(np.zeros(2, int))


def test_a_first_observation_that_is_no_number_is_refused():
    env = SerialEnv(lambda: World(change=spoil(0, obs=np.array([0, np.nan], np.float32))))
    with pytest.raises(ValueError, match=r"environment 0 \(World\): reset\(\) gave the observation .*nan.*not finite"):
        env.reset()


def test_nan_deep_in_a_dict_is_refused():
    class Spoiled(Nested):
        def obs(self):
            obs = super().obs()
            return {**obs, "pair": (obs["pair"][0] * (np.nan if self.t == 2 else 1), obs["pair"][1])}

    env = SerialEnv(lambda: Spoiled(spaces.Discrete(2)), 2)
    env.reset()
    env.step(np.zeros(2, int))
    with pytest.raises(ValueError, match=r"environment 0 \(Spoiled\) gave the observation (?s:.*)nan(?s:.*) in step 2"):
        env.step(np.zeros(2, int))


def test_large_finite_observations_pass():
    env = SerialEnv(lambda: World(change=lambda t, obs, r: (np.full(2, 3e38, np.float32), 3e38)))
    env.reset()
    assert env.step(np.array([0])).obs.tolist() == np.full((1, 2), 3e38, np.float32).tolist()


WRONG = [
    (np.zeros(3, np.float32), r"of shape \(3,\) float32, its observation_space promises \(2,\) float32"),
    (np.zeros((1, 2), np.float32), r"of shape \(1, 2\) float32"),
    (np.float32(1), r"of shape \(\) float32"),
    (np.zeros(2, complex), r"complex128, its observation_space promises \(2,\) float32"),
    (np.array(["a", "b"]), r"<U1"),
    (None, r"of shape \(\) object"),
    ({"a": 1}, r"of shape \(\) object"),
    ([[1.0], [1.0, 2.0]], "that is no array"),
]


@pytest.mark.parametrize(("obs", "words"), WRONG, ids=lambda v: str(v)[:20])
@pytest.mark.parametrize("at", [0, 1])
def test_an_observation_of_another_shape_or_dtype_is_refused(at, obs, words):
    env = SerialEnv(lambda: World(change=lambda t, o, r: (obs if t == at else o, r)))
    call = rf"environment 0 \(World\): {'step' if at else 'reset'}\(\) gave an observation"
    if at:
        env.reset()
        with pytest.raises(ValueError, match=f"{call}.*{words}"):
            env.step(np.array([0]))
    else:
        with pytest.raises(ValueError, match=f"{call}.*{words}"):
            env.reset()


def test_floats_for_promised_integers_are_refused():
    bytes_ = spaces.Box(0, 255, (2,), np.uint8)
    for array in (np.zeros(2, np.float32), np.zeros(2, np.int64)):
        env = SerialEnv(lambda array=array: World(bytes_, change=lambda t, o, r: (array, r)))
        with pytest.raises(ValueError, match=r"promises \(2,\) uint8"):
            env.reset()


@pytest.mark.parametrize(
    ("spoiled", "words"),
    [
        (lambda obs: obs["pair"], "that is a tuple"),
        (lambda obs: {"bits": obs["bits"]}, r"that is a dict of \['bits'\], .* promises a dict of"),
        (lambda obs: {**obs, "more": 1}, "'more'"),
        (lambda obs: {**obs, "pair": obs["pair"][:1]}, r"\['pair'\] that is a tuple of \[0\]"),
        (lambda obs: {**obs, "pair": (obs["pair"][0], 0.5)}, r"\['pair'\]\[1\] of shape \(\) float64.*int64"),
    ],
)
def test_a_wrong_nesting_is_refused(spoiled, words):
    class Spoiled(Nested):
        def obs(self):
            return spoiled(super().obs())

    with pytest.raises(ValueError, match=rf"\(Spoiled\): reset\(\) gave an observation.*{words}"):
        SerialEnv(Spoiled).reset()


@pytest.mark.parametrize(
    ("name", "near"),
    [("CartPole-v7", "CartPole-v1"), ("cartpole-v1", "CartPole-v1"), ("Cartpole", "CartPole-v1"), ("qqqqqq", "")],
)
def test_an_unknown_id_is_refused(name, near):
    with pytest.raises(ValueError, match=f"unknown environment id '{name}'") as error:
        SerialEnv(name)
    assert near in str(error.value)
    assert ("did you mean" in str(error.value)) == bool(near)


def test_an_id_may_name_the_module_that_registers_it():
    assert SerialEnv("gymnasium:CartPole-v1").state()["env"] == "CartPole-v1"
    with pytest.raises(ValueError, match=r"unknown environment id 'nowhere_at_all:CartPole-v1'.*No module named 'nowh"):
        SerialEnv("nowhere_at_all:CartPole-v1")
    with pytest.raises(ValueError, match=r"'Nowhere/At-v1'; in MODULE:ID a module is imported first.*Namespace"):
        SerialEnv("Nowhere/At-v1")


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="n_envs must be at least 1, got 0"):
        SerialEnv(Chain, 0)
    with pytest.raises(ValueError, match="reseed must be 'episode' or 'once', got 'never'"):
        SerialEnv(Chain, reseed="never")
    for make in (5, None, Chain()):
        with pytest.raises(TypeError, match="expected a Gymnasium id or a callable"):
            SerialEnv(make)
    with pytest.raises(TypeError, match=r"make must give a gymnasium.Env, it gave int"):
        SerialEnv(lambda: 5)
    env = Chain()
    with pytest.raises(ValueError, match="make gave the same environment twice"):
        SerialEnv(lambda: TimeLimit(env, 5), 2)


def test_spaces_without_arrays_are_refused():
    text = spaces.Text(5)
    for space in (text, spaces.Dict(a=spaces.Tuple((text,))), spaces.Sequence(spaces.Discrete(2))):
        with pytest.raises(ValueError, match=r"observations of .* are no arrays; wrap"):
            SerialEnv(lambda space=space: World(space))
        with pytest.raises(ValueError, match=r"actions of .* are no arrays; wrap"):
            SerialEnv(lambda space=space: World(action_space=space))


# exact resume
MAKERS = [*CLASSIC, Walk, HashChain, lambda: Chain(4, 9), lambda: TimeLimit(Hidden(), 11), Hidden]


@pytest.mark.parametrize("make", MAKERS, ids=lambda m: m if isinstance(m, str) else getattr(m, "__name__", "m"))
def test_resume_at_a_random_moment(make):
    rng = generator(len(str(make)))
    moment = int(rng.integers(1, 250))
    env = SerialEnv(make, 3, seed=8)
    env.reset()
    play(env, moment, generator(0))
    saved = through_a_file(env.state())
    assert env.resumable == saved["resumable"] == ("replay" if isinstance(env.envs[0].unwrapped, Hidden) else "own")
    obs, expected = env.obs.copy(), play(env, 260, generator(1))
    other = SerialEnv(make, 3, seed=99)  # the seed is part of the state
    if moment % 2:
        other.reset()
        play(other, 5, generator(2))
    assert other.load(saved).tobytes() == obs.tobytes()
    assert other.obs.tobytes() == obs.tobytes()
    assert play(other, 260, generator(1)) == expected
    again = SerialEnv(make, 3, seed=8)  # a resumed run can be resumed
    again.load(saved)
    play(again, 7, generator(1))
    third = SerialEnv(make, 3, seed=8)
    third.load(through_a_file(again.state()))
    rng = generator(1)
    for _ in range(7):
        batch_of(env.action_space, 3, rng)
    assert play(third, 50, rng) == expected[7:57]


@pytest.mark.parametrize("make", [Walk, Hidden, "CartPole-v1"])
def test_saving_changes_nothing(make):
    streams = []
    for save in (False, True):
        env = SerialEnv(make, 2)
        env.reset()
        steps = play(env, 30, generator(0))
        if save:
            env.state()
        streams.append(steps + play(env, 60, generator(1)))
    assert streams[0] == streams[1]


@pytest.mark.parametrize("make", [Walk, InPlace, Hidden])
def test_a_live_state_can_be_loaded_into_its_own_environment(make):
    env = SerialEnv(make, 2)
    env.reset()
    play(env, 30, generator(0))
    expected = env.obs.copy()
    assert env.load(env.state()).tobytes() == expected.tobytes()
    other = SerialEnv(make, 2)
    other.reset()
    play(other, 30, generator(0))
    assert play(env, 60, generator(1)) == play(other, 60, generator(1))


@pytest.mark.parametrize("reseed", ["episode", "once"])
def test_the_state_of_an_environment_not_started(reseed):
    state = through_a_file(SerialEnv(Walk, 2, seed=5, reseed=reseed).state())
    assert state == {
        "env": "Walk",
        "wrappers": ["Walk"],
        "n_envs": 2,
        "reseed": reseed,
        "seed": 5,
        "started": False,
    }
    env, fresh = SerialEnv(Walk, 2, seed=6, reseed=reseed), SerialEnv(Walk, 2, seed=5, reseed=reseed)
    assert env.load(state).tobytes() == fresh.reset().tobytes()
    assert play(env, 50, generator(0)) == play(fresh, 50, generator(0))


def test_own_state_serves_environments_seeded_once():
    env = SerialEnv(Walk, 2, reseed="once")
    env.reset()
    play(env, 150, generator(0))
    saved = through_a_file(env.state())
    assert env.resumable == "own"
    expected = play(env, 150, generator(1))
    other = SerialEnv(Walk, 2, reseed="once")
    other.load(saved)
    assert play(other, 150, generator(1)) == expected


@pytest.mark.parametrize("make", [Moody, Signed], ids=["observations", "rewards"])
def test_an_environment_that_is_not_deterministic_is_refused(make):
    env = SerialEnv(make, 2)
    env.reset()
    while 0 in env.state()["lengths"]:
        play(env, 1, generator(0))
    saved = through_a_file(env.state())
    assert env.resumable == "replay"
    other = SerialEnv(make, 2)
    other.reset()
    with pytest.raises(ValueError, match=rf"environment 0 \({make.__name__}\) is not deterministic: the same seed"):
        other.load(saved)
    assert other.state()["started"] is False  # not half of it
    other.reset()
    other.step(np.zeros(2, int))


def test_an_environment_that_ends_earlier_in_the_replay_is_refused():
    limits = iter([9, 2])
    env, other = (SerialEnv(lambda: Nested(spaces.Discrete(2), hidden=True)) for _ in range(2))
    for e in (env, other):
        e.envs[0] = TimeLimit(e.envs[0], next(limits))
    env.reset()
    play(env, 3, generator(0))
    with pytest.raises(ValueError, match="not deterministic"):
        other.load(env.state())


def lost(make=lambda: Hidden(), n=2):
    env = SerialEnv(make, n, seed=1, reseed="once")
    env.reset()
    play(env, 60, generator(0))
    return env


def test_what_cannot_be_had_back_is_cut():
    """reseed="once" and a hidden state: the running episodes are dropped, in a row that is no transition."""
    env = lost()
    numbers = list(env.state()["numbers"])
    assert max(numbers) > 1
    saved = through_a_file(env.state())
    assert env.resumable == saved["resumable"] == "no"
    other = SerialEnv(Hidden, 2, seed=1, reseed="once")
    assert other.load(saved).tobytes() == env.obs.tobytes()  # the true successor of the row before
    step = other.step(np.zeros(2, int))
    assert step.valid.tolist() == step.ended.tolist() == step.reward.tolist() == [0, 0]
    assert step.info == {}
    assert other.state()["numbers"] == [k + 2 for k in numbers]
    fresh = [Hidden().reset(seed=episode_seed(1, k + 2))[0] for k in numbers]
    np.testing.assert_array_equal(step.obs, np.float32(fresh))  # not the first episodes once more
    assert other.step(np.zeros(2, int)).valid.all()
    ends = {}
    while not ends:
        ends = other.step(np.zeros(2, int)).info
    assert ends["episode"][2].max() == max(other.state()["lengths"] + ends["episode"][2].tolist())


@pytest.mark.parametrize("make", [Walk, Hidden])
def test_an_interrupted_step_cuts(make):
    """Stream 0 has made a step that stream 1 has not: both begin anew, also after a save and a load."""
    env = SerialEnv(make, 2, seed=3)
    env.reset()
    play(env, 5, generator(0))
    obs, numbers = env.obs.copy(), list(env.state()["numbers"])
    step = env.envs[1].unwrapped.step

    def interrupted(action):
        raise KeyboardInterrupt

    env.envs[1].unwrapped.step = interrupted
    with pytest.raises(KeyboardInterrupt):
        env.step(np.zeros(2, int))
    env.envs[1].unwrapped.step = step
    assert env.obs.tobytes() == obs.tobytes()
    saved = through_a_file(env.state())
    assert saved["resumable"] == "no"
    other = SerialEnv(make, 2, seed=3)
    other.load(saved)
    fresh = [make().reset(seed=episode_seed(3, k + 2))[0] for k in numbers]
    for e in (env, other):
        cut = e.step(np.zeros(2, int))
        assert cut.valid.tolist() == cut.ended.tolist() == [0, 0]
        np.testing.assert_array_equal(cut.obs, np.float32(fresh))
        assert e.step(np.zeros(2, int)).valid.all()
        assert e.state()["resumable"] == ("own" if make is Walk else "replay")  # this costs nothing for good
    third = SerialEnv(make, 2, seed=3)
    third.load(through_a_file(other.state()))
    assert play(third, 50, generator(1)) == play(other, 50, generator(1)) == play(env, 50, generator(1))


def test_a_state_saved_before_the_cut_row_still_cuts():
    first = SerialEnv(Hidden, 2, seed=1, reseed="once")
    first.load(through_a_file(lost().state()))
    second = SerialEnv(Hidden, 2, seed=1, reseed="once")
    second.load(through_a_file(first.state()))
    assert frozen(first.step(np.zeros(2, int))) == frozen(second.step(np.zeros(2, int)))
    second.load(through_a_file(first.state()))
    second.reset()  # a reset needs no cut
    assert second.step(np.zeros(2, int)).valid.all()


def test_a_replay_mixes_no_episodes_across_a_cut():
    env = SerialEnv(HashChain, reseed="once")
    columns = {"obs": ((2,), np.int64), "action": ((), np.int64)}
    buffer, rng = Replay(500, columns, generator(0)), generator(1)
    obs = env.reset()
    for k in range(300):
        if k % 10 == 9:
            state = {**through_a_file(env.state()), "resumable": "no"}
            env = SerialEnv(HashChain, reseed="once")
            obs = env.load(state)
        action = rng.integers(4, size=1)
        step = env.step(action)
        buffer.add(obs, action, step)
        obs = step.obs
    batch = buffer.sample(2000)
    np.testing.assert_array_equal(HashChain.after(batch["obs"], batch["action"]), batch["next_obs"])


def test_a_state_of_another_environment_is_refused_before_anything_changes():
    env = SerialEnv(Walk, 2)
    env.reset()
    play(env, 20, generator(0))
    state = through_a_file(env.state())
    others = [
        ({**state, "env": "CartPole-v1"}, "with env 'CartPole-v1', here it is 'Walk'"),
        ({**state, "n_envs": 3}, "with n_envs 3, here it is 2"),
        ({**state, "reseed": "once"}, "with reseed 'once', here it is 'episode'"),
        ({"started": True}, "with env None"),
        ({**state, "obs": np.zeros((2, 3), np.float32)}, r"obs as \(2, 3\) float32, here it is \(2, 2\) float32"),
        ({**state, "obs": state["obs"].astype(np.float64)}, "obs as .* float64"),
        (SerialEnv(Chain, 2).state(), "with env 'Chain', here it is 'Walk'"),
        (SerialEnv("CartPole-v1", 2).state(), "with env 'CartPole-v1', here it is 'Walk'"),
        (SerialEnv(Walk, 1).state(), "with n_envs 1, here it is 2"),
    ]
    obs = env.obs.copy()
    for other, words in others:
        with pytest.raises(ValueError, match=f"^load: the state .*{words}"):
            env.load(other)
    assert env.obs.tobytes() == obs.tobytes()
    untouched = SerialEnv(Walk, 2)
    untouched.load(state)
    assert play(env, 40, generator(1)) == play(untouched, 40, generator(1))


@pytest.mark.parametrize("make", [Walk, Hidden, "CartPole-v1", lambda: Nested(ACTIONS)])
def test_the_state_is_arrays_and_json_scalars(make):
    env = SerialEnv(make, 2)
    env.reset()
    play(env, 15, generator(0))

    def scalars(tree):
        if isinstance(tree, dict):
            return {k: scalars(v) for k, v in tree.items() if type(v) is not np.ndarray}
        return None if isinstance(tree, tuple) else tree

    rest = scalars(env.state())
    assert json.loads(json.dumps(rest)) == rest


def test_an_environment_that_make_gives_twice_is_replayed():
    one = Walk()
    env = SerialEnv(lambda: one)
    env.reset()
    play(env, 10, generator(0))
    obs = env.obs.copy()
    saved = through_a_file(env.state())
    assert env.resumable == "replay"
    assert env.envs[0].at.astype(np.float32).tobytes() == obs.tobytes()
    expected = play(env, 30, generator(1))
    env.load(saved)
    assert play(env, 30, generator(1)) == expected


def test_close_closes_all():
    closed = []
    env = SerialEnv(type("Closing", (Walk,), {"close": lambda self: closed.append(self)}), 3)
    env.close()
    assert closed == env.envs


# actions


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("CartPole-v1", np.zeros(3, int)),
        ("CartPole-v1", np.zeros(5, int)),
        ("CartPole-v1", np.zeros((4, 1), int)),
        ("CartPole-v1", np.zeros(4)),
        ("Pendulum-v1", np.zeros((5, 1), np.float32)),
        ("Pendulum-v1", np.zeros(4, np.float32)),
    ],
)
def test_actions_of_another_shape_or_kind_are_refused_before_any_environment_steps(name, action):
    env, other = SerialEnv(name, 4), SerialEnv(name, 4)
    env.reset(), other.reset()
    with pytest.raises(ValueError, match=r"SerialEnv: actions of shape .*; expected \(4,"):
        env.step(action)
    assert play(env, 5, generator(0)) == play(other, 5, generator(0))


def test_actions_of_other_integers_and_lists_are_taken():
    env = SerialEnv(Chain, 2)
    for action in (np.array([1, 0], np.int32), np.array([1, 0], np.uint8), [1, 0]):
        env.reset()
        assert env.step(action).obs.argmax(1).tolist() == [1, 0]


class Doubles(Walk):
    """Writes into the action it is given."""

    def __init__(self, hidden=False):
        super().__init__()
        self.action_space = spaces.Box(-1, 1, (1,), np.float32)
        self.rest = iter(range(10**9)) if hidden else None

    def step(self, action):
        action *= 2
        return super().step(action[0])


@pytest.mark.parametrize("hidden", [False, True])
def test_an_environment_that_writes_into_its_action(hidden):
    """The agent's array stays, and so does the action that a replay gives again."""
    env, other = (SerialEnv(lambda: Doubles(hidden), 2) for _ in range(2))
    env.reset()
    action = np.full((2, 1), 0.25, np.float32)
    for _ in range(5):
        env.step(action)
    assert action.tolist() == [[0.25], [0.25]]
    state = copy.deepcopy(env.state())
    assert state["resumable"] == ("replay" if hidden else "own")
    other.load(state)
    assert play(env, 30, generator(3)) == play(other, 30, generator(3))


def test_a_step_before_the_first_reset_is_refused():
    with pytest.raises(ValueError, match=r"call reset\(\) before step\(\)"):
        SerialEnv(Chain).step(np.array([1]))


def test_a_state_of_other_wrappers_is_refused_before_anything_changes():
    env, other = SerialEnv(lambda: TimeLimit(Walk(), 50)), SerialEnv(Walk)
    env.reset(), other.reset()
    before = other.obs.copy()
    with pytest.raises(ValueError, match=r"wrappers \['TimeLimit', 'Walk'\], here it is \['Walk'\]"):
        other.load(env.state())
    assert other.obs.tolist() == before.tolist()
    other.step(np.array([1]))


# states that show late


class Timer:
    def __init__(self):
        self.t = 0


class Timed(Walk):
    """Cut after 100 steps, which only an object of another class counts."""

    def __init__(self, timer=None):
        super().__init__()
        self.timer = Timer() if timer is None else timer

    def reset(self, *, seed=None, options=None):
        self._set(0)
        return super().reset(seed=seed)

    def step(self, action):
        obs, reward, *_ = super().step(action)
        self._set(self._get() + 1)
        return obs, reward, False, self._get() == 100, {}

    def _get(self):
        return self.timer.t

    def _set(self, t):
        self.timer.t = t


class Keyed(Timed):
    """The same, counted under a key that is no string."""

    def __init__(self):
        super().__init__({0: 0})

    def _get(self):
        return self.timer[0]

    def _set(self, t):
        self.timer[0] = t


class Collects(Timed):
    """The same, counted by the size of a set."""

    def __init__(self):
        super().__init__(set())

    def _get(self):
        return len(self.timer)

    def _set(self, t):
        self.timer.add(t) if t else self.timer.clear()


@pytest.mark.parametrize("make", [Timed, Keyed, Collects])
def test_a_hidden_state_that_shows_late_is_replayed(make):
    """Saved in step 50, the episode is cut in its step 100, not 50 steps after the load."""
    env, other = SerialEnv(make), SerialEnv(make)
    env.reset()
    play(env, 50, generator(0))
    state = copy.deepcopy(env.state())
    assert state["resumable"] == "replay"
    other.load(state)
    assert [other.step(np.array([0])).truncated.item() for _ in range(50)] == [False] * 49 + [True]
