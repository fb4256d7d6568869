"""Replay buffers: one ring of rows for all streams."""

from rlcore.buffers.replay import Replay

__all__ = ["Replay"]
