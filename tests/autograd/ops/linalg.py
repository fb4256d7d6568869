"""Rows of `functions/linalg.py`."""

from __future__ import annotations

import numpy as np

from rlcore.autograd import functions as F
from tests.autograd.ops.row import Op

OPS = [
    Op("F.matmul", F.matmul, lambda a, b: np.einsum("ij,jk->ik", a, b), [(2, 3), (3, 4)]),
    Op("F.matmul stacks", F.matmul, lambda a, b: np.einsum("nij,mnjk->mnik", a, b), [(2, 3, 4), (2, 2, 4, 2)]),
    Op("F.matmul stack by matrix", F.matmul, lambda a, b: np.einsum("nij,jk->nik", a, b), [(2, 3, 4), (4, 5)]),
    Op("F.matmul matrix by vector", F.matmul, lambda a, b: np.einsum("nij,j->ni", a, b), [(2, 3, 4), (4,)]),
    Op("F.matmul vector by matrix", F.matmul, lambda a, b: np.einsum("j,njk->nk", a, b), [(4,), (3, 4, 2)]),
    Op("F.matmul vectors", F.matmul, lambda a, b: np.einsum("i,i->", a, b), [(3,), (3,)]),
    Op(
        "F.matmul trans",
        lambda a, b: F.matmul(a, b, True, True),
        lambda a, b: np.einsum("ji,kj->ik", a, b),
        [(4, 3), (2, 4)],
    ),
]
