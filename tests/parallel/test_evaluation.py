"""Evaluation on all ranks, merged by episode."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from rlcore.agents.base import Policy
from rlcore.envs import SerialEnv
from rlcore.harness.evaluate import PutOff, evaluate
from rlcore.parallel.data_parallel import rank_seed
from rlcore.parallel.evaluation import JointEvaluation, joint_evaluate
from rlcore.parallel.local import run_threads


class Seeded(gymnasium.Env):
    """An episode of 1 to 9 steps, each worth a number, both by its seed."""

    observation_space, action_space = spaces.Box(0, 1, (1,), np.float32), spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left, self.worth = int(self.np_random.integers(1, 10)), float(self.np_random.integers(100))
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.left -= 1
        return np.zeros(1, np.float32), self.worth, self.left == 0, False, {}


class Still(Policy):
    def __call__(self, obs):
        return np.zeros(len(obs), np.int64)


class Actor:
    def policy(self):
        return Still()


def env_of(comm, seed=0):
    return SerialEnv(Seeded, 2, rank_seed(seed, comm))


@pytest.mark.parametrize(("size", "episodes"), [(2, 10), (3, 10), (4, 3)])
def test_all_ranks_get_the_episodes_of_all_in_order(size, episodes):
    found = run_threads(size, lambda comm: joint_evaluate(Still(), env_of(comm), episodes, comm))
    seeds = run_threads(size, lambda comm: rank_seed(0, comm))
    own = [evaluate(Still(), SerialEnv(Seeded, 2, seed), episodes) for seed in seeds]
    for returns, lengths in found:
        assert returns.shape == lengths.shape == (episodes,)
        for k in range(episodes):
            assert (returns[k], lengths[k]) == tuple(part[k // size] for part in own[k % size])
    assert len(set(found[0][0])) > 1


def test_one_seed_for_all_is_refused():
    def rank(comm):
        with pytest.raises(ValueError, match="have one seed, here 3, and play the same episodes"):
            joint_evaluate(Still(), SerialEnv(Seeded, 1, 3), 4, comm)

    run_threads(2, rank)


def test_an_evaluation_that_one_rank_leaves_is_left_by_all():
    def rank(comm):
        with pytest.raises(PutOff):
            joint_evaluate(Still(), env_of(comm), 4, comm, lambda: comm.rank == 1)

    run_threads(2, rank)


class Notes:
    def __init__(self):
        self.scores, self.scalars = [], []

    def score(self, t, returns):
        self.scores.append((t, returns))

    def scalar(self, name, value, t):
        self.scalars.append((name, float(value), t))


def test_the_first_rank_records_the_mean_over_episodes(tmp_path):
    def rank(comm):
        notes = Notes() if comm.rank == 0 else None
        watch = JointEvaluation(comm, Actor(), env_of(comm), 10, 5, notes)
        returns = watch.run(20)
        return notes, returns, watch.best_mean, watch.done

    (notes, returns, best, done), other, third = run_threads(3, rank)
    assert notes.scores[0][0] == 20
    assert ("eval/mean_reward", returns.mean(), 20) in notes.scalars
    assert len(returns) == 5
    for result in (other, third):
        np.testing.assert_array_equal(result[1], returns)
        assert result[2:] == (best, done) == (returns.mean(), 1)
