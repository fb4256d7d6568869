"""Optimizers against the textbook formula in plain NumPy, figures of PyTorch, and each other after a resume."""

from __future__ import annotations

import copy
import inspect
import math

import numpy as np
import pytest

from rlcore.autograd import Chain, Parameter, Sequential, Variable, optimizers
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.functions import parts
from rlcore.autograd.initializers import LeCunNormal
from rlcore.autograd.optimizer_hooks import GradientClipping, GradientLARS
from rlcore.autograd.optimizers import SGD, Adam, Optimizer, RMSprop, base
from rlcore.autograd.optimizers.part import BLOCK, THREADED
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


def momentum(p, g, t, s, nesterov=False, corrected=False, lr=0.03, mu=0.8):
    if corrected:
        s["v"] = mu * s.get("v", 0) - g
        return p + lr * s["v"]
    s["v"] = mu * s.get("v", 0) - lr * g
    return p + mu**2 * s["v"] - (1 + mu) * lr * g if nesterov else p + s["v"]


def graves(p, g, t, s, lr=0.03, alpha=0.9, mu=0.8, eps=1e-3):
    """Graves 2013, equations 38 to 41, eps inside the root."""
    s["n"] = alpha * s.get("n", 0) + (1 - alpha) * g**2
    s["g"] = alpha * s.get("g", 0) + (1 - alpha) * g
    s["d"] = mu * s.get("d", 0) - lr * g / np.sqrt(s["n"] - s["g"] ** 2 + eps)
    return p + s["d"]


def warmup(p, g, t, s, lr=0.03, center=40, period=50, rms_lr=0.01, mu=0.8, alpha=0.9, eps=1e-3):
    """Akiba et al. 2017, section 3.1: ELU(x) is exp(x) - 1 below 0, x above."""
    x = 2 * (t - center) / period
    share = min(1, (1 + (np.expm1(x) if x < 0 else x)) / 2)
    s["m"] = alpha * s.get("m", 0) + (1 - alpha) * g**2
    s["d"] = mu * s.get("d", 0) - (share + (1 - share) * rms_lr / lr / (np.sqrt(s["m"]) + eps)) * g
    return p + lr * s["d"]


def adagrad(p, g, t, s, lr=0.03, eps=1e-3):
    s["h"] = s.get("h", 0) + g**2
    return p - lr * g / (np.sqrt(s["h"]) + eps)


def adadelta(p, g, t, s, rho=0.9, eps=1e-3):
    """Zeiler 2012, algorithm 1."""
    s["g"] = rho * s.get("g", 0) + (1 - rho) * g**2
    dx = -np.sqrt(s.get("x", 0) + eps) / np.sqrt(s["g"] + eps) * g
    s["x"] = rho * s.get("x", 0) + (1 - rho) * dx**2
    return p + dx


def smorms3(p, g, t, s, lr=0.03, eps=1e-6):
    mem = s.get("mem", 1.0)
    r = 1 / (mem + 1)
    s["g"] = (1 - r) * s.get("g", 0) + r * g
    s["g2"] = (1 - r) * s.get("g2", 0) + r * g**2
    x = s["g"] ** 2 / (s["g2"] + eps)
    s["mem"] = 1 + mem * (1 - x)
    return p - g * np.minimum(lr, x) / (np.sqrt(s["g2"]) + eps)


def msvag(p, g, t, s, lr=0.03, beta=0.8, eta=0.5, decay=0.02):
    """Balles and Hennig 2018, algorithm 2; at t = 1 rho is 1 and stays below."""
    s["m"] = beta * s.get("m", 0) + (1 - beta) * g
    s["v"] = beta * s.get("v", 0) + (1 - beta) * g**2
    m, v = s["m"] / (1 - beta**t), s["v"] / (1 - beta**t)
    rho = min((1 - beta) * (1 + beta**t) / ((1 + beta) * (1 - beta**t)), 0.9999)
    variance = (v - m**2) / (1 - rho)
    return p - eta * (lr * m * np.clip(m**2 / (m**2 + rho * variance), 0, 1) + decay * p)


