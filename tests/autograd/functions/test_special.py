"""Special functions: tails, poles, dtypes, and SciPy missing."""

from __future__ import annotations

import math
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import scipy.special

from rlcore.autograd import Variable, grad
from rlcore.autograd import functions as F
from tests.autograd import device

UNARY = [F.digamma, F.erf, F.erfc, F.erfcinv, F.erfcx, F.erfinv, F.lgamma, F.log_ndtr, F.ndtr, F.ndtri]
ALL = [*UNARY, lambda x: F.polygamma(1, x), lambda q: F.zeta(2, q)]


def first_and_second(f, x):
    v = Variable(np.array(x))
    y = f(v)
    g = grad(y, v, enable_double_backprop=True)[0]
    return y.item(), g.item(), grad(g, v)[0].item()


def mills(x):
    """(1 - ndtr(x)) / density(x) for large x, by its asymptotic series."""
    return sum((-1) ** k * math.prod(range(1, 2 * k, 2)) * x ** (-2 * k) for k in range(8)) / x


def test_log_ndtr_far_in_the_lower_tail():
    y, slope, curvature = first_and_second(F.log_ndtr, -50.0)
    h = 1 / mills(50.0)
    np.testing.assert_allclose(y, -1250 - math.log(2 * math.pi) / 2 + math.log(mills(50.0)), rtol=1e-14)
    np.testing.assert_allclose(slope, h, rtol=1e-13)
    np.testing.assert_allclose(curvature, -h * (h - 50), rtol=1e-10)
    assert -1 < curvature < -0.999


def test_log_ndtr_far_in_the_upper_tail():
    assert first_and_second(F.log_ndtr, 50.0) == (0, 0, 0)
    y, slope, curvature = first_and_second(F.log_ndtr, 10.0)
    density = math.exp(-50) / math.sqrt(2 * math.pi)
    np.testing.assert_allclose([y, slope, curvature], [-density * mills(10.0), density, -10 * density], rtol=1e-6)


@pytest.mark.parametrize(("x", "slope"), [(-20, 20.0498), (-100, 100.01), (20, 0), (0, 0.797885)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_slope_of_log_ndtr_in_low_precision(x, slope, dtype):
    v = Variable(np.array(x, dtype))
    F.log_ndtr(v).backward()
    np.testing.assert_allclose(v.grad, slope, rtol=1e-5 if dtype == np.float32 else 1e-3)


def test_values_by_hand():
    for f, x, value in (
        (F.erf, 0.0, 0), (F.erfc, 0.0, 1), (F.erfcx, 0.0, 1), (F.erfinv, 0.0, 0), (F.erfcinv, 1.0, 0),
        (F.ndtr, 0.0, 0.5),
        (F.ndtri, 0.5, 0), (F.log_ndtr, 0.0, -math.log(2)), (F.lgamma, 5.0, math.log(24)),
        (F.lgamma, -0.5, math.log(2 * math.sqrt(math.pi))), (F.digamma, 1.0, -0.5772156649015329),
        (lambda x: F.polygamma(1, x), 1.0, math.pi**2 / 6), (lambda x: F.zeta(4, x), 1.0, math.pi**4 / 90),
        (F.erfc, 10.0, 2.088487583762545e-45), (F.erf, -1.0, -0.8427007929497149),  # Chainer 7.8.1
    ):  # fmt: skip
        np.testing.assert_allclose(f(np.array(x)).array, value, rtol=1e-14, atol=1e-16)


def test_the_derivative_of_lgamma_below_zero():
    v = Variable(np.array(-0.5))
    F.lgamma(v).backward()
    np.testing.assert_allclose(v.grad, 0.03648997397857652, rtol=1e-12)  # psi(1.5) = 2 - gamma - 2 log 2 = psi(-0.5)


@pytest.mark.parametrize("f", ALL)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_dtype_stays(f, dtype):
    v = Variable(np.array([0.25, 0.5], dtype))
    y = f(v)
    F.sum(y).backward()
    g = grad(F.sum(f(v)), v, enable_double_backprop=True)[0]
    assert (y.dtype, v.grad.dtype, g.dtype) == (dtype,) * 3


def test_of_integers_they_are_floats():
    np.testing.assert_allclose(F.erf(np.array([0, 1])).array, [0, 0.8427007929497149], rtol=1e-15)


def test_orders_and_exponents_broadcast():
    x = Variable(np.array([[1.0], [2.0]]))
    for f in (F.polygamma, F.zeta):
        n = np.array([2, 3, 4])
        y = f(n, x)
        assert y.shape == (2, 3)
        g = grad(F.sum(y), x, enable_double_backprop=True)[0]
        assert g.shape == (2, 1)
        np.testing.assert_allclose(f(np.int64(2), x).array[:, 0], y.array[:, 0], rtol=1e-15)
    assert F.polygamma(Variable(np.array([1, 2])), np.ones(2)).shape == (2,)


@pytest.mark.parametrize("n", [1.0, np.array([1.0]), Variable(np.array([1.0]))])
def test_orders_are_integers(n):
    with pytest.raises(TypeError, match="polygamma: n must be an integer or hold integers, got "):
        F.polygamma(n, np.ones(1))


def test_the_exponent_of_zeta_is_no_variable():
    with pytest.raises(TypeError, match=r"zeta: x has no gradient .* give its \.array"):
        F.zeta(Variable(np.array([2.0])), np.ones(1))


NAMES = [
    "digamma",
    "erf",
    "erfc",
    "erfcinv",
    "erfcx",
    "erfinv",
    "lgamma",
    "log_ndtr",
    "ndtr",
    "ndtri",
    "polygamma",
    "zeta",
]


@pytest.mark.parametrize("name", NAMES)
def test_scipy_missing_is_said(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    args = (1, np.ones(2)) if name in ("polygamma", "zeta") else (np.ones(2),)
    with pytest.raises(ImportError, match=rf'^{name} needs SciPy; run: pip install "rlcore\[special\]"'):
        getattr(F, name)(*args)


def test_scipy_is_imported_at_the_first_use():
    code = "import sys, rlcore.autograd; print('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_on_a_device_cupys_twin_computes(monkeypatch):
    cupyx = ModuleType("cupyx.scipy")
    cupyx.special = SimpleNamespace(**{n: device._function(n, scipy.special) for n in ("log_ndtr", "erfcx")})
    monkeypatch.setitem(sys.modules, "cupy", device.module())
    monkeypatch.setitem(sys.modules, "cupyx", ModuleType("cupyx"))
    monkeypatch.setitem(sys.modules, "cupyx.scipy", cupyx)
    x = np.linspace(-2, 2, 5)
    host, there = Variable(x), Variable(device.Array(x))
    F.sum(F.log_ndtr(host)).backward()
    monkeypatch.setitem(sys.modules, "scipy", None)
    F.sum(F.log_ndtr(there)).backward()
    np.testing.assert_array_equal(there.grad.hidden, host.grad)
