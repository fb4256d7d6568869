"""Convolution and deconvolution over two axes."""

from __future__ import annotations

from typing import Any

from rlcore.autograd.functions import convolution
from rlcore.autograd.functions.windows import per_axis
from rlcore.autograd.link import Link
from rlcore.autograd.parameter import Parameter

__all__ = ["Convolution2D", "Deconvolution2D"]


def channels_of(link: Link, x: Any, ndim: int, groups: int = 1) -> int:
    """C of x (N, C, and ndim sizes); ValueError if x is of another form or C no multiple of groups."""
    if x.ndim != ndim + 2 or x.shape[1] % groups:
        sizes = "H, W" if ndim == 2 else f"{ndim} sizes"
        multiple = f", C a multiple of {groups}" if groups > 1 else ""
        raise ValueError(f"{type(link).__name__}: expected x (N, C, {sizes}){multiple}, got x {tuple(x.shape)}")
    return x.shape[1]


class Convolutional(Link):
    """What convolutions over ndim axes share: a kernel W, a bias b; in_channels None is settled by the first call."""

    def __init__(
        self,
        ndim: int,
        in_channels: int | None,
        out_channels: int | None,
        ksize: Any,
        stride: Any,
        pad: Any,
        nobias: bool,
        initialW: Any,
        initial_bias: Any,
        dilate: Any,
        groups: int,
    ):
        super().__init__()
        name = type(self).__name__
        if ksize is None:
            in_channels, out_channels, ksize = None, in_channels, out_channels
        if out_channels is None or ksize is None or out_channels < 1 or (in_channels is not None and in_channels < 1):
            raise ValueError(
                f"{name}: channels must be positive integers and ksize given, got in_channels {in_channels}, "
                f"out_channels {out_channels}, ksize {ksize}"
            )
        if groups < 1 or out_channels % groups or (in_channels or groups) % groups:
            raise ValueError(
                f"{name}: groups must divide both channels, got in_channels {in_channels}, out_channels "
                f"{out_channels}, groups {groups}"
            )
        self.ndim, self.out_channels, self.ksize = ndim, out_channels, per_axis(name, "ksize", ksize, ndim, 1)
        self.stride, self.pad, self.dilate, self.groups = stride, pad, dilate, groups
        shape = None if in_channels is None else self._shape(in_channels)
        self.W = Parameter(initialW, shape, order=(*range(2, ndim + 2), 1, 0))  # as the products want it
        self.b = None if nobias else Parameter(0 if initial_bias is None else initial_bias, out_channels)

    def _shape(self, in_channels: int) -> tuple[int, ...]:
        """W's shape."""
        return self.out_channels, in_channels // self.groups, *self.ksize

    def _settle(self, x: Any) -> None:
        self.W.initialize(self._shape(channels_of(self, x, self.ndim, self.groups)))


class Convolution2D(Convolutional):
    """F.convolution_2d with W (out_channels, in_channels / groups, kh, kw) and b (out_channels,).

    `Convolution2D(n, k)` is `Convolution2D(None, n, k)`. initialW: LeCunNormal if None; initial_bias: zeros if None.
    scale: a factor of x, folded into W, with which x may be of integers: frames of uint8 with 1 / 255. relu: the result
    goes through F.relu, in one vertex with the convolution.
    """

    def __init__(
        self,
        in_channels: int | None,
        out_channels: int | None,
        ksize: int | tuple[int, int] | None = None,
        stride: int | tuple[int, int] = 1,
        pad: int | tuple[int, int] = 0,
        nobias: bool = False,
        initialW: Any = None,
        initial_bias: Any = None,
        *,
        dilate: int | tuple[int, int] = 1,
        groups: int = 1,
        scale: float | None = None,
        relu: bool = False,
    ):
        super().__init__(
            2, in_channels, out_channels, ksize, stride, pad, nobias, initialW, initial_bias, dilate, groups
        )
        self.scale, self.relu = scale, relu

    def forward(self, x: Any) -> Any:
        if self.W.array is None:
            self._settle(x)
        return convolution.convolution_2d(
            x,
            self.W,
            self.b,
            self.stride,
            self.pad,
            dilate=self.dilate,
            groups=self.groups,
            scale=self.scale,
            relu=self.relu,
        )


class Deconvolution2D(Convolutional):
    """F.deconvolution_2d with W (in_channels, out_channels / groups, kh, kw) and b (out_channels,).

    `Deconvolution2D(n, k)` is `Deconvolution2D(None, n, k)`. initialW: LeCunNormal if None; initial_bias: zeros if
    None.
    """

    def __init__(
        self,
        in_channels: int | None,
        out_channels: int | None,
        ksize: int | tuple[int, int] | None = None,
        stride: int | tuple[int, int] = 1,
        pad: int | tuple[int, int] = 0,
        nobias: bool = False,
        outsize: int | tuple[int, int] | None = None,
        initialW: Any = None,
        initial_bias: Any = None,
        *,
        dilate: int | tuple[int, int] = 1,
        groups: int = 1,
    ):
        super().__init__(
            2, in_channels, out_channels, ksize, stride, pad, nobias, initialW, initial_bias, dilate, groups
        )
        self.outsize = outsize

    def _shape(self, in_channels: int) -> tuple[int, ...]:
        return in_channels, self.out_channels // self.groups, *self.ksize

    def forward(self, x: Any) -> Any:
        if self.W.array is None:
            self._settle(x)
        return convolution.deconvolution_2d(
            x, self.W, self.b, self.stride, self.pad, self.outsize, dilate=self.dilate, groups=self.groups
        )
