import itertools

import pytest

from rlcore.autograd.functions.windows import Windows, in_size, out_size, per_axis


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
        for (j,), (i,), (o,) in w.offsets():
            ins, outs = range(size)[i], range(out)[o]
            assert len(ins) == len(outs)
            joined |= {(j, a, b) for a, b in zip(ins, outs)}
        places = itertools.product(range(k), range(out))
        reads = {(j, o * stride + j * dilate - pad, o) for j, o in places}
        assert joined == {(j, i, o) for j, i, o in reads if 0 <= i < size}
        assert w.padded or joined == reads


def test_a_setting_for_each_axis():
    assert per_axis("f", "stride", 2, 3, 1) == (2, 2, 2)
    assert per_axis("f", "stride", [2, 1], 2, 1) == (2, 1)
    for wrong in ((1, 2, 3), 0, (1, 0)):
        with pytest.raises(ValueError, match="f: stride must be 2 integers of at least 1, got"):
            per_axis("f", "stride", wrong, 2, 1)
