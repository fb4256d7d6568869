"""Links: what they hold, copies and views, saving and loading."""

from __future__ import annotations

import copy
import gc
import weakref

import numpy as np
import pytest

import rlcore.rng
from rlcore.autograd import Chain, ChainList, Link, Parameter, Sequential, Variable, optimizers
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.initializers import LeCunNormal, Normal, Zero
from rlcore.rng import generator

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)


def linear(n_in, n_out, seed=0):
    return L.Linear(n_in, n_out, initialW=LeCunNormal(rng=generator(seed)))


class Net(Chain):
    def __init__(self, seed=0, n_in=4):
        super().__init__()
        with self.init_scope():
            self.l1 = linear(n_in, 3, seed)
            self.scale = Parameter(np.float32([1, 2, 3]))
        self.l2 = linear(3, 2, seed + 1)
        self.name = "net"

    def forward(self, x):
        return self.l2(F.tanh(self.l1(x)) * self.scale)


def values(model):
    return {path: p.array.copy() for path, p in model.namedparams()}


def same(a, b):
    return list(a) == list(b) and all((a[k] == b[k]).all() for k in a)


# what a link holds


def test_names_in_order_of_assignment():
    model = Net()
    assert [path for path, _ in model.namedparams()] == ["/l1/W", "/l1/b", "/scale", "/l2/W", "/l2/b"]
    assert [path for path, _ in model.namedlinks()] == ["/", "/l1", "/l2"]
    assert [path for path, _ in model.namedlinks(skipself=True)] == ["/l1", "/l2"]
    assert list(model.children()) == [model.l1, model.l2]
    assert list(model.links()) == [model, model.l1, model.l2]
    assert model.count_params() == 15 + 3 + 8
    assert model.xp is np


def test_forward_is_call_also_when_overridden():
    class Twice(Net):
        def forward(self, x):
            return super().forward(x) * 2

    model = Net()
    twice = Twice()
    np.testing.assert_allclose(twice(X).array, 2 * model(X).array)


def test_cleargrads_after_a_change_of_structure():
    model = Net()
    F.sum(model(X)).backward()
    model.cleargrads()
    assert all(p.grad is None for p in model.params())
    model.l2 = linear(3, 2, 5)
    F.sum(model(X)).backward()
    model.cleargrads()
    assert all(p.grad is None for p in model.params())
    del model.scale
    assert len(list(model.params())) == 4
    model.l2.b = None
    assert len(list(model.params())) == 3


def test_a_link_that_is_taken_out_is_no_longer_there():
    model = Net()
    optimizer = optimizers.SGD().setup(model)
    F.sum(model(X)).backward()
    optimizer.update()
    model.l2, l2 = F.relu, model.l2
    F.sum(l2(np.ones((1, 3), np.float32))).backward()
    before = l2.W.array.copy()
    optimizer.update()
    np.testing.assert_array_equal(l2.W.array, before)


def test_a_parameter_has_the_name_of_its_attribute():
    model = Net()
    assert [p.name for p in model.params()] == [path.rsplit("/", 1)[1] for path, _ in model.namedparams()]
    assert model.copy().l1.W.name == "W"
    assert Parameter(0, 1).name is None


def test_a_missing_attribute_is_named():
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'l3'"):
        _ = Net().l3


def test_an_attribute_missing_inside_a_property_is_named():
    class Sized(Link):
        @property
        def size(self):
            return self.width

    with pytest.raises(AttributeError, match="'Sized' object has no attribute 'width'"):
        _ = Sized().size


def test_linear():
    layer = L.Linear(2, 3, initialW=np.arange(6, dtype=np.float32).reshape(3, 2), initial_bias=np.float32([1, 2, 3]))
    assert layer(np.float32([[1, 1]])).array.tolist() == [[2, 7, 12]]
    assert L.Linear(2, 3, nobias=True).b is None
    assert L.Linear(2, 3).b.array.tolist() == [0, 0, 0]
    lazy = L.Linear(3)
    assert not lazy.W.is_initialized
    assert lazy(np.ones((2, 2, 5), np.float32)).shape == (2, 3)
    assert lazy.W.shape == (3, 10)
    assert L.Linear(None, 3)(np.ones((2, 2, 5), np.float32), n_batch_axes=2).shape == (2, 2, 3)
    for sizes in ((2, 0), (0, 2), (-1, 2), (0,)):
        with pytest.raises(ValueError, match="Linear: sizes must be positive integers"):
            L.Linear(*sizes)
    with pytest.raises(TypeError, match="linear: x is float64 and W is float32; cast x"):
        layer(np.ones((1, 2)))


