"""F: functions on arrays and Variables, with the names, arguments and meaning of Chainer v7's."""

from rlcore.autograd.functions import (
    activation,
    array,
    connection,
    contraction,
    convolution,
    cross_entropy,
    cumulative,
    depthwise,
    evaluation,
    image,
    indexing,
    joining,
    linalg,
    loss,
    math,
    n_step,
    nd_convolution,
    noise,
    normalization,
    pooling,
    rearranging,
    recompute,
    reduction,
    reinforcement,
    rnn_cells,
    rnn_scan,
    rounding,
    special,
    trigonometry,
    unpooling,
)
from rlcore.autograd.functions.activation import *
from rlcore.autograd.functions.array import *
from rlcore.autograd.functions.connection import *
from rlcore.autograd.functions.contraction import *
from rlcore.autograd.functions.convolution import *
from rlcore.autograd.functions.cross_entropy import *
from rlcore.autograd.functions.cumulative import *
from rlcore.autograd.functions.depthwise import *
from rlcore.autograd.functions.evaluation import *
from rlcore.autograd.functions.image import *
from rlcore.autograd.functions.indexing import *
from rlcore.autograd.functions.joining import *
from rlcore.autograd.functions.linalg import *
from rlcore.autograd.functions.loss import *
from rlcore.autograd.functions.math import *
from rlcore.autograd.functions.n_step import *
from rlcore.autograd.functions.nd_convolution import *
from rlcore.autograd.functions.noise import *
from rlcore.autograd.functions.normalization import *
from rlcore.autograd.functions.pooling import *
from rlcore.autograd.functions.rearranging import *
from rlcore.autograd.functions.recompute import *
from rlcore.autograd.functions.reduction import *
from rlcore.autograd.functions.reinforcement import *
from rlcore.autograd.functions.rnn_cells import *
from rlcore.autograd.functions.rnn_scan import *
from rlcore.autograd.functions.rounding import *
from rlcore.autograd.functions.special import *
from rlcore.autograd.functions.trigonometry import *
from rlcore.autograd.functions.unpooling import *

__all__ = [
    *activation.__all__,
    *array.__all__,
    *connection.__all__,
    *contraction.__all__,
    *convolution.__all__,
    *cross_entropy.__all__,
    *cumulative.__all__,
    *depthwise.__all__,
    *evaluation.__all__,
    *image.__all__,
    *indexing.__all__,
    *joining.__all__,
    *linalg.__all__,
    *loss.__all__,
    *math.__all__,
    *n_step.__all__,
    *nd_convolution.__all__,
    *noise.__all__,
    *normalization.__all__,
    *pooling.__all__,
    *rearranging.__all__,
    *recompute.__all__,
    *reduction.__all__,
    *reinforcement.__all__,
    *rnn_cells.__all__,
    *rnn_scan.__all__,
    *rounding.__all__,
    *special.__all__,
    *trigonometry.__all__,
    *unpooling.__all__,
]
