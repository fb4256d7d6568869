"""The dump of a graph as text."""

from __future__ import annotations

import re

import numpy as np
import pytest

from rlcore.autograd import Chain, Variable, no_backprop_mode
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.computational_graph import build_computational_graph

X = np.ones((2, 3), np.float32)


def parts(graph):
    """The labels, boxes in brackets, and the edges by labels."""
    text = graph.dump()
    nodes = {}
    for number, label, shape in re.findall(r'^  (\d+) \[label="(.*?)", shape="(\w+)"', text, re.M):
        nodes[number] = f"[{label}]" if shape == "box" else label
    edges = [f"{nodes[a]} -> {nodes[b]}" for a, b in re.findall(r"^  (\d+) -> (\d+);$", text, re.M)]
    return list(nodes.values()), edges


def test_the_text():
    model = Chain(l1=L.Linear(3, 4))
    y = F.sum(model.l1(Variable(X)))
    text = build_computational_graph([y], link=model).dump()
    assert text == (
        "digraph graphname {\n"
        "  rankdir=TB;\n"
        '  0 [label="(2, 3), float32", shape="ellipse", fillcolor="#E0E0E0", style="filled"];\n'
        '  1 [label="/l1/W: (4, 3), float32", shape="ellipse", fillcolor="#E0E0E0", style="filled"];\n'
        '  2 [label="/l1/b: (4), float32", shape="ellipse", fillcolor="#E0E0E0", style="filled"];\n'
        '  3 [label="linear", shape="box", fillcolor="#6495ED", style="filled"];\n'
        '  4 [label="(2, 4), float32", shape="ellipse", fillcolor="#E0E0E0", style="filled"];\n'
        '  5 [label="sum", shape="box", fillcolor="#6495ED", style="filled"];\n'
        '  6 [label="float32", shape="ellipse", fillcolor="#E0E0E0", style="filled"];\n'
        "  0 -> 3;\n  1 -> 3;\n  2 -> 3;\n  3 -> 4;\n  4 -> 5;\n  5 -> 6;\n"
        "}\n"
    )
    again = F.sum(model.l1(Variable(X)))
    assert build_computational_graph([again], link=model).dump() == text
    y.backward()  # nothing was used up, no gradient was touched
    np.testing.assert_array_equal(model.l1.b.grad, [2, 2, 2, 2])


def test_what_is_met_twice_is_one_node():
    x = Variable(np.ones(3))
    h = F.tanh(x)
    labels, edges = parts(build_computational_graph([h * h, h + x]))
    assert labels == ["(3), float64", "[tanh]", "(3), float64", "[mul]", "(3), float64", "[add]", "(3), float64"]
    assert edges == ["(3), float64 -> [tanh]", "[tanh] -> (3), float64", "(3), float64 -> [mul]",
                     "[mul] -> (3), float64", "(3), float64 -> [add]", "(3), float64 -> [add]",
                     "[add] -> (3), float64"]  # fmt: skip


def test_several_outputs_of_one_function():
    a, b = F.split_axis(Variable(X), [1], 1)
    labels, edges = parts(build_computational_graph(F.sum(a) + F.sum(b)))
    assert labels[:3] == ["(2, 3), float32", "[split_axis]", "(2, 1), float32"]
    assert "[split_axis] -> (2, 2), float32" in edges
    labels, edges = parts(build_computational_graph(F.sum(a) + F.sum(b), remove_variable=True))
    assert labels == ["[split_axis]", "[sum]", "[sum]", "[add]"]
    assert edges == ["[split_axis] -> [sum]", "[split_axis] -> [sum]", "[sum] -> [add]", "[sum] -> [add]"]


def test_a_graph_used_up_has_no_shapes_between():
    y = F.sum(F.tanh(Variable(X)))
    y.backward()
    assert parts(build_computational_graph([y]))[0] == ["(2, 3), float32", "[tanh]", "", "[sum]", "float32"]


def test_a_cut_graph_and_no_graph():
    h = F.tanh(Variable(X))
    y = F.sum(F.tanh(h))
    h.unchain_backward()
    assert parts(build_computational_graph([y]))[0] == ["", "[tanh]", "(2, 3), float32", "[sum]", "float32"]
    with no_backprop_mode():
        y = F.sum(Variable(X))
    assert parts(build_computational_graph([y])) == ([], [])


def test_names_and_styles():
    model = Chain(l1=L.Linear(3, 1))
    y = model.l1(X)
    y.name = "value"
    labels, _ = parts(build_computational_graph([y], link=model))
    assert (labels[0], labels[-1]) == ("/l1/W: (1, 3), float32", "value: (2, 1), float32")
    labels, _ = parts(build_computational_graph([y], show_name=False, link=model))
    assert (labels[0], labels[-1]) == ("(1, 3), float32", "(2, 1), float32")
    text = build_computational_graph([y], True, {"shape": "plain"}, {"shape": 'say "hi"'}, "LR", link=model).dump()
    assert 'label="/l1/W: (1, 3), float32", shape="plain"]' in text
    assert 'label="linear", shape="say \\"hi\\""]' in text
    assert "rankdir=LR;" in text
    with pytest.raises(ValueError, match="rankdir must be TB, BT, LR or RL, got 'UP'"):
        build_computational_graph([y], rankdir="UP")
    with pytest.raises(ValueError, match="only the format 'dot' is known, got 'png'"):
        build_computational_graph([y]).dump("png")
