"""What vector environments give is refused unless it is what their spaces promise; masks come out of infos."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorWrapper

from rlcore.agents import DQN
from rlcore.agents.dqn import DQNConfig
from rlcore.envs import ForeignEnv
from rlcore.envs.toy import Chain, Forever
from rlcore.harness import train
from rlcore.rng import generator
from tests.envs.worlds import Reuses, World

MODES = list(AutoresetMode)
NEXT, SAME, DISABLED = AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED


# faults
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("what", "words"),
    [
        pytest.param(
            "obs", "stream 1 of .* NaN or infinity in the observation after step", marks=pytest.mark.fault(27)
        ),
        pytest.param("reward", "stream 1 of .* gave the reward .* in step 10", marks=pytest.mark.fault(26)),
    ],
)
@pytest.mark.parametrize("mode", MODES)
def test_what_is_no_number_is_caught_in_its_step(mode, what, words, bad):
    """In step 10, and the agent has not seen it; what comes after begins new episodes."""

    def spoilt(t, obs, reward):
        return (obs, bad if t == 10 else reward) if what == "reward" else (obs * bad if t == 10 else obs, reward)

    env = ForeignEnv(SyncVectorEnv([World, lambda: World(change=spoilt)], autoreset_mode=mode))
    agent = DQN.from_spaces(env.observation_space, env.action_space, DQNConfig(hidden=(4,)), generator(0))
    with pytest.raises(ValueError, match=words):
        train(agent, env, 100)
    assert agent.t == 9 * 2
    step = env.step(np.zeros(2, int))
    assert not step.valid.any()
    assert (step.obs == 0).all()
    assert env.step(np.zeros(2, int)).valid.all()


class Gives(gymnasium.vector.VectorEnv):
    """Gives what it is told to."""

    def __init__(self, space, obs, info=None, reward=(0.0, 0.0)):
        self.num_envs, self.metadata = 2, {"autoreset_mode": NEXT}
        self.single_observation_space, self.single_action_space = space, spaces.Discrete(3)
        self.obs, self.info, self.given = obs, info or {}, reward

    def reset(self, *, seed=None, options=None):
        return self.obs, self.info

    def step(self, actions):
        return self.obs, self.given, np.zeros(2, bool), np.zeros(2, bool), self.info


BOX, BYTES = spaces.Box(-1, 1, (3,), np.float32), spaces.Box(0, 255, (3,), np.uint8)
TWO = spaces.Dict({"a": BOX, "b": spaces.Tuple((spaces.Discrete(4), BYTES))})
GOOD = {"a": np.zeros((2, 3)), "b": (np.zeros(2, int), np.zeros((2, 3), np.uint8))}


@pytest.mark.fault(29)
@pytest.mark.parametrize(
    ("space", "obs", "words"),
    [
        (BOX, np.zeros((2, 4), np.float32), r"shape \(2, 4\) float32, .* promises \(2, 3\) float32"),
        (BOX, np.zeros((3, 2), np.float32), r"shape \(3, 2\)"),
        (BOX, np.zeros((2, 3), complex), "complex128"),
        (BYTES, np.zeros((2, 3), np.float32), r"shape \(2, 3\) float32, .* promises \(2, 3\) uint8"),
        (BYTES, np.full((2, 3), "a"), "<U1"),
        (TWO, {**GOOD, "a": np.zeros((2, 2))}, r"shape \(2, 2\) float64"),
        (TWO, {"a": GOOD["a"]}, "are not of Dict"),
        (TWO, np.zeros((2, 3)), "are not of Dict"),
        (TWO, {**GOOD, "b": (np.zeros(2, int),)}, "are not of Dict"),
    ],
)
def test_what_is_not_promised_is_refused(space, obs, words):
    with pytest.raises(ValueError, match=rf"Gives.*: reset\(\) gave observations .*{words}"):
        ForeignEnv(Gives(space, obs)).reset()
    good = {id(BOX): np.zeros((2, 3)), id(BYTES): np.zeros((2, 3), np.uint8), id(TWO): GOOD}[id(space)]
    env = ForeignEnv(Gives(space, good))
    env.reset()
    env.env.obs = obs
    with pytest.raises(ValueError, match=rf"Gives.*: step\(\) gave observations .*{words}"):
        env.step(np.zeros(2, int))


@pytest.mark.fault(29)
def test_first_observations_out_of_bounds_are_told():
    with pytest.raises(ValueError, match=r"Gives.*: reset\(\) gave an observation out of the bounds of Discrete\(4\)"):
        ForeignEnv(Gives(spaces.Discrete(4), np.array([3, 4]))).reset()
    with pytest.warns(UserWarning, match=r"Gives.*: reset\(\) gave an observation out of the bounds of Box"):
        ForeignEnv(Gives(BOX, np.full((2, 3), 1.5))).reset()
    ForeignEnv(Gives(BOX, np.full((2, 3), 1.0))).reset()


def test_casts_within_a_kind_are_made():
    for space, obs in ((BOX, np.ones((2, 3))), (BOX, np.ones((2, 3), np.float16)), (BOX, np.ones((2, 3), int))):
        given = ForeignEnv(Gives(space, obs)).reset()
        assert given.dtype == np.float32
        assert given.tolist() == obs.tolist()


@pytest.mark.parametrize("reward", [np.zeros(3), np.zeros((2, 1)), np.array(["1", "2"]), 0.0])
def test_bad_rewards_are_refused(reward):
    env = ForeignEnv(Gives(BOX, np.zeros((2, 3)), reward=reward))
    env.reset()
    with pytest.raises(ValueError, match=r"gave rewards of shape .*, expected \(2,\)"):
        env.step(np.zeros(2, int))


# one array for all observations
class Own(VectorWrapper):
    """Of a class of its own, into which nobody sees."""

    @property
    def unwrapped(self):
        return self


@pytest.mark.fault(30)
@pytest.mark.parametrize("mode", [NEXT, DISABLED])
def test_an_environment_may_give_one_array_again_and_again(mode):
    env = ForeignEnv(SyncVectorEnv([Reuses] * 2, autoreset_mode=mode, copy=False))
    first = env.reset()[:, 0] - 0
    steps = [env.step(np.zeros(2, int)) for _ in range(3)]
    assert (steps[2].final_obs[:, 0] - first).tolist() == [3, 3]
    assert (steps[2].obs[:, 0] - first).tolist() != [3, 3]


@pytest.mark.fault(30)
@pytest.mark.parametrize("around", [lambda env: env, VectorWrapper])
def test_where_a_last_observation_is_lost_by_that_it_is_refused(around):
    env = ForeignEnv(around(SyncVectorEnv([lambda: Reuses(2)] * 2, autoreset_mode=SAME)))
    env.reset()
    env.step(np.zeros(2, int))
    with pytest.raises(ValueError, match=r"stream 0 of .* gives one array again and again, so that SAME_STEP loses"):
        env.step(np.zeros(2, int))


@pytest.mark.fault(30)
def test_where_a_last_observation_seems_lost_it_is_said():
    env = ForeignEnv(Own(SyncVectorEnv([lambda: Reuses(2)] * 2, autoreset_mode=SAME)))
    env.reset()
    for _ in range(5):
        env.step(np.zeros(2, int))
    with pytest.warns(UserWarning, match="so far each episode's last observation was the first of the next one"):
        env.step(np.zeros(2, int))
    for _ in range(20):
        env.step(np.zeros(2, int))


@pytest.mark.parametrize("make", [lambda: Chain(2, limit=3), lambda: Forever(3)])
def test_what_comes_back_to_its_start_by_chance_is_not_suspected(make):
    env = ForeignEnv(Own(SyncVectorEnv([make] * 2, autoreset_mode=SAME)))
    env.reset()
    rng = generator(0)
    for _ in range(100):
        env.step(rng.integers(2, size=2))


# action masks
class Masked(World):
    """After t steps action t % 3 is forbidden; ends after 4 steps, by its end or cut."""

    def __init__(self, cut=False, last=True, kind=np.array):
        super().__init__(action_space=spaces.Discrete(3) if kind is np.array else spaces.MultiDiscrete([2, 1]))
        self.cut, self.last, self.kind = cut, last, kind

    def info(self):
        mask = np.ones(3, bool)
        mask[self.t % 3] = False
        if self.t == 4 and not self.last:
            return {}
        return {"action_mask": mask if self.kind is np.array else (mask[:2], mask[2:])}

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0], self.info()

    def step(self, action):
        obs, reward, *_ = super().step(action)
        return obs, reward, self.t == 4 and not self.cut, self.t == 4 and self.cut, self.info()


def forbidden(obs):
    assert obs["action_mask"].dtype == np.int8
    assert (obs["action_mask"].sum(1) >= 2).all()
    return np.where(obs["action_mask"].all(1), -1, obs["action_mask"].argmin(1)).tolist()


def check_masks(env, at_once=True, last=1):
    assert env.observation_space["action_mask"] == spaces.MultiBinary(3)
    assert forbidden(env.reset()) == [0, 0]
    action = np.zeros((env.n_envs, *env.action_space.shape), int)
    steps = [env.step(action) for _ in range(4)]
    assert forbidden(steps[2].obs) == [0, 0]
    assert forbidden(steps[3].final_obs) == [last, last]
    assert steps[3].final_obs["obs"].tolist() == [[4, 4], [4, 4]]
    assert forbidden(steps[3].obs) == ([0, 0] if at_once else [last, last])
    assert forbidden(env.step(action).obs) == ([1, 1] if at_once else [0, 0])


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_masks_out_of_infos(mode, cut):
    check_masks(ForeignEnv(SyncVectorEnv([lambda: Masked(cut)] * 2, autoreset_mode=mode), mask_from_info=True))


@pytest.mark.parametrize("mode", MODES)
def test_masks_where_rows_are_spent(mode):
    env = VectorWrapper(SyncVectorEnv([Masked] * 2, autoreset_mode=mode))
    check_masks(ForeignEnv(env, mask_from_info=True), at_once=mode is not NEXT)


def test_masks_from_processes():
    env = ForeignEnv(AsyncVectorEnv([Masked] * 2, autoreset_mode=SAME, context="forkserver"), mask_from_info=True)
    check_masks(env)
    env.close()


@pytest.mark.parametrize("mode", MODES)
def test_masks_of_several_choices(mode):
    made = SyncVectorEnv([lambda: Masked(kind=tuple)] * 2, autoreset_mode=mode)
    check_masks(ForeignEnv(made, mask_from_info=True))


@pytest.mark.parametrize("mode", MODES)
def test_a_last_observation_may_come_without_a_mask(mode):
    """All is allowed then; but a cut one is acted on, in its value."""
    made = SyncVectorEnv([lambda: Masked(last=False)] * 2, autoreset_mode=mode)
    check_masks(ForeignEnv(made, mask_from_info=True), last=-1)
    env = ForeignEnv(
        SyncVectorEnv([lambda: Masked(cut=True, last=False)] * 2, autoreset_mode=mode), mask_from_info=True
    )
    env.reset()
    for _ in range(3):
        env.step(np.zeros(2, int))
    with pytest.raises(ValueError, match=r"stream 0 of SyncVectorEnv.*: there is no info\['action_mask'\]"):
        env.step(np.zeros(2, int))


def test_masked_streams_resume():
    def make(seed):
        return ForeignEnv(SyncVectorEnv([lambda: Masked(cut=True)] * 2, autoreset_mode=SAME), seed, mask_from_info=True)

    env, other = make(0), make(1)
    env.reset()
    for _ in range(6):
        env.step(np.zeros(2, int))
    other.load(env.state())
    for _ in range(6):
        a, b = env.step(np.zeros(2, int)), other.step(np.zeros(2, int))
        assert all((a.obs[k] == b.obs[k]).all() for k in a.obs)


def test_bad_masks_are_refused():
    with pytest.raises(
        ValueError, match=r"stream 0 of Gives.*: there is no info\['action_mask'\], which mask_from_info"
    ):
        ForeignEnv(Gives(BOX, np.zeros((2, 3))), mask_from_info=True).reset()
    with pytest.raises(ValueError, match=r"stream 0 of Gives.*: info\['action_mask'\] has shape \(4,\), not \(3,\)"):
        ForeignEnv(Gives(BOX, np.zeros((2, 3)), {"action_mask": np.ones((2, 4))}), mask_from_info=True).reset()
    with pytest.raises(ValueError, match="only Discrete and MultiDiscrete actions can be masked, not Box"):
        ForeignEnv(gymnasium.make_vec("Pendulum-v1", 2, vectorization_mode="sync"), mask_from_info=True)
