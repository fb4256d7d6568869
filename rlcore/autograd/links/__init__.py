"""L: links, with the names, arguments and meaning of Chainer v7's."""

from rlcore.autograd.links import connection
from rlcore.autograd.links.connection import *

__all__ = [*connection.__all__]
