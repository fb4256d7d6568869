"""Sums of products over any axes: each pair of operands is one matrix product."""

from __future__ import annotations

import math
import string
from typing import Any

from rlcore.autograd.dual import raw
from rlcore.autograd.functions.array import reshape, transpose
from rlcore.autograd.functions.indexing import get_item
from rlcore.autograd.functions.linalg import Matmul
from rlcore.autograd.functions.math import Mul, identity
from rlcore.autograd.functions.reduction import sum
from rlcore.backend import xp_of

__all__ = ["einsum", "tensordot"]

Labels = list[Any]  # a name for each axis of an operand


def tensordot(a, b, axes=2):
    """Sum of products over the last `axes` of a and the first of b, or over the axes in two lists, as in NumPy."""
    over_a, over_b = (range(-axes, 0), range(axes)) if isinstance(axes, int) else axes
    over_a, over_b = ([k] if isinstance(k, int) else list(k) for k in (over_a, over_b))
    try:
        alike = [a.shape[k] for k in over_a] == [b.shape[k] for k in over_b]
        once = len({k % a.ndim for k in over_a}) == len({k % b.ndim for k in over_b}) == len(over_a)
    except IndexError:
        alike = False
    if not (alike and once):
        raise ValueError(f"tensordot: axes {axes} do not match in a {a.shape} and b {b.shape}")
    of_a, of_b = list(range(a.ndim)), list(range(a.ndim, a.ndim + b.ndim))
    for i, j in zip(over_a, over_b):
        of_b[j] = of_a[i]
    return _product(of_a, a, of_b, b, {*of_a, *of_b} - {of_a[i] for i in over_a})[1]


def einsum(*operands):
    """Sum of products in NumPy's notation: `einsum("ij,jk->ik", a, b)` or `einsum(a, [0, 1], b, [1, 2], [0, 2])`.

    An ellipsis broadcasts and must stay in the output; a letter stands for one length.
    """
    inputs, output, xs = _read(operands)
    terms = [_labels(term, x) for term, x in zip(inputs, xs)]
    sizes = _sizes(terms, xs)
    out = _output(terms, output, sizes)
    pairs = [_diagonal(*_narrow(labels, x, sizes)) for labels, x in zip(terms, xs)]
    labels, x = pairs[0]
    for k, (others, other) in enumerate(pairs[1:], 2):
        wanted = {*out, *(name for later, _ in pairs[k:] for name in later)}
        labels, x = _summed(labels, x, {*wanted, *others})
        labels, x = _product(labels, x, *_summed(others, other, {*wanted, *labels}), wanted)
    labels, x = _summed(labels, x, set(out))
    return _ordered(labels, identity(x) if x is xs[0] else x, out)


def _read(operands: tuple[Any, ...]) -> tuple[list[str], str | None, list[Any]]:
    """Subscripts of the inputs and of the output, None if they do not name it, and the arrays."""
    if operands and isinstance(operands[0], str):
        text, xs = operands[0].replace(" ", ""), list(operands[1:])
    else:
        letters, end = string.ascii_uppercase + string.ascii_lowercase, len(operands) // 2 * 2
        terms = ["".join("..." if k is Ellipsis else letters[k] for k in one) for one in operands[1:end:2]]
        given = ["".join("..." if k is Ellipsis else letters[k] for k in one) for one in operands[end:]]
        text, xs = "->".join([",".join(terms), *given]), list(operands[0:end:2])
    inputs, arrow, output = text.partition("->")
    for term in (*inputs.split(","), output):
        if not set(term.replace("...", "", 1)) <= set(string.ascii_letters):
            raise ValueError(f"einsum: {text!r} is not made of letters, at most one '...' a term, ',' and one '->'")
    if inputs.count(",") + 1 != len(xs):
        raise ValueError(f"einsum: {text!r} names {inputs.count(',') + 1} operands, got {len(xs)}")
    return inputs.split(","), output if arrow else None, xs


def _labels(term: str, x: Any) -> Labels:
    """A label for each axis: a letter, or for an axis of the ellipsis its number, -1 for the last."""
    before, dots, after = term.partition("...")
    n = x.ndim - len(before) - len(after)
    if n < 0 or (n and not dots):
        raise ValueError(f"einsum: {term!r} does not fit an operand of shape {x.shape}")
    return [*before, *range(-n, 0), *after]


