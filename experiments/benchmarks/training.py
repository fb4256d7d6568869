"""Agents on CartPole-v1 and Pendulum-v1 against Stable-Baselines3 and PFRL: same settings, segments by turns."""

from timing import COUNT, Row, Skipped, missing, paired, table

# isort: split
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import pfrls
from rlcore.agents import A2C, DQN, PPO, SAC, TD3, TRPO, Agent
from rlcore.envs import SerialEnv
from rlcore.harness import Recorder, train
from rlcore.harness.config import from_dict
from rlcore.rng import generator

SEGMENTS = {DQN: 500, PPO: 4_096, A2C: 2_000, TRPO: 2_048, SAC: 100, TD3: 100}  # env steps; whole updates
WARM, TURNS = 3, 9  # turns of a segment of each side; learning starts in the first ones
EPSILON = 0.05  # constant: a random action costs less than a greedy one
DQN_SHARED = dict(
    learning_rate=1e-3,
    buffer_size=50_000,
    learning_starts=100,
    batch_size=32,
    target_update_interval=500,
    max_grad_norm=10,
)
PPO_SHARED = dict(n_steps=128, batch_size=256, n_epochs=4, learning_rate=2.5e-4, ent_coef=0.01)  # 64-64, as by default
A2C_SHARED = dict(learning_rate=7e-4, n_steps=5)  # the defaults of both
CONTROL_SHARED = dict(learning_rate=1e-3, buffer_size=50_000, learning_starts=256, batch_size=256)  # 256-256
N_ENVS = {DQN: 1, PPO: 8, A2C: 8, TRPO: 1, SAC: 1, TD3: 1}
CONTROL = (SAC, TD3)  # on Pendulum-v1; an update per env step
OURS: dict[type[Agent], dict[str, Any]] = {  # an update per env step of DQN, one-step targets
    DQN: {**DQN_SHARED, "epsilon": EPSILON, "hidden": (64, 64), "update_every": 1, "gradient_steps": 1, "n_step": 1},
    PPO: PPO_SHARED,
    A2C: A2C_SHARED,
    TRPO: {},  # the defaults of both: 2,048 steps, 15 products with the Fisher matrix
    SAC: CONTROL_SHARED,
    TD3: {**CONTROL_SHARED, "action_noise": (0.0,), "hidden": (256, 256)},
}
THEIRS: dict[type[Agent], dict[str, Any]] = {
    DQN: {
        **DQN_SHARED,
        "train_freq": 1,
        "gradient_steps": 1,
        "exploration_initial_eps": EPSILON,
        "exploration_final_eps": EPSILON,
        "policy_kwargs": {"net_arch": [64, 64]},
    },
    PPO: PPO_SHARED,
    A2C: A2C_SHARED,
    TRPO: {},  # the defaults of both: 2,048 steps, 15 products with the Fisher matrix
    SAC: CONTROL_SHARED,
    TD3: {**CONTROL_SHARED, "policy_kwargs": {"net_arch": [256, 256]}},
}


def env_of(cls: type[Agent]) -> str:
    return "Pendulum-v1" if cls in CONTROL else "CartPole-v1"


class Ours:
    """With the recorder that `rlcore train` uses, writing TensorBoard events and scores."""

    def __init__(self, cls: type[Agent], folder: Path):
        self.cls, self.env = cls, SerialEnv(env_of(cls), N_ENVS[cls], seed=0)
        spaces = self.env.observation_space, self.env.action_space
        self.agent = cls.from_spaces(*spaces, from_dict(cls.Config, OURS[cls]), generator(0))
        self.hooks = [Recorder(folder, n_envs=N_ENVS[cls])]
        self.t = 0

    def segment(self) -> None:
        self.t = train(self.agent, self.env, self.t + SEGMENTS[self.cls], self.hooks, self.t)


class Theirs:
    """Without a log: the less work for it, the safer the ratio."""

    def __init__(self, cls: type[Agent]) -> None:
        import stable_baselines3
        from stable_baselines3.common.env_util import make_vec_env

        self.cls, env = cls, make_vec_env(env_of(cls), N_ENVS[cls])
        model = getattr(stable_baselines3 if cls is not TRPO else import_module("sb3_contrib"), cls.__name__)
        self.model = model("MlpPolicy", env, **THEIRS[cls], device="cpu", seed=0)

    def segment(self) -> None:
        self.model.learn(SEGMENTS[self.cls], reset_num_timesteps=False)


class Pfrls:
    """The loop of `pfrls`, without a log."""

    def __init__(self, cls: type[Agent]) -> None:
        agents = {
            DQN: lambda: pfrls.dqn(DQN_SHARED, EPSILON),
            PPO: lambda: pfrls.ppo(PPO_SHARED, N_ENVS[PPO]),
            A2C: lambda: pfrls.a2c(A2C_SHARED, N_ENVS[A2C]),
            SAC: lambda: pfrls.sac(CONTROL_SHARED),
            TD3: lambda: pfrls.td3(CONTROL_SHARED),
        }
        self.cls = cls
        self.loop = pfrls.Pfrl(agents[cls](), env_of(cls), N_ENVS[cls], 2.0 if cls in CONTROL else None)

    def segment(self) -> None:
        self.loop.segment(SEGMENTS[self.cls])


def seconds(side: Ours | Theirs | Pfrls) -> float:
    """Seconds an env step takes in the next segment."""
    start = perf_counter()
    side.segment()
    return (perf_counter() - start) / SEGMENTS[side.cls]


def rows() -> Iterator[Row | Skipped]:
    for cls, bar in ((DQN, 7), (PPO, 3.5), (A2C, 4.5), (TRPO, 3), (SAC, 1.5), (TD3, 1.5)):
        what, rivals = f"{cls.__name__} training on {env_of(cls)}", {}
        sides = {"Stable-Baselines3": (Theirs, ("torch", "stable_baselines3"))}
        if cls is TRPO:
            sides = {"Stable-Baselines3-contrib": (Theirs, ("torch", "stable_baselines3", "sb3_contrib"))}
        else:
            sides["PFRL"] = (Pfrls, pfrls.NEEDED)
        for name, (side, needed) in sides.items():
            if skipped := list(missing(f"{what}, against {name}", *needed)):
                yield from skipped
            else:
                rivals[name] = side(cls)
        if not rivals:
            continue
        with TemporaryDirectory() as folder:
            ours = Ours(cls, Path(folder))
            turns = [[seconds(side) for side in (ours, *rivals.values())] for _ in range(WARM + TURNS)]
        for i, name in enumerate(rivals, 1):
            pair = paired([(turn[0], turn[i]) for turn in turns[WARM:]])
            yield Row(
                what, f"{1 / pair.ours:.0f} steps/s", f"{1 / pair.other:.0f} steps/s {name}", pair.ratio, bar, "x"
            )


if __name__ == "__main__":
    print(table(rows()), f"\nmedians of {TURNS} turns of segments, {COUNT} thread(s)")
