"""How an op's `apply` is written out, as dataclasses write `__init__`, and how its errors are told."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from rlcore.autograd.function import Function, Slot, name_of, next_order, recording
from rlcore.autograd.function_calls import arranged
from rlcore.autograd.functions.math import Identity
from rlcore.autograd.variable import Variable


def explained(op: Function, error: Exception, names: Sequence[str], inputs: Sequence[Any]) -> Exception:
    """The error of a forward pass as one message with the op's name and its arguments' shapes and dtypes."""
    if len(names) < len(inputs):  # *xs
        names = [f"{names[0]}[{i}]" for i in range(len(inputs))]
    got = ", ".join(
        f"{n} {tuple(x.shape)} {x.dtype}" if hasattr(x, "shape") else f"{n} {type(x).__name__}"
        for n, x in zip(names, inputs)
        if x is not None
    )
    if isinstance(error, AttributeError) and not all(x is None or hasattr(x, "dtype") for x in inputs):
        return TypeError(f"{name_of(op)}: expected arrays or Variables ({error}; got {got})")
    for kind in (TypeError, ValueError, IndexError):
        if isinstance(error, kind):
            return kind(f"{name_of(op)}: {error} (got {got})")
    return error


def written_out(cls: type[Function]) -> Any:
    """`apply` for one op, with its own argument names and without a loop over them: half the cost of a general one.

    For `forward(self, x, W, b=None)` and `saves = "x mask"` the text is, in short: take node and array out of each
    Variable, call forward, wrap the result, and if an input has a node, fill edges, order and saved.
    """
    signature = inspect.signature(cls.forward)
    parameters = list(signature.parameters.values())[1:]
    names = [p.name for p in parameters]
    saves = cls.saves.split()
    if cls.composite and not set(names) <= set(saves):
        raise TypeError(f"{cls.__name__}: an op with a composite must save all its inputs {names}, it saves {saves}")
    scope = {
        "Variable": Variable, "new": object.__new__, "next_order": next_order, "recording": recording, "Slot": Slot,
        "generic": np.generic, "asarray": np.asarray, "ndarray": np.ndarray, "explained": explained, "names": names,
        "apart": apart,
    }  # fmt: skip
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        if set(names) & set(saves):
            raise TypeError(f"{cls.__name__}: inputs taken as *{names[0]} have no names and cannot be saved")
        head = call = "*xs"
        unpack, anything, edges, listed = _UNPACK_MANY, "es.count(None) < len(es)", "es", "xs"
    else:
        head = ", ".join(p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters)
        call = ", ".join(names)
        unpack = "".join(_UNPACK_ONE.format(n) for n in names)
        anything = " or ".join(f"e_{n} is not None" for n in names)
        edges, listed = _tuple([f"e_{n}" for n in names]), f"[{call}]"
        if twice := " or ".join(f"e_{a} is e_{b} is not None" for a, b in combinations(names, 2)):
            edges = f"apart({edges}) if {twice} else {edges}"

    def kept(name: str) -> str:
        if re.fullmatch(r"y\d+", name):
            return f"y[{name[1:]}]"
        return name if name in names or name == "y" else f"self.{name}"

    saved = [kept(name) for name in saves]
    drop = "".join(f"; del {text}" for text in saved if text.startswith("self."))
    text = _APPLY.format(head=head, unpack=unpack, call=call, listed=listed) + (
        (_WRAP_MANY if cls.many else _WRAP_ONE).format(anything=anything, edges=edges, saved=_tuple(saved), drop=drop)
    )
    # the text is made of this op's own signature and of nothing else
    exec(compile(text, f"<apply of {cls.__name__}>", "exec"), scope)
    scope["apply"].__doc__ = Function.apply.__doc__
    return arranged(cls, scope["apply"])


def apart(edges: tuple[Any, ...]) -> tuple[Any, ...]:
    """The edges of an op that has one vertex in two places, a leaf's further ones behind an identity.

    In the memory that waits for a leaf's gradient an op may write one gradient, not two.
    """
    out: list[Any] = []
    for e in edges:
        if e is not None and e.slot is not None and e in out:
            op = Identity()
            op.edges, op.order, op.g, op.saved = (e,), next_order(), None, ()
            e = op
        out.append(e)
    return tuple(out)


def _tuple(texts: list[str]) -> str:
    return "(" + "".join(f"{text}, " for text in texts) + ")"


_UNPACK_ONE = """
    e_{0} = None
    if isinstance({0}, Variable):
        e_{0} = {0}.node
        {0} = {0}.array"""

_UNPACK_MANY = """
    es, arrays = [], []
    for x in xs:
        if isinstance(x, Variable):
            es.append(x.node)
            arrays.append(x.array)
        else:
            es.append(None)
            arrays.append(x)
    es, xs = tuple(es), arrays"""

_APPLY = """
def apply(self, {head}):{unpack}
    try:
        y = self.forward({call})
    except Exception as error:
        raise explained(self, error, names, {listed}) from error"""

_WRAP_ONE = """
    if type(y) is not ndarray and isinstance(y, generic):
        y = asarray(y)
    v = new(Variable)
    v.array = y
    if ({anything}) and recording():
        self.edges = {edges}; self.order = next_order(); self.g = None; self.saved = {saved}{drop}
        v.node = self
    else:
        v.node = None
    return v
"""

_WRAP_MANY = """
    record = ({anything}) and recording()
    if record:
        self.edges = {edges}; self.order = next_order(); self.g = None; self.saved = {saved}{drop}
    vs = []
    for k, a in enumerate(y):
        v = new(Variable)
        v.array = asarray(a) if isinstance(a, generic) else a
        v.node = Slot(self, k) if record else None
        vs.append(v)
    return tuple(vs)
"""
