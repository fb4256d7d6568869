"""Links that normalise: modes, statistics, where they lie and what carries them."""

import numpy as np
import pytest

from rlcore.autograd import Chain, Variable, optimizers, using_config
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.initializers import Normal
from rlcore.rng import generator

X = np.float32([[1, -2, 0.5], [3, 0, -1], [-1, 4, 2], [0, 1, 1]])


def in_test_mode(link, x):
    with using_config("train", False):
        return link(x).array


class Net(Chain):
    """Sizes by the first call."""

    def __init__(self):
        super().__init__()
        self.l1 = L.Linear(None, 4)
        self.bn = L.BatchNormalization()
        self.l2 = L.Linear(None, 1)

    def forward(self, x):
        return self.l2(F.relu(self.bn(self.l1(x))))


# batch normalisation


def test_train_and_test_mode_by_chainer():
    link = L.BatchNormalization(3)
    np.testing.assert_allclose(  # Chainer 7.8.1, as below
        link(X).array,
        [[0.16903009, -1.2701678, -0.11546907], [1.5212708, -0.3464094, -1.5010979],
         [-1.1832106, 1.5011075, 1.2701597], [-0.5070903, 0.11546981, 0.3464072]],
        rtol=2e-6, atol=1e-7,
    )  # fmt: skip
    link(X[:2])
    np.testing.assert_allclose(link.avg_mean, [0.2675, -0.0325, 0.03125], rtol=1e-6)
    np.testing.assert_allclose(link.avg_var, [1.2725, 1.5725, 1.063125], rtol=1e-6)
    before = link.state()
    np.testing.assert_allclose(in_test_mode(link, X)[0], [0.6493447, -1.5689771, 0.45461634], rtol=1e-6)
    np.testing.assert_array_equal(link.avg_mean, before["avg_mean"])


def test_finetuning_averages_plainly():
    link = L.BatchNormalization(3)
    link(X)
    link(X, finetune=True)
    link(X[:2], finetune=True)
    np.testing.assert_allclose(link.avg_mean, [1.375, -0.125, 0.1875], rtol=1e-6)  # Chainer 7.8.1
    np.testing.assert_allclose(link.avg_var, [2.4583335, 4.125, 1.34375], rtol=1e-6)
    assert link.N == 2
    link.start_finetuning()
    link(X, finetune=True)
    np.testing.assert_allclose(link.avg_mean, X.mean(0), rtol=1e-6)
    assert link.N == 1


def test_batch_renormalization_by_chainer():
    link = L.BatchRenormalization(3, 1.5, 0.3)
    np.testing.assert_allclose(link(X).array[0], [0.5499975, -1.6052518, 0.17500126], rtol=1e-6)  # Chainer 7.8.1
    np.testing.assert_allclose(link.avg_mean, [0.075, 0.075, 0.0625], rtol=1e-6)
    np.testing.assert_allclose(link.avg_var, [1.1916666, 1.525, 1.05625], rtol=1e-6)
    y, view = link(X).array, link.copy().view()
    kept = link.avg_mean.copy()
    assert view(X).shape == y.shape
    np.testing.assert_array_equal(link.avg_mean, kept)
    expected = (X - link.avg_mean) / np.sqrt(link.avg_var + 2e-5)
    np.testing.assert_allclose(in_test_mode(link, X), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("named", "shape", "kept"),
    [
        ({}, (5, 3, 2, 2), (3,)),
        ({"axis": (0, 2, 3)}, (5, 3, 2, 2), (3,)),
        ({"axis": 0}, (5, 3), (3,)),
        ({"axis": (0, -1)}, (5, 3, 2, 4), (3, 2)),
        ({"axis": (0, 1, 2)}, (5, 2, 2, 3), (3,)),
        ({"size": (3, 2), "axis": (0, 3)}, (5, 3, 2, 4), (3, 2)),
        ({"size": (3, 2)}, (5, 3, 2, 4), (3, 2)),
    ],
)
def test_sizes_and_axes(named, shape, kept):
    link = L.BatchNormalization(**named, initial_gamma=2, initial_beta=1, initial_avg_mean=3.0, initial_avg_var=4.0)
    x = generator(1).standard_normal(shape).astype(np.float32)
    np.testing.assert_allclose(in_test_mode(link, x), (x - 3) / np.sqrt(4 + 2e-5) * 2 + 1, rtol=1e-5, atol=1e-5)
    assert link.gamma.shape == link.beta.shape == link.avg_mean.shape == link.avg_var.shape == kept
    y = link(x).array
    assert y.mean() == pytest.approx(1, abs=1e-5)
    assert y.std() == pytest.approx(2, rel=1e-3)


def test_without_gamma_and_beta():
    link = L.BatchNormalization(3, use_gamma=False, use_beta=False)
    assert list(link.params()) == []
    np.testing.assert_allclose(link(X).array.std(0), [1, 1, 1], rtol=1e-4)
    assert in_test_mode(link, X).shape == X.shape


