"""Flat storage: one buffer per model, whatever order things happen in; training in a moved model changes no number."""

from __future__ import annotations

import copy
import gc

import numpy as np
import pytest

from rlcore.autograd import Chain, ChainList, Parameter, Sequential, grad, optimizers
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.initializers import LeCunNormal, Zero
from rlcore.autograd.storage import runs
from rlcore.rng import generator

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)


def linear(n_in, n_out, seed=0, **named):
    return L.Linear(n_in, n_out, initialW=LeCunNormal(rng=generator(seed)), **named)


def numbered(*shapes) -> Chain:
    """A chain of parameters a, b ... that hold 0, 1, 2 ... in flat order."""
    model, at = Chain(), 0
    for name, shape in zip("abcdefg", shapes):
        size = int(np.prod(shape))
        setattr(model, name, Parameter(np.arange(at, at + size, dtype=np.float32).reshape(shape)))
        at += size
    return model


class Twin(Chain):
    """An encoder that may belong to somebody else, and a head."""

    def __init__(self, encoder, head):
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, x):
        return self.head(F.tanh(self.encoder(x)))


# one buffer


def test_flat_is_all_parameters_depth_first():
    model = Chain(one=numbered(2, (2, 2)), two=numbered(3))
    model.bias = Parameter(np.float32([7, 8]))
    assert model.flat.tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2, 7, 8]
    assert model.one.flat.tolist() == [0, 1, 2, 3, 4, 5]
    assert model.two.flat.tolist() == [0, 1, 2]
    for part in (model.one, model.two):
        assert np.shares_memory(part.flat, model.flat)


def test_values_and_gradients_are_views_of_two_vectors():
    model = Chain(a=linear(4, 3), b=linear(3, 2))
    flat = model.flat
    flat[...] = np.arange(flat.size)
    assert model.a.W.array.T.ravel().tolist() == list(range(12))  # W lies as (in, out)
    assert model.a.b.array.tolist() == [12, 13, 14]
    F.sum(model.b(model.a(X))).backward()
    for p in list(model.params()):
        assert np.shares_memory(p.array, flat)
        assert np.shares_memory(p.grad, model.flat_grad)
    assert not np.shares_memory(model.flat, model.flat_grad)
    np.testing.assert_array_equal(model.split(model.flat_grad)[1], model.a.b.grad)


