"""Datasets shared out among ranks."""

import numpy as np
import pytest

from rlcore.parallel.base import Alone
from rlcore.parallel.local import run_threads
from rlcore.parallel.scatter import scatter
from rlcore.rng import generator


@pytest.mark.parametrize("n", [3, 10, 12])
@pytest.mark.parametrize("size", [2, 3])
def test_equal_shares_hold_every_row_and_few_twice(n, size):
    shares = run_threads(size, lambda comm: scatter(n, comm))
    assert {len(share) for share in shares} == {-(-n // size)}
    assert set(np.concatenate(shares)) == set(range(n))


def test_other_shares_hold_every_row_once():
    shares = run_threads(3, lambda comm: scatter(10, comm, equal=False))
    assert [share.tolist() for share in shares] == [[0, 1, 2], [3, 4, 5], [6, 7, 8, 9]]


def test_the_first_rank_shuffles():
    shares = run_threads(2, lambda comm: scatter(10, comm, generator(comm.rank)))
    np.testing.assert_array_equal(np.concatenate(shares), generator(0).permutation(10))


def test_arrays_are_shared_out_by_rows():
    data = {"x": np.arange(20).reshape(10, 2), "y": (np.arange(10), np.arange(10.0))}

    def rank(comm):
        return scatter(data, comm, generator(comm.rank)), scatter(10, comm, generator(comm.rank))

    for (part, at), other in zip(run_threads(2, rank), run_threads(2, rank)):
        np.testing.assert_array_equal(part["x"], data["x"][at])
        np.testing.assert_array_equal(part["y"][1], at)
        np.testing.assert_array_equal(other[1], at)
    np.testing.assert_array_equal(scatter(data, Alone())["x"], data["x"])


@pytest.mark.parametrize(
    ("data", "complaint"),
    [(0, "a row at least, got 0"), ((np.zeros(3), np.zeros(4)), r"the arrays have \[3, 4\] rows")],
)
def test_what_cannot_be_shared_out_is_refused(data, complaint):
    with pytest.raises(ValueError, match=complaint):
        scatter(data, Alone())


def test_ranks_with_other_numbers_of_rows_are_refused_on_all():
    def rank(comm):
        with pytest.raises(ValueError, match=f"rank {comm.rank} has {5 + comm.rank}"):
            scatter(5 + comm.rank, comm)

    run_threads(2, rank)
