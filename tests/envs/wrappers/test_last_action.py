"""LastActionReward: every row against the one before it, kinds of actions, and an agent that learns from it alone."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import rlcore
from rlcore.envs import SerialEnv
from rlcore.envs.make import EnvConfig, make_env
from rlcore.envs.toy import HashChain
from rlcore.envs.wrappers import LastActionReward, ScaleReward, twin
from tests.envs.wrappers.fakes import Tape, nested, same


@pytest.mark.parametrize("obs", [None, nested])
@pytest.mark.parametrize(("next_step", "faults"), [(False, 0.0), (False, 0.2), (True, 0.2)])
def test_each_row_shows_what_led_to_it(obs, next_step, faults):
    env = LastActionReward(Tape(3, 1, faults=faults, next_step=next_step, obs=obs))
    first, rng = env.reset(), np.random.default_rng(0)
    assert not first["last_action"].any()
    assert not first["last_reward"].any()
    for _ in range(60):
        action = rng.integers(0, 4, 3)
        step = env.step(action)
        inner = env.env.given[-1]
        for i in range(3):
            ended = inner["terminated"][i] or inner["truncated"][i]
            led = [float(k == action[i]) for k in range(4)], [inner["reward"][i]]
            begins = not inner["valid"][i] or (ended and not next_step)
            shown = step.obs["last_action"][i].tolist(), step.obs["last_reward"][i].tolist()
            assert shown == (([0.0] * 4, [0.0]) if begins else led)
            if inner["valid"][i]:
                assert (step.final_obs["last_action"][i].tolist(), step.final_obs["last_reward"][i].tolist()) == led
        inside = {k: v for k, v in step.obs.items() if not k.startswith("last_")}
        assert same(inside, inner["obs"] if obs is nested else {"obs": inner["obs"]})
        assert same(step.reward, inner["reward"])


class Doing(HashChain):
    def __init__(self, action_space):
        super().__init__()
        self.action_space = action_space

    def step(self, action):
        return super().step(0)[0], 5.0, False, False, {}


@pytest.mark.parametrize(
    ("space", "action", "shown"),
    [
        (spaces.Discrete(3, start=5), [5, 7], [[1, 0, 0], [0, 0, 1]]),
        (spaces.Box(-1, 1, (2, 1), np.float32), [[[0.5], [1]], [[-1], [0]]], [[0.5, 1], [-1, 0]]),
        (spaces.MultiBinary(3), [[1, 0, 1], [0, 0, 1]], [[1, 0, 1], [0, 0, 1]]),
    ],
)
def test_actions_of_each_kind_are_rows_of_numbers(space, action, shown):
    env = LastActionReward(SerialEnv(lambda: Doing(space), 2), clip=1.0)
    env.reset()
    obs = env.step(np.array(action, space.dtype)).obs
    np.testing.assert_array_equal(obs["last_action"], np.float32(shown))
    np.testing.assert_array_equal(obs["last_reward"], [[1], [1]])
    assert all(env.observation_space.contains({k: v[i] for k, v in obs.items()}) for i in range(2))


def test_what_it_cannot_show_is_refused():
    with pytest.raises(ValueError, match="needs actions of Discrete, Box or MultiBinary, got MultiDiscrete"):
        LastActionReward(SerialEnv(lambda: Doing(spaces.MultiDiscrete([2, 3])), 1))
    with pytest.raises(ValueError, match="have last_action, last_reward already"):
        LastActionReward(LastActionReward(Tape()))
    with pytest.raises(ValueError, match="clip must be above 0, got 0"):
        LastActionReward(Tape(), clip=0)
    with pytest.raises(ValueError, match="sees its last action and reward cannot be exported"):
        LastActionReward(Tape()).exported()


def test_rewards_are_seen_as_an_evaluation_shows_them():
    """Raw: what scales them for training comes after."""
    env = make_env("CartPole-v1", 1, 0, EnvConfig(last_action_reward=True, reward_scale=0.1))
    second = twin(env, SerialEnv("CartPole-v1", 1))
    assert (type(env), type(second), type(second.env)) == (ScaleReward, LastActionReward, SerialEnv)
    for one in (env, second):
        one.reset()
        assert one.step(np.zeros(1, np.int64)).obs["last_reward"] == 1


class Echo(gymnasium.Env):
    """Nothing is seen; rewarded is the other action than the last one, which only its own memory could tell."""

    observation_space, action_space = spaces.Box(0, 1, (1,), np.float32), spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.last, self.t = None, 0
        return np.ones(1, np.float32), {}

    def step(self, action):
        reward = float(self.last is not None and action != self.last)
        self.last, self.t = action, self.t + 1
        return np.ones(1, np.float32), reward, False, self.t == 8, {}


@pytest.mark.parametrize("last_action_reward", [True, False])
def test_a_network_without_a_memory_of_its_own_can_do_with_it(last_action_reward):
    run = rlcore.PPO(
        Echo, n_envs=8, n_steps=32, batch_size=64, n_epochs=4, gamma=0.0, learning_rate=1e-2, hidden=[16],
        last_action_reward=last_action_reward,
    ).learn(2_048)  # fmt: skip
    returns = run.evaluate(3)
    assert (returns == 7).all() == last_action_reward


def test_r2d2s_network_takes_the_last_action_and_reward():
    quick = dict(learning_starts=20, batch_size=4, sequence_length=4, burn_in=2, buffer_size=60, hidden=[8])
    run = rlcore.R2D2("CartPole-v1", last_action_reward=True, **quick).learn(60)
    assert {p.shape for path, p in run.agent.q.namedparams() if path.startswith("/body")} == {(8, 4 + 2 + 1), (8,)}
    assert run.agent.n_updates == 10
