"""Default networks: shapes, first values, and observations of each kind."""

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.autograd import functions as F
from rlcore.autograd import grad
from rlcore.autograd.config import using_config
from rlcore.bodies import body_of
from rlcore.networks import Floats, ImpalaCNN, NatureCNN, OneHot, Recurrent, mlp
from rlcore.q_networks import q_network
from rlcore.rng import generator


def test_an_mlp_is_products_and_activations():
    model = mlp(3, (4, 5), 2, generator(0), F.tanh)
    x = generator(1).normal(size=(7, 3)).astype(np.float32)
    W1, b1, W2, b2, W3, b3 = (p.array for p in model.params())
    np.testing.assert_allclose(
        model(x).array, np.tanh(np.tanh(x @ W1.T + b1) @ W2.T + b2) @ W3.T + b3, rtol=1e-5, atol=1e-6
    )
    assert mlp(3, (), 2).count_params() == 8


def test_first_values_are_uniform_within_one_over_root_fan_in():
    model = mlp(100, (400,), 300, generator(0))
    for p, fan_in in zip(model.params(), (100, 100, 400, 400)):
        assert np.abs(p.array).max() <= fan_in**-0.5
        assert p.array.std() == pytest.approx(fan_in**-0.5 / 3**0.5, rel=0.1)
    assert (model.flat == mlp(100, (400,), 300, generator(0)).flat).all()
    assert not (model.flat == mlp(100, (400,), 300, generator(1)).flat).any()


def test_integers_become_rows_of_floats():
    np.testing.assert_array_equal(OneHot(4)(np.array([2, 0])).array, [[0, 0, 1, 0], [1, 0, 0, 0]])
    frames = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    out = Floats()(frames).array
    assert out.dtype == np.float32
    assert out.tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    with using_config("dtype", np.float64):
        model = q_network(spaces.Box(0, 255, (2, 3), np.uint8), 3, (8,), generator(0))
    assert model(frames).dtype == np.float64


@pytest.mark.parametrize(
    "space", [spaces.Discrete(5), spaces.Box(0, 255, (2, 3), np.uint8), spaces.Box(-1, 1, (3,), np.float32)]
)
def test_each_space_has_a_network(space):
    model = q_network(space, 3, (8,), generator(0))
    obs = np.stack([space.sample(), space.sample()])
    assert model(obs).shape == (2, 3)
    assert model.view()(obs).array.tobytes() == model(obs).array.tobytes()


def test_the_nature_network_is_the_papers():
    model = NatureCNN(rng=generator(0))
    assert [p.shape for p in model.params()] == [
        (32, 4, 8, 8), (32,), (64, 32, 4, 4), (64,), (64, 64, 3, 3), (64,), (512, 3136), (512,)
    ]  # fmt: skip
    frames = generator(1).integers(0, 256, (2, 4, 84, 84), np.uint8)
    *convs, _, fc = model.layers
    h = frames / np.float32(255)
    for conv, stride in zip(convs, (4, 2, 1)):
        h = np.maximum(F.convolution_2d(h, conv.W.array, conv.b.array, stride).array, 0)
    expected = np.maximum(h.reshape(2, -1) @ fc.W.array.T + fc.b.array, 0)
    np.testing.assert_allclose(model(frames).array, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(model.layers[0].W.array).max() <= 256**-0.5
    assert model.layers[0].W.array.std() == pytest.approx(256**-0.5 / 3**0.5, rel=0.05)
    assert (model.flat == NatureCNN(rng=generator(0)).flat).all()
    with pytest.raises(ValueError, match="at least 36 x 36"):
        NatureCNN((4, 35, 84))


@pytest.mark.parametrize("shape", [(4, 84, 84), (84, 84, 4), (210, 160, 3), (1, 36, 50)], ids=str)
def test_images_have_the_nature_network_wherever_their_channels_are(shape):
    model = q_network(spaces.Box(0, 255, shape, np.uint8), 3, (8,), generator(0))
    x = generator(1).integers(0, 256, (2, *shape), np.uint8)
    q = model(x).array
    last = shape[2] < shape[0]
    first = x.transpose(0, 3, 1, 2) if last else x
    net = NatureCNN(first.shape[1:], 512, rng=generator(0))
    head = list(model)[-1]
    np.testing.assert_allclose(q, net(first).array @ head.W.array.T + head.b.array, rtol=1e-4, atol=1e-6)
    assert q.shape == (2, 3)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(0, 255, (10, 10, 4), np.uint8),  # too small for three convolutions
        spaces.Box(0, 1, (4, 84, 84), np.float32),  # no image, as far as one can see
        spaces.Box(0, 255, (84, 84), np.uint8),
        spaces.Box(0, 1, (10, 10, 4), bool),
    ],
    ids=str,
)
def test_what_is_no_image_has_an_mlp(space):
    assert not any(isinstance(layer, NatureCNN) for layer in q_network(space, 3, (8,), generator(0)))


