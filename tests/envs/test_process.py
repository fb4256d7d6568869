"""ProcessEnv: SerialEnv's streams bit for bit for every kind of space, exact resume from either, and its refusals."""

from __future__ import annotations

import copy
import multiprocessing
from functools import partial

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import RecordEpisodeStatistics, TimeLimit
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rlcore.envs import ProcessEnv, SerialEnv, VectorEnv
from rlcore.envs.toy import Chain, HashChain
from rlcore.envs.vector import maker
from rlcore.rng import generator
from rlcore.tree import leaves
from tests.envs.test_vector import frozen, play
from tests.envs.worlds import Hidden, Lives, Sampled, Walk, World, through_a_file

multiprocessing.set_forkserver_preload(["tests.envs.worlds"])  # workers start in a tenth of the time


def pair(make, n_envs, workers=2, seed=0, reseed="episode", **settings):
    return ProcessEnv(make, n_envs, seed, workers, reseed, **settings), SerialEnv(make, n_envs, seed, reseed)


def assert_same(process, serial, steps, seed=0):
    """Both are given the same actions, and so give the same steps."""
    a, b = generator(seed), generator(seed)
    for k in range(steps):
        assert play(process, 1, a) == play(serial, 1, b), k


SIMPLE = st.sampled_from(
    [
        spaces.Discrete(5),
        spaces.Discrete(3, start=-1),
        spaces.Box(-1, 1, (2, 3), np.float32),
        spaces.Box(-2, 2, (), np.float64),
        spaces.Box(0, 255, (3, 2), np.uint8),
        spaces.MultiDiscrete([3, 4]),
        spaces.MultiDiscrete(np.array([[2, 3], [4, 5]])),
        spaces.MultiBinary(3),
        spaces.MultiBinary((2, 2)),
    ]
)
NESTED = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda s: spaces.Tuple(s)),
        st.dictionaries(st.sampled_from("abc"), inner, min_size=1).map(lambda s: spaces.Dict(s)),
    ),
    max_leaves=5,
)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(NESTED, NESTED, st.integers(1, 5), st.integers(1, 3), st.integers(0, 2**40))
def test_the_streams_are_those_of_serial_env(observation_space, action_space, n_envs, workers, seed):
    process, serial = pair(partial(Sampled, observation_space, action_space), n_envs, min(workers, n_envs), seed)
    assert frozen_tree(process.reset()) == frozen_tree(serial.reset())
    assert_same(process, serial, 25)
    assert repr(through_a_file(process.state())) == repr(through_a_file(serial.state()))
    process.close()


def frozen_tree(tree):
    return [(leaf.shape, leaf.dtype, leaf.tobytes()) for leaf in leaves(tree)]


@pytest.mark.parametrize("start", ["forkserver", "spawn"])
def test_no_episode_is_mixed_in_many_steps(start):
    process, serial = pair(HashChain, 7, 3, 5, start=start)
    assert process.reset().tolist() == serial.reset().tolist()
    obs, rng = process.obs.copy(), generator(1)
    for _ in range(300):
        action = rng.integers(4, size=7)
        step, other = process.step(action), serial.step(action)
        assert frozen(step) == frozen(other)
        np.testing.assert_array_equal(HashChain.after(obs, action), step.final_obs)
        obs = step.obs.copy()
    process.close()


def test_arrays_hold_until_step_was_called_twice_more():
    env = ProcessEnv(partial(Chain, 2, 3), 3, workers=2)
    obs = env.reset()
    kept, then = [obs], [obs.copy()]
    rng = generator(0)
    for k in range(30):
        if k in (13, 20):  # neither must a reset touch them, nor a step its observation
            kept.append(env.reset())
            then.append(kept[-1].copy())
        step = env.step(rng.integers(2, size=3))
        assert all((a == b).all() for a, b in zip(kept, then))
        kept = list(step[:6])
        then = copy.deepcopy(kept)
    env.close()


def test_actions_of_other_dtypes_reach_environments_as_their_space_says():
    process, serial = pair(partial(Sampled, spaces.Discrete(2), spaces.Box(-1, 1, (2,), np.float32)), 3)
    process.reset(), serial.reset()
    action = generator(0).uniform(-1, 1, (3, 2))  # float64
    assert frozen(process.step(action)) == frozen(serial.step(action)) == frozen(serial_step(action))
    with pytest.raises(ValueError, match=r"ProcessEnv: actions of shape \(2, 2\) float64; expected \(3, 2\) float32"):
        process.step(action[:2])
    process.close()


def serial_step(action):
    env = SerialEnv(partial(Sampled, spaces.Discrete(2), spaces.Box(-1, 1, (2,), np.float32)), 3)
    env.reset()
    return env.step(action.astype(np.float32))


