"""Guarded steps: clipped by hand, left out where something is not finite, counted, and ended after three in a row."""

import copy

import numpy as np
import pytest

from rlcore.agents.descent import Descent, FiniteClipping, NonFiniteError
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.optimizers import SGD, Adam
from rlcore.tree import named_leaves

BATCH = {"obs": np.arange(4.0), "more": (np.ones(2),)}


def made(optimizer=None, max_grad_norm=1.0):
    """A guarded step on two weights (1, 2), and a loss whose gradient is what is given."""
    model = L.Linear(2, 1, nobias=True, initialW=np.array([[1.0, 2.0]], np.float32))
    descend = Descent(model, optimizer or SGD(0.1), max_grad_norm)
    return descend, lambda *gradient: F.sum(model(np.array([gradient], np.float32)))


def state(descend):
    parts = descend.model.state(), descend.optimizer.state(), descend.state()
    return copy.deepcopy(dict(named_leaves(parts)))


@pytest.mark.parametrize(
    ("limit", "moved"),
    [
        (1.0, [0.6, 0.8]),  # the gradient (3, 4) has norm 5
        (2.5, [1.5, 2.0]),
        (5.0, [3.0, 4.0]),
        (50.0, [3.0, 4.0]),
    ],
)
def test_the_gradient_is_clipped_to_a_norm(limit, moved):
    descend, loss = made(max_grad_norm=limit)
    assert descend(loss(3, 4), BATCH) is True
    np.testing.assert_allclose(descend.model.W.array, [[1 - 0.1 * moved[0], 2 - 0.1 * moved[1]]], rtol=1e-6)


def test_gradients_do_not_add_up():
    descend, loss = made(max_grad_norm=50.0)
    for _ in range(2):
        descend(loss(3, 4), BATCH)
    np.testing.assert_allclose(descend.model.W.array, [[1 - 0.6, 2 - 0.8]], rtol=1e-6)


@pytest.mark.parametrize(
    "bad",
    [
        lambda loss: loss(np.nan, 1),
        lambda loss: loss(np.inf, 1),  # the loss is infinite
        lambda loss: loss(1e30, 1) * 1e10,  # so it is by its size
        lambda loss: F.sqrt(loss(2, -1)),  # the loss is 0, its derivative infinite
        lambda loss: loss(4e19, -2e19) / 2 + 1,  # finite all of it, but for the square of the norm
        lambda loss: F.sqrt(loss(2, -1)) * 0.0,  # 0 times infinite
    ],
)
@pytest.mark.filterwarnings("ignore:(overflow|divide by zero|invalid value) encountered")
def test_a_step_that_is_not_finite_is_left_out(bad):
    descend, loss = made(Adam(0.1))
    descend(loss(3, 4), BATCH)
    descend.model.W.array = np.array([[1.0, 2.0]], np.float32)
    before = state(descend)
    with pytest.warns(RuntimeWarning, match="an update is left out: its loss or gradient is NaN or infinite"):
        assert descend(bad(loss), BATCH) is False
    after = state(descend)
    assert (after.pop("2/skipped"), after.pop("2/in_a_row")) == (1, 1)
    for path, leaf in after.items():
        np.testing.assert_array_equal(leaf, before[path], err_msg=path)
    assert descend(loss(3, 4), BATCH) is True
    assert (descend.skipped, descend.in_a_row) == (1, 0)


def test_three_in_a_row_end_it_with_the_batch():
    descend, loss = made()
    batch = copy.deepcopy(BATCH)
    for bad in (True, True, False, True, True):
        if bad:
            with pytest.warns(RuntimeWarning, match="left out"):
                descend(loss(np.nan, 1), batch)
        else:
            descend(loss(1, 1), batch)
    with pytest.raises(NonFiniteError, match=r"3 updates in a row .* lower the learning rate") as error:
        descend(loss(np.nan, 1), batch)
    assert (descend.skipped, descend.in_a_row) == (5, 0)
    batch["obs"][:] = 99  # what is kept is a copy
    np.testing.assert_array_equal(error.value.batch["obs"], BATCH["obs"])
    np.testing.assert_array_equal(error.value.batch["more"][0], BATCH["more"][0])
    assert isinstance(error.value, FloatingPointError)


def test_clipping_goes_over_all_parts():
    """Norm 13 of (3, 4) and (12,), clipped to 6.5."""

    class Part:
        def __init__(self, *grad):
            self.grad = np.array(grad, np.float32)

    one, two, clip = Part(3, 4), Part(12), FiniteClipping(6.5)
    clip([one, two])
    assert clip.norm == 13
    np.testing.assert_allclose(np.concatenate([one.grad, two.grad]), [1.5, 2, 6])


def test_counts_are_its_state():
    one, two = made()[0], made()[0]
    one.skipped, one.in_a_row = 7, 2
    two.load(one.state())
    assert (two.skipped, two.in_a_row) == (7, 2)
    for wrong in ({}, {"skipped": 1}, {"skipped": 1, "in_a_row": 1.0}, {"skipped": True, "in_a_row": 0}):
        with pytest.raises(ValueError, match="expected the numbers skipped and in_a_row"):
            two.load(wrong)
    assert (two.skipped, two.in_a_row) == (7, 2)
