"""Optimizers as a few in-place operations on flat slices, and schedules of the learning rate."""

from rlcore.autograd.optimizers import schedules
from rlcore.autograd.optimizers.adam import AdaBound, Adam, AdamW, AMSBound, AMSGrad
from rlcore.autograd.optimizers.adaptive import MSVAG, SMORMS3, AdaDelta, AdaGrad
from rlcore.autograd.optimizers.base import Optimizer
from rlcore.autograd.optimizers.rmsprop import RMSprop, RMSpropGraves, RMSpropWarmup
from rlcore.autograd.optimizers.sgd import LARS, SGD, CorrectedMomentumSGD, MomentumSGD, NesterovAG

__all__ = [
    "LARS", "MSVAG", "SGD", "SMORMS3", "AMSBound", "AMSGrad", "AdaBound", "AdaDelta", "AdaGrad", "Adam", "AdamW",
    "CorrectedMomentumSGD", "MomentumSGD", "NesterovAG", "Optimizer", "RMSprop", "RMSpropGraves", "RMSpropWarmup",
    "schedules",
]  # fmt: skip
