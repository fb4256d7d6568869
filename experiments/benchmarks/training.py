"""DQN on CartPole-v1 against Stable-Baselines3 with the same settings, in segments by turns."""

from timing import COUNT, PAIRS, Row, Skipped, missing, paired, table

# isort: split
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from rlcore.agents import DQN, DQNConfig
from rlcore.envs import SerialEnv
from rlcore.harness import Recorder, train
from rlcore.harness.config import from_dict
from rlcore.rng import generator

SEGMENT = 1000  # env steps
EPSILON = 0.05  # constant: a random action costs less than a greedy one
SHARED = dict(
    learning_rate=1e-3,
    buffer_size=50_000,
    learning_starts=100,
    batch_size=32,
    target_update_interval=500,
    max_grad_norm=10,
)
PLAIN = dict(update_every=1, gradient_steps=1, n_step=1)  # an update per env step, one-step targets


class Ours:
    """With the recorder that `rlcore train` uses, writing TensorBoard events and scores."""

    def __init__(self, folder: Path):
        self.env = SerialEnv("CartPole-v1", seed=0)
        config = from_dict(DQNConfig, {**SHARED, "epsilon": EPSILON, "hidden": (64, 64), **PLAIN})
        spaces = self.env.observation_space, self.env.action_space
        self.agent = DQN.from_spaces(*spaces, config, generator(0))
        self.hooks = [Recorder(folder, n_envs=1)]
        self.t = 0

    def segment(self) -> None:
        self.t = train(self.agent, self.env, self.t + SEGMENT, self.hooks, self.t)


class Theirs:
    """Without a log: the less work for it, the safer the ratio."""

    def __init__(self) -> None:
        import stable_baselines3

        self.model = stable_baselines3.DQN(
            "MlpPolicy",
            "CartPole-v1",
            **SHARED,
            train_freq=1,
            gradient_steps=1,
            exploration_initial_eps=EPSILON,
            exploration_final_eps=EPSILON,
            policy_kwargs={"net_arch": [64, 64]},
            device="cpu",
            seed=0,
        )

    def segment(self) -> None:
        self.model.learn(SEGMENT, reset_num_timesteps=False)


def seconds(side: Ours | Theirs) -> float:
    """Seconds an env step takes in the next segment."""
    start = perf_counter()
    side.segment()
    return (perf_counter() - start) / SEGMENT


def rows() -> list[Row | Skipped]:
    if skipped := list(missing("DQN training against Stable-Baselines3", "torch", "stable_baselines3")):
        return skipped
    with TemporaryDirectory() as folder:
        ours, theirs = Ours(Path(folder)), Theirs()
        seconds(ours), seconds(theirs)  # the first segment has the steps before learning starts
        pair = paired([(seconds(ours), seconds(theirs)) for _ in range(PAIRS)])
    rates = f"{1 / pair.ours:.0f} steps/s", f"{1 / pair.other:.0f} steps/s Stable-Baselines3"
    return [Row("DQN training on CartPole-v1", *rates, pair.ratio, 7, "x")]


if __name__ == "__main__":
    print(table(rows()), f"\nmedians of {PAIRS} pairs of segments of {SEGMENT} env steps, {COUNT} thread(s)")
