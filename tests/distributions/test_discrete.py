"""Categorical and MultiCategorical: masks, draws, entropies, divergences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rlcore import distributions as D
from rlcore import tree
from rlcore.autograd import Variable, grad, no_backprop_mode
from rlcore.autograd import functions as F
from rlcore.autograd.gradient_check import check_backward, check_double_backward
from rlcore.rng import generator

P = np.array([[0.5, 0.2, 0.3], [0.1, 0.8, 0.1]])
LOGIT = np.array([[0.2, -1.0, 3.0], [0.0, 0.5, -0.5]])
MASK = np.array([[True, False, True], [False, True, True]])


def softmax(x, where=True):
    e = np.where(where, np.exp(x), 0)
    return e / e.sum(-1, keepdims=True)


def test_probabilities_and_logits():
    np.testing.assert_allclose(D.Categorical(P).p.array, P)
    np.testing.assert_allclose(D.Categorical(3 * P).p.array, P)  # normalised
    np.testing.assert_allclose(D.Categorical(logit=LOGIT).p.array, softmax(LOGIT))
    np.testing.assert_allclose(
        D.Categorical(logit=LOGIT).log_prob(np.array([2, 0])).array, np.log(softmax(LOGIT))[[0, 1], [2, 0]]
    )
    assert D.Categorical(P).mode.array.tolist() == [0, 1]
    np.testing.assert_allclose(D.Categorical(P).entropy.array, stats.entropy(P, axis=1))


def test_log_prob_broadcasts_over_draws():
    d = D.Categorical(P)
    x = np.array([[0, 1], [2, 2], [1, 0]])
    np.testing.assert_allclose(d.log_prob(x).array, np.log(P)[[0, 1], x])
    deep = D.Categorical(logit=np.stack([LOGIT, LOGIT + 1]))
    assert deep.batch_shape == (2, 2)
    np.testing.assert_allclose(
        deep.log_prob(np.array([1, 2])).array, np.log(softmax(LOGIT))[[0, 1], [1, 2]][None].repeat(2, 0)
    )
    single = D.Categorical(P[0])
    assert single.batch_shape == single.sample().shape == ()
    assert single.log_prob(np.array(1)).item() == pytest.approx(np.log(0.2))


@pytest.mark.parametrize("mask", [None, MASK])
def test_gradients(mask):
    rng = generator(0)
    x, gy = np.array([2, 1]), np.array([0.7, -0.4])
    for f in (
        lambda v: D.Categorical(logit=v, mask=mask).log_prob(x),
        lambda v: D.Categorical(logit=v, mask=mask).entropy,
    ):
        check_backward(f, [LOGIT], gy, rng=rng)
        check_double_backward(f, [LOGIT], gy, [rng.standard_normal(LOGIT.shape)], rng=rng)
    check_backward(lambda p: D.Categorical(p).log_prob(x), [P], gy, rng=rng)


def test_draws_have_the_right_frequencies():
    for d, p in ((D.Categorical(P), P), (D.Categorical(logit=LOGIT, mask=MASK), softmax(LOGIT, MASK))):
        x = d.sample(20_000, rng=generator(1)).array
        assert x.dtype == np.int64
        for i in range(2):
            counts = np.bincount(x[:, i], minlength=3)
            assert (counts[p[i] == 0] == 0).all()
            there = p[i] > 0
            assert stats.chisquare(counts[there], 20_000 * p[i][there]).pvalue > 1e-3


def test_masked_values_are_impossible():
    d = D.Categorical(logit=np.float32(LOGIT), mask=MASK)
    np.testing.assert_allclose(d.p.array, softmax(LOGIT, MASK), rtol=1e-6)
    assert d.log_prob(np.array([1, 0])).array.tolist() == [-np.inf, -np.inf]
    assert d.mode.array.tolist() == [2, 1]
    np.testing.assert_allclose(d.entropy.array, stats.entropy(softmax(LOGIT, MASK), axis=1), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_all_but_one_masked(dtype):
    """Entropy 0, the allowed value for sure, and gradients that are 0, not nan."""
    mask = np.array([[False, True, False]])
    v = Variable(np.array([[30, -30, 5]], dtype))
    d = D.Categorical(logit=v, mask=mask)
    assert d.p.array.tolist() == [[0, 1, 0]]
    assert (d.sample(1000, rng=generator(0)).array == 1).all()
    (F.sum(d.entropy) + F.sum(d.log_prob(np.array([1])))).backward()
    assert d.entropy.item() == 0
    assert v.grad.tolist() == [[0, 0, 0]]


def test_logits_of_minus_infinity_count_as_masked():
    v = Variable(np.array([[-np.inf, 0.0, 0.0]]))
    d = D.Categorical(logit=v)
    assert d.entropy.item() == pytest.approx(np.log(2))
    F.sum(d.entropy).backward()
    assert np.isfinite(v.grad).all()
    zero = D.Categorical(np.array([[0.0, 0.25, 0.75]]))
    assert zero.p.array[0, 0] == 0
    assert zero.entropy.item() == pytest.approx(stats.entropy([0.25, 0.75]))


def test_a_uniform_draw_of_almost_one_stays_inside():
    class Almost:
        def random(self, shape):
            return np.full(shape, np.nextafter(1, 0))

    d = D.Categorical(logit=np.float32([[0.1, 0.2, 0.3, -50]] * 2), mask=np.array([[True, True, True, False]] * 2))
    assert d._draw((), Almost()).array.tolist() == [2, 2]


def test_divergence():
    a, b = D.Categorical(P), D.Categorical(logit=LOGIT)
    np.testing.assert_allclose(D.kl_divergence(a, b).array, stats.entropy(P, softmax(LOGIT), axis=1))
    masked = D.Categorical(logit=LOGIT, mask=MASK)
    np.testing.assert_allclose(
        D.kl_divergence(masked, b).array, stats.entropy(softmax(LOGIT, MASK), softmax(LOGIT), axis=1)
    )
    assert D.kl_divergence(masked, masked).array.tolist() == [0, 0]
    assert D.kl_divergence(a, masked).array.tolist() == [np.inf, np.inf]
    check_backward(
        lambda u, v: D.kl_divergence(D.Categorical(logit=u, mask=MASK), D.Categorical(logit=v)),
        [LOGIT, LOGIT[::-1]],
        np.ones(2),
        rng=generator(0),
    )


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: D.Categorical(), ValueError, "Categorical: give exactly one of p and logit"),
        (lambda: D.Categorical(P, LOGIT), ValueError, "exactly one"),
        (lambda: D.Categorical(np.float64(1)), ValueError, r"expected parameters \(..., n\), got shape \(\)"),
        (lambda: D.Categorical(logit=LOGIT, mask=MASK.astype(int)), TypeError, "mask must be bool, got int64"),
        (lambda: D.Categorical(logit=LOGIT, mask=MASK[:, :2]), ValueError, r"mask \(2, 2\) .*\(2, 3\)"),
        (
            lambda: D.Categorical(logit=LOGIT, mask=np.array([[True] * 3, [False] * 3])),
            ValueError,
            r"forbids every value in rows \[\[1\]\]",
        ),
        (lambda: D.Categorical(P).log_prob(np.zeros(2)), TypeError, "log_prob takes integers, got float64"),
        (lambda: D.Categorical(logit=np.ones((2, 3), int)), TypeError, "logit must hold floats"),
        (lambda: D.kl_divergence(D.Categorical(P), D.Categorical(P[:, :2])), ValueError, "over 3 and 2 values"),
        (lambda: D.MultiCategorical(LOGIT, [2, 2]), ValueError, r"expected logit \(..., 4\) for nvec \[2, 2\]"),
        (lambda: D.MultiCategorical(LOGIT, []), ValueError, "expected logit"),
        (lambda: D.MultiCategorical(LOGIT, [1, 2]).log_prob(np.zeros((2, 3), int)), ValueError, r"takes \(..., 2\)"),
    ],
)
def test_bad_input(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_multi_categorical_is_its_parts():
    logit = np.concatenate([LOGIT, LOGIT[:, :2]], axis=1)
    mask = np.concatenate([MASK, np.ones((2, 2), bool)], axis=1)
    d = D.MultiCategorical(logit, [3, 2], mask=mask)
    first, second = D.Categorical(logit=LOGIT, mask=MASK), D.Categorical(logit=LOGIT[:, :2])
    x = np.array([[2, 0], [1, 1]])
    assert (d.batch_shape, d.event_shape) == ((2,), (2,))
    np.testing.assert_allclose(d.log_prob(x).array, first.log_prob(x[:, 0]).array + second.log_prob(x[:, 1]).array)
    np.testing.assert_allclose(d.entropy.array, first.entropy.array + second.entropy.array)
    assert d.mode.array.tolist() == [[2, 0], [1, 1]]
    draws = d.sample(500, rng=generator(0)).array
    assert draws.shape == (500, 2, 2)
    assert draws.dtype == np.int64
    assert (draws[:, 0, 0] != 1).all()
    other = D.MultiCategorical(logit[::-1], [3, 2])
    expected = D.kl_divergence(first, D.Categorical(logit=LOGIT[::-1])).array
    expected = expected + D.kl_divergence(second, D.Categorical(logit=LOGIT[::-1, :2])).array
    np.testing.assert_allclose(D.kl_divergence(d, other).array, expected)


def test_what_was_computed_without_a_graph_still_has_gradients():
    """Drawing first, or asking under no_backprop_mode(), caches nothing that has lost its graph."""
    v = Variable(LOGIT)
    d = D.Categorical(logit=v)
    with no_backprop_mode():
        x = d.sample(rng=generator(0))
    F.sum(d.log_prob(x)).backward()
    np.testing.assert_allclose(v.grad, np.eye(3)[x.array] - softmax(LOGIT))
    s = Variable(np.zeros(2))
    n = D.Normal(np.zeros(2), log_scale=s)
    with no_backprop_mode():
        n.rsample(rng=generator(0))
    F.sum(n.log_prob(np.zeros(2))).backward()
    assert s.grad.tolist() == [-1, -1]


def test_bernoulli_looks_whether_values_are_binary_when_asked():
    d = D.Bernoulli(np.array([0.25, 0.25, 0.25]), binary_check=True)
    np.testing.assert_allclose(d.log_prob(np.array([0, 1, 2])).array, [np.log(0.75), np.log(0.25), -np.inf])


@pytest.mark.parametrize(
    "make",
    [
        lambda x: D.Categorical(logit=x),
        lambda x: D.Categorical(logit=x, mask=np.tile(MASK, (500, 1))),
        lambda x: D.Categorical(logit=x.reshape(10, 100, 3)),
        lambda x: D.MultiCategorical(x, [1, 2]),
        lambda x: D.Independent(D.Bernoulli(logit=x)),
        lambda x: D.Independent(D.Normal(x, np.ones_like(x))),
        lambda x: D.Product({"a": D.Categorical(logit=x), "b": (D.Independent(D.Bernoulli(logit=x)),)}),
    ],
)
def test_draws_come_with_their_log_prob(make):
    logit = generator(0).normal(size=(1_000, 3)).astype(np.float32) * 3
    d = make(logit)
    draw, log_prob = d.sample_log_prob(rng=generator(1))
    expected = dict(tree.named_leaves(tree.map_(lambda v: v.array, d.sample(rng=generator(1)))))
    for path, leaf in tree.named_leaves(draw):
        assert type(leaf) is np.ndarray
        np.testing.assert_array_equal(leaf, expected[path])
    assert log_prob.dtype == np.float32
    np.testing.assert_allclose(log_prob, d.log_prob(draw).array, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mask", [None, MASK])
@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0), (0.7, -30.0)])
def test_log_prob_and_entropy_come_together(mask, weights):
    """As each by itself, with its gradients and second gradients; a forbidden value has none."""
    x, rows = np.array([2, 1]), np.array([0.5, -2.0])

    def loss(logit, together):
        d = D.Categorical(logit=logit, mask=mask)
        log_prob, entropy = d.log_prob_entropy(x) if together else (d.log_prob(x), d.entropy)
        parts = [w * F.sum(part * rows) for w, part in zip(weights, (log_prob, entropy)) if w]
        return parts[0] if len(parts) == 1 else parts[0] + parts[1], log_prob, entropy

    found = []
    for together in (True, False):
        logit = Variable(LOGIT)
        total, *both = loss(logit, together)
        (g,) = grad([total], [logit], enable_double_backprop=mask is None)
        (second,) = grad([F.sum(g * LOGIT)], [logit]) if mask is None else [g]
        again = Variable(LOGIT)
        loss(again, together)[0].backward()
        found.append([total.array, *[v.array for v in both], g.array, second.array, again.grad])
    for one, two in zip(*found):
        np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-12)
    assert np.abs(found[0][-1]).max() > 0.1
    if mask is not None:
        assert not found[0][-1][~mask].any()


def test_log_prob_and_entropy_together_of_a_vector_of_batches():
    d = D.Categorical(logit=np.stack([LOGIT, 2 * LOGIT]))
    log_prob, entropy = d.log_prob_entropy(np.array([[0, 1], [2, 2]]))
    np.testing.assert_array_equal(log_prob.array, d.log_prob(np.array([[0, 1], [2, 2]])).array)
    np.testing.assert_array_equal(entropy.array, d.entropy.array)
    with pytest.raises(TypeError, match="takes integers"):
        d.log_prob_entropy(np.zeros((2, 2)))
