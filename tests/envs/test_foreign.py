"""ForeignEnv: Gymnasium's own vector environment in its three auto-reset modes becomes one honest stream."""

from __future__ import annotations

import copy

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorWrapper

from rlcore.buffers import Replay
from rlcore.envs import ForeignEnv, SerialEnv, episode_seed
from rlcore.envs.toy import Chain, Forever, HashChain
from rlcore.rng import generator
from rlcore.tree import map_
from tests.envs.worlds import Moody, Nested, Signed, Walk, World, through_a_file

MODES = list(AutoresetMode)
NEXT, SAME, DISABLED = AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED
COLUMNS = {"obs": ((2,), np.int64), "action": ((), np.int64)}


def foreign(make, n, mode, seed=0, **settings):
    return ForeignEnv(SyncVectorEnv([make] * n, autoreset_mode=mode, **settings), seed)


def wrapped(make, n, mode, seed=0):
    """In a wrapper, which nothing is known of: where it resets by itself, it is left to."""
    return ForeignEnv(VectorWrapper(SyncVectorEnv([make] * n, autoreset_mode=mode)), seed)


def test_next_step_by_hand():
    """One chain of length 2, always right: the goal, then a row that is no transition."""
    env = wrapped(lambda: Chain(2), 1, NEXT)
    assert env.reset().tolist() == [[1, 0, 0]]
    steps, shown = [], []
    for _ in range(5):
        steps.append(env.step(np.array([1])))
        shown.append(steps[-1].obs.argmax())
        assert steps[-1].final_obs is steps[-1].obs
    assert shown == [1, 2, 0, 1, 2]
    assert [s.valid.item() for s in steps] == [True, True, False, True, True]
    assert [s.terminated.item() for s in steps] == [False, True, False, False, True]
    assert [s.reward.item() for s in steps] == [0, 1, 0, 0, 1]
    assert [[x.tolist() for x in s.info["episode"]] if s.info else [] for s in steps] == [
        [],
        [[0], [1.0], [2]],
        [],
        [],
        [[0], [1.0], [2]],
    ]


@pytest.mark.parametrize(
    ("made", "mode"), [(foreign, NEXT), (foreign, SAME), (foreign, DISABLED), (wrapped, SAME), (wrapped, DISABLED)]
)
def test_resets_at_once_by_hand(made, mode):
    """Stream 0 goes right, right (the goal), right; stream 1 left, right, left: cut after 3."""
    env = made(lambda: Chain(2, limit=3), 2, mode)
    env.reset()
    steps = [env.step(np.array(a)) for a in ([1, 0], [1, 1], [1, 0])]
    assert [s.obs.argmax(1).tolist() for s in steps] == [[1, 0], [0, 1], [1, 0]]
    assert [s.final_obs.argmax(1).tolist() for s in steps] == [[1, 0], [2, 1], [1, 0]]
    assert steps[0].final_obs is steps[0].obs
    assert steps[2].final_obs is not steps[2].obs
    assert [s.terminated.tolist() for s in steps] == [[0, 0], [1, 0], [0, 0]]
    assert [s.truncated.tolist() for s in steps] == [[0, 0], [0, 0], [0, 1]]
    assert all(s.valid.all() for s in steps)
    assert [x.tolist() for x in steps[1].info["episode"]] == [[0], [1.0], [2]]
    assert [x.tolist() for x in steps[2].info["episode"]] == [[1], [0.0], [3]]
    for step in steps:
        assert [a.dtype for a in step[:6]] == [np.float32, np.float32, bool, bool, np.float32, bool]


@pytest.mark.parametrize("mode", MODES)
def test_terminated_wins_over_truncated(mode):
    env = foreign(lambda: Chain(2, limit=2), 1, mode)
    env.reset()
    env.step(np.array([1]))
    step = env.step(np.array([1]))
    assert (step.terminated.tolist(), step.truncated.tolist()) == ([True], [False])


