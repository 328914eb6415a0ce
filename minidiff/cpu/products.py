"""Matrix products on pieces: one that two threads may share, and the sum of products that a weight's gradient is."""

import numpy as np

from ..thread_team import share
from .pieces import TASK, cut, lanes
from .scratch import ones, scratch


def product(a, b, out, alone=True):
    """out = a @ b. Where few pixels are one piece, `alone`, two threads take half of the columns each."""
    columns = b.shape[1]
    if not alone or a.shape[0] * b.size < 2 * TASK:
        np.matmul(a, b, out=out)
        return
    halves = cut(columns, -(-columns // 2))

    def half(i):
        part = slice(*halves[i])
        np.matmul(a, b[:, part], out=out[:, part])

    share(half, len(halves))


def weight_gradients(pieces, factors, K, O, dtype):
    """Sums over pieces of what a layer's rows saw times what came back.   ->   dw (K, O), db (O,)

    factors(piece) -> rows (n, K), drows (n, O). Each thread sums pieces that are neighbours.
    """
    shares = lanes(pieces, K * O * dtype.itemsize)
    dw, db = np.empty((len(shares), K, O), dtype), np.empty((len(shares), O), dtype)

    def backward(lane):
        for k, piece in enumerate(shares[lane]):
            rows, drows = factors(piece)
            sums = ones(len(drows), dtype)
            if k == 0:
                product(rows.T, drows, dw[lane])
                np.matmul(sums, drows, out=db[lane])
            else:
                dw[lane] += np.matmul(rows.T, drows, out=scratch("dw", (K, O), dtype))
                db[lane] += sums @ drows

    share(backward, len(shares))
    for lane in range(1, len(shares)):  # always in this order
        dw[0] += dw[lane]
        db[0] += db[lane]
    return dw[0], db[0]
