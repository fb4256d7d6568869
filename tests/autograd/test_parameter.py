"""Parameter: first values, shapes settled later, order in memory, its copy and its twin."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from rlcore.autograd import Parameter, grad, parameter
from rlcore.autograd import functions as F
from rlcore.autograd.initializers import HeNormal, Normal
from rlcore.rng import generator
from tests.autograd.test_function import leaf


def test_a_parameter_of_each_kind():
    assert Parameter(0, 3).array.tolist() == [0, 0, 0]
    assert Parameter(1.5, (1, 2)).array.tolist() == [[1.5, 1.5]]
    assert Parameter(np.float32(0.5), 2).array.tolist() == [0.5, 0.5]
    p = Parameter(np.array([1.0, 2.0]))
    assert (p.dtype, p.array.tolist(), p.is_initialized) == (np.float64, [1, 2], True)
    assert Parameter(0, 3).dtype == np.float32
    with pytest.raises(TypeError, match="initializer: expected an Initializer, a number, an array or None, got str"):
        Parameter("zero", 3)


def test_an_array_is_copied():
    given = np.array([1.0, 2.0])
    p = Parameter(given)
    p.array[0] = 7
    assert given.tolist() == [1, 2]


def test_an_initial_array_of_another_shape_is_refused():
    for shape in ((3, 2), (3,), (1, 3)):
        with pytest.raises(ValueError, match=r"\(2, 3\)"):
            Parameter(np.ones(shape), (2, 3))


def test_shape_settled_later():
    p = Parameter(HeNormal(rng=generator(0)))
    assert not p.is_initialized
    assert p.grad is None
    with pytest.raises(ValueError, match="shape is not known yet"):
        p.array = np.ones(2)
    p.initialize((3, 2))
    assert p.shape == (3, 2)
    with pytest.raises(ValueError, match=r"initialize: this parameter has shape \(3, 2\) already"):
        p.initialize((3, 2))


def test_assigning_the_array_writes_in_place():
    p = Parameter(0, 3)
    array = p.array
    p.array = np.array([1, 2, 3])
    assert p.array is array
    assert array.tolist() == [1, 2, 3]
    assert p.const.array is array
    with pytest.raises(ValueError, match=r"array: expected shape \(3,\), got \(2,\)"):
        p.array = np.ones(2)


def test_order_of_axes_in_memory():
    rng = generator(0)
    p = Parameter(Normal(rng=rng), (2, 3), order=(1, 0))
    assert p.shape == (2, 3)
    assert p.array.T.flags.c_contiguous
    np.testing.assert_array_equal(p.array, Parameter(Normal(rng=generator(0)), (2, 3)).array)
    q = Parameter(np.arange(120.0).reshape(2, 3, 4, 5), order=(2, 3, 1, 0))
    assert q.shape == (2, 3, 4, 5)
    assert q.array.transpose(2, 3, 1, 0).flags.c_contiguous
    np.testing.assert_array_equal(q.array, np.arange(120.0).reshape(2, 3, 4, 5))
    np.testing.assert_array_equal(copy.deepcopy(q).array, q.array)
    assert copy.deepcopy(q).array.strides == q.array.strides


def test_a_copied_parameter_is_another():
    p = Parameter(np.array([1.0, 2.0]))
    p.grad = np.ones(2)
    q = copy.deepcopy(p)
    q.array[0] = 9
    assert p.array.tolist() == [1, 2]
    assert q.grad is None
    assert q.dtype == np.float64
    assert q.const.array is q.array
    assert grad(F.sum(q * p), [p, q])[0].array.tolist() == [9, 2]


def test_a_parameters_twin_is_a_constant():
    p = Parameter(np.array([1.0, 2.0]))
    assert not p.const.requires_grad
    assert not (p.const * 2).requires_grad
    x = leaf(3.0, 4.0)
    F.sum(x * p.const).backward()
    assert p.grad is None
    assert x.grad.tolist() == [1, 2]


def test_update_enabled_is_told_to_optimizers_and_copied():
    p = Parameter(np.ones(2, np.float32))
    assert p.update_enabled
    before = parameter.version
    p.update_enabled = False
    assert parameter.version > before
    assert not copy.deepcopy(p).update_enabled
