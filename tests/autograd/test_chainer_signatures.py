"""Names, argument order and defaults are those of Chainer 7.8.1, as `inspect.signature` printed them there."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest

from rlcore import distributions
from rlcore.autograd import functions, initializers, links, optimizer_hooks, optimizers

MODULES = {
    "F": functions, "L": links, "optimizers": optimizers, "initializers": initializers,
    "optimizer_hooks": optimizer_hooks, "distributions": distributions,
}  # fmt: skip
LINES = (Path(__file__).parent / "data" / "chainer_signatures.txt").read_text("utf-8").splitlines()


def arguments(line: str) -> list[tuple[str, Any]]:
    """(name, default) of each argument; ... for a default that is an object, no default is inspect's empty."""
    found = ast.parse(f"def f{line[line.index('(') :]}: pass").body[0].args
    defaults = [inspect.Parameter.empty] * (len(found.args) - len(found.defaults))
    defaults += [ast.literal_eval(d) for d in found.defaults]
    rest = [(f"*{found.vararg.arg}", inspect.Parameter.empty)] if found.vararg else []
    return [(a.arg, d) for a, d in zip(found.args, defaults, strict=True)] + rest


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[: line.index("(")])
def test_a_call_in_chainers_words_is_understood(line):
    module, _, name = line[: line.index("(")].partition(".")
    ours = getattr(MODULES[module], name)
    taken = inspect.signature(ours.__init__ if inspect.isclass(ours) else ours).parameters.values()
    by_place = [p for p in taken if p.name != "self" and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    star = [p for p in taken if p.kind == p.VAR_POSITIONAL]
    for i, (theirs, default) in enumerate(arguments(line)):
        if theirs.startswith("*"):
            assert star, f"{theirs} is not taken"
            continue
        if i >= len(by_place):
            assert star, f"{theirs} is not taken by its place"
            continue
        assert by_place[i].name == theirs
        if default not in (..., inspect.Parameter.empty):
            assert by_place[i].default == default
