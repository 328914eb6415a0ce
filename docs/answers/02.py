"""Chapter 2: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import numpy as np

from minidiff import grading, ops

WITHOUT = {  # what an answer may not call
    "conv1x1": ["gather", "conv", "minidiff.ops.*"],
    "upsample": ["minidiff.ops.*"],
    "layer_norm": ["group_norm", "minidiff.ops.*"],
    "window_of_the_way_back": ["minidiff.ops.*"],
}

# ---- 1


def conv1x1(x, w, b):
    rows = x.reshape(-1, x.shape[-1])

    def back(dy):
        drows = dy.reshape(-1, dy.shape[-1])
        return (drows @ w.T).reshape(x.shape), rows.T @ drows, drows.sum(axis=0)

    return (rows @ w + b).reshape(*x.shape[:3], -1), back


def check_each_gradient():
    """dx, dw and db, each by itself, in the shapes of x, w and b"""
    rng = np.random.default_rng(1)
    x, w, b, dy = (rng.standard_normal(shape) for shape in ((2, 3, 4, 5), (5, 6), (6,), (2, 3, 4, 6)))
    y, back = grading.parts(conv1x1(x, w, b), "y", "back")
    grading.same(y, x @ w + b, "y", {
        "the bias is missing": x @ w,
        "one row for each pixel: the picture's shape has to come back": (x @ w + b).reshape(-1, 6),
        "rows and columns of pixels have changed places": (x @ w + b).transpose(0, 2, 1, 3),
    })
    dx, dw, db = grading.parts(back(dy), "dx", "dw", "db")
    every = x.reshape(-1, 5).T @ dy.reshape(-1, 6)
    grading.same(dx, dy @ w.T, "dx", {"w goes back transposed: dy @ w.T": dy @ w.T[::-1]})
    grading.same(dw, every, "dw", {
        "a mean over the pixels; every pixel adds its term to the same w: a sum": every / 24,
        "each picture has its own; the sum runs over the batch too": np.einsum("bhwi,bhwo->bio", x, dy),
        "only the first picture: the sum runs over the batch too": np.einsum("hwi,hwo->io", x[0], dy[0]),
    })
    grading.same(db, dy.sum(axis=(0, 1, 2)), "db", {
        "the sum runs over pictures, rows and columns; this is over the batch alone": dy.sum(axis=0),
        "a mean over the pixels; every pixel adds its term to the same b: a sum": dy.mean(axis=(0, 1, 2)),
        "one sum for each picture: b is shared by all of them": dy.sum(axis=(1, 2)),
    })


# ---- 2


def upsample(x):
    B, H, W, C = x.shape

    def back(dy):
        return dy.reshape(B, H, 2, W, 2, C).sum(axis=(2, 4))

    return x.repeat(2, axis=1).repeat(2, axis=2), back


def check_four_copies():
    """each pixel stands in a block of 2 x 2, and gets the sum of that block's gradients"""
    x, dy = np.arange(6.0).reshape(1, 2, 3, 1), np.arange(24.0).reshape(1, 4, 6, 1) ** 2
    y, back = grading.parts(upsample(x), "y", "back")
    blocks = dy.reshape(1, 2, 2, 3, 2, 1)
    grading.same(y, x.repeat(2, axis=1).repeat(2, axis=2), "y", {
        "the whole picture stands there four times; each pixel should be repeated": np.tile(x, (1, 2, 2, 1)),
        "the pixels are apart with zeros between them; each should be repeated": np.kron(x, [[[[1.0], [0]], [[0], [0]]]]),
    })
    grading.same(back(dy), blocks.sum(axis=(2, 4)), "dx", {
        "a mean of the four; a value used four times gets a sum of four terms": blocks.mean(axis=(2, 4)),
        "only one of the four copies: all four carry a gradient": dy[:, ::2, ::2],
        "reshaped in another order: put the two next to the axis they doubled, (B, H, 2, W, 2, C)": dy.reshape(
            1, 2, 2, 3, 2, 1).swapaxes(1, 2).reshape(1, 2, 2, 2, 3, 1).sum(axis=(1, 3)),
        "this is the backward pass of a whole picture standing there four times": dy.reshape(1, 2, 2, 2, 3, 1).sum(axis=(1, 3)),
    })


# ---- 3


def layer_norm(x, gamma, beta):
    centred = x - x.mean(axis=-1, keepdims=True)
    s = 1 / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
    xhat = centred * s

    def back(dy):
        dxhat = dy * gamma
        through_mean = dxhat.mean(axis=-1, keepdims=True)
        dx = s * (dxhat - through_mean - xhat * (dxhat * xhat).mean(axis=-1, keepdims=True))
        return dx, (dy * xhat).sum(axis=0), dy.sum(axis=0)

    return xhat * gamma + beta, back


