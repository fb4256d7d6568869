import numpy as np
import pytest

from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.rng import generator


def normal(*shape):
    return generator(0).standard_normal(shape).astype(np.float32)


def test_parameter():
    link = L.Parameter(np.float32([1, 2]))
    assert link() is link.W
    F.sum(link() * 3).backward()
    assert link.W.grad.tolist() == [3, 3]
    assert [name for name, _ in link.namedparams()] == ["/W"]


def test_highway():
    link, x = L.Highway(3, activate=F.tanh), normal(2, 3)
    assert link.transform.b.array.tolist() == [-1, -1, -1]  # so that at first most of x passes
    gate = 1 / (1 + np.exp(-(x @ link.transform.W.array.T - 1)))
    expected = gate * np.tanh(x @ link.plain.W.array.T) + (1 - gate) * x
    np.testing.assert_allclose(link(x).array, expected, rtol=1e-5, atol=1e-6)
    assert link.plain.W.array.tolist() != link.transform.W.array.tolist()


@pytest.mark.parametrize("make", [lambda: L.MLPConvolution2D(2, (4, 5), 3), lambda: L.MLPConvolution2D((4, 5), 3)])
def test_mlp_convolution(make):
    link, x = make(), normal(2, 2, 6, 6)
    y = link(x)
    assert [(name, p.shape) for name, p in link.namedparams()] == [
        ("/0/W", (4, 2, 3, 3)),
        ("/0/b", (4,)),
        ("/1/W", (5, 4, 1, 1)),
        ("/1/b", (5,)),
    ]
    hidden = np.maximum(F.convolution_2d(x, link[0].W, link[0].b).array, 0)
    expected = np.einsum("nchw,oc->nohw", hidden, link[1].W.array[:, :, 0, 0])
    np.testing.assert_allclose(y.array, expected, rtol=1e-4, atol=1e-5)  # no activation after the last
    with pytest.raises(ValueError, match="out_channels must hold"):
        L.MLPConvolution2D(2, (), 3)


def test_classifier():
    link = L.Classifier(L.Linear(4, 3))
    x, t = normal(5, 4), np.array([0, 1, 2, 0, 1])
    loss = link(x, t)
    assert link.loss is loss
    np.testing.assert_array_equal(link.y.array, link.predictor(x).array)
    np.testing.assert_allclose(loss.array, F.softmax_cross_entropy(link.y, t).array, rtol=1e-6)
    np.testing.assert_allclose(link.accuracy.array, (link.y.array.argmax(axis=1) == t).mean(), rtol=1e-6)
    loss.backward()
    assert all(p.grad is not None for p in link.params())


def test_where_the_labels_are():
    x, t = normal(5, 4), normal(5, 3)
    linear, mse = L.Linear(4, 3), F.mean_squared_error
    losses = [
        L.Classifier(linear, mse, mse)(x, t),
        L.Classifier(linear, mse, mse, label_key=0)(t, x),
        L.Classifier(linear, mse, mse, label_key="t")(x, t=t),
    ]
    assert len({loss.item() for loss in losses}) == 1
    silent = L.Classifier(linear, mse)
    silent.compute_accuracy = False
    silent(x, t)
    assert silent.accuracy is None
    with pytest.raises(ValueError, match="Classifier: no argument 't'"):
        L.Classifier(linear, mse, label_key="t")(x)
    with pytest.raises(ValueError, match="Classifier: no argument 2 of 2"):
        L.Classifier(linear, mse, label_key=2)(x, t)
    with pytest.raises(TypeError, match="label_key must be an integer or a name"):
        L.Classifier(linear, label_key=0.5)