@pytest.mark.fault(31)
@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize("made", [foreign, wrapped])
@pytest.mark.parametrize("mode", MODES)
def test_no_transition_is_mixed(mode, made, n_step):
    """HashChain's law holds for each transition that a small replay gives, at every moment."""
    env = made(HashChain, 3, mode, seed=2)
    buffer, rng = Replay(120, COLUMNS, generator(0), n_step, gamma=1), generator(1)
    obs, seen = env.reset(), 0
    for _ in range(400):
        action = rng.integers(4, size=3)
        step = env.step(action)
        buffer.add(obs, action, step)
        obs = step.obs
        if len(buffer):
            batch = buffer.sample(16)
            np.testing.assert_array_equal(batch["obs"][:, 0], batch["next_obs"][:, 0])  # of one episode
            if n_step == 1:
                np.testing.assert_array_equal(HashChain.after(batch["obs"], batch["action"]), batch["next_obs"])
                np.testing.assert_array_equal(batch["reward"], batch["next_obs"][:, 1] % 7)
            seen += (batch["discount"] == 0).sum()
    assert seen > 100  # ends are among them


@pytest.mark.parametrize("made", [foreign, wrapped])
@pytest.mark.parametrize("mode", MODES)
def test_returns_and_lengths_are_those_of_the_valid_rows(mode, made):
    env = made(Walk, 3, mode)
    env.reset()
    total, length, episodes = np.zeros(3), np.zeros(3, int), 0
    for _ in range(300):
        step = env.step(np.array([0, 1, 2]))
        total += np.where(step.valid, step.reward, 0)
        length += step.valid
        assert ("episode" in step.info) == step.ended.any()
        assert not (step.ended & ~step.valid).any()
        if step.info:
            stream, returns, lengths = step.info["episode"]
            assert stream.tolist() == step.ended.nonzero()[0].tolist()
            np.testing.assert_allclose(returns, total[stream], rtol=1e-4)
            assert lengths.tolist() == length[stream].tolist()
            total[stream], length[stream] = 0, 0
            episodes += len(stream)
    assert episodes > 20


@pytest.mark.parametrize(("made", "mode"), [*[(foreign, mode) for mode in MODES], (wrapped, DISABLED)])
def test_the_episodes_are_those_of_the_serial_env(made, mode):
    ours, theirs = SerialEnv(Walk, 3, seed=7), made(Walk, 3, mode, seed=7)
    assert ours.reset().tobytes() == theirs.reset().tobytes()
    rng = generator(0)
    for _ in range(150):
        action = rng.integers(3, size=3)
        a, b = ours.step(action), theirs.step(action)
        for field in ("obs", "final_obs", "reward", "terminated", "truncated", "valid"):
            assert getattr(a, field).tobytes() == getattr(b, field).tobytes(), field
        assert a.info.keys() == b.info.keys()
        if a.info:
            assert [x.tolist() for x in a.info["episode"]] == [x.tolist() for x in b.info["episode"]]


@pytest.mark.parametrize("mode", MODES)
def test_two_resets_play_the_same_episodes(mode):
    env = foreign(Walk, 2, mode, seed=5)

    def play():
        obs = [env.reset()]
        return np.stack(obs + [env.step(np.array([1, 2])).obs for _ in range(80)]).tobytes()

    assert play() == play()
    np.testing.assert_array_equal(env.reset()[1], np.float32(Walk().reset(seed=episode_seed(5, 1))[0]))


@pytest.mark.fault(30)
@pytest.mark.parametrize("settings", [{}, {"copy": False}])
@pytest.mark.parametrize("mode", MODES)
def test_arrays_hold(mode, settings):
    env = foreign(lambda: Chain(2, limit=3), 2, mode, **settings)
    kept, rng = [env.reset()], generator(0)
    for _ in range(20):
        then = copy.deepcopy(kept)
        step = env.step(rng.integers(2, size=2))
        assert all((a == b).all() for a, b in zip(kept, then))
        kept = list(step[:6])


