"""The arrays of streams: laid out apart, each in cache lines of its own, seen alike by all who share the buffer."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.envs.layout import ALIGN, carve, layout, size
from rlcore.tree import leaves
from tests.envs.worlds import ACTIONS, OBSERVATIONS

SPACES = [
    (spaces.Box(-1, 1, (3,), np.float64), spaces.Discrete(2)),
    (spaces.Box(0, 255, (5, 5), np.uint8), spaces.Box(-1, 1, (0,), np.float32)),
    (OBSERVATIONS, ACTIONS),
]


@pytest.mark.parametrize(("observation_space", "action_space"), SPACES, ids=["box", "image", "nested"])
def test_arrays_share_no_cache_line_and_nothing_is_outside(observation_space, action_space):
    plan = layout(observation_space, action_space, 7)
    buffer = bytearray(size(plan))
    here, there = carve(plan, buffer), carve(plan, buffer)
    start = np.frombuffer(buffer, np.uint8).__array_interface__["data"][0]
    used = set()
    for k, array in enumerate(leaves(here)):
        first = array.__array_interface__["data"][0] - start
        lines = set(range(first // ALIGN, (first + array.nbytes - 1) // ALIGN + 1)) if array.nbytes else set()
        assert first % ALIGN == 0
        assert 0 <= first <= first + array.nbytes <= len(buffer)
        assert not used & lines
        used |= lines
        array[...] = k % 2
    for k, array in enumerate(leaves(there)):
        assert (array == k % 2).all()


def test_kinds_and_shapes_by_hand():
    arrays = carve(layout(spaces.Box(-1, 1, (3,), np.float64), spaces.MultiDiscrete([2, 3]), 4))
    obs, reward, terminated, truncated = arrays["sets"][1]
    assert (obs.shape, obs.dtype) == ((4, 3), np.float32)
    assert (reward.shape, reward.dtype) == ((4,), np.float32)
    assert terminated.dtype == truncated.dtype == arrays["faulty"].dtype == arrays["told"].dtype == bool
    assert (arrays["action"].shape, arrays["action"].dtype) == ((4, 2), np.int64)
    assert arrays["number"].dtype == arrays["length"].dtype == np.int64
    assert arrays["return"].dtype == np.float64
    assert not any(leaf.any() for leaf in leaves(arrays))
