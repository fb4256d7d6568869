"""Step: what a row can be, and which rows are over."""

from __future__ import annotations

import numpy as np

from rlcore.stream import Step


def test_ended_is_terminated_or_truncated():
    terminated, truncated = np.array([False, True, False]), np.array([False, False, True])
    step = Step(np.zeros((3, 2)), np.zeros(3), terminated, truncated, np.zeros((3, 2)), np.ones(3, bool), {})
    assert step.ended.tolist() == [False, True, True]
    assert step.ended.dtype == bool


def test_fields_come_in_the_order_that_is_documented():
    assert Step._fields == ("obs", "reward", "terminated", "truncated", "final_obs", "valid", "info")
