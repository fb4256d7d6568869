"""One row or more for each public function, operator, method and NumPy ufunc: what `test_functions.py` runs."""

from tests.autograd.ops import activation, array, connection, indexing, joining, linalg, loss, math, reduction, variable
from tests.autograd.ops.row import Op

OPS: list[Op] = [
    *activation.OPS,
    *array.OPS,
    *connection.OPS,
    *indexing.OPS,
    *joining.OPS,
    *linalg.OPS,
    *loss.OPS,
    *math.OPS,
    *reduction.OPS,
    *variable.OPS,
]
CONSTANT = {"F.argmax", "F.argmin"}  # no gradient, and tests of their own
