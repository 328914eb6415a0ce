"""Chapter 6, the U-Net: known mistakes in its parts, and in the way of a gradient through the U."""

import math

import numpy as np

from .. import ops
from ..grading import parts, same


def mean_pool(answer):
    x, dy = np.arange(48.0).reshape(1, 4, 6, 2) ** 2, np.arange(12.0).reshape(1, 2, 3, 2) + 1
    blocks = x.reshape(1, 2, 2, 3, 2, 2)
    y, back = parts(answer(x), "y", "back")
    same(y, blocks.mean(axis=(2, 4)), "y", {
        "a sum; asked is the mean": blocks.sum(axis=(2, 4)),
        "the largest of the four; asked is the mean": blocks.max(axis=(2, 4)),
        "one of the four: every second pixel": x[:, ::2, ::2],
        "half of the image with the other half; neighbours belong together: (B, H/2, 2, W/2, 2, C)": x.reshape(
            1, 2, 2, 2, 3, 2).mean(axis=(1, 3)),
    })
    spread = dy.repeat(2, axis=1).repeat(2, axis=2)
    same(back(dy), spread / 4, "dx", {
        "each of the four gets a quarter: the mean divides by 4": spread,
        "each of the four gets a quarter, not a half: the mean is over 2 x 2": spread / 2,
        "the whole dy stands there four times; each entry goes to its own four pixels": np.tile(dy, (1, 2, 2, 1)) / 4,
        "only one of the four gets anything; the mean has all four": spread * _every_second(spread.shape),
    })


def reach(answer):
    for strides in ([1] * 5, [1, 1, 2, 1], [2, 2, 2], [1, 3, 1]):
        pixels = [math.prod(strides[:k]) for k in range(len(strides))]
        same(answer(strides), sum(pixels), f"reach({strides})", {
            "multiplied before it was added: a convolution's own stride makes the pixels after it larger": sum(
                math.prod(strides[: k + 1]) for k in range(len(strides))),
            "this is how large a pixel is at the end; asked is how far is seen": math.prod(strides),
            "every convolution adds 1; after a stride it adds more, in pixels of the input": len(strides),
            "the sum of the strides; they multiply": sum(strides),
            "this is the whole width that is seen; asked is to one side": 2 * sum(pixels) + 1,
            "the sum without the first convolution; it adds 1": sum(pixels) - 1,
        })


def many_heads(answer):
    q, k, v = _random((2, 3, 6), (2, 4, 6), (2, 4, 6))
    each = [ops.attention(a, b, c)[0] for a, b, c in zip(*(np.split(x, 2, axis=-1) for x in (q, k, v)), strict=True)]

    def dealt(x, rows, columns):
        return x.reshape(*x.shape[:2], rows, columns).swapaxes(2, 3).reshape(x.shape)

    one = ops.attention(q, k, v)[0]
    same(answer(q, k, v, 2), np.concatenate(each, axis=-1), "the answer of two heads", {
        "one head: each part of the features attends by itself": one,
        "the heads' answers are added; put them side by side": sum(each),
        "the heads' answers are averaged; put them side by side": sum(each) / 2,
        "the answers are below each other; side by side is axis=-1": np.concatenate(each, axis=1),
        "the scores are divided by the root of all features; it is that of one head's": ops.attention(
            q / np.sqrt(2), k, v, heads=2)[0],
        "neighbouring features belong to one head; here they take turns": dealt(
            ops.attention(*(dealt(x, 3, 2) for x in (q, k, v)), heads=2)[0], 2, 3),
        "only one head's answer": each[0],
        "the heads' answers are in reverse order": np.concatenate(each[::-1], axis=-1),
    })


def gigabytes(answer):
    for size in (8, 512):
        same(answer(size), size**4 * 4e-9, f"gigabytes({size})", {
            "N is the number of pixels, size x size; the weights are N x N": size**2 * 4e-9,
            "4 bytes each: this counts the weights": size**4 * 1e-9,
            "8 bytes are a float64": size**4 * 8e-9,
            "these are bytes": size**4 * 4,
            "these are megabytes": size**4 * 4e-6,
            "a gigabyte here is 10^9 bytes, not 2^30": size**4 * 4 / 2**30,
        })


# ---- build it: a skip connection, a U of two levels, a U of any depth


