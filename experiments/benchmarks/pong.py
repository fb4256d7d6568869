"""DQN and PPO on Pong with the Nature CNN against Stable-Baselines3: same settings and frames, segments by turns."""

from timing import COUNT, Row, Skipped, missing, paired, table

# isort: split
from collections.abc import Iterator
from time import perf_counter
from typing import Any

from rlcore.agents import DQN, PPO, Agent
from rlcore.envs import SerialEnv
from rlcore.envs.atari import atari
from rlcore.harness import train
from rlcore.harness.config import from_dict
from rlcore.rng import generator

SEGMENTS = {DQN: 200, PPO: 1_024}  # env steps: 50 updates, and one of 16 minibatches
TURNS = 5  # a segment of either side
N_ENVS = {DQN: 1, PPO: 8}
EPSILON = 0.01  # constant, as it is for most of a run
DQN_SHARED = dict(learning_rate=1e-4, buffer_size=10_000, learning_starts=200, batch_size=32, max_grad_norm=10)
PPO_SHARED = dict(
    n_steps=128, batch_size=256, n_epochs=4, learning_rate=2.5e-4, clip_range=0.1, vf_coef=0.5, ent_coef=0.01
)
OURS: dict[type[Agent], dict[str, Any]] = {
    DQN: {
        **DQN_SHARED, "epsilon": EPSILON, "update_every": 4, "gradient_steps": 1, "n_step": 1,
        "target_update_interval": 250,
    },
    PPO: PPO_SHARED,
}  # fmt: skip
THEIRS: dict[type[Agent], dict[str, Any]] = {
    DQN: {
        **DQN_SHARED, "exploration_initial_eps": EPSILON, "exploration_final_eps": EPSILON, "train_freq": 4,
        "gradient_steps": 1, "target_update_interval": 1_000,
    },
    PPO: PPO_SHARED,
}  # fmt: skip


class Ours:
    def __init__(self, cls: type[Agent]) -> None:
        self.env, self.steps, self.t = SerialEnv(atari("pong"), N_ENVS[cls], seed=0), SEGMENTS[cls], 0
        spaces = self.env.observation_space, self.env.action_space
        self.agent = cls.from_spaces(*spaces, from_dict(cls.Config, OURS[cls]), generator(0))

    def segment(self) -> None:
        self.t = train(self.agent, self.env, self.t + self.steps, t=self.t)


class Theirs:
    def __init__(self, cls: type[Agent]) -> None:
        import stable_baselines3
        from stable_baselines3.common.env_util import make_atari_env
        from stable_baselines3.common.vec_env import VecFrameStack

        env = VecFrameStack(make_atari_env("PongNoFrameskip-v4", N_ENVS[cls], seed=0), 4)
        self.model = getattr(stable_baselines3, cls.__name__)("CnnPolicy", env, **THEIRS[cls], device="cpu", seed=0)
        self.steps = SEGMENTS[cls]

    def segment(self) -> None:
        self.model.learn(self.steps, reset_num_timesteps=False)


def seconds(side: Ours | Theirs) -> float:
    """Seconds an env step takes in the next segment."""
    start = perf_counter()
    side.segment()
    return (perf_counter() - start) / side.steps


def rows() -> Iterator[Row | Skipped]:
    for cls in (DQN, PPO):
        what = f"{cls.__name__} training on Pong, Nature CNN"
        if skipped := list(missing(what, "torch", "stable_baselines3", "ale_py", "cv2")):
            yield from skipped
            continue
        ours, theirs = Ours(cls), Theirs(cls)
        seconds(ours), seconds(theirs)  # DQN's has the steps before learning starts
        pair = paired([(seconds(ours), seconds(theirs)) for _ in range(TURNS)])
        rates = f"{1 / pair.ours:.3g} steps/s", f"{1 / pair.other:.3g} steps/s Stable-Baselines3"
        yield Row(what, *rates, pair.ratio, 1, "x")


if __name__ == "__main__":
    print(table(rows()), f"\nmedians of {TURNS} pairs of segments, {COUNT} thread(s)")
