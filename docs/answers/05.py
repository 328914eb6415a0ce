"""Chapter 5: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import numpy as np

from minidiff import grading

WITHOUT = {  # what an answer may not call
    "old_sinusoids": ["minidiff.ops.*"],
    "add_everywhere": ["minidiff.ops.*"],
    "scale_and_shift": ["minidiff.ops.*"],
}

# ---- 1


def old_sinusoids(t, dim):
    half = dim // 2
    angle = t[:, None] * 10000.0 ** (-np.arange(half) / (half - 1))
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=1)


def check_other_sizes():
    """another width, times that are no whole numbers, in any order"""
    t, half = np.array([7.5, 0.0, 812.0]), 6
    i = np.arange(half)

    def made(exponent, order=(np.sin, np.cos), base=10000.0):
        angle = t[:, None] * base**-exponent
        return np.concatenate([f(angle) for f in order], axis=1)

    old = i / (half - 1)
    grading.same(old_sinusoids(t, 12), made(old), "the sinusoids", {
        "cosines first: in the first DDPM code the sines are first": made(old, (np.cos, np.sin)),
        "the exponent is i / (half - 1), not i / half: only one of the two changes was made": made(i / half),
        "nothing has changed: these are the chapter's own": made(i / half, (np.cos, np.sin)),
        "divided by half + 1; it is half - 1": made(i / (half + 1)),
        "sine and cosine take turns; here all the sines come first": np.stack(
            [np.sin(t[:, None] * 10000.0**-old), np.cos(t[:, None] * 10000.0**-old)], axis=-1).reshape(3, 12),
        "the exponent is negative: the clocks get slower": made(-old),
        "the row's number was taken for its time": made(old)[:, :] * 0 + np.concatenate(
            [np.sin(np.arange(3)[:, None] * 10000.0**-old), np.cos(np.arange(3)[:, None] * 10000.0**-old)], axis=1),
    })


# ---- 2


def tick(hands):
    half = hands.shape[1] // 2
    turn = 10000.0 ** (-np.arange(half) / half)
    cos, sin = hands[:, :half], hands[:, half:]
    return np.concatenate([cos * np.cos(turn) - sin * np.sin(turn), sin * np.cos(turn) + cos * np.sin(turn)], axis=1)


def check_any_time():
    """hands of another width, at times that are no whole numbers"""
    t, half = np.array([0.25, 300.5]), 4
    turn = 10000.0 ** (-np.arange(half) / half)

    def at(t, turn=turn):
        return np.concatenate([np.cos(t[:, None] * turn), np.sin(t[:, None] * turn)], axis=1)

    given = at(t)
    cos, sin = given[:, :half], given[:, half:]
    grading.same(tick(given), at(t + 1), "the hands of t + 1", {
        "turned backwards: these are the hands of t - 1": at(t - 1),
        "every hand is turned by the same angle, 1; the i-th turns by 10000^(-i / half)": at(t, turn) * 0 + np.concatenate(
            [cos * np.cos(1) - sin * np.sin(1), sin * np.cos(1) + cos * np.sin(1)], axis=1),
        "a sign: cos(a + b) = cos a cos b - sin a sin b": np.concatenate(
            [cos * np.cos(turn) + sin * np.sin(turn), sin * np.cos(turn) + cos * np.sin(turn)], axis=1),
        "sines and cosines have changed places: cosines are first": np.concatenate(
            [at(t + 1)[:, half:], at(t + 1)[:, :half]], axis=1),
        "nothing has moved": given,
        "the angle is added to the hands; hands are cosines and sines, so they are turned": given + np.tile(turn, 2),
    })


# ---- 3


def add_everywhere(x, time):
    def back(dy):
        return dy, dy.sum(axis=(1, 2))

    return x + time[:, None, None, :], back


def check_each_picture():
    """each picture has its own time, and its own sum"""
    rng = np.random.default_rng(1)
    x, time, dy = rng.standard_normal((3, 4, 5, 2)), rng.standard_normal((3, 2)), rng.standard_normal((3, 4, 5, 2))
    y, back = grading.parts(add_everywhere(x, time), "y", "back")
    grading.same(y, x + time[:, None, None], "y", {"the first picture's time everywhere": x + time[0]})
    dx, dtime = grading.parts(back(dy), "dx", "dtime")
    grading.same(dx, dy, "dx")
    grading.same(dtime, dy.sum(axis=(1, 2)), "dtime", {
        "a mean over the pixels; what was copied to many places gets a sum": dy.mean(axis=(1, 2)),
        "summed over the batch too: each picture has its own time": dy.sum(axis=(0, 1, 2)),
        "summed over the channels too: each channel has its own number": dy.sum(axis=(1, 2, 3)),
        "one pixel's gradient; what was copied to many places gets a sum": dy[:, 0, 0],
        "the shape of x; time is (B, C), so sum over the pixels": dy,
        "summed over the batch and broadcast: each picture has its own time": np.broadcast_to(dy.sum(axis=(0, 1, 2)), (3, 2)),
    })


# ---- 4


def scale_and_shift(h, s, b):
    factor = 1 + s[:, None, None, :]

    def back(dy):
        return dy * factor, (dy * h).sum(axis=(1, 2)), dy.sum(axis=(1, 2))

    return h * factor + b[:, None, None, :], back


def check_three_gradients():
    """dh, ds and db, each by itself"""
    rng = np.random.default_rng(2)
    h, dy = rng.standard_normal((2, 3, 4, 5, 2))
    s, b = rng.standard_normal((2, 3, 2))
    S, B = s[:, None, None], b[:, None, None]
    y, back = grading.parts(scale_and_shift(h, s, b), "y", "back")
    grading.same(y, h * (1 + S) + B, "y", {
        "the 1 is missing: s = 0 should change nothing": h * S + B,
        "the shift is scaled too; b is added last": (h + B) * (1 + S),
        "s and b have changed places": h * (1 + B) + S,
    })
    dh, ds, db = grading.parts(back(dy), "dh", "ds", "db")
    grading.same(dh, dy * (1 + S), "dh", {"the 1 is missing: h also goes straight through": dy * S, "the scale is missing": dy})
    grading.same(ds, (dy * h).sum(axis=(1, 2)), "ds", {
        "h is missing: s multiplies it": dy.sum(axis=(1, 2)),
        "a mean over the pixels; it is a sum": (dy * h).mean(axis=(1, 2)),
        "h (1 + s) for h: s multiplies h alone": (dy * h * (1 + S)).sum(axis=(1, 2)),
        "y for h: s multiplies h alone": (dy * (h * (1 + S) + B)).sum(axis=(1, 2)),
        "summed over the batch too: each picture has its own s": (dy * h).sum(axis=(0, 1, 2)),
        "this is dy h, not yet summed over the pixels": dy * h,
    })
    grading.same(db, dy.sum(axis=(1, 2)), "db", {
        "a mean over the pixels; it is a sum": dy.mean(axis=(1, 2)),
        "b is not scaled: its gradient is the plain sum": (dy * (1 + S)).sum(axis=(1, 2)),
        "this is ds: the order is dh, ds, db": (dy * h).sum(axis=(1, 2)),
        "summed over the batch too: each picture has its own b": dy.sum(axis=(0, 1, 2)),
    })
