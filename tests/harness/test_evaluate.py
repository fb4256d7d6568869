"""Evaluation: the same episodes for any number of streams, none favoured, nothing else touched."""

from __future__ import annotations

import sys

import gymnasium
import numpy as np
import pytest

from rlcore.agents import DQN, DQNConfig
from rlcore.agents.base import Policy
from rlcore.envs import SerialEnv
from rlcore.envs.base import episode_seed
from rlcore.envs.toy import Forever, HashChain
from rlcore.harness import Evaluation, Recorder, evaluate, load_state, train
from rlcore.rng import default, generator, state_of
from rlcore.tree import named_leaves
from tests.harness.fakes import Always, Hashing, Scripted, Wanderer, one_step, scalars, scores
from tests.learning.tasks import TMaze

module = sys.modules["rlcore.harness.evaluate"]  # the package gives the function of this name


def by_hand(seed, episodes):
    """Returns and lengths of single episodes, played one by one."""
    env, policy, played = HashChain(), Hashing(), []
    for number in range(episodes):
        obs, over, total, length = env.reset(seed=episode_seed(seed, number))[0], False, 0.0, 0
        while not over:
            obs, reward, terminated, truncated, _ = env.step(int(policy(obs[None])[0]))
            over, total, length = terminated or truncated, total + reward, length + 1
        played.append((total, length))
    return played


@pytest.mark.parametrize("n_envs", [1, 2, 4, 7, 30])
@pytest.mark.parametrize("episodes", [1, 5, 23])
def test_any_number_of_streams_plays_the_same_episodes(n_envs, episodes):
    returns, lengths = evaluate(Hashing(), SerialEnv(HashChain, n_envs, seed=11), episodes)
    assert list(zip(returns.tolist(), lengths.tolist())) == by_hand(11, episodes)
    assert (returns.dtype, lengths.dtype) == (np.float64, np.int64)


def test_short_episodes_are_not_favoured():
    env = Scripted([1, 20], [0.0, 1.0])
    returns, lengths = evaluate(Always(), env, 6)
    assert returns.tolist() == [0, 1, 0, 1, 0, 1]
    assert lengths.tolist() == [1, 20, 1, 20, 1, 20]


def test_a_quota_that_does_not_divide():
    assert evaluate(Always(), Scripted([3, 1, 2], [3.0, 1.0, 2.0]), 5)[0].tolist() == [3, 1, 2, 3, 1]
    assert evaluate(Always(), Scripted([3, 1, 2], [3.0, 1.0, 2.0]), 2)[0].tolist() == [3, 1]


class Recalls(Policy):
    """Turns to the side that it saw first: of a state that is not forgotten that is one of an episode before."""

    sides = None

    def __call__(self, obs):
        self.sides = np.zeros(len(obs)) if self.sides is None else self.sides
        self.sides = np.where(self.sides == 0, obs[:, 0], self.sides)
        return (self.sides > 0).astype(np.int64)

    def reset(self, mask=None):
        self.sides = None if mask is None else np.where(mask, 0, self.sides)


@pytest.mark.parametrize("n_envs", [1, 3, 8])
def test_a_policy_that_remembers_forgets_at_the_ends_of_episodes_alone(n_envs):
    policy, env = Recalls(), SerialEnv(lambda: TMaze(2, spread=6), n_envs, seed=1)
    for _ in range(2):  # the second evaluation begins where the first one was left, in the midst of episodes
        returns, lengths = evaluate(policy, env, 30)
        assert returns.tolist() == [1] * 30
        assert len(set(lengths.tolist())) == 7


def test_it_starts_over_each_time():
    env = SerialEnv(HashChain, 3, seed=2)
    first = evaluate(Hashing(), env, 8)[0]
    env.step(np.zeros(3, np.int64))
    assert evaluate(Hashing(), env, 8)[0].tolist() == first.tolist()
    assert len(set(first.tolist())) > 3


def test_the_policy_forgets_at_the_ends_of_episodes():
    policy = Always()
    evaluate(policy, Scripted([2, 3], [0.0, 0.0]), 3)
    assert policy.resets == [None, [True, False], [False, True], [True, False]]


