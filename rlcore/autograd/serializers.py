"""Models and optimizers in files, npz or safetensors, under Chainer's names: `l1/W`, for an optimizer `l1/W/m`.

Files that Chainer has written can be read, and it reads these. Nothing is unpickled: Chainer's npz files hold a pickled
None for a parameter without a size, which is known by its header. Everything is checked before anything changes, and a
file is whole or not there at all.
"""

from __future__ import annotations

import os
import uuid
import zipfile
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import numpy as np

from rlcore.autograd import link_states, storage
from rlcore.autograd.chain import Sequential
from rlcore.autograd.link import Link
from rlcore.backend import is_array, to_cpu

__all__ = ["load_npz", "load_safetensors", "save_npz", "save_safetensors"]

Ignored = str | Callable[[str], bool] | Iterable[Any] | None
_NONE = object()  # stands in a file for a parameter without a size


def save_npz(file: Any, obj: Any, compression: bool = True) -> None:
    """Write a link or an optimizer to a path or a binary file, as Chainer does, but no parameter without a size."""
    arrays = _arrays(obj)
    method = zipfile.ZIP_DEFLATED if compression else zipfile.ZIP_STORED

    def write(out: Any) -> None:
        with zipfile.ZipFile(out, "w", method) as archive:
            for key, array in arrays.items():
                with archive.open(key + ".npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, array, allow_pickle=False)

    _write(file, write)


def load_npz(file: Any, obj: Any, path: str = "", strict: bool = True, ignore_names: Ignored = None) -> None:
    """Read a link or an optimizer from a file of `save_npz` or of Chainer's; ValueError names the first wrong entry.

    path: where in the file the object is, as in "updater/model:main/". strict=False: what the file lacks is left as it
    is. ignore_names: a name in the file, a function of it, or a list of these. What the file has beside is not read.
    """
    with _opened(file) as data:
        start = data.tell()
        if not zipfile.is_zipfile(data):
            raise ValueError(f"load_npz: {file} is not an npz file")
        data.seek(start)
        with np.load(data, allow_pickle=False) as archive:
            _load(obj, _Npz(archive), path, strict, ignore_names)


def save_safetensors(file: Any, obj: Any) -> None:
    """Write a link or an optimizer to a path or a binary file in the safetensors format."""
    from safetensors.numpy import save

    arrays = _arrays(obj)
    for key, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise TypeError(f"save_safetensors: {key} is {array.dtype}, which the format does not know; use save_npz")
    _write(file, lambda out: out.write(save(arrays)))


def load_safetensors(file: Any, obj: Any, path: str = "", strict: bool = True, ignore_names: Ignored = None) -> None:
    """Read a link or an optimizer from a file of `save_safetensors`; arguments and errors as of `load_npz`."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    with _opened(file) as data:
        content = data.read()
    try:
        given = load(content)
    except SafetensorError as error:
        raise ValueError(f"load_safetensors: {file} is not a safetensors file ({error})") from error
    _load(obj, given, path, strict, ignore_names)


def _opened(file: Any) -> Any:
    return nullcontext(file) if hasattr(file, "read") else open(file, "rb")


def _write(file: Any, write: Callable[[Any], Any]) -> None:
    if hasattr(file, "write"):
        write(file)
        return
    temporary = f"{os.fspath(file)}.{uuid.uuid4().hex}"
    try:
        with open(temporary, "xb") as out:
            write(out)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, file)
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise


class _Npz:
    """The arrays of an npz file by name, each read when it is asked for."""

    def __init__(self, archive: Any):
        self.archive = archive

    def __contains__(self, key: str) -> bool:
        return key in self.archive.files

    def __iter__(self) -> Any:
        return iter(self.archive.files)

    def __getitem__(self, key: str) -> Any:
        try:
            with self.archive.zip.open(key + ".npy") as entry:
                read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
                shape, _, dtype = read[np.lib.format.read_magic(entry)](entry)
            if dtype.hasobject:
                if shape == () and dtype.kind == "O":
                    return _NONE
                raise ValueError("it holds pickled Python objects, which are not read")
            return self.archive[key]
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"load_npz: {key} cannot be read: {error}") from error


def _is_optimizer(obj: Any) -> bool:
    if hasattr(obj, "namedparams"):
        return False
    if hasattr(obj, "target") and hasattr(obj, "state"):
        if obj.target is None:
            raise ValueError(f"{type(obj).__name__}: this optimizer has no parameters yet; call setup(link) first")
        return True
    raise TypeError(f"expected a link or an optimizer, got {type(obj).__name__}")


def _arrays(obj: Any) -> dict[str, np.ndarray]:
    """What is written: name -> array on the host, in C order."""
    values = _optimizer_values(obj) if _is_optimizer(obj) else {k[1:]: v for k, v in link_states.entries(obj).items()}
    arrays = {}
    for key, value in values.items():
        if value is None:
            continue
        array = np.array(to_cpu(value) if is_array(value) else value, order="C")
        if array.dtype.hasobject:
            raise TypeError(f"{key} is a {type(value).__name__}, which cannot be saved as an array")
        arrays[_chainers_name(obj, key)] = array
    return arrays


def _chainers_name(obj: Any, key: str) -> str:
    """A name with the numbers that Chainer's files have for the links of a Sequential."""
    words, link = key.split("/"), getattr(obj, "target", obj)
    for i, word in enumerate(words[:-1]):
        if isinstance(link, Sequential):
            words[i] = _numbers(link).get(word, word)
        link = dict(link._items()).get(word)
        if not isinstance(link, Link):
            break
    return "/".join(words)


def _numbers(layers: Sequential) -> dict[str, str]:
    """Chainer's numbers of links by ours: functions are not counted, and a new link comes in behind the first one."""
    order: list[int] = []
    first = 0
    for i, layer in enumerate(layers):
        if isinstance(layer, Link):
            first = first if order else i
            order.insert(first + 1, i)
    return {str(i): str(number) for number, i in enumerate(order)}


def _load(obj: Any, given: Any, path: str, strict: bool, ignore_names: Ignored) -> None:
    prefix = path.strip("/") + "/" if path.strip("/") else ""

    def find(key: str, needed: bool = True) -> Any:
        """The array of this name, or None where what is here is to be left alone."""
        key = _chainers_name(obj, key)
        if _ignored(prefix + key, ignore_names):
            return None
        if prefix + key in given:
            return given[prefix + key]
        if strict and needed:
            inside = [k for k in given if k.startswith(prefix)]
            raise ValueError(f"load: {prefix}{key} is missing; the file has {', '.join(inside) or 'nothing there'}")
        return None

    (_load_optimizer if _is_optimizer(obj) else _load_link)(obj, find)


def _ignored(key: str, names: Ignored) -> bool:
    if names is None or isinstance(names, str):
        return key == names
    return bool(names(key)) if callable(names) else any(_ignored(key, name) for name in names)


def _load_link(link: Any, find: Callable[..., Any]) -> None:
    params, rest = [], []
    for path, p in storage.own(link).namedparams():
        value = find(path[1:], needed=p.array is not None)
        if value is None or (value is _NONE and p.array is None):
            continue
        _same_kind(path[1:], value, None if p.array is None else p.shape, p.node.dtype)
        params.append((p, value.astype(p.node.dtype, copy=False)))
    for path, owner, name in link.namedpersistents():
        value, here = find(path[1:]), owner._persistent[name]
        if value is None or (value is _NONE and here is None):
            continue
        if is_array(here):
            _same_kind(path[1:], value, here.shape, here.dtype)
        elif here is not None:
            value = _number(path[1:], value, here)
        rest.append((owner, name, value))
    for p, value in params:
        if p.array is None:
            p.settle(value)
        else:
            p.array = p.xp.asarray(value)
    for owner, name, value in rest:
        owner._set_persistent(name, value)


def _same_kind(key: str, value: Any, shape: Any, dtype: Any) -> None:
    here = f"{'any shape' if shape is None else shape} {dtype}"
    if value is _NONE:
        raise ValueError(f"load: {key} has no size in the file and is {here} here")
    if (shape is not None and value.shape != shape) or not np.can_cast(value.dtype, dtype, "same_kind"):
        raise ValueError(f"load: {key} is {value.shape} {value.dtype} in the file and {here} here")


def _number(key: str, value: Any, here: Any) -> Any:
    """A 0-d array as a value of the kind that is here."""
    got = value.item() if is_array(value) and value.shape == () else value
    if isinstance(got, (bool, int, float, str)) and type(here)(got) == got:
        return type(here)(got)
    raise ValueError(f"load: {key} is {getattr(value, 'shape', 'None')} in the file, expected a value like {here!r}")


# optimizers


def _optimizer_values(optimizer: Any) -> dict[str, Any]:
    """Chainer's layout: `t`, `epoch` and, for each parameter, its step count and the arrays of its slots."""
    state = optimizer.state()
    params, paths = list(optimizer.target.params(include_uninit=False)), state.pop("parameters")
    values: dict[str, Any] = {"t": state.pop("t"), "epoch": 0}
    values |= {f"{path[1:]}/t": t for path, t in zip(paths, state.pop("steps"), strict=True)}
    for name, vector in list(state.items()):
        if is_array(vector):
            factor, offset = optimizer.chainer_form.get(name, (1, 0))
            for path, array in zip(paths, storage.split(params, to_cpu(vector)), strict=True):
                values[f"{path[1:]}/{name}"] = (array * factor + offset).astype(array.dtype)
        else:
            values[name] = vector
    return values


def _load_optimizer(optimizer: Any, find: Callable[..., Any]) -> None:
    state = dict(optimizer.state())
    params, paths = list(optimizer.target.params(include_uninit=False)), state["parameters"]
    given = find("t")
    if given is not None:
        state["t"] = _number("t", given, state["t"])
    steps = [find(f"{path[1:]}/t") for path in paths]
    state["steps"] = [
        here if there is None else _number(f"{path[1:]}/t", there, here)
        for path, there, here in zip(paths, steps, state["steps"])
    ]
    for name, here in list(state.items()):
        if name in ("t", "steps", "parameters"):
            continue
        if not is_array(here):
            value = find(name)
            state[name] = here if value is None else _number(name, value, here)
            continue
        factor, offset = optimizer.chainer_form.get(name, (1, 0))
        arrays = storage.split(params, to_cpu(here).copy())
        for array, path, p, t in zip(arrays, paths, params, state["steps"], strict=True):
            key = f"{path[1:]}/{name}"
            value = find(key, needed=t > 0 and name != "master")  # Chainer writes none before the first step
            if value is not None:
                _same_kind(key, value, p.shape, array.dtype)
                array[...] = (value - offset) / factor
            elif name == "master":
                array[...] = to_cpu(p.array)
            elif t == 0:
                array[...] = 0
        state[name] = storage.join(params, arrays) if params else here
    optimizer.load(state)
