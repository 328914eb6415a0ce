"""Chapter 6: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import numpy as np

from minidiff import gradcheck, grading, ops

WITHOUT = {  # what an answer may not call
    "mean_pool": ["minidiff.ops.*"],
    "many_heads": ["minidiff.ops.attention", "minidiff.ops.sliced_attention"],
    "beside": ["minidiff.ops.concat"],
}

# ---- 1


def mean_pool(x):
    B, H, W, C = x.shape

    def back(dy):
        return np.repeat(np.repeat(dy, 2, axis=1), 2, axis=2) / 4

    return x.reshape(B, H // 2, 2, W // 2, 2, C).mean(axis=(2, 4)), back


def check_blocks():
    """which four pixels make one, and what each gets back, for other sizes and in float32"""
    for shape in ((3, 2, 6, 1), (1, 8, 2, 5)):
        x = np.random.default_rng(shape[1]).standard_normal(shape)
        y, _ = grading.parts(mean_pool(x), "y", "back")
        right = (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4
        grading.same(y, right, f"y for an x of shape {shape}")
        gradcheck.check(mean_pool, x)
    assert mean_pool(np.ones((1, 2, 2, 1), np.float32))[0].dtype == np.float32, "y of float32 numbers is not float32"


# ---- 2


def reach(strides):
    seen, pixel = 0, 1
    for stride in strides:
        seen += pixel
        pixel *= stride
    return seen


def check_more_strides():
    """stacks that you do not see, one without any stride among them, and one without any convolution"""
    for strides, right in (([1, 2, 1, 2, 1, 1], 14), ([4, 1], 5), ([1, 1, 1], 3), ([3, 3, 1], 13), ([2], 1), ([], 0)):
        grading.same(reach(strides), right, f"reach({strides})")


# ---- 3


def many_heads(q, k, v, heads):
    parts = zip(*(np.split(x, heads, axis=-1) for x in (q, k, v)), strict=True)
    return np.concatenate([attention(*part)[0] for part in parts], axis=-1)


def check_other_shapes():
    """one head, three, and as many as features; keys of another number than queries"""
    rng = np.random.default_rng(1)
    q, k, v = rng.standard_normal((2, 5, 6)), rng.standard_normal((2, 4, 6)), rng.standard_normal((2, 4, 6))
    for heads in (1, 3, 6):
        q_, k_, v_ = (x.reshape(*x.shape[:2], heads, -1) for x in (q, k, v))
        w = np.exp(np.einsum("bnhd,bmhd->bhnm", q_, k_) / np.sqrt(6 / heads))
        w /= w.sum(axis=-1, keepdims=True)
        right = np.einsum("bhnm,bmhd->bnhd", w, v_).reshape(2, 5, 6)
        grading.same(many_heads(q, k, v, heads), right, f"the answer of {heads} heads")


# ---- 4


def gigabytes(size):
    return (size * size) ** 2 * 4e-9


def check_sizes():
    """sizes that you do not see"""
    for size, right in ((16, 0.000262144), (100, 0.4), (1024, 4398.046511104)):
        grading.same(gigabytes(size), right, f"gigabytes({size})")


# ---- 5


def beside(x, skip):
    B, H, W, _ = skip.shape
    C = x.shape[-1]

    def back(dy):
        dx = np.zeros(x.shape, dy.dtype)
        dx[:, :H, :W] = dy[..., :C]
        return dx, dy[..., C:]

    return np.concatenate([x[:, :H, :W], skip], axis=-1), back


def check_odd_sizes():
    """equal sizes, a row too many, a column too many, both"""
    rng = np.random.default_rng(4)
    for height, width in ((2, 3), (3, 3), (2, 4), (3, 4)):
        x, skip = rng.standard_normal((2, height, width, 4)), rng.standard_normal((2, 2, 3, 1))
        y, _ = grading.parts(beside(x, skip), "y", "back")
        right = np.empty((2, 2, 3, 5))
        right[..., :4], right[..., 4:] = x[:, :2, :3], skip
        grading.same(y, right, f"y for an x of {height} x {width} pixels and a skip of 2 x 3")
        gradcheck.check(beside, x, skip)


# ---- 6


def two_levels(x, enter, halve, middle, double, leave):
    a, back_enter = enter(x)
    h, back_halve = halve(a)
    h, back_middle = middle(h)
    h, back_double = double(h)
    y, back_leave = leave(np.concatenate([h, a], axis=-1))

    def back(dy):
        dboth = back_leave(dy)
        dh, da = dboth[..., : h.shape[-1]], dboth[..., h.shape[-1] :]
        return back_enter(back_halve(back_middle(back_double(dh))) + da)

    return y, back


def check_layers_with_convolutions():
    """convolutions that change the number of channels, halve by a stride, and double by a copy"""
    rng = np.random.default_rng(5)

    def conv(i, o, **options):
        w, b = rng.standard_normal((3, 3, i, o)) / 5, rng.standard_normal(o)

        def layer(x):
            y, back = ops.conv2d(x, w, b, padding=1, **options)
            z, back_silu = ops.silu(y)
            return z, lambda dz: back(back_silu(dz))[0]

        return layer

    enter, halve, middle, leave = conv(1, 2), conv(2, 3, stride=2), conv(3, 5), conv(7, 2)
    layers = enter, halve, middle, ops.upsample_nearest, leave
    x = rng.standard_normal((2, 4, 6, 1))
    a = enter(x)[0]
    right = leave(np.concatenate([middle(halve(a)[0])[0].repeat(2, axis=1).repeat(2, axis=2), a], axis=-1))[0]
    y, _ = grading.parts(two_levels(x, *layers), "y", "back")
    grading.same(y, right, "y")
    gradcheck.check(lambda x: two_levels(x, *layers), x)


# ---- 7


def u_net(x, time, downs, middle, ups):
    h, skips, down_backs, up_backs = x, [], [], []
    for block, halve in downs:
        h, back_block = block(h, time)
        skips.append(h)
        h, back_halve = halve(h)
        down_backs.append((back_block, back_halve))
    h, back_middle = middle(h, time)
    for double, block in ups:
        h, back_double = double(h)
        below = h.shape[-1]
        h, back_block = block(np.concatenate([h, skips.pop()], axis=-1), time)
        up_backs.append((back_double, below, back_block))

    def back(dy):
        dh, dtime, dskips = dy, 0, []
        for back_double, below, back_block in reversed(up_backs):
            dboth, d = back_block(dh)
            dtime = dtime + d
            dskips.append(dboth[..., below:])
            dh = back_double(dboth[..., :below])
        dh, d = back_middle(dh)
        dtime = dtime + d
        for back_block, back_halve in reversed(down_backs):
            dh, d = back_block(back_halve(dh) + dskips.pop())
            dtime = dtime + d
        return dh, dtime

    return h, back


def check_any_depth():
    """a U of no level at all, of one, and of three, with channels that change, forward and backward"""
    rng = np.random.default_rng(6)

    def block(i, o):
        w, v = rng.standard_normal((i, o)), rng.standard_normal((2, o))

        def layer(x, time):
            y, back_silu = ops.silu(x @ w + (time @ v)[:, None, None])

            def back(dy):
                dz = back_silu(dy)
                return dz @ w.T, dz.sum(axis=(1, 2)) @ v.T

            return y, back

        return layer

    def u(x, time, downs, middle, ups):  # a U is a smaller U with a block before and a block behind
        if not downs:
            return middle(x, time)[0]
        (first, halve), (double, last) = downs[0], ups[-1]
        a = first(x, time)[0]
        h = double(u(halve(a)[0], time, downs[1:], middle, ups[:-1]))[0]
        return last(np.concatenate([h, a], axis=-1), time)[0]

    for depth in (0, 1, 3):
        downs = [(block(k + 1, k + 2), ops.avg_pool) for k in range(depth)]  # 1, 2, 3, ... channels
        middle = block(depth + 1, depth + 2)
        ups = [(ops.upsample_nearest, block(2 * k + 1, k)) for k in range(depth + 1, 1, -1)]  # k + 1 from below, k across
        x, time = rng.standard_normal((2, 8, 8, 1)), rng.standard_normal((2, 2))
        y, _ = grading.parts(u_net(x, time, downs, middle, ups), "y", "back")
        grading.same(y, u(x, time, downs, middle, ups), f"y of a U of depth {depth}")
        gradcheck.check(lambda x, time, parts=(downs, middle, ups): u_net(x, time, *parts), x, time)
