"""Rows of `functions/connection.py`."""

from __future__ import annotations

import numpy as np

from rlcore.autograd import functions as F
from tests.autograd.ops.row import Op

IDS = np.array([[2, 0, 2, 1], [4, 2, 0, 0]])


def ensemble(x, W, b=None):
    y = np.stack([(x if x.ndim == 2 else x[k]) @ W[k].T for k in range(len(W))])
    return y if b is None else y + b[:, None]


OPS = [
    Op("F.linear", F.linear, lambda x, W, b: np.einsum("ni,oi->no", x, W) + b, [(3, 4), (2, 4), (2,)]),
    Op("F.linear nobias", F.linear, lambda x, W: np.einsum("ni,oi->no", x, W), [(3, 4), (2, 4)]),
    Op(
        "F.linear flattens", F.linear, lambda x, W: np.einsum("nij,oij->no", x, W.reshape(4, 2, 2)), [(3, 2, 2), (4, 4)]
    ),
    Op(
        "F.linear n_batch_axes=2",
        lambda x, W, b: F.linear(x, W, b, 2),
        lambda x, W, b: x @ W.T + b,
        [(3, 5, 4), (2, 4), (2,)],
    ),
    Op("F.ensemble_linear", F.ensemble_linear, ensemble, [(2, 3, 4), (2, 5, 4), (2, 5)]),
    Op("F.ensemble_linear one input for all", F.ensemble_linear, ensemble, [(3, 4), (2, 5, 4), (2, 5)]),
    Op("F.ensemble_linear nobias", F.ensemble_linear, ensemble, [(2, 3, 4), (2, 1, 4)]),
    Op(
        "F.ensemble_linear relu",
        lambda x, W, b: F.ensemble_linear(x, W, b, relu=True),
        lambda x, W, b: np.maximum(ensemble(x, W, b), 0),
        [(2, 3, 4), (2, 5, 4), (2, 5)],
    ),
    Op(
        "F.embed_id",
        lambda W, ids: F.embed_id(ids, W),
        lambda W, ids: np.stack([[W[i] for i in row] for row in ids]),
        [(5, 3)],
        consts=(IDS,),
    ),
    Op(
        "F.embed_id ignore_label",
        lambda W, ids: F.embed_id(ids, W, 2),
        lambda W, ids: np.stack([[W[i] * (i != 2) for i in row] for row in ids]),
        [(5, 3)],
        consts=(IDS,),
    ),
    Op(
        "F.bilinear",
        F.bilinear,
        lambda e1, e2, W, V1, V2, b: np.einsum("ni,nj,ijk->nk", e1, e2, W) + e1 @ V1 + e2 @ V2 + b,
        [(3, 2), (3, 4), (2, 4, 2), (2, 2), (4, 2), (2,)],
    ),
    Op(
        "F.bilinear without the linear part",
        F.bilinear,
        lambda e1, e2, W: np.einsum("nab,nj,ijk,iab->nk", e1, e2, W, np.eye(4).reshape(4, 2, 2)),
        [(3, 2, 2), (3, 2), (4, 2, 2)],
    ),
]
