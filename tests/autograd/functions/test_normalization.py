"""Normalisation: Chainer's values, running moments, memory layouts, precision and messages."""

import numpy as np
import pytest

from rlcore.autograd import Variable, grad
from rlcore.autograd import functions as F
from rlcore.autograd.functions.channels import CHUNK, Frame
from rlcore.rng import generator

X = np.array([[1, -2, 0.5], [3, 0, -1], [-1, 4, 2], [0, 1, 1]])
GAMMA, BETA = np.array([1.0, 2, 3]), np.array([0.1, 0.2, 0.3])


def with_gradients(f, *arrays):
    variables = [Variable(a) for a in arrays]
    y = f(*variables)
    F.sum(y * y * y).backward()
    return y.array, *[v.grad for v in variables]


def normal(x, axes, eps=2e-5):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def test_batch_renormalization_by_chainer():
    mean, var = np.array([0.1, 0.2, 0.3]), np.array([0.5, 1, 1.5])
    kept = mean.copy()
    F.batch_renormalization(X, GAMMA, BETA, 1.5, 0.3, running_mean=mean, running_var=var)
    np.testing.assert_array_equal(mean, kept)
    y, gx, ggamma, gbeta = with_gradients(
        lambda x, g, b: F.batch_renormalization(
            x, g, b, 1.5, 0.3, running_mean=mean, running_var=var, update_statistics=True
        ),
        X, GAMMA, BETA,
    )  # fmt: skip
    # Chainer 7.8.1
    np.testing.assert_allclose(y[0], [0.65354512, -3.01050365, 0.78989468], rtol=1e-7)
    np.testing.assert_allclose(mean, [0.165, 0.255, 0.3325], rtol=1e-12)
    np.testing.assert_allclose(var, [0.74166667, 1.525, 1.50625], rtol=1e-7)
    np.testing.assert_allclose(gx[0], [-7.1530013, 38.30977371, -52.90797154], rtol=1e-7)
    np.testing.assert_allclose(ggamma, [47.87884281, 173.48037433, 63.75695186], rtol=1e-7)
    np.testing.assert_allclose(gbeta, [28.91975315, 115.6795392, 98.7905414], rtol=1e-7)


def test_the_second_derivative_of_batch_renormalization_takes_its_corrections_as_constants():
    mean, var = np.array([0.1, 0.2, 0.3]), np.array([0.5, 1, 1.5])

    def whole(x):
        return F.batch_renormalization(x, GAMMA, BETA, 1.5, 0.3, 1e-3, mean, var)

    sigma = np.sqrt(var + 1e-3)
    r = np.clip(np.sqrt(X.var(0) + 1e-3) / sigma, 1 / 1.5, 1.5)
    d = np.clip((X.mean(0) - mean) / sigma, -0.3, 0.3)

    def parts(x):
        c = x - F.average(x, 0, keepdims=True)
        return (c / F.sqrt(F.average(c * c, 0, keepdims=True) + 1e-3) * r + d) * GAMMA + BETA

    seconds = []
    for f in (whole, parts):
        v = Variable(X)
        first = grad(F.sum(f(v) ** 3), v, enable_double_backprop=True)[0]
        seconds.append(grad(F.sum(first * X), v)[0].array)
    np.testing.assert_allclose(*seconds, rtol=1e-9)


def test_group_normalization_by_chainer():
    y, gx, ggamma, gbeta = with_gradients(
        lambda x, g, b: F.group_normalization(x, 2, g, b),
        X.reshape(1, 4, 3), np.array([1.0, 2, 3, 4]), np.array([0.1, 0.2, 0.3, 0.4]),
    )  # fmt: skip
    # Chainer 7.8.1
    np.testing.assert_allclose(y[0, 1], [3.69308337, -0.11755303, -1.38776517], rtol=1e-7)
    np.testing.assert_allclose(gx[0, 2], [71.66895942, 71.40558928, -53.51564952], rtol=1e-7)
    np.testing.assert_allclose(ggamma, [-7.0651414, 66.86915881, 120.92124025, -14.67980377], rtol=1e-7)
    np.testing.assert_allclose(gbeta, [6.49599563, 46.73572706, 152.48907647, 19.78714356], rtol=1e-7)


