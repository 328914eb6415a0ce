"""Chapter 11, text to image: known mistakes in attention, in ranking and in guidance by text."""

import numpy as np

from .. import ops
from ..grading import parts, same


def masked_weights(answer):
    scores = np.array([[[1.0, 2.0, 4.0], [0.0, 1.0, 0.5]], [[-5.0, 0.5, 1.0], [1.0, 0.0, 3.0]]])
    mask = np.array([[True, True, False], [True, False, True]])[:, None]
    e, plain = np.where(mask, np.exp(scores), 0), ops.softmax(scores)[0]
    with np.errstate(invalid="ignore"):
        shifted = e / e.max(axis=2, keepdims=True)
        over_queries = [z / z.sum(axis=1, keepdims=True) for z in (shifted, e)]
    same(answer(scores, mask), e / e.sum(axis=2, keepdims=True), "the weights", {
        "the mask is not used: padding is looked at": plain,
        "set to 0 after the softmax: the weights no longer add up to 1; mask the scores before it": plain * mask,
        "the score is set to 0, and exp(0) is 1: set it to -infinity": ops.softmax(scores * mask)[0],
        "the mask is turned round: True is where one may look": ops.softmax(np.where(mask, -1e300, scores))[0],
        "normalised over the queries; a query's weights add up to 1 over axis=2": over_queries[0],
        "normalised over axis=1, the queries; a query's weights add up to 1 over axis=2": over_queries[1],
        "normalised over the whole table; each query's weights add up to 1": e / e.sum(axis=(1, 2), keepdims=True),
        "not normalised: each query's weights add up to 1": e,
    })


def softmax_back(answer):
    rng = np.random.default_rng(1)
    scores, dA = rng.standard_normal((2, 3, 2, 5))
    A, back = ops.softmax(scores)
    weighted = (dA * A).sum(axis=-1, keepdims=True)
    same(answer(A, dA), back(dA), "the gradient of the scores", {
        "a plain mean of dA; each is weighted with its A: (dA * A).sum": A * (dA - dA.mean(axis=-1, keepdims=True)),
        "A (1 - A) alone is one entry's slope by itself; the cross-talk of the row is missing": dA * A * (1 - A),
        "the sum runs over the last axis, each row by itself": A * (dA - (dA * A).sum()),
        "the sum runs over the last axis, not over the queries": A * (dA - (dA * A).sum(axis=1, keepdims=True)),
        "a mean of dA A; it is a sum, the A are weights already": A * (dA - (dA * A).mean(axis=-1, keepdims=True)),
        "the factor A in front is missing": dA - weighted,
        "this still has attention's factor 1 / sqrt(d)": A * (dA - weighted) / np.sqrt(5),
        "a sign: dA minus the weighted sum": A * (dA + weighted),
    })


def among_nearest(answer):
    S = np.array([
        [7, 3, 31, 18, 4, 5], [28, 1, 22, 9, 10, 15], [33, 13, 6, 17, 21, 11],
        [32, 23, 14, 24, 34, 0], [2, 27, 35, 19, 29, 20], [30, 26, 8, 12, 16, 25],
    ])  # fmt: skip
    ranks = np.array([2, 5, 5, 2, 1, 2])
    for k in (2, 1, 3, 6):
        same(answer(S, k), (ranks < k).mean(), f"the share, k = {k}", {
            "a rank of k has k captions before it: those among the k nearest have a rank below k": (ranks <= k).mean(),
            "captions were ranked by images; each image, a row, ranks the captions": (
                (S > S.diagonal()).sum(axis=0) < k).mean(),
            "this is the number; asked is the share": (ranks < k).sum(),
            "the least similar were counted: more similar is larger": ((S < S.diagonal()[:, None]).sum(axis=1) < k).mean(),
            "the caption itself is counted as more similar than itself": (ranks + 1 < k).mean(),
            "this is the share that is not among them": (ranks >= k).mean(),
        })


