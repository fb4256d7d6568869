"""Convolutions over other than two axes, and the rarer ones over two, as links that own their weights."""

from __future__ import annotations

from typing import Any

from rlcore.autograd.functions import depthwise
from rlcore.autograd.functions import nd_convolution as F
from rlcore.autograd.functions.windows import out_size, per_axis
from rlcore.autograd.link import Link
from rlcore.autograd.links.convolution import Convolutional, channels_of
from rlcore.autograd.parameter import Parameter

__all__ = [
    "Convolution1D",
    "Convolution3D",
    "ConvolutionND",
    "Deconvolution1D",
    "Deconvolution3D",
    "DeconvolutionND",
    "DepthwiseConvolution2D",
    "DilatedConvolution2D",
    "LocalConvolution2D",
]


class ConvolutionND(Convolutional):
    """F.convolution_nd over ndim axes with W (out_channels, in_channels / groups, *ksize) and b.

    in_channels None is settled by the first call, and may be left out: `ConvolutionND(3, 8, 4)`.
    """

    def __init__(
        self,
        ndim: int,
        in_channels: int | None,
        out_channels: int | None,
        ksize: Any = None,
        stride: Any = 1,
        pad: Any = 0,
        nobias: bool = False,
        initialW: Any = None,
        initial_bias: Any = None,
        cover_all: bool = False,
        dilate: Any = 1,
        groups: int = 1,
    ):
        super().__init__(
            ndim, in_channels, out_channels, ksize, stride, pad, nobias, initialW, initial_bias, dilate, groups
        )
        self.cover_all = cover_all

    def forward(self, x: Any) -> Any:
        if self.W.array is None:
            self._settle(x)
        return F.convolution_nd(x, self.W, self.b, self.stride, self.pad, self.cover_all, self.dilate, self.groups)


class DeconvolutionND(Convolutional):
    """F.deconvolution_nd over ndim axes with W (in_channels, out_channels / groups, *ksize) and b.

    in_channels None is settled by the first call, and may be left out: `DeconvolutionND(3, 8, 4)`.
    """

    def __init__(
        self,
        ndim: int,
        in_channels: int | None,
        out_channels: int | None,
        ksize: Any = None,
        stride: Any = 1,
        pad: Any = 0,
        nobias: bool = False,
        outsize: Any = None,
        initialW: Any = None,
        initial_bias: Any = None,
        dilate: Any = 1,
        groups: int = 1,
    ):
        super().__init__(
            ndim, in_channels, out_channels, ksize, stride, pad, nobias, initialW, initial_bias, dilate, groups
        )
        self.outsize = outsize

    def _shape(self, in_channels: int) -> tuple[int, ...]:
        return in_channels, self.out_channels // self.groups, *self.ksize

    def forward(self, x: Any) -> Any:
        if self.W.array is None:
            self._settle(x)
        return F.deconvolution_nd(x, self.W, self.b, self.stride, self.pad, self.outsize, self.dilate, self.groups)


class Convolution1D(ConvolutionND):
    """ConvolutionND over one axis."""

    def __init__(self, in_channels: int | None, out_channels: int, ksize: Any, *args: Any, **named: Any):
        super().__init__(1, in_channels, out_channels, ksize, *args, **named)


class Convolution3D(ConvolutionND):
    """ConvolutionND over three axes."""

    def __init__(self, in_channels: int | None, out_channels: int, ksize: Any, *args: Any, **named: Any):
        super().__init__(3, in_channels, out_channels, ksize, *args, **named)


class Deconvolution1D(DeconvolutionND):
    """DeconvolutionND over one axis."""

    def __init__(self, in_channels: int | None, out_channels: int, ksize: Any, *args: Any, **named: Any):
        super().__init__(1, in_channels, out_channels, ksize, *args, **named)


class Deconvolution3D(DeconvolutionND):
    """DeconvolutionND over three axes."""

    def __init__(self, in_channels: int | None, out_channels: int, ksize: Any, *args: Any, **named: Any):
        super().__init__(3, in_channels, out_channels, ksize, *args, **named)


