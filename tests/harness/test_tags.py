"""The same numbers under CleanRL's tags."""

import pytest

from rlcore.harness.tags import cleanrl


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"train/loss": 2.0}, {"losses/td_loss": 2.0}),
        (
            {"train/loss": 2.0, "train/policy_gradient_loss": -0.5, "train/entropy_loss": -0.7, "train/approx_kl": 0.1},
            {"losses/loss": 2.0, "losses/policy_loss": -0.5, "losses/entropy": 0.7, "losses/approx_kl": 0.1},
        ),
        ({"train/clip_fraction": 0.2, "train/n_updates": 3.0}, {"losses/clipfrac": 0.2, "losses/n_updates": 3.0}),
        ({"train/learning_rate": 0.1, "time/fps": 5.0}, {"charts/learning_rate": 0.1, "charts/SPS": 5.0}),
        ({"train/critic_loss": 1.0, "train/ent_coef": 0.3}, {"losses/qf_loss": 1.0, "losses/alpha": 0.3}),
        ({"rollout/exploration_rate": 0.05}, {"charts/epsilon": 0.05}),
        ({"rollout/success_rate": 0.5}, {"charts/success_rate": 0.5}),
        ({"eval/mean_reward": 1.0}, {"eval/episodic_return": 1.0}),
        ({"eval/mean_ep_length": 2.0}, {"eval/episodic_length": 2.0}),
        ({"eval/success_rate": 1.0}, {"eval/success_rate": 1.0}),
        ({"mine/loss": 1.0, "train": 2.0, "faults/x": 3.0}, {"mine/loss": 1.0, "train": 2.0, "faults/x": 3.0}),
        ({}, {}),
    ],
)  # fmt: skip
def test_names(ours, theirs):
    assert cleanrl(ours) == theirs
