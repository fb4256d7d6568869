"""What a run's settings make of an environment: the wrappers, their order, and the environment to evaluate on."""

from functools import partial

import gymnasium
import numpy as np
import pytest

import rlcore
from rlcore.envs import ForeignEnv, ProcessEnv, SerialEnv
from rlcore.envs.atari import atari
from rlcore.envs.make import EnvConfig, evaluation_env, make_env
from rlcore.envs.toy import Forever
from rlcore.envs.wrappers import (
    ClipReward,
    FlattenObservation,
    FrameStack,
    LastActionReward,
    NormalizeObservation,
    NormalizeReward,
    RandomizeAction,
    RecordVideo,
    RescaleAction,
    ScaleReward,
    SignReward,
    TimeLimit,
    Wrapper,
)

ALL = {
    "time_limit": (7, TimeLimit), "randomize_action": (0.5, RandomizeAction), "rescale_action": (True, RescaleAction),
    "flatten_obs": (True, FlattenObservation), "normalize_obs": (True, NormalizeObservation),
    "frame_stack": (3, FrameStack), "last_action_reward": (True, LastActionReward), "reward_scale": (0.1, ScaleReward),
    "normalize_reward": (True, NormalizeReward), "clip_reward": (2.0, ClipReward),
}  # fmt: skip

TRAINING = ("reward_scale", "normalize_reward", "clip_reward")  # for that alone


def chain(env):
    """The classes around an environment, the innermost first, and the environment."""
    names = []
    while isinstance(env, Wrapper):
        names.insert(0, type(env))
        env = env.env
    return names, env


@pytest.mark.parametrize("field", ALL)
def test_each_setting_is_a_wrapper(field):
    value, wrapper = ALL[field]
    env = make_env("Pendulum-v1", 2, 3, EnvConfig(**{field: value}))
    names, inner = chain(env)
    assert names == [wrapper]
    assert (type(inner), inner.n_envs, env.seed) == (SerialEnv, 2, 3)
    env.reset()
    env.step(np.zeros((2, 1), np.float32))


def test_all_of_them_come_in_order_and_rewards_stay_raw_for_evaluation():
    config = EnvConfig(**{field: value for field, (value, _) in ALL.items()})
    env = make_env("Pendulum-v1", 2, 0, config)
    assert chain(env)[0] == [wrapper for _, wrapper in ALL.values()]
    second = evaluation_env(env, "Pendulum-v1", 4, 9, config)
    names, inner = chain(second)
    assert names == [wrapper for name, (_, wrapper) in ALL.items() if name not in TRAINING]
    assert (inner.n_envs, second.seed) == (4, 9)
    moments = second.env.env.moments  # inside the stack of frames
    assert moments is env.env.env.env.env.env.moments
    assert not second.env.env.training


def test_settings_reach_their_wrappers():
    env = make_env(lambda: Forever(limit=50), 1, 0, EnvConfig(time_limit=3, reward_scale=0.5, clip_reward=0.25))
    env.reset()
    steps = [env.step(np.zeros(1, np.int64)) for _ in range(6)]
    assert [step.truncated.item() for step in steps] == [False, False, True] * 2
    assert {step.reward.item() for step in steps} == {0.25}
    assert steps[2].info["episode"][1].tolist() == [3.0]  # raw
    stack = make_env("Pendulum-v1", 1, 0, EnvConfig(frame_stack=4, normalize_reward=True, reward_gamma=0.5))
    assert stack.observation_space.shape == (4, 3)
    assert stack.gamma == 0.5


def test_processes():
    env = make_env("CartPole-v1", 3, 1, EnvConfig(vector="process", workers=2, env_timeout=9.0, on_fault="restart"))
    try:
        assert isinstance(env, ProcessEnv)
        assert (env.workers, env.timeout_s, env.on_fault) == (2, 9.0, "restart")
        here = make_env("CartPole-v1", 3, 1)
        np.testing.assert_array_equal(env.reset(), here.reset())
    finally:
        env.close()


