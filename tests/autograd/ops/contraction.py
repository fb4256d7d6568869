"""Rows of `functions/contraction.py`."""

from __future__ import annotations

import numpy as np

from rlcore.autograd import functions as F
from tests.autograd.ops.row import A34, Op


def einsum(subscripts, *shapes, **named):
    return Op(
        f"F.einsum {subscripts}",
        lambda *xs: F.einsum(subscripts, *xs),
        lambda *xs: np.einsum(subscripts, *xs),
        list(shapes),
        **named,
    )


OPS = [
    Op("F.tensordot", F.tensordot, lambda a, b: np.einsum("ijk,jkl->il", a, b), [(2, 3, 4), (3, 4, 5)]),
    Op("F.tensordot 0", lambda a, b: F.tensordot(a, b, 0), lambda a, b: np.einsum("ij,k->ijk", a, b), [(2, 3), (4,)]),
    Op("F.tensordot 1", lambda a, b: F.tensordot(a, b, axes=1), np.matmul, [(2, 3), (3, 4)]),
    Op("F.tensordot pair", lambda a, b: F.tensordot(a, b, (0, -1)), lambda a, b: a.T @ b.T, [(3, 2), (4, 3)]),
    Op(
        "F.tensordot lists",
        lambda a, b: F.tensordot(a, b, ([-1, 1], [0, 1])),
        lambda a, b: np.einsum("ijk,kjl->il", a, b),
        [(2, 3, 4), (4, 3, 5)],
    ),
    einsum("ij,jk->ik", (2, 3), (3, 4)),
    einsum("kj,ji", (2, 3), (3, 4)),
    einsum("i,j", (2,), (3,)),
    einsum("ij,ij->", A34, A34),
    einsum("ij,ij->ji", A34, A34),
    einsum("bij,bjk->kbi", (2, 3, 4), (2, 4, 2)),
    einsum("ij,kl->i", (2, 3), (3, 2)),
    einsum("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)),
    einsum("i,ij,ik,jk->i", (2,), (2, 3), (2, 2), (3, 2)),
    einsum("ij->ji", A34),
    einsum("ij->", A34),
    einsum("ii", (3, 3)),
    einsum("iji->ij", (3, 2, 3)),
    einsum("iij,jk->ki", (2, 2, 3), (3, 2)),
    einsum("iijj,j->i", (2, 2, 3, 3), (3,)),
    einsum("...", A34, scalar=True),
    einsum("...ij,...jk->...ik", (2, 2, 3), (3, 2)),
    einsum("...ij,jk", (2, 2, 3), (3, 2)),
    einsum("...i,...i->...", (4, 1, 3), (2, 3)),
    einsum("i...->...i", (2, 3, 2)),
    einsum(" ..., ... -> ... ", (2, 3), (1, 3), scalar=True),
    Op(
        "F.einsum lists",
        lambda a, b: F.einsum(a, [0, 30], b, [30, 1], [1, 0]),
        lambda a, b: (a @ b).T,
        [(2, 3), (3, 4)],
    ),
    Op(
        "F.einsum lists without output",
        lambda a, b: F.einsum(a, [..., 2, 1], b, [1, 0]),
        lambda a, b: np.einsum("nij,jk->nki", a, b),
        [(2, 4, 3), (3, 2)],
    ),
]
