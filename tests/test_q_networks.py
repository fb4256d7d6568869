"""Networks of action values: dueling and noisy layers by their formulas, distributions, and where noise is drawn."""

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.autograd import Variable, grad
from rlcore.autograd import functions as F
from rlcore.autograd.config import using_config
from rlcore.q_networks import CategoricalQ, Noisy, QuantileQ, is_noisy, of_actions, q_network, with_noise
from rlcore.rng import default, generator, state_of

VECTOR = spaces.Box(-1, 1, (3,), np.float32)
IMAGE = spaces.Box(0, 255, (2, 40, 44), np.uint8)
SPACES = [
    VECTOR,
    spaces.Box(-1, 1, (2, 3), np.float32),
    spaces.Box(-1, 1, (), np.float32),
    spaces.Discrete(4, start=2),
    spaces.Box(0, 9, (2, 3), np.uint8),
    IMAGE,
    spaces.Dict(a=VECTOR, b=spaces.Discrete(3)),
    spaces.Tuple([VECTOR, IMAGE]),
]


def batch_of(space, n):
    return space_map([space.sample() for _ in range(n)])


def space_map(rows):
    if isinstance(rows[0], dict):
        return {k: space_map([row[k] for row in rows]) for k in rows[0]}
    if isinstance(rows[0], tuple):
        return tuple(space_map([row[k] for row in rows]) for k in range(len(rows[0])))
    return np.stack(rows)


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("options", [{}, {"dueling": True}, {"sigma0": 0.5}, {"dueling": True, "sigma0": 0.5}], ids=str)
def test_every_network_takes_every_observation(space, options):
    for hidden in ((8, 6), ()):
        model = q_network(space, 3, hidden, generator(0), outputs=2, **options)
        obs = batch_of(space, 5)
        out = model(obs)
        assert out.shape == (5, 6)
        assert model.view()(obs).array.tobytes() == out.array.tobytes()
        again = q_network(space, 3, hidden, generator(0), outputs=2, **options)
        assert again.flat.tobytes() == model.flat.tobytes()
        assert is_noisy(model) == ("sigma0" in options)


def test_the_library_generator_is_left_alone():
    before = state_of(default())
    model = with_noise(q_network(VECTOR, 3, (8,), generator(0), dueling=True, sigma0=0.5), generator(1))
    model(np.ones((2, 3), np.float32))
    assert state_of(default()) == before


@pytest.mark.parametrize("outputs", [1, 4])
def test_dueling_is_value_plus_advantage_less_its_mean(outputs):
    model = q_network(VECTOR, 3, (8, 6), generator(0), outputs=outputs, dueling=True)
    *shared, head = model
    assert [p.shape for p in model.params() if p.ndim == 2] == [(8, 3), (6, 8), (outputs, 6), (6, 8), (3 * outputs, 6)]
    x = obs = generator(1).normal(size=(5, 3)).astype(np.float32)
    for layer in shared:
        x = layer(x)
    value, advantage = head.value(x).array, head.advantage(x).array.reshape(5, 3, outputs)
    q = model(obs).array.reshape(5, 3, outputs)
    for i in range(5):
        for k in range(outputs):
            mean = sum(advantage[i, a, k] for a in range(3)) / 3
            for a in range(3):
                assert q[i, a, k] == pytest.approx(value[i, k] + advantage[i, a, k] - mean, abs=1e-5)
    np.testing.assert_allclose(q.mean(axis=1), value, atol=1e-6)  # what makes value and advantage known apart


def test_a_noisy_layer_is_the_papers():
    """Fortunato et al. 2018, eq. 9 to 11: (mu + sigma * outer(f(e_out), f(e_in))) x + mu_b + sigma_b * f(e_out)."""
    layer = Noisy(3, 2, 0.5, False, generator(0))
    np.testing.assert_allclose(layer.sigma_W.array, 0.5 / 3**0.5)
    np.testing.assert_allclose(layer.sigma_b.array, 0.5 / 3**0.5)
    assert 0 < np.abs(layer.W.array).max() <= 3**-0.5
    assert 0 < np.abs(layer.b.array).max() <= 3**-0.5
    x = generator(1).normal(size=(4, 3)).astype(np.float32)
    mean = x @ layer.W.array.T + layer.b.array
    np.testing.assert_allclose(layer(x).array, mean, rtol=1e-5, atol=1e-6)
    with_noise(layer, generator(2))
    e = generator(2).standard_normal(5, np.float32)
    f = np.sign(e) * np.sqrt(np.abs(e))
    W = layer.W.array + layer.sigma_W.array * np.outer(f[3:], f[:3])
    noisy = x @ W.T + layer.b.array + layer.sigma_b.array * f[3:]
    np.testing.assert_allclose(layer(x).array, noisy, rtol=1e-5, atol=1e-6)
    assert not np.allclose(layer(x).array, noisy)  # drawn anew
    relu = Noisy(3, 2, 0.5, True, generator(0))
    np.testing.assert_allclose(relu(x).array, np.maximum(mean, 0), rtol=1e-5, atol=1e-6)


def test_views_draw_noise_of_their_own():
    model = q_network(VECTOR, 2, (8,), generator(0), sigma0=0.5)
    plain, one, two = model.view(), with_noise(model.view(), generator(1)), with_noise(model.view(), generator(1))
    x = np.ones((1, 3), np.float32)
    mean = plain(x).array
    first = one(x).array
    assert not np.array_equal(first, mean)
    np.testing.assert_array_equal(two(x).array, first)
    np.testing.assert_array_equal(plain(x).array, mean)
    np.testing.assert_array_equal(model(x).array, mean)
    np.testing.assert_array_equal(with_noise(one, None)(x).array, mean)


def test_distributions_have_their_means():
    x = generator(1).normal(size=(5, 3)).astype(np.float32)
    q = CategoricalQ(q_network(VECTOR, 2, (8,), generator(0), outputs=3), 2, -1, 3, 3)
    assert q.atoms.tolist() == [-1, 1, 3]
    logits = q.outputs(x).array
    p = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    np.testing.assert_allclose(q(x).array, -p[..., 0] + p[..., 1] + 3 * p[..., 2], rtol=1e-4, atol=1e-5)
    q = QuantileQ(q_network(VECTOR, 2, (8,), generator(0), outputs=3), 2)
    np.testing.assert_allclose(q(x).array, q.outputs(x).array.sum(axis=2) / 3, rtol=1e-4, atol=1e-6)


def test_rows_of_actions_and_their_gradients():
    x = Variable(np.arange(12.0).reshape(2, 3, 2))
    action = np.array([2, 0])
    y = of_actions(x, action)
    np.testing.assert_array_equal(y.array, [[4, 5], [6, 7]])
    F.sum(y * np.array([[1.0, 2.0], [3.0, 4.0]])).backward()
    expected = np.zeros((2, 3, 2))
    expected[0, 2], expected[1, 0] = [1, 2], [3, 4]
    np.testing.assert_array_equal(x.grad, expected)
    (g,) = grad([F.sum(F.square(of_actions(x, action)))], [x], enable_double_backprop=True)
    (second,) = grad([F.sum(g)], [x])
    np.testing.assert_array_equal(second.array, 2 * (expected > 0))


def test_the_configured_dtype_is_kept():
    with using_config("dtype", np.float64):
        q = CategoricalQ(q_network(VECTOR, 2, (8,), generator(0), outputs=3, dueling=True, sigma0=0.5), 2, -1, 3, 3)
    assert with_noise(q, generator(1))(np.ones((1, 3))).dtype == np.float64
