"""Run an exported policy with NumPy alone: this file needs nothing else, and may be copied to where rlcore is not.

A policy is a folder with `policy.json` and `tensors.safetensors`, as `rlcore export` writes it: what is done to
observations, the network as a list of ops, and how its output becomes an action.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = 1
DTYPES = {
    "BOOL": "bool", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
    "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip


def load_policy(path: str | Path) -> ExportedPolicy:
    """The policy in a folder; ValueError if it is none, or damaged."""
    path = Path(path)
    try:
        description = json.loads((path / "policy.json").read_text("utf-8"))
        tensors = _tensors((path / "tensors.safetensors").read_bytes())
        if description.get("format") != FORMAT:
            raise ValueError(f"it has format {description.get('format')}, this version reads {FORMAT}")
        return ExportedPolicy(decoded(description, tensors), tensors)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is no exported policy: {error}") from None


class ExportedPolicy:
    """policy(obs) gives the action for one observation, or actions for a batch of them (N, ...).

    One that stacks frames or has a recurrent network remembers: `reset()` it where an episode begins. `state` is what
    the network remembers, arrays (N, ...); None: nothing yet.
    """

    def __init__(self, description: dict[str, Any], tensors: dict[str, np.ndarray]):
        self.description, self.tensors = description, tensors
        self.state: list[np.ndarray] | None = None
        self.before = [BEFORE[how["kind"]](how) for how in description["before"]]
        self.nodes = [(OPS[n["op"]], n["in"], n["out"], n["attrs"]) for n in description["nodes"]]
        for needed in [
            i for _, inputs, _, _ in self.nodes for i in inputs if i is not None and i.startswith("tensor/")
        ]:
            if needed not in tensors:
                raise ValueError(f"{needed} is missing in tensors.safetensors")

    def __call__(self, obs: Any) -> Any:
        spec = self.description["observation"]
        batch = mapped(_checked, spec, obs)
        single = next(leaves(batch)).ndim == len(next(leaves(spec))["shape"])
        action = self.act(mapped(lambda _, a: a[None], spec, batch) if single else batch)
        return mapped(lambda a: a[0], action) if single else action

    def act(self, obs: Any) -> Any:
        """Actions for observations (N, ...)."""
        for step in self.before:
            obs = step(obs)
        head = self.description["head"]
        out, self.state = self._pass(obs)
        action = HEADS[head["kind"]](head, out, obs)
        for how in self.description["after"]:
            action = AFTER[how["kind"]](how, action)
        return action

    def network(self, obs: Any) -> np.ndarray:
        """What the network makes of observations that are prepared."""
        return self._pass(obs)[0]

    def _pass(self, obs: Any) -> tuple[np.ndarray, list[np.ndarray]]:
        """The network's output, and the state after it."""
        known = dict(named(obs))
        n = len(next(iter(known.values())))
        states = self.description.get("state", [])
        if self.state is None or any(len(array) != n for array in self.state):
            self.state = [np.zeros((n, *how["shape"]), how["dtype"]) for how in states]
        known.update({f"state/{i}": array for i, array in enumerate(self.state)})
        for op, inputs, outputs, attrs in self.nodes:
            values = [None if name is None else known[name] if name in known else self.tensors[name] for name in inputs]
            attrs = {k: [n if i == "N" else i for i in v] if isinstance(v, list) else v for k, v in attrs.items()}
            made = op(*values, **attrs)
            known.update(zip(outputs, made if isinstance(made, (list, tuple)) else [made]))
        return known[self.description["output"]], [known[how["after"]] for how in states]

    def reset(self, mask: np.ndarray | None = None) -> None:
        """Forget what is remembered of the streams in mask (N,), of all if None."""
        if self.state is not None:
            self.state = None if mask is None else [_zeroed(array, mask) for array in self.state]
        for step in self.before:
            if hasattr(step, "reset"):
                step.reset(mask)


def _zeroed(state: np.ndarray, mask: Any) -> np.ndarray:
    state = state.copy()
    state[np.asarray(mask, bool)] = 0
    return state


# ops


def _linear(x: Any, W: Any, b: Any = None, relu: bool = False) -> Any:
    y = x @ W.T if b is None else x @ W.T + b
    return np.maximum(y, 0) if relu else y