@pytest.mark.parametrize("made", [foreign, wrapped])
@pytest.mark.parametrize("mode", MODES)
def test_nested_observations_and_actions(mode, made):
    env = made(Nested, 2, mode)
    spent = mode is NEXT and made is wrapped  # a row on the reset
    obs = env.reset()
    assert obs["pair"][0].dtype == np.float32
    rng = generator(0)
    action = {
        "go": rng.integers(4, size=2),
        "both": (rng.uniform(-1, 1, (2, 2)).astype(np.float32), rng.integers(2, size=(2, 2)).astype(np.int8)),
    }
    steps = [copy.deepcopy(env.step(action)) for _ in range(5)]
    assert steps[3].final_obs["image"].tolist() == np.full((2, 2, 2), 4).tolist()
    assert steps[3].final_obs["pair"][1].tolist() == [4, 4]
    assert steps[3].obs["pair"][1].tolist() == ([4, 4] if spent else [0, 0])
    assert steps[3].info["episode"][1].tolist() == [10.0, 10.0]
    assert steps[4].valid.tolist() == [not spent] * 2
    assert map_(np.shape, steps[4].obs) == map_(np.shape, obs)


class Bare(gymnasium.vector.VectorEnv):
    """Gives what it is told to."""

    def __init__(self, mode="NextStep", obs=None, reward=0.0, ends=False):
        self.num_envs, self.metadata = 2, {} if mode is None else {"autoreset_mode": mode}
        self.single_observation_space = spaces.Box(-1, 1, (3,), np.float32)
        self.single_action_space = spaces.Discrete(2)
        self.now = np.zeros((2, 3), np.float32) if obs is None else obs
        self.reward, self.ends = reward, ends

    def reset(self, *, seed=None, options=None):
        return self.now, {}

    def step(self, actions):
        return self.now, np.array([0, self.reward]), np.array([False, self.ends]), np.zeros(2, bool), {}


@pytest.mark.fault(31)
@pytest.mark.parametrize("mode", [None, "nextstep", "sometimes", 3])
def test_an_unknown_mode_is_refused(mode):
    with pytest.raises(ValueError, match=r"Bare: metadata\['autoreset_mode'\] is .*NEXT_STEP, SAME_STEP, DISABLED"):
        ForeignEnv(Bare(mode))


@pytest.mark.parametrize("mode", [*MODES, *[m.value for m in MODES]])
def test_a_mode_may_be_a_word(mode):
    assert ForeignEnv(Bare(mode)).mode is AutoresetMode(mode)


def test_bad_data_is_refused():
    action = np.zeros(2, int)
    for obs, words in (
        (np.zeros((2, 4), np.float32), r"of shape \(2, 4\) float32, .* promises \(2, 3\) float32"),
        (np.zeros((1, 3), np.float32), r"of shape \(1, 3\)"),
        (np.zeros((2, 3), complex), "complex128"),
        (np.array([[0, 0, 0], [0, np.nan, 0]]), "stream 1 of .* NaN"),
    ):
        with pytest.raises(ValueError, match=words):
            ForeignEnv(Bare(obs=obs)).reset()
        env = ForeignEnv(Bare())
        env.reset()
        env.env.now = obs
        with pytest.raises(ValueError, match=words):
            env.step(action)
    for reward in (np.nan, np.inf, 1e39):
        env = ForeignEnv(Bare(reward=reward))
        env.reset()
        with pytest.raises(ValueError, match=r"stream 1 of .* gave the reward (nan|inf|1e\+39) in step 1"):
            env.step(action)
    env = ForeignEnv(Bare(SAME, ends=True))
    env.reset()
    with pytest.raises(ValueError, match=r"SAME_STEP, but an episode ended without info\['final_obs'\]"):
        env.step(action)


