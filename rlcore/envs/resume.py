"""The state of running episodes: the environments' own, or the actions that lead there again."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.envs.batch import row
from rlcore.envs.capture import capture, load_captured
from rlcore.envs.streams import Streams
from rlcore.tree import leaves, map_, put


def state_of(streams: Streams, how: str) -> dict[str, Any]:
    """Returns and lengths of the running episodes, and of each stream what `how`, "own" or "replay", needs."""
    if how != "replay":
        streams.log = None  # what is no use
    if how == "own":
        running = [capture(env) for env in streams.envs]
    else:
        running = [_stacked(actions) for actions in streams.log or []]
    lengths = [streams.t - begun for begun in streams.begun.tolist()]
    return {"returns": list(streams.returns), "lengths": lengths, "streams": running}


def load(streams: Streams, how: str, seed: int, state: dict[str, Any]) -> None:
    """Take a `state_of` back, with the last observations, "obs", beside it; the numbers are in memory already."""
    streams.seed = seed
    streams.log = [[] for _ in streams.envs] if streams.reseed == "episode" and how != "own" else None
    if how == "no":
        return
    last = streams.memory["last"]
    put(last, ..., state["obs"])
    for i, env in enumerate(streams.envs):
        streams.reset(i, last, seeded=True)
        if how == "own":
            load_captured(env, state["streams"][i])
        else:
            _replay(streams, i, state["streams"][i], state["obs"], state["returns"][i])
    streams.returns = [float(r) for r in state["returns"]]
    streams.begun[:] = [streams.t - int(k) for k in state["lengths"]]


def _replay(streams: Streams, i: int, taken: dict[str, Any], saved: Any, total: float) -> None:
    """Bring a stream to where it was by its episode's actions; observation and return must come out the same."""
    sum_, over, last = 0.0, False, streams.memory["last"]
    for k in range(taken["n"]):
        a = map_(lambda _, part, k=k: part[k], streams.acting, taken["actions"])
        a = int(a) if streams.whole else a
        streams.log[i].append(a if streams.whole else map_(np.array, a))  # type: ignore[index]  # some write into it
        o, r, terminated, truncated, _ = streams.envs[i].step(a)
        put(last, i, o)
        sum_ += float(r)
        over = over or terminated or truncated
    same = [there[i].tobytes() == here[i].tobytes() for there, here in zip(leaves(last), leaves(saved))]
    if over or sum_ != total or not all(same):
        raise ValueError(
            f"{streams.name(i)} is not deterministic: the same seed and actions led to {row(last, i)} and the "
            f"return {sum_}, not to {row(saved, i)} and {total}; to resume, it must draw from its np_random alone"
        )


def _stacked(actions: list[Any]) -> dict[str, Any]:
    """An episode's actions as arrays with a leading axis of its length."""
    if not actions:
        return {"n": 0}
    return {"n": len(actions), "actions": map_(lambda *parts: np.stack([np.asarray(p) for p in parts]), *actions)}
