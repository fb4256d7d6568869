"""Buffers: one ring of rows for replay, steps in order for on-policy learning."""

from rlcore.buffers.frames import FrameReplay, FrameSequences, PrioritizedFrames, PrioritizedFrameSequences
from rlcore.buffers.prioritized import Prioritized
from rlcore.buffers.replay import Replay
from rlcore.buffers.rollout import Rollout
from rlcore.buffers.sequence import PrioritizedSequences, SequenceReplay

__all__ = [
    "FrameReplay",
    "FrameSequences",
    "Prioritized",
    "PrioritizedFrameSequences",
    "PrioritizedFrames",
    "PrioritizedSequences",
    "Replay",
    "Rollout",
    "SequenceReplay",
]
