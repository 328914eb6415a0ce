"""Chapter 2, convolution and normalisation: known mistakes in `y, back = f(x)`."""

import numpy as np

from .. import ops
from ..grading import parts, same


def conv1x1(answer):
    x, w, b, dy = _random((2, 3, 4, 5), (5, 6), (6,), (2, 3, 4, 6))
    y, back = parts(answer(x, w, b), "y", "back")
    same(y, x @ w + b, "y", {
        "the bias is missing": x @ w,
        "one row for each pixel: the image's shape has to come back": (x @ w + b).reshape(-1, 6),
        "rows and columns of pixels have changed places": (x @ w + b).transpose(0, 2, 1, 3),
    })
    dx, dw, db = parts(back(dy), "dx", "dw", "db")
    every = x.reshape(-1, 5).T @ dy.reshape(-1, 6)
    same(dx, dy @ w.T, "dx", {"this is dw: the order is dx, dw, db": every})
    same(dw, every, "dw", {
        "a mean over the pixels; every pixel adds its term to the same w: a sum": every / 24,
        "each image has its own; the sum runs over the batch too": np.einsum("bhwi,bhwo->bio", x, dy),
        "only the first image: the sum runs over the batch too": np.einsum("hwi,hwo->io", x[0], dy[0]),
    })
    same(db, dy.sum(axis=(0, 1, 2)), "db", {
        "the sum runs over images, rows and columns; this is over the batch alone": dy.sum(axis=0),
        "a mean over the pixels; every pixel adds its term to the same b: a sum": dy.mean(axis=(0, 1, 2)),
        "one sum for each image: b is shared by all of them": dy.sum(axis=(1, 2)),
    })


def upsample(answer):
    x, dy = np.arange(6.0).reshape(1, 2, 3, 1), np.arange(24.0).reshape(1, 4, 6, 1) ** 2
    y, back = parts(answer(x), "y", "back")
    same(y, ops.upsample_nearest(x)[0], "y", {
        "the whole image stands there four times; each pixel should be repeated": np.tile(x, (1, 2, 2, 1)),
        "the pixels are apart with zeros between them; each should be repeated": np.kron(x, [[[[1.0], [0]], [[0], [0]]]]),
    })
    blocks = dy.reshape(1, 2, 2, 3, 2, 1)
    wrong = blocks.swapaxes(1, 2).reshape(1, 2, 2, 2, 3, 1).sum(axis=(1, 3))
    same(back(dy), blocks.sum(axis=(2, 4)), "dx", {
        "a mean of the four; a value used four times gets a sum of four terms": blocks.mean(axis=(2, 4)),
        "only one of the four copies: all four carry a gradient": dy[:, ::2, ::2],
        "only two of the four copies, those below each other: all four carry a gradient": blocks.sum(axis=2)[:, :, :, 0],
        "only two of the four copies, those side by side: all four carry a gradient": blocks.sum(axis=4)[:, :, 0],
        "reshaped in another order: put the two next to the axis they doubled, (B, H, 2, W, 2, C)": wrong,
        "this is the backward pass of a whole image standing there four times": dy.reshape(1, 2, 2, 2, 3, 1).sum(axis=(1, 3)),
    })


def layer_norm(answer):
    x, gamma, beta, dy = _random((4, 7), (7,), (7,), (4, 7))
    x[1] /= 1000  # a row that is nearly constant shows where epsilon stands
    y, back = parts(answer(x, gamma, beta), "y", "back")
    c = x - x.mean(axis=1, keepdims=True)
    v = (c**2).mean(axis=1, keepdims=True)
    same(y, gamma * c / np.sqrt(v + 1e-5) + beta, "y", {
        **_wrong_forward(x, c, v, gamma, beta, 1e-5, 7),
        "epsilon is 1e-5": gamma * c / np.sqrt(v + 1e-8) + beta,
        "mean and deviation are taken over the batch; each row is by itself, axis=-1": gamma * (x - x.mean(axis=0)) / np.sqrt(
            x.var(axis=0) + 1e-5) + beta,
    })
    _three_terms(back(dy), dy, x, c, 1 / np.sqrt(v + 1e-5), gamma, lambda z: z.mean(axis=1, keepdims=True))


def window_of_the_way_back(answer):
    w = np.arange(54.0).reshape(3, 3, 2, 3)
    same(answer(w), w[::-1, ::-1].transpose(0, 1, 3, 2), "the window", {
        "the two channel axes are not swapped: dy has O channels, dx has C": w[::-1, ::-1],
        "the window is not turned": w.transpose(0, 1, 3, 2),
        "turned upside down only; half a circle turns both axes": w[::-1].transpose(0, 1, 3, 2),
        "turned left to right only; half a circle turns both axes": w[:, ::-1].transpose(0, 1, 3, 2),
        "rows and columns are swapped; half a circle turns both round": w.transpose(1, 0, 3, 2),
        "a quarter of a circle; two of them": np.rot90(w).transpose(0, 1, 3, 2),
        "every axis is reversed: turn the first two, swap the last two": w.T,
    })


# ---- build it: windows, a convolution, GroupNorm


