"""Noise: what is drawn, when, from which generator, and how it is distributed."""

from __future__ import annotations

import numpy as np
import pytest

from rlcore.autograd import Variable, using_config
from rlcore.autograd import functions as F
from rlcore.rng import default, generator, state_of

N = 40_000
ONES = np.ones((200, 200), np.float32)
DRAWING = {
    "dropout": lambda **named: F.dropout(ONES, 0.3, **named),
    "gaussian": lambda **named: F.gaussian(ONES, ONES, **named),
    "gumbel_softmax": lambda **named: F.gumbel_softmax(ONES, **named),
    "zoneout": lambda **named: F.zoneout(ONES, 2 * ONES, 0.3, **named),
    "simplified_dropconnect": lambda **named: F.simplified_dropconnect(ONES[:5], ONES, **named),
}


@pytest.mark.parametrize("name", DRAWING)
def test_the_same_generator_gives_the_same_and_without_one_the_librarys_own_is_used(name):
    draw = DRAWING[name]
    np.testing.assert_array_equal(draw(rng=generator(3)).array, draw(rng=generator(3)).array)
    assert (draw(rng=generator(3)).array != draw(rng=generator(4)).array).any()
    before = state_of(default())
    draw(rng=generator(3))
    assert state_of(default()) == before
    y = draw()
    assert state_of(default()) != before
    assert y.dtype == np.float32


def test_no_draws_where_nothing_is_random():
    rng, x = generator(0), Variable(ONES)
    before = state_of(rng)
    with using_config("train", False):
        assert F.dropout(x, 0.5, rng=rng) is x
        assert F.dropout(x, 0.5, mask=0 * ONES, return_mask=True, rng=rng) == (x, None)
        np.testing.assert_array_equal(F.zoneout(x, 2 * ONES, 0.25, rng=rng).array, 2)  # the new state, as in Chainer
    F.dropout(x, mask=ONES, rng=rng)
    F.gaussian(x, x, eps=ONES, rng=rng)
    F.simplified_dropconnect(x, ONES, train=False, rng=rng)
    F.simplified_dropconnect(x, ONES, mask=ONES > 0, use_batchwise_mask=False, rng=rng)
    assert state_of(rng) == before


@pytest.mark.parametrize("ratio", [0.0, 0.01, 0.3, 0.5, 0.95])
def test_how_much_is_dropped(ratio):
    y = F.dropout(ONES, ratio, rng=generator(1)).array
    assert abs((y == 0).mean() - ratio) <= 4 * np.sqrt(ratio * (1 - ratio) / N)
    np.testing.assert_array_equal(y[y != 0], np.float32(1 / (1 - ratio)))
    kept = F.zoneout(ONES, 2 * ONES, ratio, rng=generator(1)).array
    np.testing.assert_array_equal(kept == 1, y == 0)


def test_none_and_all_of_a_million():
    many = np.ones(1_000_000, np.float32)
    assert (F.dropout(many, 0.0, rng=generator(1)).array == 1).all()
    assert (F.zoneout(many, 2 * many, 1.0, rng=generator(1)).array == 1).all()


def test_ratios_and_the_temperature_that_are_not_given():
    """Chainer's."""
    for f, given in (
        (F.dropout, {"ratio": 0.5}),
        (F.gumbel_softmax, {"tau": 0.1, "axis": 1}),
        (lambda x, **named: F.zoneout(x, 2 * x, **named), {"ratio": 0.5}),
        (
            lambda x, **named: F.simplified_dropconnect(x[:3], x, **named),
            {"ratio": 0.5, "train": True, "use_batchwise_mask": True},
        ),
    ):
        np.testing.assert_array_equal(f(ONES, rng=generator(8)).array, f(ONES, rng=generator(8), **given).array)


def test_noise_is_drawn_in_the_precision_of_its_array():
    for dtype in "efd":
        eps = F.gaussian(np.zeros(100, dtype), np.zeros(100, dtype), return_eps=True, rng=generator(9))[1]
        assert eps.dtype == dtype
        assert (eps == eps.astype("f")).all() == (dtype != "d")


def test_dropconnect_outside_training_is_linear():
    x, W, b = np.ones((2, 3)), np.arange(12.0).reshape(4, 3), np.array([1.0, 2, 3, 4])
    y = F.simplified_dropconnect(x, W, b, train=False)
    assert y.array.tolist() == (x @ W.T + b).tolist()


def test_masks_come_back_and_are_taken_again():
    x = Variable(ONES)
    y, mask = F.dropout(x, 0.5, return_mask=True, rng=generator(2))
    again, same = F.dropout(x, mask=mask, return_mask=True)
    np.testing.assert_array_equal(y.array, again.array)
    assert same is mask
    F.sum(y).backward()
    np.testing.assert_array_equal(x.grad, mask)
    assert F.dropout(x, mask=mask.astype(np.float64)).dtype == np.float32


def test_masks_and_noise_broadcast():
    """As in Chainer 7.8.1: one mask for all rows, for one."""
    x, row = Variable(ONES), np.arange(200, dtype=np.float32)
    F.sum(F.dropout(x, mask=row)).backward()
    np.testing.assert_array_equal(x.grad, np.tile(row, (200, 1)))
    mean, ln_var = Variable(ONES), Variable(0 * ONES)
    y = F.gaussian(mean, ln_var, eps=row)
    np.testing.assert_array_equal(y.array, np.tile(1 + row, (200, 1)))
    F.sum(y).backward()
    np.testing.assert_array_equal(ln_var.grad, np.tile(row / 2, (200, 1)))