def test_persistents_are_attributes():
    link = Link()
    link.add_persistent("mean", np.zeros(2))
    link.add_persistent("count", 0)
    array = link.mean
    link.mean = np.ones(2)
    link.count += 1
    assert link.mean is array
    assert array.tolist() == [1, 1]
    assert link.count == 1
    with pytest.raises(ValueError, match="shape"):
        link.mean = np.ones(3)


def test_a_persistent_array_keeps_its_shape():
    link = L.BatchNormalization(3)
    with pytest.raises(ValueError, match=r"avg_mean: expected shape \(3,\), got \(1,\)"):
        link.avg_mean = np.float32([5])
    assert link.avg_mean.tolist() == [0, 0, 0]


def test_gradients_may_be_cleared_while_parameters_are_listed():
    model = Net()
    for p in model.params():
        model.cleargrads()
        assert p.grad is None


def test_parameters_and_persistents_by_name():
    link = Link(W=(2, 3))
    link.add_param("b", 3, initializer=0)
    link.add_param("half", (2, 2), dtype=np.float16)
    link.add_param("double", initializer=Zero(dtype=np.float64))
    assert [(path, p.dtype) for path, p in link.namedparams(include_uninit=False)] == [
        ("/W", np.float32), ("/b", np.float32), ("/half", np.float16)
    ]  # fmt: skip
    assert not link.double.is_initialized
    link.double.initialize(2)
    assert link.double.dtype == np.float64
    with pytest.raises(AttributeError, match="Link: there is an attribute 'b' already"):
        link.add_param("b", 3)
    link.count = 3
    link.register_persistent("count")
    assert [path for path, *_ in link.namedpersistents()] == ["/count"]
    assert link.count == 3
    with pytest.raises(AttributeError, match="register_persistent: Link has no attribute 'other'"):
        link.register_persistent("other")


def test_a_persistent_of_none_takes_a_copy_of_an_array():
    link = Link()
    link.add_persistent("u", None)
    array = np.ones(2, np.float32)
    link.u = array
    array[0] = 5
    assert link.u.tolist() == [1, 1]
    assert np.shares_memory(link.flat_state, link.u) or link.flat_state.tolist() == [1, 1]


def test_addgrads():
    one, two = Net(), Net(1)
    F.sum(one.l1(X)).backward()
    F.sum(two(X)).backward()
    first = {path: p.grad.copy() for path, p in one.namedparams() if p.grad is not None}
    one.addgrads(two)
    for (path, p), q in zip(one.namedparams(), two.params(), strict=True):
        np.testing.assert_allclose(p.grad, first[path] + q.grad if path in first else q.grad, rtol=1e-6)
        assert not np.shares_memory(p.grad, q.grad)
    two.cleargrads()
    kept = one.l1.W.grad.copy()
    one.addgrads(two)
    np.testing.assert_array_equal(one.l1.W.grad, kept)
    with pytest.raises(ValueError, match="the two links differ"):
        one.addgrads(one.l1)


def test_updates_may_be_disabled():
    model = Net()
    optimizer = optimizers.SGD(1.0).setup(model)
    model.l1.disable_update()
    assert not model.l1.update_enabled
    assert model.update_enabled
    for frozen in (True, False):
        before = values(model)
        model.cleargrads()
        F.sum(model(X)).backward()
        assert model.l1.W.grad is not None
        optimizer.update()
        after = values(model)
        assert (before["/l1/W"] == after["/l1/W"]).all() == frozen
        assert (before["/l2/W"] != after["/l2/W"]).any()
        model.l1.enable_update()


def test_copyparams_without_persistents():
    one, two = Net(), Net(1)
    for model, value in ((one, 1), (two, 2)):
        model.add_persistent("mean", np.full(2, value, np.float32))
    one.copyparams(two, copy_persistent=False)
    assert same(values(one), values(two))
    assert one.mean.tolist() == [1, 1]
    one.copyparams(two)
    assert one.mean.tolist() == [2, 2]


# copies