def test_dtypes_and_initial_values():
    link = L.BatchNormalization(3, dtype="d", initial_gamma=Normal(1.0, np.float64, generator(0)))
    assert {link.gamma.dtype, link.beta.dtype, link.avg_mean.dtype, link.avg_var.dtype} == {np.dtype("d")}
    assert len(set(link.gamma.array.tolist())) == 3
    with pytest.raises(TypeError, match="batch_normalization: x is float32 and gamma is float64"):
        link(X)
    assert link.N == 0
    given = np.float32([1, 2, 3])
    link = L.BatchNormalization(3, initial_avg_mean=given)
    link(X)
    assert given.tolist() == [1, 2, 3]


def test_running_moments_of_a_trained_model_equal_a_loop_in_float64():
    rng, model = generator(2), Net()
    optimizer = optimizers.SGD(0.1).setup(model)
    mean, var = np.zeros(4), np.ones(4)
    for n in (6, 3, 8):
        x = rng.standard_normal((n, 5)).astype(np.float32)
        h = model.l1(x).array.astype(np.float64)
        loss = F.sum(model(x) ** 2)
        mean, var = 0.9 * mean + 0.1 * h.mean(0), 0.9 * var + 0.1 * h.var(0, ddof=1)
        model.cleargrads()
        loss.backward()
        optimizer.update()
    np.testing.assert_allclose(model.bn.avg_mean, mean, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(model.bn.avg_var, var, rtol=1e-5)
    state = model.flat_state  # the moments lie behind the parameters
    assert state.size == model.flat.size + 8
    np.testing.assert_array_equal(state[-8:], np.concatenate([model.bn.avg_mean, model.bn.avg_var]))
    assert np.shares_memory(state, model.bn.avg_mean)


def test_a_view_normalises_as_its_model_does_and_updates_nothing():
    link = L.BatchNormalization()
    view = link.view()
    y = view(X)  # settles the size
    assert link.avg_mean.tolist() == [0, 0, 0]
    np.testing.assert_array_equal(y.array, link.copy()(X).array)
    view(X, finetune=True)
    assert (link.avg_mean.tolist(), link.N) == ([0, 0, 0], 0)
    link(X)
    assert link.avg_mean.any()
    np.testing.assert_array_equal(in_test_mode(view, X), in_test_mode(link, X))


def test_statistics_are_not_updated_twice_when_a_function_is_run_again():
    link = L.BatchNormalization(3)
    with using_config("in_recomputing", True):
        link(X)
    assert link.avg_mean.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("link", "message"),
    [
        (L.BatchNormalization(), r"BatchNormalization: x of shape \(3,\) has no axis beside those averaged over, 0"),
        (L.BatchNormalization(axis=0), r"BatchNormalization: x of shape \(3,\) has no axis"),
        (L.GroupNormalization(2), r"group_normalization: axis 1 of x \(3,\) does not divide into 2 groups"),
    ],
)
def test_an_input_without_channels_settles_nothing(link, message):
    with pytest.raises(ValueError, match=message):
        link(X[0])
    assert link.gamma.array is None


def test_a_loss_through_a_view_reaches_its_input():
    link, a, b = L.BatchNormalization(3, initial_gamma=2), Variable(X), Variable(X)
    F.sum(link.view()(a) ** 3).backward()
    F.sum(link(b) ** 3).backward()
    np.testing.assert_array_equal(a.grad, b.grad)
    assert link.gamma.grad is not None


def test_copies_carry_the_moments():
    model, target = Net(), Net()
    x = generator(3).standard_normal((6, 5)).astype(np.float32)
    model(x)
    model.bn.N = 4
    target.copyparams(model)  # whose size is not known yet
    np.testing.assert_array_equal(target.bn.avg_mean, model.bn.avg_mean)
    assert not np.shares_memory(target.bn.avg_mean, model.bn.avg_mean)
    assert target.bn.N == 4
    np.testing.assert_array_equal(in_test_mode(target, x), in_test_mode(model, x))
    before = target.bn.avg_var.copy()
    model(3 * x)
    target.soft_copyparams(model, 0.25)
    np.testing.assert_allclose(target.bn.avg_var, 0.75 * before + 0.25 * model.bn.avg_var, rtol=1e-6)
    assert not np.allclose(before, model.bn.avg_var)
    twin = model.copy()
    twin(x)
    assert not np.allclose(twin.bn.avg_var, model.bn.avg_var)


def test_states_carry_the_moments():
    model, other = Net(), Net()
    x = generator(4).standard_normal((6, 5)).astype(np.float32)
    assert model.state()["bn"]["avg_mean"] is None
    model(x)
    state = model.state()
    other.load(state)  # into a model whose size is not known yet
    expected = in_test_mode(model, x)
    np.testing.assert_array_equal(in_test_mode(other, x), expected)
    kept = state["bn"]["avg_mean"].copy()
    other(5 * x)
    np.testing.assert_array_equal(state["bn"]["avg_mean"], kept)  # not the loaded model's own
    other.load(state)
    np.testing.assert_array_equal(in_test_mode(other, x), expected)


# group and layer normalisation


