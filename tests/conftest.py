"""Tests use one thread of BLAS each, and what draws without `rng=` draws the same whichever tests ran before."""

import signal

import pytest

import rlcore
import rlcore.threads  # before NumPy is there

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell has it ignored for what runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def same_draws():
    rlcore.seed(0)