def test_vector_environments_are_wrapped_too():
    vector = gymnasium.make_vec("CartPole-v1", num_envs=2, vectorization_mode="sync")
    names, inner = chain(make_env(vector, config=EnvConfig(normalize_obs=True)))
    assert (names, type(inner)) == ([NormalizeObservation], ForeignEnv)


def test_atari_by_a_protocol():
    pytest.importorskip("ale_py")
    pytest.importorskip("cv2")
    config = EnvConfig(atari="dqn")
    one, several = make_env("ALE/Pong-v5", 1, 0, config), make_env("ALE/Pong-v5", 2, 0, config)
    second = evaluation_env(several, "ALE/Pong-v5", 2, 5, config)
    try:
        assert type(one) is SerialEnv
        assert [type(one), *chain(several)[0]] == [SerialEnv, SignReward]
        assert chain(second)[0] == []
        own = atari("pong")
        third = evaluation_env(make_env(own), own, 1, 0, EnvConfig())
        assert third.make == own.evaluation
        third.close()
        several.reset()
        several.state()
        assert several.resumable == "replay"
        assert one.observation_space == several.observation_space == second.observation_space
        assert one.observation_space.shape == (4, 84, 84)
        assert type(chain(make_env("ALE/Pong-v5", 2, 0, EnvConfig(atari="machado", vector="serial")))[1]) is SerialEnv
        with pytest.raises(ValueError, match="is named by its id, ALE/Pong-v5 say"):
            make_env(Forever, 1, 0, config)
        with pytest.raises(ValueError, match="unknown Atari game 'ALE/Pang-v5'; did you mean pong"):
            make_env("ALE/Pang-v5", 1, 0, config)
    finally:
        for env in (one, several, second):
            env.close()


def test_videos(tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    pytest.importorskip("pygame")
    env = make_env("CartPole-v1")
    second = evaluation_env(env, "CartPole-v1", 1, 0, EnvConfig(), videos=tmp_path)
    assert isinstance(second, RecordVideo)
    second.reset()
    assert second.render(0).shape == (400, 600, 3)
    second.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vector": "threads"}, "vector must be 'auto' or 'serial' or 'process', got 'threads'"),
        ({"frame_stack": 0}, "frame_stack must be at least 1, got 0"),
        ({"reward_gamma": 1.5}, r"reward_gamma must be within \[0, 1\], got 1.5"),
        ({"clip_reward": 0.0}, "clip_reward must be above 0"),
        ({"atari": "paper"}, "atari must be 'dqn' or 'machado', got 'paper'"),
    ],
)
def test_odd_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        EnvConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"on_fault": "restart"}, "on_fault 'restart': ale_py restarts no games"),
        ({"time_limit": 100}, "time_limit: ale_py ends no game of several early; give vector 'serial' or 'process'"),
    ],
)
def test_games_that_ale_py_steps_are_not_restarted(settings, message):
    pytest.importorskip("ale_py")
    with pytest.raises(ValueError, match=message):
        make_env("ALE/Pong-v5", 2, 0, EnvConfig(atari="dqn", **settings))


def test_an_environment_that_is_in_use_is_none_to_evaluate_on():
    env = gymnasium.make("CartPole-v1")
    make = partial(gymnasium.wrappers.TimeLimit, env, 10)  # another wrapper each time
    with pytest.raises(ValueError, match="gave the environment of the training again"):
        evaluation_env(make_env(make), make, 1, 0, EnvConfig())


def test_a_run_takes_them_by_name(tmp_path):
    quick = dict(learning_starts=20, update_every=10, gradient_steps=1, hidden=(8,))
    run = rlcore.DQN("CartPole-v1", normalize_obs=True, frame_stack=2, folder=tmp_path / "run", **quick)
    run.learn(60)
    assert run.header()["envs"]["frame_stack"] == 2
    assert run.env.observation_space.shape == (2, 4)
    again = rlcore.Run.read(tmp_path / "run")
    np.testing.assert_array_equal(again.env.obs, run.env.obs)
    np.testing.assert_array_equal(again.evaluate(2), run.evaluate(2))
    with pytest.raises(ValueError, match="DQN has no setting 'normalise_obs'; did you mean normalize_obs"):
        rlcore.DQN("CartPole-v1", normalise_obs=True)