def _ensemble_linear(x: Any, W: Any, b: Any = None, relu: bool = False) -> Any:
    y = x @ W.transpose(0, 2, 1)
    y = y if b is None else y + b[:, None]
    return np.maximum(y, 0) if relu else y


def _windows(x: Any, size: Any, stride: Any, dilate: Any = (1, 1)) -> Any:
    """The windows (N, C, oh, ow, *size) of images."""
    spans = [(k - 1) * d + 1 for k, d in zip(size, dilate)]
    windows = np.lib.stride_tricks.sliding_window_view(x, spans, axis=(2, 3))
    return windows[:, :, :: stride[0], :: stride[1], :: dilate[0], :: dilate[1]]


def _convolution(x: Any, W: Any, b: Any, stride: Any, pads: Any, dilate: Any, groups: int, relu: bool) -> Any:
    x = np.pad(x.astype(W.dtype, copy=False), ((0, 0), (0, 0), *pads))
    windows = _windows(x, W.shape[2:], stride, dilate)
    parts = zip(np.split(windows, groups, axis=1), np.split(W, groups, axis=0))
    y = np.concatenate([np.tensordot(part, w, ((1, 4, 5), (1, 2, 3))) for part, w in parts], axis=3)
    y = (y if b is None else y + b).transpose(0, 3, 1, 2)
    return np.maximum(y, 0) if relu else y


def _max_pool(x: Any, size: Any, stride: Any, pads: Any) -> Any:
    x = np.pad(x, ((0, 0), (0, 0), *pads), constant_values=-np.inf)
    return _windows(x, size, stride).max(axis=(4, 5))


def _layer_norm(x: Any, gamma: Any, beta: Any, eps: float) -> Any:
    d = x - x.mean(axis=1, keepdims=True)
    return d / np.sqrt((d * d).mean(axis=1, keepdims=True) + x.dtype.type(eps)) * gamma + beta


def _softmax(x: Any, axis: int) -> Any:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def _log_softmax(x: Any, axis: int) -> Any:
    d = x - x.max(axis=axis, keepdims=True)
    return d - np.log(np.exp(d).sum(axis=axis, keepdims=True))


def _one_hot(x: Any, first: Any, size: int) -> Any:
    out = np.zeros((len(x), size), np.float32)
    out[np.arange(len(x))[:, None], x.reshape(len(x), -1) + np.asarray(first)] = 1
    return out


def _sigmoid(x: Any) -> Any:
    return 0.5 * np.tanh(0.5 * x) + 0.5


def _lstm(x: Any, h: Any, c: Any, W_x: Any, W_h: Any, b: Any, steps: int) -> Any:
    ys = []
    for t in range(steps):
        i, f, a, o = np.split(_linear(x[t], W_x, b) + h @ W_h.T, 4, axis=1)
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(a)
        h = _sigmoid(o) * np.tanh(c)
        ys.append(h)
    return np.stack(ys), h, c


OPS: dict[str, Callable[..., Any]] = {
    "linear": _linear, "ensemble_linear": _ensemble_linear, "convolution": _convolution, "max_pool": _max_pool,
    "layer_norm": _layer_norm, "softmax": _softmax, "log_softmax": _log_softmax, "one_hot": _one_hot,
    "lstm": _lstm, "sigmoid": _sigmoid,
    "relu": lambda x: np.maximum(x, 0), "tanh": np.tanh, "exp": np.exp, "log": np.log, "sqrt": np.sqrt,
    "softplus": lambda x, beta: np.logaddexp(0, x * beta) / beta,
    "elu": lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))).astype(x.dtype),
    "leaky_relu": lambda x, slope: np.where(x > 0, x, slope * x).astype(x.dtype),
    "square": np.square, "neg": np.negative, "abs": np.abs, "add": np.add, "sub": np.subtract, "mul": np.multiply,
    "div": np.divide, "pow": np.power, "maximum": np.maximum, "minimum": np.minimum, "identity": lambda x: x,
    "clip": lambda x, low, high: x.clip(low, high), "reshape": lambda x, shape: x.reshape(shape),
    "transpose": lambda x, axes: x.transpose(axes), "cast": lambda x, dtype: x.astype(dtype),
    "broadcast": lambda x, shape: np.broadcast_to(x, shape), "concat": lambda *xs, axis: np.concatenate(xs, axis),
    "split": lambda x, at, axis: np.split(x, at, axis), "index": lambda x, at: x[_slices(at)],
    "sum": lambda x, axis, keepdims: x.sum(axis=_axis(axis), keepdims=keepdims),
    "mean": lambda x, axis, keepdims: x.mean(axis=_axis(axis), keepdims=keepdims),
    "max": lambda x, axis, keepdims: x.max(axis=_axis(axis), keepdims=keepdims),
}  # fmt: skip


