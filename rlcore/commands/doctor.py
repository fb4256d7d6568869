"""`rlcore doctor ENV`: what about an environment would make learning fail or mislead."""

from __future__ import annotations

import sys

from rlcore.harness.doctor import audit


def main(env: str, /, steps: int = 1000, seed: int = 0) -> None:
    """Examine an environment by random steps, and say in plain words what to mend.

    Spaces, observations, NaN, reused buffers, seeding, determinism, episode ends, scales, exact resume, rendering,
    speed, and Gymnasium's own check. The exit code is 1 if there is a problem.

    Args:
        env: Gymnasium id; in MODULE:ID the module is imported first.
        steps: random steps of each walk.
        seed: of the walks.
    """
    found = audit(env, steps, seed)
    width = max(len(f.topic) for f in found)
    for f in found:
        print(f"{f.verdict:8} {f.topic:{width}}  {f.text}")
        if f.remedy:
            print(f"{'':8} {'':{width}}  -> {f.remedy}")
    counts = {verdict: sum(f.verdict == verdict for f in found) for verdict in ("problem", "warning", "ok")}
    said = [f"{n} {verdict}{'s' * (n != 1 and verdict != 'ok')}" for verdict, n in counts.items()]
    print(f"\n{env}: {', '.join(said)}")
    if counts["problem"]:
        sys.exit(1)
