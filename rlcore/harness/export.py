"""A trained policy as a folder that `rlcore.load_policy` runs with NumPy alone: its network and its wrappers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rlcore.agents.base import Policy, here
from rlcore.autograd import Variable, no_backprop_mode
from rlcore.autograd.function import name_of
from rlcore.autograd.function_calls import FunctionHook
from rlcore.autograd.variable import as_array
from rlcore.backend import to_cpu
from rlcore.envs.base import VectorEnv
from rlcore.envs.batch import Leaf, structure
from rlcore.envs.wrappers import Wrapper, innermost
from rlcore.harness.files import whole_folder, write
from rlcore.harness.tensors import packed
from rlcore.policy import FORMAT, named
from rlcore.tree import leaves, map_

ROWS = (3, 5)  # of the batches traced; what differs as they do is the number of rows

ATTRS: dict[str, Callable[[Any, Any], tuple[str, dict[str, Any]]]] = {  # by an op's name: that of policy.py, numbers
    "linear_relu": lambda op, x: ("linear", {"relu": True}),
    "ensemble_linear_relu": lambda op, x: ("ensemble_linear", {"relu": True}),
    "convolution_2d": lambda op, x: ("convolution", _geometry(op, x)),
    "convolution_relu": lambda op, x: ("convolution", _geometry(op, x)),
    "max_pooling_nd": lambda op, x: ("max_pool", _window(op.w)),
    "lstm_scan": lambda op, x: ("lstm", _steps(op, x)),
    "layer_normalization": lambda op, x: ("layer_norm", {"eps": op.eps}),
    "reshape": lambda op, x: ("reshape", {"shape": op.to}),
    "transpose": lambda op, x: ("transpose", {"axes": op.axes or range(x.ndim)[::-1]}),
    "cast": lambda op, x: ("cast", {"dtype": op.to.name}),
    "broadcast_to": lambda op, x: ("broadcast", {"shape": op.to}),
    "concat": lambda op, x: ("concat", {"axis": op.axis}),
    "split_axis": lambda op, x: ("split", {"at": op.at, "axis": op.axis}),
    "get_item": lambda op, x: ("index", {"at": _index(op.index, x.ndim)}),
    "one_hot_rows": lambda op, x: ("one_hot", {"first": op.first, "size": op.size}),
    "softmax": lambda op, x: ("softmax", {"axis": op.axis}),
    "log_softmax": lambda op, x: ("log_softmax", {"axis": op.axis}),
    "softplus": lambda op, x: ("softplus", {"beta": op.beta}),
    "elu": lambda op, x: ("elu", {"alpha": op.alpha}),
    "leaky_relu": lambda op, x: ("leaky_relu", {"slope": op.slope}),
    "clip": lambda op, x: ("clip", {"low": op.x_min, "high": op.x_max}),
    "absolute": lambda op, x: ("abs", {}),
    "average": lambda op, x: ("mean", {"axis": op.axis, "keepdims": op.keepdims}),
    "sum": lambda op, x: ("sum", {"axis": op.axis, "keepdims": op.keepdims}),
    "max": lambda op, x: ("max", {"axis": op.axis, "keepdims": op.keepdims}),
}  # fmt: skip

PLAIN = (  # ops without numbers, of one name in both
    "linear", "ensemble_linear", "relu", "tanh", "sigmoid", "exp", "log", "sqrt", "square", "neg", "add", "sub", "mul",
    "div", "pow", "maximum", "minimum", "identity",
)  # fmt: skip


def export_policy(path: str | Path, policy: Policy, env: VectorEnv, /, **about: Any) -> None:
    """Write a policy, and what env's wrappers do to its observations and actions, into a new folder.

    ValueError if the network uses an op that cannot be exported, or works on observations by anything but ops.
    """
    path = Path(path)
    if path.exists():
        raise ValueError(f"{path} exists; choose another folder")
    description, tensors = described(policy, env)
    text = json.dumps({"format": FORMAT, **about, **description}, indent=1)
    with whole_folder(path) as new:
        write(new / "tensors.safetensors", *packed(tensors, {}))
        write(new / "policy.json", text.encode())


def described(policy: Policy, env: VectorEnv) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What policy.json says, and the arrays that it names."""
    if policy.there is not here:
        raise ValueError(
            "a policy is exported from the CPU, and its networks are on another device: load the run there"
        )
    network, head = policy.exported()
    nodes, (output, *after), tensors = traced(network, structure(env.observation_space), policy.initial)
    states = [{"shape": list(a.shape[1:]), "dtype": a.dtype.name} for a in _state(policy.initial, 0)]
    chain = list(_chain(env))
    parts = {
        "observation": map_(_spec, structure(innermost(env).observation_space)),
        "before": [part for part in reversed(chain) if not part["kind"].endswith("_action")],
        "after": [part for part in chain if part["kind"].endswith("_action")],
        "head": head,
    }
    encoded = {name: _encoded(part, name, tensors) for name, part in parts.items()}
    encoded["state"] = [{**how, "after": name} for how, name in zip(states, after)]
    return {**encoded, "nodes": nodes, "output": output}, tensors