class Sized(gymnasium.Env):
    """Tells by its observation space how it was made."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}

    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, steps=3, render_mode=None):
        self.steps, self.render_mode = steps, render_mode
        self.observation_space = gymnasium.spaces.Box(0, steps, (1,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 0.0, True, False, {}

    def render(self):
        return np.zeros((8, 8, 3), np.uint8)


@pytest.mark.parametrize("vector", ["serial", "process"])
def test_what_the_environment_is_made_with(vector, tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    gymnasium.register("Sized-v0", "tests.envs.test_make:Sized")
    try:
        for env in ("Sized-v0", Sized):
            config = EnvConfig(env_kwargs={"steps": 5}, vector=vector)
            trained = make_env(env, 2, 0, config)
            assert trained.observation_space.high == 5
            for videos in (None, tmp_path):
                second = evaluation_env(trained, env, 1, 7, config, videos if isinstance(env, str) else None)
                assert second.observation_space.high == 5
            trained.close()
    finally:
        del gymnasium.registry["Sized-v0"]


@pytest.mark.parametrize(
    ("env", "settings", "message"),
    [
        ("CartPole-v1", {"env_kwargs": {"size": 3}}, "unexpected keyword argument 'size'"),
        ("CartPole-v1", {"env_kwargs": {"render_mode": object()}}, "env_kwargs takes JSON values"),
        ("CartPole-v1", {"env_kwargs": [1]}, r"env_kwargs takes dict, got \[1\]"),
        ("CartPole-v1", {"workers": 2}, "workers 2: only vector 'process' has some, it is 'auto', or an asynchronous"),
        (
            "ALE/Pong-v5",
            {"env_kwargs": {"mode": 1}, "atari": "dqn"},
            "the protocol 'dqn' says how Atari games are made",
        ),
        (SerialEnv("CartPole-v1"), {"env_kwargs": {"a": 1}}, "env_kwargs: the vector environment is made already"),
        (SerialEnv("CartPole-v1"), {"vector": "process", "workers": 1}, "vector, workers: the vector environment"),
        (SerialEnv("CartPole-v1"), {"on_fault": "restart"}, "on_fault: the vector environment is made already"),
        (SerialEnv("CartPole-v1"), {"atari": "dqn"}, "atari: the vector environment is made already"),
    ],
)
def test_arguments_that_it_cannot_be_made_with_are_refused(env, settings, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make_env(env, 1, 0, EnvConfig(**settings))


class Picky(gymnasium.Env):
    """Allows some actions at a time, and raises at the others."""

    observation_space, action_space = gymnasium.spaces.Box(0, 1, (2,)), gymnasium.spaces.Discrete(4)

    def drawn(self):
        self.mask = self.np_random.random(4) < 0.4
        self.mask[self.np_random.integers(4)] = True
        return self.np_random.random(2, np.float32), {"action_mask": self.mask}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.drawn()

    def step(self, action):
        if not self.mask[action]:
            raise ZeroDivisionError(f"action {action} of {self.mask}")
        self.t += 1
        obs, info = self.drawn()
        return obs, 1.0, self.t == 9, False, info


@pytest.mark.parametrize(
    "settings", [{"vector": "process", "flatten_obs": True}, {"frame_stack": 2, "normalize_obs": True}]
)
def test_masks_of_infos_are_kept_to_in_training_evaluation_and_at_random(settings):
    """The environment would raise."""
    settings = {**settings, "n_steps": 16, "batch_size": 16, "n_epochs": 1, "n_envs": 2}
    run = rlcore.PPO(Picky, mask_from_info=True, randomize_action=0.5, **settings)
    run.learn(120)
    assert run.evaluate(4).tolist() == [9.0] * 4
    run.close()
