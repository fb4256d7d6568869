import math
import re

import numpy as np
import pytest

from rlcore.autograd import Variable, grad, using_config
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.rng import generator


def normal(*shape):
    return generator(0).standard_normal(shape).astype(np.float32)


# EnsembleLinear


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_an_ensemble_is_its_members(relu, shared):
    """Values and gradients, before and after the parameters lie in one buffer."""
    x = normal(6, 4) if shared else normal(3, 6, 4)
    ensemble = L.EnsembleLinear(3, 4, 5, relu=relu)
    ensemble.b.array = normal(3, 5)
    members = [L.Linear(4, 5, relu=relu) for _ in range(3)]
    for k, member in enumerate(members):
        member.W.array, member.b.array = ensemble.W.array[k], ensemble.b.array[k]
    for _ in range(2):
        ensemble.cleargrads()
        v, parts = Variable(x), [Variable(x if shared else x[k]) for k in range(3)]
        y, ys = ensemble(v), [member(part) for member, part in zip(members, parts)]
        np.testing.assert_allclose(y.array, np.stack([a.array for a in ys]), rtol=1e-6, atol=1e-6)
        F.sum(y * y).backward()
        for member, a in zip(members, ys):
            member.cleargrads()
            F.sum(a * a).backward()
        for p in ("W", "b"):
            expected = np.stack([getattr(member, p).grad for member in members])
            np.testing.assert_allclose(getattr(ensemble, p).grad, expected, rtol=1e-5, atol=1e-5)
        gx = np.sum([part.grad for part in parts], axis=0) if shared else np.stack([part.grad for part in parts])
        np.testing.assert_allclose(v.grad, gx, rtol=1e-5, atol=1e-5)
        ensemble.flatten()


def test_an_ensembles_gradient_is_written_where_it_lives():
    ensemble = L.EnsembleLinear(2, 3, 4).flatten()
    F.sum(ensemble(normal(5, 3))).backward()
    for p in (ensemble.W, ensemble.b):
        assert p.node.grad is p.node.slot
    assert ensemble.W.array.transpose(0, 2, 1).flags.c_contiguous


def test_each_member_is_initialised_as_a_linear():
    W = L.EnsembleLinear(8, 400, 100).W.array
    np.testing.assert_allclose(W.std(axis=(1, 2)), 1 / math.sqrt(400), rtol=0.05)
    assert abs(np.corrcoef(W[0].ravel(), W[1].ravel())[0, 1]) < 0.05
    given = normal(2, 4, 3)
    np.testing.assert_array_equal(L.EnsembleLinear(2, 3, 4, initialW=given).W.array, given)
    np.testing.assert_array_equal(L.EnsembleLinear(2, 3, 4, initialW=given[0]).W.array, given[[0, 0]])
    drawn = L.EnsembleLinear(2, 3, 4)
    assert (drawn.copy("init").W.array != drawn.W.array).all()


@pytest.mark.parametrize("shape", [(5, 3), (2, 5, 3)])
def test_an_ensemble_takes_its_size_from_the_first_call(shape):
    ensemble = L.EnsembleLinear(2, None, 4, nobias=True)
    with pytest.raises(ValueError, match=re.escape("EnsembleLinear: expected x (K, N, in) or (N, in), got x (3,)")):
        ensemble(normal(3))
    assert ensemble(normal(*shape)).shape == (2, 5, 4)
    assert ensemble.W.shape == (2, 4, 3)
    assert ensemble.b is None
    with pytest.raises(ValueError, match="EnsembleLinear: sizes must be positive"):
        L.EnsembleLinear(0, 3, 4)


# NoisyLinear