def _axis(axis: Any) -> Any:
    return tuple(axis) if isinstance(axis, list) else axis


def _slices(at: Any) -> tuple[Any, ...]:
    return tuple([slice(*i) if isinstance(i, list) else i for i in at])


# how the network's output becomes an action


def _argmax(how: Any, out: Any, obs: Any) -> Any:
    if how.get("mask"):
        out = np.where(obs[how["mask"]] != 0, out, -np.inf)
    return out.argmax(axis=1) + how["start"]


def _choices(how: Any, out: Any, obs: Any) -> Any:
    parts = np.split(out, np.cumsum(how["nvec"])[:-1], axis=1)
    action = np.stack([part.argmax(axis=1) for part in parts], axis=1)
    return action.reshape(-1, *how["shape"]) + np.asarray(how["start"])


def _bits(how: Any, out: Any, obs: Any) -> Any:
    return (out > 0).reshape(-1, *how["shape"]).astype(how["dtype"])


def _box(how: Any, out: Any, obs: Any) -> Any:
    low, high = (np.asarray(how[name], np.float32) for name in ("low", "high"))
    out = out.reshape(-1, *how["shape"])
    if how.get("squash"):
        out = np.tanh(out) * (high / 2 - low / 2) + (high / 2 + low / 2)
    return out.clip(low, high)


def _several(how: Any, out: Any, obs: Any) -> Any:
    shares = iter(np.split(out, how["ends"], axis=1))
    parts = how["parts"]
    if isinstance(parts, dict):
        return {name: HEADS[part["kind"]](part, next(shares), obs) for name, part in parts.items()}
    return tuple([HEADS[part["kind"]](part, next(shares), obs) for part in parts])


HEADS: dict[str, Callable[..., Any]] = {
    "argmax": _argmax, "choices": _choices, "bits": _bits, "box": _box, "several": _several,
}  # fmt: skip


# what is done to observations before the network sees them, in order, and to actions after it


def _cast(how: Any) -> Any:
    return lambda obs: mapped(lambda dtype, a: a if dtype is None else a.astype(dtype), how["dtype"], obs)


def _affine(how: Any) -> Any:
    return lambda obs: mapped(
        lambda d, shift, a: a if d is None else (a / d + shift).astype(np.float32), how["divisor"], how["shift"], obs
    )


def _normalize(how: Any) -> Any:
    def leaf(mean: Any, var: Any, a: Any) -> Any:
        if mean is None:
            return a
        x = (a - mean) / np.sqrt(var + how["epsilon"])
        return (x if how["clip"] is None else x.clip(-how["clip"], how["clip"])).astype(np.float32)

    return lambda obs: mapped(leaf, how["mean"], how["var"], obs)


def _flatten(how: Any) -> Any:
    def rows(part: Any, obs: Any) -> Any:
        for key in part["keys"]:
            obs = obs[key]
        if part["categories"] is None:
            return obs.reshape(len(obs), -1).astype(np.float32)
        sizes = np.asarray(part["categories"])
        return _one_hot(obs, np.cumsum(sizes) - sizes - np.asarray(part["start"]), int(sizes.sum()))

    def flat(obs: Any) -> Any:
        out = np.concatenate([rows(part, obs) for part in how["leaves"]], axis=1)
        return {"obs": out, "action_mask": obs["action_mask"]} if how["masked"] else out

    return flat


