"""Tests use one thread of BLAS each, and what draws without `rng=` draws the same whichever tests ran before."""

import pytest

import rlcore
import rlcore.threads  # before NumPy is there


@pytest.fixture(autouse=True)
def same_draws():
    rlcore.seed(0)