def _sizes(terms: list[Labels], xs: list[Any]) -> dict[Any, int]:
    sizes: dict[Any, int] = {}
    for labels, x in zip(terms, xs):
        for name, n in zip(labels, x.shape):
            known = sizes.setdefault(name, n)
            if n != known:
                if isinstance(name, str) or (n != 1 and known != 1):
                    what = repr(name) if isinstance(name, str) else "the ellipsis"
                    raise ValueError(f"einsum: {what} has length {known} in one operand and {n} in another")
                sizes[name] = n if known == 1 else known
    return sizes


def _output(terms: list[Labels], output: str | None, sizes: dict[Any, int]) -> Labels:
    dots = sorted(name for name in sizes if isinstance(name, int))
    if output is None:
        names = [name for labels in terms for name in labels if isinstance(name, str)]
        return [*dots, *sorted(name for name in names if names.count(name) == 1)]
    before, ellipsis, after = output.partition("...")
    if dots and not ellipsis:
        raise ValueError(f"einsum: the output {output!r} must have '...' too: an ellipsis is not summed over")
    for name in before + after:
        if name not in sizes or output.count(name) > 1:
            raise ValueError(f"einsum: {name!r} in the output {output!r} is not an input's, or is there twice")
    return [*before, *dots, *after]


def _narrow(labels: Labels, x: Any, sizes: dict[Any, int]) -> tuple[Labels, Any]:
    """Without the axes of length 1 that broadcast: the product does that."""
    stay = [k for k, name in enumerate(labels) if x.shape[k] == sizes[name]]
    if len(stay) == x.ndim:
        return labels, x
    return [labels[k] for k in stay], reshape(x, tuple([x.shape[k] for k in stay]))


def _diagonal(labels: Labels, x: Any) -> tuple[Labels, Any]:
    """With one axis for each label."""
    for name in [name for k, name in enumerate(labels) if labels.index(name) < k]:
        if labels.count(name) > 1:
            axes = [k for k, other in enumerate(labels) if other == name]
            rest = [k for k in range(x.ndim) if k not in axes]
            along = xp_of(raw(x)).arange(x.shape[axes[0]])
            x = get_item(transpose(x, (*axes, *rest)), (along,) * len(axes))
            labels = [name, *[labels[k] for k in rest]]
    return labels, x


def _summed(labels: Labels, x: Any, wanted: set[Any]) -> tuple[Labels, Any]:
    """Without the axes that nobody asks for."""
    axes = tuple([k for k, name in enumerate(labels) if name not in wanted])
    return ([name for name in labels if name in wanted], sum(x, axes)) if axes else (labels, x)


def _product(of_a: Labels, a: Any, of_b: Labels, b: Any, wanted: set[Any]) -> tuple[Labels, Any]:
    """Labels and product of two operands, summed over what they share and nobody wants."""
    sizes = dict(zip((*of_a, *of_b), (*a.shape, *b.shape)))
    shared = [name for name in of_a if name in of_b]
    stack, inner = [name for name in shared if name in wanted], [name for name in shared if name not in wanted]
    left, right = [name for name in of_a if name not in shared], [name for name in of_b if name not in shared]

    def shape(names: Labels) -> list[int]:
        return [sizes[name] for name in names]

    def flat(names: Labels) -> int:
        return math.prod(shape(names))

    a = _shaped(_ordered(of_a, a, [*stack, *left, *inner]), (*shape(stack), flat(left), flat(inner)))
    b = _shaped(_ordered(of_b, b, [*stack, *inner, *right]), (*shape(stack), flat(inner), flat(right)))
    y = (Matmul() if inner else Mul()).apply(a, b)  # without a sum, broadcasting is faster
    labels = [*stack, *left, *right]
    return labels, _shaped(y, tuple(shape(labels)))


def _ordered(labels: Labels, x: Any, order: Labels) -> Any:
    return x if labels == order else transpose(x, tuple([labels.index(name) for name in order]))


def _shaped(x: Any, shape: tuple[int, ...]) -> Any:
    return x if x.shape == shape else reshape(x, shape)
