"""`rlcore eval RUN`: the return of a trained policy over fresh episodes."""

from __future__ import annotations

from pathlib import Path

from rlcore.api import Run
from rlcore.envs.wrappers import learning
from rlcore.harness import load_state
from rlcore.harness.files import present

EPISODES = 20  # of the evaluation that ends a training


def main(run: Path, /, episodes: int = EPISODES, best: bool = False, env: str | None = None) -> None:
    """Evaluate the policy of a run folder on fresh episodes.

    Args:
        run: the run folder.
        episodes: how many episodes are played.
        best: take the policy of the best evaluation while training, not the last one.
        env: Gymnasium id, needed where that of the run is MODULE:ID: no file may import a module.
    """
    trained = Run.read(run, env)
    if best:
        take_best(trained, run)
    report(trained, episodes)


def take_best(trained: Run, folder: Path) -> None:
    """Put the policy of a run's best evaluation, and what its wrappers had learned, in the place of the last one."""
    if not present(folder / "best").is_dir():
        raise ValueError(f"{folder} has no evaluation yet, so no best policy; leave out --best to take the last one")
    stored = load_state(folder / "best")
    wrappers, learned = learning(trained.env), stored.get("learned", [])
    if len(wrappers) != len(learned):
        raise ValueError(f"{folder / 'best'} is of {len(learned)} learning wrappers, the run has {len(wrappers)}")
    for wrapper, own in zip(wrappers, learned):
        wrapper.check_own(own)
    trained.agent.actor.load(stored["actor"])
    for wrapper, own in zip(wrappers, learned):
        wrapper.load_own(own)
    trained.t = stored["t"]


def report(run: Run, episodes: int) -> None:
    """Print the mean return over fresh episodes."""
    returns = run.evaluate(episodes)
    print(
        f"mean return {returns.mean():.1f} +- {returns.std():.1f} over {episodes} fresh episodes, after {run.t:,} steps"
    )
