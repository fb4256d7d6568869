"""PFRL's agents with the settings of `training`, driven by the plainest loop over Gymnasium's environments."""

from timing import COUNT  # noqa: F401  # sets the number of threads before PyTorch is there

# isort: split
import logging
import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from random import randrange
from typing import Any

import gymnasium
import numpy as np

NEEDED = ("torch", "pfrl", "gym")  # the old gym, which PFRL imports
rng = np.random.default_rng(0)
Settings = dict[str, Any]


def pfrl() -> Any:
    """The package; gym warns of itself and of NumPy 2, A2C of truncation."""
    warnings.simplefilter("ignore")
    logging.getLogger("gym").setLevel(logging.ERROR)
    import pfrl

    return pfrl


def layers(sizes: Sequence[int], activation: str, *head: Any) -> Any:
    from torch import nn

    out: list[Any] = []
    for a, b in pairwise(sizes):
        out += [nn.Linear(a, b), getattr(nn, activation)()]
    return nn.Sequential(*out[:-1], *head)


def dqn(shared: Settings, epsilon: float) -> Any:
    from torch.optim import Adam

    p = pfrl()
    q = layers((4, 64, 64, 2), "ReLU", p.q_functions.DiscreteActionValueHead())
    return p.agents.DQN(
        q, Adam(q.parameters(), shared["learning_rate"]), p.replay_buffers.ReplayBuffer(shared["buffer_size"]), 0.99,
        p.explorers.ConstantEpsilonGreedy(epsilon, lambda: randrange(2)),
        replay_start_size=shared["learning_starts"], minibatch_size=shared["batch_size"], update_interval=1,
        target_update_interval=shared["target_update_interval"], max_grad_norm=shared["max_grad_norm"],
    )  # fmt: skip


def actor_critic() -> Any:
    """Networks of 64-64 for policy and value each."""
    p = pfrl()
    policy = layers((4, 64, 64, 2), "Tanh", p.policies.SoftmaxCategoricalHead())
    return p.nn.Branched(policy, layers((4, 64, 64, 1), "Tanh"))


def ppo(shared: Settings, n: int) -> Any:
    from torch.optim import Adam

    model = actor_critic()
    return pfrl().agents.PPO(
        model, Adam(model.parameters(), shared["learning_rate"], eps=1e-5), gamma=0.99, lambd=0.95,
        value_func_coef=0.5, entropy_coef=shared["ent_coef"], update_interval=shared["n_steps"] * n,
        minibatch_size=shared["batch_size"], epochs=shared["n_epochs"], max_grad_norm=0.5,
    )  # fmt: skip


def a2c(shared: Settings, n: int) -> Any:
    from torch.optim import RMSprop

    model = actor_critic()
    optimizer = RMSprop(model.parameters(), shared["learning_rate"], alpha=0.99, eps=1e-5)
    return pfrl().agents.A2C(
        model, optimizer, 0.99, n, update_steps=shared["n_steps"], entropy_coeff=0.0, max_grad_norm=0.5
    )  # fmt: skip


def critics(shared: Settings) -> list[Any]:
    """Two networks 256-256 of observation and action, and their optimizers."""
    from torch import nn
    from torch.optim import Adam

    join = pfrl().nn.ConcatObsAndAction
    both = [nn.Sequential(join(), layers((4, 256, 256, 1), "ReLU")) for _ in range(2)]
    return [*both, *(Adam(q.parameters(), shared["learning_rate"]) for q in both)]


def off_policy(shared: Settings) -> Settings:
    """What SAC and TD3 have in common; the uniform actions before learning cost less than the policy's."""
    return dict(
        gamma=0.99,
        replay_start_size=shared["learning_starts"],
        minibatch_size=shared["batch_size"],
        burnin_action_func=lambda: rng.uniform(-1, 1, 1).astype(np.float32),
    )


def sac(shared: Settings) -> Any:
    import torch
    from torch import distributions as D

    def squashed(x: Any) -> Any:
        mean, log_std = x.chunk(2, dim=1)
        normal = D.Independent(D.Normal(mean, log_std.clamp(-20, 2).exp()), 1)
        return D.TransformedDistribution(normal, [D.TanhTransform(cache_size=1)])

    p = pfrl()
    policy = layers((3, 256, 256, 2), "ReLU", p.nn.Lambda(squashed))
    q1, q2, *optimizers = critics(shared)
    return p.agents.SoftActorCritic(
        policy, q1, q2, torch.optim.Adam(policy.parameters(), shared["learning_rate"]), *optimizers,
        p.replay_buffers.ReplayBuffer(shared["buffer_size"]), act_deterministically=False, entropy_target=-1,
        temperature_optimizer_lr=shared["learning_rate"], **off_policy(shared),
    )  # fmt: skip


def td3(shared: Settings) -> Any:
    import torch

    p = pfrl()
    policy = layers((3, 256, 256, 1), "ReLU", torch.nn.Tanh(), p.policies.DeterministicHead())
    q1, q2, *optimizers = critics(shared)
    return p.agents.TD3(
        policy, q1, q2, torch.optim.Adam(policy.parameters(), shared["learning_rate"]), *optimizers,
        p.replay_buffers.ReplayBuffer(shared["buffer_size"]), explorer=p.explorers.Greedy(), **off_policy(shared),
    )  # fmt: skip


class Pfrl:
    """An agent and n environments; segment(steps) plays so many steps of all of them together."""

    def __init__(self, agent: Any, env: str, n: int, scale: float | None = None) -> None:
        self.agent = agent
        self.envs = [gymnasium.make(env, disable_env_checker=True) for _ in range(n)]
        self.scale = scale  # of actions within [-1, 1]
        self.obs = [env.reset(seed=i)[0] for i, env in enumerate(self.envs)]

    def segment(self, steps: int) -> None:
        act: Callable[[Any], Any] = self.agent.batch_act
        observe, envs, scale, obs = self.agent.batch_observe, self.envs, self.scale, self.obs
        for _ in range(steps // len(envs)):
            actions = act(obs)
            if scale is not None:
                actions = [scale * a for a in actions]
            obs, reward, terminated, truncated, _ = map(list, zip(*[env.step(a) for env, a in zip(envs, actions)]))
            observe(obs, reward, terminated, truncated)
            for i, env in enumerate(envs):
                if terminated[i] or truncated[i]:
                    obs[i] = env.reset()[0]
        self.obs = obs