def windows(answer):
    x, dseen = _random((2, 5, 6, 2), (2, 3, 3, 3, 3, 2))
    seen, back = parts(answer(x, 3, 2, 1), "seen", "back")
    same(seen, _windows(x, 3, 2, 1)[0], "seen", {
        "the stride is not used: the window moves on by `stride` pixels": _windows(x, 3, 1, 1)[0],
        "the frame is missing: the image gets `padding` zeros on every side": _windows(x, 3, 2, 0)[0],
        "the frame is twice as wide: `padding` zeros on every side": _windows(x, 3, 2, 2)[0],
        "rows and columns of the window have changed places": _windows(x, 3, 2, 1)[0].swapaxes(3, 4),
        "the window is in front of the places; the shape is (B, OH, OW, K, K, C)": _windows(x, 3, 2, 1)[0].transpose(
            0, 3, 4, 1, 2, 5),
        "the frame is not made of zeros: it repeats the border": _windows(np.pad(
            x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge"), 3, 2, 0)[0],
    })
    framed, last = np.zeros((2, 7, 8, 2)), np.zeros((2, 7, 8, 2))
    for u in range(3):
        for v in range(3):
            framed[:, u : u + 5 : 2, v : v + 5 : 2] += dseen[:, :, :, u, v]
            last[:, u : u + 5 : 2, v : v + 5 : 2] = dseen[:, :, :, u, v]
    times_seen = np.maximum(_windows(x, 3, 2, 1)[1](np.ones(dseen.shape)), 1)
    same(back(dseen), framed[:, 1:6, 1:7], "dx", {
        "a pixel that several windows see gets the last one's gradient alone; they add up: +=": last[:, 1:6, 1:7],
        "the frame is still there: cut it off, nobody asks for its gradient": framed,
        "the frame was cut off at the end; it stands on both sides": framed[:, :5, :6],
        "the frame was cut off twice at the start; it stands on both sides": framed[:, 2:, 2:],
        "a mean over the windows that see a pixel; they add up": framed[:, 1:6, 1:7] / times_seen,
        "only the middle of each window; a pixel gets a gradient from every place": _middle_only(dseen),
    })


def conv2d(answer):
    x, w, b, dy = _random((2, 5, 6, 2), (3, 3, 2, 4), (4,), (2, 3, 3, 4))
    y, back = parts(answer(x, w, b, 2, 1, _windows), "y", "back")
    right, back_right = ops.conv2d(x, w, b, 2, 1)
    same(y, right, "y", {
        "the bias is missing": right - b,
        "the stride is not used: hand it to windows": ops.conv2d(x, w, b, 1, 1)[0],
        "the padding is not used: hand it to windows": ops.conv2d(x, w, b, 2, 0)[0],
        "stride and padding have changed places: windows(x, size, stride, padding)": ops.conv2d(x, w, b, 1, 2)[0],
        "rows and columns of the window have changed places": ops.conv2d(x, w.swapaxes(0, 1), b, 2, 1)[0],
        "the window is turned by half a circle; the formula does not turn it": ops.conv2d(x, w[::-1, ::-1], b, 2, 1)[0],
        "one row for each place: the image's shape has to come back": right.reshape(-1, 4),
    })
    dx, dw, db = parts(back(dy), "dx", "dw", "db")
    dx_right, dw_right, db_right = back_right(dy)
    same(dx, dx_right, "dx", {
        "this is the gradient of what the windows see; it has to go back through windows": np.einsum(
            "bhwo,uvco->bhwuvc", dy, w),
        "this is dw: the order is dx, dw, db": dw_right,
        "rows and columns of the window have changed places": ops.conv2d(x, w.swapaxes(0, 1), b, 2, 1)[1](dy)[0],
    })
    same(dw, dw_right, "dw", {
        "the shape of w is missing: (K, K, C, O)": dw_right.reshape(18, 4),
        "it is transposed before it gets w's shape": dw_right.reshape(18, 4).T.reshape(w.shape),
        "a mean over the places; every place adds to dw": dw_right / 18,
        "a mean over the batch; every image adds to dw": dw_right / 2,
    })
    same(db, db_right, "db", {
        "summed over the batch alone: rows and columns add to db too": dy.sum(axis=0),
        "one sum for each image: b is shared by all of them": dy.sum(axis=(1, 2)),
        "a mean; every place adds to db": dy.mean(axis=(0, 1, 2)),
    })


def norm_in_groups(answer):
    x, gamma, beta, dy = _random((2, 3, 2, 6), (6,), (6,), (2, 3, 2, 6))
    eps = 0.01

    def mean(z, over=((2, 3, 2, 2, 3), (1, 2, 4))):
        """Over the pixels and the three channels of a group, in each image."""
        shape, axes = over
        return np.broadcast_to(z.reshape(shape).mean(axis=axes, keepdims=True), shape).reshape(z.shape)

    def by(shape, axes):
        m = mean(x, (shape, axes))
        return gamma * (x - m) / np.sqrt(mean((x - m) ** 2, (shape, axes)) + eps) + beta

    y, back = parts(answer(x, gamma, beta, 2, eps), "y", "back")
    c = x - mean(x)
    v = mean(c**2)
    same(y, gamma * c / np.sqrt(v + eps) + beta, "y", {
        **_wrong_forward(x, c, v, gamma, beta, eps, 18),
        "epsilon is the argument, not 1e-5": gamma * c / np.sqrt(v + 1e-5) + beta,
        "mean and deviation are taken over the batch too; each image is by itself": by((2, 3, 2, 2, 3), (0, 1, 2, 4)),
        "each pixel is normalised by itself; a group has all pixels": by((2, 3, 2, 2, 3), (4,)),
        "each channel is normalised by itself; a group has several": by((2, 3, 2, 6), (1, 2)),
        "all channels are normalised together; there are `groups` groups": by((2, 3, 2, 6), (1, 2, 3)),
        "a group is made of neighbouring channels; these are every second one": by((2, 3, 2, 3, 2), (1, 2, 3)),
        "there are `groups` groups of C / groups channels; these are groups of `groups` channels": by(
            (2, 3, 2, 3, 2), (1, 2, 4)),
    })
    _three_terms(back(dy), dy, x, c, 1 / np.sqrt(v + eps), gamma, mean)


def _wrong_forward(x, c, v, gamma, beta, eps, n):
    """x   c: x less its mean   v: the variance   n: how many numbers share them"""
    return {
        "epsilon is missing: a row that is nearly constant is blown up": gamma * c / np.sqrt(v) + beta,
        "epsilon stands outside the root; it is added to the variance": gamma * c / (np.sqrt(v) + eps) + beta,
        "divided by the variance, not by its root": gamma * c / (v + eps) + beta,
        "the variance divides by n, not by n - 1": gamma * c / np.sqrt(v * n / (n - 1) + eps) + beta,
        "gamma and beta are missing": c / np.sqrt(v + eps),
        "beta is missing": gamma * c / np.sqrt(v + eps),
        "the mean is not subtracted": gamma * x / np.sqrt(v + eps) + beta,
    }


def _three_terms(got, dy, x, c, s, gamma, mean):
    """The gradients of a norm.   c: x less its mean   s: 1 / deviation   mean: over what is normalised together"""
    dx, dgamma, dbeta = parts(got, "dx", "dgamma", "dbeta")
    xhat, g, rows = c * s, dy * gamma, tuple(range(x.ndim - 1))
    through_mean, through_deviation = mean(g), xhat * mean(g * xhat)
    same(dx, s * (g - through_mean - through_deviation), "dx", {
        "the term through the mean is missing": s * (g - through_deviation),
        "the term through the deviation is missing": s * (g - through_mean),
        "mean and deviation are no constants: two terms are missing": s * g,
        "the factor s = 1 / deviation in front is missing": g - through_mean - through_deviation,
        "gamma is missing: dxhat = gamma dy": s * (dy - mean(dy) - xhat * mean(dy * xhat)),
        "the term through the deviation has the wrong sign": s * (g - through_mean + through_deviation),
        "the term through the deviation has xhat twice, before the mean and in it": s * (g - through_mean - mean(g * xhat)),
        "gamma is there twice": s * gamma * (g - through_mean - through_deviation),
    })
    same(dgamma, (dy * xhat).sum(axis=rows), "dgamma", {
        "it is dy times xhat, the normalised x, not x": (dy * x).sum(axis=rows),
        "a mean over the batch; every row adds its term: a sum": (dy * xhat).mean(axis=rows),
        "summed over the batch alone: every axis but the last adds to it": (dy * xhat).sum(axis=0),
        "this is dbeta: the order is dx, dgamma, dbeta": dy.sum(axis=rows),
        "gamma itself is not part of it": (g * xhat).sum(axis=rows),
    })
    same(dbeta, dy.sum(axis=rows), "dbeta", {
        "a mean over the batch; every row adds its term: a sum": dy.mean(axis=rows),
        "summed over the batch alone: every axis but the last adds to it": dy.sum(axis=0),
        "gamma is not part of it: beta is added after": g.sum(axis=rows),
    })


def _windows(x, size, stride, padding):
    """What the answer to `windows` is: a step of `conv2d` that the next one is handed.   -> seen, back"""
    H, W = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    OH, OW = ((n + 2 * padding - size) // stride + 1 for n in (H, W))
    rows, columns = (stride * np.arange(n)[:, None] + np.arange(size) for n in (OH, OW))  # (OH, K), (OW, K)
    at = (slice(None), rows[:, None, :, None], columns[None, :, None, :])

    def back(dseen):
        dpadded = np.zeros(padded.shape)
        np.add.at(dpadded, at, dseen)
        return dpadded[:, padding : padding + H, padding : padding + W]

    return padded[at], back


def _middle_only(dseen):
    dx = np.zeros((2, 5, 6, 2))
    dx[:, ::2, ::2] = dseen[:, :, :, 1, 1]
    return dx


def _random(*shapes):
    rng = np.random.default_rng(9)
    return [rng.standard_normal(shape) for shape in shapes]
