"""Convolution by hand and against seven loops, whatever the geometry, layout, dtype, size of parts and threads."""

import itertools
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import Future

import numpy as np
import pytest

from rlcore.autograd import Variable, grad
from rlcore.autograd import functions as F
from rlcore.autograd.functions import columns, parts
from rlcore.rng import generator


def loops(x, W, stride=(1, 1), pad=(0, 0), dilate=(1, 1), groups=1):
    """Convolution as it is defined, one product at a time."""
    (n, _, h, w), (out, c, kh, kw) = x.shape, W.shape
    oh, ow = ((a + 2 * p - (k - 1) * d - 1) // s + 1 for a, p, k, d, s in zip((h, w), pad, (kh, kw), dilate, stride))
    y = np.zeros((n, out, oh, ow))
    for m, o, i, j, k, r, s in itertools.product(*map(range, (n, out, oh, ow, c, kh, kw))):
        a, b = i * stride[0] - pad[0] + r * dilate[0], j * stride[1] - pad[1] + s * dilate[1]
        if 0 <= a < h and 0 <= b < w:
            y[m, o, i, j] += x[m, o // (out // groups) * c + k, a, b] * W[o, k, r, s]
    return y


GEOMETRIES = {
    "plain": ((2, 3, 5, 6), (4, 3, 3, 3), {}),
    "padded": ((2, 3, 5, 6), (4, 3, 3, 3), {"pad": (1, 1)}),
    "padded unevenly": ((2, 3, 5, 7), (2, 3, 2, 3), {"pad": (3, 1)}),
    "even widths in pairs": ((1, 2, 4, 8), (3, 2, 3, 3), {"pad": (1, 1)}),
    "strided": ((2, 4, 9, 11), (3, 4, 4, 4), {"stride": (2, 2)}),
    "stride above the kernel": ((2, 2, 9, 8), (3, 2, 2, 1), {"stride": (3, 2), "pad": (1, 0)}),
    "one stride": ((2, 2, 7, 9), (3, 2, 3, 4), {"stride": (1, 3), "pad": (1, 2)}),
    "dilated": ((2, 2, 9, 8), (3, 2, 3, 2), {"dilate": (2, 3), "pad": (2, 1)}),
    "dilated and strided": ((2, 2, 9, 11), (3, 2, 2, 3), {"dilate": (3, 2), "stride": (2, 3)}),
    "groups": ((2, 6, 5, 4), (4, 3, 3, 2), {"groups": 2, "pad": (1, 0)}),
    "groups with a stride": ((2, 4, 7, 8), (8, 1, 3, 3), {"groups": 4, "stride": (2, 2), "dilate": (1, 2)}),
    "a column": ((2, 3, 6, 1), (2, 3, 3, 1), {"pad": (1, 0)}),
    "beside the image": ((1, 2, 2, 2), (3, 2, 1, 1), {"pad": (3, 4)}),
}


def derivatives(x, W, b, gy, traced=False, **named):
    vs = [Variable(a) for a in (x, W, b)]
    y = F.convolution_2d(*vs, **named)
    return [y.array, *[g.array for g in grad(y, vs, gy, enable_double_backprop=traced)]]


def case(name, rng=None, dtype=np.float64):
    shape_x, shape_W, named = GEOMETRIES[name]
    rng = generator(0) if rng is None else rng
    x, W = rng.normal(size=shape_x).astype(dtype), rng.normal(size=shape_W).astype(dtype)
    return x, W, rng.normal(size=len(W)).astype(dtype), named


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("small", [False, True], ids=["whole", "in small parts"])
def test_seven_loops(name, small, monkeypatch):
    """The form is linear in x and in W: each gradient is checked by what it gives along all unit vectors."""
    if small:  # bands of a row, an image at a time, products of a row
        monkeypatch.setattr(parts, "CHUNK", 1)
        monkeypatch.setattr(columns, "CHUNK", 1)
        monkeypatch.setattr(columns, "SMALL", 100)
        columns.band.cache_clear()
    x, W, b, named = case(name)
    expected = loops(x, W, **named)
    gy = generator(1).normal(size=expected.shape)
    for traced in (False, True):
        y, gx, gW, gb = derivatives(x, W, b, gy, traced, **named)
        np.testing.assert_allclose(y, expected + b[:, None, None], rtol=1e-12, atol=1e-12)
        for k in range(0, x.size, 7):
            unit = (np.arange(x.size) == k).astype(float).reshape(x.shape)
            np.testing.assert_allclose(gx.ravel()[k], (loops(unit, W, **named) * gy).sum(), rtol=1e-11, atol=1e-11)
        for k in range(0, W.size, 5):
            unit = (np.arange(W.size) == k).astype(float).reshape(W.shape)
            np.testing.assert_allclose(gW.ravel()[k], (loops(x, unit, **named) * gy).sum(), rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(gb, gy.sum(axis=(0, 2, 3)), rtol=1e-12)
    columns.band.cache_clear()


@pytest.mark.parametrize("name", GEOMETRIES)
def test_deconvolution_is_the_transpose_of_convolution(name):
    x, W, _, named = case(name)
    y = F.convolution_2d(x, W, **named).array
    g = generator(2).normal(size=y.shape)
    back = F.deconvolution_2d(g, W, outsize=x.shape[2:], **named).array
    assert back.shape == x.shape
    np.testing.assert_allclose((back * x).sum(), (g * y).sum(), rtol=1e-11)


def test_by_hand():
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    W = np.array([[[[1.0, 2], [3, 4]]]])
    assert F.convolution_2d(x, W, np.array([10.0])).array.tolist() == [[[[37, 47], [67, 77]]]]
    assert F.convolution_2d(x, W, stride=2).array.tolist() == [[[[27]]]]
    assert F.convolution_2d(x, W, stride=2, cover_all=True).array.tolist() == [[[[27, 2 + 15], [6 + 14, 8]]]]
    assert F.convolution_2d(x, -W, relu=True).array.tolist() == [[[[0, 0], [0, 0]]]]
    assert F.deconvolution_2d(x[:, :, :1, :2], W).array.tolist() == [[[[0, 1, 2], [0, 3, 4]]]]


def test_sizes_as_chainer_has_them():
    """Chainer 7.8.1: shapes of the results."""
    x, W = np.zeros((2, 4, 9, 8)), np.zeros((6, 2, 3, 2))
    settings = {"stride": (2, 3), "pad": (1, 2), "dilate": (2, 3), "groups": 2}
    assert F.convolution_2d(x, W, None, **settings).shape == (2, 6, 4, 3)
    assert F.convolution_2d(x, W, None, cover_all=True, **settings).shape == (2, 6, 4, 4)
    assert F.deconvolution_2d(np.zeros((2, 6, 4, 3)), W, None, **settings).shape == (2, 4, 9, 6)


def test_memory_is_nhwc_and_is_taken_without_a_copy():
    x = Variable(generator(0).normal(size=(2, 3, 6, 6)))
    y = F.convolution_2d(x, generator(1).normal(size=(4, 3, 3, 3)))
    assert y.array.transpose(0, 2, 3, 1).flags.c_contiguous
    assert F.deconvolution_2d(y, generator(1).normal(size=(4, 2, 3, 3))).array.transpose(0, 2, 3, 1).flags.c_contiguous
    F.sum(y).backward()
    assert columns.within(y.array.transpose(0, 2, 3, 1), 0, 0, 4, 4).base is y.array.base


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool])
@pytest.mark.parametrize("nhwc", [False, True])
def test_frames_of_integers(dtype, nhwc):
    rng = generator(0)
    frames = rng.integers(0, 2 if dtype is bool else 256, (3, 8, 9, 4)).astype(dtype)
    frames = frames.transpose(0, 3, 1, 2) if nhwc else np.ascontiguousarray(frames.transpose(0, 3, 1, 2))
    W, b = Variable(rng.normal(size=(5, 4, 4, 3))), Variable(rng.normal(size=5))
    V, c = Variable(W.array), Variable(b.array)
    y = F.convolution_2d(frames, W, b, 2, scale=1 / 255, relu=True)
    z = F.relu(F.convolution_2d(frames / 255, V, c, 2))
    assert y.dtype == np.float64
    np.testing.assert_allclose(y.array, z.array, rtol=1e-12, atol=1e-14)
    F.sum(y * y).backward()
    F.sum(z * z).backward()
    np.testing.assert_allclose(W.grad, V.grad, rtol=1e-12)
    np.testing.assert_allclose(b.grad, c.grad, rtol=1e-12)


@pytest.mark.parametrize("scale", [1 / 3, np.float32(0.5)])
def test_a_scaled_float_has_a_gradient(scale):
    x, W, b, named = case("padded", dtype=np.float32)
    one, two = Variable(x), Variable(x)
    F.sum(F.square(F.convolution_2d(one, W, b, scale=scale, **named))).backward()
    F.sum(F.square(F.convolution_2d(two * scale, W, b, **named))).backward()
    np.testing.assert_allclose(one.grad, two.grad, rtol=1e-4, atol=1e-5)
    assert one.grad.dtype == np.float32


@pytest.mark.parametrize("name", GEOMETRIES)
def test_relu_in_one_vertex(name):
    x, W, b, named = case(name)
    gy = generator(3).normal(size=loops(x, W, **named).shape)
    vs, ws = [Variable(a) for a in (x, W, b)], [Variable(a) for a in (x, W, b)]
    y, z = F.convolution_2d(*vs, relu=True, **named), F.relu(F.convolution_2d(*ws, **named))
    np.testing.assert_array_equal(y.array, z.array)
    for traced in (False, True):
        gs, hs = (grad(out, ins, gy, enable_double_backprop=traced) for out, ins in ((y, vs), (z, ws)))
        for g, h in zip(gs, hs):
            np.testing.assert_allclose(g.array, h.array, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("name", ["padded", "strided", "groups"])
def test_dtypes(name, dtype):
    x, W, b, named = case(name, dtype=dtype)
    gy = np.ones_like(loops(x, W, **named), dtype)
    tolerance = 2e-3 if dtype is np.float16 else 1e-5
    exact = derivatives(*[a.astype(np.float64) for a in (x, W, b, gy)], **named)
    for a, e in zip(derivatives(x, W, b, gy, **named), exact):
        assert a.dtype == dtype
        np.testing.assert_allclose(a, e, rtol=tolerance, atol=10 * tolerance)


def test_float16_counts_beyond_2048():
    ones = np.ones((1, 1, 64, 64), np.float16)
    W, b = Variable(np.ones((1, 1, 1, 1), np.float16)), Variable(np.zeros(1, np.float16))
    y = F.convolution_2d(ones, W, b)
    y.grad = np.ones(y.shape, np.float16)
    y.backward()
    assert (W.grad.item(), b.grad.item()) == (4096, 4096)
    assert F.convolution_2d(ones, np.ones((1, 1, 64, 64), np.float16)).array.item() == 4096


@pytest.mark.parametrize("n", [0, 1])
def test_no_images_and_one(n):
    x, W, b = np.ones((n, 2, 5, 5)), np.ones((3, 2, 3, 3)), np.zeros(3)
    y, gx, gW, gb = derivatives(x, W, b, np.ones((n, 3, 3, 3)))
    assert (y.shape, gx.shape) == ((n, 3, 3, 3), x.shape)
    assert (y == 18).all()
    assert (gW == 9 * n).all()
    assert (gb == 9 * n).all()
    assert F.deconvolution_2d(y, W).shape == x.shape


def test_two_forwards_before_one_backward():
    rng = generator(0)
    W = Variable(rng.normal(size=(4, 3, 3, 3)))
    xs = [Variable(rng.normal(size=(2, 3, 6, 6))) for _ in range(2)]
    ys = [F.convolution_2d(x, W, pad=1, relu=True) for x in xs]
    kept = [y.array.copy() for y in ys]
    gs = grad(ys, [*xs, W], [np.ones(y.shape) for y in ys])
    for x, y, old, g in zip(xs, ys, kept, gs):
        np.testing.assert_array_equal(y.array, old)
        np.testing.assert_array_equal(
            g.array, grad(F.convolution_2d(x, W, pad=1, relu=True), x, np.ones(y.shape))[0].array
        )


def test_inputs_stay_as_they_are():
    x, W, b, named = case("padded")
    gy = generator(1).normal(size=loops(x, W, **named).shape)
    kept = [a.copy() for a in (x, W, b, gy)]
    for a in (x, W, b, gy):
        a.flags.writeable = False
    derivatives(x, W, b, gy, relu=True, **named)
    for a, old in zip((x, W, b, gy), kept):
        np.testing.assert_array_equal(a, old)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_threads_share_the_images(name, monkeypatch):
    monkeypatch.setattr(parts, "workers", parts._Workers())
    x, W, b, named = case(name)
    x = generator(4).normal(size=(7, *x.shape[1:]))
    gy = generator(5).normal(size=(7, *loops(x[:1], W, **named).shape[1:]))
    alone = derivatives(x, W, b, gy, relu=True, **named)
    parts.workers.count = 3
    monkeypatch.setattr(parts, "CHUNK", 1)
    for a, e in zip(derivatives(x, W, b, gy, relu=True, **named), alone):
        np.testing.assert_allclose(a, e, rtol=1e-11, atol=1e-12)
    parts.workers.pool.shutdown()


def test_the_bits_do_not_depend_on_which_thread_is_first(monkeypatch):
    class First(parts._Workers):
        """The work of the other threads is done before the caller's."""

        def submit(self, work, k):
            future = Future()
            future.set_result(work(k))
            return future

    class Late(parts._Workers):
        """And here after it."""

        def submit(self, work, k):
            return super().submit(lambda k: (time.sleep(0.01), work(k)), k)

    x, W, b, named = case("padded")
    x = generator(4).normal(size=(7, *x.shape[1:])).astype(np.float32)
    gy = generator(5).normal(size=(7, *loops(x[:1], W, **named).shape[1:])).astype(np.float32)
    results = []
    for kind in (First, Late, parts._Workers):
        workers = kind()
        workers.count = 3
        monkeypatch.setattr(parts, "workers", workers)
        monkeypatch.setattr(parts, "CHUNK", 1)
        results.append(derivatives(x, W.astype(np.float32), b.astype(np.float32), gy, relu=True, **named))
        if workers.pool is not None:
            workers.pool.shutdown()
    for other in results[1:]:
        for a, e in zip(other, results[0]):
            np.testing.assert_array_equal(a, e)


def test_an_error_in_a_thread_is_raised(monkeypatch):
    monkeypatch.setattr(parts, "workers", parts._Workers())
    parts.workers.count = 2

    def fails(i, j, totals):
        if i > 0:
            raise KeyError(i)

    with pytest.raises(KeyError):
        parts.in_parts(4, parts.CHUNK, fails, np.zeros(1))
    parts.workers.pool.shutdown()


def test_callers_threads_do_not_meet():
    cases = [(*case(name, generator(k)), k) for k, name in enumerate(GEOMETRIES)]
    expected = [F.convolution_2d(x, W, b, **named).array for x, W, b, named, _ in cases]
    wrong = []

    def call(x, W, b, named, k):
        for _ in range(50):
            if not (F.convolution_2d(x, W, b, **named).array == expected[k]).all():
                wrong.append(k)

    threads = [threading.Thread(target=call, args=args) for args in cases]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_starts_threads_of_its_own():
    pool = parts.workers.pool
    parts.workers.pool = object()
    try:
        parts.workers.forget()
        assert parts.workers.pool is None
    finally:
        parts.workers.pool = pool


FORK = """
import os
import signal
import numpy as np
from rlcore.autograd import functions as F
from rlcore.autograd.functions import parts

x, W = np.ones((8, 16, 40, 40), np.float32), np.ones((16, 16, 3, 3), np.float32)
expected = F.convolution_2d(x, W).array
assert parts.workers.pool is not None
child = os.fork()
signal.alarm(30)  # neither is left behind if it hangs
same = (F.convolution_2d(x, W).array == expected).all()
if child:
    same = same and os.waitpid(child, 0)[1] == 0
raise SystemExit(not same)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_computes_and_both_end():
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], env=env, check=False, timeout=60)
    assert done.returncode == 0


X, W = np.zeros((2, 4, 5, 5), np.float32), np.zeros((6, 4, 3, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: F.convolution_2d(X[0], W), ValueError, r"convolution_2d: expected x \(N, C, H, W\).*x \(4, 5, 5\)"),
        (lambda: F.convolution_2d(X, W[0]), ValueError, r"convolution_2d: expected .* W \(4, 3, 3\)"),
        (lambda: F.convolution_2d(X[:, :3], W), ValueError, r"x \(2, 3, 5, 5\), W \(6, 4, 3, 3\), groups 1"),
        (lambda: F.convolution_2d(X, W[:5, :2], groups=2), ValueError, r"W \(5, 2, 3, 3\), groups 2"),
        (lambda: F.convolution_2d(X, W, groups=0), ValueError, "groups 0"),
        (lambda: F.convolution_2d(X, W, np.zeros(4, np.float32)), ValueError, r"expected b \(6,\).*got b \(4,\)"),
        (lambda: F.convolution_2d(X, W, np.zeros(6)), TypeError, "b is float64 and W is float32"),
        (lambda: F.convolution_2d(X.astype("d"), W), TypeError, "x is float64 and W is float32; cast x"),
        (lambda: F.convolution_2d(X.astype("u1"), W), TypeError, r"x is uint8; give scale \(1 / 255"),
        (lambda: F.convolution_2d(X, np.zeros((6, 4, 6, 3), "f")), ValueError, r"kernel is larger.*x \(2, 4, 5, 5\)"),
        (lambda: F.convolution_2d(X, W, dilate=3), ValueError, r"kernel is larger.*dilate \(3, 3\)"),
        (lambda: F.convolution_2d(X, W, stride=0), ValueError, "stride must be 2 integers of at least 1, got 0"),
        (lambda: F.convolution_2d(X, W, pad=(1, -1)), ValueError, r"pad must be 2 integers .* got \(1, -1\)"),
        (lambda: F.convolution_2d(X, W, pad=(1, 1, 1)), ValueError, "pad must be 2 integers"),
        (
            lambda: F.deconvolution_2d(X, W),
            ValueError,
            r"deconvolution_2d: .*W \(C, out / groups, kh, kw\), got x \(2, 4",
        ),
        (lambda: F.deconvolution_2d(X.astype("u1"), W[:4]), TypeError, "deconvolution_2d: x is uint8; cast it"),
        (lambda: F.deconvolution_2d(X, W[:4], stride=2, outsize=(9, 11)), ValueError, r"no result of size \(9, 11\)"),
        (lambda: F.deconvolution_2d(X, W[:4], pad=4), ValueError, r"no result of size \(-1, -1\)"),
    ],
)
def test_bad_input(call, error, says):
    with pytest.raises(error, match=says):
        call()