def test_noise_by_hand():
    """y = (mu + sigma * f(e_out) f(e_in)) x + mu_b + sigma_b f(e_out) with f(e) = sign(e) sqrt(|e|)."""
    link = L.NoisyLinear(2, 1)
    link.W.array, link.sigma_W.array = np.float32([[1, 2]]), np.float32([[0.5, 0.25]])
    link.b.array, link.sigma_b.array = np.float32([3]), np.float32([0.5])
    y = link(np.float32([[1, 10]]), noise=(np.float32([4, -9]), np.float32([16])))
    assert y.array.tolist() == [[(1 + 0.5 * 4 * 2) * 1 + (2 + 0.25 * 4 * -3) * 10 + 3 + 0.5 * 4]]
    F.sum(y).backward()
    assert link.W.grad.tolist() == [[1, 10]]
    assert link.sigma_W.grad.tolist() == [[8, -120]]
    assert (link.b.grad.tolist(), link.sigma_b.grad.tolist()) == ([1], [4])


def test_noise_is_drawn_in_train_mode_only():
    link, x = L.NoisyLinear(3, 2), normal(4, 3)
    one, two, again = (link(x, rng=generator(s)).array for s in (1, 2, 1))
    assert (one != two).all()
    np.testing.assert_array_equal(one, again)
    assert (link(x).array != link(x).array).all()
    np.testing.assert_array_equal(link(x, noise=link.draw(generator(1))).array, one)
    with using_config("train", False):
        np.testing.assert_array_equal(link(x).array, F.linear(x, link.W, link.b).array)
        np.testing.assert_array_equal(link(x, noise=link.draw(generator(1))).array, one)


@pytest.mark.parametrize("lazy", [False, True])
def test_first_means_and_deviations(lazy):
    """Fortunato et al. 2018, section 3.2."""
    link = L.NoisyLinear(20) if lazy else L.NoisyLinear(400, 20)
    if lazy:
        link.view()(normal(1, 400))
    bound = 1 / math.sqrt(400)
    for mean, shape in ((link.W, (20, 400)), (link.b, (20,))):
        assert mean.shape == shape
        assert 0.5 * bound < abs(mean.array).max() <= bound
    for sigma in (link.sigma_W, link.sigma_b):
        np.testing.assert_allclose(sigma.array, 0.5 * bound, rtol=1e-6)
    np.testing.assert_allclose(L.NoisyLinear(4, 1, sigma0=0.1).sigma_W.array, 0.05, rtol=1e-6)
    assert (link.copy("init").W.array != link.W.array).all()
    assert [name for name, _ in L.NoisyLinear(4, 1, nobias=True).namedparams()] == ["/W", "/sigma_W"]


def test_wrong_noise_and_sizes():
    link = L.NoisyLinear(3, 2)
    with pytest.raises(ValueError, match=re.escape("expected noise of shapes ((3,), (2,)), got ((2,), (3,))")):
        link(normal(1, 3), noise=(normal(2), normal(3)))
    with pytest.raises(ValueError, match=re.escape("NoisyLinear: expected x (N, in), got x (3,)")):
        link(normal(3))
    with pytest.raises(ValueError, match="NoisyLinear: sizes must be positive"):
        L.NoisyLinear(0, 2)


# EmbedID, Bilinear, Scale, Bias, SimplifiedDropconnect


def test_embedding():
    link = L.EmbedID(1000, 50)
    np.testing.assert_allclose(link.W.array.std(), 1, rtol=0.02)
    np.testing.assert_array_equal(link(np.array([3, 3])).array, link.W.array[[3, 3]])
    assert L.EmbedID(3, 2, ignore_label=-1)(np.array([-1])).array.tolist() == [[0, 0]]
    with pytest.raises(IndexError, match="id 3 is out of range"):
        L.EmbedID(3, 2)(np.array([3]))


def test_an_embeddings_gradient_in_one_buffer():
    link = L.EmbedID(3, 2).flatten()
    F.sum(link(np.array([0, 2, 2]))).backward()
    assert link.flat_grad.tolist() == [1, 1, 0, 0, 2, 2]


