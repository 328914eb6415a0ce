"""Chapter 18: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import numpy as np

from minidiff import gradcheck, grading, ops

WITHOUT = {  # what an answer may not call
    "patches": ["minidiff.ops.*"],
    "positions": ["minidiff.models.positions.sincos_positions"],
    "scale_shift": ["minidiff.ops.*", "modulated"],
    "gated": ["minidiff.ops.*"],
    "block": ["minidiff.models.dit.DiTBlock.forward"],
}

# ---- 1


def patches(x, size):
    B, H, W, C = x.shape
    cut = (B, H // size, size, W // size, size, C)

    def back(dy):
        blocks = dy.reshape(B, H // size, W // size, size, size, C)
        return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(x.shape)

    return x.reshape(cut).transpose(0, 1, 3, 2, 4, 5).reshape(B, -1, size * size * C), back


def check_pixel_by_pixel():
    """sizes 1 to 3, images that are no squares, each pixel looked up, and back in float32"""
    for shape, size in (((2, 3, 4, 2), 1), ((1, 4, 6, 3), 2), ((2, 9, 3, 1), 3), ((3, 2, 2, 2), 2)):
        x = np.random.default_rng(shape[1]).standard_normal(shape).astype(np.float32)
        B, H, W, C = shape
        right = np.empty((B, H * W // size**2, size * size * C), np.float32)
        for i in range(H):
            for j in range(W):
                patch, pixel = i // size * (W // size) + j // size, i % size * size + j % size
                right[:, patch, pixel * C : (pixel + 1) * C] = x[:, i, j]
        y, back = grading.parts(patches(x, size), "y", "back")
        grading.same(y, right, f"the patches of size {size} of an x of shape {shape}")
        dx = back(right)
        grading.same(dx, x, f"back, which carries the patches of size {size} to their places")
        assert y.dtype == dx.dtype == np.float32, "the result of float32 numbers is not float32"


# ---- 2


def positions(rows, columns, features):
    row, column = along(rows, features // 2), along(columns, features // 2)
    return np.concatenate([np.tile(column, (rows, 1)), np.repeat(row, columns, axis=0)], axis=1)


def check_every_patch():
    """one row, one column, more rows than columns, and the fewest features, patch by patch"""
    for rows, columns, features in ((1, 5, 8), (4, 1, 8), (5, 3, 16), (2, 3, 4)):
        right, half = np.empty((rows * columns, features)), features // 4
        for i in range(rows):
            for j in range(columns):
                for k in range(half):
                    pace = 10_000.0 ** (-k / half)
                    right[i * columns + j, k::half] = np.sin(j * pace), np.cos(j * pace), np.sin(i * pace), np.cos(i * pace)
        got = positions(rows, columns, features)
        grading.same(got, right, f"the positions of {rows} x {columns} patches", rtol=1e-5, atol=1e-6)


# ---- 3


def multiplications(pixels, size, features):
    tokens = (pixels // size) ** 2
    return 12 * tokens * features**2 + 2 * tokens**2 * features


def check_other_sizes():
    """one patch, one feature, and sizes in use, worked out by hand"""
    for pixels, size, features, right in ((8, 8, 1, 14), (8, 4, 10, 5120), (6, 2, 1, 270), (32, 2, 1152, 4_227_858_432)):
        grading.same(multiplications(pixels, size, features), right, f"multiplications({pixels}, {size}, {features})")


# ---- 4


def scale_shift(x, shift, scale):
    centred = x - x.mean(axis=-1, keepdims=True)
    rstd = 1 / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + 1e-6)
    xhat = centred * rstd

    def back(dy):
        dxhat = dy * (1 + scale[:, None, :])
        through_mean = dxhat.mean(axis=-1, keepdims=True)
        through_std = xhat * (dxhat * xhat).mean(axis=-1, keepdims=True)
        dx = rstd * (dxhat - through_mean - through_std)
        return dx, dy.sum(axis=1), (dy * xhat).sum(axis=1)

    return xhat * (1 + scale[:, None, :]) + shift[:, None, :], back


def check_images_and_tokens():
    """one token, one image, as many tokens as features and as images, and tokens whose features are nearly equal"""
    rng = np.random.default_rng(18)
    for B, N, D in ((3, 1, 5), (1, 4, 6), (4, 4, 4), (2, 3, 2)):
        x, shift, scale = 3 * rng.standard_normal((B, N, D)) + 5, rng.standard_normal((B, D)), rng.standard_normal((B, D))
        y, _ = grading.parts(scale_shift(x, shift, scale), "y", "back")
        right = np.empty((B, N, D))
        for b in range(B):
            for n in range(N):
                row = x[b, n]
                right[b, n] = (row - row.mean()) / np.sqrt(row.var() + 1e-6) * (scale[b] + 1) + shift[b]
        grading.same(y, right, f"y for an x of shape {(B, N, D)}")
        gradcheck.check(scale_shift, x, shift, scale)
    x, zero = np.array([[[1.0, 1.002]]]), np.zeros((1, 2))
    grading.same(scale_shift(x, zero, zero)[0], [[[-(0.5**0.5), 0.5**0.5]]], "y where the variance is 1e-6, as is eps")


# ---- 5


def gated(x, h, gate):
    def back(dy):
        return dy, gate[:, None, :] * dy, (dy * h).sum(axis=1)

    return x + gate[:, None, :] * h, back


def check_open_and_closed():
    """gates of 0, 1 and between, one image, one token, as many tokens as features"""
    rng = np.random.default_rng(19)
    for B, N, D in ((1, 3, 2), (3, 1, 4), (3, 3, 3)):
        x, h, dy = rng.standard_normal((3, B, N, D))
        for gate in (np.zeros((B, D)), np.ones((B, D)), rng.standard_normal((B, D))):
            y, back = grading.parts(gated(x, h, gate), "y", "back")
            grading.same(y, np.einsum("bd,bnd->bnd", gate, h) + x, "y")
            dx, dh, dgate = grading.parts(back(dy), "dx", "dh", "dgate")
            grading.same(dx, dy, "dx")
            grading.same(dh, np.einsum("bd,bnd->bnd", gate, dy), "dh")
            grading.same(dgate, np.einsum("bnd,bnd->bd", dy, h), "dgate")


# ---- 6


def block(x, c, w, b, attend, feed):
    s, back_silu = ops.silu(c)
    six, back_six = ops.linear(s, w, b)
    shift, scale, gate, shift_ff, scale_ff, gate_ff = np.split(six, 6, axis=1)
    h, back_norm = ops.modulate(x, shift, scale)
    h, back_attend = attend(h)
    x, back_sum = ops.gated_add(x, h, gate)
    h, back_norm_ff = ops.modulate(x, shift_ff, scale_ff)
    h, back_feed = feed(h)
    y, back_sum_ff = ops.gated_add(x, h, gate_ff)

    def back(dy):
        dskip, dh, dgate_ff = back_sum_ff(dy)
        dx, dshift_ff, dscale_ff = back_norm_ff(back_feed(dh))
        dskip, dh, dgate = back_sum(dskip + dx)
        dx, dshift, dscale = back_norm(back_attend(dh))
        ds, dw, db = back_six(np.concatenate([dshift, dscale, dgate, dshift_ff, dscale_ff, dgate_ff], axis=1))
        return dskip + dx, back_silu(ds), dw, db

    return y, back


def check_real_layers():
    """attention and an MLP inside, one image and three, gates that are all closed, and the block of the library"""
    rng = np.random.default_rng(20)

    def attend(h):
        y, back = ops.attention(h, h, h)
        return y, lambda dy: sum(back(dy))

    def normed(x):
        return (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-6)

    for B, N, D in ((1, 3, 4), (3, 2, 2)):
        x, c, w, b = (rng.standard_normal(shape) for shape in ((B, N, D), (B, D), (D, 6 * D), (6 * D,)))
        v = rng.standard_normal((D, D))

        def feed(h, v=v):
            y, back = ops.gelu(h @ v)
            return y, lambda dy: back(dy) @ v.T

        p = ((c / (1 + np.exp(-c))) @ w + b).reshape(B, 6, 1, D)
        h = normed(x) * (1 + p[:, 1]) + p[:, 0]
        h = x + p[:, 2] * attend(h)[0]
        right = h + p[:, 5] * feed(normed(h) * (1 + p[:, 4]) + p[:, 3])[0]
        y, _ = grading.parts(block(x, c, w, b, attend, feed), "y", "back")
        grading.same(y, right, f"y for an x of shape {(B, N, D)}")
        gradcheck.check(lambda *arrays, feed=feed: block(*arrays, attend, feed), x, c, w, b)
        y, back = block(x, c, 0 * w, 0 * b, attend, feed)
        grading.same(y, x, "y of a block whose w and b are 0")
        grading.same(back(x)[0], x, "dx of a block whose w and b are 0")
