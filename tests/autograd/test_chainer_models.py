"""Models of ChainerRL's kinds learn here as they do in Chainer: the numbers below were printed by Chainer 7.8.1."""

import pytest

from tests.autograd import chainer_models as models

CHAINER = {
    models.train_q_function: [0.4593677222728729, 0.3760615587234497, 0.2930126488208771],
    models.train_nature_head: [0.7588841319084167, 0.30794525146484375, 1.8167181015014648],
    models.train_a3c_lstm: [5.590994834899902, 5.341116905212402],
    models.train_gaussian_policy: [2.42612361907959, 2.1254985332489014, 1.8830674886703491],
    models.train_c51: [
        2.561464, 2.532521, 2.502821, 0.05182527, -0.01266037, 0.03250833, 0.03965917, -0.01663296, 0.06710403,
        0.05707286, 0.01567292, 0.04716042, 0.04341367, -0.02950621, 0.03153466,
    ],
    models.train_iqn: [0.7929326, 0.7488161, 0.7536762],
    models.train_ppo: [0.3804995, 0.2781687, 0.2204475],
    models.trpo_step: [
        0.01731191, 0.06854278, 0.1166395, 0.1867078, 0.01051094, 0.04092983, 0.1543985, 0.3186444, 0.4742283,
        0.04204377,
    ],
    models.train_batch_normalization: [
        0.9666481, 0.8115107, 0.5628434, 0.53256, 0.4895048, 0.3328116, 0.5326955, 0.4890836, 0.3326315, 0.008589404,
        -0.0557615, 0.005438389, 0.05669585, -0.02441511, -0.06205948, 0.7316584, 0.731314, 0.7290942, 0.7305163,
        0.7320452, 0.7299187,
    ],
    models.train_recurrent_q_function: [0.5586521, 0.5214846, 0.5048283],
    models.train_ddpg: [0.4817427, 0.2579016, 0.461108, 0.2819239, 0.4394698, 0.3024704],
}  # fmt: skip


@pytest.mark.parametrize("train", CHAINER, ids=lambda train: train.__name__)
def test_numbers_are_chainers(train):
    assert train() == pytest.approx(CHAINER[train], rel=2e-4, abs=1e-6)
