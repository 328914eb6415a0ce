"""Chapter 2: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import numpy as np

from minidiff import gradcheck, grading, ops

WITHOUT = {  # what an answer may not call
    "conv1x1": ["gather", "conv", "minidiff.ops.*"],
    "upsample": ["minidiff.ops.*"],
    "layer_norm": ["group_norm", "minidiff.ops.*"],
    "window_of_the_way_back": ["minidiff.ops.*"],
    "windows": [
        "gather", "scatter", "conv", "conv_loops", "minidiff.ops.*",
        "minidiff.ops.conv2d.gather", "minidiff.ops.conv2d.scatter",
    ],
    "conv2d": ["gather", "scatter", "conv", "conv_forward", "conv_loops", "minidiff.ops.*"],
    "norm_in_groups": ["group_norm", "minidiff.ops.*"],
}

# ---- 1


def conv1x1(x, w, b):
    rows = x.reshape(-1, x.shape[-1])

    def back(dy):
        drows = dy.reshape(-1, dy.shape[-1])
        return (drows @ w.T).reshape(x.shape), rows.T @ drows, drows.sum(axis=0)

    return (rows @ w + b).reshape(*x.shape[:3], -1), back


def check_each_gradient():
    """y, dx, dw and db, of one pixel and of many, in float32 too"""
    for shape, O in (((1, 1, 1, 2), 3), ((3, 2, 5, 1), 4), ((2, 4, 4, 6), 1)):
        rng = np.random.default_rng(O)
        x, w, b, dy = (rng.standard_normal(s) for s in (shape, (shape[3], O), (O,), (*shape[:3], O)))
        y, back = grading.parts(conv1x1(x, w, b), "y", "back")
        grading.same(y, np.einsum("bhwi,io->bhwo", x, w) + b, f"y, for x {shape} and O = {O}")
        dx, dw, db = grading.parts(back(dy), "dx", "dw", "db")
        grading.same(dx, np.einsum("bhwo,io->bhwi", dy, w), f"dx, for x {shape} and O = {O}")
        grading.same(dw, np.einsum("bhwi,bhwo->io", x, dy), f"dw, for x {shape} and O = {O}")
        grading.same(db, np.einsum("bhwo->o", dy), f"db, for x {shape} and O = {O}")
    y, _ = conv1x1(*(np.ones(s, np.float32) for s in ((1, 2, 3, 4), (4, 5), (5,))))
    assert y.dtype == np.float32, "y of float32 numbers is not float32"


# ---- 2


def upsample(x):
    B, H, W, C = x.shape

    def back(dy):
        return dy.reshape(B, H, 2, W, 2, C).sum(axis=(2, 4))

    return x.repeat(2, axis=1).repeat(2, axis=2), back


def check_four_copies():
    """each pixel stands in a block of 2 x 2, and gets the sum of that block's gradients, in a batch with channels"""
    x = np.arange(24.0).reshape(2, 3, 2, 2) ** 2
    y, back = grading.parts(upsample(x), "y", "back")
    rows, columns = np.arange(6) // 2, np.arange(4) // 2
    grading.same(y, x[:, rows][:, :, columns], "y")
    dy = np.random.default_rng(4).standard_normal(y.shape)
    dx = np.zeros(x.shape)
    np.add.at(dx, (slice(None), rows[:, None], columns[None]), dy)
    grading.same(back(dy), dx, "dx")
    _, back = upsample(np.array([[[[5.0]]]]))
    grading.same(back(np.array([[[[1.0], [2.0]], [[4.0], [8.0]]]])), [[[[15.0]]]], "dx of one pixel")


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
    """rows of 2 and of 5, far from 0, and one that is constant"""
    x = np.array([[1.0, 3.0], [1000.001, 1000.003], [7.0, 7.0]])
    y, _ = grading.parts(layer_norm(x, np.array([2.0, -1.0]), np.array([0.5, 0.25])), "y", "back")
    near = 1 / np.sqrt(1 + 1e-5), 1e-3 / np.sqrt(1e-6 + 1e-5)
    right = [[0.5 - 2 * near[0], 0.25 - near[0]], [0.5 - 2 * near[1], 0.25 - near[1]], [0.5, 0.25]]
    grading.same(y, right, "y")
    y, _ = grading.parts(layer_norm(np.array([[0.0, 0.0, 0.0, 0.0, 5.0]]), np.ones(5), np.arange(5.0)), "y", "back")
    grading.same(y, np.array([[-1.0, -1.0, -1.0, -1.0, 4.0]]) / np.sqrt(4 + 1e-5) + np.arange(5.0), "y of one row")


