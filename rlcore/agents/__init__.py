"""Agents: one file per family."""

from rlcore.agents.a2c import A2C, A2CConfig
from rlcore.agents.a3c import A3C, A3CConfig
from rlcore.agents.appo import APPO, APPOConfig
from rlcore.agents.base import Agent, Policy
from rlcore.agents.c51 import CategoricalDQN, CategoricalDQNConfig
from rlcore.agents.ddpg import DDPG, DDPGConfig
from rlcore.agents.descent import NonFiniteError
from rlcore.agents.dqn import DQN, DoubleDQN, DQNConfig
from rlcore.agents.drqn import DRQN, DRQNConfig
from rlcore.agents.impala import IMPALA, IMPALAConfig
from rlcore.agents.ppo import PPO, PPOConfig
from rlcore.agents.qr_dqn import QRDQN, QRDQNConfig
from rlcore.agents.r2d2 import R2D2, R2D2Config
from rlcore.agents.rainbow import Rainbow, RainbowConfig
from rlcore.agents.reinforce import REINFORCE, REINFORCEConfig
from rlcore.agents.sac import SAC, SACConfig
from rlcore.agents.td3 import TD3, TD3Config
from rlcore.agents.trpo import TRPO, TRPOConfig

__all__ = [
    "A2C",
    "A2CConfig",
    "A3C",
    "A3CConfig",
    "ALGORITHMS",
    "APPO",
    "APPOConfig",
    "Agent",
    "CategoricalDQN",
    "CategoricalDQNConfig",
    "DDPG",
    "DDPGConfig",
    "DQN",
    "DQNConfig",
    "DRQN",
    "DRQNConfig",
    "DoubleDQN",
    "IMPALA",
    "IMPALAConfig",
    "NonFiniteError",
    "PPO",
    "PPOConfig",
    "Policy",
    "QRDQN",
    "QRDQNConfig",
    "R2D2",
    "R2D2Config",
    "REINFORCE",
    "REINFORCEConfig",
    "Rainbow",
    "RainbowConfig",
    "SAC",
    "SACConfig",
    "TD3",
    "TD3Config",
    "TRPO",
    "TRPOConfig",
]

ALGORITHMS: dict[str, type[Agent]] = {  # by the names that the command line knows
    "dqn": DQN,
    "double-dqn": DoubleDQN,
    "c51": CategoricalDQN,
    "qr-dqn": QRDQN,
    "rainbow": Rainbow,
    "drqn": DRQN,
    "r2d2": R2D2,
    "reinforce": REINFORCE,
    "a2c": A2C,
    "a3c": A3C,
    "impala": IMPALA,
    "ppo": PPO,
    "appo": APPO,
    "trpo": TRPO,
    "ddpg": DDPG,
    "td3": TD3,
    "sac": SAC,
}


def name_of(agent_class: type[Agent]) -> str:
    """What runs call an algorithm: its name on the command line, or that of its class."""
    return next((name for name, cls in ALGORITHMS.items() if cls is agent_class), agent_class.__name__)


def algorithm(name: str, agent_class: type[Agent] | None, where: object) -> type[Agent]:
    """The class of the algorithm that `where` names, agent_class if it is none of this library's; else ValueError."""
    if agent_class is None:
        if name not in ALGORITHMS:
            raise ValueError(f"unknown algorithm {name!r}; known are {', '.join(ALGORITHMS)}; or give agent_class=")
        return ALGORITHMS[name]
    if name_of(agent_class) != name:
        raise ValueError(f"{where} is of algorithm {name!r}, agent_class is {name_of(agent_class)!r}")
    return agent_class
