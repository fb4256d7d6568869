"""Every distribution with a twin in SciPy: densities, moments, entropies, draws, gradients."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rlcore import distributions as D
from rlcore.autograd import Variable, as_array
from rlcore.autograd import functions as F
from rlcore.autograd.gradient_check import check_backward, check_double_backward
from rlcore.rng import generator
from tests.distributions.cases import CASES, LOC, SCALE

EACH = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
DISCRETE = "Bernoulli"


def log_density(case):
    twin = case.twin(*case.parameters)
    return twin.logpmf(case.x) if case.name.startswith(DISCRETE) else twin.logpdf(case.x)


@EACH
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_log_prob_is_scipys(case, dtype):
    x = case.x if case.name.startswith(DISCRETE) else case.x.astype(dtype)
    y = case(dtype).log_prob(x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y.array, log_density(case), rtol=1e-12 if dtype == np.float64 else 2e-5)
    np.testing.assert_allclose(case(dtype).prob(x).array, np.exp(log_density(case)), rtol=1e-4)


@EACH
def test_a_constant_takes_the_parameters_dtype(case):
    d = case(np.float32)
    assert d.log_prob(case.x).dtype == np.float32
    assert d.log_prob(case.x[0]).dtype == np.float32
    if case.reparameterised:
        assert d.cdf(case.x).dtype == d.icdf(np.array([0.05, 0.5, 0.99])).dtype == d.icdf(0.5).dtype == np.float32


@EACH
def test_moments_and_entropy_are_scipys(case):
    d, twin = case(), case.twin(*case.parameters)
    np.testing.assert_allclose(d.mean.array, twin.mean(), rtol=1e-12)
    np.testing.assert_allclose(d.variance.array, twin.var(), rtol=1e-12)
    np.testing.assert_allclose(d.stddev.array, twin.std(), rtol=1e-12)
    np.testing.assert_allclose(d.entropy.array, twin.entropy(), rtol=1e-9)
    np.testing.assert_allclose(d.perplexity.array, np.exp(twin.entropy()), rtol=1e-9)
    assert d.batch_shape == d.entropy.shape == (3,)


@EACH
def test_draws_follow_the_law(case):
    """Kolmogorov-Smirnov for each element of the batch (frequencies for discrete ones); the seed is fixed."""
    d, twin = case(np.float32), case.twin(*case.parameters)
    draws = d.sample(20_000, rng=generator(1))
    assert draws.shape == (20_000, 3)
    assert not draws.requires_grad
    if case.name.startswith(DISCRETE):
        assert draws.dtype == np.int64
        np.testing.assert_allclose(draws.array.mean(0), twin.mean(), atol=4 * 0.5 / np.sqrt(20_000))
        return
    assert draws.dtype == np.float32
    for i in range(3):
        single = case.twin(*[p[i] for p in case.parameters])
        assert stats.kstest(draws.array[:, i].astype(np.float64), single.cdf).pvalue > 1e-3


@EACH
def test_gradients_reach_the_parameters(case):
    rng = generator(0)
    gy = rng.standard_normal(3)
    x = case.x

    def log_prob(*parameters):
        return case.make(*parameters).log_prob(x)

    check_backward(log_prob, case.parameters, gy, eps=1e-4, rng=rng)
    ggx = [rng.standard_normal(p.shape) for p in case.parameters]
    check_double_backward(log_prob, case.parameters, gy, ggx, eps=1e-4, rng=rng)
    check_backward(lambda *parameters: case.make(*parameters).entropy, case.parameters, gy, eps=1e-4, rng=rng)


@pytest.mark.parametrize("case", [c for c in CASES if c.reparameterised], ids=lambda case: case.name)
def test_reparameterised_draws_have_gradients(case):
    """The noise is the same for one generator, so a draw is a smooth function of the parameters."""
    gy = generator(3).standard_normal((4, 3))
    check_backward(
        lambda *parameters: case.make(*parameters).rsample(4, rng=generator(7)),
        case.parameters,
        gy,
        rng=generator(0),
    )
    np.testing.assert_array_equal(case().rsample(4, rng=generator(7)).array, case().sample(4, rng=generator(7)).array)


@pytest.mark.parametrize("case", [c for c in CASES if not c.reparameterised], ids=lambda case: case.name)
def test_others_say_so(case):
    with pytest.raises(NotImplementedError, match=f"{case.name.split(' ')[0]} has no reparameterised sample"):
        case().rsample()


@pytest.mark.parametrize("case", [c for c in CASES if c.reparameterised], ids=lambda case: case.name)
def test_distribution_functions(case):
    d, twin = case(), case.twin(*case.parameters)
    np.testing.assert_allclose(d.cdf(case.x).array, twin.cdf(case.x), rtol=1e-12)
    np.testing.assert_allclose(d.log_cdf(case.x).array, twin.logcdf(case.x), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(d.survival_function(case.x).array, twin.sf(case.x), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(d.log_survival_function(case.x).array, twin.logsf(case.x), rtol=1e-9)
    q = np.array([0.05, 0.5, 0.99])
    np.testing.assert_allclose(d.icdf(q).array, twin.ppf(q), rtol=1e-10)


def test_normal_far_in_its_tails():
    d = D.Normal(np.zeros(1), np.ones(1))
    assert d.log_cdf(np.array([-50.0])).item() == pytest.approx(stats.norm.logcdf(-50))
    assert d.log_survival_function(np.array([50.0])).item() == pytest.approx(stats.norm.logsf(50))


def test_uniform_outside_is_impossible():
    d = D.Uniform(low=np.zeros(2), high=np.ones(2))
    assert d.log_prob(np.array([-0.1, 1.1])).array.tolist() == [-np.inf, -np.inf]
    assert d.cdf(np.array([-0.1, 1.1])).array.tolist() == [0, 1]
    assert d.log_prob(np.array([0.0, 1.0])).array.tolist() == [0, 0]


def test_modes():
    assert D.Normal(LOC, SCALE).mode.array.tolist() == LOC.tolist()
    assert D.Gamma(np.array([0.5, 1.0, 3.0]), np.full(3, 2.0)).mode.array.tolist() == [0, 0, 4]
    a, b = np.array([2.0, 0.5, 3.0, 1.0, 1.0, 0.5, 2.0, 1.0]), np.array([3.0, 2.0, 0.5, 1.0, 2.0, 0.5, 1.0, 0.5])
    np.testing.assert_allclose(D.Beta(a, b).mode.array, [1 / 3, 0, 1, 0.5, 0, 0.5, 1, 1])
    assert D.Bernoulli(logit=np.array([-1.0, 2.0])).mode.array.tolist() == [0, 1]


def test_bernoulli_stays_finite():
    d = D.Bernoulli(logit=np.float32([-200, 200, 0]))
    np.testing.assert_array_equal(d.log_prob(np.array([0, 1, 1])).array, np.float32([0, 0, -np.log(2)]))
    np.testing.assert_array_equal(d.log_prob(np.array([1, 0, 1])).array[:2], [-200, -200])
    np.testing.assert_allclose(d.entropy.array, [0, 0, np.log(2)], atol=1e-6)
    sure = D.Bernoulli(np.float32([0, 1]))
    assert np.isfinite(sure.log_prob(np.array([1, 0])).array).all()
    assert sure.sample(1000, rng=generator(0)).array.mean(0).tolist() == [0, 1]


def test_draws_of_beta_keep_off_the_ends():
    d = D.Beta(np.full(2, 0.01, np.float32), np.full(2, 0.01, np.float32))
    x = d.sample(1000, rng=generator(0)).array
    assert ((x > 0) & (x < 1)).all()
    assert np.isfinite(d.log_prob(x).array).all()


def test_parameters_broadcast():
    d = D.Normal(np.zeros((2, 1)), np.ones(3))
    assert (
        d.batch_shape == d.sample().shape == d.mean.shape == d.entropy.shape == d.log_prob(np.zeros(3)).shape == (2, 3)
    )
    assert d.sample((4, 5), rng=generator(0)).shape == (4, 5, 2, 3)
    assert d.sample_n(4).shape == (4, 2, 3)


def test_draws_without_a_generator_come_from_the_librarys_own():
    import rlcore

    d = D.Normal(np.zeros(3), np.ones(3))
    rlcore.seed(5)
    first = d.sample().array
    assert first.tolist() != d.sample().array.tolist()
    rlcore.seed(5)
    assert first.tolist() == d.sample().array.tolist()


def test_a_number_serves_as_a_parameter():
    d = D.Normal(Variable(np.float32([1, 2])), 1.0)
    assert d.sample().dtype == np.float32
    assert d.params["scale"].shape == ()


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: D.Normal(np.zeros(3), np.ones(2)), ValueError, r"Normal: .*loc \(3,\), scale \(2,\)"),
        (lambda: D.Normal(np.zeros(3)), ValueError, "Normal: give exactly one of scale and log_scale"),
        (lambda: D.Normal(np.zeros(3), np.ones(3), log_scale=np.ones(3)), ValueError, "exactly one of"),
        (lambda: D.Normal(np.zeros(3, int), np.ones(3)), TypeError, "loc must hold floats, got int64"),
        (lambda: D.Bernoulli(), ValueError, "Bernoulli: give exactly one of p and logit"),
        (lambda: D.Uniform(low=np.zeros(2)), ValueError, "Uniform: give low and high, or loc and scale"),
        (lambda: D.Uniform(low=np.zeros(2), scale=np.ones(2)), ValueError, "Uniform: give low and high"),
        (lambda: D.Gamma(np.ones(2), np.ones(2)).cdf(np.ones(2)), NotImplementedError, "Gamma has no .* cdf"),
    ],
)
def test_bad_input(make, error, match):
    with pytest.raises(error, match=match):
        make()


# divergences


@EACH
def test_divergence_is_the_mean_of_the_difference_of_logarithms(case):
    p = case()
    other = [np.asarray(v * f) for v, f in zip(case.parameters, (0.9, 1.2))]
    if case.name.startswith("Uniform"):
        other = [case.parameters[0] - 0.5, case.parameters[1] + 2.0]
    q = case.make(*other)
    kl = D.kl_divergence(p, q).array
    x = p.sample(100_000, rng=generator(2)).array
    difference = p.log_prob(x).array - q.log_prob(x).array
    error = difference.std(0) / np.sqrt(len(x))
    assert (abs(difference.mean(0) - kl) <= 4 * error + 1e-9).all()
    np.testing.assert_allclose(D.cross_entropy(p, q).array, p.entropy.array + kl, rtol=1e-12)
    np.testing.assert_allclose(D.kl_divergence(p, p).array, 0, atol=1e-12)
    rng = generator(0)

    def divergence(*parameters):
        n = len(case.parameters)
        return D.kl_divergence(case.make(*parameters[:n]), case.make(*parameters[n:]))

    check_backward(divergence, [*case.parameters, *other], np.ones(3), eps=1e-4, rng=rng)


def test_a_support_that_is_too_small_diverges():
    wide, narrow = D.Uniform(low=np.zeros(1), high=np.ones(1)), D.Uniform(low=np.zeros(1), high=np.full(1, 0.5))
    assert D.kl_divergence(wide, narrow).item() == np.inf
    assert D.kl_divergence(narrow, wide).item() == pytest.approx(np.log(2))


def test_an_unknown_pair_is_told_and_can_be_registered():
    class Own(D.Normal):
        pass

    p, q = Own(np.zeros(1), np.ones(1)), D.Normal(np.zeros(1), np.ones(1))
    with pytest.raises(NotImplementedError, match=r"no formula for Own and Normal; .* Bernoulli, Beta, Categorical"):
        D.kl_divergence(p, q)
    D.register_kl(Own, D.Normal)(lambda a, b: F.sum(a.loc - b.loc) + 42.0)
    assert as_array(D.kl_divergence(p, q)) == 42
