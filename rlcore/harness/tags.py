"""Tags of scalars: Stable-Baselines3's, which rlcore uses throughout, and CleanRL's for the same numbers."""

from __future__ import annotations

SCHEMES = ("sb3", "cleanrl")
CLEANRL = {
    "rollout/ep_rew_mean": "charts/episodic_return",
    "rollout/ep_len_mean": "charts/episodic_length",
    "rollout/exploration_rate": "charts/epsilon",
    "time/fps": "charts/SPS",
    "train/learning_rate": "charts/learning_rate",
    "train/policy_gradient_loss": "losses/policy_loss",
    "train/entropy_loss": "losses/entropy",  # with the other sign
    "train/clip_fraction": "losses/clipfrac",
    "train/critic_loss": "losses/qf_loss",
    "train/ent_coef": "losses/alpha",
    "train/ent_coef_loss": "losses/alpha_loss",
    "eval/mean_reward": "eval/episodic_return",
    "eval/mean_ep_length": "eval/episodic_length",
}
FOLDERS = {"rollout": "charts", "time": "charts", "train": "losses"}  # of names that CleanRL does not have


def cleanrl(scalars: dict[str, float]) -> dict[str, float]:
    """The scalars of one row under CleanRL's tags; other tags, a user's own, stay as they are."""
    actor_critic = "train/policy_gradient_loss" in scalars  # whose `loss` is the weighted sum of several
    renamed = {}
    for tag, value in scalars.items():
        folder, _, name = tag.partition("/")
        if tag == "train/loss" and not actor_critic:
            new = "losses/td_loss"
        elif folder in FOLDERS and name:
            new = f"{FOLDERS[folder]}/{name}"
        else:
            new = tag
        renamed[CLEANRL.get(tag, new)] = -value if tag == "train/entropy_loss" else value
    return renamed
