"""An environment's own state, read from the attributes of its wrappers, and a probe of whether that is all."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from copy import deepcopy
from enum import Enum
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
from gymnasium import Space
from gymnasium.envs.registration import EnvSpec

from rlcore.envs import simulators
from rlcore.rng import generator, restore, state_of

STEPS = 20  # of the probe, before the capture and after it
PLAIN = (bool, int, float, str, type(None))  # and no subclass: what comes back from JSON is one of these
CONSTANT = (
    *(*PLAIN, bytes, complex, range, type, Enum),
    *(ModuleType, BuiltinFunctionType, np.dtype, np.ufunc, Space, EnvSpec),
)
BARE = object.__basicsize__ + 16  # an object that is nothing but its __dict__ (and its weak references)


def capture(env: Any) -> dict[str, Any]:
    """The attributes of each level of a wrapper chain that are plain, or simulators that tell their state.

    Plain are numbers, text, arrays, generators, collections of them.
    """
    return {str(k): _members(level) for k, level in enumerate(levels(env))}


def load_captured(env: Any, state: dict[str, Any]) -> None:
    """Put a `capture` back into an environment made and reset the same way."""
    for k, level in enumerate(levels(env)):
        for name, value in state[str(k)].items():
            vars(level)[name] = _decoded(value, vars(level).get(name))


def levels(env: Any) -> list[Any]:
    """The wrapper chain, from the outermost to the environment itself."""
    chain = [env]
    while hasattr(chain[-1], "env") and chain[-1].env is not chain[-1]:
        chain.append(chain[-1].env)
    return chain


def probe(make: Callable[[], Any]) -> bool:
    """Whether a captured state, put into a fresh environment, gives the same next steps bit for bit.

    A state may show late, as a time limit does: what `capture` leaves out must not change in the steps before it. Not
    found is what first changes later than that, a curriculum in an object of its own, say.
    """
    here, there = make(), make()
    if here.unwrapped is there.unwrapped:  # then it is the one in use, and no second can be had
        return False
    try:
        actions = deepcopy(here.action_space)  # the space itself may be shared with who uses the environment
        actions.seed(0)
        here.reset(seed=1)
        rest = _rest(here)
        for k in range(2 * STEPS):
            if _over(here.step(actions.sample())):
                here.reset(seed=2)
            elif k >= STEPS:  # in the midst of an episode, where there is something to lose
                break
        if _rest(here) != rest:
            return False
        there.reset(seed=3)
        load_captured(there, capture(here))
        for _ in range(STEPS):
            action = actions.sample()
            a, b = here.step(deepcopy(action)), there.step(action)  # some write into it
            if not _same(a[:4], b[:4]):
                return False
            if _over(a):
                break
        return True
    except Exception:  # whatever an environment does with attributes it did not expect, its state is not to be had so
        return False
    finally:
        here.close()
        there.close()


def _members(level: Any) -> dict[str, Any]:
    members = {}
    for name, value in vars(level).items():
        captured = _captured(value)
        if captured is not None:
            members[name] = captured
    return members


def _captured(value: Any) -> dict[str, Any] | None:
    encoded = _encoded(value)
    return simulators.encoded(value) if encoded is None else encoded


def _encoded(value: Any) -> dict[str, Any] | None:
    """A plain value as a dict of arrays and JSON scalars with its kind; None for anything else."""
    if type(value) in PLAIN:
        return {"kind": "value", "value": value}
    if type(value) is np.ndarray or isinstance(value, np.generic):
        kind = "array" if type(value) is np.ndarray else "scalar"  # a np.float64 promotes as no float does
        array = np.asarray(value)
        return {"kind": kind, "value": array} if array.dtype.kind in "biuf" and array.itemsize <= 8 else None
    if isinstance(value, np.random.Generator):
        return {"kind": "generator", "value": state_of(value)}
    if type(value) in (list, tuple, deque):
        items = {str(i): _encoded(item) for i, item in enumerate(value)}
        length = getattr(value, "maxlen", None)
        return None if None in items.values() else {"kind": type(value).__name__, "items": items, "maxlen": length}
    if type(value) is dict and all(type(k) is str and k[:1] != "$" for k in value):
        items = {k: _encoded(item) for k, item in value.items()}
        return None if None in items.values() else {"kind": "dict", "items": items}
    return None


def _decoded(state: dict[str, Any], here: Any) -> Any:
    kind = state["kind"]
    if kind == "value":
        return state["value"]
    if kind == "array":
        return np.array(state["value"], order="C")  # as it comes from a file, so that the probe sees the same
    if kind == "scalar":
        return np.asarray(state["value"])[()]
    if kind in simulators.KINDS:
        simulators.restore(state, here)
        return here
    if kind == "generator":
        if not isinstance(here, np.random.Generator):
            here = generator(0)
        restore(here, state["value"])
        return here
    items = {k: _decoded(item, None) for k, item in state["items"].items()}
    if kind == "dict":
        return items
    values = [items[str(i)] for i in range(len(items))]
    return deque(values, state["maxlen"]) if kind == "deque" else tuple(values) if kind == "tuple" else values


def _rest(env: Any) -> list[Any]:
    """What `capture` leaves out, to be compared; TypeError if there is something that cannot be looked into."""
    attributes = [(k, *named) for k, level in enumerate(levels(env)) for named in vars(level).items()]
    left = [item for item in attributes if _captured(item[2]) is None]
    captured = [value for _, _, value in attributes if simulators.encoded(value) is not None]
    seen = {id(value): k for k, value in enumerate([*levels(env), *captured])}
    return [(k, name, _seen_through(value, seen)) for k, name, value in left]


def _seen_through(value: Any, seen: dict[int, int]) -> Any:
    """The plain values that an object leads to, each object once, so that equal means unchanged."""
    if isinstance(value, CONSTANT):
        return repr(value) if isinstance(value, (bytes, complex, range, *PLAIN)) else id(value)
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.dtype.kind != "O"):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, np.random.Generator):
        return repr(state_of(value))
    if id(value) in seen:
        return "seen", seen[id(value)]
    seen[id(value)] = len(seen)
    if (state := simulators.seen_through(value)) is not None:
        return state
    inner: list[Any]
    if isinstance(value, dict):
        inner = [*value.keys(), *value.values()]
    elif isinstance(value, (list, tuple, deque, set, frozenset, np.ndarray)):
        inner = list(value)
    elif isinstance(value, FunctionType):
        inner = [cell.cell_contents for cell in value.__closure__ or ()]
    elif isinstance(value, MethodType):
        inner = [value.__self__]
    elif hasattr(value, "__dict__") and type(value).__basicsize__ <= BARE:  # more would be fields that vars() lacks
        inner = list(vars(value).values())
    else:
        raise TypeError(f"no way to see into a {type(value).__name__}")
    return type(value).__name__, [_seen_through(item, seen) for item in inner]


def _over(result: Any) -> bool:
    return bool(result[2] or result[3])


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(_same, a, b))
    return np.asarray(a).tobytes() == np.asarray(b).tobytes()