def check_forward():
    """mean, deviation and epsilon, on rows that are nearly constant too"""
    x, gamma, beta = np.array([[1.0, 2.0, 4.0], [0.001, 0.002, 0.004]]), np.array([1.0, -2.0, 0.5]), np.array([0.0, 1.0, 2.0])
    y, _ = grading.parts(layer_norm(x, gamma, beta), "y", "back")
    c = x - x.mean(axis=1, keepdims=True)
    v = (c**2).mean(axis=1, keepdims=True)
    grading.same(y, gamma * c / np.sqrt(v + 1e-5) + beta, "y", {
        "epsilon is missing: a row that is nearly constant is blown up": gamma * c / np.sqrt(v) + beta,
        "epsilon stands outside the root; it is added to the variance": gamma * c / (np.sqrt(v) + 1e-5) + beta,
        "epsilon is 1e-5": gamma * c / np.sqrt(v + 1e-8) + beta,
        "divided by the variance, not by its root": gamma * c / (v + 1e-5) + beta,
        "the variance divides by n, not by n - 1": gamma * c / np.sqrt(v * 1.5 + 1e-5) + beta,
        "gamma and beta are missing": c / np.sqrt(v + 1e-5),
        "mean and deviation are taken over the batch; each row is by itself, axis=-1": gamma * (x - x.mean(axis=0)) / np.sqrt(
            x.var(axis=0) + 1e-5) + beta,
    })


def check_three_terms():
    """the three terms of dx, and dgamma and dbeta"""
    rng = np.random.default_rng(2)
    x, gamma, beta, dy = (rng.standard_normal(shape) for shape in ((4, 7), (7,), (7,), (4, 7)))
    _, back = grading.parts(layer_norm(x, gamma, beta), "y", "back")
    dx, dgamma, dbeta = grading.parts(back(dy), "dx", "dgamma", "dbeta")
    s = 1 / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
    xhat, g = (x - x.mean(axis=1, keepdims=True)) * s, dy * gamma
    mean, deviation = g.mean(axis=1, keepdims=True), xhat * (g * xhat).mean(axis=1, keepdims=True)
    grading.same(dx, s * (g - mean - deviation), "dx", {
        "the term through the mean is missing": s * (g - deviation),
        "the term through the deviation is missing": s * (g - mean),
        "mean and deviation are no constants: two terms are missing": s * g,
        "the factor s = 1 / deviation in front is missing": g - mean - deviation,
        "gamma is missing: dxhat = gamma dy": s * (dy - dy.mean(axis=1, keepdims=True) - xhat * (dy * xhat).mean(
            axis=1, keepdims=True)),
        "the term through the deviation has the wrong sign": s * (g - mean + deviation),
    })
    grading.same(dgamma, (dy * xhat).sum(axis=0), "dgamma", {
        "it is dy times xhat, the normalised x, not x": (dy * x).sum(axis=0),
        "a mean over the batch; every row adds its term: a sum": (dy * xhat).mean(axis=0),
        "this is dbeta: the order is dx, dgamma, dbeta": dy.sum(axis=0),
        "gamma itself is not part of it": (g * xhat).sum(axis=0),
    })
    grading.same(dbeta, dy.sum(axis=0), "dbeta", {
        "a mean over the batch; every row adds its term: a sum": dy.mean(axis=0),
        "gamma is not part of it: beta is added after": g.sum(axis=0),
    })


# ---- 4


def window_of_the_way_back(w):
    return np.swapaxes(w[::-1, ::-1], 2, 3)


def check_windows():
    """turned by half a circle, and the channels swapped"""
    w = np.arange(54.0).reshape(3, 3, 2, 3)
    grading.same(window_of_the_way_back(w), w[::-1, ::-1].transpose(0, 1, 3, 2), "the window", {
        "the two channel axes are not swapped: dy has O channels, dx has C": w[::-1, ::-1],
        "the window is not turned": w.transpose(0, 1, 3, 2),
        "turned upside down only; half a circle turns both axes": w[::-1].transpose(0, 1, 3, 2),
        "turned left to right only; half a circle turns both axes": w[:, ::-1].transpose(0, 1, 3, 2),
        "rows and columns are swapped; half a circle turns both round": w.transpose(1, 0, 3, 2),
        "a quarter of a circle; two of them": np.rot90(w).transpose(0, 1, 3, 2),
        "every axis is reversed: turn the first two, swap the last two": w.T,
    })
    x, b = np.ones((1, 4, 4, 2)), np.zeros(3)
    dy = np.random.default_rng(3).standard_normal((1, 4, 4, 3))
    dx = ops.conv2d(x, w, b, padding=1)[1](dy)[0]
    grading.same(ops.conv2d(dy, window_of_the_way_back(w), np.zeros(2), padding=1)[0], dx, "dx by it")
