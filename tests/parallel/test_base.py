"""What communicators share: waiting, the only rank, and the errors."""

from __future__ import annotations

import copy
import time

import numpy as np
import pytest

from rlcore.parallel import base
from rlcore.parallel.base import Alone, RankLost, wait_for
from tests.parallel import conformance


@pytest.mark.parametrize("case", conformance.CASES, ids=lambda case: case.__name__)
def test_a_case_alone(case):
    case(Alone())


def test_waiting_gives_what_comes():
    values = iter([None, False, None, 0])
    assert wait_for(lambda: next(values)) == 0
    with pytest.raises(TimeoutError, match=r"within 0.01 s"):
        wait_for(lambda: None, 0.01)
    assert wait_for(lambda: True, 0)


def test_the_sleeps_grow(monkeypatch):
    """A rank that waits for a second wakes at most 1,100 times, and soon after what it waits for has come."""
    slept = []
    monkeypatch.setattr(base.time, "sleep", slept.append)
    wait_for(lambda: len(slept) >= 100 or None)
    assert slept[0] == 50e-6
    assert slept == sorted(slept)
    assert slept[-1] == 1e-3
    assert np.median(slept) == 1e-3


def test_a_waiting_rank_leaves_its_core_to_others():
    began, used = time.monotonic(), time.process_time()
    with pytest.raises(TimeoutError):
        wait_for(lambda: None, 0.5)
    assert time.process_time() - used < 0.5 * (time.monotonic() - began)


def test_the_lost():
    lost = RankLost({3, 1})
    assert (lost.ranks, str(lost)) == ((1, 3), "lost rank 1, 3")
    again = copy.copy(RankLost([2], "rank 2 was killed"))
    assert (again.ranks, str(again)) == ((2,), "rank 2 was killed")
    assert str(RankLost(())) == "a rank is lost"


def test_one_exchange_below_a_size_and_two_above():
    """The weights go ahead of what is large, in float64."""
    seen = []

    class Spy(Alone):
        mean_ = base.Comm.mean_

        def sum_(self, array):
            seen.append((array.size, array.dtype))
            return array

    comm = Spy()
    comm.mean_(np.ones(base.LARGE // 4, np.float32), 3)
    comm.mean_(np.ones(base.LARGE // 4 + 1, np.float32), 3)
    assert seen == [(base.LARGE // 4 + 1, np.float32), (1, np.float64), (base.LARGE // 4 + 1, np.float32)]