def test_a_copy_is_independent():
    model = Net()
    model.add_persistent("mean", np.zeros(2, np.float32))
    F.sum(model(X)).backward()
    for twin in (model.copy(), copy.deepcopy(model)):
        assert isinstance(twin, Net)
        assert same(values(twin), values(model))
        assert all(p.grad is None for p in twin.params())
        before = values(model)
        twin.flat[...] = 5
        twin.mean = np.ones(2)
        assert same(values(model), before)
        assert model.mean.tolist() == [0, 0]
        np.testing.assert_array_equal(twin.l1.b.array, [5, 5, 5])


def test_a_copys_gradients_are_cleared_on_their_own():
    model = Net()
    model.cleargrads()
    twin = model.copy()
    for m in (model, twin):
        F.sum(m(X)).backward()
    twin.cleargrads()
    assert all(p.grad is None for p in twin.params())
    assert all(p.grad is not None for p in model.params())


def test_a_copy_of_a_laid_out_model_has_a_buffer_of_its_own():
    model = Net()
    flat = model.flat
    twin = model.copy()
    assert not np.shares_memory(twin.flat, flat)
    np.testing.assert_array_equal(twin.flat, flat)
    assert np.shares_memory(model.flat, flat)
    part = copy.deepcopy(model.l1)
    assert part.flat.size == 15


def test_sharing_survives_a_copy():
    model = Chain(a=linear(4, 3))
    model.again, model.W = model.a, model.a.W
    twin = model.copy()
    assert twin.again is twin.a
    assert twin.W is twin.a.W
    assert twin.flat.size == 15


def test_a_fresh_copy_draws_anew_and_once():
    rlcore.rng.seed(3)
    model = Chain(a=L.Linear(4, 3))
    rlcore.rng.seed(3)
    first = L.Linear(4, 3).W.array.copy()
    state = rlcore.rng.state_of(rlcore.rng.default())
    np.testing.assert_array_equal(model.a.W.array, first)
    assert same(values(model.copy()), values(model))
    assert rlcore.rng.state_of(rlcore.rng.default()) == state  # a plain copy draws nothing
    fresh = model.copy(mode="init")
    assert rlcore.rng.state_of(rlcore.rng.default()) != state
    assert (fresh.a.W.array != model.a.W.array).all()
    np.testing.assert_array_equal(fresh.a.b.array, [0, 0, 0])
    with pytest.raises(ValueError, match="copy: mode must be 'copy' or 'init', got 'share'"):
        model.copy("share")


def test_copies_of_an_unsettled_model_draw_different_numbers():
    model = Chain(a=L.Linear(None, 3, initialW=Normal(rng=generator(0))))
    twins = [model.copy(), copy.deepcopy(model), model]
    drawn = [t.a(X) is not None and t.a.W.array for t in twins]
    assert len({d.tobytes() for d in drawn}) == 3


def test_no_optimizer_state_is_copied():
    model = Net()
    optimizer = optimizers.Adam(0.1).setup(model)
    for _ in range(3):
        model.cleargrads()
        F.sum(model(X) ** 2).backward()
        optimizer.update()
    twin = model.copy()
    fresh = optimizers.Adam(0.1).setup(twin)
    assert fresh.state()["steps"] == [0] * 5
    assert not fresh.state()["m"].any()
    reachable, stack = set(), [twin]
    while stack:
        o = stack.pop()
        if id(o) not in reachable:
            reachable.add(id(o))
            stack += (
                o.values()
                if isinstance(o, dict)
                else list(o)
                if isinstance(o, list | tuple)
                else list(getattr(o, "__dict__", {}).values())
            )
    assert id(optimizer) not in reachable


def test_a_copied_agent_trains_on_its_own():
    """Model, view and optimizer copied together belong together."""
    agent = {"model": Net(), "optimizer": None, "view": None}
    agent["optimizer"], agent["view"] = optimizers.Adam(0.1).setup(agent["model"]), agent["model"].view()

    def train(agent, n):
        for _ in range(n):
            agent["model"].cleargrads()
            F.sum(agent["model"](X) ** 2).backward()
            agent["optimizer"].update()

    train(agent, 3)
    twin = copy.deepcopy(agent)
    before = values(agent["model"])
    train(twin, 3)
    assert same(values(agent["model"]), before)
    np.testing.assert_array_equal(agent["view"](X).array, agent["model"](X).array)
    np.testing.assert_array_equal(twin["view"](X).array, twin["model"](X).array)
    train(agent, 3)
    assert same(values(agent["model"]), values(twin["model"]))


