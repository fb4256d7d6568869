"""Variable: what it is, what it refuses, gradients set and cleared."""

from __future__ import annotations

import numpy as np
import pytest

from rlcore.autograd import Parameter, Variable, as_array, as_variable
from rlcore.autograd import functions as F
from tests.autograd.test_function import leaf


def test_attributes():
    x = Variable(np.arange(6, dtype=np.float32).reshape(2, 3))
    assert (x.shape, x.ndim, x.size, x.dtype, len(x), x.xp) == ((2, 3), 2, 6, np.float32, 2, np)
    assert x.data is x.array
    assert x[1, 2].item() == 5.0
    assert repr(Variable(np.array([1.0]))) == "variable(array([1.]))"
    assert x.creator is None
    assert type((x * 2).creator).__name__ == "Mul"


def test_arrays_are_always_arrays():
    x = Variable(np.float64(3.0))
    for y in (
        x,
        x * 2,
        F.exp(x),
        F.sum(leaf(1.0, 2.0)),
        leaf(1.0, 2.0)[1],
        F.max(leaf(1.0)),
        F.mean_squared_error(np.ones(2), np.ones(2)),
    ):
        assert isinstance(y.array, np.ndarray)
        assert y.shape == ()


@pytest.mark.parametrize("data", [1.0, [1.0], "a", None])
def test_only_arrays_are_wrapped(data):
    with pytest.raises(TypeError, match=rf"Variable: expected a NumPy or CuPy array, got {type(data).__name__}"):
        Variable(data)
    with pytest.raises(TypeError, match="expected a NumPy or CuPy array"):
        as_variable(data)


def test_as_variable_and_as_array():
    array = np.ones(2)
    x = Variable(array)
    assert as_variable(x) is x
    assert not as_variable(array).requires_grad
    assert as_array(x) is array
    assert as_array(array) is array


def test_who_gets_a_gradient():
    assert leaf(1.0).requires_grad
    for dtype in (np.int64, np.int32, np.uint8, np.bool_):
        n = Variable(np.ones(2, dtype))
        assert not n.requires_grad
        assert not (n + n).requires_grad
        x = leaf(1.0, 2.0)
        F.sum(x * n).backward()
        assert n.grad is None
        assert x.grad.tolist() == [1, 1]
        with pytest.raises(ValueError, match="is a constant"):
            n.grad = np.ones(2)
    assert not Variable(np.ones(2), requires_grad=False).requires_grad


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x == x, lambda x: x != x, lambda x: x < 1, lambda x: x <= 1, lambda x: x >= x,
        lambda x: np.ones(2) == x, lambda x: np.ones(2) < x, bool, lambda x: not x, lambda x: 1 in x, lambda x: x and x,
        np.asarray, np.array, lambda x: np.array([x, x]), lambda x: np.ones(2).dot(x), hash, float,
    ],
)  # fmt: skip
def test_what_is_not_recorded_is_refused(f):
    with pytest.raises(TypeError):
        f(leaf(1.0, 2.0))


def test_refusals_say_what_to_do():
    x = leaf(1.0)
    with pytest.raises(TypeError, match=r"comparing a Variable is not recorded in the graph; compare its \.array"):
        x > 0  # noqa: B015
    with pytest.raises(TypeError, match=r"the truth of a Variable .* test its \.array"):
        bool(x)
    with pytest.raises(TypeError, match=r"numpy\.asarray\(\) of a Variable .* use its \.array"):
        np.asarray(x)


def test_in_place_operators_make_a_new_variable():
    x = leaf(1.0, 2.0)
    y = x
    y += 1
    y *= x
    assert x.array.tolist() == [1.0, 2.0]
    assert y.array.tolist() == [2.0, 6.0]
    F.sum(y).backward()
    assert x.grad.tolist() == [3.0, 5.0]


def test_an_array_is_not_added_to_in_place():
    with pytest.raises(TypeError, match=r"numpy\.add of a Variable"):
        np.ones(1).__iadd__(leaf(1.0))


def test_iteration_goes_over_the_first_axis():
    rows = list(Variable(np.arange(6.0).reshape(3, 2)))
    assert [r.array.tolist() for r in rows] == [[0, 1], [2, 3], [4, 5]]


def test_gradients_are_set_and_cleared():
    x = Variable(np.ones(2), grad=np.array([1.0, 2.0]))
    assert x.grad.tolist() == [1, 2]
    assert x.grad_var.array.tolist() == [1, 2]
    F.sum(x * 3).backward()
    assert x.grad.tolist() == [4, 5]
    x.cleargrad()
    assert x.grad is None
    assert x.grad_var is None
    x.grad = np.ones(2, np.float32)
    assert x.grad.dtype == np.float64
    x.grad = None
    assert x.grad is None
    with pytest.raises(ValueError, match=r"grad: expected shape \(2,\), got \(1,\)"):
        x.grad = np.ones(1)
    given = np.ones(2)
    x.grad = given
    x.grad += 1
    assert given.tolist() == [1, 1]


def test_only_one_element_needs_no_gradient():
    y = leaf(1.0, 2.0) * 2
    with pytest.raises(
        ValueError, match=r"backward: a Variable of shape \(2,\) needs a gradient first: set its \.grad"
    ):
        y.backward()
    y.grad = np.array([1.0, 0.5])
    y.backward()
    for shape in ((), (1,), (1, 1)):
        x = Variable(np.full(shape, 3.0))
        (x * x).backward()
        assert x.grad.shape == shape
        assert x.grad.item() == 6
        x.cleargrad()
        x.backward()
        assert x.grad.item() == 1


def test_a_leafs_own_array_may_be_replaced():
    """What was recorded reads the old one."""
    x = leaf(2.0)
    y = F.sum(x * x)
    x.array = np.array([5.0])
    y.backward()
    assert x.grad.tolist() == [4.0]


def test_a_name_is_kept():
    x = Variable(np.ones(2), name="x")
    assert (x.name, Variable(np.ones(2)).name, (x + 1).name) == ("x", None, None)
    y = x * 2
    y.name = "y"
    assert y.name == "y"


def test_addgrad_and_copydata():
    """Chainer 7.8.1."""
    a, b = Variable(np.float32([1, 1])), Variable(np.float32([3, 4]))
    a.addgrad(b)
    assert a.grad is None
    b.grad = np.float32([5, 6])
    a.addgrad(b)
    a.addgrad(b)
    assert (a.grad.tolist(), b.grad.tolist()) == ([10, 12], [5, 6])
    array, y = a.array, F.sum(a * a)
    a.copydata(b)
    assert a.array is array
    assert array.tolist() == [3, 4]
    with pytest.raises(RuntimeError, match="was changed"):
        y.backward()
    with pytest.raises(ValueError, match=r"copydata: expected shape \(2,\), got \(1,\)"):
        a.copydata(Variable(np.float32([1])))
    with pytest.raises(ValueError, match=r"grad: expected shape \(1,\), got \(2,\)"):
        Variable(np.float32([1])).addgrad(b)


def test_data_is_array_under_another_name():
    x, p = Variable(np.float32([1])), Parameter(np.float32([1, 2]))
    array = p.array
    x.data = p.data = np.float32([3, 4])
    np.testing.assert_array_equal(x.array, [3, 4])
    assert p.array is array
    np.testing.assert_array_equal(array, [3, 4])
    with pytest.raises(ValueError, match=r"array: expected shape \(2,\), got \(1,\)"):
        p.data = np.float32([1])
