import re

import numpy as np
import pytest

from rlcore.autograd import Variable
from rlcore.autograd import functions as F
from rlcore.rng import generator


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
    np.testing.assert_array_equal(F.embed_id(Variable(ids), W).array, W[ids.astype(int)])
    v = Variable(W)
    F.sum(F.embed_id(ids, v)).backward()
    assert sorted(np.flatnonzero(v.grad.sum(1))) == [0, 3, 100, 127]
    assert F.embed_id(np.array(5, dtype), W).array.tolist() == [10, 11]
    assert F.embed_id(np.zeros((0, 3), dtype), W).shape == (0, 3, 2)


def test_bilinear_of_images():
    """All axes but the first count as one, as in Chainer."""
    rng = generator(1)
    e1, e2, W = rng.normal(size=(2, 3, 2)), rng.normal(size=(2, 2, 2)), rng.normal(size=(6, 4, 5))
    V1, V2, b = rng.normal(size=(6, 5)), rng.normal(size=(4, 5)), rng.normal(size=5)
    x1, x2 = e1.reshape(2, 6), e2.reshape(2, 4)
    expected = np.einsum("ni,nj,ijk->nk", x1, x2, W) + x1 @ V1 + x2 @ V2 + b
    np.testing.assert_allclose(F.bilinear(e1, e2, W, V1, V2, b).array, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("f", "shapes"),
    [
        (F.linear, [(5, 4), (3, 4), (3,)]),
        (F.linear, [(5, 1024), (256, 1024), (256,)]),
        (F.ensemble_linear, [(2, 5, 4), (2, 3, 4), (2, 3)]),
        (lambda W: F.embed_id(np.array([0, 2, 2]), W), [(4, 3)]),
        (lambda W: F.embed_id(np.array([0, 2, 2]), W, 0), [(4, 3)]),
        (lambda *xs: F.lstm_scan(*xs)[0], [(3, 2, 3), (2, 4), (2, 4), (16, 3), (16, 4), (16,)]),
        (lambda *xs: F.gru_scan(*xs)[0], [(3, 2, 3), (2, 4), (12, 3), (12, 4), (12,), (12,)]),
    ],
)
@pytest.mark.parametrize("layout", ["rows", "columns", "every other"])
def test_a_gradient_is_right_wherever_it_is_to_be_written(f, shapes, layout):
    def memory(shape):
        if len(shape) == 1:  # a slice of a flat buffer
            return np.full(shape, np.nan)
        if layout == "every other":
            return np.full((*shape, 2), np.nan)[..., 0]
        if layout == "columns":
            return np.full((*shape[:-2], shape[-1], shape[-2]), np.nan).swapaxes(-1, -2)
        return np.full(shape, np.nan)

    rng = generator(2)
    arrays = [rng.normal(size=shape) for shape in shapes]
    there, here = ([Variable(a) for a in arrays] for _ in range(2))
    for v in there:
        v.node.slot = memory(v.shape)
    for variables in (there, here):
        F.sum(f(*variables) ** 2).backward()
    for a, b in zip(there, here):
        assert a.grad is a.node.slot
        np.testing.assert_allclose(a.grad, b.grad, rtol=1e-11, atol=1e-11)


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
    (ValueError, lambda: F.bilinear(ONES((2, 3)), ONES((2, 4)), ONES((3, 4))), "bilinear: expected e1 (N, I)"),
    (
        TypeError,
        lambda: F.bilinear(ONES((2, 3)), np.ones((2, 4), np.float32), ONES((3, 4, 5))),
        "bilinear: e2 is float32 and W is float64; they must have one dtype",
    ),
    (ValueError, lambda: F.bilinear(ONES((2, 3)), ONES((1, 4)), ONES((3, 4, 5))), "bilinear: expected e1 (N, I)"),
    (
        ValueError,
        lambda: F.bilinear(ONES((2, 3)), ONES((2, 4)), ONES((3, 4, 5)), ONES((1, 5)), ONES((4, 5)), ONES(5)),
        "bilinear: expected V1 (3, 5), V2 (4, 5) and b (5,), got V1 (1, 5)",
    ),
    (
        ValueError,
        lambda: F.bilinear(ONES((2, 3)), ONES((2, 4)), ONES((3, 4, 5)), ONES((3, 5)), ONES((4, 5)), ONES(1)),
        "bilinear: expected V1 (3, 5), V2 (4, 5) and b (5,), got V1 (3, 5), V2 (4, 5) and b (1,)",
    ),
    (
        ValueError,
        lambda: F.linear(ONES(4), ONES((5, 4))),
        "linear: x (4,) has no batch axis; x[None] is a batch of one",
    ),
    (
        ValueError,
        lambda: F.linear(ONES((2, 3, 4)), ONES((5, 4)), n_batch_axes=0),
        "linear: n_batch_axes must be from 1",
    ),
    (
        ValueError,
        lambda: F.linear(ONES((2, 4)), ONES((5, 4)), n_batch_axes=2),
        "linear: n_batch_axes must be from 1 to 1",
    ),
    (ValueError, lambda: F.ensemble_linear(ONES((2, 4)), ONES((5, 4))), "ensemble_linear: expected x (K, N, in)"),
    (ValueError, lambda: F.ensemble_linear(ONES(4), ONES((2, 5, 4))), "ensemble_linear: expected x (K, N, in)"),
    (ValueError, lambda: F.ensemble_linear(ONES((2, 3)), ONES((2, 5, 4))), "ensemble_linear: expected x (K, N, in)"),
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