def test_copyparams_takes_persistents_too():
    a, b = Net(0), Net(5)
    for m, fill in ((a, 1), (b, 2)):
        m.add_persistent("mean", np.full(2, fill, np.float32))
        m.add_persistent("count", fill)
    mean = a.flatten().mean
    a.copyparams(b)
    assert same(values(a), values(b))
    assert a.mean is mean
    assert (mean.tolist(), a.count) == ([2, 2], 2)
    assert not np.shares_memory(a.flat, b.flat)


# views


def test_a_view_is_the_same_arrays_as_constants():
    model = Net()
    view = model.view()
    assert isinstance(view, Net)
    assert not view(X).requires_grad
    np.testing.assert_array_equal(view(X).array, model(X).array)
    assert view.l1.W.array is model.l1.W.array
    assert list(view.params()) == []


def test_a_view_follows_training_layout_and_loading():
    model = Net()
    view = model.view()
    optimizer = optimizers.Adam(0.1).setup(model)
    for change in (
        lambda: optimizer.update(lambda: F.sum(model(X) ** 2)),
        model.flatten,
        lambda: model.load(Net(7).state()),
        lambda: model.copyparams(Net(8)),
        lambda: Chain(more=linear(2, 2), model=model).flatten(),
    ):
        change()
        np.testing.assert_array_equal(view(X).array, model(X).array)
        assert view.l1.W.array is model.l1.W.array


def test_a_loss_through_a_view_reaches_only_the_input():
    model, x = Net(), Variable(X)
    F.sum(model.view()(x)).backward()
    through = x.grad.copy()
    assert all(p.grad is None for p in model.params())
    x.cleargrad()
    F.sum(model(x)).backward()
    np.testing.assert_array_equal(x.grad, through)


def test_a_view_keeps_its_model_and_shares_its_structure():
    view = Sequential(L.Linear(None, 3), F.relu).view()
    assert view(X).shape == (3, 3)
    model = Chain(a=linear(4, 3))
    model.again = model.a
    twin = model.view()
    assert twin.again is twin.a
    np.testing.assert_array_equal(twin.view().a(X).array, model.a(X).array)


def test_a_view_of_a_copy_is_of_the_copy():
    model = Net()
    model.flatten()
    twin = copy.deepcopy(model)
    view = twin.view()
    model.flat[...] = 0
    np.testing.assert_array_equal(view(X).array, twin(X).array)
    assert view(X).array.any()


def test_a_model_that_holds_a_view_does_not_own_it():
    critic = Net()
    actor = Chain(own=linear(4, 3), critic=critic.view())
    assert [path for path, _ in actor.namedparams()] == ["/own/W", "/own/b"]
    assert actor.flat.size == 15


# saving and loading


def test_state_is_nested_and_live():
    model = Chain(a=linear(4, 3), many=ChainList(linear(3, 2)))
    model.add_persistent("count", 4)
    model.a.add_persistent("mean", np.zeros(2, np.float32))
    state = model.state()
    assert {k: sorted(v) if isinstance(v, dict) else v for k, v in state.items()} == {
        "a": ["W", "b", "mean"],
        "many": ["0"],
        "count": 4,
    }
    assert state["a"]["W"] is model.a.W.array
    assert state["many"]["0"]["b"] is model.many[0].b.array


def test_load_writes_in_place():
    model, other = Net(0), Net(5)
    for m, fill in ((model, 1), (other, 2)):
        m.add_persistent("mean", np.full(2, fill, np.float32))
        m.add_persistent("count", fill)
    flat, mean = model.flat, model.mean
    model.load(other.state())
    assert same(values(model), values(other))
    np.testing.assert_array_equal(flat, other.flat)
    assert (mean.tolist(), model.count) == ([2, 2], 2)
    other.mean = np.zeros(2)
    assert mean.tolist() == [2, 2]


def test_load_settles_sizes():
    model = Chain(a=L.Linear(None, 3), b=L.Linear(None, 2))
    view = model.view()
    source = Chain(a=linear(4, 3), b=L.Linear(None, 2))
    model.load(source.state())
    assert not model.b.W.is_initialized
    np.testing.assert_array_equal(view.a(X).array, source.a(X).array)
    assert model.state()["b"]["W"] is None


