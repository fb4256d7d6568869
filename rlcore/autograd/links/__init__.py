"""L: links, with the names, arguments and meaning of Chainer v7's."""

from rlcore.autograd.links.connection import Linear

__all__ = ["Linear"]
