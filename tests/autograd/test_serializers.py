"""Files of models and optimizers: our own, Chainer's, and wrong ones, of which nothing is taken."""

from __future__ import annotations

import io
import pickle
import sys
import zipfile

import numpy as np
import pytest

from rlcore.autograd import Chain, ChainList, Parameter, Sequential, optimizers
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd import serializers as S
from tests.autograd import device

X = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
FORMATS = {"npz": (S.save_npz, S.load_npz), "safetensors": (S.save_safetensors, S.load_safetensors)}


class Net(Chain):
    def __init__(self, seed=0, lazy=False):
        super().__init__()
        rng = np.random.default_rng(seed)
        W = rng.standard_normal((4, 3)).astype(np.float32)
        self.l1 = L.Linear(None if lazy else 3, 4, initialW=None if lazy else W)
        self.many = ChainList(L.Linear(4, 4), L.Linear(4, 2, nobias=True))
        self.add_persistent("avg_mean", rng.standard_normal(4).astype(np.float32))
        self.add_persistent("N", int(rng.integers(100)))
        self.add_persistent("rate", float(rng.standard_normal()))

    def forward(self, x):
        return self.many[1](F.tanh(self.many[0](self.l1(x))))


def values(model):
    out = {path: p.array.copy() for path, p in model.namedparams(include_uninit=False)}
    return out | {"mean": model.avg_mean.copy(), "N": model.N, "rate": model.rate}


def same(a, b):
    return list(a) == list(b) and all(np.array_equal(a[k], b[k]) for k in a)


def chainers_file(path, **other):
    """A file as Chainer 7.8.1 writes one for Net: names, order, 0-d counters."""
    rng = np.random.default_rng(7)
    arrays = {
        "many/1/W": rng.standard_normal((2, 4)).astype(np.float32),
        "many/0/b": rng.standard_normal(4).astype(np.float32),
        "many/0/W": rng.standard_normal((4, 4)).astype(np.float32),
        "l1/b": rng.standard_normal(4).astype(np.float32),
        "l1/W": rng.standard_normal((4, 3)).astype(np.float32),
        "avg_mean": rng.standard_normal(4).astype(np.float32),
        "N": np.array(12),
        "rate": np.array(0.25),
    } | {name.replace("__", "/"): value for name, value in other.items()}
    arrays = {name: value for name, value in arrays.items() if value is not ...}
    np.savez(path, **arrays)
    return arrays


# links


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("lazy", [False, True])
def test_a_model_there_and_back(tmp_path, kind, lazy):
    save, load = FORMATS[kind]
    model = Net(1)
    save(tmp_path / "model", model)
    twin = Net(2, lazy)
    view = twin.view()
    load(tmp_path / "model", twin)
    assert same(values(twin), values(model))
    assert type(twin.N) is int
    assert type(twin.rate) is float
    np.testing.assert_array_equal(view(X).array, model(X).array)
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("compression", [False, True])
def test_numpy_reads_the_file(tmp_path, compression):
    model = Net()
    model.file = Parameter(0, 2)  # a name that numpy.savez does not take
    S.save_npz(str(tmp_path / "m.npz"), model, compression)
    with np.load(tmp_path / "m.npz", allow_pickle=False) as f:
        assert f.files == ["l1/W", "l1/b", "many/0/W", "many/0/b", "many/1/W", "file", "avg_mean", "N", "rate"]
        np.testing.assert_array_equal(f["l1/W"], model.l1.W.array)
        assert f["l1/W"].flags.c_contiguous
        assert f["N"].shape == ()
    with zipfile.ZipFile(tmp_path / "m.npz") as archive:
        assert (archive.infolist()[0].compress_type == zipfile.ZIP_DEFLATED) == compression


def test_open_files():
    for save, load in FORMATS.values():
        file, model = io.BytesIO(), Net(1)
        save(file, model)
        file.seek(0)
        twin = Net(2)
        load(file, twin)
        assert same(values(twin), values(model))


