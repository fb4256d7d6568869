"""The header of a run: what makes it, as JSON values; checked when it is read, compared before a run goes on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

NOT_COMPARED = ("monitor", "steps")  # they may change when a run goes on
TYPES: dict[str, Any] = {
    "algorithm": str, "env": (str, type(None)), "observation_space": str, "action_space": str, "seed": int,
    "n_envs": int, "agent": dict, "envs": dict, "monitor": dict,
}  # fmt: skip


@dataclass(frozen=True)
class Monitor:
    """What a run writes into its folder, and how often; steps are rows, one per environment and step."""

    log_every: int = 1_000  # rows between lines in TensorBoard
    eval_every: int = 10_000  # rows between evaluations
    eval_episodes: int = 20  # episodes of an evaluation
    checkpoint_every: int = 10_000  # rows between checkpoints
    keep: int = 3  # checkpoints that stay

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if getattr(self, field.name) < 1:
                raise ValueError(f"{field.name} must be at least 1, got {getattr(self, field.name)}")


class Header:
    """The part of a checkpoint that says what made it: it is compared, not loaded."""

    def __init__(self, header: dict[str, Any]):
        self.header = header

    def state(self) -> dict[str, Any]:
        return self.header

    def check(self, state: dict[str, Any]) -> None:
        for name, here in self.header.items():
            if name not in NOT_COMPARED and state.get(name) != here:
                raise ValueError(f"the checkpoint is of a run with {name} {state.get(name)}, this one has {here}")

    load = check


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