def test_an_environment_that_takes_one_seed_for_all():
    """Gymnasium's own CartPole in arrays refuses a list; the rows in which it resets are no transitions."""
    env = ForeignEnv(gymnasium.make_vec("CartPole-v1", 3), seed=5)
    env.action_space.seed(0)

    def play(obs):
        steps = []
        for k in range(200):
            steps.append(copy.deepcopy(env.step(np.array([k % 2, 1, 0]))))
        return obs, steps

    first, steps = play(env.reset().copy())
    assert first.shape == (3, 4)
    assert len(np.unique(first[:, 0])) == 3
    ended = np.array([s.ended for s in steps])
    valid = np.array([s.valid for s in steps])
    assert ended.any(0).all()
    np.testing.assert_array_equal(valid[1:], ~ended[:-1])
    assert all((s.reward == s.valid).all() for s in steps)
    again, others = play(env.reset().copy())
    assert again.tobytes() == first.tobytes()
    assert all(a.obs.tobytes() == b.obs.tobytes() for a, b in zip(steps, others))
    with pytest.warns(UserWarning, match="CartPoleVectorEnv.* cannot be resumed exactly, as its episodes do not begin"):
        saved = through_a_file(env.state())
    other = ForeignEnv(gymnasium.make_vec("CartPole-v1", 3))
    assert other.load(saved).tobytes() == env.obs.tobytes()
    assert not other.step(np.array([0, 1, 1])).valid.any()
    assert other.step(np.array([0, 1, 1])).valid.all()
    assert ForeignEnv(gymnasium.make_vec("CartPole-v1", 3), seed=6).reset().tobytes() != first.tobytes()


def test_an_error_in_a_step_cuts():
    env = foreign(HashChain, 2, DISABLED, seed=1)
    env.reset()
    env.step(np.array([1, 1]))
    obs = env.obs.copy()
    with pytest.raises(Exception):  # noqa: B017, PT011  whatever the environment says
        env.step(np.array(["a", "b"]))
    assert env.obs.tobytes() == obs.tobytes()
    step = env.step(np.array([1, 1]))
    assert not step.valid.any()
    np.testing.assert_array_equal(step.obs[:, 1], 0)
    assert env.step(np.array([1, 1])).valid.all()


# resume
class Long(Walk):
    """Ends rarely, so that streams are far apart."""

    def step(self, action):
        obs, reward, _, _, info = super().step(action)
        return obs, reward, bool(self.np_random.random() < 0.01), False, info


def going_on(env, k, seed=0):
    """k steps' worth of all that there is to see."""
    rng, seen = generator(seed), []
    for _ in range(k):
        step = env.step(rng.integers(3, size=env.n_envs))
        seen += [array.tobytes() for array in step[:6]] + [x.tolist() for x in step.info.get("episode", ())]
    return seen


@pytest.mark.parametrize("make", [Walk, Long])
@pytest.mark.parametrize("mode", MODES)
def test_resumes_bit_for_bit(mode, make):
    """At any step, streams are at different places of their episodes; also of a replay that is replayed."""
    env = foreign(make, 3, mode, seed=3)
    env.reset()
    for k in (0, 1, 7, 40, 90):
        going_on(env, k, seed=k)
        saved = through_a_file(env.state())
        assert env.resumable == saved["resumable"] == "replay"
        other = foreign(make, 3, mode, seed=99)
        other.reset()
        going_on(other, 5)
        assert other.load(saved).tobytes() == other.obs.tobytes() == env.obs.tobytes()
        assert going_on(other, 60) == going_on(env, 60)
        assert through_a_file(other.state())["actions"].tobytes() == env.state()["actions"].tobytes()


def test_a_state_that_is_loaded_into_its_own_environment():
    env = foreign(Walk, 2, NEXT, seed=3)
    env.reset()
    going_on(env, 30)
    saved = env.state()
    obs = env.obs.tobytes()
    once = copy.deepcopy(saved)
    assert env.load(saved).tobytes() == obs
    seen = going_on(env, 50)
    env.load(once)
    assert going_on(env, 50) == seen