def test_bilinear():
    link = L.Bilinear(20, 30, 40)
    # Chainer 7.8.1: LeCunNormal for all but b
    for p, deviation in ((link.W, 1 / math.sqrt(30 * 40)), (link.V1, 1 / math.sqrt(40)), (link.V2, 1 / math.sqrt(40))):
        np.testing.assert_allclose(p.array.std(), deviation, rtol=0.1)
    assert link.b.array.tolist() == [0] * 40
    e1, e2 = normal(5, 20), normal(5, 30)
    expected = F.bilinear(e1, e2, link.W, link.V1, link.V2, link.b).array
    np.testing.assert_array_equal(link(e1, e2).array, expected)
    assert [name for name, _ in L.Bilinear(2, 3, 4, nobias=True).namedparams()] == ["/W"]
    given = (normal(2, 4), normal(3, 4), normal(4))
    link = L.Bilinear(2, 3, 4, initial_bias=given)
    for p, a in zip((link.V1, link.V2, link.b), given):
        np.testing.assert_array_equal(p.array, a)
    with pytest.raises(ValueError, match="initial_bias must be a tuple of three"):
        L.Bilinear(2, 3, 4, initial_bias=0)


def test_scale_and_bias():
    x, y = normal(2, 3, 4), np.float32([1, 2, 3])
    scale = L.Scale(1, (3,), bias_term=True)
    assert {name: p.array.tolist() for name, p in scale.namedparams()} == {"/W": [1, 1, 1], "/bias/b": [0, 0, 0]}
    scale.W.array, scale.bias.b.array = y, -y
    np.testing.assert_allclose(scale(x).array, x * y[:, None] - y[:, None], rtol=1e-6)
    np.testing.assert_allclose(L.Scale(axis=1)(x, y).array, x * y[:, None], rtol=1e-6)
    np.testing.assert_allclose(L.Scale(1, None, True, (3,))(x, y).array, x * y[:, None], rtol=1e-6)
    np.testing.assert_allclose(L.Bias(axis=1)(x, y).array, x + y[:, None], rtol=1e-6)
    np.testing.assert_allclose(L.Bias(2, (4,))(x).array, x, rtol=1e-6)
    with pytest.raises(ValueError, match="Scale: with bias_term and without W_shape, bias_shape must be given"):
        L.Scale(1, None, True)
    with pytest.raises(TypeError, match="Bias: expected 1 argument with shape, got 2"):
        L.Bias(1, (3,))(x, y)
    with pytest.raises(TypeError, match="Scale: expected 2 arguments without W_shape, got 1"):
        L.Scale()(x)


def test_simplified_dropconnect():
    link, x = L.SimplifiedDropconnect(None, 3, 0.5), normal(2, 4)
    np.testing.assert_allclose(link(x, train=False).array, x @ link.W.array.T, rtol=1e-5, atol=1e-6)
    assert (link.W.shape, link.b.shape) == ((3, 4), (3,))
    one, again = (link(x, rng=generator(1)).array for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert (one != link(x, rng=generator(2)).array).any()
    mask = np.ones((2, 3, 4), bool)
    expected = F.simplified_dropconnect(x, link.W, link.b, 0.5, mask=mask).array
    np.testing.assert_array_equal(link(x, mask=mask).array, expected)


@pytest.mark.parametrize(
    "make",
    [
        lambda: L.Linear(5, 3), lambda: L.Linear(600, 600), lambda: L.Linear(5, 3, relu=True),
        lambda: L.EnsembleLinear(2, 5, 3), lambda: L.EmbedID(5, 3),
    ],
)  # fmt: skip
def test_a_wide_gradient_does_not_go_where_a_narrow_one_lives(make):
    link = make().flatten()
    x = np.array([1, 2]) if isinstance(link, L.EmbedID) else normal(4, link.W.shape[-1])
    grads = []
    for dtype in (np.float32, np.float64):
        y = link(x)
        link.cleargrads()
        F.sum(y * Variable(np.full(y.shape, 0.5, dtype))).backward()
        grads.append([p.grad.copy() for p in link.params()])
    for narrow, wide in zip(*grads):
        assert wide.dtype == np.float32
        np.testing.assert_allclose(wide, narrow, rtol=1e-5, atol=1e-6)
    y, w = link(x), np.ones(y.shape)
    assert all(g.dtype == np.float32 for g in grad([y], list(link.params()), [w]))
    y.grad = w
    assert y.grad.dtype == np.float32
    y.backward()
