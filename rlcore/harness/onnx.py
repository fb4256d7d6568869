"""An exported policy as an ONNX model, from raw observations to actions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rlcore.agents.base import Policy
from rlcore.envs.base import VectorEnv
from rlcore.harness.export import described
from rlcore.harness.files import write
from rlcore.harness.onnx_ops import OPS, UNARY, one_hot, split
from rlcore.policy import decoded, leaves, mapped, named

OPSET = 17  # the first with LayerNormalization


def export_onnx(path: str | Path, policy: Policy, env: VectorEnv) -> None:
    """Write a policy as an ONNX file: an input for each array of an observation, obs_0 ..., and outputs action_0 ...

    All have a leading axis of any length. ONNX remembers nothing: stacked frames are an input as they are, and a
    recurrent network's state is inputs state_0 ..., zeros where an episode begins, and outputs next_state_0 ...
    """
    try:
        import onnx
    except ImportError:
        raise ImportError('to write ONNX: pip install "rlcore[export]"') from None
    if Path(path).exists():
        raise ValueError(f"{path} exists; choose another file")
    description, tensors = described(policy, env)
    model = _Graph(onnx, tensors).model(decoded(description, tensors))
    onnx.checker.check_model(model, full_check=True)
    write(Path(path), model.SerializeToString())


class _Graph:
    """Nodes and constants of an ONNX graph; a value is known by its name."""

    def __init__(self, onnx: Any, tensors: dict[str, np.ndarray]):
        self.onnx, self.tensors = onnx, tensors
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

    def __call__(self, kind: str, *inputs: Any, **attrs: Any) -> str:
        """Add a node; inputs are names, arrays that become constants, or None for one left out."""
        names = ["" if x is None else x if isinstance(x, str) else self.constant(np.asarray(x)) for x in inputs]
        out = f"v{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, names, [out], **attrs))
        return out

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = self.onnx.numpy_helper.from_array(np.array(array, order="C"), name)
        return name

    def cast(self, x: str, dtype: Any) -> str:
        return self("Cast", x, to=self.kind(dtype))

    def kind(self, dtype: Any) -> int:
        return self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def part(self, x: str, axis: int, start: int, end: int, step: int = 1) -> str:
        return self("Slice", x, *[np.array([i], np.int64) for i in (start, end, axis, step)])

    def reshape(self, x: str, *shape: int) -> str:
        """0 keeps an axis, -1 is what is left."""
        return self("Reshape", x, np.array(shape, np.int64))

    def model(self, description: dict[str, Any]) -> Any:
        before, spec = _past_stacks(description["before"], description["observation"])
        specs = list(leaves(spec))
        names = iter([f"obs_{i}" for i in range(len(specs))])
        obs = mapped(lambda _: next(names), spec)
        inputs = [self._value(f"obs_{i}", s["dtype"], ["N", *s["shape"]]) for i, s in enumerate(specs)]
        for how in before:
            obs = BEFORE[how["kind"]](self, how, obs)
        states = description["state"]
        inputs += [self._value(f"state_{i}", how["dtype"], ["N", *how["shape"]]) for i, how in enumerate(states)]
        known = {**dict(named(obs)), **{f"state/{i}": f"state_{i}" for i in range(len(states))}}
        for node in description["nodes"]:
            values = [known[i] if i in known else None if i is None else self.tensors[i] for i in node["in"]]
            made = self._node(node["op"], values, node["attrs"])
            known.update(zip(node["out"], made if isinstance(made, list) else [made]))
        head = description["head"]
        action = HEADS[head["kind"]](self, head, known[description["output"]], obs)
        for how in description["after"]:
            action = (AFTER[how["kind"]](self, how, action[0]), *action[1:])
        outputs = []
        for i, (name, dtype, shape) in enumerate(_results(action)):
            self.nodes.append(self.onnx.helper.make_node("Cast", [name], [f"action_{i}"], to=self.kind(dtype)))
            outputs.append(self._value(f"action_{i}", dtype, ["N", *shape]))
        for i, how in enumerate(states):
            self.nodes.append(self.onnx.helper.make_node("Identity", [known[how["after"]]], [f"next_state_{i}"]))
            outputs.append(self._value(f"next_state_{i}", how["dtype"], ["N", *how["shape"]]))
        graph = self.onnx.helper.make_graph(self.nodes, "policy", inputs, outputs, list(self.constants.values()))
        return self.onnx.helper.make_model(
            graph, producer_name="rlcore", opset_imports=[self.onnx.helper.make_opsetid("", OPSET)], ir_version=8
        )

    def _value(self, name: str, dtype: str, shape: Any) -> Any:
        return self.onnx.helper.make_tensor_value_info(name, self.kind(dtype), shape)

    def _node(self, op: str, values: list[Any], attrs: dict[str, Any]) -> Any:
        if op in UNARY:
            return self(UNARY[op], *values)
        return OPS[op](self, *values, **attrs)


# heads: (name, dtype, shape) for each array of an action, in lists where actions are nested


def _argmax(g: _Graph, how: Any, out: str, obs: Any) -> Any:
    if how.get("mask"):
        out = g("Where", g.cast(obs[how["mask"]], bool), out, np.float32(-np.inf))
    return g("Add", g("ArgMax", out, axis=1, keepdims=0), np.array(how["start"], np.int64)), "int64", []


def _choices(g: _Graph, how: Any, out: str, obs: Any) -> Any:
    parts = split(g, out, np.cumsum(how["nvec"])[:-1].tolist(), 1)
    action = g("Concat", *[g("ArgMax", part, axis=1, keepdims=1) for part in parts], axis=1)
    return g("Add", g.reshape(action, 0, *how["shape"]), np.asarray(how["start"], np.int64)), "int64", how["shape"]


def _bits(g: _Graph, how: Any, out: str, obs: Any) -> Any:
    return g.reshape(g.cast(g("Greater", out, np.float32(0)), np.uint8), 0, *how["shape"]), how["dtype"], how["shape"]


def _box(g: _Graph, how: Any, out: str, obs: Any) -> Any:
    low, high, out = how["low"], how["high"], g.reshape(out, 0, *how["shape"])
    if how.get("squash"):
        out = g("Add", g("Mul", g("Tanh", out), high / 2 - low / 2), high / 2 + low / 2)
    return _within(g, out, low, high), "float32", how["shape"]


def _within(g: _Graph, x: str, low: Any, high: Any) -> str:
    return g("Min", g("Max", x, np.asarray(low, np.float32)), np.asarray(high, np.float32))


def _several(g: _Graph, how: Any, out: str, obs: Any) -> Any:
    shares = iter(split(g, out, how["ends"], 1))
    parts = how["parts"].values() if isinstance(how["parts"], dict) else how["parts"]
    return [HEADS[part["kind"]](g, part, next(shares), obs) for part in parts]


def _results(action: Any) -> Any:
    if isinstance(action, list):
        for part in action:
            yield from _results(part)
    else:
        yield action


HEADS: dict[str, Callable[..., Any]] = {
    "argmax": _argmax, "choices": _choices, "bits": _bits, "box": _box, "several": _several,
}  # fmt: skip


# wrappers


def _normalize(g: _Graph, how: Any, obs: Any) -> Any:
    def leaf(mean: Any, var: Any, x: str) -> str:
        if mean is None:
            return x
        y = g("Div", g("Sub", g.cast(x, np.float64), mean), np.sqrt(var + how["epsilon"]))
        if how["clip"] is not None:
            y = g("Clip", y, np.float64(-how["clip"]), np.float64(how["clip"]))
        return g.cast(y, np.float32)

    return mapped(leaf, how["mean"], how["var"], obs)


def _affine(g: _Graph, how: Any, obs: Any) -> Any:
    def leaf(divisor: Any, shift: Any, x: str) -> str:
        return x if divisor is None else g("Add", g("Div", g.cast(x, np.float32), divisor), shift)

    return mapped(leaf, how["divisor"], how["shift"], obs)


def _flatten(g: _Graph, how: Any, obs: Any) -> Any:
    rows = []
    for part in how["leaves"]:
        x = obs
        for key in part["keys"]:
            x = x[key]
        sizes = np.asarray(part["categories"] or [])
        if part["categories"] is None:
            rows.append(g.cast(g("Flatten", x, axis=1), np.float32))
        else:
            rows.append(one_hot(g, x, np.cumsum(sizes) - sizes - np.asarray(part["start"]), int(sizes.sum())))
    flat = g("Concat", *rows, axis=1)
    return {"obs": flat, "action_mask": obs["action_mask"]} if how["masked"] else flat


BEFORE: dict[str, Callable[..., Any]] = {
    "normalize": _normalize, "affine": _affine, "flatten": _flatten,
    "cast": lambda g, how, obs: mapped(lambda dtype, x: x if dtype is None else g.cast(x, dtype), how["dtype"], obs),
}  # fmt: skip
AFTER: dict[str, Callable[..., Any]] = {
    "clip_action": lambda g, how, a: _within(g, a, how["low"], how["high"]),
    "rescale_action": lambda g, how, a: _within(
        g, g("Add", g("Mul", a, how["scale"]), how["shift"]), how["to_low"], how["to_high"]
    ),
}


def _past_stacks(before: list[Any], spec: Any) -> tuple[list[Any], Any]:
    """What is done to observations but for stacking them, and what they are when they are stacked from the start."""
    kinds = [how["kind"] for how in before]
    for i, how in enumerate(before):
        if how["kind"] != "frame_stack":
            continue
        if "flatten" in kinds[:i]:
            raise ValueError("ONNX remembers no frames: put FlattenObservation around FrameStack, not inside")
        stacked = mapped(lambda s, k=how["k"]: {**s, "shape": [k, *s["shape"]]}, spec)
        spec = {**stacked, "action_mask": spec["action_mask"]} if how["masked"] else stacked
    return [how for how in before if how["kind"] != "frame_stack"], spec
