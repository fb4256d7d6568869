"""F: functions on arrays and Variables, with the names, arguments and meaning of Chainer v7's."""

from rlcore.autograd.functions.activation import log_softmax, relu, sigmoid, softmax, tanh
from rlcore.autograd.functions.array import (
    broadcast_to,
    cast,
    concat,
    expand_dims,
    flatten,
    get_item,
    reshape,
    select_item,
    split_axis,
    squeeze,
    stack,
    sum_to,
    transpose,
    where,
)
from rlcore.autograd.functions.connection import linear
from rlcore.autograd.functions.loss import huber_loss, mean_squared_error, squared_error
from rlcore.autograd.functions.math import (
    absolute,
    argmax,
    argmin,
    average,
    clip,
    exp,
    identity,
    log,
    matmul,
    max,
    maximum,
    mean,
    min,
    minimum,
    sqrt,
    square,
    sum,
)

__all__ = [
    "absolute", "argmax", "argmin", "average", "broadcast_to", "cast", "clip", "concat", "exp", "expand_dims",
    "flatten", "get_item", "huber_loss", "identity", "linear", "log", "log_softmax", "matmul", "max", "maximum",
    "mean", "mean_squared_error", "min", "minimum", "relu", "reshape", "select_item", "sigmoid", "softmax",
    "split_axis", "sqrt", "square", "squared_error", "squeeze", "stack", "sum", "sum_to", "tanh", "transpose", "where",
]  # fmt: skip
