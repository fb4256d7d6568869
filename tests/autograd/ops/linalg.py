"""Rows of `functions/linalg.py`."""

from __future__ import annotations

import numpy as np

from rlcore.autograd import functions as F
from tests.autograd.ops.row import Op

EYE = 2 * np.eye(3, dtype=np.float16)


def adjugate(a):
    """The inverse times the determinant, of matrices (..., 3, 3), by cross products of the rows."""
    rows = [a[..., i, :] for i in range(3)]
    return np.stack([np.cross(rows[(i + 1) % 3], rows[(i + 2) % 3]) for i in range(3)], -1)


def determinant(a):
    return np.einsum("...i,...i->...", a[..., 0, :], np.cross(a[..., 1, :], a[..., 2, :]))


def lower(a):
    """Cholesky's factor row by row."""
    out = np.zeros(a.shape)
    for i in range(a.shape[-1]):
        for j in range(i + 1):
            rest = a[..., i, j] - (out[..., i, :j] * out[..., j, :j]).sum(-1)
            out[..., i, j] = np.sqrt(rest) if i == j else rest / out[..., j, j]
    return out


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
    Op(
        "F.matmul trans of stacks",
        lambda a, b: F.matmul(a, b, transa=True),
        lambda a, b: np.einsum("nji,njk->nik", a, b),
        [(2, 4, 3), (1, 4, 2)],
    ),
    Op(
        "F.matmul trans of vectors",
        lambda a, b: F.matmul(a, b, True, True),
        lambda a, b: np.einsum("i,ji->j", a, b),
        [(3,), (2, 3)],
    ),
    Op("F.batch_matmul", F.batch_matmul, lambda a, b: np.einsum("nij,njk->nik", a, b), [(2, 3, 4), (2, 4, 2)]),
    Op(
        "F.batch_matmul vector",
        F.batch_matmul,
        lambda a, b: np.einsum("nij,nj->ni", a, b)[..., None],
        [(2, 3, 4), (2, 4)],
    ),
    Op(
        "F.batch_matmul trans",
        lambda a, b: F.batch_matmul(a, b, True, True),
        lambda a, b: np.einsum("nji,nkj->nik", a, b),
        [(2, 4, 3), (2, 2, 4)],
    ),
    Op(
        "F.batch_matmul vectors",
        lambda a, b: F.batch_matmul(a, b, transa=True),
        lambda a, b: np.einsum("ni,ni->n", a, b)[:, None, None],
        [(2, 3), (2, 3)],
    ),
    Op(
        "F.inv",
        lambda a, eye: F.inv(a + eye),
        lambda a, eye: adjugate(a + eye) / determinant(a + eye),
        [(3, 3)],
        consts=(EYE,),
        empty=False,
    ),
    Op(
        "F.batch_inv",
        lambda a, eye: F.batch_inv(a + eye),
        lambda a, eye: adjugate(a + eye) / determinant(a + eye)[:, None, None],
        [(2, 3, 3)],
        consts=(EYE,),
        empty=False,
    ),
    Op("F.det", lambda a, eye: F.det(a + eye), lambda a, eye: determinant(a + eye), [(3, 3)], (EYE,), empty=False),
    Op(
        "F.batch_det",
        lambda a, eye: F.batch_det(a + eye),
        lambda a, eye: determinant(a + eye),
        [(2, 3, 3)],
        consts=(EYE,),
        empty=False,
    ),
    Op(
        "F.cholesky",
        lambda a, eye: F.cholesky(F.matmul(a, a, transb=True) + eye),
        lambda a, eye: lower(a @ a.T + eye),
        [(3, 3)],
        consts=(EYE,),
        empty=False,
    ),
    Op(
        "F.cholesky stack",
        lambda a, eye: F.cholesky(F.matmul(a, a, transb=True) + eye),
        lambda a, eye: lower(np.einsum("nij,nkj->nik", a, a) + eye),
        [(2, 3, 3)],
        consts=(EYE,),
        empty=False,
    ),
]
