"""Loss scaling, and float16 parameters with and without masters."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from rlcore.autograd import functions as F
from rlcore.autograd import optimizers
from rlcore.autograd.optimizer_hooks import GradientClipping, WeightDecay
from rlcore.autograd.optimizers import SGD, Adam, MomentumSGD
from rlcore.rng import generator
from tests.autograd.test_optimizers import EACH, RULES, chain


def scaled(optimizer, model, x):
    model.cleargrads()
    F.sum(model.a * x).backward(loss_scale=optimizer.loss_scale)


def test_a_fixed_scale_changes_nothing_but_the_gradients():
    model, plain = chain([1.0, 2.0]), chain([1.0, 2.0])
    optimizer, other = Adam(0.1).setup(model), Adam(0.1).setup(plain)
    clips = [GradientClipping(0.5), GradientClipping(0.5)]
    for o, clip in zip((optimizer, other), clips):
        o.add_hook(clip)
        o.add_hook(WeightDecay(0.1))
    optimizer.set_loss_scale(1024)
    for x in (np.array([1.0, -2.0]), np.array([3.0, 0.5])):
        scaled(optimizer, model, x)
        assert model.a.grad.tolist() == (1024 * x).tolist()
        optimizer.update()
        assert model.a.grad.tolist() == (1024 * x).tolist()
        scaled(other, plain, x)
        other.update()
    np.testing.assert_array_equal(model.a.array, plain.a.array)
    assert clips[0].norm == clips[1].norm


def test_update_with_a_loss_scales_it():
    model, x = chain([1.0, 2.0]), np.array([1.0, 2.0])
    optimizer = SGD(0.5).setup(model)
    optimizer.loss_scaling(scale=8)
    optimizer.update(lambda: F.sum(model.a * x))
    assert model.a.array.tolist() == [0.5, 1.0]
    assert model.a.grad.tolist() == [8, 16]


def test_a_dynamic_scale_follows_the_gradients():
    """As in Chainer: doubled until the first overflow, then halved at each one, and doubled in `interval` updates."""
    model = chain([1.0], dtype=np.float32)
    optimizer = SGD(1.0).setup(model)
    optimizer.loss_scaling(interval=4)
    scales, safe = [], []
    for x in (1, 1, 1, np.inf, 1, 1, np.nan, np.inf, np.inf, np.inf, np.inf):
        scales.append(optimizer.loss_scale)
        scaled(optimizer, model, np.float32([x]))
        before = model.a.array.copy()
        optimizer.update()
        safe.append(optimizer.is_safe_to_update())
        assert (model.a.array == before).all() == (not np.isfinite(x))
    growth = 2**0.25
    np.testing.assert_allclose(
        scales, [1, 2, 4, 8, 4, 4 * growth, 4 * growth**2, 2 * growth**2, growth**2, 1, 1], rtol=1e-15
    )
    assert safe == [True, True, True, False, True, True, False, False, False, False, False]
    assert (optimizer.t, optimizer.state()["steps"]) == (11, [5])


def test_a_dynamic_scale_has_an_upper_end():
    model = chain([1.0])
    optimizer = SGD(1.0).setup(model)
    optimizer.loss_scaling()
    for _ in range(20):
        scaled(optimizer, model, np.ones(1))
        optimizer.update()
    assert optimizer.loss_scale == 65504


def test_hooks_do_not_see_what_is_skipped():
    model = chain([1.0])
    optimizer, clip = SGD(1.0).setup(model), GradientClipping(1.0)
    optimizer.loss_scaling()
    optimizer.add_hook(clip)
    model.a.grad = np.array([np.nan])
    optimizer.update()
    assert clip.norm == 0


def test_a_dynamic_scale_is_saved():
    model = chain([1.0])
    optimizer, other = (Adam(1.0).setup(model) for _ in range(2))
    optimizer.loss_scaling(interval=10)
    for x in (1.0, np.inf, 1.0):
        scaled(optimizer, model, np.array([x]))
        optimizer.update()
    state = copy.deepcopy(optimizer.state())
    assert state["overflowed"] is True
    with pytest.raises(ValueError, match="load: 'loss_scale' is not a part of this optimizer's state"):
        other.load(state)
    other.loss_scaling(interval=10)
    other.load(state)
    for o in (optimizer, other):
        o.update_loss_scale()
    assert other.loss_scale == optimizer.loss_scale
    assert other.loss_scale == pytest.approx(2**0.2)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"interval": 0}, "loss_scaling: interval must be at least 1, got 0"),
        ({"scale": 0}, "loss_scaling: scale must be positive, got 0"),
        ({"scale": -1.0}, "loss_scaling: scale must be positive, got -1.0"),
    ],
)
def test_settings_are_checked(settings, match):
    with pytest.raises(ValueError, match=match):
        SGD().loss_scaling(**settings)


# float16


@EACH
def test_float16_parameters_are_stepped_in_float32(rule):
    """Each step rounds once: from float16 values, the float32 step, rounded."""
    rng, make = generator(0), RULES[rule][0]
    half, single = chain([1.0, -2.0, 0.5], dtype=np.float16), chain([1.0, -2.0, 0.5], dtype=np.float32)
    optimizer, other = make().setup(half), make().setup(single)
    for _ in range(20):
        g = np.float16(rng.standard_normal(3) * 1e-3)
        half.a.grad = g
        single.a.grad = g.astype(np.float32)
        optimizer.update()
        other.update()
        single.a.array = np.float32(np.float16(single.a.array))
        np.testing.assert_array_equal(half.a.array, single.a.array)
    assert half.a.array.dtype == np.float16
    for slot in optimizer.slots:
        assert optimizer.state()[slot].dtype == np.float32


def test_masters_add_up_small_steps():
    """A step of 2e-4 is below half of float16's spacing at 1."""
    ends = []
    for master in (False, True):
        model = chain([1.0], dtype=np.float16)
        optimizer = SGD(2e-4).setup(model)
        optimizer.use_fp32_update(master)
        for _ in range(100):
            model.a.grad = np.float16([1.0])
            optimizer.update()
        ends.append(model.a.array.item())
    assert ends[0] == 1.0
    assert abs(ends[1] - 0.98) < 5e-4