class DilatedConvolution2D(Convolutional):
    """F.dilated_convolution_2d with W (out_channels, in_channels, kh, kw) and b.

    in_channels None is settled by the first call, and may be left out: `DilatedConvolution2D(8, 3)`.
    """

    def __init__(
        self,
        in_channels: int | None,
        out_channels: int | None,
        ksize: Any = None,
        stride: Any = 1,
        pad: Any = 0,
        dilate: Any = 1,
        nobias: bool = False,
        initialW: Any = None,
        initial_bias: Any = None,
    ):
        super().__init__(2, in_channels, out_channels, ksize, stride, pad, nobias, initialW, initial_bias, dilate, 1)

    def forward(self, x: Any) -> Any:
        if self.W.array is None:
            self._settle(x)
        return F.dilated_convolution_2d(x, self.W, self.b, self.stride, self.pad, self.dilate)


class DepthwiseConvolution2D(Link):
    """F.depthwise_convolution_2d with W (channel_multiplier, in_channels, kh, kw) and b.

    in_channels None is settled by the first call.
    """

    def __init__(
        self,
        in_channels: int | None,
        channel_multiplier: int,
        ksize: Any,
        stride: Any = 1,
        pad: Any = 0,
        nobias: bool = False,
        initialW: Any = None,
        initial_bias: Any = None,
    ):
        super().__init__()
        self.channel_multiplier, self.stride, self.pad = channel_multiplier, stride, pad
        self.ksize = per_axis("DepthwiseConvolution2D", "ksize", ksize, 2, 1)
        self.W = Parameter(initialW)
        self.b = None if nobias else Parameter(0 if initial_bias is None else initial_bias)
        if in_channels is not None:
            self._settle(in_channels)

    def _settle(self, in_channels: int) -> None:
        self.W.initialize((self.channel_multiplier, in_channels, *self.ksize))
        if self.b is not None:
            self.b.initialize(self.channel_multiplier * in_channels)

    def forward(self, x: Any) -> Any:
        if self.W.array is None:
            self._settle(channels_of(self, x, 2))
        return depthwise.depthwise_convolution_2d(x, self.W, self.b, self.stride, self.pad)


class LocalConvolution2D(Link):
    """F.local_convolution_2d with W (out_channels, oh, ow, in_channels, kh, kw) and b (out_channels, oh, ow).

    in_channels and in_size (an integer, or height and width) None are settled by the first call.
    """

    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        in_size: Any = None,
        ksize: Any = None,
        stride: Any = 1,
        nobias: bool = False,
        initialW: Any = None,
        initial_bias: Any = None,
    ):
        super().__init__()
        name = "LocalConvolution2D"
        self.out_channels, self.ksize = out_channels, per_axis(name, "ksize", ksize, 2, 1)
        self.stride = per_axis(name, "stride", stride, 2, 1)
        self.W = Parameter(initialW)
        self.b = None if nobias else Parameter(0 if initial_bias is None else initial_bias)
        if in_channels is not None and in_size is not None:
            self._settle(in_channels, per_axis(name, "in_size", in_size, 2, 1))

    def _settle(self, in_channels: int, in_size: tuple[int, ...]) -> None:
        places = tuple([out_size(n, k, s, 0) for n, k, s in zip(in_size, self.ksize, self.stride)])
        if min(places) < 1:
            raise ValueError(f"LocalConvolution2D: no window {self.ksize} fits into size {in_size}")
        self.W.initialize((self.out_channels, *places, in_channels, *self.ksize))
        if self.b is not None:
            self.b.initialize((self.out_channels, *places))

    def forward(self, x: Any) -> Any:
        if self.W.array is None:
            self._settle(channels_of(self, x, 2), tuple(x.shape[2:]))
        return F.local_convolution_2d(x, self.W, self.b, self.stride)