def adam_kin(p, g, t, s, lr=0.03, b1=0.8, b2=0.95, eps=1e-3, eta=1.0, decay=0.0, largest=False, bounds=None):
    """The flags of Chainer's Adam; bounds: Luo et al. 2019, section 4, (final_lr, gamma)."""
    s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    s["v"] = b2 * s.get("v", 0) + (1 - b2) * g**2
    s["top"] = np.maximum(s.get("top", 0), s["v"])
    rate = lr * math.sqrt(1 - b2**t) / (1 - b1**t) / (np.sqrt(s["top"] if largest else s["v"]) + eps)
    if bounds:
        final, gamma = bounds
        rate = np.clip(rate, final * (1 - 1 / (gamma * t + 1)), final * (1 + 1 / (gamma * t)))
    return p - eta * (rate * s["m"] + decay * p)


HALF = {"eta": 0.5, "decay": 0.02}
RULES = {
    "SGD": (lambda: SGD(0.03), sgd),
    "MomentumSGD": (lambda: optimizers.MomentumSGD(0.03, 0.8), momentum),
    "CorrectedMomentumSGD": (
        lambda: optimizers.CorrectedMomentumSGD(0.03, 0.8),
        lambda *a, **k: momentum(*a, **k, corrected=True),
    ),
    "NesterovAG": (lambda: optimizers.NesterovAG(0.03, 0.8), lambda *a, **k: momentum(*a, **k, nesterov=True)),
    "RMSprop": (lambda: RMSprop(0.03, 0.9, 1e-3), rmsprop),
    "RMSprop eps inside": (
        lambda: RMSprop(0.03, 0.9, 1e-3, eps_inside_sqrt=True),
        lambda *a, **k: rmsprop(*a, **k, inside=True),
    ),
    "RMSpropGraves": (lambda: optimizers.RMSpropGraves(0.03, 0.9, 0.8, 1e-3), graves),
    "RMSpropWarmup": (lambda: optimizers.RMSpropWarmup(0.03, 40, 50, 0.01, 0.8, 0.9, 1e-3), warmup),
    "AdaGrad": (lambda: optimizers.AdaGrad(0.03, 1e-3), adagrad),
    "AdaDelta": (lambda: optimizers.AdaDelta(0.9, 1e-3), adadelta),
    "SMORMS3": (lambda: optimizers.SMORMS3(0.03, 1e-6), smorms3),
    "MSVAG": (lambda: optimizers.MSVAG(0.03, 0.8, 0.5, 0.02), msvag),
    "Adam": (lambda: Adam(0.03, 0.8, 0.95, 1e-3), adam),
    "Adam corrected eps": (
        lambda: Adam(0.03, 0.8, 0.95, 1e-3, corrected_eps=True),
        lambda *a, **k: adam(*a, **k, corrected=True),
    ),
    "AdamW": (lambda: optimizers.AdamW(0.03, 0.8, 0.95, 1e-3, 0.5, 0.02), lambda *a, **k: adam_kin(*a, **k, **HALF)),
    "AMSGrad": (
        lambda: optimizers.AMSGrad(0.03, 0.8, 0.95, 1e-3, 0.5),
        lambda *a, **k: adam_kin(*a, **k, eta=0.5, largest=True),
    ),
    "AdaBound": (
        lambda: optimizers.AdaBound(0.03, 0.8, 0.95, 0.05, 0.02, 1e-3, 0.5),
        lambda *a, **k: adam_kin(*a, **k, eta=0.5, bounds=(0.05, 0.02)),
    ),
    "AMSBound": (
        lambda: optimizers.AMSBound(0.03, 0.8, 0.95, 0.05, 0.02, 1e-3, 0.5),
        lambda *a, **k: adam_kin(*a, **k, eta=0.5, largest=True, bounds=(0.05, 0.02)),
    ),
    "Adam, all flags": (
        lambda: Adam(0.03, 0.8, 0.95, 1e-3, 0.5, 0.02, True, True, 0.05, 0.02),
        lambda *a, **k: adam_kin(*a, **k, **HALF, largest=True, bounds=(0.05, 0.02)),
    ),
}
BOUND = ("AdaBound", "AMSBound", "Adam, all flags")  # their bounds follow the learning rate
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


