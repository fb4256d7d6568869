"""Hooks of optimizers: by hand, in order, before and after the step."""

from __future__ import annotations

import math

import numpy as np
import pytest

import rlcore.rng
from rlcore.autograd import Chain, optimizer_hooks
from rlcore.autograd import links as L
from rlcore.autograd.optimizer_hooks import GradientClipping
from rlcore.autograd.optimizers import SGD
from rlcore.rng import generator
from tests.autograd.test_optimizers import chain


def test_clipping_by_hand():
    model = chain([0.0, 0.0], [0.0])
    model.a.grad, model.b.grad = np.array([3.0, 0.0]), np.array([4.0])
    clip = GradientClipping(1.0)
    optimizer = SGD(1.0).setup(model)
    optimizer.add_hook(clip)
    optimizer.update()
    assert clip.norm == 5.0
    np.testing.assert_allclose([*model.a.array, *model.b.array], [-0.6, 0, -0.8], rtol=1e-15)


def test_small_and_zero_gradients_are_not_scaled():
    for g, threshold in (
        ([0.3, 0.4], 1.0),
        ([0.6, 0.8], 1.0),
        ([0.0, 0.0], 1.0),
        ([0.0, 0.0], 1e12),
        ([3.0, 4.0], math.inf),
    ):
        model = chain([0.0, 0.0], dtype=np.float32)
        model.a.grad = np.float32(g)
        optimizer = SGD(1.0).setup(model)
        optimizer.add_hook(GradientClipping(threshold))
        optimizer.update()
        np.testing.assert_allclose(model.a.array, -np.float32(g), rtol=1e-6)


def test_clipping_sees_only_the_used_and_all_of_them():
    """Also when they lie in several runs."""
    model = chain([0.0], [0.0], [0.0])
    optimizer, clip = SGD(1.0), GradientClipping(1.0)
    optimizer.setup(model).add_hook(clip)
    model.a.grad, model.c.grad = np.array([3.0]), np.array([4.0])
    model.b.node.slot = None
    optimizer.update()
    assert clip.norm == 5.0
    np.testing.assert_allclose([model.a.array[0], model.b.array[0], model.c.array[0]], [-0.6, 0, -0.8])


@pytest.mark.parametrize("threshold", [-1.0, 0.0, math.nan])
def test_a_clipping_threshold_is_positive(threshold):
    with pytest.raises(ValueError, match="GradientClipping: threshold"):
        GradientClipping(threshold)


def test_hooks_run_in_order_before_the_step():
    model, seen = chain([1.0]), []
    optimizer = SGD(1.0).setup(model)
    optimizer.add_hook(lambda parts: seen.append([part.grad.tolist() for part in parts]), "before")
    optimizer.add_hook(lambda parts: [part.grad.__imul__(2) for part in parts] and None, "double")
    optimizer.add_hook(lambda parts: seen.append([part.grad.tolist() for part in parts]), "after")
    model.a.grad = np.array([0.25])
    optimizer.update()
    assert seen == [[[0.25]], [[0.5]]]
    assert model.a.array.tolist() == [0.5]


def stepped(hook, grads, values=((1.0, -2.0), (3.0,), (0.0,)), dtype=np.float64):
    """The gradients after a hook and a step of SGD with rate 1: values minus the new values."""
    model = chain(*values, dtype=dtype)
    optimizer = SGD(1.0).setup(model)
    optimizer.add_hook(hook)
    for p, g in zip(model.params(), grads):
        p.grad = np.array(g, dtype)
    optimizer.update()
    return [(v - p.array).tolist() for v, p in zip(map(np.array, values), model.params())]


def test_hooks_by_hand():
    grads = [[0.5, -0.25], [2.0], [-3.0]]
    assert stepped(optimizer_hooks.GradientHardClipping(-0.25, 0.5), grads) == [[0.5, -0.25], [0.5], [-0.25]]
    assert stepped(optimizer_hooks.WeightDecay(0.5), grads) == [[1.0, -1.25], [3.5], [-3.0]]
    assert stepped(optimizer_hooks.Lasso(0.5), grads) == [[1.0, -0.75], [2.5], [-3.0]]


def test_lars_by_hand():
    """|p| = 5, |g| = 0.5: rate 5 / (0 + 0.5 + 0.1 * 5) = 5, times g + 0.1 * p; a norm below the threshold keeps 1."""
    hook = optimizer_hooks.GradientLARS(threshold=0.01, weight_decay=0.1, eps=0.0)
    found = stepped(hook, [[0.3, 0.4], [2.0], [1.0]], values=((3.0, 4.0), (0.001,), (10.0,)))
    np.testing.assert_allclose(found[0], [5 * 0.6, 5 * 0.8], rtol=1e-14)
    np.testing.assert_allclose(found[1], [2.0 + 0.1 * 0.001], rtol=1e-9)
    np.testing.assert_allclose(found[2], [10 / (1 + 1) * (1 + 1)], rtol=1e-14)


