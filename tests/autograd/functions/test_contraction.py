"""einsum and tensordot: forms, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from rlcore.autograd import Variable
from rlcore.autograd import functions as F

A, B = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)


def test_the_result_is_a_variable_of_its_own():
    v = Variable(A)
    for y in (F.einsum("ij", v), F.einsum("ij->ij", v), F.einsum("...", v)):
        assert y is not v
        assert y.array.tolist() == A.tolist()
        assert y.requires_grad
    assert isinstance(F.einsum("ij", A), Variable)
    assert isinstance(F.einsum("ii", np.array(3.0).reshape(1, 1)), Variable)


def test_dtypes_promote():
    assert F.einsum("ij,jk", A, B.astype("f")).dtype == np.float64
    assert F.einsum("ij,jk", A.astype("e"), B.astype("e")).dtype == np.float16
    assert F.tensordot(A.astype("e"), B.astype("f"), 1).dtype == np.float32


def test_a_trace_and_a_free_index():
    """Chainer 7.8.1."""
    x = Variable(np.ones((3, 3)))
    F.einsum("ii", x).backward()
    assert x.grad.tolist() == np.eye(3).tolist()
    x, y = Variable(np.ones((2, 3))), Variable(np.ones((1, 2)))
    F.sum(F.einsum("ij,kl->i", x, y)).backward()
    assert (x.grad.tolist(), y.grad.tolist()) == ([[2] * 3] * 2, [[6, 6]])


def test_one_operand_twice():
    x = Variable(np.array([1.0, 2]))
    F.einsum("i,i", x, x).backward()
    assert x.grad.tolist() == [2, 4]


def test_lists_are_ordered_as_numpy_orders_them():
    for lists in ([2, 1], [1, 0]), ([30, 1], [1, 0]), ([0, 1], [1, 51]):
        np.testing.assert_array_equal(
            F.einsum(A, lists[0], B, lists[1]).array, np.einsum(A, lists[0], B, lists[1]), strict=True
        )


def test_lists_of_three_operands_and_of_ellipses():
    C = np.arange(8.0).reshape(4, 2)
    for operands in (
        (A, [0, 1], B, [1, 2], C, [2, 0]),
        (A, [0, 1], B, [1, 2], C, [2, 3], [3, 0]),
        (A, [..., 0], B, [0, 1], [..., 1]),
        (A, [0, ...], [..., 0]),
    ):
        np.testing.assert_allclose(F.einsum(*operands).array, np.einsum(*operands), rtol=1e-14)


def test_an_axis_named_twice_is_refused():
    with pytest.raises(ValueError, match=r"tensordot: axes .* do not match in a \(3, 3\) and b \(3, 4\)"):
        F.tensordot(np.ones((3, 3)), B, ([0, 1], [0, -2]))


@pytest.mark.parametrize(
    ("operands", "match"),
    [
        (("ij,jk->iz", A, B), "'z' in the output 'iz' is not an input's"),
        (("i->ii", A[0]), "'i' in the output 'ii' .* there twice"),
        (("ij,jk->ik", A), "'ij,jk->ik' names 2 operands, got 1"),
        (("ij", A, B), "'ij' names 1 operands, got 2"),
        ((), "names 1 operands, got 0"),
        (("ij,ij", A, A[:1]), "'i' has length 2 in one operand and 1 in another"),
        (("ii", A), "'i' has length 2 in one operand and 3 in another"),
        (("...,...", A, A[:, :2]), "the ellipsis has length 3 in one operand and 2 in another"),
        (("...j,jk->k", A, B), "the output 'k' must have '...' too"),
        (("ijk", A), r"'ijk' does not fit an operand of shape \(2, 3\)"),
        (("i", A), r"'i' does not fit an operand of shape \(2, 3\)"),
        (("i1", A), "is not made of letters"),
        (("i......", A), "is not made of letters"),
        (("i->j->k", A), "is not made of letters"),
        (("i..", A), "is not made of letters"),
        (("ij...k", A), r"'ij...k' does not fit an operand of shape \(2, 3\)"),
        (("...j->...z", A), "'z' in the output '...z' is not an input's"),
        (("...j->...jj", A), "'j' in the output '...jj' .* there twice"),
    ],
)
def test_subscripts_that_are_refused(operands, match):
    with pytest.raises(ValueError, match=f"einsum: .*{match}"):
        F.einsum(*operands)


@pytest.mark.parametrize(
    ("axes", "b"),
    [
        (2, B),
        (3, B),
        ((0, 0), B),
        (([0, 1], [0]), B),
        (([1, 1], [0, 0]), B),
        (([1, -1], [0, 0]), B),
        ((5, 0), B),
        ((0, [5]), B),
    ],
)
def test_axes_that_are_refused(axes, b):
    with pytest.raises(ValueError, match=r"tensordot: axes .* do not match in a \(2, 3\) and b \(3, 4\)"):
        F.tensordot(A, b, axes)
