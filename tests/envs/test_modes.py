"""Training is the same, bit for bit, whichever vector environment steps the streams and however it resets them.

Where it is not the same, as rows are spent on resets, the transitions are.
"""

from __future__ import annotations

import copy
from functools import partial

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.classic_control import CartPoleEnv
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

from rlcore.agents import DQN, PPO
from rlcore.agents.dqn import DQNConfig
from rlcore.agents.ppo import PPOConfig
from rlcore.envs import ForeignEnv, SerialEnv, episode_seed
from rlcore.envs.process import ProcessEnv
from rlcore.envs.toy import Forever
from rlcore.envs.wrappers import Wrapper
from rlcore.explorers import Schedule
from rlcore.harness import train
from rlcore.rng import generator
from tests.envs.worlds import Cut

MODES = list(AutoresetMode)
NEXT, SAME, DISABLED = AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED
N, SEED = 3, 11
AGENTS = {
    "dqn": (DQN, DQNConfig(Schedule(1e-2), 200, 30, 8, 0.9, 2, 6, 2, 12, 1.0, Schedule(0.3), hidden=(8,))),
    "ppo": (PPO, PPOConfig(Schedule(1e-2), n_steps=16, batch_size=16, n_epochs=2, hidden=(8,))),
}


def trained(name, env, rows=330):
    """All that an agent is after some hundred rows."""
    cls, config = AGENTS[name]
    agent = cls.from_spaces(env.observation_space, env.action_space, config, generator(1))
    ends = []
    train(agent, env, rows, [lambda t, step, stats: ends.extend([step.terminated.sum(), step.truncated.sum()])])
    assert sum(ends[::2]) > 5
    assert sum(ends[1::2]) > 5
    return in_bytes(agent.state())