# exact resume
@pytest.mark.parametrize("make", [Walk, HashChain, Hidden, "CartPole-v1"])
def test_states_go_from_one_kind_to_the_other(make):
    process, serial = pair(make, 3, seed=8)
    process.reset(), serial.reset()
    assert_same(process, serial, 40)
    saved = [through_a_file(env.state()) for env in (process, serial)]
    assert repr(saved[0]) == repr(saved[1])
    assert process.resumable == serial.resumable == ("replay" if make is Hidden else "own")
    expected = play(process, 50, generator(1))
    assert play(serial, 50, generator(1)) == expected
    assert process.load(saved[1]).tobytes() == serial.load(saved[0]).tobytes()
    assert play(process, 50, generator(1)) == play(serial, 50, generator(1)) == expected
    before = process.obs.copy()
    for spoiled, words in [({"n_envs": 4}, "n_envs 4"), ({"env": "Other"}, "env 'Other'")]:
        with pytest.raises(ValueError, match=words):
            process.load({**saved[0], **spoiled})
    assert process.obs.tobytes() == before.tobytes()
    assert play(process, 5, generator(2)) == play(serial, 5, generator(2))
    process.close()


def test_what_cannot_be_had_back_is_cut():
    process, serial = pair(Hidden, 2, seed=1, reseed="once")
    process.reset(), serial.reset()
    assert_same(process, serial, 60)
    saved = through_a_file(process.state())
    assert saved["resumable"] == "no"
    assert repr(saved) == repr(through_a_file(serial.state()))
    assert process.load(saved).tobytes() == serial.load(saved).tobytes()
    cut = process.step(np.zeros(2, int))
    assert frozen(cut) == frozen(serial.step(np.zeros(2, int)))
    assert cut.valid.tolist() == [False, False]
    assert_same(process, serial, 30)
    process.close()


def test_a_state_of_an_environment_not_started():
    process, serial = pair(Walk, 2, seed=5)
    assert process.state() == serial.state()
    other = SerialEnv(Walk, 2, seed=6)
    assert other.load(process.state()).tobytes() == process.reset().tobytes()
    process.close()


# episodes cut between two steps, pictures, whole games
def test_restart_cuts_the_streams_of_a_mask():
    process, serial = pair(HashChain, 5, seed=2)
    process.reset(), serial.reset()
    steps = [env.step(np.zeros(5, int)) for env in (process, serial) for _ in range(1)]
    for env, step in zip((process, serial), steps):
        before = env.obs.copy()
        which = np.array([True, False, False, True, True]) & ~step.ended
        obs, (stream, returns, lengths) = env.restart(which)
        assert obs is env.obs is step.obs
        assert stream.tolist() == which.nonzero()[0].tolist()
        assert returns.tolist() == step.reward[which].tolist()
        assert lengths.tolist() == [1] * which.sum()
        assert obs[~which].tolist() == before[~which].tolist()
        assert (obs[which, 1] == 0).all()
        assert (obs[which, 0] != before[which, 0]).all()
    assert process.obs.tolist() == serial.obs.tolist()
    assert_same(process, serial, 60)
    for env in (process, serial):
        obs, episodes = env.restart(np.zeros(5, bool))
        assert [len(a) for a in episodes] == [0, 0, 0]
    assert repr(through_a_file(process.state())) == repr(through_a_file(serial.state()))
    process.close()


def test_restart_needs_a_reset():
    with pytest.raises(ValueError, match=r"call reset\(\) before restart\(\)"):
        SerialEnv(Walk).restart(np.array([True]))


def test_pictures():
    make = maker(partial(Sampled, spaces.Discrete(2), spaces.Discrete(3)), render_mode="rgb_array")
    process, serial = pair(make, 3)
    process.reset(), serial.reset()
    assert_same(process, serial, 3)
    for stream in range(3):
        picture = process.render(stream)
        assert picture.shape == (4, 6, 3)
        assert picture.tolist() == serial.render(stream).tolist()
    bare = SerialEnv(Walk, 2)
    bare.reset()
    with pytest.raises(
        ValueError, match=r"environment 1 \(Walk\) renders no pictures, its render_mode is None; make it"
    ):
        bare.render(1)
    for env in (process, serial):
        with pytest.raises(ValueError, match="stream must be 0 to 2, got 3"):
            env.render(3)
    process.close()
    with pytest.raises(ValueError, match="renders no pictures of single streams"):
        VectorEnv.render(bare)


def test_an_id_is_made_with_its_arguments():
    env = SerialEnv(maker("CartPole-v1", render_mode="rgb_array", sutton_barto_reward=True), 1)
    assert env.envs[0].render_mode == "rgb_array"
    assert env.envs[0].unwrapped._sutton_barto_reward is True


class Doubled(RecordEpisodeStatistics):
    """Rewards as they are seen further out are other ones."""

    def step(self, action):
        obs, reward, *rest = super().step(action)
        return obs, 100 * reward, *rest