def test_masters_follow_who_writes_to_the_parameters():
    model = chain([1.0, 1.0], dtype=np.float16)
    optimizer = SGD(2e-4).setup(model)
    optimizer.use_fp32_update()

    def step(n):
        for _ in range(n):
            model.a.grad = np.float16([1.0, 1.0])
            optimizer.update()

    step(1)
    model.flat[0] = 0.5
    step(1)
    np.testing.assert_allclose(optimizer.state()["master"], [0.5 - 2e-4, 1 - 4e-4], rtol=1e-6)


def test_masters_resume_exactly():
    runs = []
    for interrupted in (False, True):
        rng, model = generator(1), chain([1.0, 2.0], [3.0], dtype=np.float16)
        optimizer = MomentumSGD(1e-3).setup(model)
        optimizer.use_fp32_update()
        for t in range(20):
            if interrupted and t == 10:
                saved = copy.deepcopy((model.state(), optimizer.state()))
                model = chain([0.0, 0.0], [0.0], dtype=np.float16)
                optimizer = MomentumSGD(1e-3).setup(model)
                optimizer.use_fp32_update()
                model.load(saved[0])
                optimizer.load(saved[1])
            for p in model.params():
                p.grad = np.float16(rng.standard_normal(p.shape))
            optimizer.update()
        runs.append([model.flat.copy(), optimizer.state()["master"], optimizer.state()["v"]])
    for whole, resumed in zip(*runs):
        np.testing.assert_array_equal(whole, resumed)


def test_masters_of_other_dtypes_are_the_parameters():
    model = chain([1.0], dtype=np.float32)
    optimizer = SGD(0.5).setup(model)
    optimizer.use_fp32_update()
    model.a.grad = np.ones(1, np.float32)
    optimizer.update()
    assert model.a.array.tolist() == [0.5]
    assert "master" not in optimizer.state()


def test_a_scaled_loss_keeps_small_gradients_in_float16():
    """A gradient of 1e-8 is 0 in float16; scaled by 4096 it is not, and hooks see it unscaled."""
    moved = []
    for scale in (1, 4096):
        model = chain([0.0], dtype=np.float16)
        optimizer, clip = optimizers.Adam(0.5, eps=0.0).setup(model), GradientClipping(1.0)
        optimizer.add_hook(clip)
        optimizer.loss_scaling(scale=scale)
        scaled(optimizer, model, np.float16([1.0]))
        model.a.grad = np.float16([1e-8 * scale])
        if scale > 1:
            optimizer.update()
            assert clip.norm == pytest.approx(1e-8, rel=1e-2)
            moved.append(model.a.array.item())
        else:
            assert not model.a.grad.any()
    assert moved == [-0.5]
