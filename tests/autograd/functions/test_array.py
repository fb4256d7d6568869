"""Axes, shapes and devices: what the rows of `ops/array.py` cannot say."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from rlcore.autograd import Variable, grad
from rlcore.autograd import functions as F
from tests.autograd import device


def test_broadcast_gives_a_variable_for_one_argument_and_a_tuple_for_more():
    x = np.ones((2, 1), np.float32)
    assert isinstance(F.broadcast(x), Variable)
    ys = F.broadcast(x, Variable(np.ones(3, np.float32)))
    assert isinstance(ys, tuple)
    assert [y.shape for y in ys] == [(2, 3), (2, 3)]
    assert [y.requires_grad for y in ys] == [False, True]


@pytest.mark.parametrize("axis", [-4, -3, -1, 0, 1, 3])
def test_an_axis_put_in_and_taken_out_again(axis):
    x = np.arange(24.0).reshape(2, 3, 4)
    wide = F.expand_dims(x, axis)
    np.testing.assert_array_equal(wide.array, np.expand_dims(x, axis))
    np.testing.assert_array_equal(F.squeeze(wide, axis).array, x)
    np.testing.assert_array_equal(F.squeeze(wide, (axis,)).array, x)


def test_a_cast_and_its_gradient_have_the_dtypes_asked_for():
    x = F.identity(Variable(np.float16([1, 2])))
    y = F.cast(x, "d")
    assert y.dtype == np.float64
    F.sum(y).backward(retain_grad=True)
    assert (x.grad.dtype, y.grad.dtype) == (np.float16, np.float64)
    assert F.cast(x, np.int32).array.tolist() == [1, 2]
    assert F.cast(x, np.int32).dtype == np.int32


@pytest.mark.parametrize("axis", [-3, -2, -1, 0, 1, 2])
@pytest.mark.parametrize("start", [-3, -2, -1, 0, 1, 2, 3])
def test_rollaxis_is_numpys(axis, start):
    x = np.zeros((2, 3, 4))
    assert F.rollaxis(x, axis, start).shape == np.rollaxis(x, axis, start).shape


@pytest.mark.parametrize(
    ("source", "destination"), [(0, 2), (-1, 0), ((0, 1), (-1, -2)), ([3, 0], [0, 1]), ((0, 1, 2), (2, 0, 1))]
)
def test_moveaxis_is_numpys(source, destination):
    x = np.arange(120.0).reshape(2, 3, 4, 5)
    np.testing.assert_array_equal(F.moveaxis(x, source, destination).array, np.moveaxis(x, source, destination))


@pytest.fixture
def cupy(monkeypatch):
    """The stand-in, with devices that are only numbers."""
    module, entered = device.module(), []

    class Device:
        def __init__(self, number):
            self.number = number

        def __enter__(self):
            entered.append(self.number)

        def __exit__(self, *error):
            pass

    module.cuda = SimpleNamespace(Device=Device)
    monkeypatch.setattr(device.Array, "device", SimpleNamespace(id=1), raising=False)
    monkeypatch.setitem(sys.modules, "cupy", module)
    return entered


def test_copy_moves_to_a_gpu_and_its_gradient_back(cupy):
    x = Variable(np.array([1.0, -2.0]))
    y = F.copy(x, 1)
    assert isinstance(y.array, device.Array)
    assert cupy == [1]
    (y * y).sum().backward()
    assert isinstance(x.grad, np.ndarray)
    assert x.grad.tolist() == [2, -4]


def test_copy_moves_to_the_cpu_and_its_gradient_back_to_the_same_gpu(cupy):
    x = Variable(device.Array(np.array([1.0, -2.0])))
    y = F.copy(x, -1)
    assert isinstance(y.array, np.ndarray)
    (y * y).sum().backward()
    assert isinstance(x.grad, device.Array)
    assert x.grad.get().tolist() == [2, -4]
    assert cupy == [1]


def test_a_second_derivative_through_copy(cupy):
    x = Variable(np.array([1.0, -2.0]))
    y = F.copy(x, 0)
    first = grad(F.copy(y * y * y, -1), x, np.ones(2), enable_double_backprop=True)[0]
    assert grad(first, x, np.ones(2))[0].array.tolist() == [6, -12]


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: F.broadcast(), ValueError, "broadcast: give at least one"),
        (
            lambda: F.broadcast(np.ones(2), np.ones(3)),
            ValueError,
            r"broadcast: the shapes \(2,\), \(3,\) have no common",
        ),
        (lambda: F.swapaxes(np.ones((2, 3)), 0, 2), ValueError, r"swapaxes: axis 2 is out of range .*\(2, 3\)"),
        (lambda: F.moveaxis(np.ones((2, 3)), 2, 0), ValueError, "moveaxis: axis 2"),
        (lambda: F.moveaxis(np.ones((2, 3)), (0, 1), 0), ValueError, "moveaxis: source .* each once"),
        (lambda: F.moveaxis(np.ones((2, 3)), 0, (0, 1)), ValueError, "moveaxis: source .* each once"),
        (lambda: F.moveaxis(np.ones((2, 3)), (0, 1), (1, -1)), ValueError, "moveaxis: source .* each once"),
        (lambda: F.moveaxis(np.ones((2, 3)), (0, -2), (0, 1)), ValueError, "moveaxis: source .* each once"),
        (lambda: F.rollaxis(np.ones((2, 3)), 0, 3), ValueError, "rollaxis: start 3"),
        (lambda: F.rollaxis(np.ones((2, 3)), -3), ValueError, "rollaxis: axis -3"),
        (lambda: F.squeeze(np.ones((1, 3)), (0, 1)), ValueError, "squeeze: axis 1 .* length 3"),
        (lambda: F.expand_dims(np.ones(2), 2), ValueError, r"expand_dims: axis 2 is out of range .*\(2,\)"),
        (lambda: F.expand_dims(np.ones(2), -3), ValueError, "expand_dims: axis -3"),
        (lambda: F.sum_to(np.ones(3), (1, 3)), ValueError, r"sum_to: \(1, 3\) cannot be broadcast to .*\(3,\)"),
        (lambda: F.copy(np.ones(2), -2), ValueError, "copy: dst must be the number of a GPU"),
        (lambda: F.copy(np.ones(2), "cpu"), ValueError, "copy: dst must be .*'cpu'"),
    ],
)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match):
        call()