def test_signatures_are_chainers():
    """Names, order and defaults as `inspect.signature` gave them for Chainer 7.8.1."""
    adam = "alpha=0.001, beta1=0.9, beta2=0.999, "
    expected = {
        "SGD": "lr=0.01",
        "MomentumSGD": "lr=0.01, momentum=0.9",
        "CorrectedMomentumSGD": "lr=0.01, momentum=0.9",
        "NesterovAG": "lr=0.01, momentum=0.9",
        "RMSprop": "lr=0.01, alpha=0.99, eps=1e-08, eps_inside_sqrt=False",
        "RMSpropGraves": "lr=0.0001, alpha=0.95, momentum=0.9, eps=0.0001",
        "AdaGrad": "lr=0.001, eps=1e-08",
        "AdaDelta": "rho=0.95, eps=1e-06",
        "SMORMS3": "lr=0.001, eps=1e-16",
        "MSVAG": "lr=0.1, beta=0.9, eta=1.0, weight_decay_rate=0",
        "Adam": adam + "eps=1e-08, eta=1.0, weight_decay_rate=0, amsgrad=False, adabound=False, final_lr=0.1, "
        "gamma=0.001",
        "AdamW": adam + "eps=1e-08, eta=1.0, weight_decay_rate=0",
        "AMSGrad": adam + "eps=1e-08, eta=1.0",
        "AdaBound": adam + "final_lr=0.1, gamma=0.001, eps=1e-08, eta=1.0",
        "AMSBound": adam + "final_lr=0.1, gamma=0.001, eps=1e-08, eta=1.0",
    }
    for name, arguments in expected.items():
        found = inspect.signature(getattr(optimizers, name)).parameters.values()
        here = ", ".join(f"{p.name}={p.default}" for p in found if p.kind is p.POSITIONAL_OR_KEYWORD)
        assert here.replace("weight_decay_rate=0.0", "weight_decay_rate=0") == arguments, name
    assert {*expected, "LARS", "RMSpropWarmup", "Optimizer", "schedules"} == set(optimizers.__all__)


def test_defaults_are_chainers():
    assert (SGD().learning_rate, RMSprop().learning_rate, Adam().learning_rate) == (0.01, 0.01, 0.001)
    assert (RMSprop().alpha, RMSprop().eps, RMSprop().eps_inside_sqrt) == (0.99, 1e-8, False)
    assert (Adam().beta1, Adam().beta2, Adam().eps, Adam().corrected_eps) == (0.9, 0.999, 1e-8, False)


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule not in ("AdaDelta", *BOUND)])
def test_the_learning_rate_may_change(rule):
    make, textbook = RULES[rule]
    model, p, s = chain([1.0, -2.0]), np.array([1.0, -2.0]), {}
    optimizer = make().setup(model)
    for t in range(1, 6):
        optimizer.learning_rate = lr = 0.03 if t < 3 else 0.01
        g = np.array([0.5, 0.1 * t])
        model.a.grad, p = g, textbook(p, g, t, s, lr=lr)
        optimizer.update()
    np.testing.assert_allclose(model.a.array, p, rtol=1e-12)


@EACH
def test_gradients_are_left_as_they_are(rule):
    model = chain([1.0, 2.0])
    model.a.grad = np.array([0.5, 0.25])
    RULES[rule][0]().setup(model).update()
    assert model.a.grad.tolist() == [0.5, 0.25]


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule not in ("AdamW", "MSVAG", "Adam, all flags")])
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
    with pytest.raises(RuntimeError, match=r"update: .* call setup\(link\)"):
        SGD().update()
    with pytest.raises(RuntimeError, match=r"state: .* call setup\(link\)"):
        SGD().state()


