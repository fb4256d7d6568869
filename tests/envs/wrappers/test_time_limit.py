import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlcore.buffers import Replay
from rlcore.envs import SerialEnv
from rlcore.envs.base import VectorEnv
from rlcore.envs.toy import HashChain
from rlcore.envs.wrappers import ContinuingTimeLimit, FrameStack, TimeLimit
from rlcore.rng import generator
from tests.envs.wrappers.fakes import Tape, play, same


def test_by_hand():
    """Two streams without ends of their own, cut after 3 steps; observations are (episode, step)."""
    env = TimeLimit(Tape(2, ends=0), 3)
    assert env.reset().tolist() == [[0, 0], [1, 0]]
    a, b, c, d = play(env, 4, np.zeros(2))
    assert not np.any([a.truncated, b.truncated])
    assert a.info == b.info == {}
    assert c.obs.tolist() == [[2, 0], [3, 0]]
    assert c.final_obs.tolist() == [[0, 3], [1, 3]]
    assert c.truncated.tolist() == [True, True]
    assert not c.terminated.any()
    assert c.reward.tolist() == [3, 3]
    assert [part.tolist() for part in c.info["episode"]] == [[0, 1], [6, 6], [3, 3]]
    assert d.obs.tolist() == d.final_obs.tolist() == [[2, 1], [3, 1]]


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 4),
    st.integers(1, 6),
    st.integers(0, 10**6),
    st.sampled_from([0.0, 0.2, 0.9]),
    st.sampled_from([0.0, 0.2]),
)
def test_every_episode_is_cut_at_the_limit_or_has_ended_before(n, limit, seed, ends, faults):
    env = TimeLimit(Tape(n, seed, ends, faults), limit)
    env.reset()
    elapsed = np.zeros(n, int)
    for step, inner in zip(play(env, 40), env.env.given):
        elapsed = np.where(inner["valid"], elapsed + 1, 0)
        ended = inner["terminated"] | inner["truncated"]
        late = (elapsed == limit) & ~ended
        assert same(step.terminated, inner["terminated"])
        assert same(step.truncated, inner["truncated"] | late)
        assert same(step.final_obs, inner["final_obs"])  # the true successors, read before the streams began anew
        assert (step.obs[late, 1] == 0).all()
        assert same(step.obs[~late], inner["obs"][~late])
        over = ended | late
        streams, _, lengths = step.info.get("episode", (np.zeros(0, int), 0, np.zeros(0, int)))
        assert streams.tolist() == over.nonzero()[0].tolist()
        assert lengths.tolist() == elapsed[over].tolist()
        elapsed[over] = 0
    assert env.env.obs is env.obs


@pytest.mark.parametrize("n_envs", [1, 3])
def test_it_is_gymnasiums_time_limit(n_envs):
    """Around all streams as in each environment: the same steps, seeds of the next episodes and returns included."""
    inside = SerialEnv(lambda: gymnasium.wrappers.TimeLimit(HashChain(), 4), n_envs, seed=2)
    env = TimeLimit(SerialEnv(HashChain, n_envs, seed=2), 4)
    assert same(inside.reset(), env.reset())
    steps = [play(e, 60, np.arange(n_envs)) for e in (inside, env)]
    assert all(same(a._asdict(), b._asdict()) for a, b in zip(*steps, strict=True))
    assert sum(int(step.truncated.sum()) for step in steps[0]) > 5


def test_who_cannot_restart_after_all_says_so_at_the_start():
    tape = Tape(2)
    tape.restart = NoRestart(2).restart
    env = TimeLimit(tape, 10)
    with pytest.raises(ValueError, match="cannot begin an episode in single streams"):
        env.reset()


class Forever(VectorEnv):
    """One state, reward 1, and no end: its value is 1 / (1 - gamma)."""

    resumable = "own"

    def __init__(self, n):
        self.n_envs, self.obs = n, np.zeros((n, 1), np.float32)
        self.observation_space = self.action_space = None

    def reset(self):
        self.obs = np.zeros((self.n_envs, 1), np.float32)
        return self.obs

    def step(self, action):
        from rlcore.stream import Step

        no = np.zeros(self.n_envs, bool)
        self.obs = np.zeros((self.n_envs, 1), np.float32)
        return Step(self.obs, np.ones(self.n_envs, np.float32), no, no, self.obs, ~no, {})

    def restart(self, which):
        return self.obs, (which.nonzero()[0], np.zeros(which.sum()), np.zeros(which.sum(), int))

    def state(self):
        return {}

    check = load = None


Forever.__abstractmethods__ = frozenset()


@pytest.mark.parametrize("wrapper", [TimeLimit, ContinuingTimeLimit])
def test_a_continuing_task_keeps_its_value(wrapper):
    """ChainerRL's done=False with needs_reset: the cut is bootstrapped; as an end it would leave at most 4.1 of 10."""
    env = wrapper(Forever(2), 5)
    replay = Replay(1000, {"obs": ((1,), np.float32), "action": ((), np.int64)}, generator(0), gamma=0.9)
    obs, cut = env.reset(), 0
    for _ in range(60):
        step = env.step(np.zeros(2, np.int64))
        replay.add(obs, np.zeros(2, np.int64), step)
        obs, cut = step.obs, cut + step.truncated.sum()
    assert cut == 2 * 60 // 5
    value = 0.0
    for _ in range(200):
        batch = replay.sample(64)
        value = float((batch["reward"] + batch["discount"] * value).mean())
    assert value == pytest.approx(10, rel=1e-5)


def test_it_goes_next_to_the_environment():
    for env, message in (
        (FrameStack(Tape(), 2), "put what cuts episodes inside FrameStack, next to the environment"),
        (NoRestart(2), "NoRestart cannot begin an episode in single streams; use SerialEnv or ProcessEnv"),
    ):
        with pytest.raises(ValueError, match=message):
            TimeLimit(env, 5)
    with pytest.raises(ValueError, match="max_episode_steps must be at least 1, got 0"):
        TimeLimit(Tape(), 0)
    with pytest.raises(TypeError):
        TimeLimit(Tape(), 2.5)


class NoRestart(Tape):
    restart = VectorEnv.restart


def test_a_state_of_other_streams_is_refused():
    env = TimeLimit(Tape(2), 5)
    env.reset()
    state = env.state()
    state["own"] = {"elapsed": np.zeros(3, int)}
    with pytest.raises(ValueError, match="TimeLimit has the steps of 3 episodes, not 2"):
        env.load(state)
