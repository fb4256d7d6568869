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
