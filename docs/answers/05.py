"""Chapter 5: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import math

import numpy as np

from minidiff import gradcheck, grading, ops
from minidiff.models.resnet import ResnetBlock2D

WITHOUT = {  # what an answer may not call
    "old_sinusoids": ["minidiff.ops.*"],
    "add_everywhere": ["minidiff.ops.*"],
    "scale_and_shift": ["minidiff.ops.*"],
    "time_sinusoids": ["sinusoids", "minidiff.ops.*"],
    "residual_block": ["timed_block"],
}

# ---- 1


def old_sinusoids(t, dim):
    half = dim // 2
    angle = t[:, None] * 10000.0 ** (-np.arange(half) / (half - 1))
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=1)


def check_other_sizes():
    """another width, times that are no whole numbers, in any order"""
    for dim, t in ((12, [7.5, 0.0, 812.0]), (4, [999.0])):
        angles = [[ti / 10000 ** (i / (dim // 2 - 1)) for i in range(dim // 2)] for ti in t]
        right = [[math.sin(a) for a in row] + [math.cos(a) for a in row] for row in angles]
        grading.same(old_sinusoids(np.array(t), dim), right, f"the sinusoids of dim {dim}")


# ---- 2


def tick(hands):
    half = hands.shape[1] // 2
    turn = 10000.0 ** (-np.arange(half) / half)
    cos, sin = hands[:, :half], hands[:, half:]
    return np.concatenate([cos * np.cos(turn) - sin * np.sin(turn), sin * np.cos(turn) + cos * np.sin(turn)], axis=1)


def check_any_time():
    """hands of another width, at times that are no whole numbers"""
    for half, t in ((4, [0.25, 300.5]), (1, [-3.0]), (16, [998.0, 998.0, 0.0])):
        angle = np.outer(t, 10000.0 ** (-np.arange(half) / half))
        later = np.outer(np.add(t, 1), 10000.0 ** (-np.arange(half) / half))
        got = tick(np.hstack([np.cos(angle), np.sin(angle)]))
        grading.same(got, np.hstack([np.cos(later), np.sin(later)]), f"the {2 * half} hands of t + 1")


# ---- 3


def add_everywhere(x, time):
    def back(dy):
        return dy, dy.sum(axis=(1, 2))

    return x + time[:, None, None, :], back


def check_each_picture():
    """each image has its own time, and its own sum"""
    for shape in ((3, 3, 3, 3), (1, 2, 7, 4), (4, 1, 1, 1)):
        B, H, W, C = shape
        x, time = np.arange(B * H * W * C, dtype=float).reshape(shape), np.arange(B * C, dtype=float).reshape(B, C) ** 2
        y, back = grading.parts(add_everywhere(x, time), "y", "back")
        grading.same(y, x + np.repeat(time, H * W, axis=0).reshape(shape), f"y of shape {shape}")
        dx, dtime = grading.parts(back(x), "dx", "dtime")
        grading.same(dx, x, "dx")
        grading.same(dtime, x.reshape(B, H * W, C).sum(axis=1), "dtime")


# ---- 4


def scale_and_shift(h, s, b):
    factor = 1 + s[:, None, None, :]

    def back(dy):
        return dy * factor, (dy * h).sum(axis=(1, 2)), dy.sum(axis=(1, 2))

    return h * factor + b[:, None, None, :], back


def check_three_gradients():
    """y by a formula of its own, and dh, ds and db by the slope of y, for other sizes"""
    rng = np.random.default_rng(2)
    for shape in ((2, 3, 3, 2), (1, 4, 1, 5)):
        h, s, b = rng.standard_normal(shape), *rng.standard_normal((2, shape[0], shape[3]))
        y, _ = grading.parts(scale_and_shift(h, s, b), "y", "back")
        grading.same(y, h + np.einsum("bhwc,bc->bhwc", h, s) + np.einsum("bhwc,bc->bhwc", np.ones(shape), b), "y")
        gradcheck.check(scale_and_shift, h, s, b)


# ---- 5


def time_sinusoids(t, dim, sines_first=False, shift=0.0, max_period=10000.0):
    half = dim // 2
    angle = t[:, None] * max_period ** (-np.arange(half) / (half - shift))
    parts = [np.sin(angle), np.cos(angle)] if sines_first else [np.cos(angle), np.sin(angle)]
    return np.concatenate(parts + [np.zeros((len(t), 1))] * (dim % 2), axis=1)


def check_every_convention():
    """all options together, odd and even dims, one time and many"""
    for dim, sines_first, shift, max_period, t in (
        (33, True, 1.0, 10000.0, [0.5, 700.0]), (2, False, 0.0, 10000.0, [3.0]), (10, True, 0.5, 50.0, [1.0, 2.0, 999.0]),
        (3, False, 0.0, 2.0, [-1.0, 4.0]),
    ):  # fmt: skip
        angles = [[ti * math.exp(-math.log(max_period) * i / (dim // 2 - shift)) for i in range(dim // 2)] for ti in t]
        one, two = (math.sin, math.cos) if sines_first else (math.cos, math.sin)
        right = [[one(a) for a in row] + [two(a) for a in row] + [0.0] * (dim % 2) for row in angles]
        got = time_sinusoids(np.array(t), dim, sines_first=sines_first, shift=shift, max_period=max_period)
        grading.same(got, right, f"dim {dim}, sines_first {sines_first}, shift {shift}, max_period {max_period}")


# ---- 6


def time_projection(temb, w, b):
    a, back_silu = ops.silu(temb)
    time, back_linear = ops.linear(a, w, b)
    half = time.shape[1] // 2

    def back(dscale, dshift):
        da, dw, db = back_linear(np.concatenate([dscale, dshift], axis=1))
        return back_silu(da), dw, db

    return (time[:, :half], time[:, half:]), back


def check_slopes():
    """scale and shift of one image and of several, and their gradients by the slope"""
    for B, C in ((1, 1), (4, 3)):
        rng = np.random.default_rng(B)
        temb, w, b = rng.standard_normal((B, 2)), rng.standard_normal((2, 2 * C)), rng.standard_normal(2 * C)
        (scale, shift), _ = grading.parts(time_projection(temb, w, b), "(scale, shift)", "back")
        right = temb / (1 + np.exp(-temb)) @ w + b
        grading.same(scale, right[:, :C], "scale")
        grading.same(shift, right[:, C:], "shift")

        def stacked(temb, w, b):
            (scale, shift), back = time_projection(temb, w, b)
            return np.stack([scale, shift]), lambda dy: back(dy[0], dy[1])

        gradcheck.check(stacked, temb, w, b)


# ---- 7


def residual_block(x, temb, norm1, conv1, project, norm2, conv2, shortcut=None):
    h, back_norm1 = norm1(x)
    h, back_silu1 = ops.silu(h)
    h, back_conv1 = conv1(h)
    (scale, shift), back_project = project(temb)
    factor = 1 + scale[:, None, None, :]
    normed, back_norm2 = norm2(h)
    h, back_silu2 = ops.silu(normed * factor + shift[:, None, None, :])
    h, back_conv2 = conv2(h)
    side, back_side = shortcut(x) if shortcut else (x, lambda dy: dy)

    def back(dy):
        dh = back_silu2(back_conv2(dy))
        dtemb = back_project((dh * normed).sum(axis=(1, 2)), dh.sum(axis=(1, 2)))
        dh = back_norm1(back_silu1(back_conv1(back_norm2(dh * factor))))
        return dh + back_side(dy), dtemb

    return h + side, back


def check_the_library_s_block():
    """the library's block with the same weights, with and without a change of channels, forward and backward"""
    rng = np.random.default_rng(6)
    for channels, out in ((4, 6), (4, 4)):
        library = ResnetBlock2D(channels, out, 5, groups=2, scale_shift=True, rng=1).astype(np.float64)
        x, temb = rng.standard_normal((3, 5, 4, channels)), rng.standard_normal((3, 5))

        def project(temb, library=library, out=out):
            time, back = library.time(temb)
            return (time[:, :out], time[:, out:]), lambda ds, db: back(np.concatenate([ds, db], axis=1))

        layers = [library.norm1, library.conv1, project, library.norm2, library.conv2]
        if library.conv_shortcut:
            layers.append(library.conv_shortcut)

        def block(x, temb, layers=layers):
            return residual_block(x, temb, *layers)

        y, back = grading.parts(block(x, temb), "y", "back")
        right, back_right = library(x, temb)
        what = f"from {channels} to {out} channels"
        grading.same(y, right, f"y {what}")
        dy = rng.standard_normal(y.shape)
        for got, wanted, name in zip(grading.parts(back(dy), "dx", "dtemb"), back_right(dy), ("dx", "dtemb"), strict=True):
            grading.same(got, wanted, f"{name} {what}")
        gradcheck.check(block, x, temb)
