"""Bounds of spaces and what is beyond them."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.envs.batch import beyond, bounds, finite

UNIT = spaces.Box(0, 1, (2,), np.float32)


@pytest.mark.parametrize(
    ("space", "low", "high"),
    [
        (spaces.Discrete(3), 0, 2),
        (spaces.Discrete(3, start=-1), -1, 1),
        (spaces.MultiDiscrete([2, 5], start=[1, 0]), [1, 0], [2, 4]),
        (spaces.MultiBinary(3), 0, 1),
        (UNIT, [0, 0], [1, 1]),
    ],
)
def test_bounds_by_hand(space, low, high):
    assert [np.asarray(b).tolist() for b in bounds(space)] == [low, high]


@pytest.mark.parametrize(
    ("space", "obs", "words", "whole"),
    [
        (UNIT, np.float32([0, 1]), "", False),
        (UNIT, np.float32([0, 1.00001]), "", False),  # rounding
        (UNIT, np.float32([0, 1.001]), "an observation out of the bounds of Box", False),
        (UNIT, np.float32([-0.001, 0]), "an observation out of the bounds of Box", False),
        (UNIT, np.float32([0, np.nan]), "", False),  # somebody else's
        (spaces.Box(-np.inf, np.inf, (1,)), np.float32([1e38]), "", False),
        (spaces.Discrete(3), 2, "", False),
        (spaces.Discrete(3), 3, "an observation out of the bounds of Discrete(3): 3", True),
        (spaces.Discrete(3, start=1), 0, "out of the bounds", True),
        (spaces.Tuple((UNIT, spaces.Discrete(3))), (np.float32([0, 2]), 5), "observation[1] out of the bounds", True),
        (spaces.Dict(a=UNIT, b=spaces.Discrete(3)), {"a": np.float32([0, 2]), "b": 1}, "observation['a'] out", False),
    ],
)
def test_what_is_out_of_bounds(space, obs, words, whole):
    said, integers = beyond(space, obs)
    assert (words in said) if words else said == ""
    assert integers is whole


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_finite(bad):
    assert finite(np.float32([[3e38, -3e38]]))
    assert finite((np.arange(3), {"a": np.zeros((0, 2), np.float32)}))
    assert not finite(np.float32([0, bad]))
    assert not finite((np.arange(3), {"a": np.float32([bad])}))