def test_loading_draws_no_random_numbers():
    model, source = Chain(a=L.Linear(None, 3)), Chain(a=linear(4, 3))
    before = rlcore.rng.state_of(rlcore.rng.default())
    model.load(source.state())
    assert rlcore.rng.state_of(rlcore.rng.default()) == before


def spoiled(change):
    state = copy.deepcopy(Net(5).state())
    state["mean"], state["count"] = np.full(2, 9, np.float32), 9
    change(state)
    return state


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda s: s["l2"].pop("b"), "load: /l2/b is missing from the state"),
        (lambda s: s.pop("scale"), "load: /scale is missing"),
        (lambda s: s.pop("mean"), "load: /mean is missing"),
        (lambda s: s.update(l3=1), "load: the state has /l3, which this model has not"),
        (
            lambda s: s["l2"].update(W=s["l2"]["W"].T.copy()),
            r"load: /l2/W is \(3, 2\) float32 in the state and \(2, 3\) float32 here",
        ),
        (
            lambda s: s["l2"].update(b=s["l2"]["b"].astype(np.float64)),
            r"load: /l2/b is \(2,\) float64 in the state and \(2,\) float32",
        ),
        (lambda s: s["l2"].update(b=None), "load: /l2/b is "),
        (lambda s: s["l2"].update(b=[1.0, 2.0]), "load: /l2/b"),
        (lambda s: s["l2"].update(b=1.0), "load: /l2/b"),
        (lambda s: s.update(l2=s["l2"]["W"]), "load: /l2/W is missing"),
        (lambda s: s.update(mean=np.zeros(3, np.float32)), r"load: /mean is \(3,\)"),
        (lambda s: s.update(mean=np.zeros(2)), r"load: /mean is \(2,\) float64"),
        (lambda s: s.update(mean=0.5), "load: /mean"),
        (lambda s: s.update(count=np.zeros(2)), "load: /count"),
        (lambda s: s.update(count=None), "load: /count"),
        (lambda s: s.update(count="many"), "load: /count"),
    ],
)
def test_a_wrong_state_is_refused_and_changes_nothing(change, match):
    model = Net()
    model.add_persistent("mean", np.zeros(2, np.float32))
    model.add_persistent("count", 1)
    before = values(model)
    with pytest.raises((ValueError, TypeError), match=match):
        model.load(spoiled(change))
    assert same(values(model), before)
    assert (model.mean.tolist(), model.count) == ([0, 0], 1)


def test_a_wrong_state_settles_no_size():
    model = Chain(a=L.Linear(None, 3), b=linear(3, 2))
    state = copy.deepcopy(Chain(a=linear(4, 3), b=linear(3, 1)).state())
    with pytest.raises(ValueError, match="load: /b/W"):
        model.load(state)
    assert not model.a.W.is_initialized
    with pytest.raises(ValueError, match="load: /a/W is float64 in the state and float32 here"):
        Chain(a=L.Linear(None, 3, nobias=True)).load({"a": {"W": np.ones((3, 4))}})


def test_a_soft_copy_moves_persistent_arrays_too():
    one, two = Net(), Net()
    for net, value in ((one, 1.0), (two, 3.0)):
        net.add_persistent("mean", np.full(2, value, np.float32))
        net.add_persistent("count", int(value))
    one.soft_copyparams(two, 0.25)
    assert one.mean.tolist() == [1.5, 1.5]
    assert one.count == 3
    one.copyparams(two)
    assert one.mean.tolist() == [3, 3]


@pytest.mark.parametrize("ask", [lambda v: v.flat, lambda v: v.state(), lambda v: Net().copyparams(v)])
def test_a_view_has_no_parameters(ask):
    with pytest.raises(TypeError, match="Net: a view has no parameters of its own"):
        ask(Net().view())


@pytest.mark.parametrize("shape", [(5, 4), (5, 2, 2)])
def test_a_linear_link_with_relu(shape):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    layer = L.Linear(None, 3, relu=True)
    for _ in range(2):  # sizes unknown, then known
        y = layer(x).array
    np.testing.assert_array_equal(y, np.maximum(F.linear(x, layer.W, layer.b).array, 0))


def test_soft_copies_keep_no_link_alive():
    model = L.BatchNormalization(3)
    target = model.copy()
    target.soft_copyparams(model, 0.5)
    gc.disable()
    try:
        links = weakref.ref(model), weakref.ref(target)
        del model, target
        assert [link() for link in links] == [None, None]
    finally:
        gc.enable()
