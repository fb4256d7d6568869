"""One row or more for each public function, operator, method and NumPy ufunc: what `test_functions.py` runs."""

from tests.autograd.ops import (
    activation,
    array,
    connection,
    contraction,
    cumulative,
    indexing,
    joining,
    linalg,
    loss,
    math,
    reduction,
    rounding,
    special,
    trigonometry,
    variable,
)
from tests.autograd.ops.row import Op

OPS: list[Op] = [
    *activation.OPS,
    *array.OPS,
    *connection.OPS,
    *contraction.OPS,
    *cumulative.OPS,
    *indexing.OPS,
    *joining.OPS,
    *linalg.OPS,
    *loss.OPS,
    *math.OPS,
    *reduction.OPS,
    *rounding.OPS,
    *special.OPS,
    *trigonometry.OPS,
    *variable.OPS,
]
CONSTANT = {"F.argmax", "F.argmin"}  # no gradient, and tests of their own