@pytest.mark.parametrize("episodes", [0, -3])
def test_no_episodes_are_refused(episodes):
    env = Scripted([1], [0.0])
    with pytest.raises(ValueError, match=f"episodes must be at least 1, got {episodes}"):
        evaluate(Always(), env, episodes)
    assert env.resets == 0


def test_an_episode_that_never_ends_is_an_error(monkeypatch):
    monkeypatch.setattr(module, "LONGEST", 10)
    assert evaluate(Always(), Scripted([10, 3], [1.0, 2.0]), 5)[1].tolist() == [10, 3, 10, 3, 10]
    assert evaluate(Always(), Scripted([9, 10**9], [1.0, 2.0]), 1)[1].tolist() == [9]
    for lengths in ([11, 10**9], [3, 10**9], [10**9, 10], [11, 3]):
        with pytest.raises(ValueError, match=r"not ended in 10 steps; .*--time-limit.*gymnasium\.wrappers\.TimeLimit"):
            evaluate(Always(), Scripted(lengths, [1.0, 2.0]), 4)


def test_whoever_waits_for_a_long_episode_is_told(monkeypatch):
    monkeypatch.setattr(module, "LONG", 10)
    evaluate(Always(), Scripted([9, 8], [1.0, 2.0]), 8)
    with pytest.warns(UserWarning, match="an episode of an evaluation has not ended in 10 steps yet"):
        evaluate(Always(), Scripted([9, 12], [1.0, 2.0]), 2)


def watch(folder, means, episodes=2, every=10):
    """An Evaluation whose environment gives episode returns around the next of the means."""
    env, agent, recorder = Scripted([1, 2], [0.0, 0.0]), Wanderer(), Recorder(folder, 1)

    class Graded(Evaluation):
        def run(self, t):
            mean = means.pop(0)
            self.env.returns = [mean - 1, mean + 1]
            agent.actor.w[...] = mean
            return super().run(t)

    return Graded(agent, env, every, episodes, recorder, folder / "best"), recorder


def test_scores_and_the_best_are_kept(tmp_path):
    hook, recorder = watch(tmp_path, [3.0, 7.0, 5.0, 7.0])
    kept = []
    for t in range(1, 41):
        hook(t, one_step(), {})
        if t % 10 == 0:
            best = load_state(tmp_path / "best")
            kept.append((best["t"], best["mean"], best["actor"]["w"].tolist()))
    assert kept == [(10, 3.0, [3.0] * 3), (20, 7.0, [7.0] * 3), (20, 7.0, [7.0] * 3), (20, 7.0, [7.0] * 3)]
    rows = scores(tmp_path)
    assert [(r["steps"], r["mean"], r["median"], r["max"], r["min"]) for r in rows] == [
        ("10", "3.0", "3.0", "4.0", "2.0"), ("20", "7.0", "7.0", "8.0", "6.0"),
        ("30", "5.0", "5.0", "6.0", "4.0"), ("40", "7.0", "7.0", "8.0", "6.0"),
    ]  # fmt: skip
    assert {float(r["stdev"]) for r in rows} == {2**0.5}
    recorder.flush_files()
    assert scalars(tmp_path) == {
        "eval/mean_reward": [(10, 3.0), (20, 7.0), (30, 5.0), (40, 7.0)],
        "eval/mean_ep_length": [(10, 1.5), (20, 1.5), (30, 1.5), (40, 1.5)],
    }


def test_no_best_is_kept_without_a_folder(tmp_path):
    hook = Evaluation(Wanderer(), Scripted([1], [2.0]), 10, 1, Recorder(tmp_path, 1))
    assert hook.run(10).tolist() == [2.0]
    assert not (tmp_path / "best").exists()


