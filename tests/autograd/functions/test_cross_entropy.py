"""Cross-entropies: ignored labels, large logits, Chainer's conventions, messages."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from rlcore.autograd import Variable, grad
from rlcore.autograd import functions as F
from rlcore.rng import generator
from tests.autograd import device

X = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
X4, T4 = np.linspace(-1, 1, 12, dtype=np.float32).reshape(2, 3, 2), np.array([[0, 1], [-1, 2]])
T = np.array([0, -1], np.int32)
BITS = np.array([[0, 1, -1], [1, 1, 0]])
WEIGHT = np.array([0.5, 1, 2], np.float32)


@pytest.mark.parametrize(
    ("loss", "expected"),  # Chainer 7.8.1
    [
        (lambda: F.softmax_cross_entropy(X, T), 1.5512504577636719),
        (lambda: F.softmax_cross_entropy(X, T, normalize=False), 0.7756252288818359),
        (lambda: F.softmax_cross_entropy(X, T, reduce="no"), [1.5512504577636719, 0]),
        (lambda: F.softmax_cross_entropy(X, T, class_weight=WEIGHT), 0.7756252288818359),
        (lambda: F.softmax_cross_entropy(X, T, class_weight=WEIGHT, reduce="no"), [0.7756252288818359, 0]),
        (lambda: F.softmax_cross_entropy(X4, T4), 1.1422128677368164),
        (lambda: F.softmax_cross_entropy(X4, T4, normalize=False), 1.713319182395935),
        (
            lambda: F.softmax_cross_entropy(X4, T4, reduce="no"),
            [[1.5058491230010986, 1.1422128677368164], [0, 0.7785763740539551]],
        ),
        (lambda: F.softmax_cross_entropy(X, F.softmax(X * X)), 1.1512504816055298),
        (lambda: F.softmax_cross_entropy(X, F.softmax(X * X), normalize=False), 1.1512504816055298),
        (
            lambda: F.softmax_cross_entropy(X, F.softmax(X * X), soft_target_loss="kl-divergence"),
            0.13495317101478577,
        ),
        (lambda: F.sigmoid_cross_entropy(X, BITS), 0.7399275898933411),
        (lambda: F.sigmoid_cross_entropy(X, BITS, normalize=False), 1.8498190641403198),
        (
            lambda: F.sigmoid_cross_entropy(X, BITS, reduce="no"),
            [[0.31326162815093994, 1.0374879837036133, 0], [0.5981388688087463, 0.43748795986175537, 1.31326162815094]],
        ),
    ],
)
def test_values(loss, expected):
    y = loss()
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.array, expected, rtol=2e-6)


def test_gradients():
    """Chainer 7.8.1."""
    x = Variable(X)
    F.softmax_cross_entropy(x, T).backward()
    np.testing.assert_allclose(x.grad, [[-0.7880173, 0.31624103, 0.47177622], [0, 0, 0]], rtol=1e-6)


@pytest.mark.parametrize("reduce", ["mean", "no"])
@pytest.mark.parametrize("cache_score", [True, False])
@pytest.mark.parametrize("class_weight", [None, WEIGHT])
def test_an_ignored_row_counts_for_nothing_whatever_it_holds(reduce, cache_score, class_weight):
    """Masked logits of padded steps: -inf, all of them too, or nan."""
    named = {"cache_score": cache_score, "class_weight": class_weight, "reduce": reduce, "ignore_label": 255}
    t = np.array([2, 255, 255, 255])
    for rubbish in (np.float32([-np.inf, 0, 1]), np.full(3, -np.inf, np.float32), np.full(3, np.nan, np.float32)):
        x = Variable(np.stack([X[0], rubbish, rubbish, X[1]]))
        with np.errstate(invalid="ignore"):
            y = F.softmax_cross_entropy(x, t, **named)
            y.grad = np.ones_like(y.array)
            y.backward()
        alone = Variable(X[:1])
        expected = F.softmax_cross_entropy(alone, t[:1], **named)
        F.sum(expected).backward()
        assert y.array.ravel()[0] == expected.array.ravel()[0]
        np.testing.assert_array_equal(x.grad, np.vstack([alone.grad, np.zeros((3, 3))]))
        with np.errstate(invalid="ignore"):
            y = F.softmax_cross_entropy(x, t, **named)
            traced = grad(y, x, np.ones_like(y.array), enable_double_backprop=True)[0]
            second = grad(F.sum(traced * traced), x)[0]
        np.testing.assert_allclose(traced.array, x.grad, rtol=1e-5, atol=1e-7)
        assert np.isfinite(second.array).all()


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("rows", [0, 2])
def test_the_mean_of_no_label_is_zero(normalize, rows):
    x = Variable(X[:rows])
    for loss in (
        F.softmax_cross_entropy(x, np.full(rows, -1), normalize),
        F.sigmoid_cross_entropy(x, np.full((rows, 3), -1), normalize),
    ):
        assert loss.item() == 0
        g = grad(loss, x)[0].array
        assert g.shape == (rows, 3)
        assert not g.any()
        assert not grad(grad(loss, x, enable_double_backprop=True)[0], x, x.array)[0].array.any()


@pytest.mark.parametrize("cache_score", [True, False])
def test_large_logits_stay_finite_and_exact(cache_score):
    x = Variable(np.array([[1e4, -1e4, 0], [30, 0, -30]]))
    y = F.softmax_cross_entropy(x, np.array([1, 0]), cache_score=cache_score, reduce="no")
    rest = np.exp(-30) + np.exp(-60)
    np.testing.assert_allclose(y.array, [2e4, rest], rtol=1e-2)
    F.sum(y).backward()
    np.testing.assert_allclose(x.grad[0], [1, -1, 0], atol=1e-15)
    np.testing.assert_allclose(x.grad[1], [-np.expm1(0) - rest, np.exp(-30), np.exp(-60)], rtol=1e-2)
    logits, bits = Variable(np.array([1e4, 1e4, -1e4, -1e4])), np.array([0, 1, 0, 1])
    y = F.sigmoid_cross_entropy(logits, bits, reduce="no")
    assert y.array.tolist() == [1e4, 0, 0, 1e4]
    F.sum(y).backward()
    assert logits.grad.tolist() == [1, 0, 0, -1]


@pytest.mark.parametrize("cache_score", [True, False])
def test_many_classes_in_halves(cache_score):
    """Their exponentials are added up as singles, along any axis: as halves the sum ends at 2048."""
    x = Variable(np.zeros((1, 4096, 2), np.float16))
    y = F.softmax_cross_entropy(x, np.zeros((1, 2), int), cache_score=cache_score)
    y.backward()
    assert y.item() == np.float16(12 * np.log(2))
    assert x.grad[0, 1:].tolist() == [[2.0**-13] * 2] * 4095


def test_halves_do_not_overflow():
    x = Variable(np.zeros((70_000, 2), np.float16))
    y = F.softmax_cross_entropy(x, np.zeros(70_000, int))
    assert y.dtype == np.float16
    assert y.item() == pytest.approx(np.log(2), rel=2e-2)

    y = F.sigmoid_cross_entropy(x, np.zeros((70_000, 2), int))
    assert y.item() == pytest.approx(np.log(2), rel=2e-2)


@pytest.mark.parametrize("cache_score", [True, False])
def test_what_is_kept_for_backward(cache_score):
    """The softmax, or logits alone."""
    x = np.zeros((50, 4))
    saved = F.softmax_cross_entropy(Variable(x), np.zeros(50, int), cache_score=cache_score).node.saved
    large = [a for a in saved if isinstance(a, np.ndarray) and a.size == x.size]
    assert len(large) == 1 + cache_score
    assert any(a is x for a in large)


def test_labels_and_weights_may_be_variables():
    t, weight, bits = Variable(T), Variable(WEIGHT), Variable(BITS)
    assert F.softmax_cross_entropy(X, t, class_weight=weight).item() == pytest.approx(0.7756252288818359)
    assert F.sigmoid_cross_entropy(X, bits).item() == pytest.approx(0.7399275898933411)


def test_weights_of_classes_of_pixels():
    y = F.softmax_cross_entropy(X4, T4, class_weight=WEIGHT)
    np.testing.assert_allclose(y.array, 1.1507633924484253, rtol=2e-6)  # Chainer 7.8.1


def test_the_second_derivative_of_ignored_labels_is_zero():
    x = Variable(X.astype("d"))
    first = grad(F.softmax_cross_entropy(x, T, reduce="no"), x, np.ones(2), enable_double_backprop=True)[0]
    assert not first.array[1].any()
    assert not grad(F.sum(first * first), x)[0].array[1].any()


@pytest.mark.parametrize("t", [[-1, -1], [-1, 1], [0, 2]])
def test_on_a_device_the_number_of_labels_stays_there(t, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", device.module())
    t = np.array(t)
    for f, labels in ((F.softmax_cross_entropy, t), (F.sigmoid_cross_entropy, np.stack([t.clip(-1, 1)] * 3, 1))):
        host, there = Variable(X), Variable(device.Array(X))
        one, two = f(host, labels), f(there, device.Array(labels))
        one.backward()
        two.backward()
        assert two.dtype == np.float32
        np.testing.assert_allclose(two.array.get(), one.array, rtol=1e-6)
        np.testing.assert_allclose(there.grad.get(), host.grad, rtol=1e-6)


def test_one_label_of_no_axis():
    x = Variable(np.array(0.0))
    for normalize in (True, False):
        assert F.sigmoid_cross_entropy(x, np.array(1), normalize).item() == np.log(2)


def test_probabilities_are_constants():
    x, t = Variable(X), Variable(F.softmax(X * X).array)
    F.softmax_cross_entropy(x, t).backward()
    assert t.grad is None
    assert x.grad is not None


def test_nothing_given_is_written():
    x, t, w = X.copy(), T.copy(), WEIGHT.copy()
    v = Variable(x)
    F.softmax_cross_entropy(v, t, class_weight=w).backward()
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(t, T)
    np.testing.assert_array_equal(w, WEIGHT)


def test_as_log_softmax_and_select_item():
    rng = generator(2)
    x, t = Variable(rng.standard_normal((40, 7))), rng.integers(0, 7, 40)
    one, two = F.softmax_cross_entropy(x, t), -F.mean(F.select_item(F.log_softmax(x), t))
    np.testing.assert_allclose(one.array, two.array, rtol=1e-14)
    np.testing.assert_allclose(grad(one, x)[0].array, grad(two, x)[0].array, atol=1e-16)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: F.softmax_cross_entropy(X, T[:1]), ValueError, r"_entropy: expected x \(N, C.*x \(2, 3\) .*t \(1,\)"),
        (lambda: F.softmax_cross_entropy(X4, T), ValueError, r"_entropy: expected x \(N, C.*x \(2, 3, 2\) .*t \(2,\)"),
        (lambda: F.softmax_cross_entropy(X[0], T[0]), ValueError, "softmax_cross_entropy: expected x"),
        (lambda: F.softmax_cross_entropy(X[:, 0], T), ValueError, "softmax_cross_entropy: expected x"),
        (lambda: F.softmax_cross_entropy(X, T > 0), TypeError, "softmax_cross_entropy: t must hold integers, .*bool"),
        (lambda: F.softmax_cross_entropy(X, X[:1]), ValueError, r"softmax_cross_entropy: .*t \(1, 3\) float32"),
        (lambda: F.softmax_cross_entropy(X, X.astype("d")), TypeError, "softmax_cross_entropy: .*t .*float64"),
        (lambda: F.softmax_cross_entropy(X, T + 3), IndexError, "softmax_cross_entropy: index 3 is out of bounds"),
        (lambda: F.softmax_cross_entropy(X, T - 1), IndexError, "softmax_cross_entropy: label -2 is negative"),
        (lambda: F.softmax_cross_entropy(X, T, ignore_label=255), IndexError, "label -1 is negative, and not .*255"),
        (lambda: F.softmax_cross_entropy(X, T, reduce="sum"), ValueError, "softmax_cross_entropy: reduce .*'sum'"),
        (
            lambda: F.softmax_cross_entropy(X, X, soft_target_loss="l2"),
            ValueError,
            "softmax_cross_entropy: soft_target",
        ),
        (lambda: F.softmax_cross_entropy(X, X, class_weight=WEIGHT), ValueError, "class_weight is for integers t"),
        (lambda: F.softmax_cross_entropy(X, T, class_weight=WEIGHT[:2]), ValueError, r"class_weight must .*\(3,\)"),
        (lambda: F.softmax_cross_entropy(X, T, class_weight=WEIGHT.astype("d")), ValueError, "class_weight .*float64"),
        (lambda: F.sigmoid_cross_entropy(X, X), TypeError, "sigmoid_cross_entropy: .*bernoulli_nll"),
        (lambda: F.sigmoid_cross_entropy(X, BITS[:1]), ValueError, r"sigmoid_cross_entropy: .*\(2, 3\) and \(1, 3\)"),
        (lambda: F.sigmoid_cross_entropy(X, BITS, reduce="sum"), ValueError, "sigmoid_cross_entropy: reduce .*'sum'"),
    ],
)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match):
        call()