def beside(answer):
    x, skip, dy = _random((2, 4, 4, 3), (2, 3, 4, 2), (2, 3, 4, 5))
    whole = _random((2, 3, 4, 3))[0]
    y, back = parts(answer(whole, skip), "y", "back")
    same(y, np.concatenate([whole, skip], axis=-1), "y", {
        "skip comes first; x, from below, is the first": np.concatenate([skip, whole], axis=-1),
    })
    y, back = parts(answer(x, skip), "y", "back")
    same(y, np.concatenate([x[:, :3], skip], axis=-1), "y, for an x of height 4 and a skip of height 3", {
        "the first row is cut off; what is too much stands at the end": np.concatenate([x[:, 1:], skip], axis=-1),
        "x is as it was, and skip is filled up with zeros; cut x": np.concatenate([x, _filled(skip)], axis=-1),
    })
    dx, dskip = parts(back(dy), "dx", "dskip")
    same(dskip, dy[..., 3:], "dskip", {
        "these are the first channels; they are x's": dy[..., :2],
        "this is dx: the order is dx, dskip": _filled(dy[..., :3]),
        "cut at the channels of skip; x's come first": dy[..., 2:],
    })
    same(dx, _filled(dy[..., :3]), "dx", {
        "dx has x's shape: what was cut off gets a gradient of 0": dy[..., :3],
        "these are the last channels; they are skip's": _filled(dy[..., 2:]),
        "the row that was cut off gets the last row's gradient; it gets 0": np.concatenate(
            [dy[..., :3], dy[:, -1:, :, :3]], axis=1),
    })


def two_levels(answer):
    x, dy, w, v, u = _random((2, 4, 4, 3), (2, 4, 4, 2), (3, 3), (3, 3), (6, 2))
    enter, middle, leave = _layer(ops.linear, w, None), _layer(ops.linear, v, None), _layer(ops.linear, u, None)
    halve, double = _layer(ops.avg_pool), _layer(ops.upsample_nearest)
    a, back_enter = enter(x)
    h, back_halve = halve(a)
    m, back_middle = middle(h)
    b, back_double = double(m)

    def ends(below, across):
        return leave(np.concatenate([below, across], axis=-1))

    y, back = parts(answer(x, enter, halve, middle, double, leave), "y", "back")
    right, back_leave = ends(b, a)
    same(y, right, "y", {
        "the skip comes first; what comes from below is the first": ends(a, b)[0],
        "x goes across; it is the output of `enter`": ends(b, x)[0],
        "the middle is left out": ends(double(h)[0], a)[0],
        "nothing comes across": ends(b, 0 * a)[0],
        "what comes across is added; it is laid beside, so `leave` gets both": ends(b + a, 0 * a)[0],
    })
    dboth = back_leave(dy)
    db, da = dboth[..., :3], dboth[..., 3:]

    def below(db):
        return back_halve(back_middle(back_double(db)))

    same(back(dy), back_enter(below(db) + da), "dx", {
        "only the way across; the output of `enter` also goes down": back_enter(da),
        "only the way below; the output of `enter` also goes across": back_enter(below(db)),
        "the two halves of the gradient have changed places": back_enter(below(da) + db),
        "the gradient from across goes back through `enter` too: both are gradients of its output": back_enter(below(db)) + da,
        "a mean of the two ways; they add up": back_enter(below(db) + da) / 2,
        "the middle is left out on the way back": back_enter(back_halve(back_double(db)) + da),
        "`enter` is left out on the way back": below(db) + da,
    })