def test_group_normalization_settles_its_size():
    link = L.GroupNormalization(2, initial_gamma=3, initial_beta=1)
    x = generator(5).standard_normal((2, 4, 3, 3)).astype(np.float32)
    y = link(x).array.reshape(2, 2, -1)
    assert link.gamma.shape == link.beta.shape == (4,)
    np.testing.assert_allclose(y.mean(2), 1, atol=1e-5)
    np.testing.assert_allclose(y.std(2), 3, rtol=1e-4)
    assert L.GroupNormalization(2, 4).gamma.array.tolist() == [1] * 4


def test_layer_normalization_settles_its_size():
    link = L.LayerNormalization(initial_gamma=3, initial_beta=1)
    y = link(X).array
    assert link.gamma.shape == link.beta.shape == (3,)
    np.testing.assert_allclose(y.mean(1), 1, atol=1e-5)
    np.testing.assert_allclose(y.std(1), 3, rtol=1e-4)
    assert link.eps == 1e-6
    assert L.LayerNormalization(3).beta.array.tolist() == [0] * 3


# the running normaliser


@pytest.mark.parametrize("shape", [(), 3, (2, 3)])
def test_the_normaliser_is_exact_over_uneven_batches(shape):
    link, rng = L.RunningNormalizer(shape), generator(6)
    size = (shape,) if isinstance(shape, int) else shape
    sizes = [1, 7, 300, 2, 1, 64, 31, *[3] * 400]
    data = (rng.standard_normal((sum(sizes), *size)) * 3 + 100).astype(np.float32)
    at = 0
    for n in sizes:
        link.update(data[at : at + n])
        at += n
    wide = data.astype(np.float64)
    assert link.count == len(data)
    assert link.mean.dtype == link.var.dtype == np.float32
    np.testing.assert_allclose(link.mean, wide.mean(0), rtol=1e-6)
    np.testing.assert_allclose(link.var, wide.var(0), rtol=1e-6)
    y = link(data[:5])
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.array, ((wide - wide.mean(0)) / wide.std(0))[:5], rtol=1e-4, atol=1e-4)


def test_the_normaliser_does_not_stop_counting():
    """In float32 a mean stands still after some million steps, and a count at 16,777,216."""
    link = L.RunningNormalizer(1)
    link.update(np.zeros((1000, 1), np.float32))
    link.count = 2**40
    for _ in range(64):
        link.update(np.full((2**20, 1), 1e-3, np.float32))
    assert link.count == 2**40 + 2**26
    np.testing.assert_allclose(link.mean, 1e-3 * 2**26 / (2**40 + 2**26), rtol=1e-6)


def test_moments_change_by_update_only():
    link = L.RunningNormalizer(2, clip=1.5)
    np.testing.assert_allclose(link(np.float32([[0.5, -9]])).array, [[0.5, -1.5]])
    link.update(np.float64([[[0, 10], [4, 10]]]))  # any leading axes, any dtype
    assert (link.mean.tolist(), link.var.tolist(), link.count) == ([2, 10], [4, 0], 2)
    kept = link.state()
    view = link.view()
    view.update(np.ones((5, 2), np.float32))
    link.update(np.ones((0, 2), np.float32))
    for x in (np.float64([[4, 10]]), np.array([[4, 10]], np.uint8), Variable(np.float32([[4, 10]]))):
        y = link(x)
        assert y.dtype == np.float32
        np.testing.assert_allclose(y.array, [[1, 0]])
        np.testing.assert_allclose(view(x).array, [[1, 0]])
    for name, value in link.state().items():
        np.testing.assert_array_equal(value, kept[name])


def test_the_normaliser_passes_gradients():
    link, x = L.RunningNormalizer(1, eps=0, clip=2), Variable(np.float32([[1], [9]]))
    link.update(np.float32([[0], [4]]))
    F.sum(link(x)).backward()
    assert x.grad.tolist() == [[0.5], [0]]


def test_the_normaliser_goes_where_the_model_goes():
    def net():
        return Chain(norm=L.RunningNormalizer(3), l=L.Linear(3, 2))

    model, target, actor = net(), net(), net()
    model.norm.update(X)
    model.norm.update(X[:1])
    target.copyparams(model)
    actor.flat_state[...] = model.flat_state
    for other in (target, actor):
        np.testing.assert_array_equal(other.norm(X).array, model.norm(X).array)
    target.norm.update(X)
    model.norm.update(X)
    for name in ("mean", "var", "lost", "count"):
        np.testing.assert_array_equal(getattr(target.norm, name), getattr(model.norm, name))
    twin = net()
    twin.load(model.state())
    assert twin.norm.count == 9
    np.testing.assert_array_equal(twin.norm.var, model.norm.var)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (np.zeros((4, 2)), r"RunningNormalizer: expected a batch \(\.\.\., 3\), got \(4, 2\)"),
        (np.array([[0, np.nan, 0]]), "not finite; nothing was counted"),
        (np.array([[0, 1, np.inf]]), "not finite; nothing was counted"),
    ],
)
def test_a_bad_batch_is_refused(batch, message):
    link = L.RunningNormalizer(3)
    with pytest.raises(ValueError, match=message):
        link.update(batch)
    assert (link.count, link.mean.tolist()) == (0, [0, 0, 0])