def in_bytes(tree):
    if isinstance(tree, dict):
        return {k: in_bytes(v) for k, v in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [in_bytes(v) for v in tree]
    return tree.tobytes() if isinstance(tree, np.ndarray) else tree


@pytest.fixture(scope="module")
def serial():
    """What each agent has learnt from SerialEnv."""
    return {name: trained(name, SerialEnv(Cut, N, SEED)) for name in AGENTS}


@pytest.mark.parametrize("name", AGENTS)
def test_another_seed_learns_something_else(name, serial):
    """The tests below could fail."""
    assert trained(name, SerialEnv(Cut, N, SEED + 1)) != serial[name]


@pytest.mark.parametrize("name", AGENTS)
@pytest.mark.parametrize("mode", MODES)
def test_training_is_that_of_the_serial_env(mode, name, serial):
    assert trained(name, ForeignEnv(SyncVectorEnv([Cut] * N, autoreset_mode=mode), SEED)) == serial[name]


@pytest.mark.parametrize(("mode", "shared"), [*[(mode, True) for mode in MODES], (SAME, False), (DISABLED, False)])
def test_training_in_processes_is_that_of_the_serial_env(mode, shared, serial):
    made = AsyncVectorEnv([Cut] * N, autoreset_mode=mode, shared_memory=shared, context="forkserver")
    env = ForeignEnv(made, SEED)
    try:
        for name in AGENTS:
            assert trained(name, env) == serial[name], name
    finally:
        env.close()


@pytest.mark.parametrize("name", AGENTS)
def test_training_in_our_processes_is_that_of_the_serial_env(name, serial):
    env = ProcessEnv(Cut, N, SEED, workers=2)
    try:
        assert trained(name, env) == serial[name]
    finally:
        env.close()


# rows that are no transitions
class Drawn(gymnasium.Wrapper):
    """Draws the seeds of the episodes that others begin without: those which stream `i` of N has."""

    def __init__(self, env, i):
        super().__init__(env)
        self.number = i - N

    def reset(self, *, seed=None, options=None):
        self.number += N
        return self.env.reset(seed=episode_seed(SEED, self.number), options=options)


class Together(VectorEnv):
    """A vector environment of its own class, which takes one seed and knows no mask."""

    def __init__(self, num_envs, mode):
        self.num_envs, self.metadata = num_envs, {"autoreset_mode": mode}
        self.envs = [Drawn(Cut(), i) for i in range(num_envs)]
        self.single_observation_space, self.single_action_space = Cut().observation_space, Cut().action_space
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.over = np.zeros(num_envs, bool)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.over[:] = False
        return np.stack([env.reset()[0] for env in self.envs]), {}

    def step(self, actions):
        same, last = self.metadata["autoreset_mode"] == SAME, np.full(self.num_envs, None)
        rows = []
        for i, env in enumerate(self.envs):
            if self.over[i]:
                rows.append((env.reset()[0], 0.0, False, False))
            else:
                rows.append(env.step(actions[i])[:4])
            self.over[i] = (rows[i][2] or rows[i][3]) and not same
            if same and (rows[i][2] or rows[i][3]):
                last[i] = rows[i][0]
                rows[i] = (env.reset()[0], *rows[i][1:])
        obs, *rest = zip(*rows)
        return np.stack(obs), *map(np.array, rest), {"final_obs": last} if same else {}


def transitions(env, steps):
    """Of each stream, all that valid rows say, under a policy that looks at the observation alone."""
    obs, seen = env.reset().copy(), [[] for _ in range(N)]
    for _ in range(steps):
        action = (np.abs(obs).sum(1) * 100).astype(int) % 3
        step = env.step(action)
        for i in step.valid.nonzero()[0]:
            kept = obs[i], action[i], step.reward[i], step.final_obs[i], step.terminated[i], step.truncated[i]
            seen[i].append([np.asarray(x).tobytes() for x in kept])
        obs = step.obs.copy()
    return seen


@pytest.mark.parametrize("mode", [NEXT, SAME])
@pytest.mark.parametrize("kind", ["wrapper", "vector_entry_point"])
def test_transitions_are_those_of_the_serial_env_where_rows_are_spent(kind, mode):
    if kind == "wrapper":
        made = VectorWrapper(SyncVectorEnv([lambda i=i: Drawn(Cut(), i) for i in range(N)], autoreset_mode=mode))
    else:
        gymnasium.register("Together-v0", vector_entry_point=partial(Together, mode=mode))
        made = gymnasium.make_vec("Together-v0", num_envs=N, vectorization_mode="vector_entry_point")
        del gymnasium.registry["Together-v0"]
    steps = 300
    ours, theirs = transitions(SerialEnv(Cut, N, SEED), steps), transitions(ForeignEnv(made), steps)
    for one, other in zip(ours, theirs):
        spent = steps - len(other)
        assert spent == (0 if mode is SAME else sum(row[4] != row[5] for row in other[:-1]))
        assert one[: len(other)] == other
        assert mode is SAME or spent > 20


# ale_py's vector environment
def atari(game="pong", n=2, **settings):
    ale_py = pytest.importorskip("ale_py")
    return ale_py.AtariVectorEnv(game, num_envs=n, num_threads=1, **settings)


def test_ale_by_brute_force():
    """Of four frames a successor shares three; frame counters say that each action was held for four."""
    seen = {}
    for mode in (NEXT, SAME):
        made = atari(autoreset_mode=mode, max_num_frames_per_episode=60)
        env, infos, ends, seen[mode] = ForeignEnv(made, seed=3, reseed="episode"), [], 0, []
        step_, reset_ = made.step, made.reset
        made.step = lambda action, step_=step_, infos=infos: infos.append(step_(action)) or infos[-1]
        made.reset = lambda reset_=reset_, infos=infos, **how: infos.append(reset_(**how)) or infos[-1]
        obs, rng = env.reset().copy(), generator(0)
        for _ in range(35):
            frames = infos[-1][-1]["episode_frame_number"].copy()
            action = rng.integers(6, size=2)
            step = env.step(action)
            np.testing.assert_array_equal(step.final_obs[:, :-1], obs[:, 1:])
            assert step.valid.all()
            now = infos[-1][-1]["episode_frame_number"]
            np.testing.assert_array_equal(now[~step.ended], frames[~step.ended] + 4)
            assert not (step.obs[step.ended] == step.final_obs[step.ended]).all((1, 2, 3)).any()
            assert (step.info["episode"][0].tolist() if step.info else []) == step.ended.nonzero()[0].tolist()
            ends += step.ended.sum()
            obs = step.obs.copy()
            seen[mode].append([array.tobytes() for array in step[:6]])
        assert ends >= 4
    assert seen[NEXT] == seen[SAME]


def test_ale_resumes_by_seeds():
    settings = dict(max_num_frames_per_episode=60, repeat_action_probability=0.25)
    env, other = (ForeignEnv(atari(**settings), seed, reseed="episode") for seed in (3, 4))
    env.reset()
    rng = generator(0)
    for _ in range(20):
        env.step(rng.integers(6, size=2))
    env.restart(np.array([False, True]))
    for _ in range(7):
        env.step(rng.integers(6, size=2))
    assert env.resumable == "replay"
    assert other.load(copy.deepcopy(env.state())).tobytes() == env.obs.tobytes()
    for _ in range(15):
        action = rng.integers(6, size=2)
        assert [x.tobytes() for x in env.step(action)[:6]] == [x.tobytes() for x in other.step(action)[:6]]


def test_ale_by_default_seeds_once():
    env = ForeignEnv(atari())
    env.reset()
    assert (env.reseed, env.resumable) == ("once", "no")
    with pytest.warns(UserWarning, match="as only its first episodes are seeded"):
        env.state()


@pytest.mark.parametrize("mode", [NEXT, SAME])
def test_ale_counts_whole_games(mode):
    """A lost life ends an episode, and the game goes on: nothing is reset, and nothing is told."""
    env = ForeignEnv(atari("breakout", autoreset_mode=mode, life_loss_info=True, reward_clipping=False), seed=1)
    obs, rng = env.reset().copy(), generator(0)
    lost, games, total, length = 0, 0, np.zeros(2), np.zeros(2, int)
    for _ in range(200):
        step = env.step(rng.integers(4, size=2))
        np.testing.assert_array_equal(step.final_obs[:, :-1], obs[:, 1:])
        total += step.reward
        length += 1
        assert step.valid.all()
        over = np.zeros(2, bool)
        if step.info:
            stream, returns, lengths = step.info["episode"]
            over[stream] = True
            assert (returns.tolist(), lengths.tolist()) == (total[stream].tolist(), length[stream].tolist())
            total[stream], length[stream] = 0, 0
            games += len(stream)
        assert (step.terminated | ~over).all()
        lost += (step.terminated & ~over).sum()
        same = (step.obs == step.final_obs).all((1, 2, 3))
        assert same[~over].all()
        assert not same[over].any()
        obs = step.obs.copy()
    assert games >= 2
    assert games * 4 <= lost <= games * 4 + 8


def test_ale_with_a_game_for_each_life():
    """episodic_life looks like life_loss_info until the next row: that one is spent, no other."""
    env = ForeignEnv(atari("breakout", episodic_life=True), seed=1)
    obs, rng, valid, told = env.reset().copy(), generator(0), [], 0
    for _ in range(150):
        step = env.step(rng.integers(4, size=2))
        valid.append(step.valid)
        np.testing.assert_array_equal(step.final_obs[step.valid][:, :-1], obs[step.valid][:, 1:])
        told += len(step.info["episode"][0]) if step.info else 0
        obs = step.obs.copy()
    assert 1 <= (~np.array(valid)).sum() <= 2
    assert told >= 6
    with pytest.warns(UserWarning, match="cannot be resumed exactly"):
        state = copy.deepcopy(env.state())
    other = ForeignEnv(atari("breakout", episodic_life=True))
    other.load(state)
    assert [other.step(rng.integers(4, size=2)).valid.all() for _ in range(60)] == [False] + [True] * 59


# EnvPool
def pool(name, **settings):
    envpool = pytest.importorskip("envpool")
    return envpool.make(name, env_type="gymnasium", seed=5, **settings)


@pytest.mark.filterwarnings("ignore:.*precision lowered")
def test_envpool_by_brute_force():
    """Gymnasium's CartPole gives each successor; first observations are within 0.05 of upright."""
    env, model = ForeignEnv(pool("CartPole-v1", num_envs=4, max_episode_steps=15)), CartPoleEnv()
    obs, rng, ends, length = env.reset().copy(), generator(0), [0, 0], np.zeros(4, int)
    for _ in range(120):
        action = rng.integers(2, size=4)
        step = env.step(action)
        length += 1
        for i in range(4):
            model.reset()
            model.state = obs[i].astype(float)
            np.testing.assert_allclose(step.final_obs[i], model.step(action[i])[0], rtol=1e-4, atol=1e-5)
        assert step.valid.all()
        assert (step.reward == 1).all()
        np.testing.assert_array_equal(step.truncated, length == 15)
        assert (np.abs(step.obs[step.ended]) <= 0.05).all()
        np.testing.assert_array_equal(step.obs[~step.ended], step.final_obs[~step.ended])
        if step.info:
            assert step.info["episode"][0].tolist() == step.ended.nonzero()[0].tolist()
            assert step.info["episode"][2].tolist() == length[step.ended].tolist()
        length[step.ended] = 0
        ends[0] += step.terminated.sum()
        ends[1] += step.truncated.sum()
        obs = step.obs.copy()
    assert min(ends) > 3
    obs, _ = env.restart(np.array([False, True, False, True]))
    assert (np.abs(obs[[1, 3]]) <= 0.05).all()
    assert env.resumable == "no"
    with pytest.warns(
        UserWarning, match="CartPoleGymnasiumEnvPool cannot be resumed exactly, as EnvPool takes no seeds"
    ):
        state = env.state()
    last = env.obs.copy()
    assert env.load(copy.deepcopy(state)).tobytes() == last.tobytes()
    assert not env.step(np.zeros(4, int)).valid.any()


@pytest.mark.filterwarnings("ignore:.*precision lowered")
def test_envpool_counts_whole_games():
    """After a lost life a row is spent, the game goes on; rewards are clipped, those of the game are not."""
    env = ForeignEnv(pool("Breakout-v5", num_envs=2, episodic_life=True, reward_clip=True))
    env.reset()
    rng, spent, lost, games = generator(0), 0, np.zeros(2, bool), 0
    for _ in range(400):
        step = env.step(rng.integers(4, size=2))
        np.testing.assert_array_equal(step.valid, ~lost)
        told = np.zeros(2, bool)
        if step.info:
            told[step.info["episode"][0]] = True
        lost = step.ended & ~told
        spent += lost.sum()
        games += told.sum()
    assert games >= 4
    assert games * 4 <= spent <= games * 4 + 8


@pytest.mark.filterwarnings("ignore:.*precision lowered")
def test_what_steps_a_part_of_its_streams_is_refused():
    for made in (pool("CartPole-v1", num_envs=4, batch_size=2), atari(n=4, batch_size=2)):
        with pytest.raises(ValueError, match="gives a part of its streams at each step; use batch_size = num_envs"):
            ForeignEnv(made)


# time limits
class AsEnds(Wrapper):
    """What a learner makes of a time limit that it takes for an end."""

    def after(self, step):
        return step._replace(terminated=step.ended, truncated=np.zeros(self.n_envs, bool))


@pytest.mark.parametrize("how", [lambda env: env, VectorWrapper])
def test_values_of_a_time_limited_task(how):
    """Reward 1 for ever, cut after 5 steps: 1 / (1 - 0.8) = 5 if that is bootstrapped, whatever rows are spent."""
    config = DQNConfig(Schedule(2e-2), 1_000, 20, 16, 0.8, 1, 2, 1, 1, 0.1, Schedule(1.0), hidden=(8,))
    values = []
    for around in (lambda env: env, AsEnds):
        env = around(ForeignEnv(how(SyncVectorEnv([partial(Forever, 5)] * 2, autoreset_mode=NEXT))))
        agent = DQN.from_spaces(env.observation_space, env.action_space, config, generator(0))
        train(agent, env, 1_500)
        values.append(agent.q(np.ones((1, 1), np.float32)).array)
    np.testing.assert_allclose(values[0], 5, atol=0.2)
    assert (values[1] < 4.2).all()
