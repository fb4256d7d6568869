"""Default networks: shapes, first values, and observations of each kind."""

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.autograd import functions as F
from rlcore.autograd import grad
from rlcore.networks import Floats, OneHot, mlp, value_network
from rlcore.rng import generator


def test_an_mlp_is_products_and_activations():
    model = mlp(3, (4, 5), 2, generator(0), F.tanh)
    x = generator(1).normal(size=(7, 3)).astype(np.float32)
    W1, b1, W2, b2, W3, b3 = (p.array for p in model.params())
    np.testing.assert_allclose(
        model(x).array, np.tanh(np.tanh(x @ W1.T + b1) @ W2.T + b2) @ W3.T + b3, rtol=1e-5, atol=1e-6
    )
    assert mlp(3, (), 2, generator(0)).count_params() == 8


def test_first_values_are_uniform_within_one_over_root_fan_in():
    model = mlp(100, (400,), 300, generator(0))
    for p, fan_in in zip(model.params(), (100, 100, 400, 400)):
        assert np.abs(p.array).max() <= fan_in**-0.5
        assert p.array.std() == pytest.approx(fan_in**-0.5 / 3**0.5, rel=0.1)
    assert (model.flat == mlp(100, (400,), 300, generator(0)).flat).all()
    assert not (model.flat == mlp(100, (400,), 300, generator(1)).flat).any()


def test_integers_become_rows_of_floats():
    np.testing.assert_array_equal(OneHot(4)(np.array([2, 0])).tolist(), [[0, 0, 1, 0], [1, 0, 0, 0]])
    frames = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    out = Floats()(frames)
    assert out.dtype == np.float32
    assert out.tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]


@pytest.mark.parametrize(
    "space", [spaces.Discrete(5), spaces.Box(0, 255, (2, 3), np.uint8), spaces.Box(-1, 1, (3,), np.float32)]
)
def test_each_space_has_a_network(space):
    model = value_network(space, (8,), 3, generator(0))
    obs = np.stack([space.sample(), space.sample()])
    assert model(obs).shape == (2, 3)
    assert model.view()(obs).array.tobytes() == model(obs).array.tobytes()


def test_a_hessian_vector_product_agrees_with_finite_differences():
    rng = generator(0)
    model = mlp(3, (8,), 1, rng, F.tanh)
    x, eps = rng.normal(size=(5, 3)).astype(np.float32), 1e-2
    params = list(model.params())
    directions = [rng.normal(size=p.shape).astype(np.float32) for p in params]

    def gradient(**named):
        return grad(F.sum(F.square(model(x))), params, **named)

    inner = sum((g * d).sum() for g, d in zip(gradient(enable_double_backprop=True), directions))
    product = model.join([g.array for g in grad(inner, params)])
    ends = []
    for sign in (1, -1):
        for p, d in zip(params, directions):
            p.array = p.array + sign * eps * d
        ends.append(model.join([g.array for g in gradient()]))
        for p, d in zip(params, directions):
            p.array = p.array - sign * eps * d
    np.testing.assert_allclose(product, (ends[0] - ends[1]) / (2 * eps), rtol=0.02, atol=0.02)