def test_a_rule_must_be_given():
    model = chain([1.0])
    model.a.grad = np.ones(1)
    with pytest.raises(NotImplementedError):
        Optimizer(0.1).setup(model).update()


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
        (lambda s: s.update(steps=[1, 2, None, 3]), "load: 'steps' must hold numbers"),
        (lambda s: s.update(t="4"), "load: 't' must hold numbers, got '4'"),
        (lambda s: s.update(loss_scale=None), "load: 'loss_scale' must hold numbers, got None"),
        (lambda s: s.update(ms=s["v"]), "load: .*'?ms'?"),
    ],
)
def test_a_wrong_state_is_refused_and_changes_nothing(change, match):
    model = trainee()
    optimizer, other = Adam(0.1).setup(model), Adam(0.1).setup(trainee())
    optimizer.loss_scaling()
    other.loss_scaling()
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


def test_nesterov_by_hand():
    """v = -0.5 * 2, then 0.5 * v - 1: p = 0.25 v - 1.5 * 0.5 * 2 each time."""
    model = chain([4.0])
    optimizer = optimizers.NesterovAG(0.5, 0.5).setup(model)
    for expected in (4 - 0.25 - 1.5, 4 - 0.25 - 1.5 - 0.375 - 1.5):
        model.a.grad = np.array([2.0])
        optimizer.update()
        assert model.a.array.tolist() == [expected]


def test_lars_is_momentum_behind_its_hook():
    rng, models = generator(3), [chain([1.0, 2.0], [3.0]) for _ in range(2)]
    lars = optimizers.LARS(0.03, 0.8, weight_decay=0.1).setup(models[0])
    plain = optimizers.MomentumSGD(0.03, 0.8).setup(models[1])
    plain.add_hook(GradientLARS(weight_decay=0.1))
    for _ in range(5):
        for p, q in zip(*(model.params() for model in models)):
            p.grad = q.grad = rng.standard_normal(p.shape)
        lars.update()
        plain.update()
    np.testing.assert_array_equal(models[0].flat, models[1].flat)


def test_graves_survives_rounding():
    """With gradients that hardly vary, n - mean^2 rounds to less than -eps in float32."""
    model = chain([0.0], dtype=np.float32)
    optimizer = optimizers.RMSpropGraves(1e-4).setup(model)
    for t in range(300):
        model.a.grad = np.float32([1000.0 + t % 2 / 1000])
        optimizer.update()
    assert np.isfinite(model.a.array).all()


@pytest.mark.parametrize("rule", ["SGD", "Adam", "MSVAG", "SMORMS3"])
def test_large_models_are_stepped_in_pieces(rule):
    """A size that the pieces do not divide, against the textbook."""
    rng, (make, textbook), n = generator(4), RULES[rule], 2 * BLOCK + 12_345
    model = chain(rng.standard_normal(n))
    p, s, optimizer = model.a.array.copy(), {}, make().setup(model)
    for t in (1, 2, 3):
        g = rng.standard_normal(n)
        model.a.grad = g
        p = textbook(p, g, t, s)
        optimizer.update()
    np.testing.assert_allclose(model.a.array, p, rtol=1e-10, atol=1e-12)
    assert len(optimizer._parts[0].blocks) == 3


@pytest.mark.parametrize("rule", ["Adam", "MSVAG"])
def test_threads_change_no_bit(rule, monkeypatch):
    make, n, ends = RULES[rule][0], THREADED + 12_345, []
    for count in (1, 3):
        monkeypatch.setattr(parts, "workers", workers := parts._Workers())
        monkeypatch.setattr(base, "workers", workers)
        workers.count = count
        rng = generator(4)
        model = chain(rng.standard_normal(n))
        optimizer = make().setup(model)
        for _ in range(3):
            model.a.grad = rng.standard_normal(n)
            optimizer.update()
        assert optimizer._parts[0].threads == count
        assert (workers.pool is not None) == (count > 1)
        ends.append([model.a.array.copy(), *optimizer._state])
        if workers.pool is not None:
            workers.pool.shutdown()
    for one, three in zip(*ends):
        np.testing.assert_array_equal(one, three)


def test_subnormal_state_is_cleared():
    """A gradient that stays 0 leaves no subnormal numbers behind, which would make each step slow."""
    model = chain([1.0, 1.0], dtype=np.float32)
    optimizer = Adam(0.1).setup(model)
    for t in range(64 * 15):
        model.a.grad = np.float32([1.0 if t == 0 else 0.0, 1.0])
        optimizer.update()
    m = optimizer.state()["m"]
    assert m[0] == 0
    assert m[1] > 1
    assert optimizer.state()["v"][0] > 0.1


