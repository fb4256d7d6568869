"""Settings of a run by their names alone: each belongs to the agent's config, to EnvConfig or to Monitor."""

from __future__ import annotations

import dataclasses
from difflib import get_close_matches
from typing import Any

from rlcore.agents.base import Agent
from rlcore.envs.make import EnvConfig
from rlcore.harness.config import from_dict, to_dict
from rlcore.harness.header import Monitor

ELSEWHERE = {  # what Stable-Baselines3 calls otherwise
    "train_freq": "update_every", "exploration_initial_eps": "epsilon", "exploration_final_eps": "epsilon",
    "exploration_fraction": "epsilon", "optimize_memory_usage": "share_frames", "net_arch": "hidden",
    "policy_kwargs": "hidden", "activation_fn": "activation",
}  # fmt: skip


def distributed(agent_class: type[Agent], config: Any, settings: dict[str, Any]) -> tuple[Any, EnvConfig, Monitor]:
    """The agent's config, the EnvConfig and the Monitor with settings put in; an unknown one is refused."""
    config = agent_class.Config() if config is None else config
    parts = [to_dict(part) for part in (config, EnvConfig(), Monitor())]
    known = [name for part in parts for name in part]
    for name in settings:
        if name not in known:
            near = get_close_matches(name, known, n=3, cutoff=0.5) or known
            if ELSEWHERE.get(name) in known:
                near = [ELSEWHERE[name]]
            raise ValueError(f"{agent_class.__name__} has no setting {name!r}; did you mean {', '.join(near)}?")
    own, envs, monitor = ({**part, **{k: _json(settings[k]) for k in settings if k in part}} for part in parts)
    return from_dict(type(config), own), from_dict(EnvConfig, envs), from_dict(Monitor, monitor)


def _json(value: Any) -> Any:
    return str(value) if dataclasses.is_dataclass(value) else value
