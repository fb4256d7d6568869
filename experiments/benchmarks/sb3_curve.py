"""A learning curve of Stable-Baselines3 with the settings that rlcore ships: what to set a run of rlcore beside.

`python experiments/benchmarks/sb3_curve.py sac HalfCheetah-v5 --steps 100000` prints, every so many steps, the mean
return of the deterministic policy over fresh episodes, unnormalised, and the seconds spent on training so far.
"""

import argparse
from time import perf_counter
from typing import Any

import timing  # noqa: F401  sets the number of threads before NumPy is there
from rlcore.fields import Schedule
from rlcore.harness.tuned import tuned

SAME = {
    "buffer_size", "learning_starts", "batch_size", "gamma", "tau", "gradient_steps", "n_steps", "n_epochs",
    "gae_lambda", "ent_coef", "vf_coef", "max_grad_norm", "target_kl", "use_sde", "sde_sample_freq",
    "target_update_interval",
}  # fmt: skip


def schedule(text: Any, steps: int) -> Any:
    """A schedule in rows as Stable-Baselines3 has them, in the part of the run that is left."""
    moving = Schedule.parse(str(text))
    return moving.start if moving.end is None else lambda left: moving(round((1 - left) * steps))


def translated(agent: dict[str, Any], steps: int) -> dict[str, Any]:
    """rlcore's settings as arguments of Stable-Baselines3; ValueError if one has no counterpart here."""
    from torch import nn

    out: dict[str, Any] = {}
    policy: dict[str, Any] = {}
    for name, value in agent.items():
        if name in ("learning_rate", "clip_range"):
            out[name] = schedule(value, steps)
        elif name == "hidden":
            policy["net_arch"] = list(value)
        elif name == "activation":
            policy["activation_fn"] = {"relu": nn.ReLU, "tanh": nn.Tanh}[value]
        elif name in ("ortho_init", "log_std_init"):
            policy[name] = value
        elif name == "update_every":
            out["train_freq"] = value
        elif name in SAME:
            out[name] = value
        else:
            raise ValueError(f"{name} = {value!r} has no counterpart in this script")
    return {**out, "policy_kwargs": policy}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("algorithm")
    parser.add_argument("env")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--eval-every", type=int, default=10_000)
    parser.add_argument("--eval-episodes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    import stable_baselines3
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.vec_env import VecNormalize, sync_envs_normalization

    settings = tuned(args.algorithm, args.env)
    envs, gamma = settings.get("envs", {}), settings["agent"].get("gamma", 0.99)
    train = make_vec_env(args.env, settings.get("n_envs", 1), seed=args.seed)
    test = make_vec_env(args.env, 1, seed=args.seed + 1_000_000)
    if envs.get("normalize_obs"):
        normal = {"norm_obs": True, "gamma": gamma}
        train = VecNormalize(train, norm_reward=envs.get("normalize_reward", False), **normal)
        test = VecNormalize(test, norm_reward=False, training=False, **normal)

    class Curve(BaseCallback):
        spent, since, last = 0.0, perf_counter(), 0

        def _on_step(self) -> bool:
            if self.num_timesteps // args.eval_every > self.last:
                self.last = self.num_timesteps // args.eval_every
                self.spent += perf_counter() - self.since
                if envs.get("normalize_obs"):
                    sync_envs_normalization(train, test)
                mean, deviation = evaluate_policy(self.model, test, args.eval_episodes)
                print(f"{self.num_timesteps}\t{mean:.1f}\t{deviation:.1f}\t{self.spent:.0f} s", flush=True)
                self.since = perf_counter()
            return True

    print("steps\tmean\tdeviation\ttraining")
    model = getattr(stable_baselines3, args.algorithm.upper())
    arguments = translated(settings["agent"], args.steps)
    model("MlpPolicy", train, device="cpu", seed=args.seed, **arguments).learn(args.steps, Curve())


if __name__ == "__main__":
    main()