def test_a_size_not_known_is_left_out_and_left_open(tmp_path):
    model = Net(lazy=True)
    S.save_npz(tmp_path / "m", model)
    with np.load(tmp_path / "m") as f:
        assert "l1/W" not in f.files
    twin = Net(1, lazy=True)
    S.load_npz(tmp_path / "m", twin)
    assert not twin.l1.W.is_initialized
    with pytest.raises(ValueError, match="load: l1/W is missing; the file has l1/b"):
        S.load_npz(tmp_path / "m", Net())


def test_values_are_written_in_place(tmp_path):
    S.save_npz(tmp_path / "m", Net(1))
    model = Net(2)
    flat, mean = model.flat, model.avg_mean
    y = F.sum(model(X))
    S.load_npz(tmp_path / "m", model)
    assert np.shares_memory(model.flat, flat)
    assert model.avg_mean is mean
    with pytest.raises(RuntimeError, match="a parameter was changed"):
        y.backward()


def test_a_model_on_a_device(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", device.module())
    model = Net(1)
    expected = values(model)
    S.save_npz(tmp_path / "m", model.to_gpu())
    for twin in (Net(2), Net(2, lazy=True)):
        S.load_npz(tmp_path / "m", twin.to_gpu())
        assert isinstance(twin.l1.W.array, device.Array)
        assert same(values(twin.to_cpu()), expected)


# what Chainer has written


def test_a_file_of_chainers(tmp_path):
    arrays = chainers_file(tmp_path / "m.npz")
    for model in (Net(), Net(lazy=True)):
        S.load_npz(tmp_path / "m.npz", model)
        for path, p in model.namedparams():
            np.testing.assert_array_equal(p.array, arrays[path[1:]])
        np.testing.assert_array_equal(model.avg_mean, arrays["avg_mean"])
        assert (model.N, model.rate) == (12, 0.25)


def test_links_have_chainers_names(tmp_path):
    """The names and shapes of Chainer 7.8.1's file for the same model."""

    def model():
        return Chain(
            c=L.Convolution2D(2, 3, 3), bn=L.BatchNormalization(4), lstm=L.LSTM(4, 2), e=L.EmbedID(5, 3),
            gru=L.StatefulGRU(2, 2), ln=L.LayerNormalization(2), scale=L.Scale(1, (2,)), maxout=L.Maxout(2, 3, 2),
        )  # fmt: skip

    shapes = {
        "c/W": (3, 2, 3, 3), "c/b": (3,), "bn/gamma": (4,), "bn/beta": (4,), "bn/avg_mean": (4,), "bn/avg_var": (4,),
        "bn/N": (), "lstm/upward/W": (8, 4), "lstm/upward/b": (8,), "lstm/lateral/W": (8, 2), "e/W": (5, 3),
        "gru/W_r/W": (2, 2), "gru/W_r/b": (2,), "gru/U_r/W": (2, 2), "gru/U_r/b": (2,), "gru/W_z/W": (2, 2),
        "gru/W_z/b": (2,), "gru/U_z/W": (2, 2), "gru/U_z/b": (2,), "gru/W/W": (2, 2), "gru/W/b": (2,),
        "gru/U/W": (2, 2), "gru/U/b": (2,), "ln/gamma": (2,), "ln/beta": (2,), "scale/W": (2,),
        "maxout/linear/W": (6, 2), "maxout/linear/b": (6,),
    }  # fmt: skip
    rng = np.random.default_rng(0)
    arrays = {k: rng.standard_normal(shape).astype(np.float32) for k, shape in shapes.items()} | {"bn/N": np.array(7)}
    np.savez(tmp_path / "m.npz", **arrays)
    twin = model()
    S.load_npz(tmp_path / "m.npz", twin)
    assert twin.bn.N == 7
    S.save_npz(tmp_path / "n.npz", twin)
    with np.load(tmp_path / "n.npz") as f:
        assert sorted(f.files) == sorted(arrays)
        for key, array in arrays.items():
            np.testing.assert_array_equal(f[key], array)


def test_a_sequential_has_chainers_numbers(tmp_path):
    """Chainer 7.8.1 counts links only, and puts each new one behind the first: it printed these numbers."""

    def layer(n):
        return L.Linear(1, 1, initialW=n)

    def model(n=0):
        inner = Sequential(layer(n + 1), F.tanh, layer(n + 2), layer(n + 3))
        return Chain(body=Sequential(F.relu, layer(n), F.relu, inner, layer(n + 4), layer(n + 5)))

    first = model()
    optimizer = optimizers.MomentumSGD(1.0, momentum=0.0).setup(first)
    for p in first.params():
        p.grad = -p.array  # the state becomes W
    optimizer.update()
    S.save_npz(tmp_path / "m.npz", model())
    S.save_npz(tmp_path / "o.npz", optimizer)
    numbers = ["0", "1/0", "1/2", "1/1", "3", "2"]  # of the layers 0 to 5
    for name, key in (("m.npz", "body/{}/W"), ("o.npz", "body/{}/W/v")):
        with np.load(tmp_path / name) as f:
            assert [f[key.format(number)].item() for number in numbers] == [0, 1, 2, 3, 4, 5]
    twin = model(7)
    S.load_npz(tmp_path / "m.npz", twin)
    assert [p.array.item() for p in twin.params() if p.array.ndim == 2] == [0, 1, 2, 3, 4, 5]
    other = optimizers.MomentumSGD(1.0, momentum=0.0).setup(twin)
    S.load_npz(tmp_path / "o.npz", other)
    np.testing.assert_array_equal(other.state()["v"], optimizer.state()["v"])


def test_a_part_of_a_snapshot_of_chainers(tmp_path):
    arrays = chainers_file(tmp_path / "m.npz", updater__model__l2__W=np.zeros(2), updater__iteration=np.array(3))
    np.savez(tmp_path / "s.npz", **{f"updater/model:main/{k}": v for k, v in arrays.items()})
    for path in ("updater/model:main/", "/updater/model:main"):
        model = Net()
        S.load_npz(tmp_path / "s.npz", model, path=path)
        np.testing.assert_array_equal(model.l1.W.array, arrays["l1/W"])
    part = L.Linear(3, 4)
    S.load_npz(tmp_path / "m.npz", part, path="l1")
    np.testing.assert_array_equal(part.W.array, arrays["l1/W"])
    with pytest.raises(ValueError, match="load: nowhere/W is missing; the file has nothing there"):
        S.load_npz(tmp_path / "m.npz", part, path="nowhere")


def test_a_pickled_none_is_known_by_its_header(tmp_path):
    """Chainer 7.8.1 writes a parameter without a size as a pickled 0-d object array."""
    chainers_file(tmp_path / "m.npz", l1__W=np.array(None))
    model = Net(lazy=True)
    S.load_npz(tmp_path / "m.npz", model)
    assert not model.l1.W.is_initialized
    assert model.N == 12
    model = Net()
    before = values(model)
    with pytest.raises(ValueError, match=r"load: l1/W has no size in the file and is \(4, 3\) float32 here"):
        S.load_npz(tmp_path / "m.npz", model)
    assert same(values(model), before)


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


@pytest.mark.parametrize("value", [np.array([None, None]), np.array(None)], ids=["array", "none"])
def test_nothing_is_unpickled(tmp_path, value):
    chainers_file(tmp_path / "m.npz", l1__W=...)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|O", "fortran_order": False, "shape": value.shape})
    with zipfile.ZipFile(tmp_path / "m.npz", "a") as archive:
        archive.writestr("l1/W.npy", header.getvalue() + pickle.dumps(Bomb()))
    model = Net(lazy=True)
    if value.shape:
        with pytest.raises(ValueError, match="load_npz: l1/W cannot be read: it holds pickled Python objects"):
            S.load_npz(tmp_path / "m.npz", model)
    else:
        S.load_npz(tmp_path / "m.npz", model)
        assert not model.l1.W.is_initialized


def test_floats_are_cast_as_chainer_does(tmp_path):
    arrays = chainers_file(tmp_path / "m.npz", l1__W=np.full((4, 3), 0.1), avg_mean=np.ones(4, np.float16))
    for model in (Net(), Net(lazy=True)):
        S.load_npz(tmp_path / "m.npz", model)
        assert model.l1.W.dtype == np.float32
        np.testing.assert_array_equal(model.l1.W.array, arrays["l1/W"].astype(np.float32))
        assert model.avg_mean.dtype == np.float32


# wrong files


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"many__0__b": ...}, r"load: many/0/b is missing; the file has many/1/W, many/0/W"),
        ({"many__0__b": np.zeros(3, np.float32)}, r"load: many/0/b is \(3,\) float32 in the file and \(4,\) float32"),
        ({"many__0__b": np.zeros(4, complex)}, r"load: many/0/b is \(4,\) complex128 in the file and \(4,\) float32"),
        ({"avg_mean": np.zeros(3, np.float32)}, r"load: avg_mean is \(3,\) float32 in the file and \(4,\) float32"),
        ({"avg_mean": np.array(None)}, r"load: avg_mean has no size in the file"),
        ({"N": np.zeros(2)}, r"load: N is \(2,\) in the file, expected a value like \d+"),
        ({"N": np.array(2.5)}, r"load: N is \(\) in the file, expected a value like \d+"),
        ({"N": np.array(None)}, r"load: N is None in the file, expected a value like \d+"),
        ({"N": np.array("12")}, r"load: N is \(\) in the file, expected a value like \d+"),
    ],
)  # fmt: skip
def test_a_wrong_entry_is_named_and_nothing_is_taken(tmp_path, other, message):
    chainers_file(tmp_path / "m.npz", **other)
    for lazy in (False, True):
        model = Net(3, lazy)
        before = values(model)
        with pytest.raises(ValueError, match=message):
            S.load_npz(tmp_path / "m.npz", model)
        assert same(values(model), before)


