"""Images (N, C, H, W) in another size, pixels moved into channels and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.autograd.dual import raw
from rlcore.autograd.functions.array import reshape, transpose
from rlcore.autograd.functions.indexing import get_item
from rlcore.autograd.functions.linalg import matmul
from rlcore.backend import xp_of

__all__ = [
    "depth2space",
    "resize_images",
    "space2depth",
]


def _checked(name: str, x: Any) -> Any:
    if x.ndim != 4:
        raise ValueError(f"{name}: expected images (N, C, H, W), got shape {tuple(x.shape)}")
    return x.shape


def depth2space(X, r):
    """Channels (N, r * r * C, H, W) spread over squares of r by r pixels: (N, C, r * H, r * W). Shi et al. 2016."""
    n, c, h, w = _checked("depth2space", X)
    if r < 1 or c % (r * r):
        raise ValueError(f"depth2space: {c} channels do not divide by r * r = {r * r}")
    squares = transpose(reshape(X, (n, r, r, c // (r * r), h, w)), (0, 3, 4, 1, 5, 2))
    return reshape(squares, (n, c // (r * r), r * h, r * w))


def space2depth(X, r):
    """Squares of r by r pixels of (N, C, r * H, r * W) laid into channels (N, r * r * C, H, W): undoes depth2space."""
    n, c, h, w = _checked("space2depth", X)
    if r < 1 or h % r or w % r:
        raise ValueError(f"space2depth: {h} x {w} pixels do not divide by r = {r}")
    squares = transpose(reshape(X, (n, c, h // r, r, w // r, r)), (0, 3, 5, 1, 2, 4))
    return reshape(squares, (n, r * r * c, h // r, w // r))


def resize_images(x, output_shape, mode="bilinear", align_corners=True):
    """Images (N, C, H, W) at output_shape (H', W'), by linear interpolation or from the pixel at or before.

    align_corners: the outer pixels' centres stay where they are; without, their outer edges do. "nearest" takes pixel
    floor(i * H / H') either way.
    """
    shape = _checked("resize_images", x)
    if len(output_shape) != 2 or min(output_shape) < 1:
        raise ValueError(f"resize_images: output_shape must be two numbers >= 1, got {tuple(output_shape)}")
    if 0 in shape[2:]:
        raise ValueError(f"resize_images: images of shape {tuple(shape)} have no pixels")
    xp = xp_of(raw(x))
    sizes = list(zip(shape[2:], output_shape))
    if mode == "nearest":
        rows, columns = [np.arange(new) * old // new for old, new in sizes]
        return get_item(x, (slice(None), slice(None), xp.asarray(rows[:, None]), xp.asarray(columns)))
    if mode != "bilinear":
        raise ValueError(f"resize_images: mode must be 'bilinear' or 'nearest', got {mode!r}")
    if x.dtype.kind != "f":
        raise TypeError(f"resize_images: mode 'bilinear' takes floats, got {x.dtype}; cast x, or take 'nearest'")
    rows, columns = [xp.asarray(_interpolation(old, new, align_corners).astype(x.dtype)) for old, new in sizes]
    return matmul(rows, matmul(x, columns.T))


def _interpolation(old: int, new: int, align_corners: bool) -> Any:
    """The matrix (new, old) whose rows weigh the two nearest of `old` points."""
    if align_corners:
        at = np.linspace(0, old - 1, new)
    else:
        at = ((np.arange(new) + 0.5) * old / new - 0.5).clip(0, old - 1)
    return (1 - abs(at[:, None] - np.arange(old))).clip(0, 1)
