"""L: links, with the names, arguments and meaning of Chainer v7's."""

from rlcore.autograd.links import activation, composed, connection, convolution, nd_convolution, normalization
from rlcore.autograd.links.activation import *
from rlcore.autograd.links.composed import *
from rlcore.autograd.links.connection import *
from rlcore.autograd.links.convolution import *
from rlcore.autograd.links.nd_convolution import *
from rlcore.autograd.links.normalization import *

__all__ = [
    *activation.__all__,
    *composed.__all__,
    *connection.__all__,
    *convolution.__all__,
    *nd_convolution.__all__,
    *normalization.__all__,
]
