"""Evaluation: the same episodes for any number of streams, none favoured, nothing else touched."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from rlcore.envs import SerialEnv
from rlcore.envs.base import episode_seed
from rlcore.envs.toy import HashChain
from rlcore.harness import Evaluation, Recorder, evaluate, load_state
from rlcore.rng import default, state_of
from tests.harness.fakes import Always, Hashing, Scripted, Wanderer, one_step, scalars, scores

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
        with pytest.raises(ValueError, match=r"not ended in 10 steps; .*gymnasium\.wrappers\.TimeLimit"):
            evaluate(Always(), Scripted(lengths, [1.0, 2.0]), 4)


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
    assert hook.state() == {"best_mean": None}
    hook.run(10)
    again, _ = watch(tmp_path / "b", [2.0, 4.0])
    again.load(hook.state())
    again.run(20)
    assert not (tmp_path / "b" / "best").exists()
    again.run(30)
    assert load_state(tmp_path / "b" / "best")["mean"] == 4.0
    again.load({"best_mean": None})
    assert again.best_mean == -np.inf


def test_the_same_episodes_each_time_and_no_training_generator_moves(tmp_path):
    agent = Wanderer(4)
    agent.policy = lambda: Hashing()
    hook = Evaluation(agent, SerialEnv(HashChain, 3, seed=5), 10, 7, Recorder(tmp_path, 1))
    own, library = state_of(agent.rng), state_of(default())
    first, second = hook.run(10), hook.run(20)
    assert first.tolist() == second.tolist() == [total for total, _ in by_hand(5, 7)]
    assert (state_of(agent.rng), state_of(default())) == (own, library)
