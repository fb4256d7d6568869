"""What draws without `rng=` draws the same numbers in a test, whichever tests ran before it."""

import pytest

import rlcore


@pytest.fixture(autouse=True)
def same_draws():
    rlcore.seed(0)
