import re

import numpy as np
import pytest

from rlcore.autograd import Variable
from rlcore.autograd import functions as F


def test_embedding_adds_up_repeated_ids():
    W = Variable(np.arange(6, dtype=np.float32).reshape(3, 2))
    y = F.embed_id(np.array([2, 0, 2]), W)
    assert y.array.tolist() == [[4, 5], [0, 1], [4, 5]]
    y.grad = np.float32([[1, 2], [3, 4], [5, 6]])
    y.backward()
    assert W.grad.tolist() == [[3, 4], [0, 0], [6, 8]]


def test_many_equal_ids_in_half_precision():
    W = Variable(np.zeros((2, 1), np.float16))
    y = F.embed_id(np.zeros(4000, np.int64), W)
    y.grad = np.ones(y.shape, np.float16)
    y.backward()
    assert W.grad.tolist() == [[4000], [0]]  # added up as halves it would end at 2048


@pytest.mark.parametrize("ignored", [-1, 1])
def test_an_ignored_id_gives_zeros_and_no_gradient(ignored):
    W = Variable(np.float32([[1], [np.inf], [2]]))
    y = F.embed_id(np.array([0, ignored, 2]), W, ignore_label=ignored)
    assert y.array.tolist() == [[1], [0], [2]]
    y.grad = np.float32([[1], [np.nan], [1]])
    y.backward()
    assert W.grad.tolist() == [[1], [0], [1]]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64])
def test_ids_of_any_integer_dtype_and_shape(dtype):
    W = np.arange(400, dtype=np.float32).reshape(200, 2)
    ids = np.array([[3, 100], [0, 127]], dtype)
    np.testing.assert_array_equal(F.embed_id(ids, W).array, W[ids.astype(int)])
    assert F.embed_id(np.array(5, dtype), W).array.tolist() == [10, 11]
    assert F.embed_id(np.zeros((0, 3), dtype), W).shape == (0, 3, 2)


ONES = np.ones
WRONG = [
    (
        IndexError,
        lambda: F.embed_id(np.array([1, 3]), ONES((3, 2))),
        "embed_id: id 3 is out of range for W with 3 rows",
    ),
    (IndexError, lambda: F.embed_id(np.array([-1]), ONES((3, 2))), "embed_id: id -1 is out of range for W with 3 rows"),
    (IndexError, lambda: F.embed_id(np.array([-1, -2]), ONES((3, 2)), -1), "embed_id: id -2 is out of range"),
    (IndexError, lambda: F.embed_id(np.array([3, 1]), ONES((3, 2)), 1), "embed_id: id 3 is out of range"),
    (TypeError, lambda: F.embed_id(np.array([1.0]), ONES((3, 2))), "embed_id: x must hold integers, got float64"),
    (ValueError, lambda: F.embed_id(np.array([1]), ONES(3)), "embed_id: expected W (V, D), got W (3,)"),
    (
        ValueError,
        lambda: F.bilinear(ONES((2, 3)), ONES((2, 4)), ONES((4, 3, 5))),
        "bilinear: expected e1 (N, I), e2 (N, J) and W (I, J, K), got e1 (2, 3), e2 (2, 4), W (4, 3, 5)",
    ),
    (
        ValueError,
        lambda: F.bilinear(ONES((2, 3)), ONES((2, 4)), ONES((3, 4, 5)), ONES((3, 5))),
        "bilinear: V1, V2 and b must be given together",
    ),
    (
        ValueError,
        lambda: F.bilinear(ONES((2, 3)), ONES((2, 4)), ONES((3, 4, 5)), ONES((3, 5)), ONES((3, 5)), ONES(5)),
        "bilinear: expected V1 (3, 5), V2 (4, 5) and b (5,), got V1 (3, 5), V2 (3, 5) and b (5,)",
    ),
    (
        ValueError,
        lambda: F.ensemble_linear(ONES((3, 2, 4)), ONES((2, 5, 4))),
        "ensemble_linear: expected x (K, N, in) or (N, in) and W (K, out, in), got x (3, 2, 4), W (2, 5, 4)",
    ),
    (
        ValueError,
        lambda: F.ensemble_linear(ONES((2, 4)), ONES((2, 5, 4)), ONES(5)),
        "ensemble_linear: expected b (K, out), got x (2, 4), W (2, 5, 4), b (5,)",
    ),
    (
        TypeError,
        lambda: F.ensemble_linear(ONES((2, 4)), ONES((2, 5, 4), np.float32)),
        "ensemble_linear: x is float64 and W is float32",
    ),
    (
        TypeError,
        lambda: F.ensemble_linear(ONES((2, 4)), ONES((2, 5, 4)), ONES((2, 5), np.float32)),
        "ensemble_linear: b is float32 and W is float64",
    ),
]


@pytest.mark.parametrize(("kind", "call", "message"), WRONG)
def test_what_does_not_fit_is_said(kind, call, message):
    with pytest.raises(kind, match=re.escape(message)):
        call()