def test_actions_of_all_kinds_are_replayed():
    space = spaces.Tuple((spaces.Discrete(3, start=5), spaces.Dict({"x": spaces.Box(-1, 1, (2,), np.float32)})))

    class Sums(Nested):
        def step(self, action):
            obs, _, over, cut, info = super().step(action)
            return obs, float(action[0] + action[1]["x"].sum()), over, cut, info

    rng = generator(0)

    def acts(env, k):
        steps = []
        for _ in range(k):
            action = (rng.integers(5, 8, size=2), {"x": rng.uniform(-1, 1, (2, 2)).astype(np.float32)})
            steps.append(copy.deepcopy(env.step(action)))
        return steps

    env, other = foreign(lambda: Sums(space), 2, SAME), foreign(lambda: Sums(space), 2, SAME)
    env.reset()
    assert acts(env, 7)[-1].reward.min() > 3
    saved = through_a_file(env.state())
    assert saved["lengths"].tolist() == [3, 3]
    other.load(saved)
    rng = generator(1)
    episodes = [s.info["episode"][1].tolist() for s in acts(env, 9) if s.info]
    rng = generator(1)
    assert episodes == [s.info["episode"][1].tolist() for s in acts(other, 9) if s.info]
    assert len(episodes) == 3


class Different(World):
    """Ends after `limit` steps or by any action above `most`; reset writes down."""

    def __init__(self, limit, most=9):
        super().__init__(action_space=spaces.Discrete(10), limit=limit)
        self.most = most

    def step(self, action):
        obs, reward, over, cut, info = super().step(action)
        return obs, reward, over or action > self.most, cut, info


@pytest.mark.parametrize("mode", MODES)
def test_a_stream_that_ends_while_it_waits_is_replayed(mode):
    """Stream 1 cannot take the actions of stream 0, whose episode is the longest."""
    made = [lambda: Different(1000), lambda: Different(4, most=5), lambda: Different(1000)]
    env = ForeignEnv(SyncVectorEnv(made, autoreset_mode=mode))
    env.reset()
    for k in range(30):
        env.step(np.array([9, k % 6, 2]))
    env.restart(np.array([False, False, True]))
    saved = through_a_file(env.state())
    assert saved["lengths"].tolist() == [30, 2, 0]
    other = ForeignEnv(SyncVectorEnv(made, autoreset_mode=mode))
    other.load(saved)
    for k in range(10):
        a, b = env.step(np.array([9, k % 6, 2])), other.step(np.array([9, k % 6, 2]))
        assert a.obs.tobytes() == b.obs.tobytes()
        assert a.ended.tolist() == b.ended.tolist()


@pytest.mark.parametrize("make", [Moody, Signed])
@pytest.mark.parametrize("mode", MODES)
def test_what_is_not_deterministic_is_said(mode, make):
    env, other = foreign(make, 2, mode), foreign(make, 2, mode)
    env.reset()
    while not (env.state()["lengths"] > 3).all():
        env.step(np.array([1, 2]))
    with pytest.raises(
        ValueError, match=r"stream [01] of SyncVectorEnv.* is not deterministic: the same seed and actions"
    ):
        other.load(through_a_file(env.state()))
    with pytest.raises(ValueError, match=r"call reset\(\)"):
        other.step(np.array([1, 2]))
    dropping = ForeignEnv(SyncVectorEnv([make] * 2, autoreset_mode=mode), reseed="once")
    dropping.load(through_a_file(env.state()))
    assert not dropping.step(np.array([1, 2])).valid.any()


def test_an_episode_that_ends_early_in_the_replay_is_said():
    env = foreign(lambda: Different(100), 2, SAME)
    env.reset()
    for _ in range(9):
        env.step(np.array([1, 1]))
    with pytest.raises(ValueError, match=r"stream 0 of .* is not deterministic"):
        foreign(lambda: Different(5), 2, SAME).load(env.state())