def test_the_best_survives_a_resume(tmp_path):
    hook, _ = watch(tmp_path / "a", [3.0, 7.0])
    assert hook.state() == {"best_mean": None, "done": 0, "owed": 0}
    hook.run(10)
    again, _ = watch(tmp_path / "b", [2.0, 4.0])
    again.load(hook.state())
    again.run(20)
    assert not (tmp_path / "b" / "best").exists()
    again.run(30)
    assert load_state(tmp_path / "b" / "best")["mean"] == 4.0
    assert again.state() == {"best_mean": 4.0, "done": 3, "owed": 0}
    again.load({"best_mean": None, "done": 0, "owed": 0})
    assert again.best_mean == -np.inf


def test_the_same_episodes_each_time_and_no_training_generator_moves(tmp_path):
    agent = Wanderer(4)
    agent.policy = lambda: Hashing()
    hook = Evaluation(agent, SerialEnv(HashChain, 3, seed=5), 10, 7, Recorder(tmp_path, 1))
    own, library = state_of(agent.rng), state_of(default())
    first, second = hook.run(10), hook.run(20)
    assert first.tolist() == second.tolist() == [total for total, _ in by_hand(5, 7)]
    assert (state_of(agent.rng), state_of(default())) == (own, library)


@pytest.mark.parametrize(
    "state",
    [
        {}, {"best_mean": 1.0, "owed": 0}, {"best_mean": "1", "done": 1, "owed": 0}, {"best_mean": None, "done": 1},
        {"best_mean": None, "done": -1, "owed": 0}, {"best_mean": None, "done": 1, "owed": "10"},
    ],
)  # fmt: skip
def test_another_state_is_refused(tmp_path, state):
    hook, _ = watch(tmp_path, [])
    with pytest.raises(ValueError, match="an evaluation has best_mean, done and owed"):
        hook.load(state)
    assert hook.state() == {"best_mean": None, "done": 0, "owed": 0}


def test_an_evaluation_that_is_left_is_owed(tmp_path):
    """A signal need not wait for its end; what was left is done first, with the same policy."""
    hook, _ = watch(tmp_path / "a", [3.0, 7.0])
    asked = []
    hook.stop = lambda: asked.append(0) or len(asked) == 2
    hook(10, one_step(), {})
    assert hook.state() == {"best_mean": None, "done": 0, "owed": 10}
    assert len(asked) == 2
    assert not (tmp_path / "a" / "scores.tsv").exists()
    again, _ = watch(tmp_path / "b", [3.0, 7.0])
    again.load(hook.state())
    for _ in range(2):  # the second time nothing is owed
        again.catch_up()
        assert [row["steps"] for row in scores(tmp_path / "b")] == ["10"]
        assert again.state() == {"best_mean": 3.0, "done": 1, "owed": 0}


class Film:
    """Stands for an environment that can be filmed."""

    def __init__(self):
        self.armed = []

    def record(self, name, episodes):
        self.armed.append((name, episodes))


def test_evaluations_are_filmed(tmp_path):
    film, others = Film(), (Scripted([1], [2.0]), 10, 1, Recorder(tmp_path, 1))
    hook = Evaluation(Wanderer(), *others, video=film, video_every=2, video_episodes=3)
    for t in (10, 20, 30):
        hook.run(t)
    again = Evaluation(Wanderer(), *others, video=film, video_every=2, video_episodes=3)
    again.load(hook.state())
    for t in (40, 50):
        again.run(t)
    assert film.armed == [("step-000000000010", 3), ("step-000000000030", 3), ("step-000000000050", 3)]


@pytest.mark.parametrize("name", ["every", "video_every", "video_episodes"])
def test_intervals_below_one_are_refused(tmp_path, name):
    settings = {"every": 1, name: 0}
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        Evaluation(Wanderer(), Scripted([1], [2.0]), episodes=1, recorder=Recorder(tmp_path, 1), **settings)


