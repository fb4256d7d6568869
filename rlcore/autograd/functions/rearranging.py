"""Elements of an array in another arrangement: reversed, repeated, bordered, picked along strides."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.autograd.dual import raw, summed
from rlcore.autograd.function import Function
from rlcore.autograd.functions.array import axis_of, flatten, moveaxis
from rlcore.autograd.functions.indexing import get_item
from rlcore.backend import xp_of

__all__ = [
    "as_strided",
    "diagonal",
    "flip",
    "fliplr",
    "flipud",
    "pad",
    "repeat",
    "tile",
]


def flip(x, axis):
    """x with its elements along an axis in reverse order."""
    return get_item(x, (slice(None),) * axis_of("flip", axis, x) + (slice(None, None, -1),))


def flipud(a):
    """a with its first axis reversed."""
    return flip(a, 0)


def fliplr(a):
    """a with its second axis reversed."""
    return flip(a, 1)


def diagonal(x, offset=0, axis1=0, axis2=1):
    """The diagonals of the matrices that axis1 and axis2 span, as the last axis."""
    a, b = axis_of("diagonal", axis1, x), axis_of("diagonal", axis2, x)
    if a == b:
        raise ValueError(f"diagonal: axis1 and axis2 must differ, got {axis1} and {axis2}")
    i, j = max(-offset, 0), max(offset, 0)
    along = xp_of(raw(x)).arange(max(min(x.shape[a] - i, x.shape[b] - j), 0))
    return get_item(moveaxis(x, (a, b), (-2, -1)), (Ellipsis, along + i, along + j))


def as_strided(x, shape, strides, storage_offset=None):
    """Element (i, j, ...) of `shape` is number offset + i * strides[0] + j * strides[1] ... of x in C order.

    Strides count elements; x's own layout in memory plays no part, and what lies outside x cannot be reached.
    """
    if len(shape) != len(strides):
        raise ValueError(f"as_strided: shape {tuple(shape)} and strides {tuple(strides)} must be of one length")
    offset = storage_offset or 0
    steps = [(n - 1) * s for n, s in zip(shape, strides)]
    first, last = offset + sum(s for s in steps if s < 0), offset + sum(s for s in steps if s > 0)
    if 0 not in shape and not 0 <= first <= last < x.size:
        raise ValueError(
            f"as_strided: shape {tuple(shape)}, strides {tuple(strides)} and offset {offset} reach elements {first} to "
            f"{last}, x of shape {tuple(x.shape)} has {x.size}"
        )
    xp = xp_of(raw(x))
    index = xp.zeros(shape, np.intp) + offset
    for axis, (n, s) in enumerate(zip(shape, strides)):
        index += (xp.arange(n) * s).reshape(n, *[1] * (len(shape) - axis - 1))
    return get_item(flatten(x), index)


class Repeat(Function):
    def __init__(self, repeats: int, axis: int):
        self.repeats, self.axis = repeats, axis

    def forward(self, x):
        self.parted = (*x.shape[: self.axis + 1], self.repeats, *x.shape[self.axis + 1 :])
        return x.repeat(self.repeats, self.axis)

    def backward(self, gy):
        return summed(gy.reshape(self.parted), self.axis + 1)


def repeat(x, repeats, axis=None):
    """Each element along an axis so many times in a row, or `repeats[i]` times; the flattened x if axis is None."""
    if axis is None:
        x, axis = flatten(x), 0
    axis = axis_of("repeat", axis, x)
    counts = (repeats,) if isinstance(repeats, (int, np.integer)) else tuple(repeats)
    if len(counts) not in (1, x.shape[axis]) or any(n < 0 for n in counts):
        raise ValueError(
            f"repeat: repeats must be one number >= 0, or one for each of the {x.shape[axis]} elements of axis {axis} "
            f"of x {tuple(x.shape)}; got {repeats!r}"
        )
    if len(counts) == 1:
        return Repeat(int(counts[0]), axis).apply(x)
    index = xp_of(raw(x)).asarray(np.repeat(np.arange(x.shape[axis]), counts))
    return get_item(x, (slice(None),) * axis + (index,))


class Tile(Function):
    def __init__(self, reps: tuple[int, ...]):
        self.reps = reps

    def forward(self, x):
        self.shape = x.shape
        return xp_of(x).tile(x, self.reps)

    def backward(self, gy):
        n = max(len(self.reps), len(self.shape))
        shape, reps = (1,) * (n - len(self.shape)) + self.shape, (1,) * (n - len(self.reps)) + self.reps
        parted = [size for pair in zip(reps, shape) for size in pair]
        return summed(gy.reshape(parted), tuple(range(0, 2 * n, 2))).reshape(self.shape)


def tile(x, reps):
    """x laid side by side `reps` times along its axes, by NumPy's rules."""
    reps = (int(reps),) if isinstance(reps, (int, np.integer)) else tuple(map(int, reps))
    if any(n < 0 for n in reps):
        raise ValueError(f"tile: reps must be >= 0, got {reps}")
    return Tile(reps).apply(x)


class Pad(Function):
    def __init__(self, widths: list[tuple[int, int]], value: Any):
        self.widths, self.value = widths, value

    def forward(self, x):
        self.inside = tuple([slice(before, before + n) for (before, _), n in zip(self.widths, x.shape)])
        if np.ndim(self.value):
            return xp_of(x).pad(x, self.widths, "constant", constant_values=self.value)
        y = xp_of(x).full([n + a + b for n, (a, b) in zip(x.shape, self.widths)], self.value, x.dtype)
        y[self.inside] = x
        return y

    def backward(self, gy):
        return gy[self.inside]


def pad(x, pad_width, mode, **keywords):
    """x with borders along its axes, as numpy.pad; pad_width: a number, (before, after), or such a pair for each axis.

    mode: "constant" (constant_values=), "edge", "reflect", "symmetric" or "wrap".
    """
    try:
        widths = [(int(a), int(b)) for a, b in np.broadcast_to(pad_width, (x.ndim, 2))]
    except ValueError:
        widths = [(-1, -1)]
    if any(a < 0 or b < 0 for a, b in widths):
        raise ValueError(
            f"pad: pad_width must be a number >= 0, a pair, or a pair for each of {x.ndim} axes, got {pad_width!r}"
        )
    unknown = set(keywords) - ({"constant_values"} if mode == "constant" else set())
    if mode not in ("constant", "edge", "reflect", "symmetric", "wrap") or unknown:
        raise ValueError(
            "pad: expected mode 'constant' with or without constant_values, or 'edge', 'reflect', 'symmetric' or "
            f"'wrap', got mode {mode!r} and {sorted(keywords)}"
        )
    if mode == "constant":
        return Pad(widths, keywords.get("constant_values", 0)).apply(x)
    xp = xp_of(raw(x))
    return get_item(
        x, tuple(map(xp.asarray, np.ix_(*[np.pad(np.arange(n), w, mode) for n, w in zip(x.shape, widths)])))
    )