def _chain(env: VectorEnv) -> Any:
    """What each wrapper exports, the outermost first."""
    while isinstance(env, Wrapper):
        if part := env.exported():
            yield part
        env = env.env


def _spec(leaf: Leaf) -> dict[str, Any]:
    """Of an observation as the environment gives it; floats are float32."""
    return {"shape": list(leaf.shape), "dtype": "float32" if leaf.dtype.kind == "f" else leaf.dtype.name}


def _state(initial: Callable[[int], Any], rows: int) -> list[Any]:
    """The arrays of a state; none of a policy that remembers nothing."""
    h = initial(rows)
    return [] if h is None else list(leaves(h))


def traced(
    network: Callable[..., Any], promised: Any, initial: Callable[[int], Any] = lambda rows: None
) -> tuple[list[dict[str, Any]], list[str], dict[str, np.ndarray]]:
    """The ops of a network on observations of a structure, the names of its outputs, and the arrays it keeps.

    initial: a policy's; if it gives a state, that is a second input, and what follows it are the outputs but the first.
    """
    one, two = (_Trace(network, promised, initial, rows) for rows in ROWS)
    if [node["op"] for node in one.nodes] != [node["op"] for node in two.nodes]:
        raise ValueError("the network does other ops for other observations; that cannot be exported")
    if not all(name.startswith("value/") for name in one.outputs):
        raise ValueError("no op of rlcore.autograd.functions leads from the observations to the network's output")
    for a, b in zip(one.nodes, two.nodes):
        a["attrs"] = {k: _common(a["op"], k, v, b["attrs"][k]) for k, v in a["attrs"].items()}
        for name, other in zip(a["in"], b["in"]):
            if name != other or (name in one.tensors and not _same(one.tensors[name], two.tensors[other])):
                raise ValueError(
                    f"the op {a['op']} takes an array that depends on the observations by something that is no op of "
                    "rlcore.autograd.functions, so that it cannot be exported"
                )
    used = {name for node in one.nodes for name in node["in"]}
    return one.nodes, one.outputs, {name: array for name, array in one.tensors.items() if name in used}


class _Trace(FunctionHook):
    """Notes the ops of one pass. Arrays are known by where they lie in memory, and are kept so that they stay there."""

    def __init__(self, network: Callable[..., Any], promised: Any, initial: Callable[[int], Any], rows: int):
        self.nodes: list[dict[str, Any]] = []
        self.tensors: dict[str, np.ndarray] = {}
        rng = np.random.Generator(np.random.PCG64(rows))
        obs = map_(lambda leaf: _example(leaf, rows, rng), promised)
        h = initial(rows)
        if h is not None:
            h = map_(lambda a: rng.standard_normal(a.shape).astype(a.dtype), h)
        self.obs = {**dict(named(obs)), **{f"state/{i}": a for i, a in enumerate([] if h is None else leaves(h))}}
        self.names = {_place(array): name for name, array in self.obs.items()}
        self.kept: list[Any] = []
        with self, no_backprop_mode():
            obs = map_(Variable, obs)  # not arrays, whose own operators leave no trace
            outs = [network(obs)] if h is None else list(leaves(tuple(network(obs, map_(Variable, h)))))
        self.outputs = [str(self.known_as(as_array(out))) for out in outs]

    def known_as(self, array: Any) -> str | None:
        """The name of an op's input: of an observation, of what an op made, or of an array that is kept."""
        if array is None:
            return None
        array = np.asarray(array)
        place = _place(array)
        if place not in self.names:
            copied = [name for name, a in self.obs.items() if _same(a, array) and a.size]
            name = copied[0] if copied else f"tensor/{len(self.tensors)}"
            self.names[place] = name
            if not copied:
                self.tensors[name] = np.ascontiguousarray(to_cpu(array)).copy()
        self.kept.append(array)
        return self.names[place]

    def after_forward(self, op: Any, inputs: tuple[Any, ...], outputs: tuple[Any, ...]) -> None:
        dtype = outputs[0].dtype  # of Python's numbers, which take any
        names = [self.known_as(np.asarray(x, dtype) if isinstance(x, (int, float)) else x) for x in inputs]
        self.kept.append(outputs)
        if all(name is None or name.startswith("tensor/") for name in names):
            return  # a constant, whatever op made it: its value is kept
        name = name_of(op)
        if name not in ATTRS and name not in PLAIN:
            raise ValueError(f"the network uses the op {op.label}, which cannot be exported")
        kind, attrs = (name, {}) if name in PLAIN else ATTRS[name](op, inputs[0])
        made = [f"value/{len(self.nodes)}/{k}" for k in range(len(outputs))]
        self.names.update(zip(map(_place, outputs), made))
        self.nodes.append({"op": kind, "in": names, "out": made, "attrs": {k: _plain(v) for k, v in attrs.items()}})