def test_layer_normalization_by_chainer():
    y, gx, ggamma, gbeta = with_gradients(F.layer_normalization, X, GAMMA, BETA)
    # Chainer 7.8.1
    np.testing.assert_allclose(y[1], [1.47281057, -0.58446318, -2.64173694], rtol=1e-7)
    np.testing.assert_allclose(gx[1], [4.22555341, -16.9023987, 12.6768453], rtol=1e-7)
    np.testing.assert_allclose(ggamma, [-1.37051723, -2.27311259, -2.72217459], rtol=1e-7)
    np.testing.assert_allclose(gbeta, [18.92704456, 47.34692919, 50.36142087], rtol=1e-7)


def test_local_response_normalization_by_chainer():
    y, gx = with_gradients(lambda x: F.local_response_normalization(x, 3, 1.5, 0.4, 0.6), X.reshape(1, 4, 3))
    # Chainer 7.8.1
    np.testing.assert_allclose(y[0, 2], [-0.35956912, 1.12360364, 0.88387578], rtol=1e-7)
    np.testing.assert_allclose(gx[0, 2], [0.39728006, 0.06409034, 0.5193089], rtol=1e-7)


def test_local_response_normalization_by_default():
    x = np.arange(24.0).reshape(1, 6, 2, 2) * 7 - 80
    expected = [-35.378715798771935, -22.9868720117709, -10.342971623896478, 1.8519251551933282, 15.99163362892502]
    np.testing.assert_allclose(
        F.local_response_normalization(x).array[0, :, 0, 0], [*expected, 30.508490684448258], rtol=1e-12
    )  # Chainer 7.8.1


def test_eps_by_default():
    """Chainer's."""
    x, mean, var = X * 1e-3, np.zeros(3), np.full(3, 1e-6)
    moments = {"running_mean": mean, "running_var": var}
    for f, eps in (
        (lambda **named: F.batch_normalization(x, GAMMA, BETA, **named), 2e-5),
        (lambda **named: F.fixed_batch_normalization(x, GAMMA, BETA, mean, var, **named), 2e-5),
        (lambda **named: F.batch_renormalization(x, GAMMA, BETA, 2, 1, **moments, **named), 2e-5),
        (lambda **named: F.fixed_batch_renormalization(x, GAMMA, BETA, mean, var, **named), 2e-5),
        (lambda **named: F.group_normalization(x, 1, GAMMA, BETA, **named), 1e-5),
        (lambda **named: F.layer_normalization(x, GAMMA, BETA, **named), 1e-5),
        (lambda **named: F.normalize(x, **named), 1e-5),
    ):
        np.testing.assert_array_equal(f().array, f(eps=eps).array)


@pytest.mark.parametrize("scale", [2.0**-14, 1, 1024])
def test_normalize_halves(scale):
    """Their squares are 0 or inf in float16."""
    x = Variable(np.full((1, 4), scale, np.float16))
    y = F.normalize(x)
    assert y.dtype == np.float16
    np.testing.assert_allclose(y.array, scale / (2 * scale + 1e-5), rtol=1e-3)
    y[0, 0].backward()
    wide = Variable(x.array.astype("d"))
    F.normalize(wide)[0, 0].backward()
    np.testing.assert_allclose(x.grad, wide.grad, rtol=1e-2)


def test_normalize_at_length_zero():
    x = Variable(np.array([[0.0, 0, 0], [3, 4, 0]]))
    y = F.normalize(x)
    gx = grad(F.sum(y), x, enable_double_backprop=True)[0]
    np.testing.assert_allclose(y.array[1], [0.5999988000024, 0.7999984000032001, 0], rtol=1e-14)  # Chainer 7.8.1
    np.testing.assert_allclose(gx.array[0], [1e5] * 3, rtol=1e-12)
    np.testing.assert_allclose(gx.array[1], [0.032000271998784, -0.023999504001888, 0.1999996000008], rtol=1e-11)
    assert np.isfinite(grad(F.sum(gx * gx), x)[0].array).all()


# running moments


def test_running_moments_after_some_steps_equal_a_loop_in_float64():
    rng = generator(1)
    running_mean, running_var = np.zeros(3, np.float32), np.ones(3, np.float32)
    mean, var = np.zeros(3), np.ones(3)
    for n in (5, 2, 9, 1, 4):
        x = (rng.standard_normal((n, 3, 2)) * 3 + 1).astype(np.float32)
        F.batch_normalization(
            x, np.ones(3, "f"), np.zeros(3, "f"), running_mean=running_mean, running_var=running_var, decay=0.7
        )
        rows = x.astype(np.float64).transpose(0, 2, 1).reshape(-1, 3)
        mean = 0.7 * mean + 0.3 * rows.mean(0)
        var = 0.7 * var + 0.3 * rows.var(0, ddof=1)
    np.testing.assert_allclose(running_mean, mean, rtol=1e-6)
    np.testing.assert_allclose(running_var, var, rtol=1e-6)


