"""Device names, as Chainer writes them ("@numpy", "@cupy:1"), and what moves an array there."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np

from rlcore.backend import to_cpu, xp_of


def device_of(array: Any) -> str:
    """Where an array lies."""
    if xp_of(array) is np:
        return "@numpy"
    device = getattr(array, "device", None)
    return "@cupy" if device is None else f"@cupy:{device.id}"


def mover(device: Any) -> Callable[[Any], Any]:
    """A function that brings arrays to a device, and leaves alone what lies there.

    device: "@numpy", "@cupy", "@cupy:1", or "cpu", "gpu", "gpu:1", the modules, or (cupy, 1).
    """
    found = _found(device)
    if found is None:
        return to_cpu
    cupy, there = found

    def move(array: Any) -> Any:
        with there or nullcontext():
            return cupy.asarray(array)

    return move


def use(device: Any) -> None:
    """Make a numbered device of CuPy's the current one, as work on arrays that lie there needs it to be."""
    found = _found(device)
    if found is not None and found[1] is not None:
        found[1].use()


def _found(device: Any) -> tuple[Any, Any] | None:
    """CuPy, and its device if that has a number; None for NumPy."""
    module, number = device if isinstance(device, tuple) else (device, None)
    name = f"@{module.__name__}" if hasattr(module, "__name__") else str(module)
    if number is not None:
        name += f":{number}"
    if name in ("@numpy", "native", "cpu"):
        return None
    parts = re.fullmatch(r"(?:@cupy|gpu|cuda)(?::(\d+))?", name)
    if parts is None:
        raise ValueError(f"to_device: expected 'cpu', 'gpu', 'gpu:1', '@numpy', '@cupy' or '@cupy:1', got {device!r}")
    try:
        cupy = importlib.import_module("cupy")
    except (ImportError, OSError, RuntimeError) as error:  # it is absent, or was built for another CUDA
        raise RuntimeError(
            f'to_device: {name} needs CuPy ({error}); run: pip install "rlcore[cuda12]" or "rlcore[cuda13]"'
        ) from error
    return cupy, parts[1] and cupy.cuda.Device(int(parts[1]))