@pytest.mark.parametrize("dtype", "efd")
def test_a_gaussian_sample_has_this_mean_and_variance(dtype):
    mean, ln_var = np.full(N, 3, dtype), np.full(N, np.log(4), dtype)
    y, eps = F.gaussian(mean, ln_var, return_eps=True, rng=generator(5))
    assert y.dtype == eps.dtype == dtype
    assert abs(y.array.mean(dtype="d") - 3) < 4 * 2 / np.sqrt(N)
    assert abs(y.array.std(dtype="d") - 2) < 4 * 2 / np.sqrt(2 * N)
    np.testing.assert_array_equal(F.gaussian(mean, ln_var, eps=eps).array, y.array)


def test_a_cold_relaxed_sample_is_one_hot_with_these_probabilities():
    p = np.array([0.1, 0.2, 0.7])
    y = F.gumbel_softmax(np.log(np.tile(p, (N, 1))), tau=1e-3, rng=generator(6)).array
    np.testing.assert_allclose(y.sum(1), 1, rtol=1e-12)
    assert (y.max(1) > 0.99).mean() > 0.99
    np.testing.assert_allclose(y.mean(0), p, atol=4 * 0.5 / np.sqrt(N))


def test_dropconnect_drops_weights_for_each_row_or_for_all():
    x, W = np.ones((300, 1)), np.ones((4, 1))
    y = F.simplified_dropconnect(x, W, ratio=0.25, rng=generator(7)).array
    assert set(y.ravel().tolist()) == {0.0, 1 / 0.75}
    assert abs((y == 0).mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 1200)
    y = F.simplified_dropconnect(x, W, ratio=0.25, use_batchwise_mask=False, rng=generator(1)).array
    assert (y == y[:1]).all()


def test_dropconnect_takes_a_mask_of_floats():
    """Chainer 7.8.1: what is given is multiplied and scaled."""
    x = np.linspace(-1, 1, 6).reshape(2, 3)
    y = F.simplified_dropconnect(x, x, ratio=0.5, mask=np.full((2, 2, 3), 0.5))
    np.testing.assert_allclose(y.array, [[1.4, -0.76], [-0.76, 1.4]], rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: F.dropout(ONES, 1.0), ValueError, r"dropout: ratio must lie in \[0, 1\), got 1.0"),
        (lambda: F.dropout(ONES, -0.1), ValueError, "dropout: ratio"),
        (lambda: F.dropout(ONES[0], mask=ONES), ValueError, r"dropout: a mask of shape \(200, 200\) .*x \(200,\)"),
        (lambda: F.dropout(ONES, mask=ONES[:7]), ValueError, r"dropout: .*\(7,200\).*x \(200, 200\)"),
        (lambda: F.gaussian(ONES, ONES[:1]), ValueError, r"gaussian: .*mean \(200, 200\) float32, ln_var \(1, 200\)"),
        (lambda: F.gaussian(ONES, ONES.astype("d")), ValueError, "gaussian: .*one dtype"),
        (lambda: F.gaussian(ONES[0], ONES[0], eps=ONES), ValueError, r"gaussian: eps of shape \(200, 200\)"),
        (lambda: F.zoneout(ONES, ONES, 1.1), ValueError, r"zoneout: ratio must lie in \[0, 1\]"),
        (lambda: F.zoneout(ONES, ONES[:1]), ValueError, r"zoneout: .*h \(200, 200\) float32, x \(1, 200\)"),
        (lambda: F.zoneout(ONES, ONES.astype("d")), ValueError, "zoneout: .*one dtype, .*h .*float32, x .*float64"),
        (lambda: F.simplified_dropconnect(ONES, ONES[None]), ValueError, r"W \(out, in\) .*W \(1, 200, 200\)"),
        (lambda: F.simplified_dropconnect(ONES, ONES.astype("d")), ValueError, "of W's dtype, .*W .*float64"),
        (lambda: F.simplified_dropconnect(ONES, ONES, ratio=1), ValueError, "simplified_dropconnect: ratio"),
        (
            lambda: F.simplified_dropconnect(ONES, ONES, mask=ONES),
            ValueError,
            r"mask must have shape \(200, 200, 200\)",
        ),
        (lambda: F.simplified_dropconnect(ONES, ONES, ONES[0, :1]), ValueError, r"b \(out,\), .*b \(1,\)"),
        (
            lambda: F.simplified_dropconnect(ONES, ONES[:, :7]),
            ValueError,
            r"simplified_dropconnect: .*x \(200, 200\) .*W \(200, 7\)",
        ),
    ],
)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match):
        call()


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("dropout", F.dropout),
        ("gaussian", lambda x: F.gaussian(x, x)),
        ("gumbel_softmax", F.gumbel_softmax),
        ("rrelu", F.rrelu),
        ("layer_normalization", lambda x: F.layer_normalization(x, x[0], x[0])),
    ],
)
def test_integers_are_refused_where_they_would_be_rounded(name, call):
    with pytest.raises(TypeError, match=rf"{name}: expected floats, got int64; cast with astype\('float32'\)"):
        call(np.ones((2, 2), np.int64))