def check_three_terms():
    """dx, dgamma and dbeta, held to the Jacobian of a row"""
    for N, D in ((1, 3), (5, 2), (3, 8)):
        rng = np.random.default_rng(N)
        x, gamma, beta, dy = (rng.standard_normal(shape) for shape in ((N, D), (D,), (D,), (N, D)))
        _, back = grading.parts(layer_norm(x, gamma, beta), "y", "back")
        dx, dgamma, dbeta = grading.parts(back(dy), "dx", "dgamma", "dbeta")
        flat = np.eye(D) - 1 / D  # takes the mean away
        for n in range(N):
            c = flat @ x[n]
            root = np.sqrt(c @ c / D + 1e-5)
            jacobian = flat / root - np.outer(c, c) / (D * root**3)  # of xhat by x, symmetric
            grading.same(dx[n], jacobian @ (dy[n] * gamma), f"row {n} of dx, for x of shape {x.shape}")
        c = x @ flat
        xhat = c / np.sqrt((c**2).sum(axis=1, keepdims=True) / D + 1e-5)
        grading.same(dgamma, np.einsum("nd,nd->d", dy, xhat), f"dgamma, for x of shape {x.shape}")
        grading.same(dbeta, np.ones(N) @ dy, f"dbeta, for x of shape {x.shape}")


# ---- 4


def window_of_the_way_back(w):
    return np.swapaxes(w[::-1, ::-1], 2, 3)


def check_windows():
    """one entry that is not 0, and the image's gradient by the window"""
    w = np.zeros((3, 3, 4, 2))
    w[0, 1, 3, 0], w[2, 0, 1, 1] = 5.0, 7.0
    right = np.zeros((3, 3, 2, 4))
    right[2, 1, 0, 3], right[0, 2, 1, 1] = 5.0, 7.0
    grading.same(window_of_the_way_back(w), right, "the window")
    rng = np.random.default_rng(3)
    w, x, dy = (rng.standard_normal(shape) for shape in ((3, 3, 2, 5), (2, 4, 6, 2), (2, 4, 6, 5)))
    dx = ops.conv2d(x, w, np.zeros(5), padding=1)[1](dy)[0]
    grading.same(ops.conv2d(dy, window_of_the_way_back(w), np.zeros(2), padding=1)[0], dx, "dx by it")


# ---- 5


def windows(x, size, stride, padding):
    B, H, W, C = x.shape
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    OH, OW = (H + 2 * padding - size) // stride + 1, (W + 2 * padding - size) // stride + 1
    seen = np.zeros((B, OH, OW, size, size, C), x.dtype)
    for u in range(size):
        for v in range(size):
            seen[:, :, :, u, v] = padded[:, u : u + stride * OH : stride, v : v + stride * OW : stride]

    def back(dseen):
        dpadded = np.zeros(padded.shape, dseen.dtype)
        for u in range(size):
            for v in range(size):
                dpadded[:, u : u + stride * OH : stride, v : v + stride * OW : stride] += dseen[:, :, :, u, v]
        return dpadded[:, padding : padding + H, padding : padding + W]

    return seen, back


def check_any_window():
    """windows of 1 to 4 pixels, strides of 1 to 3, with and without a frame"""
    for size, stride, padding in ((1, 1, 0), (2, 2, 0), (3, 1, 1), (3, 3, 2), (4, 2, 1), (1, 2, 0), (2, 3, 0)):
        about = f"a window of {size}, stride {stride}, padding {padding}"
        x = np.random.default_rng(size).standard_normal((2, 5, 7, 3))
        seen, back = grading.parts(windows(x, size, stride, padding), "seen", "back")
        OH, OW = (len(range(0, n + 2 * padding - size + 1, stride)) for n in (5, 7))
        right = np.zeros((2, OH, OW, size, size, 3))
        for i, j, u, v in np.ndindex(OH, OW, size, size):
            row, column = i * stride + u - padding, j * stride + v - padding
            if 0 <= row < 5 and 0 <= column < 7:
                right[:, i, j, u, v] = x[:, row, column]
        grading.same(seen, right, f"seen, for {about}")
        dseen = np.random.default_rng(stride).standard_normal(right.shape)
        dx = back(dseen)
        grading.same(np.shape(dx), x.shape, f"the shape of dx, for {about}")
        grading.same((x * dx).sum(), (right * dseen).sum(), f"<x, back(c)>, which is <seen, c>, for {about}")
        one = np.zeros(right.shape)
        one[1, 0, 0, size - 1, size - 1, 2] = 1.0
        dx = np.zeros(x.shape)
        if size > padding:
            dx[1, size - 1 - padding, size - 1 - padding, 2] = 1.0
        grading.same(back(one), dx, f"dx of one entry, for {about}")
    seen, _ = windows(np.ones((1, 3, 3, 1), np.float32), 2, 1, 0)
    assert seen.dtype == np.float32, "what float32 numbers give is not float32"


