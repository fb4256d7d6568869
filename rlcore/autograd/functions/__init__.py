"""F: functions on arrays and Variables, with the names, arguments and meaning of Chainer v7's."""

from rlcore.autograd.functions import (
    activation,
    array,
    connection,
    indexing,
    joining,
    linalg,
    loss,
    math,
    reduction,
)
from rlcore.autograd.functions.activation import *
from rlcore.autograd.functions.array import *
from rlcore.autograd.functions.connection import *
from rlcore.autograd.functions.indexing import *
from rlcore.autograd.functions.joining import *
from rlcore.autograd.functions.linalg import *
from rlcore.autograd.functions.loss import *
from rlcore.autograd.functions.math import *
from rlcore.autograd.functions.reduction import *

__all__ = [
    *activation.__all__,
    *array.__all__,
    *connection.__all__,
    *indexing.__all__,
    *joining.__all__,
    *linalg.__all__,
    *loss.__all__,
    *math.__all__,
    *reduction.__all__,
]
