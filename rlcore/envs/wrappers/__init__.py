"""Wrappers of ours: around a VectorEnv, on all its streams at once."""

from rlcore.envs.wrappers.actions import ClipAction, RandomizeAction, RescaleAction
from rlcore.envs.wrappers.base import Wrapper, innermost, learning, twin
from rlcore.envs.wrappers.frame_stack import FrameStack
from rlcore.envs.wrappers.last_action import LastActionReward
from rlcore.envs.wrappers.normalize import NormalizeObservation, NormalizeReward
from rlcore.envs.wrappers.observations import (
    CastObservation,
    FlattenObservation,
    ObservationWrapper,
    RescaleObservation,
)
from rlcore.envs.wrappers.rewards import ClipReward, RewardWrapper, ScaleReward, SignReward
from rlcore.envs.wrappers.statistics import EpisodeStatistics
from rlcore.envs.wrappers.time_limit import ContinuingTimeLimit, TimeLimit
from rlcore.envs.wrappers.video import RecordVideo

__all__ = [
    "CastObservation",
    "ClipAction",
    "ClipReward",
    "ContinuingTimeLimit",
    "EpisodeStatistics",
    "FlattenObservation",
    "FrameStack",
    "LastActionReward",
    "NormalizeObservation",
    "NormalizeReward",
    "ObservationWrapper",
    "RandomizeAction",
    "RecordVideo",
    "RescaleAction",
    "RescaleObservation",
    "RewardWrapper",
    "ScaleReward",
    "SignReward",
    "TimeLimit",
    "Wrapper",
    "innermost",
    "learning",
    "twin",
]