# rates of sub-links, frozen parameters


def test_a_sub_link_has_its_own_rate():
    model = Chain(a=L.Linear(2, 2), b=L.Linear(2, 2), c=L.Linear(2, 2))
    before = [p.array.copy() for p in model.params()]
    optimizer = SGD(0.5).setup(model).scale(model.b, 0.1)
    assert optimizer.scale(model.b.b, 0.0) is optimizer
    for p in model.params():
        p.grad = np.ones(p.shape, np.float32)
    optimizer.update()
    steps = [(b - p.array).mean() for b, p in zip(before, model.params())]
    np.testing.assert_allclose(steps, [0.5, 0.5, 0.05, 0, 0.5, 0.5], rtol=1e-5)
    optimizer.scale(model.b, 2)  # the last call counts, whatever it covers
    optimizer.update()
    np.testing.assert_allclose((before[3] - model.b.b.array).mean(), 1, rtol=1e-5)
    with pytest.raises(ValueError, match="scale: the factor must not be negative, got -1"):
        optimizer.scale(model.a, -1)


def test_a_rate_of_one_changes_nothing():
    models = [trainee() for _ in range(2)]
    plain, scaled = Adam(0.1).setup(models[0]), Adam(0.1).setup(models[1]).scale(models[1].a, 1.0)
    for model, optimizer in zip(models, (plain, scaled)):
        train(model, optimizer, range(6))
    np.testing.assert_array_equal(models[0].flat, models[1].flat)


def test_a_rate_goes_with_a_copy():
    model = Chain(a=L.Linear(2, 2), b=L.Linear(2, 2))
    twin, optimizer = copy.deepcopy((model, SGD(0.5).setup(model).scale(model.a, 0)))
    before = twin.flat.copy()
    for p in twin.params():
        p.grad = np.ones(p.shape, np.float32)
    optimizer.update()
    np.testing.assert_allclose(before - twin.flat, [0] * 6 + [0.5] * 6, rtol=1e-5)


@EACH
def test_a_disabled_parameter_is_one_without_a_gradient(rule):
    make, runs = RULES[rule][0], []
    for disable in (False, True):
        model, rng = chain([1.0, 2.0], [3.0]), generator(5)
        optimizer = make().setup(model)
        for t in range(6):
            model.cleargrads()
            model.a.grad, g = rng.standard_normal(2), rng.standard_normal(1)
            model.b.update_enabled = not disable or t not in (2, 3)
            if disable or t not in (2, 3):
                model.b.grad = g
            optimizer.update()
        assert optimizer.state()["steps"] == [6, 4]
        runs.append(model.flat.copy())
    np.testing.assert_array_equal(*runs)


# gradients of several batches


def test_accumulated_gradients_are_those_of_one_batch():
    rng = generator(6)
    x, t = rng.standard_normal((12, 3)), rng.standard_normal((12, 2))
    whole, pieces = (chain(np.ones((3, 2)) / 3) for _ in range(2))
    one, several = (Adam(0.1).setup(model) for model in (whole, pieces))
    for _ in range(3):
        one.update(lambda: F.mean_squared_error(F.matmul(x, whole.a), t))
        pieces.cleargrads()
        for i in range(0, 12, 4):
            loss = F.mean_squared_error(F.matmul(x[i : i + 4], pieces.a), t[i : i + 4])
            loss.backward(loss_scale=1 / 3)
        np.testing.assert_allclose(pieces.a.grad, whole.a.grad, rtol=1e-13, atol=1e-15)
        several.update()
    np.testing.assert_allclose(pieces.a.array, whole.a.array, rtol=1e-12)


def test_adabound_refuses_a_schedule_that_starts_at_nothing():
    with pytest.raises(ValueError, match=r"AdaBound: final_lr is scaled by .* above 0, got 0\.0"):
        optimizers.AdaBound(lambda t: 0.1 * t)
    assert optimizers.AdaBound(lambda t: 0.1 + t).lr == 0.1