class _FrameStack:
    """The newest k observations of each stream; the first one after a reset is repeated."""

    def __init__(self, how: Any):
        self.k, self.masked = how["k"], how["masked"]
        self.stack: Any = None
        self.fresh = np.ones(0, bool)  # streams whose episodes begin

    def __call__(self, obs: Any) -> Any:
        frames = {k: v for k, v in obs.items() if k != "action_mask"} if self.masked else obs
        n = len(next(leaves(frames)))
        if self.stack is None or n != len(self.fresh):
            self.stack, self.fresh = mapped(lambda a: np.repeat(a[:, None], self.k, 1), frames), np.zeros(n, bool)
        else:
            self.stack = mapped(self._pushed, self.stack, frames)
            self.fresh[:] = False
        return {**self.stack, "action_mask": obs["action_mask"]} if self.masked else self.stack

    def _pushed(self, stack: Any, frame: Any) -> Any:
        new = np.concatenate((stack[:, 1:], frame[:, None]), axis=1)
        new[self.fresh] = frame[self.fresh][:, None]
        return new

    def reset(self, mask: Any) -> None:
        if mask is None:
            self.stack = None
        elif self.stack is not None:
            self.fresh |= np.asarray(mask, bool)


BEFORE: dict[str, Callable[..., Any]] = {
    "cast": _cast, "affine": _affine, "normalize": _normalize, "flatten": _flatten, "frame_stack": _FrameStack,
}  # fmt: skip
AFTER: dict[str, Callable[..., Any]] = {
    "rescale_action": lambda how, a: (a * how["scale"] + how["shift"]).clip(how["to_low"], how["to_high"]),
    "clip_action": lambda how, a: a.clip(how["low"], how["high"]),
}


# trees, files


def mapped(f: Any, tree: Any, *others: Any) -> Any:
    """f of the leaves; a leaf of an observation's description is a dict with "shape" and "dtype"."""
    if isinstance(tree, dict) and not ("shape" in tree and "dtype" in tree):
        for other in others:
            if not isinstance(other, dict) or other.keys() != tree.keys():
                raise ValueError(f"expected a dict of {', '.join(map(str, tree))}, got {other!r}")
        return {k: mapped(f, v, *[o[k] for o in others]) for k, v in tree.items()}
    if isinstance(tree, tuple):
        return tuple([mapped(f, v, *[o[i] for o in others]) for i, v in enumerate(tree)])
    return f(tree, *others)


def named(tree: Any, path: str = "obs") -> Any:
    """The leaves, each with its path: obs, obs/camera, obs/0."""
    if isinstance(tree, dict) and not ("shape" in tree and "dtype" in tree):
        for key, value in tree.items():
            yield from named(value, f"{path}/{key}")
    elif isinstance(tree, tuple):
        for i, value in enumerate(tree):
            yield from named(value, f"{path}/{i}")
    else:
        yield path, tree


def leaves(tree: Any) -> Any:
    """The leaves, in order."""
    return (leaf for _, leaf in named(tree))


def _checked(spec: dict[str, Any], obs: Any) -> np.ndarray:
    array, shape = np.asarray(obs), tuple(spec["shape"])
    floats = spec["dtype"].startswith("float")
    if array.shape not in (shape, (*array.shape[:1], *shape)) or array.dtype.kind not in ("biuf" if floats else "biu"):
        raise ValueError(
            f"an observation of shape {array.shape} {array.dtype}; expected {shape} or (N, *{shape}) {spec['dtype']}"
        )
    return array.astype(spec["dtype"], copy=False)


def decoded(value: Any, tensors: dict[str, np.ndarray]) -> Any:
    """JSON with {"$tensor": name} and {"$tuple": [...]} in it."""
    if isinstance(value, list):
        return [decoded(v, tensors) for v in value]
    if not isinstance(value, dict):
        return value
    if "$tensor" in value:
        return tensors[value["$tensor"]]
    if "$tuple" in value:
        return tuple([decoded(v, tensors) for v in value["$tuple"]])
    return {k: decoded(v, tensors) for k, v in value.items()}


def _tensors(data: bytes) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file: 8 bytes of length, a JSON header of so many, and what it points into."""
    size = int.from_bytes(data[:8], "little")
    if size > min(len(data) - 8, 16 << 20):
        raise ValueError("tensors.safetensors is damaged: its header does not fit")
    header, body = json.loads(data[8 : 8 + size]), memoryview(data)[8 + size :]
    out = {}
    for name, how in header.items():
        if name != "__metadata__":
            start, end = how["data_offsets"]
            if not 0 <= start <= end <= len(body):
                raise ValueError(f"tensors.safetensors is damaged: {name} lies outside of it")
            out[name] = np.frombuffer(body[start:end], DTYPES[how["dtype"]]).reshape(how["shape"])
    return out