def test_the_impala_network_is_the_papers():
    model = ImpalaCNN(rng=generator(0))
    assert model.count_params() == sum(
        [9 * a * b + b for a, b in [(4, 16), *[(16, 16)] * 4, (16, 32), *[(32, 32)] * 9]], 256 * (32 * 11 * 11 + 1)
    )
    small = ImpalaCNN((2, 5, 6), 7, (3,), scale=0.5, rng=generator(0))
    conv, _, one, two, _, _, fc = small.layers

    def convolved(h, link):
        return F.convolution_2d(h, link.W.array, link.b.array, 1, 1).array

    x = generator(1).integers(0, 5, (2, 2, 5, 6), np.uint8)
    h = F.max_pooling_2d(convolved(np.float32(0.5) * x, conv), 3, 2, 1, cover_all=False).array
    assert h.shape == (2, 3, 3, 3)
    for block in (one, two):
        h = h + convolved(np.maximum(convolved(np.maximum(h, 0), block.conv1), 0), block.conv2)
    expected = np.maximum(np.maximum(h, 0).reshape(2, -1) @ fc.W.array.T + fc.b.array, 0)
    np.testing.assert_allclose(small(x).array, expected, rtol=1e-4, atol=1e-5)


def recurrent():
    return Recurrent(mlp(3, (), 4, generator(1), F.tanh), 1, 4, 5, 2, rng=generator(0))


def test_a_recurrent_network_takes_steps_or_sequences():
    model = recurrent()
    x = generator(2).normal(size=(6, 2, 3)).astype(np.float32)
    reset = np.zeros((6, 2), bool)
    reset[3, 0] = reset[0, 1] = True
    whole, (h, c) = model(x, reset=reset)
    state, steps = None, []
    for t in range(6):
        out, state = model(x[t], state, reset[t])
        steps.append(out.array)
    np.testing.assert_allclose(whole.array, np.stack(steps), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(h.array, state[0].array, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(c.array, state[1].array, rtol=1e-5, atol=1e-6)
    fresh, _ = model(x[3:, :1])  # the episode that began at step 3 knows nothing of the one before
    np.testing.assert_allclose(whole.array[3:, :1], fresh.array, rtol=1e-5, atol=1e-6)
    frames = generator(3).integers(0, 256, (2, 3, 1, 36, 36), np.uint8)
    pixels = Recurrent(NatureCNN((1, 36, 36), 8, rng=generator(0)), 3, 8, 5, 2, rng=generator(0))
    assert pixels(frames)[0].shape == (2, 3, 2)
    assert pixels(frames[0])[0].shape == (3, 2)


@pytest.mark.parametrize("ndim", [{"b": 3, "a": 1}, {"a": 1, "b": 3}])
def test_a_recurrent_network_takes_nested_observations_in_any_order(ndim):
    space = spaces.Dict(a=spaces.Box(-1, 1, (2,)), b=spaces.Box(0, 255, (1, 36, 36), np.uint8))
    body, size = body_of(space, generator(0))
    head = mlp(5, (4,), 3, generator(1))
    model = Recurrent(body, ndim, size, 5, 3, head=head, rng=generator(0))
    obs = {"b": pixels(4, 2, 1, 36, 36), "a": numbers(4, 2, 2).astype(np.float32)}
    whole, (h, c) = model(obs, model.initial(2))
    assert whole.shape == (4, 2, 3)
    state = model.initial(2)
    for t in range(4):
        out, state = model({key: part[t] for key, part in obs.items()}, state)
        np.testing.assert_allclose(out.array, whole.array[t], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(state[0].array, h.array, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(state[1].array, c.array, rtol=1e-4, atol=1e-5)
    assert [(part.shape, part.dtype, part.any()) for part in model.initial(3)] == [((3, 5), np.float32, False)] * 2


def numbers(*shape):
    return generator(5).normal(size=shape)


def pixels(*shape):
    return generator(6).integers(0, 256, shape, np.uint8)


RESET = np.array([[False, True], [True, False], [False, False]])
NETWORKS = {  # each with observations for it
    "mlp": (lambda: mlp(3, (8, 4), 2, generator(0), F.tanh), lambda m: m(numbers(5, 3))),
    "mlp relu": (lambda: mlp(3, (8, 4), 2, generator(0)), lambda m: m(numbers(5, 3))),
    "value network": (lambda: q_network(spaces.Discrete(4), 2, (8,), generator(0)), lambda m: m(np.array([0, 3]))),
    "nature": (lambda: NatureCNN((2, 36, 36), 5, rng=generator(0)), lambda m: m(pixels(2, 2, 36, 36))),
    "impala": (lambda: ImpalaCNN((2, 6, 8), 5, (3, 4), rng=generator(0)), lambda m: m(pixels(2, 2, 6, 8))),
    "recurrent": (recurrent, lambda m: m(numbers(3, 2, 3), reset=RESET)[0]),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_hessian_vector_products_agree_with_finite_differences(name):
    """In float64; no ReLU or maximum has its kink between points so close."""
    make, call = NETWORKS[name]
    with using_config("dtype", np.float64):
        model = make()
    rng, eps = generator(1), 1e-6
    params = list(model.params())
    assert {p.dtype for p in params} == {np.dtype(np.float64)}
    directions = [rng.normal(size=p.shape) * 0.1 for p in params]
    weights = rng.normal(size=call(model).shape)

    def gradient(**named):
        return grad(F.sum(F.square(call(model)) * weights), params, **named)

    inner = sum((g * d).sum() for g, d in zip(gradient(enable_double_backprop=True), directions))
    product = model.join([g.array for g in grad(inner, params)])
    assert np.abs(product).max() > 1e-3
    ends, start = [], model.flat.copy()
    for sign in (1, -1):
        model.flat[...] = start + sign * eps * model.join(directions)
        ends.append(model.join([g.array for g in gradient()]))
    np.testing.assert_allclose(product, (ends[0] - ends[1]) / (2 * eps), rtol=1e-5, atol=1e-6)