def test_not_strict_and_ignored_names(tmp_path):
    arrays = chainers_file(tmp_path / "m.npz", many__0__b=...)
    model = Net(3)
    before = values(model)
    S.load_npz(tmp_path / "m.npz", model, strict=False)
    np.testing.assert_array_equal(model.many[0].b.array, before["/many/0/b"])
    np.testing.assert_array_equal(model.l1.W.array, arrays["l1/W"])
    for names in ("l1/W", ["N", "l1/W"], lambda key: key.startswith("l1/"), [lambda key: key == "l1/W"]):
        model = Net(3)
        S.load_npz(tmp_path / "m.npz", model, strict=False, ignore_names=names)
        np.testing.assert_array_equal(model.l1.W.array, before["/l1/W"])
        np.testing.assert_array_equal(model.many[0].W.array, arrays["many/0/W"])
    with pytest.raises(ValueError, match="many/0/b is missing"):
        S.load_npz(tmp_path / "m.npz", Net(), ignore_names="l1/W")
    S.load_npz(tmp_path / "m.npz", Net(), ignore_names="many/0/b")


def test_files_that_are_none(tmp_path):
    for content in (b"", b"PK\x03\x04 and no more", pickle.dumps([1])):
        (tmp_path / "m").write_bytes(content)
        with pytest.raises(ValueError, match="is not an npz file"):
            S.load_npz(tmp_path / "m", Net())
        with pytest.raises(ValueError, match="is not a safetensors file"):
            S.load_safetensors(tmp_path / "m", Net())
    S.save_npz(tmp_path / "m", Net(), compression=False)
    data = bytearray((tmp_path / "m").read_bytes())
    at = data.index(Net().l1.W.array.tobytes())
    data[at] ^= 1
    (tmp_path / "m").write_bytes(data)
    model = Net(3)
    before = values(model)
    with pytest.raises(ValueError, match="load_npz: l1/W cannot be read: Bad CRC"):
        S.load_npz(tmp_path / "m", model)
    assert same(values(model), before)
    for _, load in FORMATS.values():
        with pytest.raises(FileNotFoundError):
            load(tmp_path / "none", model)