def away_from(answer):
    def denoiser(x, t, cond=None):
        shift = 0.0 if cond is None else np.asarray(cond, float).sum(axis=1, keepdims=True)
        return np.cos(x) + 50 + shift, np.sin(x + t) + shift

    x, cond, avoid, w = np.array([[0.5], [-1.0]]), np.array([[3, 1], [2, 2]]), np.array([[0, 1], [7, 1]]), 2.0
    (x0_to, to), (x0_off, off), (_, none) = (denoiser(x, 30, c) for c in (cond, avoid, None))
    same(answer(denoiser, x, 30, cond, avoid, w), (1 + w) * to - w * off, "the guided eps", {
        "the two texts have changed places": (1 + w) * off - w * to,
        "this is ordinary guidance: the text to avoid takes the place of nothing": (1 + w) * to - w * none,
        "the weights have to add up to 1: (1 + w) and -w": w * to - w * off,
        "the text to avoid is added; it is taken away": (1 + w) * to + w * off,
        "(1 - w) and w go between the two; guidance goes beyond": w * to + (1 - w) * off,
        "only the text to go towards is asked": to,
        "the guess of x0 is guided; asked is eps, the second of the two": (1 + w) * x0_to - w * x0_off,
    })


# ---- build it: heads, masked attention with several of them, the whole layer


def _split(z, heads):
    return z.reshape(*z.shape[:2], heads, -1).swapaxes(1, 2)


def split_heads(answer):
    z, dy = np.arange(48.0).reshape(2, 4, 6), np.arange(48.0)[::-1].reshape(2, 3, 4, 2) ** 1.5
    y, back = parts(answer(z, 3), "y", "back")
    same(y, _split(z, 3), "y", {
        "a head is a stretch of each token's features: a plain reshape mixes the tokens": z.reshape(2, 3, 4, 2),
        "the order is (B, heads, N, d); this is (B, N, heads, d)": z.reshape(2, 4, 3, 2),
        "a head takes neighbouring features: (heads, d), not (d, heads)": z.reshape(2, 4, 2, 3).transpose(0, 3, 1, 2),
        "the last two axes have changed places: (B, heads, N, d)": _split(z, 3).swapaxes(2, 3),
    })
    same(back(dy), dy.swapaxes(1, 2).reshape(2, 4, 6), "dz", {
        "put the tokens in front of the heads again before the reshape": dy.reshape(2, 4, 6),
        "the shape is that of y; dz has the shape of z": dy,
    })


