"""The define-by-run autograd core: Variables, functions (F), links (L) and optimizers, in Chainer's words."""

from rlcore.autograd import (
    computational_graph,
    function_hooks,
    functions,
    initializers,
    link_hooks,
    links,
    optimizer_hooks,
    optimizers,
    serializers,
)
from rlcore.autograd.chain import Chain, ChainList, Sequential
from rlcore.autograd.config import config, global_config, using_config
from rlcore.autograd.debug import debug_mode, is_debug
from rlcore.autograd.function import Function, force_backprop_mode, no_backprop_mode
from rlcore.autograd.function_calls import FunctionHook
from rlcore.autograd.grad import backward, grad
from rlcore.autograd.initializers import Initializer
from rlcore.autograd.link import Link
from rlcore.autograd.link_calls import LinkHook
from rlcore.autograd.optimizers import Optimizer
from rlcore.autograd.parameter import Parameter
from rlcore.autograd.variable import Variable, as_array, as_variable

__all__ = [
    "Chain", "ChainList", "Function", "FunctionHook", "Initializer", "Link", "LinkHook", "Optimizer", "Parameter",
    "Sequential", "Variable", "as_array", "as_variable", "backward", "computational_graph", "config", "debug_mode",
    "force_backprop_mode", "function_hooks", "functions", "global_config", "grad", "initializers", "is_debug",
    "link_hooks", "links", "no_backprop_mode", "optimizer_hooks", "optimizers", "serializers", "using_config",
]  # fmt: skip