def dropping(mode, seed=0):
    return wrapped(Walk, 2, mode, seed)


@pytest.mark.filterwarnings("ignore:.*cannot be resumed exactly")
@pytest.mark.parametrize("mode", MODES)
def test_a_load_cuts_and_begins_new_episodes(mode):
    env = dropping(mode, seed=3)
    env.reset()
    for _ in range(100):
        env.step(np.array([1, 1]))
    saved = through_a_file(env.state())
    numbers = saved["numbers"].tolist()
    assert min(numbers) > 1
    other = dropping(mode, seed=99)
    assert other.load(saved).tobytes() == env.obs.tobytes()  # the true successor of the row before
    step = other.step(np.array([1, 1]))
    assert step.valid.tolist() == step.ended.tolist() == step.reward.tolist() == [0, 0]
    fresh = [Walk().reset(seed=episode_seed(3, k + 2))[0] for k in numbers]
    np.testing.assert_array_equal(step.obs, np.float32(fresh))
    assert other.step(np.array([1, 1])).valid.all()
    assert env.resumable == "no"


def test_that_it_cannot_be_resumed_is_said_once():
    env = dropping(SAME)
    env.state()
    env.reset()
    with pytest.warns(UserWarning, match="VectorWrapper.* cannot be resumed exactly, .* drops the episodes"):
        env.state()
    env.state()


@pytest.mark.filterwarnings("ignore:.*cannot be resumed exactly")
@pytest.mark.parametrize("made", [foreign, wrapped])
@pytest.mark.parametrize("mode", MODES)
def test_a_replay_mixes_no_episodes_across_a_load(mode, made):
    env = made(HashChain, 2, mode)
    buffer, rng = Replay(1000, COLUMNS, generator(0)), generator(1)
    obs = env.reset()
    for k in range(300):
        if k % 7 == 6:
            saved = through_a_file(env.state())
            env = made(HashChain, 2, mode)
            obs = env.load(saved)
        action = rng.integers(4, size=2)
        step = env.step(action)
        buffer.add(obs, action, step)
        obs = step.obs
    batch = buffer.sample(3000)
    np.testing.assert_array_equal(HashChain.after(batch["obs"], batch["action"]), batch["next_obs"])


def test_a_state_after_an_error_begins_new_episodes():
    env = foreign(HashChain, 2, NEXT, seed=1)
    env.reset()
    env.step(np.array([1, 1]))
    env.env.step = lambda action: 1 / 0
    with pytest.raises(ZeroDivisionError):
        env.step(np.array([1, 1]))
    saved = through_a_file(env.state())
    assert saved["resumable"] == "no"
    other = foreign(HashChain, 2, NEXT)
    assert other.load(saved).tobytes() == env.obs.tobytes()
    assert not other.step(np.array([1, 1])).valid.any()
    assert other.state()["resumable"] == "replay"


# restart
@pytest.mark.parametrize(("made", "mode"), [*[(foreign, mode) for mode in MODES], (wrapped, DISABLED)])
def test_restart_by_hand(made, mode):
    env = made(lambda: Chain(9, limit=5), 3, mode)
    with pytest.raises(ValueError, match=r"call reset\(\) before restart\(\)"):
        env.restart(np.ones(3, bool))
    env.reset()
    env.step(np.ones(3, int))
    kept = env.step(np.ones(3, int))
    obs, (stream, returns, lengths) = env.restart(np.array([True, False, True]))
    assert obs is env.obs is kept.obs
    assert obs.argmax(1).tolist() == [0, 2, 0]
    assert (stream.tolist(), returns.tolist(), lengths.tolist()) == ([0, 2], [0, 0], [2, 2])
    assert [x.tolist() for x in env.restart(np.zeros(3, bool))[1]] == [[], [], []]
    steps = [env.step(np.ones(3, int)) for _ in range(5)]
    assert [s.truncated.tolist() for s in steps] == [[0, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0, 0], [1, 0, 1]]
    assert all(s.valid.all() for s in steps)
    assert steps[4].obs.argmax(1).tolist() == [0, 2, 0]
    assert steps[4].info["episode"][2].tolist() == [5, 5]


