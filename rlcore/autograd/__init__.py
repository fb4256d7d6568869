"""The define-by-run autograd core: Variables, functions (F), links (L) and optimizers, in Chainer's words."""

from rlcore.autograd import functions, initializers, links, optimizer_hooks, optimizers
from rlcore.autograd.chain import Chain, ChainList, Sequential
from rlcore.autograd.config import config, using_config
from rlcore.autograd.function import Function, force_backprop_mode, no_backprop_mode
from rlcore.autograd.grad import grad
from rlcore.autograd.link import Link
from rlcore.autograd.parameter import Parameter
from rlcore.autograd.variable import Variable, as_array, as_variable

__all__ = [
    "Chain", "ChainList", "Function", "Link", "Parameter", "Sequential", "Variable", "as_array", "as_variable",
    "config", "force_backprop_mode", "functions", "grad", "initializers", "links", "no_backprop_mode",
    "optimizer_hooks", "optimizers", "using_config",
]  # fmt: skip
