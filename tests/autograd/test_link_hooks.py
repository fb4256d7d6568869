"""Link hooks: when they are called, and the normalised weights against independent formulas."""

from __future__ import annotations

import copy
import gc
import io
import threading
import time

import numpy as np
import pytest

from rlcore.autograd import (
    Chain,
    Link,
    Sequential,
    Variable,
    grad,
    link_calls,
    no_backprop_mode,
    optimizers,
    using_config,
)
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.gradient_check import check_backward
from rlcore.autograd.link_hooks import LinkHook, SpectralNormalization, TimerHook, WeightStandardization
from rlcore.autograd.parameter import Parameter
from rlcore.rng import generator

X = np.linspace(-1, 1, 6).reshape(2, 3)


def linear(n_in=3, n_out=4, dtype=np.float64, seed=0):
    W = generator(seed).standard_normal((n_out, 3)).astype(dtype)
    return L.Linear(n_in, n_out, initialW=W, initial_bias=np.zeros(n_out, dtype))


class Deconvolution2D(L.Linear):
    """A link of that name, whose weight is (in, out)."""

    def forward(self, x):
        return F.linear(x, F.transpose(self.W))


class Log(LinkHook):
    def __init__(self):
        self.calls = []

    def added(self, link):
        self.calls.append(("added", link))

    def deleted(self, link):
        self.calls.append(("deleted", link))

    def forward_preprocess(self, args):
        self.calls.append(("before", args.link, args.forward_name, args.args, args.kwargs))

    def forward_postprocess(self, args):
        self.calls.append(("after", args.link, args.out))


def test_a_hook_is_called_around_forward_of_its_link_only():
    one, other, hook = linear(), linear(), Log()
    plain = type(one)
    assert one.add_hook(hook) is one
    y = one(X, n_batch_axes=1)
    other(X)
    assert hook.calls[0] == ("added", one)
    assert hook.calls[1] == ("before", one, "forward", (X,), {"n_batch_axes": 1})
    assert hook.calls[2] == ("after", one, y)
    assert isinstance(one, L.Linear)
    assert type(one).__name__ == "Linear"
    assert one.local_link_hooks == {"LinkHook": hook}
    one.delete_hook("LinkHook")
    assert hook.calls[3:] == [("deleted", one)]
    one(X)
    assert len(hook.calls) == 4
    assert type(one) is plain
    assert type(other) is plain


def test_hooks_have_names():
    link = linear().add_hook(Log()).add_hook(Log(), "second")
    assert list(link.local_link_hooks) == ["LinkHook", "second"]
    with pytest.raises(KeyError, match="this Linear has a hook 'second' already"):
        link.add_hook(Log(), "second")
    with pytest.raises(KeyError, match=r"no hook 'third', only \['LinkHook', 'second'\]"):
        link.delete_hook("third")
    with pytest.raises(TypeError, match="a view has the hooks of its model"):
        link.view().add_hook(Log(), "third")


def test_a_hook_on_a_chain_and_a_copy():
    model = Chain(l1=linear())
    type(model).forward = lambda self, x: self.l1(x)
    try:
        model.add_hook(hook := Log())
        twin = copy.deepcopy(model)
        twin(X)
        assert [call[0] for call in hook.calls] == ["added"]
        assert [call[0] for call in twin.local_link_hooks["LinkHook"].calls[1:]] == ["before", "after"]
    finally:
        del Chain.forward


def test_a_hook_for_all_links():
    model = Chain(l1=linear(), l2=linear(seed=1))
    model.l2.add_hook(own := Log())
    with Log() as hook:
        h = model.l1(X)
        with no_backprop_mode():
            model.l1.view()(X)
        model.l2(X)
        F.tanh(h)
        seen = []
        thread = threading.Thread(target=lambda: seen.append(model.l1(X).shape))
        thread.start()
        thread.join()
    model.l1(X)
    assert [call[0] for call in hook.calls] == ["added", *["before", "after"] * 3, "deleted"]
    assert [call[1] for call in hook.calls if call[0] == "before"][::2] == [model.l1, model.l2]
    assert hook.calls[2] == ("after", model.l1, h)
    assert [call[0] for call in own.calls] == ["added", "before", "after"]
    assert seen == [(2, 4)]
    assert not link_calls._swap().wrapped()


def test_a_call_that_calls_its_base_class_is_one_call():
    class Mine(L.Linear):
        def __call__(self, x):
            return super().__call__(x) * 2

    with Log() as hook:
        Mine(3, 4)(np.float32(X))
    assert [call[0] for call in hook.calls] == ["added", "before", "after", "deleted"]