@pytest.mark.parametrize("mode", MODES)
def test_restarted_episodes_have_their_seeds(mode):
    env = foreign(Walk, 2, mode, seed=4)
    env.reset()
    env.restart(np.array([False, True]))
    np.testing.assert_array_equal(env.obs[1], np.float32(Walk().reset(seed=episode_seed(4, 3))[0]))
    np.testing.assert_array_equal(env.obs[0], np.float32(Walk().reset(seed=episode_seed(4, 0))[0]))
    other = foreign(Walk, 2, mode)
    other.load(through_a_file(env.state()))
    assert going_on(env, 40) == going_on(other, 40)


@pytest.mark.parametrize("mode", [NEXT, SAME])
def test_restart_needs_single_streams(mode):
    env = wrapped(Walk, 2, mode)
    env.reset()
    with pytest.raises(ValueError, match="ForeignEnv cannot begin an episode in single streams"):
        env.restart(np.array([True, False]))


@pytest.mark.parametrize("mode", MODES)
def test_once_seeds_the_first_episodes_alone(mode):
    ours = SerialEnv(Walk, 2, seed=5, reseed="once")
    env = ForeignEnv(SyncVectorEnv([Walk] * 2, autoreset_mode=mode), 5, reseed="once")
    assert env.resumable == "no"
    assert env.reset().tobytes() == ours.reset().tobytes()
    assert going_on(env, 100) == going_on(ours, 100)


class Deaf(SyncVectorEnv):
    """Knows of no mask, and resets all."""

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)


def test_an_environment_that_resets_all_is_found_out():
    env = ForeignEnv(Deaf([lambda: Chain(2, limit=3)] * 2, autoreset_mode=DISABLED))
    env.reset()
    env.step(np.array([1, 0]))
    with pytest.raises(ValueError, match=r"Deaf.* changed streams outside the mask, .* autoreset_mode DISABLED"):
        env.step(np.array([1, 1]))


@pytest.mark.parametrize("mode", [NEXT, SAME])
def test_one_with_a_reset_of_its_own_is_left_to_itself(mode):
    env = ForeignEnv(Deaf([HashChain] * 3, autoreset_mode=mode))
    assert env.resumable == "no"
    obs, rng, ended = env.reset(), generator(0), np.zeros(3, bool)
    for _ in range(100):
        action, before = rng.integers(4, size=3), obs.copy()
        step = env.step(action)
        after = HashChain.after(before, action)
        np.testing.assert_array_equal(step.final_obs[step.valid], after[step.valid])
        assert step.valid.tolist() == (~ended if mode is NEXT else np.ones(3, bool)).tolist()
        obs, ended = step.obs, step.ended


@pytest.mark.parametrize("bad", [None, 5, gymnasium.make("CartPole-v1"), "CartPole-v1"])
def test_what_is_no_vector_environment_is_refused(bad):
    with pytest.raises(TypeError, match=r"expected a gymnasium\.vector\.VectorEnv, got"):
        ForeignEnv(bad)


def test_a_bad_reseed_is_refused():
    with pytest.raises(ValueError, match="reseed must be 'episode' or 'once', got 'never'"):
        ForeignEnv(Bare(), reseed="never")


@pytest.mark.parametrize("action", [np.zeros(3, int), np.zeros((2, 1), int), np.zeros(2), [0]])
def test_bad_actions_are_refused_before_anything_changes(action):
    env = foreign(Walk, 2, NEXT)
    env.reset()
    with pytest.raises(ValueError, match=r"ForeignEnv: actions of shape .* expected \(2,\) int64"):
        env.step(action)
    assert env.step([1, 1]).valid.all()


