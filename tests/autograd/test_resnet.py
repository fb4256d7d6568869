"""A network in the manner of ResNet-18 (He et al. 2016), with batch normalisation, learns to tell shapes apart."""

from __future__ import annotations

import numpy as np

from rlcore.autograd import Chain, ChainList, no_backprop_mode, optimizers, using_config
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.initializers import HeNormal
from rlcore.rng import generator

SIZE = 16
CLASSES = 4


def shapes(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 3, 16, 16) float32 of a disc, a ring, a square or a cross, and which it is.

    Place, size, colour and background are random, and there is noise.
    """
    label = rng.integers(0, CLASSES, n).astype(np.int32)
    y, x = np.mgrid[:SIZE, :SIZE]
    cy, cx = rng.uniform(6, 10, (2, n, 1, 1))
    r = rng.uniform(3.5, 5, (n, 1, 1))
    dy, dx = abs(y - cy), abs(x - cx)
    far = np.hypot(dy, dx)
    kinds = [
        far < r,
        (far < r) & (far > 0.55 * r),
        np.maximum(dy, dx) < 0.85 * r,
        (np.minimum(dy, dx) < 1.2) & (far < r),
    ]
    inside = np.select([label[:, None, None] == k for k in range(CLASSES)], kinds)[:, None]
    ink, paper = rng.uniform(0.5, 1, (n, 3, 1, 1)), rng.uniform(-1, 0, (n, 3, 1, 1))
    image = np.where(inside, ink, paper) + 0.1 * rng.standard_normal((n, 3, SIZE, SIZE))
    return image.astype(np.float32), label


def convolution(n_in: int, n_out: int, size: int, stride: int, rng: np.random.Generator) -> L.Convolution2D:
    return L.Convolution2D(n_in, n_out, size, stride, size // 2, nobias=True, initialW=HeNormal(rng=rng))


class Block(Chain):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, n_in: int, n_out: int, stride: int, rng: np.random.Generator):
        super().__init__()
        with self.init_scope():
            self.conv1, self.bn1 = convolution(n_in, n_out, 3, stride, rng), L.BatchNormalization(n_out)
            self.conv2, self.bn2 = convolution(n_out, n_out, 3, 1, rng), L.BatchNormalization(n_out)
            if stride > 1:
                self.conv3, self.bn3 = convolution(n_in, n_out, 1, stride, rng), L.BatchNormalization(n_out)
        self.stride = stride

    def forward(self, x):
        h = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(h + (self.bn3(self.conv3(x)) if self.stride > 1 else x))


class ResNet18(Chain):
    """A stem, four stages of two blocks, the mean over places, a linear layer: 18 layers with weights."""

    def __init__(self, width: int, rng: np.random.Generator):
        super().__init__()
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        with self.init_scope():
            self.stem, self.bn = convolution(3, width, 3, 1, rng), L.BatchNormalization(width)
            self.stages = ChainList()
            for i in range(4):
                self.stages.append(Block(widths[i], widths[i + 1], 1 if i == 0 else 2, rng))
                self.stages.append(Block(widths[i + 1], widths[i + 1], 1, rng))
            self.head = L.Linear(8 * width, CLASSES, initialW=HeNormal(rng=rng))

    def forward(self, x):
        h = F.relu(self.bn(self.stem(x)))
        for stage in self.stages:
            h = stage(h)
        return self.head(F.mean(h, axis=(2, 3)))


def test_a_residual_network_tells_shapes_apart():
    rng = generator(0)
    model = ResNet18(4, rng)
    assert sum(p.ndim > 1 for p in model.params()) == 18 + 3  # and the three shortcuts that change the size
    optimizer = optimizers.Adam(3e-3).setup(model)
    for step in range(150):
        if step == 100:
            optimizer.alpha = 5e-4
        x, t = shapes(64, rng)
        loss = F.softmax_cross_entropy(model(x), t)
        model.cleargrads()
        loss.backward()
        optimizer.update()
    x, t = shapes(500, generator(1))
    before = model.flat_state.copy()
    with using_config("train", False), no_backprop_mode():
        scores = model(x).array
        alone = model(x[:1]).array
    assert np.mean(scores.argmax(1) == t) >= 0.95
    np.testing.assert_array_equal(model.flat_state, before)  # test mode learns nothing,
    np.testing.assert_allclose(alone, scores[:1], rtol=1e-3, atol=1e-4)  # and an image's scores are its own
    with no_backprop_mode():
        assert abs(model(x[:2]).array - model(x).array[:2]).max() > 1e-2  # in train mode they depend on the batch
    assert abs(model.flat_state - before).max() > 0  # whose moments it learns