def lives():
    return Lives(Doubled(World(limit=7)))


def test_whole_games_and_raw_rewards_are_reported():
    """A game is 7 steps of reward 1; of each, three episodes of 3, 3 and 1 steps with rewards of 100 are seen."""
    process, serial = pair(lives, 3)
    process.reset(), serial.reset()
    for k in range(1, 15):
        step = serial.step(np.zeros(3, int))
        assert frozen(process.step(np.zeros(3, int))) == frozen(step)
        assert step.terminated.tolist() == [k % 7 in (3, 6)] * 3
        assert step.truncated.tolist() == [k % 7 == 0] * 3
        assert step.reward.tolist() == [100.0] * 3
        if k % 7:
            assert step.info == {}
        else:
            stream, returns, lengths = step.info["episode"]
            assert (stream.tolist(), returns.tolist(), lengths.tolist()) == ([0, 1, 2], [7.0] * 3, [7] * 3)
    process.close()


@pytest.mark.parametrize(
    ("make", "ended"),
    [
        (lambda: TimeLimit(Doubled(World(limit=7)), 4), [False, False, False, True]),
        (lambda: Lives(TimeLimit(Doubled(World(limit=7)), 4)), [False, False, True, True]),
        (lambda: TimeLimit(Lives(Doubled(World(limit=7))), 4), [False, False, True, False]),
    ],
)
def test_a_game_that_a_limit_further_out_cuts_is_reported(make, ended):
    env = SerialEnv(make)
    env.reset()
    steps = [copy.deepcopy(env.step(np.array([0]))) for _ in range(4)]
    assert [s.ended.item() for s in steps] == ended
    assert [s.info for s in steps[:3]] == [{}] * 3
    assert [a.tolist() for a in steps[-1].info.get("episode", ())] == ([[0], [4.0], [4]] if ended[-1] else [])


# refusals
def not_an_env():
    return 3


class Fickle(World):
    """Another space in another process."""

    def __init__(self):
        n = 2 if multiprocessing.parent_process() is None else 3
        super().__init__(action_space=spaces.Discrete(2))
        self.observation_space = spaces.Box(-np.inf, np.inf, (n,), np.float32)


def inside():
    def make():
        return Walk()

    return make


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(make=lambda: Walk(), n_envs=2), r"cannot be sent to another process.*no lambda, no function inside"),
        (dict(make=inside(), n_envs=2), "cannot be sent to another process"),
        (dict(make=Walk, n_envs=0), "n_envs must be at least 1, got 0"),
        (dict(make=Walk, n_envs=2, workers=3), "workers must be 1 to n_envs, 2, got 3"),
        (dict(make=Walk, n_envs=2, workers=0), "workers must be 1 to n_envs, 2, got 0"),
        (dict(make=Walk, n_envs=2, start="fork"), "start must be 'forkserver' or 'spawn'"),
        (dict(make=Walk, n_envs=2, timeout_s=0), "timeout_s must be more than 0 and at most 1e6 seconds, got 0"),
        (dict(make=Walk, n_envs=2, timeout_s=float("inf")), "timeout_s must be .* got inf"),
        (dict(make=Walk, n_envs=2, timeout_s=float("nan")), "timeout_s must be .* got nan"),
        (dict(make=Walk, n_envs=2, reseed="never"), "reseed must be"),
        (dict(make=Walk, n_envs=2, on_fault="ignore"), "on_fault must be 'raise' or 'restart', got 'ignore'"),
        (dict(make="CartPole-v9", n_envs=2), "unknown environment id 'CartPole-v9'"),
        (dict(make=not_an_env, n_envs=2), "make must give a gymnasium.Env, it gave int"),
        (dict(make=Fickle, n_envs=2), "of other spaces in a worker process"),
    ],
)
def test_bad_arguments_are_refused(arguments, words):
    before = multiprocessing.active_children()
    with pytest.raises((ValueError, TypeError), match=words):
        ProcessEnv(**arguments)
    assert multiprocessing.active_children() == before


def test_a_step_before_the_first_reset_and_after_the_last_close_is_refused():
    env = ProcessEnv(Walk, 2, workers=1)
    with pytest.raises(ValueError, match=r"ProcessEnv: call reset\(\) before step\(\)"):
        env.step(np.zeros(2, int))
    env.reset()
    env.close()
    env.close()
    for call in (env.reset, lambda: env.step(np.zeros(2, int)), lambda: env.render()):
        with pytest.raises(ValueError, match="ProcessEnv: it is closed"):
            call()


def test_an_environment_that_nobody_holds_takes_its_workers_along():
    env = ProcessEnv(Walk, 2)
    processes = [worker.process for worker in env._running]
    env.reset()
    del env
    for process in processes:
        process.join(3)
        assert not process.is_alive()
