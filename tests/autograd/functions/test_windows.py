import itertools

import numpy as np
import pytest

from rlcore.autograd.functions.windows import Windows, columns, in_size, out_size, overlap, per_axis
from rlcore.rng import generator


def test_sizes_agree_with_a_count_of_windows():
    for size, k, stride, pad, cover_all, dilate in itertools.product(
        (2, 5, 7), (1, 3), (1, 2, 4), (0, 1), (False, True), (1, 2)
    ):
        span, padded = (k - 1) * dilate + 1, size + 2 * pad
        if padded < span:
            continue
        starts = list(range(0, padded - span + 1, stride))
        if cover_all and starts[-1] + span < padded:
            starts.append(starts[-1] + stride)
        n = out_size(size, k, stride, pad, cover_all, dilate)
        assert n == len(starts)
        back = in_size(n, k, stride, pad, cover_all, dilate)
        assert out_size(back, k, stride, pad, cover_all, dilate) == n


def test_offsets_join_what_they_should():
    for size, k, stride, pad, dilate, cover_all in itertools.product(
        (1, 4, 5), (1, 3), (1, 2, 4), (0, 1, 3), (1, 2), (False, True)
    ):
        out = out_size(size, k, stride, pad, cover_all, dilate)
        if out < 1:
            continue
        w = Windows((size,), (out,), (k,), (stride,), (pad,), (dilate,))
        joined = set()
        for (_, j), (_, i), (_, o) in w.offsets():
            ins, outs = range(size)[i], range(out)[o]
            assert len(ins) == len(outs)
            joined |= {(j, a, b) for a, b in zip(ins, outs)}
        places = itertools.product(range(k), range(out))
        reads = {(j, o * stride + j * dilate - pad, o) for j, o in places}
        assert joined == {(j, i, o) for j, i, o in reads if 0 <= i < size}
        assert w.padded or joined == reads


@pytest.mark.parametrize(
    ("sizes", "ksize", "stride", "pad", "dilate"),
    [
        ((6,), (2,), (1,), (0,), (2,)),
        ((6,), (1,), (4,), (1,), (1,)),
        ((5, 4), (2, 3), (1, 2), (0, 0), (1, 1)),
        ((5, 4), (3, 2), (2, 1), (1, 2), (1, 1)),
        ((5, 5), (2, 2), (2, 2), (0, 1), (1, 3)),
        ((3, 2, 4), (2, 1, 2), (1, 1, 2), (1, 0, 1), (1, 1, 2)),
    ],
)
@pytest.mark.parametrize("cover_all", [False, True])
def test_columns_and_their_adjoint_by_loops(sizes, ksize, stride, pad, dilate, cover_all):
    settings = list(zip(sizes, ksize, stride, pad, dilate))
    outs = tuple([out_size(n, k, s, p, cover_all, d) for n, k, s, p, d in settings])
    w = Windows(sizes, outs, ksize, stride, pad, dilate)
    x = generator(0).standard_normal((2, *sizes, 3))
    expected = np.zeros((2, *outs, *ksize, 3))
    for o, j in itertools.product(np.ndindex(outs), np.ndindex(ksize)):
        at = [a * s + b * d - p for a, b, (_, _, s, p, d) in zip(o, j, settings)]
        if all(0 <= i < n for i, n in zip(at, sizes)):
            expected[(slice(None), *o, *j)] = x[(slice(None), *at)]
    for laid in (x, np.asfortranarray(x), x[::-1, ::-1][::-1, ::-1]):
        y = columns(laid, w)
        np.testing.assert_array_equal(y, expected)
        assert y.flags.c_contiguous
        assert not np.shares_memory(y, laid)
        out = np.full_like(expected, np.nan)
        assert columns(laid, w, out) is out
        np.testing.assert_array_equal(out, expected)
    g = generator(1).standard_normal(expected.shape)
    np.testing.assert_allclose((overlap(g, w) * x).sum(), (g * expected).sum(), rtol=1e-10)


def test_a_setting_for_each_axis():
    assert per_axis("f", "stride", 2, 3, 1) == (2, 2, 2)
    assert per_axis("f", "stride", [2, 1], 2, 1) == (2, 1)
    for wrong in ((1, 2, 3), 0, (1, 0)):
        with pytest.raises(ValueError, match="f: stride must be 2 integers of at least 1, got"):
            per_axis("f", "stride", wrong, 2, 1)