def test_a_batch_of_one_has_variance_zero():
    mean, var = np.zeros(3), np.ones(3)
    y = F.batch_normalization(X[:1], GAMMA, BETA, running_mean=mean, running_var=var)
    np.testing.assert_allclose(y.array, [BETA], rtol=1e-12)
    np.testing.assert_allclose(mean, 0.1 * X[0])
    np.testing.assert_allclose(var, [0.9] * 3)  # Chainer 7.8.1


@pytest.mark.parametrize("moved", ["running_mean", "running_var"])
def test_one_running_moment_alone(moved):
    running = np.full(3, 2.0)
    F.batch_normalization(X, GAMMA, BETA, decay=0.5, **{moved: running})
    new = X.mean(0) if moved == "running_mean" else X.var(0, ddof=1)
    np.testing.assert_allclose(running, 1 + new / 2, rtol=1e-12)


def test_rows_of_no_features():
    variables = [Variable(np.zeros(shape)) for shape in ((2, 0), (0,), (0,))]
    y = F.layer_normalization(*variables)
    F.sum(y).backward()
    assert [v.grad.shape for v in variables] == [(2, 0), (0,), (0,)]
    assert y.shape == (2, 0)


def test_axes_counted_from_behind():
    x = generator(8).standard_normal((4, 5, 3))
    gamma, beta = GAMMA, BETA
    y = F.batch_normalization(x, gamma, beta, axis=(-3, -2))
    np.testing.assert_array_equal(y.array, F.batch_normalization(x, gamma, beta, axis=(0, 1)).array)


def test_fixed_moments_as_variables_have_gradients():
    mean, var = Variable(np.array([0.1, 0.2, 0.3])), np.array([0.5, 1, 1.5])
    F.sum(F.fixed_batch_normalization(X, GAMMA, BETA, mean, var, 0.0)).backward()
    np.testing.assert_allclose(mean.grad, -4 * GAMMA / np.sqrt(var), rtol=1e-12)


# memory


def channels_last(x):
    return np.ascontiguousarray(np.moveaxis(x, 1, -1)).transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


