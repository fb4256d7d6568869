"""L: links, with the names, arguments and meaning of Chainer v7's."""

from rlcore.autograd.links import (
    activation,
    composed,
    connection,
    convolution,
    gru,
    n_step,
    nd_convolution,
    normalization,
    rnn,
    rnn_scan,
    stack,
)
from rlcore.autograd.links.activation import *
from rlcore.autograd.links.composed import *
from rlcore.autograd.links.connection import *
from rlcore.autograd.links.convolution import *
from rlcore.autograd.links.gru import *
from rlcore.autograd.links.n_step import *
from rlcore.autograd.links.nd_convolution import *
from rlcore.autograd.links.normalization import *
from rlcore.autograd.links.rnn import *
from rlcore.autograd.links.rnn_scan import *
from rlcore.autograd.links.stack import *

__all__ = [
    *activation.__all__,
    *composed.__all__,
    *connection.__all__,
    *convolution.__all__,
    *gru.__all__,
    *n_step.__all__,
    *nd_convolution.__all__,
    *normalization.__all__,
    *rnn.__all__,
    *rnn_scan.__all__,
    *stack.__all__,
]
