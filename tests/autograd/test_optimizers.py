"""Optimizers against the textbook formula in plain NumPy, figures of PyTorch, and each other after a resume."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

from rlcore.autograd import Chain, Parameter, Sequential, Variable, optimizers
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.initializers import LeCunNormal
from rlcore.autograd.optimizer_hooks import GradientClipping
from rlcore.autograd.optimizers import SGD, Adam, Optimizer, RMSprop
from rlcore.rng import generator


def chain(*values, dtype=np.float64) -> Chain:
    model = Chain()
    for name, value in zip("abcd", values):
        setattr(model, name, Parameter(np.array(value, dtype)))
    return model


def sgd(p, g, t, s, lr=0.03):
    return p - lr * g


def rmsprop(p, g, t, s, inside=False, lr=0.03, alpha=0.9, eps=1e-3):
    s["ms"] = alpha * s.get("ms", 0) + (1 - alpha) * g**2
    return p - lr * g / (np.sqrt(s["ms"] + eps) if inside else np.sqrt(s["ms"]) + eps)


def adam(p, g, t, s, corrected=False, lr=0.03, b1=0.8, b2=0.95, eps=1e-3):
    s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    s["v"] = b2 * s.get("v", 0) + (1 - b2) * g**2
    if corrected:  # Kingma and Ba 2015, algorithm 1
        return p - lr * (s["m"] / (1 - b1**t)) / (np.sqrt(s["v"] / (1 - b2**t)) + eps)
    return p - lr * math.sqrt(1 - b2**t) / (1 - b1**t) * s["m"] / (np.sqrt(s["v"]) + eps)  # the line below it


RULES = {
    "SGD": (lambda: SGD(0.03), sgd),
    "RMSprop": (lambda: RMSprop(0.03, 0.9, 1e-3), rmsprop),
    "RMSprop eps inside": (lambda: RMSprop(0.03, 0.9, 1e-3, eps_inside_sqrt=True), lambda *a: rmsprop(*a, inside=True)),
    "Adam": (lambda: Adam(0.03, 0.8, 0.95, 1e-3), adam),
    "Adam corrected eps": (
        lambda: Adam(0.03, 0.8, 0.95, 1e-3, corrected_eps=True),
        lambda *a: adam(*a, corrected=True),
    ),
}
EACH = pytest.mark.parametrize("rule", RULES)


@EACH
def test_a_hundred_steps_of_the_textbook(rule):
    rng = generator(0)
    make, textbook = RULES[rule]
    starts = [rng.standard_normal(5), rng.standard_normal((2, 3))]
    model, expected, states = chain(*starts), list(starts), [{}, {}]
    optimizer = make().setup(model)
    for t in range(1, 101):
        for i, p in enumerate(model.params()):
            g = rng.standard_normal(p.shape)
            p.grad = g
            expected[i] = textbook(expected[i], g, t, states[i])
        optimizer.update()
    assert optimizer.t == 100
    for p, e in zip(model.params(), expected):
        np.testing.assert_allclose(p.array, e, rtol=1e-12, atol=1e-14)


@EACH
def test_an_unused_parameter_keeps_its_own_count(rule):
    rng = generator(1)
    make, textbook = RULES[rule]
    model, expected, states, steps = (
        chain([1.0, 2.0], [3.0], [4.0, 5.0]),
        [np.array([1.0, 2]), np.array([3.0]), np.array([4.0, 5])],
        [{}, {}, {}],
        [0] * 3,
    )
    optimizer = make().setup(model)
    for _ in range(40):
        model.cleargrads()
        for i, p in enumerate(model.params()):
            if rng.random() < 0.5:
                g, steps[i] = rng.standard_normal(p.shape), steps[i] + 1
                p.grad = g
                expected[i] = textbook(expected[i], g, steps[i], states[i])
        optimizer.update()
    assert len(set(steps)) > 1
    assert optimizer.state()["steps"] == steps
    for p, e in zip(model.params(), expected):
        np.testing.assert_allclose(p.array, e, rtol=1e-12)


def test_adam_with_an_unused_parameter_as_pytorch():
    """Figures of torch.optim.Adam 2.13 in float64: lr 0.1, eps 1e-3; b has no gradient in steps 2 and 3."""
    figures = [
        ([0.900990099009901, 2.099502487562189], [2.9003322259136213]),
        ([0.8050784042323595, 2.199004975124377], [2.9003322259136213]),
        ([0.7097195812616671, 2.2985074626865662], [2.9003322259136213]),
        ([0.6140278256414559, 2.398009950248755], [2.81199555200402]),
        ([0.5175946806457448, 2.497512437810944], [2.719302839437821]),
    ]
    model = chain([1.0, 2.0], [3.0])
    optimizer = Adam(0.1, eps=1e-3, corrected_eps=True).setup(model)
    for t, (a, b) in enumerate(figures, 1):
        model.cleargrads()
        model.a.grad = np.array([0.1 * t, -0.2])
        if t not in (2, 3):
            model.b.grad = np.array([0.3 * t])
        optimizer.update()
        np.testing.assert_allclose(model.a.array, a, rtol=1e-13)
        np.testing.assert_allclose(model.b.array, b, rtol=1e-13)


def test_rmsprop_as_pytorch():
    """Figures of torch.optim.RMSprop 2.13 in float64: lr 0.1, alpha 0.9, eps 1e-3, three steps."""
    model = chain([1.0, 2.0])
    optimizer = RMSprop(0.1, 0.9, 1e-3).setup(model)
    for t in (1, 2, 3):
        model.a.grad = np.array([0.1 * t, -0.2])
        optimizer.update()
    np.testing.assert_allclose(model.a.array, [0.1549296619169464, 2.7283868127606996], rtol=1e-13)


def test_first_steps_by_hand():
    for optimizer, expected in ((SGD(0.5), 0.0), (Adam(0.5, eps=0.0), 0.5), (RMSprop(0.5, alpha=0.75, eps=0.0), 0.0)):
        model = chain([1.0])
        model.a.grad = np.array([2.0])
        optimizer.setup(model).update()
        np.testing.assert_allclose(model.a.array, [expected], atol=1e-15)


def test_defaults_are_chainers():
    assert (SGD().learning_rate, RMSprop().learning_rate, Adam().learning_rate) == (0.01, 0.01, 0.001)
    assert (RMSprop().alpha, RMSprop().eps, RMSprop().eps_inside_sqrt) == (0.99, 1e-8, False)
    assert (Adam().beta1, Adam().beta2, Adam().eps, Adam().corrected_eps) == (0.9, 0.999, 1e-8, False)


@EACH
def test_the_learning_rate_may_change(rule):
    make, textbook = RULES[rule]
    model, p, s = chain([1.0, -2.0]), np.array([1.0, -2.0]), {}
    optimizer = make().setup(model)
    for t in range(1, 6):
        optimizer.learning_rate = 0.03 if t < 3 else 0.0
        model.a.grad = np.array([0.5, 0.1 * t])
        if t < 3:
            p = textbook(p, np.array([0.5, 0.1 * t]), t, s)
        optimizer.update()
    np.testing.assert_allclose(model.a.array, p, rtol=1e-12)


@EACH
def test_gradients_are_left_as_they_are(rule):
    model = chain([1.0, 2.0])
    model.a.grad = np.array([0.5, 0.25])
    RULES[rule][0]().setup(model).update()
    assert model.a.grad.tolist() == [0.5, 0.25]


@EACH
def test_zero_gradients(rule):
    model = chain([1.0, 2.0], dtype=np.float32)
    model.a.grad = np.zeros(2)
    RULES[rule][0]().setup(model).update()
    assert model.a.array.tolist() == [1, 2]


def test_update_with_a_loss():
    model = chain([1.0, 2.0])
    model.a.grad = np.array([100.0, 100.0])  # of an earlier loss: cleared
    optimizer = SGD(0.5).setup(model)
    optimizer.update(lambda x, factor: F.sum(model.a * x) * factor, np.array([1.0, 2.0]), factor=2)
    assert model.a.array.tolist() == [0.0, 0.0]


def test_sgd_converges():
    rng = generator(0)
    model = Sequential(L.Linear(3, 1, initialW=LeCunNormal(rng=rng)))
    x = rng.standard_normal((64, 3)).astype(np.float32)
    t = x @ np.float32([[1], [-2], [3]]) + 0.5
    optimizer = SGD(0.2).setup(model)
    for _ in range(200):
        optimizer.update(lambda: F.mean_squared_error(model(x), t))
    np.testing.assert_allclose(model[0].W.array, [[1, -2, 3]], atol=1e-4)
    np.testing.assert_allclose(model[0].b.array, [0.5], atol=1e-4)


def test_an_optimizer_without_a_model_says_so():
    with pytest.raises((ValueError, RuntimeError), match="setup"):
        SGD().update()


def test_a_rule_must_be_given():
    model = chain([1.0])
    model.a.grad = np.ones(1)
    with pytest.raises(NotImplementedError):
        Optimizer(0.1).setup(model).update()


# hooks


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


# resuming

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)


def trainee():
    return Chain(
        a=L.Linear(4, 3, initialW=LeCunNormal(rng=generator(0))),
        b=L.Linear(3, 2, initialW=LeCunNormal(rng=generator(1))),
    )


def train(model, optimizer, steps):
    for t in steps:
        model.cleargrads()
        h = model.a(X)
        F.sum((h if t % 3 == 0 else model.b(F.tanh(h))) ** 2).backward()
        optimizer.update()


@EACH
def test_a_resumed_run_is_the_undisturbed_one(rule):
    make = RULES[rule][0]
    whole, half, resumed = trainee(), trainee(), Chain(a=L.Linear(None, 3), b=L.Linear(None, 2))
    optimizer = make().setup(whole)
    train(whole, optimizer, range(20))
    first = make().setup(half)
    train(half, first, range(10))
    saved = copy.deepcopy((half.state(), first.state()))
    second = make().setup(resumed)
    resumed.load(saved[0])
    second.load(saved[1])
    train(resumed, second, range(10, 20))
    np.testing.assert_array_equal(resumed.flat, whole.flat)
    for key, value in optimizer.state().items():
        np.testing.assert_array_equal(second.state()[key], value)


def test_the_state_before_the_first_step():
    model = trainee()
    state = Adam().setup(model).state()
    assert (state["t"], state["steps"]) == (0, [0] * 4)
    assert state["parameters"] == ["/a/W", "/a/b", "/b/W", "/b/b"]
    assert [state[k].tolist() for k in ("m", "v")] == [[0] * 23] * 2
    Adam().setup(trainee()).load(state)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda s: s.update(parameters=["/a/W"]), "load: the state is of parameters"),
        (lambda s: s.update(parameters=s["parameters"][::-1]), "load: the state is of parameters"),
        (lambda s: s.pop("parameters"), "load: .*parameters"),
        (lambda s: s.pop("m"), "load: .*'m' is missing"),
        (lambda s: s.update(v=s["v"][1:]), r"load: .*'v' is \(22,\)"),
        (lambda s: s.update(v=s["v"].astype(np.float64)), r"load: .*'v' is \(23,\) float64"),
        (lambda s: s.update(v=s["v"].tolist()), "load: .*'v'"),
        (lambda s: s.pop("t"), "load: .*t"),
        (lambda s: s.pop("steps"), "load: .*steps"),
        (lambda s: s.update(steps=[1, 2]), "load: .*steps"),
        (lambda s: s.update(ms=s["v"]), "load: .*'?ms'?"),
    ],
)
def test_a_wrong_state_is_refused_and_changes_nothing(change, match):
    model = trainee()
    optimizer, other = Adam(0.1).setup(model), Adam(0.1).setup(trainee())
    train(model, optimizer, range(4))
    before, state = copy.deepcopy(optimizer.state()), copy.deepcopy(other.state())
    change(state)
    with pytest.raises(ValueError, match=match):
        optimizer.load(state)
    after = optimizer.state()
    assert {k: np.asarray(v).tolist() for k, v in before.items()} == {
        k: np.asarray(v).tolist() for k, v in after.items()
    }


def test_a_state_of_another_rule_is_refused():
    model = trainee()
    with pytest.raises(ValueError, match=r"load: .*'m' is missing"):
        Adam().setup(model).load(RMSprop().setup(model).state())
    with pytest.raises(ValueError, match="load"):
        SGD().setup(model).load(RMSprop().setup(model).state())


def test_a_state_is_live():
    model = trainee()
    optimizer = Adam(0.1).setup(model)
    state = optimizer.state()
    train(model, optimizer, [1])
    assert state["m"] is optimizer.state()["m"]
    assert state["m"].any()


def test_setup_takes_another_model():
    first, second = chain([1.0]), chain([2.0])
    optimizer = Adam(0.1, eps=0.0).setup(first)
    first.a.grad = np.ones(1)
    optimizer.update()
    assert optimizer.setup(second) is optimizer
    second.a.grad = np.ones(1)
    optimizer.update()
    np.testing.assert_allclose([first.a.array[0], second.a.array[0]], [0.9, 1.9])
    assert optimizer.state()["steps"] == [1]
    assert isinstance(Variable(second.flat), Variable)
    assert optimizers.Adam is Adam


def test_chainers_words_for_the_learning_rate():
    adam, sgd = Adam(0.1), SGD(0.1)
    adam.alpha = 0.2
    sgd.lr = 0.3
    assert (adam.learning_rate, adam.lr, sgd.learning_rate) == (0.2, 0.2, 0.3)


@pytest.mark.parametrize("make", [lambda: Adam(-1), lambda: SGD(-0.1), lambda: Adam(beta2=1.0)])
def test_settings_are_checked(make):
    with pytest.raises(ValueError, match=r"must not be negative|within \[0, 1\)"):
        make()


def test_an_update_without_gradients_changes_nothing():
    model = L.Linear(2, 3)
    optimizer = Adam().setup(model)
    optimizer.add_hook(GradientClipping(1.0), "clip")
    before = model.flat.copy()
    optimizer.update()
    np.testing.assert_array_equal(model.flat, before)