@pytest.mark.parametrize("size", [1, 3, 17, 1000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_buffers_are_aligned(size, dtype):
    model = Chain(a=L.Linear(1, 1))
    del model.a
    model.p = Parameter(np.zeros(size, dtype))
    for vector in (model.flat, model.flat_grad, model.flat_state):
        assert vector.ctypes.data % 64 == 0
        assert vector.dtype == dtype


def test_laying_out_twice_moves_nothing():
    model = Chain(a=linear(4, 3), b=linear(3, 2))
    address = model.flat.ctypes.data
    assert model.flatten() is model
    assert (model.flat.ctypes.data, model.a.flat.ctypes.data) == (address, address)


def test_nothing_to_lay_out():
    assert Chain().flat.size == 0
    assert Chain(a=L.Linear(None, 3, nobias=True)).flat_grad.size == 0


def test_flat_grad_is_zero_for_the_unused():
    model = Chain(a=linear(4, 3), b=linear(4, 2))
    model.flatten()
    F.sum(model.a(X)).backward()
    model.b.W.node.slot[...] = np.nan  # rubbish
    model.b.b.node.slot[...] = np.nan
    g = model.flat_grad
    np.testing.assert_array_equal(g[15:], np.zeros(10))
    np.testing.assert_array_equal(g[12:15], [3, 3, 3])
    assert model.b.flat_grad.tolist() == [0] * 10


def test_looking_at_flat_grad_makes_no_parameter_used():
    def train(look):
        model = Chain(a=linear(4, 3), b=linear(4, 2, 1))
        optimizer = optimizers.Adam(0.1).setup(model)
        for t in range(6):
            model.cleargrads()
            y = F.sum(model.a(X) ** 2)
            (y if t % 2 else y + F.sum(model.b(X) ** 2)).backward()
            if look:
                assert np.isfinite(model.flat_grad).all()
            optimizer.update()
        return model.flat.copy()

    np.testing.assert_array_equal(train(look=True), train(look=False))


def test_one_dtype_per_model():
    model = Chain(a=linear(4, 3))
    model.scale = Parameter(np.ones(2))
    with pytest.raises(TypeError, match=r"flatten: .*(/scale.*float64|float64.*/scale)"):
        model.flatten()


def test_split_and_join():
    model = numbered(2, (2, 2), 1)
    model.W = Parameter(np.float32([[1, 2, 3], [4, 5, 6]]), order=(1, 0))
    vector = np.arange(13, dtype=np.float32)
    parts = model.split(vector)
    assert [p.tolist() for p in parts] == [[0, 1], [[2, 3], [4, 5]], [6], [[7, 9, 11], [8, 10, 12]]]
    assert all(np.shares_memory(p, vector) for p in parts)
    np.testing.assert_array_equal(model.join(parts), vector)
    np.testing.assert_array_equal(model.join([p.array for p in model.params()]), model.flat)
    with pytest.raises(ValueError, match=r"split: expected a vector of 13 elements, got shape \(12,\)"):
        model.split(vector[1:])
    with pytest.raises(ValueError, match="join: expected shapes"):
        model.join(parts[::-1])


def test_runs():
    model = numbered(2, 3, 4)
    model.flatten()
    a, b, c = model.params()
    assert [(r.start, r.stop, r.first, r.last) for r in runs([a, b, c])] == [(0, 9, 0, 3)]
    assert [(r.start, r.stop, r.first, r.last) for r in runs([a, c])] == [(0, 2, 0, 1), (5, 9, 1, 2)]
    assert [(r.start, r.stop) for r in runs([b, a])] == [(2, 5), (0, 2)]
    assert [r.data.tolist() for r in runs([b, c])] == [[2, 3, 4, 5, 6, 7, 8]]
    assert runs([]) == []


def test_a_layout_keeps_gradients():
    model = Chain(a=linear(4, 3))
    F.sum(model.a(X)).backward()
    before = [p.grad.copy() for p in model.params()]
    model.flatten()
    F.sum(model.a(X)).backward()
    for p, g in zip(model.params(), before):
        np.testing.assert_array_equal(p.grad, 2 * g)


# sizes that are settled later


def test_sizes_settled_after_setup():
    model = Sequential(L.Linear(None, 3, initialW=LeCunNormal(rng=generator(0))), F.tanh, linear(3, 2, 1))
    optimizer = optimizers.Adam(0.1).setup(model)
    twin = Sequential(linear(4, 3), F.tanh, linear(3, 2, 1))
    other = optimizers.Adam(0.1).setup(twin)
    assert model.flat.size == 11  # what is known so far
    for m, o in ((model, optimizer), (twin, other)):
        for _ in range(3):
            m.cleargrads()
            F.sum(m(X) ** 2).backward()
            o.update()
    np.testing.assert_array_equal(model.flat, twin.flat)
    assert model.flat.size == 23


def test_a_late_parameter_joins_its_state_from_zero():
    model = Chain(a=linear(4, 3), b=L.Linear(None, 2))
    optimizer = optimizers.Adam(0.1).setup(model)
    F.sum(model.a(X)).backward()
    optimizer.update()
    state = {k: v.copy() for k, v in optimizer.state().items() if isinstance(v, np.ndarray)}
    F.sum(model.b(X)).backward()
    after = optimizer.state()
    assert after["steps"] == [1, 1, 0, 0]
    assert after["parameters"] == ["/a/W", "/a/b", "/b/W", "/b/b"]
    for slot in ("m", "v"):
        np.testing.assert_array_equal(after[slot][:15], state[slot][:15])
        assert not after[slot][15:].any()


def test_a_part_first_called_in_mid_training():
    def train(first_call):
        model = Chain(a=linear(4, 3), b=L.Linear(None, 2, initialW=LeCunNormal(rng=generator(1))))
        optimizer = optimizers.Adam(0.1).setup(model)
        for t in range(6):
            if t == first_call:
                model.b(X)
            model.cleargrads()
            y = F.sum(model.a(X) ** 2)
            (y + F.sum(model.b(X) ** 2) if t > 2 else y).backward()
            optimizer.update()
        return [p.array.copy() for p in model.params()]

    for late, early in zip(train(3), train(0)):
        np.testing.assert_array_equal(late, early)


def test_a_wrong_first_call_settles_nothing():
    layer = L.Linear(None, 3)
    with pytest.raises(ValueError, match="linear"):
        layer(X[0])
    with pytest.raises(ValueError, match="linear"):
        layer(X, 2)
    assert not layer.W.is_initialized
    assert layer(X).shape == (3, 3)


@pytest.mark.parametrize("who", ["model", "view"])
def test_a_view_from_before_the_sizes(who):
    """Whichever of the two settles them."""
    model = Sequential(L.Linear(None, 3), F.relu, L.Linear(None, 2))
    view = model.view()
    assert (view if who == "view" else model)(X).requires_grad == (who == "model")
    optimizer = optimizers.SGD(0.1).setup(model)
    np.testing.assert_array_equal(view(X).array, model(X).array)
    F.sum(model(X) ** 2).backward()
    optimizer.update()  # lays out
    np.testing.assert_array_equal(view(X).array, model(X).array)
    assert np.shares_memory(view[0].W.array, model.flat)


def test_a_view_of_nothing_says_so():
    view = L.Linear(None, 3).view()
    gc.collect()
    assert view(X).shape == (3, 3)  # the view keeps its model
    twin = Parameter(Zero()).const
    with pytest.raises(RuntimeError, match="model behind this view is gone"):
        twin.initialize(3)


# shared parameters


def test_a_parameter_shared_inside_a_model_lies_once():
    model = Chain(a=linear(4, 3))
    model.again = model.a
    model.c = Chain(own=linear(4, 2))
    model.c.W = model.a.W
    assert [path for path, _ in model.namedparams()] == ["/a/W", "/a/b", "/c/own/W", "/c/own/b"]
    assert model.flat.size == 15 + 10
    assert np.shares_memory(model.again.flat, model.a.flat)
    with pytest.raises(ValueError, match="flat: /W is shared with another link"):
        _ = model.c.flat
    F.sum(model.a(X) + model.again(X)).backward()
    assert model.a.b.grad.tolist() == [6, 6, 6]


@pytest.mark.parametrize(("encoder", "head"), [(2, 9), (9, 2)])
def test_flat_of_a_second_model_names_what_is_shared(encoder, head):
    """Whether the shared part is the smaller or the larger."""
    shared = linear(4, encoder)
    first, second = Twin(shared, linear(encoder, 3)), Twin(shared, linear(encoder, head))
    assert first.flat.size == first.count_params()
    with pytest.raises(ValueError, match=r"flat: /encoder/W, /encoder/b is shared with another link"):
        _ = second.flat
    assert np.shares_memory(shared.flat, first.flat)
    assert second.head.flat.size == second.head.count_params()


def test_the_layout_of_two_models_with_one_encoder_changes_no_number():
    def train(lay_out):
        shared = linear(4, 3)
        models = [Twin(shared, linear(3, 2, 1)), Twin(shared, linear(3, 1, 2))]
        if lay_out:
            assert models[0].flat.size
            models[1].flatten()
        opts = [optimizers.Adam(0.05).setup(m) for m in models]
        for _ in range(5):
            for m, o in zip(models, opts):
                m.cleargrads()
                F.sum(m(X) ** 2).backward()
                o.update()
        return np.concatenate([p.array.ravel() for m in models for p in m.params()])

    np.testing.assert_array_equal(train(True), train(False))


def test_a_shared_parameter_is_saved_once_under_its_first_path():
    model = Chain(a=linear(4, 3))
    model.again = model.a
    assert list(model.state()) == ["a"]
    other = Chain(a=linear(4, 3, 1))
    other.again = other.a
    other.load(model.state())
    np.testing.assert_array_equal(other.again.W.array, model.a.W.array)
    assert other.again is other.a


def test_a_part_replaced_after_training_is_laid_out_with_the_rest():
    model = Twin(linear(4, 3), linear(3, 2, 1))
    optimizer = optimizers.Adam(0.1).setup(model)
    model.cleargrads()
    F.sum(model(X)).backward()
    optimizer.update()
    model.head = linear(3, 5, 2)
    assert model.flat.size == 15 + 20
    model.cleargrads()
    F.sum(model(X)).backward()
    optimizer.update()
    assert optimizer.state()["steps"] == [2, 2, 1, 1]


# moves in mid-training: bit-equal to an undisturbed run

MOVES = {}


def move(f):
    MOVES[f.__name__] = f
    return f


@move
def parent_laid_out(model, kept):
    kept.append(Chain(model=model, more=linear(3, 3, 9)))
    assert kept[-1].flat.size == model.flat.size + 12


@move
def parent_in_other_order(model, kept):
    kept.append(Chain(more=linear(3, 3, 9), model=model))
    kept[-1].flatten()


@move
def parameter_added(model, kept):
    model.extra = Parameter(np.ones(5, np.float32))


@move
def parameter_added_in_the_middle(model, kept):
    model.encoder.extra = Parameter(np.ones(5, np.float32))


@move
def given_buffer(model, kept):
    kept += [np.empty(model.flat.size, np.float32), np.empty(model.flat.size, np.float32)]
    model.flatten(flat=kept[-2], grad=kept[-1])
    assert np.shares_memory(model.flat, kept[-2])
    assert all(np.shares_memory(p.node.slot, kept[-1]) for p in model.params())


@move
def given_buffer_for_the_values(model, kept):
    kept.append(np.empty(model.flat.size, np.float32))
    model.flatten(flat=kept[-1])


@move
def view_and_copies_made(model, kept):
    kept += [model.view(), model.copy(), copy.deepcopy(model), model.copy(mode="init")]
    for twin in kept[1:]:
        twin.flat[...] = 0


@move
def unrelated_model_built(model, kept):
    kept.append(Chain(a=linear(2, 2)))
    kept[-1].flatten()


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("rule", [optimizers.SGD, optimizers.RMSprop, optimizers.Adam])
@pytest.mark.parametrize("split", ["one optimizer", "one for each part"])
@pytest.mark.parametrize("moment", ["before update", "before forward"])
def test_training_through_a_move(name, rule, split, moment):
    def train(disturb):
        model, kept = Twin(linear(4, 3), linear(3, 2, 1)), []
        targets = [model] if split == "one optimizer" else [model.head, model.encoder]
        opts = [rule(0.05).setup(t) for t in targets]
        for t in range(8):
            if disturb and t == 3 and moment == "before forward":
                MOVES[name](model, kept)
            model.cleargrads()
            y = F.sum(model(X) ** 2)
            if t % 3 == 0:
                y = F.sum(model.head(X[:, :3]) ** 2)  # the encoder is unused
            y.backward()
            if disturb and t == 3 and moment == "before update":
                MOVES[name](model, kept)
            for o in opts:
                o.update()
        return [p.array.copy() for p in [*model.encoder.params(), *model.head.params()] if p.shape != (5,)]

    for moved, undisturbed in zip(train(True), train(False), strict=True):
        np.testing.assert_array_equal(moved, undisturbed)


# a given buffer


@pytest.mark.parametrize(
    ("flat", "grad", "match"),
    [
        (
            np.empty(22, np.float32),
            None,
            r"flatten: flat must have shape \(23,\) and dtype float32, got \(22,\) float32",
        ),
        (np.empty(23), None, r"flatten: flat must have shape \(23,\) and dtype float32, got \(23,\) float64"),
        (np.empty(23, np.float32), np.empty(24, np.float32), r"flatten: grad must have shape \(23,\)"),
        (np.empty((1, 23), np.float32), None, "flatten: flat must have shape"),
    ],
)
def test_a_wrong_buffer_is_refused_before_anything_moves(flat, grad, match):
    model = Twin(linear(4, 3), linear(3, 2))
    before, values = model.flat.ctypes.data, model.flat.copy()
    with pytest.raises(ValueError, match=match):
        model.flatten(flat=flat, grad=grad)
    assert model.flat.ctypes.data == before
    np.testing.assert_array_equal(model.flat, values)


def test_a_gradient_buffer_alone_is_used():
    model = Twin(linear(4, 3), linear(3, 2))
    model.flatten()
    given = np.empty(23, np.float32)
    model.flatten(grad=given)
    assert np.shares_memory(model.flat_grad, given)


def test_what_a_part_left_behind_may_move_too():
    model = Chain(a=linear(4, 3), b=linear(3, 2))
    model.flatten()
    model.a.flatten(flat=np.empty(15, np.float32))
    other = Chain(b=model.b, c=linear(2, 2))
    assert other.flat.size == 8 + 6


def test_values_survive_a_move_to_a_given_buffer():
    model = Twin(linear(4, 3), linear(3, 2))
    values, y = model.flat.copy(), model(X).array.copy()
    view = model.view()
    given = np.empty(23, np.float32)
    model.flatten(flat=given)
    np.testing.assert_array_equal(given, values)
    np.testing.assert_array_equal(model(X).array, y)
    given[...] = 0
    assert not view(X).array.any()


# persistent arrays


def normalised() -> Chain:
    model = Chain(a=linear(4, 3))
    model.a.add_persistent("mean", np.float32([1, 2]))
    model.a.add_persistent("count", 3)
    model.add_persistent("variance", np.float32([[4], [5]]))
    return model


def test_persistents_lie_behind_the_parameters():
    model = normalised()
    assert model.flat.size == 15
    assert model.flat_state[15:].tolist() == [4, 5, 1, 2]
    assert np.shares_memory(model.flat, model.flat_state)
    model.variance = np.float32([[8], [9]])
    assert 8 in model.flat_state[15:]
    model.flat_state[15:] = 0
    assert not model.a.mean.any()
    assert not model.variance.any()
    assert model.a.count == 3


def test_a_late_persistent_joins():
    model = Chain(a=linear(4, 3))
    assert model.flat_state.size == 15
    model.a.add_persistent("mean", np.float32([1, 2]))
    assert model.flat_state[15:].tolist() == [1, 2]


def test_persistents_without_parameters_are_a_state_too():
    model = Chain()
    model.add_persistent("mean", np.float32([1, 2]))
    assert model.flat_state.tolist() == [1, 2]


def test_flat_state_of_a_part_says_where_its_persistents_are():
    model = Chain(a=linear(4, 3), b=linear(4, 3))
    model.a.add_persistent("mean", np.float32([1, 2]))
    assert model.flat_state.size == 32
    with pytest.raises(ValueError, match="flat_state: /mean lies with the outer model"):
        _ = model.a.flat_state


def test_copying_a_state_is_copying_a_model():
    model, other = normalised(), normalised()
    model.flat_state[...] = 7
    other.flat_state[...] = model.flat_state
    np.testing.assert_array_equal(other.a(X).array, model.a(X).array)
    assert other.a.mean.tolist() == [7, 7]


# copies


def test_soft_copies():
    a, b = numbered(2, (2, 2)), numbered(2, (2, 2))
    a.flat[...] = [1, 2, 3, 4, 5, 6]
    b.flat[...] = 0
    b.soft_copyparams(a, 0.25)
    assert b.flat.tolist() == [0.25, 0.5, 0.75, 1, 1.25, 1.5]
    assert a.flat.tolist() == [1, 2, 3, 4, 5, 6]
    b.soft_copyparams(a, 0)
    assert b.flat.tolist() == [0.25, 0.5, 0.75, 1, 1.25, 1.5]


@pytest.mark.parametrize("shapes", [((4, 2), (2, 4)), ((4,), (2,)), ((4,), (4, 1)), ((2, 2), (4,))])
def test_copies_of_other_shapes_are_refused(shapes):
    mine, other = numbered(shapes[0]), numbered(shapes[1])
    for call in (lambda: mine.copyparams(other), lambda: mine.soft_copyparams(other, 0.5)):
        with pytest.raises(ValueError, match=r"copyparams: /a has shape"):
            call()
    assert mine.flat.tolist() == list(range(int(np.prod(shapes[0]))))


def test_copies_of_other_names_are_refused():
    mine, other = numbered(2, 3), Chain()
    other.a, other.other = Parameter(np.zeros(2, np.float32)), Parameter(np.zeros(3, np.float32))
    for call in (lambda: mine.copyparams(other), lambda: mine.soft_copyparams(other, 0.5)):
        with pytest.raises(ValueError, match="copyparams: the two links differ in /b"):
            call()


def test_a_copy_between_layouts():
    """One of the two lies in pieces, or its parameters are ordered otherwise in memory."""
    shared = linear(4, 3)
    outer = Twin(shared, linear(3, 2))
    outer.flatten()
    pieces, whole = Twin(shared, linear(3, 2, 1)), Twin(linear(4, 3, 2), linear(3, 2, 3))
    whole.copyparams(pieces)
    np.testing.assert_array_equal(whole(X).array, pieces(X).array)
    half = [(p.array + q.array) / 2 for p, q in zip(pieces.params(), Twin(linear(4, 3, 5), linear(3, 2, 6)).params())]
    pieces.soft_copyparams(Twin(linear(4, 3, 5), linear(3, 2, 6)), 0.5)
    for p, h in zip(pieces.params(), half):
        np.testing.assert_allclose(p.array, h, rtol=1e-6)
    a, b = Chain(), Chain()
    a.W, b.W = Parameter(np.float32([[1, 2], [3, 4]]), order=(1, 0)), Parameter(np.zeros((2, 2), np.float32))
    b.copyparams(a)
    assert b.W.array.tolist() == [[1, 2], [3, 4]]


def test_copies_settle_sizes():
    model, target = Sequential(L.Linear(None, 3)), Sequential(L.Linear(None, 3))
    target.copyparams(model)
    model(X)
    target.copyparams(model)
    np.testing.assert_array_equal(target(X).array, model(X).array)
    unsettled = Sequential(L.Linear(None, 3))
    for call in (lambda: unsettled.soft_copyparams(model, 0.5), lambda: model.soft_copyparams(unsettled, 0.5)):
        with pytest.raises(ValueError, match="copyparams: /0/W"):
            call()
    with pytest.raises(ValueError, match="copyparams: /0/W"):
        model.copyparams(unsettled)


def test_lists_are_laid_out_in_order():
    model = ChainList(numbered(2), numbered(3))
    model.extra = Parameter(np.float32([9]))
    assert model.flat.tolist() == [0, 1, 0, 1, 2, 9]


def test_the_same_gradient_laid_out_or_not_first_or_added():
    """Bit for bit, whichever way it takes: fresh memory, the waiting slot, grad()."""
    rng = generator(0)
    x, w = rng.standard_normal((128, 4)).astype(np.float32), rng.standard_normal((128, 64)).astype(np.float32)

    def gradients(model, way):
        if way == "laid out":
            model.flatten()
        y = F.sum(model.a(x) * w)
        if way == "grad":
            return [g.array for g in grad(y, list(model.params()))]
        if way == "added":
            for p in model.flatten().params():
                p.grad = np.zeros(p.shape)
        y.backward()
        return [p.grad for p in model.params()]

    first = gradients(Chain(a=linear(4, 64)), "laid out")
    for way in ("apart", "grad", "added"):
        for g, h in zip(gradients(Chain(a=linear(4, 64)), way), first):
            np.testing.assert_array_equal(g, h, way)