def test_a_state_of_another_is_refused_before_anything_changes():
    env = foreign(Walk, 2, DISABLED, seed=3)
    env.reset()
    obs, state = env.obs.copy(), through_a_file(env.state())
    for other, words in (
        (foreign(Walk, 3, DISABLED).state(), "with n_envs 3, here it is 2"),
        ({**state, "env": "Chain"}, "with env 'Chain', here it is 'SyncVectorEnv'"),
        ({**state, "obs": np.zeros((2, 5), np.float32)}, r"has obs as \(2, 5\) float32, here it is \(2, 2\) float32"),
    ):
        with pytest.raises(ValueError, match=words):
            env.load(other)
    assert env.obs.tobytes() == obs.tobytes()
    assert env.step(np.array([0, 0])).valid.all()


def test_a_state_not_started_starts():
    env = foreign(Walk, 2, DISABLED, seed=3)
    other = foreign(Walk, 2, DISABLED, seed=4)
    assert other.load(through_a_file(env.state())).tobytes() == env.reset().tobytes()
    assert other.step(np.array([0, 0])).valid.all()


def test_ids_of_registered_environments_are_compared():
    env = ForeignEnv(gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="sync"))
    other = ForeignEnv(gymnasium.make_vec("Acrobot-v1", 2, vectorization_mode="sync"))
    with pytest.raises(ValueError, match=r"with env 'CartPole-v1', here it is 'Acrobot-v1'"):
        other.load(env.state())
    env.close()
    other.close()


def test_values_of_a_cut_task_need_the_true_successor():
    """Forever's final observation equals its first: what differs is `truncated`, in each mode."""
    for mode in MODES:
        env = foreign(lambda: Forever(3), 1, mode)
        env.reset()
        steps = [env.step(np.array([0])) for _ in range(8)]
        assert not any(s.terminated.item() for s in steps)
        assert sum(s.truncated.item() for s in steps) == 2


def test_big_rewards_of_dummy_rows_do_not_count():
    env = ForeignEnv(Bare(reward=5.0, ends=True))  # ends in each of its steps, even in dummy rows
    env.reset()
    steps = [env.step(np.zeros(2, int)) for _ in range(4)]
    assert [s.valid.tolist() for s in steps] == [[True, True], [True, False]] * 2
    assert [s.reward.tolist() for s in steps] == [[0, 5], [0, 0]] * 2
    assert [s.terminated.tolist() for s in steps] == [[False, True], [False, False]] * 2
    assert [s.info["episode"][1].tolist() for s in steps if s.info] == [[5.0], [5.0]]


def test_worlds_of_float64_reach_agents_as_float32():
    assert foreign(lambda: World(spaces.Box(-9, 9, (2,), np.float64)), 2, SAME).reset().dtype == np.float32


@pytest.mark.fault(27, 29)
@pytest.mark.parametrize(
    "bad", [np.array([0, np.nan], np.float32), np.zeros(1, np.float32), np.zeros((1, 2), np.float32)]
)
def test_a_bad_last_observation_is_refused(bad):
    """It comes by itself, in info, where the vector environment resets in the same step."""

    def make():
        return World(change=lambda t, obs, reward: (bad if t == 3 else obs, reward), limit=3)

    env = foreign(make, 2, SAME)
    env.reset()
    for _ in range(2):
        env.step(np.zeros(2, int))
    with pytest.raises(ValueError, match=r"stream 0 of .*final_obs.* (NaN|shape)"):
        env.step(np.zeros(2, int))


@pytest.mark.parametrize("mode", MODES)
def test_a_step_before_the_first_reset_is_refused(mode):
    with pytest.raises(ValueError, match=r"call reset\(\) before step\(\)"):
        foreign(Chain, 2, mode).step(np.zeros(2, int))