def u_net(answer):
    shapes = [(2, 2)] * 5 + [(4, 2)] * 2 + [(3, 2)] * 5
    x, time, dy, *weights = _random((2, 2, 3, 2), (2, 3), (2, 2, 3, 2), *shapes, (2, 2), (2, 2))
    w, u, v, doubles = weights[:5], weights[5:7], weights[7:12], weights[12:]
    first, second, middle = (_block(w[k], v[k]) for k in (0, 1, 2))
    halve1, halve2, double1, double2 = (_layer(ops.linear, k, None) for k in (w[3], w[4], *doubles))
    up1, up2 = (_block(u[k], v[3 + k]) for k in (0, 1))  # these "halve" and "double" keep the size, so that all fits

    def walk(order=(1, 0), flip=False, halved=False, middle=middle):
        a, back_a = first(x, time)
        c, back_c = halve1(a)
        b, back_b = second(c, time)
        h, back_h = halve2(b)
        m, back_m = middle(h, time)
        skips, backs = ([c, h] if halved else [a, b]), []
        for double, up, k in ((double1, up1, order[0]), (double2, up2, order[1])):
            m, back_double = double(m)
            m, back_up = up(np.concatenate([skips[k], m] if flip else [m, skips[k]], axis=-1), time)
            backs += [back_double, back_up]

        def back(dy, across=1.0, below=1.0, exchanged=False, up_times=(1, 1), middle_time=1, down_times=(1, 1)):
            dlast, dtime2 = backs[3](dy)
            dfirst, dtime1 = backs[1](backs[2](dlast[..., :2]))
            dh, dtime_m = back_m(backs[0](dfirst[..., :2]))
            to_a, to_b = (d[..., 2:] for d in ((dfirst, dlast) if exchanged else (dlast, dfirst)))
            db, dtime_b = back_b(below * back_h(dh) + across * to_b)
            da, dtime_a = back_a(below * back_c(db) + across * to_a)
            times = (dtime_a, dtime_b, dtime_m, dtime1, dtime2)
            return da, sum(c * d for c, d in zip((*down_times, middle_time, *up_times), times, strict=True))

        return m, back

    downs, ups = [(first, halve1), (second, halve2)], [(double1, up1), (double2, up2)]
    y, back = parts(answer(x, time, downs, middle, ups), "y", "back")
    right, back_right = walk()
    same(y, right, "y", {
        "the skips are used in the order of the way down; the last one kept is the first one used": walk(order=(0, 1))[0],
        "the skip comes first; what comes from below is the first": walk(flip=True)[0],
        "the halved images go across; it is the output of the block, before it is halved": walk(halved=True)[0],
        "the middle is left out": walk(middle=lambda h, time: (h, None))[0],
        "the same skip at every level": walk(order=(1, 1))[0],
    })
    dx, dtime = parts(back(dy), "dx", "dtime")
    same(dx, back_right(dy)[0], "dx", {
        "nothing came back from across: each skip has two gradients": back_right(dy, across=0.0)[0],
        "nothing came back from below: each skip has two gradients": back_right(dy, below=0.0)[0],
        "the gradients of the skips have changed places: the last block of the way up is the first to give its": back_right(
            dy, exchanged=True)[0],
        "means of the two gradients of a skip; they add up": back_right(dy, across=0.5, below=0.5)[0],
    })
    same(dtime, back_right(dy)[1], "dtime", {
        "the blocks of the way down use the time too": back_right(dy, down_times=(0, 0))[1],
        "the middle uses the time too": back_right(dy, middle_time=0)[1],
        "the blocks of the way up use the time too": back_right(dy, up_times=(0, 0))[1],
        "only the last block's; every block uses the time, so the gradients add up": back_right(
            dy, down_times=(0, 0), middle_time=0, up_times=(0, 1))[1],
        "only the first block's; every block uses the time, so the gradients add up": back_right(
            dy, down_times=(1, 0), middle_time=0, up_times=(0, 0))[1],
        "a mean over the blocks; the gradients add up": back_right(dy)[1] / 5,
    })


def _layer(op, *params):
    """x -> y, back, with back(dy) -> dx alone."""

    def layer(x):
        y, back = op(x, *params)
        return y, lambda dy: back(dy)[0] if params else back(dy)

    return layer


def _block(w, v):
    """silu(x w + time v), back(dy) -> dx, dtime"""

    def block(x, time):
        y, back_silu = ops.silu(x @ w + (time @ v)[:, None, None])

        def back(dy):
            dz = back_silu(dy)
            return dz @ w.T, dz.sum(axis=(1, 2)) @ v.T

        return y, back

    return block


def _every_second(shape):
    kept = np.zeros(shape)
    kept[:, ::2, ::2] = 1.0
    return kept


def _filled(x):
    """One more row, of zeros."""
    return np.concatenate([x, np.zeros_like(x[:, :1])], axis=1)


def _random(*shapes):
    rng = np.random.default_rng(16)
    return [rng.standard_normal(shape) for shape in shapes]