def test_lars_allows_empty_parameters():
    model = chain([], [1.0, 1.0], [], dtype=np.float32)
    optimizer = SGD(1.0).setup(model)
    optimizer.add_hook(optimizer_hooks.GradientLARS())
    for p in model.params():
        p.grad = np.ones(p.shape, np.float32)
    optimizer.update()
    np.testing.assert_allclose(model.b.array, [0, 0], atol=1e-6)


def test_biases_are_left_out():
    model = Chain(a=L.Linear(2, 2, initial_bias=4), b=L.Linear(2, 2, initial_bias=4))
    before = [p.array.copy() for p in model.params()]
    optimizer = SGD(1.0).setup(model)
    optimizer.add_hook(optimizer_hooks.NonbiasWeightDecay(0.25))
    for p in model.params():
        p.grad = np.zeros(p.shape, np.float32)
    optimizer.update()
    for (path, p), old in zip(model.namedparams(), before):
        np.testing.assert_array_equal(p.array, old if path.endswith("b") else 0.75 * old)


def test_noise_fades_and_is_reproducible():
    hook = optimizer_hooks.GradientNoise(0.3, rng=generator(0))
    model = chain(np.zeros(10_000))
    optimizer = SGD(1.0).setup(model)
    optimizer.add_hook(hook)
    for t in (1, 2, 3):
        before = model.a.array.copy()
        model.a.grad = np.zeros(10_000)
        optimizer.update()
        assert abs((model.a.array - before).std() / math.sqrt(0.3 / (1 + t) ** 0.55) - 1) < 0.03
    rlcore.rng.seed(7)
    first = stepped(optimizer_hooks.GradientNoise(1.0), [[0.0, 0.0]])
    rlcore.rng.seed(7)
    assert stepped(optimizer_hooks.GradientNoise(1.0), [[0.0, 0.0]]) == first


def test_noise_of_ones_own():
    hook = optimizer_hooks.GradientNoise(
        2.0, lambda xp, shape, dtype, hook, part: xp.full(shape, hook.eta * part.t, dtype)
    )
    assert stepped(hook, [[0.0, 1.0]])[0] == [2.0, 3.0]


def test_names_and_timing():
    model, seen = chain([1.0]), []
    optimizer = SGD(1.0).setup(model)
    optimizer.add_hook(lambda parts: seen.append(("post", parts[0].data.tolist(), parts[0].t)), "late", "post")
    optimizer.add_hook(lambda parts: seen.append(("pre", parts[0].data.tolist(), parts[0].t)), "early", "pre")
    optimizer.add_hook(GradientClipping(10.0))
    model.a.grad = np.array([0.25])
    optimizer.update()
    assert seen == [("pre", [1.0], 1), ("post", [0.75], 1)]
    optimizer.remove_hook("late")
    optimizer.remove_hook("GradientClipping")
    optimizer.update()
    assert len(seen) == 3
    for wrong, match in (
        (lambda: optimizer.add_hook(len, "early"), "there is a hook 'early' already"),
        (lambda: optimizer.remove_hook("late"), r"there is no hook 'late', only \['early'\]"),
    ):
        with pytest.raises(KeyError, match=match):
            wrong()
    with pytest.raises(ValueError, match="timing must be 'pre', 'post' or 'auto', got 'never'"):
        optimizer.add_hook(len, "len", "never")
    with pytest.raises(TypeError, match="the hook must be callable, got int"):
        optimizer.add_hook(3)

    class OfChainers:
        call_for_each_param = True

        def __call__(self, rule, param):
            raise NotImplementedError

    with pytest.raises(TypeError, match=r"a OfChainers wants \(rule, param\); here hooks get runs of parameters"):
        optimizer.add_hook(OfChainers())

    class Nameless:
        def __call__(self, parts):
            pass

    with pytest.raises(ValueError, match="a Nameless has no name; pass name="):
        optimizer.add_hook(Nameless())


def test_what_a_hook_is_told():
    model, seen = Chain(a=L.Linear(2, 3), b=L.Linear(3, 1)), []
    optimizer = SGD(1.0).setup(model)
    optimizer.add_hook(seen.extend, "seen")
    for p in model.params():
        p.grad = np.ones(p.shape, np.float32)
    model.a.b.cleargrad()
    optimizer.update()
    assert [part.names for part in seen] == [["W"], ["W", "b"]]
    assert [[p.size for p in part.params] for part in seen] == [[6], [3, 1]]


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: optimizer_hooks.GradientHardClipping(1, -1), r"no number lies within \[1, -1\]"),
        (lambda: optimizer_hooks.GradientNoise(-1), "GradientNoise: eta must not be negative, got -1"),
    ],
)
def test_hooks_check_their_settings(make, match):
    with pytest.raises(ValueError, match=match):
        make()