def multi_head(answer):
    rng, heads = np.random.default_rng(3), 2
    q, k, v, dy = (rng.standard_normal(shape) for shape in ((2, 3, 8), (2, 5, 8), (2, 5, 6), (2, 3, 6)))
    mask = np.array([[True, True, False, True, False], [True, True, True, True, False]])
    table = mask[:, None, None]

    def mixed(z, swap):
        b, n, d = z.shape
        return z.reshape(b, n, d // heads, heads).swapaxes(2, 3).reshape(b, n, d) if swap else z

    y, back = parts(answer(q, k, v, heads, mask), "y", "back")
    right, back_right = ops.attention(q, k, v, heads, table)
    A = ops.softmax(_split(q, heads) @ _split(k, heads).swapaxes(2, 3) / 2)[0]
    late = A * table @ _split(v, heads)
    interleaved = ops.attention(mixed(q, True), mixed(k, True), mixed(v, True), heads, table)[0]
    same(y, right, "y", {
        "the scores are divided by sqrt(d), with d = D / heads, the width of a head": ops.attention(
            q, k, v, heads, table, scale=8**-0.5)[0],
        "the scores are not divided by sqrt(d)": ops.attention(q, k, v, heads, table, scale=1.0)[0],
        "divided by d; it is its root": ops.attention(q, k, v, heads, table, scale=0.25)[0],
        "the mask is not used: padding is looked at": ops.attention(q, k, v, heads)[0],
        "the mask is turned round: True is where one may look": ops.attention(q, k, v, heads, ~table)[0],
        "masked after the softmax: the weights no longer add up to 1": late.swapaxes(1, 2).reshape(2, 3, 6),
        "one head in place of several": ops.attention(q, k, v, 1, table)[0],
        "the heads take every second feature; a head takes neighbouring ones": interleaved.reshape(
            2, 3, heads, 3).swapaxes(2, 3).reshape(2, 3, 6),
        "the heads are put together in a wrong order: tokens in front of heads, then reshape": right.reshape(
            2, 3, heads, 3).swapaxes(1, 2).reshape(2, 3, 6),
    })
    W = ops.softmax(np.where(table, _split(q, heads) @ _split(k, heads).swapaxes(2, 3) / 2, -np.inf))[0]
    dW = _split(dy, heads) @ _split(v, heads).swapaxes(2, 3)

    def through(dscores, scale=0.5):
        return [(z * scale).swapaxes(1, 2).reshape(like.shape) for z, like in (
            (dscores @ _split(k, heads), q), (dscores.swapaxes(2, 3) @ _split(q, heads), k))]

    dscores = W * (dW - (dW * W).sum(axis=-1, keepdims=True))
    wrong = {
        "the scores were divided by sqrt(d), so their gradient is too": through(dscores, 1.0),
        "the softmax's cross-talk is missing: dA less the weighted mean of its row": through(W * dW),
        "A (1 - A) is one entry's slope by itself; the cross-talk of the row is missing": through(W * (1 - W) * dW),
        "a plain mean of dA; each is weighted with its A": through(W * (dW - dW.mean(axis=-1, keepdims=True))),
        "the softmax was left out on the way back": through(dW),
    }
    got, wanted = parts(back(dy), "dq", "dk", "dv"), back_right(dy)
    same(got[2], wanted[2], "dv", {"this is dk: the order is dq, dk, dv": wanted[1]})
    for i, name in enumerate(("dq", "dk")):
        same(got[i], wanted[i], name, {sentence: values[i] for sentence, values in wrong.items()})


def cross_layer(answer):
    rng = np.random.default_rng(4)
    h, c, Wq, Wk, Wv, Wo, bo, dy = (rng.standard_normal(shape) for shape in (
        (2, 3, 4), (2, 5, 6), (4, 2), (6, 2), (6, 2), (2, 4), (4,), (2, 3, 4)))  # fmt: skip

    def attend(q, k, v):
        return ops.attention(q, k, v, 2)

    y, back = parts(answer(attend, h, c, Wq, Wk, Wv, Wo, bo), "y", "back")
    a, back_attend = attend(h @ Wq, c @ Wk, c @ Wv)
    same(y, a @ Wo + bo, "y", {
        "the bias is missing": a @ Wo,
        "the last map, by Wo, is missing": a,
        "keys and values have changed places": attend(h @ Wq, c @ Wv, c @ Wk)[0] @ Wo + bo,
        "h was added; the skip belongs to the network around this layer": h + a @ Wo + bo,
    })
    da = dy @ Wo.T
    dq, dk, dv = back_attend(da)

    def over_rows(x, dz):
        return np.einsum("bni,bno->io", x, dz)

    names = "dh", "dc", "dWq", "dWk", "dWv", "dWo", "dbo"
    right = (dq @ Wq.T, dk @ Wk.T + dv @ Wv.T, over_rows(h, dq), over_rows(c, dk), over_rows(c, dv), over_rows(a, dy),
             dy.sum(axis=(0, 1)))  # fmt: skip
    wrong = {
        "dc": {"only the way through the keys; c is used twice, for keys and for values": dk @ Wk.T,
               "only the way through the values; c is used twice, for keys and for values": dv @ Wv.T},
        "dWo": {"one matrix for each text: the same Wo serves them all, so they add up": a.swapaxes(1, 2) @ dy,
                "this is the gradient by h Wq; Wo met what attend returned": over_rows(h @ Wq, dy)},
        "dbo": {"summed over the first axis only: every axis but the last adds to it": dy.sum(axis=0),
                "a mean; every row adds to it": dy.mean(axis=(0, 1))},
        "dWq": {"one matrix for each text: the same Wq serves them all, so they add up": h.swapaxes(1, 2) @ dq},
        "dWk": {"one matrix for each text: the same Wk serves them all, so they add up": c.swapaxes(1, 2) @ dk,
                "this is dWv: the order is dWq, dWk, dWv": right[4]},
        "dWv": {"one matrix for each text: the same Wv serves them all, so they add up": c.swapaxes(1, 2) @ dv,
                "this is dWk: the order is dWq, dWk, dWv": right[3]},
    }  # fmt: skip
    got = dict(zip(names, parts(back(dy), *names), strict=True))
    for name, value in zip(names, right, strict=True):
        same(got[name], value, name, wrong.get(name))
