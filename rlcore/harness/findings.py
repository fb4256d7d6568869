"""What random walks through an environment show, as findings in plain words with what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from gymnasium import spaces

from rlcore.envs.batch import structure
from rlcore.envs.capture import levels
from rlcore.harness.walks import Walk, first_end

PATIENCE = 10  # times the steps of a walk, for an episode that did not end in it
REMEDY = "train with time_limit (--time-limit), wrap it in TimeLimit, or register it with max_episode_steps"
LARGE, SMALL, APART = 10.0, 1e-2, 100.0  # scale of rewards or observations; ratio between elements of one


class Finding(NamedTuple):
    """A verdict on one topic, and what to do if it is not ok."""

    verdict: Literal["ok", "warning", "problem"]
    topic: str
    text: str
    remedy: str = ""


@dataclass
class Case:
    """An environment and its walks: in two fresh instances alike, again in the first, and there with another seed."""

    make: Callable[[], Any]
    env: Any
    steps: int
    seed: int
    walks: list[Walk]
    render: Callable[[], Any] | None  # makes one that gives pictures


def in_spaces(env: Any) -> Iterator[Finding]:
    """What the spaces show; a problem, and nothing else, where elements of one are no arrays."""
    try:
        structure(env.observation_space)
        structure(env.action_space, "actions")
    except ValueError as error:
        yield Finding("problem", "spaces", str(error), "use spaces of gymnasium.spaces whose elements are arrays")
        return
    yield Finding("ok", "observation space", _named(env.observation_space))
    yield from _actions(env.action_space)


def _actions(space: Any) -> Iterator[Finding]:
    topic = "action space"
    boxes = [leaf for leaf in _leaves(space) if isinstance(leaf, spaces.Box)]
    starts = [leaf for leaf in _leaves(space) if isinstance(leaf, spaces.Discrete) and leaf.start != 0]
    if any(not (np.isfinite(box.low) & np.isfinite(box.high)).all() for box in boxes):
        text = f"{_named(space)} is not bounded: a policy cannot be scaled to it"
        yield Finding("problem", topic, text, "give each element of the action a finite low and high")
    elif any((box.low != -1).any() or (box.high != 1).any() for box in boxes):
        text = f"{_named(space)} is not [-1, 1], in which policies act and explore"
        yield Finding("warning", topic, text, "wrap it in RescaleAction, unless the algorithm scales actions itself")
    elif starts:
        text = f"{starts[0]} does not start at 0, as many algorithms need"
        yield Finding("warning", topic, text, "let it start at 0, and add the start in step()")
    else:
        yield Finding("ok", topic, _named(space))


def _running(case: Case) -> Iterator[Finding]:
    errors = [w.error for w in case.walks if w.error]
    if errors:
        yield Finding("problem", "running", errors[0], "mend the environment: training would end there")
    else:
        yield Finding("ok", "running", f"{case.steps:,} random steps without an error")


def _observations(case: Case) -> Iterator[Finding]:
    odd = case.walks[0].odd
    for topic, remedy, fine in (
        ("observations", "return what observation_space promises, or correct the space", "all as the space promises"),
        ("finite numbers", "find the division, root or logarithm; clip what may overflow", "all numbers are finite"),
    ):
        if topic in odd:
            yield Finding("problem", topic, _times(odd[topic]), remedy)
        elif topic == "observations" and "types" in odd:
            yield Finding("warning", topic, _times(odd["types"]) + "; rlcore casts, other code may not", remedy)
        else:
            yield Finding("ok", topic, fine)
    if "buffers" in odd:
        text = _times(odd["buffers"]) + "; rlcore copies, other code may not"
        yield Finding("warning", "buffers", text, "return a copy of the buffer")
    else:
        yield Finding("ok", "buffers", "observations stay as they were given")


def _seeding(case: Case) -> Iterator[Finding]:
    first, fresh, again, other = (w.digests for w in case.walks)
    remedy = "call super().reset(seed=seed), and draw from self.np_random alone"
    if not first or not fresh:
        return
    if first[0] != fresh[0]:
        yield Finding("problem", "seeding", "reset(seed=s) begins two episodes differently", remedy)
        return
    if first == other:
        text = "seeds make no difference: an evaluation over 20 episodes plays one 20 times"
        yield Finding("warning", "seeding", text, "if the task is to vary, draw from self.np_random")
    else:
        yield Finding("ok", "seeding", "the same seed gives the same episode, another seed another")
    k = _differ(first, fresh)
    if k is not None:
        text = f"the same seeds and actions give something else from row {k} on"
        yield Finding("problem", "determinism", text, remedy)
    elif (k := _differ(first, again)) is not None:
        text = f"something outlives reset(): played again, episodes differ from row {k} on"
        yield Finding("warning", "determinism", text, "set everything anew in reset()")
    else:
        yield Finding("ok", "determinism", f"{len(first):,} rows are the same bit for bit in three plays")


def _global_generators(case: Case) -> Iterator[Finding]:
    drawn = sorted({name for w in case.walks for name in w.drawn})
    if drawn:
        text = f"it draws from {' and '.join(drawn)}, or seeds it: what else draws there is not reproducible"
        yield Finding("warning", "global generators", text, "draw from self.np_random, which reset(seed=...) seeds")
    else:
        yield Finding("ok", "global generators", "left alone")


def _episodes(case: Case) -> Iterator[Finding]:
    ended, steps = case.walks[0].episodes, len(case.walks[0].rewards)
    spec = getattr(case.env, "spec", None)
    limit = getattr(spec, "max_episode_steps", None)
    if limit is None:
        limit = next((getattr(at, "_max_episode_steps", None) for at in levels(case.env)), None)
    kwargs = getattr(spec, "kwargs", {})
    if limit is None and "max_num_frames_per_episode" in kwargs:  # ALE's own
        limit = kwargs["max_num_frames_per_episode"] // np.max(kwargs.get("frameskip", 1))
    limited = f"a time limit cuts after {limit:,} steps" if limit else "there is no time limit"
    if not ended:
        text = f"no episode ended in {steps:,} random steps; {limited}"
        if limit or steps < case.steps:
            yield Finding("ok", "episodes", text)
        elif end := first_end(case.env, PATIENCE * steps, case.seed):
            text = f"a random one ended after {end:,} steps; {limited}: those of a policy may never end"
            yield Finding("warning", "episodes", text, REMEDY)
        else:
            text = f"a random episode has not ended after {PATIENCE * steps:,} steps; {limited}: it may never end"
            yield Finding("problem", "episodes", text, REMEDY)
        return
    lengths = sorted(e.length for e in ended)
    cut, both = (sum(e.truncated and e.terminated == t for e in ended) for t in (False, True))
    text = f"{len(ended)} ended, of {lengths[0]} to {lengths[-1]} steps"
    text += f": {len(ended) - cut} by termination, {cut} by truncation; {limited}"
    if both:
        text += f"; {both} were both at once, which counts as terminated"
    if len(ended) >= 3 and not cut and not both and 1 < lengths[0] == lengths[-1]:
        text += ". All of one length: is this a time limit that says terminated?"
        remedy = "a time limit must say truncated, else what comes after it is taken to be worth nothing"
        yield Finding("warning", "episodes", text, remedy)
    else:
        yield Finding("ok", "episodes", text)


def _reward_scale(case: Case) -> Iterator[Finding]:
    rewards = np.array([r for r in case.walks[0].rewards if np.isfinite(r)])
    if not len(rewards):
        return
    returns = [e.total for e in case.walks[0].episodes]
    largest, rms = np.abs(rewards).max(), float(np.sqrt(np.mean(rewards**2)))
    text = f"{rewards.min():.3g} to {rewards.max():.3g}, mean {rewards.mean():.3g}, deviation {rewards.std():.3g}"
    text += f"; mean return {np.mean(returns):.4g}" if returns else ""
    if not largest:
        remedy = "expect that exploring takes long: shape the reward, or make the goal nearer at first"
        yield Finding("warning", "reward scale", f"no reward but 0 in {len(rewards):,} random steps", remedy)
    elif largest > 10 * LARGE or rms > LARGE or largest < SMALL:
        remedy = "scale rewards to about 1: NormalizeReward, ScaleReward"
        yield Finding("warning", "reward scale", f"{'small' if largest < SMALL else 'large'}: {text}", remedy)
    else:
        yield Finding("ok", "reward scale", text)


def _observation_scale(case: Case) -> Iterator[Finding]:
    wide, still, seen = [], 0, 0
    for path, rows in case.walks[0].floats.items():
        table = np.array([row for row in rows if row.shape == rows[0].shape and np.isfinite(row).all()], np.float64)
        if not table.size:
            continue
        std, size = table.std(axis=0), np.sqrt(np.mean(table**2, axis=0))
        moving = std > 1e-9 * (1 + size)
        seen, still = seen + len(std), still + int((~moving).sum())
        if size.max() > LARGE:
            i = int(size.argmax())
            wide.append(f"element {i} of the observation{path} is {table[:, i].mean():.3g} +- {std[i]:.3g}")
        elif moving.any() and std[moving].max() > APART * std[moving].min():
            spread = std[moving].max() / std[moving].min()
            wide.append(f"elements of the observation{path} vary up to {spread:,.0f} times as much as others")
    remedy = "wrap it in NormalizeObservation, or divide by known scales"
    if wide:
        yield Finding("warning", "observation scale", "; ".join(wide), remedy)
    elif seen:
        text = f"{seen} numbers, none beyond {LARGE:.0f}, all of like spread"
        yield Finding("ok", "observation scale", text + (f"; {still} never changed" if still else ""))


IN_WALKS: dict[str, Callable[[Case], Iterator[Finding]]] = {
    "running": _running,
    "observations": _observations,
    "seeding": _seeding,
    "global generators": _global_generators,
    "episodes": _episodes,
    "reward scale": _reward_scale,
    "observation scale": _observation_scale,
}


def _leaves(space: Any) -> list[Any]:
    inner = getattr(space, "spaces", None)
    if inner is None:
        return [space]
    return [leaf for part in (inner.values() if isinstance(inner, dict) else inner) for leaf in _leaves(part)]


def _named(space: Any) -> str:
    text = re.sub(r"\s+", " ", str(space))
    return text if len(text) <= 100 else f"{text[:97]}..."


def _times(odd: list[str]) -> str:
    return odd[0] + (f" (and {len(odd) - 1:,} more)" if len(odd) > 1 else "")


def _differ(a: list[bytes], b: list[bytes]) -> int | None:
    """The first row in which two walks differ."""
    if a == b:
        return None
    return next((k for k, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