def test_timer():
    model = Sequential(linear(), F.tanh, Sequential(L.Linear(4, 3, initialW=np.ones((3, 4)), nobias=True)))
    with TimerHook() as hook:
        for _ in range(3):
            model(X)
    table = hook.summary()
    assert {name: row["occurrence"] for name, row in table.items()} == {"Linear": 6, "Sequential": 6}
    assert 0 < table["Linear"]["elapsed_time"] < table["Sequential"]["elapsed_time"]
    file = io.StringIO()
    hook.print_report("us", file)
    assert file.getvalue().splitlines()[0].split() == ["LinkName", "ElapsedTime", "Occurrence"]


# spectral normalisation


def by_hand(W, u, n=1, eps=1e-6):
    for _ in range(n):
        v = W.T @ u
        v /= np.sqrt(v @ v) + eps
        u = W @ v
        u /= np.sqrt(u @ u) + eps
    return u, v


@pytest.mark.parametrize(("n", "factor"), [(1, None), (3, 2.0)])
def test_spectral_normalization(n, factor):
    link = linear().add_hook(SpectralNormalization(n, factor=factor, rng=generator(1)))
    W, u0 = link.W.array.copy(), link.W_u.copy()
    np.testing.assert_array_equal(u0, generator(1).standard_normal(4))
    u, v = by_hand(W, u0, n)
    np.testing.assert_allclose(link(np.eye(3)).array, (W / (u @ W @ v)).T * (factor or 1), rtol=1e-12)
    np.testing.assert_allclose(link.W_u, u, rtol=1e-12)
    assert type(link.W) is Parameter
    np.testing.assert_array_equal(link.W.array, W)
    with using_config("train", False):
        kept = link.W_u.copy()
        expected = by_hand(W, kept, n)
        y = link(np.eye(3))
        np.testing.assert_allclose(y.array, (W / (expected[0] @ W @ expected[1])).T * (factor or 1), rtol=1e-12)
        np.testing.assert_array_equal(link.W_u, kept)
    for _ in range(60):
        link(X)
    assert np.linalg.svd(link(np.eye(3)).array)[1][0] == pytest.approx(factor or 1, rel=1e-5)


@pytest.mark.parametrize("use_gamma", [False, True])
@pytest.mark.parametrize("kind", [L.Linear, Deconvolution2D])
def test_the_gradient_goes_through_the_singular_value(use_gamma, kind):
    sizes = (3, 4) if kind is L.Linear else (4, 3)
    link = kind(*sizes, nobias=True, initialW=generator(2).standard_normal(sizes[::-1]))
    link.add_hook(SpectralNormalization(use_gamma=use_gamma, n_power_iteration=200))
    assert link.W_u.shape == (4,)
    if use_gamma:
        assert link.gamma.item() == pytest.approx(np.linalg.svd(link.W.array)[1][0])
    params = list(link.params())
    link(X)
    u, v = link.__dict__["_vectors"]

    def plain(W, gamma=1.0):
        y = X @ W.T if kind is L.Linear else X @ W
        sigma = u @ (W if kind is L.Linear else W.T) @ v
        return (y / sigma * gamma) ** 3

    F.sum(link(X) ** 3).backward()
    for i, p in enumerate(params):
        arrays = [q.array.copy() for q in params]
        direction = generator(3).standard_normal(p.shape)
        ends = []
        for h in (1e-5, -1e-5):
            arrays[i] = p.array + h * direction
            ends.append(plain(*arrays).sum())
        assert (p.grad * direction).sum() == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6)
    second = grad([F.sum(g * g) for g in grad([F.sum(link(X) ** 3)], params, enable_double_backprop=True)], params)
    assert all(np.isfinite(g.array).all() for g in second)


def test_a_size_settled_later_and_a_loaded_state():
    link = L.Linear(None, 4).add_hook(SpectralNormalization(use_gamma=True))
    assert link.W_u is None
    model = Chain(l1=link)
    saved = copy.deepcopy(model)
    saved.l1(np.float32(X))
    assert saved.l1.W_u.shape == (4,)
    assert saved.l1.W.shape == (4, 3)
    model.load(saved.state())
    with using_config("train", False):
        np.testing.assert_array_equal(model.l1(np.float32(X)).array, saved.l1(np.float32(X)).array)
    before = saved.l1.W_u.copy()
    model.l1(np.float32(X))
    np.testing.assert_array_equal(saved.l1.W_u, before)
    view = Chain(l1=L.Linear(None, 4).add_hook(SpectralNormalization())).view()
    assert view.l1(np.float32(X)).shape == (2, 4)


