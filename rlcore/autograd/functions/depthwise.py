"""Convolution with a filter of its own for each channel."""

from __future__ import annotations

import math

from rlcore.autograd.dual import ones_for, summed
from rlcore.autograd.functions.nd_convolution import Trilinear, check_bias_and_dtypes, settings_of
from rlcore.autograd.functions.windows import channels_first, channels_last, check_input, fitting
from rlcore.backend import xp_of

__all__ = ["depthwise_convolution_2d"]


class Depthwise(Trilinear):
    """The form with a filter W (M, C, *ksize) for each channel: offset by offset, channels side by side in memory."""

    saves = "x W"

    def forward(self, x, W, b=None):
        (M, C), w, x = W.shape[:2], self.w, channels_last(x)
        y = xp_of(x).zeros((M, len(x), *w.outs, C), x.dtype)
        for index, i, o in w.offsets():
            part = x[i]
            for m in range(M):
                y[m][o] += part * W[m][index]
        y = y.transpose(*range(1, y.ndim), 0).reshape(len(x), *w.outs, C * M)
        if b is not None:
            y += b
        return channels_first(y)

    def backward(self, gy, x, W):
        ex, eW, eb = self.edges
        return (
            ex and DepthwiseInputGradient(self.w, self.groups).on(gy, W),
            eW and DepthwiseWeightGradient(self.w, self.groups).on(x, gy),
            eb and summed(gy, (0, *range(2, gy.ndim))),
        )


class DepthwiseInputGradient(Trilinear):
    saves = "g W"

    def forward(self, g, W):
        (M, C), w = W.shape[:2], self.w
        g = channels_last(g).reshape(len(g), *w.outs, C, M)
        x = xp_of(g).zeros((len(g), *w.ins, C), g.dtype)
        for index, i, o in w.offsets():
            for m in range(M):
                x[i] += g[o][..., m] * W[m][index]
        return channels_first(x)

    def backward(self, gx, g, W):
        eg, eW = self.edges
        return (
            eg and Depthwise(self.w, self.groups).on(gx, W),
            eW and DepthwiseWeightGradient(self.w, self.groups).on(gx, g),
        )


class DepthwiseWeightGradient(Trilinear):
    saves = "x g"

    def forward(self, x, g):
        C, w = x.shape[1], self.w
        M = g.shape[1] // C if C else 1
        x, g = channels_last(x), channels_last(g).reshape(len(g), *w.outs, C, M)
        gW = xp_of(x).empty((M, C, *w.ksize), x.dtype)
        for index, i, o in w.offsets():
            for m in range(M):
                both = x[i] * g[o][..., m]
                both = both.reshape(math.prod(both.shape[:-1]), C)
                gW[m][index] = ones_for(both).dot(both)
        return gW

    def backward(self, gW, x, g):
        ex, eg = self.edges
        return (
            ex and DepthwiseInputGradient(self.w, self.groups).on(g, gW),
            eg and Depthwise(self.w, self.groups).on(x, gW),
        )


def depthwise_convolution_2d(x, W, b=None, stride=1, pad=0):
    """Each channel of x (N, C, H, W) with its own filters W (M, C, kh, kw): (N, C * M, ...), M results side by side."""
    check_input("depthwise_convolution_2d", x, 2)
    given = f"x {tuple(x.shape)}, W {tuple(W.shape)}"
    if W.ndim != 4 or W.shape[1] != x.shape[1]:
        raise ValueError(f"depthwise_convolution_2d: expected x (N, C, H, W) and W (M, C, kh, kw), got {given}")
    M, C = W.shape[:2]
    check_bias_and_dtypes("depthwise_convolution_2d", x, W, b, M * C, given)
    w, dilate = settings_of("depthwise_convolution_2d", W.shape[2:], stride, pad, 1)
    return Depthwise(fitting("depthwise_convolution_2d", x, w, False, dilate), C).apply(x, W, b)
