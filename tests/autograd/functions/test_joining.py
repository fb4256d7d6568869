"""Sequences and empty lists: what the rows of `ops/joining.py` cannot say."""

from __future__ import annotations

import numpy as np
import pytest

from rlcore.autograd import Variable, grad
from rlcore.autograd import functions as F

A23 = np.arange(6.0).reshape(2, 3)


def test_separate_gives_a_tuple_also_of_one_and_of_none():
    assert [y.shape for y in F.separate(A23[:1])] == [(3,)]
    assert isinstance(F.separate(A23[:1]), tuple)
    assert F.separate(A23[:0]) == ()


def test_split_axis_gives_a_tuple_unless_told_not_to():
    for parts in (F.split_axis(A23, 3, 1), F.split_axis(A23, 1, 1), F.split_axis(A23, [], 1)):
        assert isinstance(parts, tuple)
    assert isinstance(F.split_axis(A23, 2, 0, force_tuple=False), tuple)
    assert F.split_axis(A23, 1, 1, force_tuple=False).array.tolist() == A23.tolist()


def test_where_split_axis_cuts():
    six = np.arange(6.0)
    for where, expected in (
        (3, [[0, 1], [2, 3], [4, 5]]),
        (6, [[i] for i in range(6)]),
        (np.array([0, 4, 6]), [[], [0, 1, 2, 3], [4, 5], []]),
        ([0.0, 1.0], [[], [0], [1, 2, 3, 4, 5]]),
    ):
        assert [y.array.tolist() for y in F.split_axis(six, where, 0)] == expected


def test_one_vector_put_together():
    assert F.hstack([A23[0]]).array.tolist() == [0, 1, 2]
    assert F.vstack([A23[0]]).array.tolist() == [[0, 1, 2]]
    assert F.dstack([A23[0]]).array.tolist() == [[[0], [1], [2]]]


def test_transpose_sequence_of_nothing():
    assert F.transpose_sequence([]) == ()


@pytest.mark.parametrize("double", [False, True])
def test_transpose_sequence_with_an_empty_sequence(double):
    x, y = Variable(A23), Variable(A23[:0])
    steps = F.transpose_sequence([x, y])
    assert [s.array.tolist() for s in steps] == [[[0, 1, 2]], [[3, 4, 5]]]
    gx, gy = grad(steps[1], [x, y], np.ones((1, 3)), enable_double_backprop=double)
    assert gx.array.tolist() == [[0, 0, 0], [1, 1, 1]]
    assert gy.shape == (0, 3)


def test_transpose_sequence_undoes_itself():
    xs = [np.arange(2.0 * n).reshape(n, 2) + 10 * n for n in (4, 2, 2, 1)]
    there = F.transpose_sequence(xs)
    assert [y.shape for y in there] == [(4, 2), (3, 2), (1, 2), (1, 2)]
    for x, y in zip(xs, F.transpose_sequence(there)):
        np.testing.assert_array_equal(y.array, x)


def test_pad_sequence_keeps_the_dtype_and_refuses_to_cut():
    xs = [np.ones(2, np.float16), np.ones(1, np.float16)]
    assert F.pad_sequence(xs, padding=-1).array.tolist() == [[1, 1], [1, -1]]
    assert F.pad_sequence(xs, padding=-1).dtype == np.float16
    integers = F.pad_sequence([np.array([3, 4]), np.array([5])], 3, -1)
    assert integers.array.tolist() == [[3, 4, -1], [5, -1, -1]]


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: F.concat([]), ValueError, "concat: give at least one"),
        (lambda: F.concat([A23, A23.astype("f")]), TypeError, r"concat: .*one dtype .*\(2, 3\) float32"),
        (lambda: F.stack([]), ValueError, "stack: give at least one"),
        (lambda: F.stack([A23, A23[:1]]), ValueError, r"stack: .*one shape.*\(2, 3\).*\(1, 3\)"),
        (lambda: F.stack([A23, A23.T.reshape(3, 2)]), ValueError, "stack: .*one shape"),
        (lambda: F.stack([A23, A23.astype("f")]), ValueError, "stack: .*one dtype"),
        (lambda: F.stack([A23], axis=3), ValueError, "stack: axis 3"),
        (lambda: F.stack([A23], axis=-4), ValueError, "stack: axis -4"),
        (lambda: F.hstack([]), ValueError, "concat: give at least one"),
        (lambda: F.split_axis(A23, 0, 1), ValueError, "split_axis: axis 1 of length 3 does not divide into 0"),
        (lambda: F.split_axis(A23, -3, 1), ValueError, "split_axis: axis 1 of length 3 does not divide into -3"),
        (lambda: F.pad_sequence([A23, A23[:, :1]]), ValueError, r"pad_sequence: .*one shape .*\(2, 1\)"),
        (lambda: F.pad_sequence([A23, A23.astype("f")]), ValueError, "pad_sequence: .*one dtype"),
        (lambda: F.transpose_sequence([A23, A23.astype("f")]), ValueError, "transpose_sequence: .*one dtype"),
        (lambda: F.separate(A23, 2), ValueError, "separate: axis 2"),
        (lambda: F.split_axis(A23, [2, 1], 1), ValueError, r"split_axis: indices must rise .*\[2, 1\]"),
        (lambda: F.pad_sequence([]), ValueError, "pad_sequence: give at least one"),
        (lambda: F.pad_sequence([A23, A23[:1]], 1), ValueError, "pad_sequence: length 1 is less .*, 2"),
        (lambda: F.pad_sequence([A23, A23[:, :2]]), ValueError, r"pad_sequence: .*\(2, 3\).*\(2, 2\)"),
        (lambda: F.transpose_sequence([A23[:1], A23]), ValueError, "transpose_sequence: .*sorted by length"),
        (lambda: F.transpose_sequence([A23, A23[:, :2]]), ValueError, "transpose_sequence: .*one shape"),
    ],
)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match):
        call()