@pytest.mark.parametrize("kind", FORMATS)
def test_an_interrupted_save_leaves_the_old_file(tmp_path, kind, monkeypatch):
    save, load = FORMATS[kind]
    old = Net(1)
    save(tmp_path / "m", old)

    def full(fd):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="disk full"):
        save(tmp_path / "m", Net(2))
    assert [file.name for file in tmp_path.iterdir()] == ["m"]
    model = Net(3)
    load(tmp_path / "m", model)
    assert same(values(model), values(old))


def test_what_cannot_be_saved(tmp_path):
    with pytest.raises(TypeError, match="expected a link or an optimizer, got dict"):
        S.save_npz(tmp_path / "m", {})
    with pytest.raises(TypeError, match="a view has no parameters of its own"):
        S.save_npz(tmp_path / "m", Net().view())
    with pytest.raises(ValueError, match="Adam: this optimizer has no parameters yet"):
        S.save_npz(tmp_path / "m", optimizers.Adam())
    model = Net()
    model.add_persistent("names", {"a": 1})
    with pytest.raises(TypeError, match="names is a dict, which cannot be saved as an array"):
        S.save_npz(tmp_path / "m", model)
    model.names = "text"
    S.save_npz(tmp_path / "m", model)
    model.names = "other"
    S.load_npz(tmp_path / "m", model)
    assert model.names == "text"
    with pytest.raises(TypeError, match="save_safetensors: names is <U4"):
        S.save_safetensors(tmp_path / "s", model)
    assert not (tmp_path / "s").exists()