# ---- 6


def conv2d(x, w, b, stride, padding, windows):
    size, _, C, O = w.shape
    seen, back_windows = windows(x, size, stride, padding)
    rows, wide = seen.reshape(-1, size * size * C), w.reshape(-1, O)

    def back(dy):
        drows = dy.reshape(-1, O)
        dx = back_windows((drows @ wide.T).reshape(seen.shape))
        return dx, (rows.T @ drows).reshape(w.shape), drows.sum(axis=0)

    return (rows @ wide + b).reshape(*seen.shape[:3], O), back


def check_any_convolution():
    """windows of 1 to 4 pixels, strides and frames, held to the sum in loops"""
    def handed(x, size, stride, padding):
        B, H, W, C = x.shape
        padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
        rows, columns = (np.arange(0, n + 2 * padding - size + 1, stride)[:, None] + np.arange(size) for n in (H, W))
        at = (slice(None), rows[:, None, :, None], columns[None, :, None, :])

        def back(dseen):
            dpadded = np.zeros(padded.shape)
            np.add.at(dpadded, at, dseen)
            return dpadded[:, padding : padding + H, padding : padding + W]

        return padded[at], back

    for size, stride, padding in ((1, 1, 0), (2, 2, 0), (3, 1, 1), (4, 3, 2)):
        about = f", for a window of {size}, stride {stride}, padding {padding}"
        rng = np.random.default_rng(size)
        x, w, b = rng.standard_normal((2, 5, 7, 3)), rng.standard_normal((size, size, 3, 2)), rng.standard_normal(2)
        y, back = grading.parts(conv2d(x, w, b, stride, padding, handed), "y", "back")
        OH, OW = (len(range(0, n + 2 * padding - size + 1, stride)) for n in (5, 7))
        dy = rng.standard_normal((2, OH, OW, 2))
        right, dx, dw = np.zeros(dy.shape) + b, np.zeros(x.shape), np.zeros(w.shape)
        for i, j, u, v in np.ndindex(OH, OW, size, size):
            row, column = i * stride + u - padding, j * stride + v - padding
            if 0 <= row < 5 and 0 <= column < 7:
                right[:, i, j] += x[:, row, column] @ w[u, v]
                dx[:, row, column] += dy[:, i, j] @ w[u, v].T
                dw[u, v] += x[:, row, column].T @ dy[:, i, j]
        grading.same(y, right, "y" + about)
        for got, wanted, name in zip(grading.parts(back(dy), "dx", "dw", "db"), (dx, dw, dy.sum(axis=(0, 1, 2))),
                                     ("dx", "dw", "db"), strict=True):  # fmt: skip
            grading.same(got, wanted, name + about)


# ---- 7


def norm_in_groups(x, gamma, beta, groups, eps):
    B, C = x.shape[0], x.shape[-1]
    split = (B, -1, groups, C // groups)

    def group_mean(z):
        return z.mean(axis=(1, 3), keepdims=True)

    x_split = x.reshape(split)
    centred = x_split - group_mean(x_split)
    s = 1 / np.sqrt(group_mean(centred**2) + eps)
    xhat = centred * s
    rows = tuple(range(x.ndim - 1))

    def back(dy):
        dxhat = (dy * gamma).reshape(split)
        dx = s * (dxhat - group_mean(dxhat) - xhat * group_mean(dxhat * xhat))
        return dx.reshape(x.shape), (dy * xhat.reshape(x.shape)).sum(axis=rows), dy.sum(axis=rows)

    return xhat.reshape(x.shape) * gamma + beta, back


def check_any_rank():
    """vectors, sequences, images and films; one group, several, and a group for each channel"""
    for shape, groups, eps in (((3, 6), 2, 1e-5), ((2, 4, 4), 4, 0.5), ((1, 3, 2, 8), 1, 1e-5), ((2, 2, 3, 2, 6), 3, 0.1)):
        about = f", for x {shape}, {groups} groups"
        rng = np.random.default_rng(groups)
        x, gamma, beta = rng.standard_normal(shape) + 3, rng.standard_normal(shape[-1]), rng.standard_normal(shape[-1])
        y, _ = grading.parts(norm_in_groups(x, gamma, beta, groups, eps), "y", "back")
        width, right = shape[-1] // groups, np.zeros(shape)
        for n in range(shape[0]):
            for g in range(groups):
                z = x[n, ..., g * width : (g + 1) * width]
                right[n, ..., g * width : (g + 1) * width] = (z - z.mean()) / np.sqrt(z.var() + eps)
        grading.same(y, right * gamma + beta, "y" + about)
        gradcheck.check(lambda *a, groups=groups, eps=eps: norm_in_groups(*a, groups, eps), x, gamma, beta)