SHAPES = [(32, 64, 21, 21), (40, 6, 30, 31), (300, 256), (2000, 40), (1000, 8, 3, 5), (7, 3, 2), (6, 5, 1, 1)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", [np.ascontiguousarray, channels_last, np.asfortranarray, lambda x: x[::-1]])
def test_large_arrays_in_blocks(shape, layout):
    """Arrays above and below the size of a block, in several layouts, against NumPy's moments."""
    rng = generator(2)
    offset = np.arange(shape[1]).reshape(-1, *[1] * (len(shape) - 2))
    x, gy = layout(rng.standard_normal(shape) + offset), layout(rng.standard_normal(shape))
    gamma, beta = rng.standard_normal((2, shape[1]))
    axes, wide = tuple([i for i in range(len(shape)) if i != 1]), (-1, *[1] * (len(shape) - 2))
    variables = [Variable(a) for a in (x, gamma, beta)]
    y = F.batch_normalization(*variables)
    y.grad = gy
    y.backward()
    xhat = normal(x, axes)
    inv = 1 / np.sqrt(x.var(axes, keepdims=True) + 2e-5)
    np.testing.assert_allclose(y.array, xhat * gamma.reshape(wide) + beta.reshape(wide), rtol=1e-9, atol=1e-11)
    g = gy * gamma.reshape(wide)
    gx = inv * (g - g.mean(axes, keepdims=True) - xhat * (g * xhat).mean(axes, keepdims=True))
    for v, expected in zip(variables, (gx, (gy * xhat).sum(axes), gy.sum(axes))):
        np.testing.assert_allclose(v.grad, expected, rtol=1e-8, atol=1e-10)
    moments = np.full(shape[1], 0.3), np.full(shape[1], 1.7)
    fixed = F.fixed_batch_normalization(x, gamma, beta, *moments, eps=0.0)
    expected = (x - 0.3) / np.sqrt(1.7) * gamma.reshape(wide) + beta.reshape(wide)
    np.testing.assert_allclose(fixed.array, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("layout", [np.ascontiguousarray, channels_last])
def test_the_layout_in_memory_is_kept(layout):
    x, gy = (layout(generator(3).standard_normal((4, 6, 3, 5))) for _ in "xg")
    gamma, beta = np.ones(6), np.zeros(6)
    op = F.batch_normalization(Variable(x), gamma, beta).node
    assert F.batch_normalization(x, gamma, beta).array.strides == x.strides
    assert F.fixed_batch_normalization(x, gamma, beta, beta, gamma).array.strides == x.strides
    assert op.backward(gy, *op.saved)[0].strides == x.strides
    assert np.shares_memory(Frame(x, (1,)).of(x), x)


def test_the_blocks_are_small():
    x = np.empty((40, 6, 30, 31), np.float32)
    for laid in (x, channels_last(x)):
        frame = Frame(laid, (1,))
        parts = [block for (block,) in frame.blocks(frame.of(laid))]
        assert len(parts) > 1
        assert sum(p.size for p in parts) == x.size
        assert max(p.size for p in parts) <= CHUNK


# precision


@pytest.mark.parametrize("shape", [(4000, 3), (40, 3, 10, 10)])
def test_float16_takes_its_moments_in_float32(shape):
    """Sums of 4,000 values about 50 overflow float16."""
    x = (generator(4).standard_normal(shape) * 4 + 50).astype(np.float16)
    axes = tuple([i for i in range(len(shape)) if i != 1])
    expected = normal(x.astype(np.float64), axes)
    for dtype in (np.float16, np.float32):
        variables = [Variable(x), Variable(np.ones(3, dtype)), Variable(np.zeros(3, dtype))]
        mean, var = np.zeros(3, dtype), np.ones(3, dtype)
        y = F.batch_normalization(*variables, running_mean=mean, running_var=var, decay=0.0)
        assert y.dtype == np.float16
        np.testing.assert_allclose(y.array, expected, rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(mean, x.astype(np.float64).mean(axes), rtol=1e-3)
        F.sum(y).backward()
        assert [v.grad.dtype for v in variables] == [np.float16, dtype, dtype]
    rows = x.reshape(-1, 100)
    y = F.layer_normalization(rows, np.ones(100, "e"), np.zeros(100, "e"))
    np.testing.assert_allclose(y.array, normal(rows.astype(np.float64), 1, 1e-5), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(
    "f",
    [
        F.batch_normalization,
        F.layer_normalization,
        lambda x, gamma, beta: F.group_normalization(x, 1, gamma, beta),
        lambda x, gamma, beta: F.fixed_batch_normalization(x, gamma, beta, HALVES[0], HALVES[0] ** 2),
    ],
)
def test_traced_gradients_of_large_halves_are_as_the_plain_ones(f):
    """Their squares overflow float16."""
    x = (generator(7).standard_normal((50, 4)) * 500).astype(np.float16)
    variables = [Variable(a) for a in (x, *HALVES)]
    y = f(*variables)
    gy = generator(8).standard_normal(y.shape).astype(np.float16)
    plain, traced = (grad(y, variables, gy, enable_double_backprop=double) for double in (False, True))
    for a, b in zip(plain, traced):
        assert b.dtype == np.float16
        np.testing.assert_allclose(b.array, a.array, rtol=1e-2, atol=1e-2 * abs(a.array).max())


HALVES = np.array([[150, -180, 120, 200], [1, 2, 3, 4]], np.float16)


@pytest.mark.parametrize("shape", [(50000, 3), (200, 3, 16, 16)])
def test_a_mean_far_from_zero_spoils_neither_variance_nor_gradient(shape):
    x = (generator(5).standard_normal(shape) + 1000).astype(np.float32)
    axes = tuple([i for i in range(len(shape)) if i != 1])
    mean, var = np.zeros(3, "f"), np.ones(3, "f")
    F.batch_normalization(x, np.ones(3, "f"), np.zeros(3, "f"), running_mean=mean, running_var=var, decay=0.0)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(mean, wide.mean(axes), rtol=1e-6)
    np.testing.assert_allclose(var, wide.var(axes), rtol=1e-4)
    gamma = Variable(np.ones(3, "f"))
    y = F.batch_normalization(x, gamma, np.zeros(3, "f"))
    gy = (1 + generator(6).standard_normal(shape)).astype(np.float32)
    y.grad = gy
    y.backward()
    ulp = 2.0**-14  # of the mean in float32, which is right to a few of them
    np.testing.assert_allclose(gamma.grad, (gy * normal(wide, axes)).sum(axes), atol=4 * ulp * x.size / 3)


# bad input

F4, ONES = np.zeros((2, 4), np.float32), np.ones(4, np.float32)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: F.batch_normalization(F4, ONES[:3], ONES), ValueError, r"batch_n.*: gamma .* got gamma \(3,\)"),
        (lambda: F.batch_normalization(F4, ONES, ONES[:3]), ValueError, r"got beta \(3,\) for x \(2, 4\)"),
        (lambda: F.batch_normalization(F4, ONES, ONES, axis=2), ValueError, r"axis 2 is out of range for x"),
        (lambda: F.batch_normalization(F4, ONES, ONES, axis=(0, 2)), ValueError, r"axis \(0, 2\) is out of range"),
        (lambda: F.batch_normalization(F4, ONES, ONES, axis=(0, 1)), ValueError, r"gamma must have the shape \(\)"),
        (lambda: F.batch_normalization(F4, ONES.sum(), ONES.sum(), axis=(0, 1)), ValueError, r"\(\) .* got gamma"),
        (lambda: F.batch_normalization(F4, F4[None], F4[None]), ValueError, r"got gamma \(1, 2, 4\)"),
        (lambda: F.batch_normalization(F4, ONES, ONES, running_mean=ONES[:3]), ValueError, r"got running_mean \(3,\)"),
        (lambda: F.batch_normalization(F4.astype("e"), ONES.astype("d"), ONES), TypeError, "x is float16 and gamma"),
        (lambda: F.batch_normalization(F4, ONES.astype("d"), ONES), TypeError, "x is float32 and gamma is float64"),
        (lambda: F.batch_normalization(F4.astype("i"), ONES, ONES), TypeError, "expected floats, got int32"),
        (lambda: F.fixed_batch_normalization(F4, ONES, ONES, ONES[:2], ONES), ValueError, r"fixed_.*: mean must"),
        (lambda: F.fixed_batch_normalization(F4, ONES, ONES[:2], ONES, ONES), ValueError, r"fixed_.*: beta must"),
        (lambda: F.fixed_batch_normalization(F4, ONES, ONES, ONES, ONES[:2]), ValueError, r"fixed_.*: var must"),
        (lambda: F.batch_renormalization(F4, ONES, ONES, 2, 1), TypeError, "running_mean and running_var are required"),
        (lambda: F.batch_renormalization(F4, ONES, ONES, 2, 1, running_mean=ONES), TypeError, "are required"),
        (lambda: F.batch_renormalization(F4, ONES, ONES, 2, 1, running_var=ONES), TypeError, "are required"),
        (lambda: F.batch_renormalization(F4, ONES, ONES[:2], 2, 1, 0, ONES, ONES), ValueError, "batch_re.*: beta must"),
        (lambda: F.batch_renormalization(F4, ONES, ONES, 2, 1, 0, ONES[:2], ONES), ValueError, "running_mean must"),
        (lambda: F.batch_renormalization(F4, ONES, ONES, 2, 1, 0, ONES, ONES[:2]), ValueError, "running_var must"),
        (lambda: F.group_normalization(F4, 0, ONES, ONES), ValueError, "axis 1 .* does not divide into 0 groups"),
        (lambda: F.group_normalization(F4, -2, ONES, ONES), ValueError, "axis 1 .* does not divide into -2 groups"),
        (lambda: F.group_normalization(F4[0], 2, ONES, ONES), ValueError, r"axis 1 of x \(4,\) does not divide"),
        (lambda: F.group_normalization(F4, 2, ONES, ONES[:2]), ValueError, r"group_n.*: beta .* got beta \(2,\)"),
        (lambda: F.group_normalization(F4, 3, ONES, ONES), ValueError, r"axis 1 of x \(2, 4\) does not divide into 3"),
        (lambda: F.group_normalization(F4, 2, ONES[:2], ONES), ValueError, r"group_n.*: gamma .* got gamma \(2,\)"),
        (lambda: F.layer_normalization(F4, ONES[:2], ONES), ValueError, r"layer_n.*: gamma .* got gamma \(2,\)"),
        (lambda: F.layer_normalization(F4, ONES, ONES.astype("d")), TypeError, "x is float32 and beta is float64"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_nothing_changes_if_an_argument_is_wrong():
    mean = np.zeros(4, np.float32)
    with pytest.raises(ValueError, match=r"running_var must have the shape \(4,\)"):
        F.batch_normalization(F4 + 1, ONES, ONES, running_mean=mean, running_var=ONES[:3])
    assert not mean.any()