@pytest.mark.parametrize(
    ("error", "kind"),
    [(ValueError("not finite"), ValueError), (KeyError("x"), RuntimeError), (OSError(), RuntimeError)],
)
def test_an_environment_that_fails_says_where(tmp_path, error, kind):
    env = Scripted([1], [2.0])
    hook = Evaluation(Wanderer(), env, 10, 1, Recorder(tmp_path, 1))

    def step(action):
        raise error

    env.step = step
    with pytest.raises(kind, match=f"the evaluation at row 12,340 failed .{type(error).__name__}: ") as caught:
        hook.run(12_340)
    assert caught.value.__cause__ is error
    assert hook.state() == {"best_mean": None, "done": 0, "owed": 0}
    del env.step
    assert hook.run(12_350).tolist() == [2.0]


def test_an_interruption_stays_one(tmp_path):
    env = Scripted([1], [2.0])

    def step(action):
        raise KeyboardInterrupt

    env.step = step
    with pytest.raises(KeyboardInterrupt):
        Evaluation(Wanderer(), env, 10, 1, Recorder(tmp_path, 1)).run(10)


@pytest.mark.fault(11)
def test_a_best_that_cannot_be_written_costs_a_warning(tmp_path, monkeypatch):
    hook, recorder = watch(tmp_path, [3.0, 7.0, 5.0])
    really = module.save_state

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_state", full)
    with pytest.warns(UserWarning, match="the policy of row 10, the best so far, is not kept: .*No space left"):
        hook.run(10)
    hook.run(20)  # a second warning would be an error
    monkeypatch.setattr(module, "save_state", really)
    hook.run(30)
    assert load_state(tmp_path / "best")["mean"] == 5.0  # the best of those that could be kept
    recorder.flush_files()
    assert scalars(tmp_path)["faults/best"] == [(10, 1.0), (20, 2.0)]


def test_training_is_the_same_with_and_without_evaluation(tmp_path):
    """Bit for bit: over DQN, whose policy is a view of the network that learns."""

    def run(folder, evaluated):
        env = SerialEnv("CartPole-v1", 2, seed=3)
        spaces = env.observation_space, env.action_space
        config = DQNConfig(learning_starts=50, update_every=4, gradient_steps=2, hidden=(8,), buffer_size=300)
        agent = DQN.from_spaces(*spaces, config, generator(1))
        hook = Evaluation(agent, SerialEnv("CartPole-v1", 3, seed=9), 30, 4, Recorder(folder, 2), folder / "best")
        seen = []
        train(agent, env, 400, [hook] * evaluated + [lambda t, step, stats: seen.append(step.obs.tobytes())])
        return agent.state(), env.state(), seen, state_of(default())

    with_, without = run(tmp_path / "a", True), run(tmp_path / "b", False)
    assert (tmp_path / "a" / "best").exists()
    assert with_[2:] == without[2:]
    for one, two in zip(with_[:2], without[:2]):
        for (path, a), (_, b) in zip(named_leaves(one), named_leaves(two), strict=True):
            a, b = (getattr(leaf, "array", leaf) for leaf in (a, b))
            assert a.tobytes() == b.tobytes() if isinstance(a, np.ndarray) else a == b, path


def test_a_policy_forgets_where_a_life_is_lost_though_the_game_goes_on():
    """The episode in info is the game; what is remembered is of one life."""

    class Lives(gymnasium.Wrapper):
        def step(self, action):
            obs, reward, over, cut, info = self.env.step(action)
            return obs, reward, over or self.unwrapped.t % 3 == 0, cut, info

        def reset(self, *, seed=None, options=None):
            if seed is None and 0 < self.unwrapped.t < 7:
                return np.ones(1, np.float32), {}
            return self.env.reset(seed=seed, options=options)

    class Remembering(Policy):
        forgot: list = []

        def __call__(self, obs):
            return np.zeros(len(obs), np.int64)

        def reset(self, mask=None):
            self.forgot.append(None if mask is None else mask.tolist())

    env = SerialEnv(lambda: Lives(gymnasium.wrappers.RecordEpisodeStatistics(Forever(7))), 1, reseed="once")
    returns, lengths = evaluate(Remembering(), env, 2)
    assert (returns.tolist(), lengths.tolist()) == ([7, 7], [7, 7])
    assert Remembering.forgot == [None, *[[True]] * 6]  # after steps 3, 6 and 7 of each game