def _example(leaf: Leaf, rows: int, rng: np.random.Generator) -> np.ndarray:
    shape = (rows, *leaf.shape)
    if leaf.dtype.kind == "f":
        return rng.standard_normal(shape, np.float32)
    return rng.integers(0, 2, shape).astype(leaf.dtype)


def _place(array: Any) -> Any:
    return array.__array_interface__["data"][0], array.shape, array.strides, array.dtype.str


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def _common(op: str, name: str, one: Any, two: Any) -> Any:
    """A number of an op in both passes; "N" where it is that of the rows."""
    if one == two:
        return one
    if isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        return [_common(op, name, a, b) for a, b in zip(one, two)]
    if (one, two) == ROWS:
        return "N"
    if op == "reshape" and one * ROWS[1] == two * ROWS[0]:  # a multiple of the rows: what is left
        return -1
    raise ValueError(f"{name} of the op {op} depends on the observations; that cannot be exported")


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (tuple, list, range)):
        return [_plain(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value


def _geometry(op: Any, x: Any) -> dict[str, Any]:
    g = op.geometry
    spans = [(k - 1) * d + 1 for k, d in zip(g.kernel, g.dilate)]
    pads = _pads(x.shape[2:], op.size, spans, g.stride, g.pad)
    return {"stride": g.stride, "pads": pads, "dilate": g.dilate, "groups": g.groups, "relu": op.relu}


def _window(w: Any) -> dict[str, Any]:
    return {"size": w.ksize, "stride": w.stride, "pads": _pads(w.ins, w.outs, w.ksize, w.stride, w.pad)}


def _pads(ins: Any, outs: Any, spans: Any, strides: Any, pads: Any) -> list[list[int]]:
    """Zeros before and after each axis, as many as its windows reach."""
    return [
        [before, max((out - 1) * stride + span - size - before, 0)]
        for size, out, span, stride, before in zip(ins, outs, spans, strides, pads)
    ]


def _steps(op: Any, x: Any) -> dict[str, Any]:
    if op.keep is not None:
        raise ValueError("an LSTM whose state is reset inside a sequence cannot be exported")
    return {"steps": len(x)}


def _index(index: Any, ndim: int) -> list[Any]:
    """Numbers, None for a new axis, and slices as lists of their three numbers."""
    parts = list(index) if isinstance(index, tuple) else [index]
    for at in [k for k, i in enumerate(parts) if i is Ellipsis]:
        parts[at : at + 1] = [slice(None)] * (ndim - sum(i is not None for i in parts) + 1)
    if not all(i is None or isinstance(i, (int, slice)) for i in parts):
        raise ValueError("the network picks elements by an array of indices; that cannot be exported")
    return [[i.start, i.stop, i.step] if isinstance(i, slice) else i for i in parts]


def _encoded(value: Any, path: str, tensors: dict[str, np.ndarray]) -> Any:
    """JSON values; arrays go among the tensors, and a reference stays in their place."""
    if isinstance(value, dict):
        return {k: _encoded(v, f"{path}/{k}", tensors) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_encoded(v, f"{path}/{i}", tensors) for i, v in enumerate(value)]
        return {"$tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, (np.ndarray, np.generic)):
        tensors[path] = np.array(value, order="C")
        return {"$tensor": path}
    return value
