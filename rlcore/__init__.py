"""rlcore: reinforcement learning on its own define-by-run autograd core over NumPy and CuPy.

`rlcore.DQN("CartPole-v1").learn(50_000)` is the short form; `rlcore.agents.DQN` is the algorithm. Importing this
package imports nothing else: what is used is loaded when it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlcore.api import Run
    from rlcore.policy import load_policy
    from rlcore.rng import seed

__version__ = "0.1.0"
__all__ = [
    "A2C",
    "A3C",
    "APPO",
    "CategoricalDQN",
    "DDPG",
    "DQN",
    "DRQN",
    "DoubleDQN",
    "IMPALA",
    "PPO",
    "QRDQN",
    "R2D2",
    "REINFORCE",
    "Rainbow",
    "SAC",
    "TD3",
    "TRPO",
    "Run",
    "load_policy",
    "seed",
]


def _short_form(name: str) -> Callable[..., Run]:
    """A function env, settings -> Run of the agent of that name."""

    def start(env: Any, **settings: Any) -> Run:
        from rlcore import agents, api

        return api.Run(getattr(agents, name), None, env, **settings)

    start.__name__ = start.__qualname__ = name
    start.__doc__ = (
        f"A Run of {name} on env: seed=0, n_envs=1, folder=None, and the fields of its Config, EnvConfig and Monitor."
    )
    return start


DQN = _short_form("DQN")
DoubleDQN = _short_form("DoubleDQN")
CategoricalDQN = _short_form("CategoricalDQN")
QRDQN = _short_form("QRDQN")
Rainbow = _short_form("Rainbow")
DRQN = _short_form("DRQN")
R2D2 = _short_form("R2D2")
REINFORCE = _short_form("REINFORCE")
A2C = _short_form("A2C")
A3C = _short_form("A3C")
IMPALA = _short_form("IMPALA")
PPO = _short_form("PPO")
APPO = _short_form("APPO")
TRPO = _short_form("TRPO")
DDPG = _short_form("DDPG")
TD3 = _short_form("TD3")
SAC = _short_form("SAC")


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
