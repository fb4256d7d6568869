"""The state of simulators that Python cannot look into: ALE and MuJoCo."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

KINDS = ("ale", "mujoco")


def encoded(value: Any) -> dict[str, Any] | None:
    """The whole state of an ALEInterface, generator included, or of an MjData as arrays; None for anything else.

    Also None for an ALE with sticky actions: the action that it may repeat is not in its state.
    """
    if _is(value, "ale_py", "ALEInterface"):
        if value.getFloat("repeat_action_probability"):
            return None
        return {"kind": "ale", "value": np.frombuffer(value.cloneState(include_rng=True).serialize(), np.uint8)}
    if _is(value, "mujoco", "MjData"):
        mujoco: Any = sys.modules["mujoco"]
        spec = mujoco.mjtState.mjSTATE_INTEGRATION
        state = np.empty(mujoco.mj_stateSize(value.model, spec))
        mujoco.mj_getState(value.model, value, state, spec)
        # Ant and Humanoid compute rewards from positions that lag behind the state by one step of the integration
        return {"kind": "mujoco", "value": state, "derived": {k: np.array(a) for k, a in _derived(value).items()}}
    return None


def restore(state: dict[str, Any], here: Any) -> None:
    """Put an `encoded` state into a simulator made the same way; ValueError if it is damaged or of another one."""
    try:
        if state["kind"] == "ale":
            here.restoreState(sys.modules["ale_py"].ALEState(np.asarray(state["value"], np.uint8).tobytes()))
            return
        mujoco: Any = sys.modules["mujoco"]
        mujoco.mj_setState(here.model, here, np.asarray(state["value"]), mujoco.mjtState.mjSTATE_INTEGRATION)
        own = _derived(here)
        for name, array in state["derived"].items():
            own[name][...] = array
    except (KeyError, TypeError, ValueError, SystemError, AttributeError) as error:
        name = type(here).__name__
        raise ValueError(
            f"load: the state is damaged, or not of this {name} ({type(error).__name__}: {error})"
        ) from None


def seen_through(value: Any) -> bytes | None:
    """What shows whether MuJoCo's model, which is in no state, has changed; None for anything else."""
    if not _is(value, "mujoco", "MjModel"):
        return None
    mujoco: Any = sys.modules["mujoco"]
    buffer = np.empty(mujoco.mj_sizeModel(value), np.uint8)
    mujoco.mj_saveModel(value, None, buffer)
    return buffer.tobytes()


def _derived(data: Any) -> dict[str, np.ndarray]:
    """What MuJoCo computes from its state, but for what each step lays out anew, which is empty before the first."""
    fresh = type(data)(data.model)
    return {k: getattr(data, k) for k, a in _arrays(fresh) if a.dtype == np.float64 and a.size}


def _arrays(data: Any) -> Iterator[tuple[str, np.ndarray]]:
    for name in dir(data):
        if not name.startswith("_") and isinstance(array := getattr(data, name), np.ndarray):
            yield name, array


def _is(value: Any, module: str, name: str) -> bool:
    """isinstance without an import: who has an object has its module."""
    return module in sys.modules and isinstance(value, getattr(sys.modules[module], name, ()))
