"""Models of ChainerRL's kinds learn here as they do in Chainer: the losses below were printed by Chainer 7.8.1."""

import pytest

from tests.autograd import chainer_models as models

CHAINER = {
    models.train_q_function: [0.4593677222728729, 0.3760615587234497, 0.2930126488208771],
    models.train_nature_head: [0.7588841319084167, 0.30794525146484375, 1.8167181015014648],
    models.train_a3c_lstm: [5.590994834899902, 5.341116905212402],
    models.train_gaussian_policy: [2.42612361907959, 2.1254985332489014, 1.8830674886703491],
}


@pytest.mark.parametrize("train", CHAINER, ids=lambda train: train.__name__)
def test_losses_are_chainers(train):
    assert train() == pytest.approx(CHAINER[train], rel=2e-4)
