"""Chapter 11: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import numpy as np

from minidiff import gradcheck, grading, ops

WITHOUT = {  # what an answer may not call
    "masked_weights": ["minidiff.ops.attention"],
    "softmax_back": ["minidiff.ops.*"],
    "away_from": ["minidiff.diffusion.cfg"],
    "multi_head": ["cross_attention", "minidiff.ops.*"],
    "cross_layer": ["cross_attention", "minidiff.nn.Attention"],
}

# ---- 1


def masked_weights(scores, mask):
    scores = np.where(mask, scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    return weights / weights.sum(axis=2, keepdims=True)


def check_large_scores():
    """large scores on both sides, a token that is alone, and a mask that differs between queries"""
    scores = np.array([[[1.0, 2.0, 900.0]], [[-5.0, 0.5, 800.0]], [[1000.0, 1001.0, 1002.0]], [[-2000.0, -2000.0, 3.0]]])
    mask = np.array([[True, True, False], [True, False, False], [True, True, True], [True, True, False]])[:, None]
    with np.errstate(all="ignore"):
        raw = np.where(mask, np.exp(scores), 0)
        naive = raw / raw.sum(axis=2, keepdims=True)
    right = [[[0.2689414213699951, 0.7310585786300049, 0.0]], [[1.0, 0.0, 0.0]],
             [[0.09003057317038046, 0.24472847105479764, 0.6652409557748218]], [[0.5, 0.5, 0.0]]]  # fmt: skip
    grading.same(masked_weights(scores, mask), right, "the weights", {
        "exp overflows: subtract the largest score first, it changes nothing": naive,
    })
    mask = np.array([[[True, False], [True, True], [False, True]]])
    right = [[[1.0, 0.0], [0.25, 0.75], [0.0, 1.0]]]
    grading.same(masked_weights(np.log([[[1.0, 9.0], [1.0, 3.0], [5.0, 1.0]]]), mask), right, "the weights, a mask per query")


# ---- 2


def softmax_back(A, dA):
    return A * (dA - (dA * A).sum(axis=-1, keepdims=True))


def check_rows():
    """by the table of all slopes, with axes for the heads, and where one weight has everything"""
    rng = np.random.default_rng(1)
    A, dA = rng.random((2, 3, 4, 5)), rng.standard_normal((2, 3, 4, 5))
    A = A / A.sum(axis=-1, keepdims=True)
    slopes = np.einsum("...i,ij->...ij", A, np.eye(5)) - np.einsum("...i,...j->...ij", A, A)
    grading.same(softmax_back(A, dA), np.einsum("...ij,...i->...j", slopes, dA), "the gradient of the scores")
    grading.same(softmax_back(np.eye(3)[None], rng.standard_normal((1, 3, 3))), np.zeros((1, 3, 3)), "where one weight is 1")


# ---- 3


def among_nearest(S, k):
    return ((S > S.diagonal()[:, None]).sum(axis=1) < k).mean()


def check_ranks():
    """a table of 60, by sorting each row"""
    S = np.random.default_rng(8).standard_normal((60, 60)) + np.eye(60)
    order = np.argsort(-S, axis=1)
    for k in (1, 7, 30, 59, 60):
        right = np.mean([number in row[:k] for number, row in enumerate(order)])
        grading.same(among_nearest(S, k), right, f"the share, k = {k}")
    grading.same(among_nearest(np.array([[-3.0]]), 1), 1.0, "the share of one pair")


# ---- 4


def away_from(denoiser, x, t, cond, avoid, w):
    return (1 + w) * denoiser(x, t, cond)[1] - w * denoiser(x, t, avoid)[1]


def check_what_is_asked():
    """captions of five words, images, a weight that favours either side, each text asked about once"""
    asked = []

    def denoiser(x, t, cond=None):
        asked.append(cond)
        shift = 0.0 if cond is None else np.asarray(cond, float)[:, -1][:, None, None, None]
        return x + 50 - shift, t * shift - x

    x, cond, avoid = np.linspace(-1, 1, 24).reshape(2, 2, 2, 3), np.arange(10).reshape(2, 5), np.arange(10, 20).reshape(2, 5)
    for w, shift in ((1.5, (-11.0, -6.0)), (0.0, (4.0, 9.0)), (-1.0, (14.0, 19.0))):
        right = 3 * np.array(shift)[:, None, None, None] - x
        grading.same(away_from(denoiser, x, 3, cond, avoid, w), right, f"the guided eps, w = {w}")
    grading.same(any(given is None for given in asked), False, "whether nothing was asked about")


# ---- 5


def split_heads(z, heads):
    B, N, D = z.shape

    def back(dy):
        return dy.transpose(0, 2, 1, 3).reshape(B, N, D)

    return z.reshape(B, N, heads, D // heads).transpose(0, 2, 1, 3), back


def check_each_head():
    """each head is a stretch of the features; one head, and as many as features"""
    for B, N, D, heads in ((1, 5, 6, 1), (3, 2, 6, 6), (2, 3, 12, 4)):
        z = np.random.default_rng(D + heads).standard_normal((B, N, D))
        y, back = grading.parts(split_heads(z, heads), "y", "back")
        d = D // heads
        right = np.stack([z[:, :, i * d : (i + 1) * d] for i in range(heads)], axis=1)
        grading.same(y, right, f"y, {heads} heads of {D} features")
        grading.same(back(right + 1), z + 1, f"dz, {heads} heads of {D} features")


# ---- 6


def multi_head(q, k, v, heads, mask):
    def split(z):
        return z.reshape(*z.shape[:2], heads, -1).transpose(0, 2, 1, 3)

    def merge(z):
        return z.transpose(0, 2, 1, 3).reshape(z.shape[0], z.shape[2], -1)

    qh, kh, vh = split(q), split(k), split(v)
    scale = qh.shape[3] ** -0.5
    scores = np.where(mask[:, None, None], qh @ kh.transpose(0, 1, 3, 2) * scale, -np.inf)
    A = np.exp(scores - scores.max(axis=3, keepdims=True))
    A = A / A.sum(axis=3, keepdims=True)

    def back(dy):
        dyh = split(dy)
        dA = dyh @ vh.transpose(0, 1, 3, 2)
        dscores = A * (dA - (dA * A).sum(axis=3, keepdims=True)) * scale
        return merge(dscores @ kh), merge(dscores.transpose(0, 1, 3, 2) @ qh), merge(A.transpose(0, 1, 3, 2) @ dyh)

    return merge(A @ vh), back


def check_heads_and_masks():
    """one head and four, one query, everything masked but one token, large scores, and every gradient"""
    for B, N, M, D, E, heads in ((1, 1, 3, 4, 4, 1), (3, 2, 4, 12, 8, 4), (2, 4, 2, 6, 3, 3)):
        rng = np.random.default_rng(heads)
        q, k, v = rng.standard_normal((B, N, D)), rng.standard_normal((B, M, D)), rng.standard_normal((B, M, E))
        mask = rng.random((B, M)) < 0.6
        mask[:, 0] = True
        y, _ = grading.parts(multi_head(q, k, v, heads, mask), "y", "back")
        right, d, e = np.zeros((B, N, E)), D // heads, E // heads
        for b, i, n in np.ndindex(B, heads, N):
            seen = np.flatnonzero(mask[b])
            weights = np.exp(k[b, seen, i * d : (i + 1) * d] @ q[b, n, i * d : (i + 1) * d] / np.sqrt(d))
            right[b, n, i * e : (i + 1) * e] = weights / weights.sum() @ v[b, seen, i * e : (i + 1) * e]
        grading.same(y, right, f"y, {heads} heads")
        gradcheck.check(lambda q, k, v, heads=heads, mask=mask: multi_head(q, k, v, heads, mask), q, k, v)
    alone = np.array([[False, True, False]])
    y, back = multi_head(1000 * np.ones((1, 2, 4)), np.ones((1, 3, 4)), np.arange(12.0).reshape(1, 3, 4), 2, alone)
    grading.same(y, [[[4.0, 5.0, 6.0, 7.0]] * 2], "y, where one token is left")
    dv = np.zeros((1, 3, 4))
    dv[0, 1] = 2
    grading.same(back(np.ones((1, 2, 4)))[2], dv, "dv, where one token is left")


# ---- 7


def cross_layer(attend, h, c, Wq, Wk, Wv, Wo, bo):
    a, back_attend = attend(h @ Wq, c @ Wk, c @ Wv)

    def through(x, dz):
        return x.reshape(-1, x.shape[-1]).T @ dz.reshape(-1, dz.shape[-1])

    def back(dy):
        dq, dk, dv = back_attend(dy @ Wo.T)
        dh, dc = dq @ Wq.T, dk @ Wk.T + dv @ Wv.T
        return dh, dc, through(h, dq), through(c, dk), through(c, dv), through(a, dy), dy.sum(axis=(0, 1))

    return a @ Wo + bo, back


def check_every_gradient():
    """an attention of one head, and another function in its place; values wider than keys"""
    def plain(q, k, v):
        return ops.attention(q, k, v)

    def other(q, k, v):  # a mean of the values, shifted by queries and keys
        def back(dy):
            each = dy.sum(axis=1, keepdims=True)
            dk, dv = (np.repeat(each, x.shape[1], axis=1) for x in (k, v))
            return dy[..., :2], 3 * dk[..., :2], dv / v.shape[1]

        shift = np.concatenate([q + 3 * k.sum(axis=1, keepdims=True), np.zeros((*q.shape[:2], 3))], axis=2)
        return v.mean(axis=1, keepdims=True) + shift, back

    shapes = (3, 4, 3), (3, 2, 6), (3, 2), (6, 2), (6, 5), (5, 7), (7,)
    arrays = [np.random.default_rng(k).standard_normal(shape) for k, shape in enumerate(shapes)]
    h, c, Wq, Wk, Wv, Wo, bo = arrays
    for attend in (plain, other):
        y, _ = grading.parts(cross_layer(attend, *arrays), "y", "back")
        grading.same(y, attend(h @ Wq, c @ Wk, c @ Wv)[0] @ Wo + bo, "y")
        gradcheck.check(lambda *a, attend=attend: cross_layer(attend, *a), *arrays)
