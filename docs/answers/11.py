"""Chapter 11: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import numpy as np

from minidiff import grading, ops

WITHOUT = {  # what an answer may not call
    "softmax_back": ["minidiff.ops.*"],
}

# ---- 1


def masked_weights(scores, mask):
    scores = np.where(mask, scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    return weights / weights.sum(axis=2, keepdims=True)


def check_large_scores():
    """large scores, and masks that differ between captions"""
    scores = np.array([[[1.0, 2.0, 900.0]], [[-5.0, 0.5, 800.0]], [[1000.0, 1001.0, 1002.0]]])
    mask = np.array([[True, True, False], [True, False, False], [True, True, True]])[:, None]
    e = np.exp(np.where(mask, scores, -np.inf) - np.where(mask, scores, -np.inf).max(axis=2, keepdims=True))
    plain = ops.softmax(scores)[0]
    with np.errstate(all="ignore"):
        raw = np.where(mask, np.exp(scores), 0)
        naive = raw / raw.sum(axis=2, keepdims=True)
    grading.same(masked_weights(scores, mask), e / e.sum(axis=2, keepdims=True), "the weights", {
        "the mask is not used: padding is looked at": plain,
        "set to 0 after the softmax: the weights no longer add up to 1; mask the scores before it": plain * mask,
        "the score is set to 0, and exp(0) is 1: set it to -infinity": ops.softmax(scores * mask)[0],
        "the mask is turned round: True is where one may look": ops.softmax(np.where(mask, -1e300, scores))[0],
        "exp overflows: subtract the largest score first, it changes nothing": naive,
        "normalised over the queries; a query's weights add up to 1 over axis=2": e / e.sum(axis=1, keepdims=True),
    })


# ---- 2


def softmax_back(A, dA):
    return A * (dA - (dA * A).sum(axis=-1, keepdims=True))


def check_rows():
    """each row by itself"""
    rng = np.random.default_rng(1)
    scores, dA = rng.standard_normal((2, 3, 2, 5))
    A, back = ops.softmax(scores)
    weighted = (dA * A).sum(axis=-1, keepdims=True)
    grading.same(softmax_back(A, dA), back(dA), "the gradient of the scores", {
        "a plain mean of dA; each is weighted with its A: (dA * A).sum": A * (dA - dA.mean(axis=-1, keepdims=True)),
        "A (1 - A) alone is one entry's slope by itself; the cross-talk of the row is missing": dA * A * (1 - A),
        "the sum runs over the last axis, each row by itself": A * (dA - (dA * A).sum()),
        "the sum runs over the last axis, not over the queries": A * (dA - (dA * A).sum(axis=1, keepdims=True)),
        "the factor A in front is missing": dA - weighted,
        "this still has attention's factor 1 / sqrt(d)": A * (dA - weighted) / np.sqrt(5),
        "a sign: dA minus the weighted sum": A * (dA + weighted),
    })


# ---- 3


def among_nearest(S, k):
    return ((S > S.diagonal()[:, None]).sum(axis=1) < k).mean()


def check_ranks():
    """a table that is not symmetric"""
    S = np.array([
        [7, 3, 31, 18, 4, 5], [28, 1, 22, 9, 10, 15], [33, 13, 6, 17, 21, 11],
        [32, 23, 14, 24, 34, 0], [2, 27, 35, 19, 29, 20], [30, 26, 8, 12, 16, 25],
    ])  # fmt: skip
    ranks = np.array([2, 5, 5, 2, 1, 2])
    for k in (2, 1, 3, 6):
        grading.same(among_nearest(S, k), (ranks < k).mean(), f"the share, k = {k}", {
            "rank k is the k-plus-first: a rank below k is among the k nearest": (ranks <= k).mean(),
            "captions were ranked by pictures; each picture, a row, ranks the captions": (
                (S > S.diagonal()).sum(axis=0) < k).mean(),
            "this is the number; asked is the share": (ranks < k).sum(),
            "the least similar were counted: more similar is larger": ((S < S.diagonal()[:, None]).sum(axis=1) < k).mean(),
            "this is the share that is not among them": (ranks >= k).mean(),
            "the caption itself is counted as more similar than itself": (ranks + 1 < k).mean(),
        })


# ---- 4


def away_from(denoiser, x, t, cond, avoid, w):
    return (1 + w) * denoiser(x, t, cond)[1] - w * denoiser(x, t, avoid)[1]


def check_what_is_asked():
    """which texts are asked about, and how the answers are mixed"""
    def denoiser(x, t, cond=None):
        shift = 0.0 if cond is None else np.asarray(cond, float).sum(axis=1, keepdims=True)
        return np.cos(x) + 50, np.sin(x + t) + shift

    x, cond, avoid, w = np.array([[0.5], [-1.0]]), np.array([[3, 1], [2, 2]]), np.array([[0, 1], [7, 1]]), 2.0
    to, off, none = (denoiser(x, 30, c)[1] for c in (cond, avoid, None))
    grading.same(away_from(denoiser, x, 30, cond, avoid, w), (1 + w) * to - w * off, "the guided eps", {
        "the two texts have changed places": (1 + w) * off - w * to,
        "this is ordinary guidance: the text to avoid takes the place of nothing": (1 + w) * to - w * none,
        "the weights have to add up to 1: (1 + w) and -w": w * to - w * off,
        "the text to avoid is added; it is taken away": (1 + w) * to + w * off,
        "only the text to go towards is asked": to,
        "the guess of x0 is guided; asked is eps, the second of the two": np.cos(x) + 50,
    })
