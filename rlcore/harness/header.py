"""The header of a run: what makes it, as JSON values; checked when it is read, compared before a run goes on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from rlcore.fields import Count, Natural, check_fields

NOT_COMPARED = ("monitor", "steps")  # they may change when a run goes on,
HOW = ("workers", "env_timeout")  # as may how environments are run, which changes no number
TYPES: dict[str, Any] = {
    "algorithm": str, "env": (str, type(None)), "observation_space": str, "action_space": str, "seed": int,
    "n_envs": int, "agent": dict, "envs": dict, "monitor": dict,
}  # fmt: skip


@dataclass(frozen=True)
class Monitor:
    """What a run writes into its folder, and how often; steps are rows, one per environment and step."""

    log_every: Count = 1_000  # rows between lines in TensorBoard
    eval_every: Count = 10_000  # rows between evaluations
    eval_episodes: Count = 20  # episodes of an evaluation
    checkpoint_every: Count = 10_000  # rows between checkpoints
    keep: Count = 3  # checkpoints that stay
    tags: Literal["sb3", "cleanrl"] = "sb3"  # names of scalars in TensorBoard: Stable-Baselines3's or CleanRL's
    histograms_every: Natural = 0  # rows between histograms of parameters and gradients; 0: none
    video_every: Natural = 0  # evaluations from one film of an episode to the next; 0: none

    def __post_init__(self) -> None:
        check_fields(self)


class Header:
    """The part of a checkpoint that says what made it: it is compared, not loaded."""

    def __init__(self, header: dict[str, Any]):
        self.header = header

    def state(self) -> dict[str, Any]:
        return self.header

    def check(self, state: dict[str, Any]) -> None:
        # what the state does not say, this run has by default: it is made from a header that does not say it either
        if odd := "; with ".join(differences(compared(completed(state, self.header)), compared(self.header))):
            raise ValueError(f"the checkpoint is of a run with {odd}")

    load = check


def completed(header: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """A header with the settings that it does not say, as an older version did not know them."""
    groups = [name for name in ("agent", "envs") if isinstance(header.get(name), dict)]
    return {**header, **{name: {**defaults[name], **header[name]} for name in groups if name in defaults}}


def compared(header: dict[str, Any]) -> dict[str, Any]:
    """What of a header must be the same when a run goes on."""
    kept = {k: v for k, v in header.items() if k not in NOT_COMPARED}
    if isinstance(envs := kept.get("envs"), dict):
        kept["envs"] = {k: v for k, v in envs.items() if k not in HOW}
    return kept


def differences(theirs: Any, ours: Any, name: str = "") -> Iterator[str]:
    """In words, the names at which two headers differ."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in [*ours, *(theirs.keys() - ours.keys())]:
            yield from differences(theirs.get(key), ours.get(key), f"{name}.{key}" if name else key)
    elif theirs != ours:
        yield f"{name} {theirs}, this one has {ours}"


def check_header(header: Any, where: Any) -> None:
    """ValueError unless a header has all that a run is made from."""
    if not isinstance(header, dict):
        raise ValueError(f"{where} has no header of a run, but {header!r}")
    for name, kind in TYPES.items():
        if name not in header:
            raise ValueError(f"{where} is of no run: it has no {name!r}")
        if not isinstance(header[name], kind) or isinstance(header[name], bool):
            raise ValueError(f"{where}: {name!r} is {header[name]!r}, which no run has")


def check_names(config: dict[str, Any], where: Any) -> None:
    """ValueError if a config.json, which need not be whole, has a name that none has."""
    known = [*TYPES, "steps"]
    for name in config:
        if name not in known:
            near = get_close_matches(name, known, n=3, cutoff=0.5) or known
            raise ValueError(f"{where} has an unknown name {name!r}; did you mean {', '.join(near)}?")