# optimizers


def step(model, optimizer, n=1):
    for _ in range(n):
        model.cleargrads()
        F.sum(model(X) ** 2).backward()
        optimizer.update()


OPTIMIZERS = [
    (optimizers.SGD, {}), (optimizers.MomentumSGD, {}), (optimizers.RMSprop, {}), (optimizers.RMSpropGraves, {}),
    (optimizers.SMORMS3, {}), (optimizers.Adam, {}), (optimizers.Adam, {"beta1": 0.0, "beta2": 0.5}),
    (optimizers.AMSGrad, {}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "named"), OPTIMIZERS)
@pytest.mark.parametrize("form", FORMATS)
def test_an_optimizer_there_and_back(tmp_path, kind, named, form):
    save, load = FORMATS[form]
    here, there = Net(1), Net(2)
    one, two = kind(**named).setup(here), kind(**named).setup(there)
    step(here, one, 3)
    step(there, two, 1)
    save(tmp_path / "m", here)
    save(tmp_path / "o", one)
    load(tmp_path / "m", there)
    load(tmp_path / "o", two)
    assert two.t == 3
    step(here, one, 2)
    step(there, two, 2)
    np.testing.assert_allclose(there.flat, here.flat, rtol=1e-5, atol=1e-6)


def test_an_optimizers_file_is_chainers(tmp_path):
    """Names, kinds and meaning as Chainer 7.8.1 writes them: m and v are running means."""
    model = L.Linear(3, 2)
    optimizer = optimizers.Adam(beta1=0.9, beta2=0.99).setup(model)
    for g in (1.0, 3.0):
        model.W.grad, model.b.grad = np.full((2, 3), g, np.float32), np.full(2, 2 * g, np.float32)
        optimizer.update()
    S.save_npz(tmp_path / "o", optimizer)
    with np.load(tmp_path / "o") as f:
        assert sorted(f.files) == ["W/m", "W/t", "W/v", "b/m", "b/t", "b/v", "epoch", "t"]
        assert (f["t"].item(), f["W/t"].item(), f["epoch"].item()) == (2, 2, 0)
        np.testing.assert_allclose(f["W/m"], np.full((2, 3), 0.09 + 0.3), rtol=1e-5)  # 0.9 * 0.1 * 1 + 0.1 * 3
        np.testing.assert_allclose(f["b/v"], np.full(2, 0.99 * 0.04 + 0.01 * 36), rtol=1e-5)
    np.savez(
        tmp_path / "c.npz",
        **{"t": 7, "epoch": 0, "W/t": 5, "b/t": 0, "W/m": np.arange(6.0).reshape(2, 3), "W/v": np.ones((2, 3))},
    )
    S.load_npz(tmp_path / "c.npz", optimizer)
    state = optimizer.state()
    assert (state["t"], state["steps"]) == (7, [5, 0])
    m, v = model.split(state["m"]), model.split(state["v"])
    np.testing.assert_allclose(m[0], np.arange(6.0).reshape(2, 3) / (1 - 0.9), rtol=1e-5)
    np.testing.assert_allclose(v[0], np.full((2, 3), 100), rtol=1e-5)
    assert m[1].tolist() == v[1].tolist() == [0, 0]  # no step yet


