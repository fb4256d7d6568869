"""rlcore: reinforcement learning on its own define-by-run autograd core over NumPy and CuPy.

`rlcore.DQN("CartPole-v1").learn(50_000)` is the short form; `rlcore.agents.DQN` is the algorithm. Importing this
package imports nothing else: what is used is loaded when it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlcore.api import Run
    from rlcore.policy import load_policy
    from rlcore.rng import seed

__version__ = "0.1.0"
__all__ = ["DQN", "PPO", "DoubleDQN", "Run", "load_policy", "seed"]


def DQN(env: Any, **settings: Any) -> Run:
    """A Run of DQN on env: seed=0, n_envs=1, folder=None, and the fields of DQNConfig, EnvConfig and Monitor."""
    from rlcore import agents, api

    return api.Run(agents.DQN, None, env, **settings)


def DoubleDQN(env: Any, **settings: Any) -> Run:
    """A Run of Double DQN on env: seed=0, n_envs=1, folder=None, and the fields of DQNConfig, EnvConfig and Monitor."""
    from rlcore import agents, api

    return api.Run(agents.DoubleDQN, None, env, **settings)


def PPO(env: Any, **settings: Any) -> Run:
    """A Run of PPO on env: seed=0, n_envs=1, folder=None, and the fields of PPOConfig, EnvConfig and Monitor."""
    from rlcore import agents, api

    return api.Run(agents.PPO, None, env, **settings)


def __getattr__(name: str) -> Any:
    if name == "Run":
        from rlcore.api import Run

        return Run
    if name == "load_policy":
        from rlcore.policy import load_policy

        return load_policy
    if name == "seed":
        from rlcore.rng import seed

        return seed
    raise AttributeError(f"module 'rlcore' has no attribute {name!r}")
