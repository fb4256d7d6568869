"""Independent, MultivariateNormal, SquashedGaussian and Product."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from rlcore import distributions as D
from rlcore.autograd import Variable
from rlcore.autograd import functions as F
from rlcore.autograd.gradient_check import check_backward, check_double_backward
from rlcore.rng import generator

LOC = np.array([[0.3, -1.2], [0.0, 0.5], [2.0, 0.1]])
SCALE = np.array([[0.5, 1.5], [1.0, 0.2], [0.7, 0.7]])
TRIL = np.array([[[1.5, 0, 0], [0.4, 0.7, 0], [-0.3, 0.2, 0.9]], [[0.5, 0, 0], [0, 0.5, 0], [0.1, 0.1, 2.0]]])
CENTER = np.array([[0.1, 0.2, -0.3], [1.0, 0.0, -1.0]])


def test_independent_sums_over_the_event():
    d = D.Independent(D.Normal(LOC, SCALE))
    x = LOC + 0.1
    assert (d.batch_shape, d.event_shape) == ((3,), (2,))
    np.testing.assert_allclose(d.log_prob(x).array, stats.norm(LOC, SCALE).logpdf(x).sum(1))
    np.testing.assert_allclose(d.entropy.array, stats.norm(LOC, SCALE).entropy().sum(1))
    assert d.sample(5, rng=generator(0)).shape == d.rsample(5, rng=generator(0)).shape == (5, 3, 2)
    assert d.mode.array.tolist() == d.mean.array.tolist() == LOC.tolist()
    other = D.Independent(D.Normal(LOC + 1, SCALE))
    np.testing.assert_allclose(D.kl_divergence(d, other).array, (0.5 / SCALE**2).sum(1))
    none = D.Independent(D.Normal(LOC, SCALE), 0)
    assert none.batch_shape == none.entropy.shape == (3, 2)
    with pytest.raises(ValueError, match="different axes"):
        D.kl_divergence(d, none)
    with pytest.raises(ValueError, match=r"cannot take 3 axes of the batch shape \(3, 2\)"):
        D.Independent(D.Normal(LOC, SCALE), 3)


def test_multivariate_normal():
    d = D.MultivariateNormal(CENTER, TRIL)
    twins = [stats.multivariate_normal(m, L @ L.T) for m, L in zip(CENTER, TRIL)]
    x = CENTER + np.array([0.3, -0.2, 0.5])
    np.testing.assert_allclose(d.log_prob(x).array, [t.logpdf(v) for t, v in zip(twins, x)])
    np.testing.assert_allclose(d.entropy.array, [t.entropy() for t in twins])
    np.testing.assert_allclose(d.covariance.array, TRIL @ TRIL.transpose(0, 2, 1))
    np.testing.assert_allclose(d.variance.array, np.diagonal(TRIL @ TRIL.transpose(0, 2, 1), axis1=1, axis2=2))
    draws = d.sample(50_000, rng=generator(0)).array
    np.testing.assert_allclose(draws.mean(0), CENTER, atol=0.05)
    for i in range(2):
        np.testing.assert_allclose(np.cov(draws[:, i].T), TRIL[i] @ TRIL[i].T, atol=0.07)
    other = D.MultivariateNormal(CENTER + 0.2, 1.3 * TRIL)
    x = d.sample(50_000, rng=generator(1)).array
    difference = d.log_prob(x).array - other.log_prob(x).array
    kl, error = D.kl_divergence(d, other).array, difference.std(0) / np.sqrt(len(x))
    assert (abs(difference.mean(0) - kl) <= 4 * error).all()
    np.testing.assert_allclose(D.kl_divergence(d, d).array, 0, atol=1e-12)
    point = CENTER + 0.3
    rng = generator(0)
    check_backward(lambda m, L: D.MultivariateNormal(m, L).log_prob(point), [CENTER, TRIL], np.ones(2), rng=rng)
    check_backward(lambda m, L: D.MultivariateNormal(m, L).rsample(rng=generator(3)), [CENTER, TRIL], x[0], rng=rng)
    with pytest.raises(ValueError, match=r"scale_tril \(..., d, d\), got \(2, 3\) and \(2, 3, 2\)"):
        D.MultivariateNormal(CENTER, TRIL[..., :2])


@pytest.mark.parametrize("scale", [1e-3, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("loc", [0.0, 1.5])
def test_a_squashed_density_integrates_to_one(loc, scale):
    """Over atanh(y), where it is smooth up to the bounds: dy = (1 - y^2) du."""
    d = D.SquashedGaussian(np.array([[loc]]), np.array([[scale]]), low=-2.0, high=3.0)
    lo, hi = max(loc - 9 * scale, -15), min(loc + 9 * scale, 15)
    u = np.linspace(lo, hi, 20_001)[:, None, None]
    density = d.prob(0.5 + 2.5 * np.tanh(u)).array[:, 0] * 2.5 / np.cosh(u[:, 0, 0]) ** 2
    inside = np.diff(stats.norm(loc, scale).cdf([lo, hi])).item()
    assert integrate.simpson(density, x=u[:, 0, 0]) == pytest.approx(inside, abs=1e-4)


def test_squashed_log_prob_by_hand():
    """log N(u; 0, 1) - log(1 - y^2) at u = 0.5, half width 1, then 2."""
    y = np.tanh(0.5)
    expected = stats.norm.logpdf(0.5) - np.log(1 - y * y)
    d = D.SquashedGaussian(np.zeros((1, 1)), np.ones((1, 1)))
    assert d.log_prob(np.array([[y]])).item() == pytest.approx(expected)
    wide = D.SquashedGaussian(np.zeros((1, 1)), log_scale=np.zeros((1, 1)), low=np.array([1.0]), high=np.array([5.0]))
    assert wide.log_prob(np.array([[3 + 2 * y]])).item() == pytest.approx(expected - np.log(2))
    assert wide.mode.array.tolist() == [[3]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_squashed_is_finite_on_and_near_the_bounds(dtype):
    for loc in (-30, 0, 30):
        v = Variable(np.full((1, 2), loc, dtype))
        log_scale = Variable(np.zeros((1, 2), dtype))
        d = D.SquashedGaussian(v, log_scale=log_scale)
        for y in (1, -1, 1 - 1e-7, -1 + 1e-7, 0):
            assert np.isfinite(d.log_prob(np.full((1, 2), y, dtype)).array).all()
        action, log_prob = d.rsample_log_prob(rng=generator(0))
        assert np.isfinite(log_prob.array).all()
        F.sum(log_prob + F.sum(action)).backward()
        assert np.isfinite(v.grad).all()
        assert np.isfinite(log_scale.grad).all()


def test_the_two_log_probs_of_a_draw_agree():
    d = D.SquashedGaussian(LOC, SCALE, low=-2.0, high=2.0)
    action, log_prob = d.rsample_log_prob(rng=generator(5))
    assert (action.shape, log_prob.shape) == ((3, 2), (3,))
    np.testing.assert_allclose(d.log_prob(action.array).array, log_prob.array, rtol=1e-8)
    np.testing.assert_array_equal(d.sample(rng=generator(5)).array, action.array)
    x = d.sample(2000, rng=generator(6)).array
    assert (abs(x) < 2).all()


def test_squashed_gradients():
    rng = generator(0)
    y, gy = np.tanh(LOC + 0.1), np.array([1.0, -0.5, 2.0])

    def log_prob(loc, log_scale):
        return D.SquashedGaussian(loc, log_scale=log_scale).log_prob(y)

    def both(loc, log_scale):
        action, log_prob = D.SquashedGaussian(loc, log_scale=log_scale).rsample_log_prob(rng=generator(4))
        return log_prob + F.sum(action, axis=1)

    for f in (log_prob, both):
        check_backward(f, [LOC, np.log(SCALE)], gy, rng=rng)
        check_double_backward(f, [LOC, np.log(SCALE)], gy, [LOC, SCALE], rng=rng)


def test_squashed_entropy_has_no_formula_and_divergence_is_the_gaussians():
    d, e = D.SquashedGaussian(LOC, SCALE), D.SquashedGaussian(LOC + 1, SCALE)
    with pytest.raises(NotImplementedError, match="SquashedGaussian has no closed formula for its entropy"):
        _ = d.entropy
    np.testing.assert_allclose(D.kl_divergence(d, e).array, (0.5 / SCALE**2).sum(1))


def test_a_constant_takes_the_parameters_dtype():
    d = D.MultivariateNormal(np.float32(CENTER), np.float32(TRIL))
    assert d.log_prob(CENTER).dtype == np.float32


def test_squashed_refuses():
    with pytest.raises(ValueError, match=r"\(..., d\), got scalars"):
        D.SquashedGaussian(np.float64(0), np.float64(1))
    with pytest.raises(ValueError, match="high must be above low"):
        D.SquashedGaussian(LOC, SCALE, low=1.0, high=1.0)
    with pytest.raises(TypeError, match="x is float64, the parameters are float32"):
        D.SquashedGaussian(np.float32(LOC), np.float32(SCALE)).log_prob(LOC)


def test_a_product_nests_as_its_parts_do():
    move, turn = D.Categorical(logit=LOC), D.Independent(D.Normal(LOC, SCALE))
    d = D.Product({"move": move, "arm": (turn, D.SquashedGaussian(LOC, SCALE))})
    x = d.sample(rng=generator(0))
    assert x["move"].shape == (3,)
    assert [v.shape for v in x["arm"]] == [(3, 2), (3, 2)]
    expected = move.log_prob(x["move"]).array + sum(p.log_prob(v).array for p, v in zip(d.parts["arm"], x["arm"]))
    np.testing.assert_allclose(d.log_prob(x).array, expected)
    assert set(d.params) == {"move/p", "arm/0/loc", "arm/0/scale", "arm/1/loc", "arm/1/scale"}
    assert d.mode["move"].array.tolist() == [0, 1, 0]
    simple = D.Product((move, turn))
    np.testing.assert_allclose(simple.entropy.array, move.entropy.array + turn.entropy.array)
    shifted = D.Product((move, D.Independent(D.Normal(LOC + 1, SCALE))))
    np.testing.assert_allclose(D.kl_divergence(simple, shifted).array, (0.5 / SCALE**2).sum(1))
    with pytest.raises(ValueError, match=r"one batch shape, got \[\(3,\), \(3, 2\)\]"):
        D.Product((move, D.Normal(LOC, SCALE)))