def test_smorms3_memory_starts_at_one_in_the_file(tmp_path):
    model = L.Linear(3, 2)
    S.save_npz(tmp_path / "o", optimizers.SMORMS3().setup(model))
    with np.load(tmp_path / "o") as f:
        assert f["b/mem"].tolist() == [1, 1]


def test_a_wrong_optimizer_file(tmp_path):
    model, other = Net(1), Net(2)
    optimizer = optimizers.Adam().setup(model)
    step(model, optimizer)
    momentum = optimizers.MomentumSGD().setup(other)
    step(other, momentum)
    S.save_npz(tmp_path / "o", momentum)
    before = {k: np.copy(v) for k, v in optimizer.state().items()}
    with pytest.raises(ValueError, match="load: l1/W/m is missing; the file has t, epoch, l1/W/t"):
        S.load_npz(tmp_path / "o", optimizer)
    wider = Chain(l1=L.Linear(5, 4))
    wide = optimizers.Adam().setup(wider)
    wider.l1.W.grad = np.ones((4, 5), np.float32)
    wide.update()
    S.save_npz(tmp_path / "o", wide)
    with pytest.raises(ValueError, match="load: many/0/W/t is missing"):
        S.load_npz(tmp_path / "o", optimizer)
    with pytest.raises(ValueError, match=r"load: l1/W/m is \(4, 5\) float32 in the file and \(4, 3\) float32 here"):
        S.load_npz(tmp_path / "o", optimizer, strict=False)
    assert same({k: np.copy(v) for k, v in optimizer.state().items()}, before)


def test_loss_scale_and_masters(tmp_path):
    def make():
        model = Chain(l1=L.Linear(3, 2, initialW=np.ones((2, 3), np.float16), initial_bias=np.zeros(2, np.float16)))
        optimizer = optimizers.SGD(1e-4).setup(model)
        optimizer.loss_scaling()
        optimizer.use_fp32_update()
        return model, optimizer

    def steps(model, optimizer):
        for _ in range(3):
            optimizer.update(lambda: F.sum(model.l1(X.astype(np.float16))))

    (here, one), (there, two) = make(), make()
    steps(here, one)
    S.save_npz(tmp_path / "m", here)
    S.save_npz(tmp_path / "o", one)
    S.load_npz(tmp_path / "m", there)
    S.load_npz(tmp_path / "o", two)
    assert two.loss_scale == one.loss_scale > 1
    np.testing.assert_array_equal(two.state()["master"], one.state()["master"])
    with np.load(tmp_path / "o") as f:
        np.savez(tmp_path / "c.npz", **{k: f[k] for k in f.files if not k.endswith("/master")})
    S.load_npz(tmp_path / "c.npz", two)  # Chainer keeps no masters: they start from the parameters
    np.testing.assert_array_equal(two.state()["master"], there.flat.astype(np.float32))
