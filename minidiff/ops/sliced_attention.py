"""Attention a few queries at a time: the same result, without storing all N x M weights."""

from ..backend import xp_of
from .attention import attention


def sliced_attention(q, k, v, heads=1, mask=None, scale=None, bias=None, rows=1024):
    """`attention`, `rows` queries at a time. Same arguments and result.

    Saved for backward are q, k and v alone: the weights of a slice are recomputed in the backward pass.
    """
    xp, N = xp_of(q, k, v), q.shape[1]
    if rows < 1:
        raise ValueError(f"sliced_attention: rows is {rows}, expected a whole number >= 1")

    def part(of, start):
        """The rows of a mask or bias that belong to a slice; one that is the same for every query passes."""
        return of if of is None or of.ndim < 2 or of.shape[-2] == 1 else of[..., start : start + rows, :]

    def run(start):
        queries = xp.ascontiguousarray(q[:, start : start + rows])  # in order, as the fast versions take them
        return attention(queries, k, v, heads, part(mask, start), scale, part(bias, start))

    def back(dy):
        dq, dbias, dk, dv = [], [], 0, 0
        for start in range(0, N, rows):
            dq_part, dk_part, dv_part, *dbias_part = run(start)[1](dy[:, start : start + rows])
            dq.append(dq_part)
            dbias += dbias_part
            dk, dv = dk + dk_part, dv + dv_part  # every slice attended to all keys and values
        dq = xp.concatenate(dq, axis=1)
        if bias is None:
            return dq, dk, dv
        return dq, dk, dv, sum(dbias[1:], dbias[0]) if bias.shape[-2] == 1 else xp.concatenate(dbias, axis=-2)

    return xp.concatenate([run(start)[0] for start in range(0, N, rows)], axis=1), back