def test_a_view_is_normalised_and_changes_nothing():
    link = linear().add_hook(SpectralNormalization())
    view = link.view()
    u = link.W_u.copy()
    y = view(X)
    np.testing.assert_array_equal(link.W_u, u)
    assert not y.requires_grad
    np.testing.assert_array_equal(y.array, link(X).array)


def test_training_with_flat_storage():
    model = Chain(l1=linear(dtype=np.float32).add_hook(SpectralNormalization(use_gamma=True)))
    optimizer = optimizers.SGD(0.1).setup(model)
    losses = []
    for _ in range(5):
        loss = F.sum(model.l1(np.float32(X)) ** 2)
        model.cleargrads()
        loss.backward()
        optimizer.update()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)
    assert np.shares_memory(model.flat_state, model.l1.W_u)
    assert [path for path, _ in model.namedparams()] == ["/l1/W", "/l1/b", "/l1/gamma"]


def test_an_error_in_forward_leaves_the_parameter():
    link = linear().add_hook(SpectralNormalization()).add_hook(WeightStandardization())
    with pytest.raises(ValueError, match="linear"):
        link(np.zeros((2, 7)))
    assert type(link.W) is Parameter
    del link
    gc.collect()


def test_taken_off():
    link = linear()
    before = link(X).array
    link.add_hook(SpectralNormalization(use_gamma=True))
    link(X)
    link.delete_hook("SpectralNormalization")
    np.testing.assert_array_equal(link(X).array, before)
    assert sorted(p for p, _ in link.namedparams()) == ["/W", "/b"]
    assert list(link.namedpersistents()) == []


def test_bad_input():
    with pytest.raises(ValueError, match="SpectralNormalization: Chain has no weight 'W'"):
        Chain(l1=linear()).add_hook(SpectralNormalization())
    with pytest.raises(ValueError, match="WeightStandardization: Linear has no weight 'V'"):
        linear().add_hook(WeightStandardization(weight_name="V"))
    with pytest.raises(ValueError, match="n_power_iteration must be at least 1, got 0"):
        SpectralNormalization(0)


# weight standardisation


def test_weight_standardization():
    link = linear().add_hook(WeightStandardization())
    W = link.W.array
    expected = (W - W.mean(1, keepdims=True)) / np.sqrt(W.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(link(np.eye(3)).array, expected.T, rtol=1e-12)

    def f(W):
        return F.sum(link.local_link_hooks["WeightStandardization"].normalized(link, W) ** 3)

    check_backward(f, (W,), (np.ones(()),), rng=generator(5))
    F.sum(link(X) ** 3).backward()
    V = Variable(W)
    hook = link.local_link_hooks["WeightStandardization"]
    F.sum(F.linear(Variable(X), hook.normalized(link, V)) ** 3).backward()
    np.testing.assert_allclose(link.W.grad, V.grad, rtol=1e-12)


def test_a_hook_that_refuses_to_begin_is_not_at_work():
    class Refuses(Log):
        def added(self, link):
            raise RuntimeError("no")

    hook = Refuses()
    with pytest.raises(RuntimeError, match="no"), hook:
        pass
    linear()(X)
    assert hook.calls == []
    assert link_calls._swap().users == 0


def test_a_hook_is_at_work_once():
    hook = Log()
    with hook, pytest.raises(ValueError, match="LinkHook: this hook is at work already"), hook:
        pass
    linear()(X)
    assert hook.calls == [("added", None), ("deleted", None)]


def test_a_class_made_while_a_hook_is_at_work_has_its_own_forward():
    with Log():

        class Negative(L.Linear):
            def forward(self, x):
                return -super().forward(x)

    link = Negative(3, 4)
    np.testing.assert_array_equal(link(np.float32(X)).array, -F.linear(np.float32(X), link.W, link.b).array)


def test_a_hook_that_refuses_to_end_is_gone():
    class Refuses(Log):
        def deleted(self, link):
            raise RuntimeError("no")

    link = linear().add_hook(Refuses())
    with pytest.raises(RuntimeError, match="no"):
        link.delete_hook("LinkHook")
    assert type(link) is L.Linear


def test_a_timer_is_right_after_an_error_within():
    class Fails(Link):
        def forward(self, x):
            raise ValueError("no")

    class Tries(Chain):
        def forward(self, x):
            time.sleep(0.02)
            with pytest.raises(ValueError, match="no"):
                self.inner(x)
            return x

    with TimerHook() as hook:
        Tries(inner=Fails())(X)
    assert hook.summary().keys() == {"Tries"}
    assert hook.total_time() >= 0.02
