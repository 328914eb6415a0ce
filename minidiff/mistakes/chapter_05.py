"""Chapter 5, the time: known mistakes in sinusoids, and in the layers that a time enters."""

import numpy as np

from .. import ops
from ..grading import parts, same


def old_sinusoids(answer):
    t, half = np.array([0.0, 3.0, 700.0, 41.0]), 5
    i = np.arange(half)

    def made(exponent, order=(np.sin, np.cos), t=t):
        angle = t[:, None] * 10000.0**-exponent
        return np.concatenate([f(angle) for f in order], axis=1)

    old = i / (half - 1)
    same(answer(t, 10), made(old), "the sinusoids", {
        "cosines first: in the first DDPM code the sines are first": made(old, (np.cos, np.sin)),
        "the exponent is i / (half - 1), not i / half: only one of the two changes was made": made(i / half),
        "nothing has changed: these are the chapter's own": made(i / half, (np.cos, np.sin)),
        "divided by half + 1; it is half - 1": made(i / (half + 1)),
        "i counts from 0, not from 1": made((i + 1) / (half - 1)),
        "sine and cosine take turns; here all the sines come first": _in_turns(made(old)),
        "the exponent is negative: the clocks get slower": made(-old),
        "the row's number was taken for its time": made(old, t=np.arange(4.0)),
    })


def tick(answer):
    t, half = np.array([12.0, 900.0, 3.0]), 3
    turn = 10000.0 ** (-np.arange(half) / half)

    def at(t, turn=turn):
        return np.concatenate([np.cos(t[:, None] * turn), np.sin(t[:, None] * turn)], axis=1)

    given, later = at(t), at(t + 1)
    cos, sin = given[:, :half], given[:, half:]
    same(answer(given), later, "the hands of t + 1", {
        "turned backwards: these are the hands of t - 1": at(t - 1),
        "every hand is turned by the same angle, 1; the i-th turns by 10000^(-i / half)": np.concatenate(
            [cos * np.cos(1) - sin * np.sin(1), sin * np.cos(1) + cos * np.sin(1)], axis=1),
        "a sign: cos(a + b) = cos a cos b - sin a sin b": np.concatenate(
            [cos * np.cos(turn) + sin * np.sin(turn), later[:, half:]], axis=1),
        "a sign: sin(a + b) = sin a cos b + cos a sin b": np.concatenate(
            [later[:, :half], sin * np.cos(turn) - cos * np.sin(turn)], axis=1),
        "sines and cosines have changed places: cosines are first": np.roll(later, half, axis=1),
        "nothing has moved": given,
        "the angle is added to the hands; hands are cosines and sines, so they are turned": given + np.tile(turn, 2),
        "these are the next row's hands; each row has a time that nobody knows": np.roll(given, -1, axis=0),
    })


def add_everywhere(answer):
    x, time, dy = _random((3, 4, 5, 2), (3, 2), (3, 4, 5, 2))
    y, back = parts(answer(x, time), "y", "back")
    same(y, x + time[:, None, None], "y", {
        "the first image's time everywhere": x + time[0],
        "the mean time of the batch everywhere; each image has its own": x + time.mean(axis=0),
        "the time is subtracted": x - time[:, None, None],
    })
    dx, dtime = parts(back(dy), "dx", "dtime")
    same(dx, dy, "dx", {"x goes straight through: its gradient is dy, whatever the time": dy + time[:, None, None]})
    same(dtime, dy.sum(axis=(1, 2)), "dtime", {
        "a mean over the pixels; what was copied to many places gets a sum": dy.mean(axis=(1, 2)),
        "summed over the batch too: each image has its own time": dy.sum(axis=(0, 1, 2)),
        "summed over the channels too: each channel has its own number": dy.sum(axis=(1, 2, 3)),
        "one pixel's gradient; what was copied to many places gets a sum": dy[:, 0, 0],
        "the shape of x; time is (B, C), so sum over the pixels": dy,
        "summed over the batch and broadcast: each image has its own time": np.broadcast_to(dy.sum(axis=(0, 1, 2)), (3, 2)),
    })


def scale_and_shift(answer):
    h, dy, s, b = _random((3, 4, 5, 2), (3, 4, 5, 2), (3, 2), (3, 2))
    S, B = s[:, None, None], b[:, None, None]
    y, back = parts(answer(h, s, b), "y", "back")
    same(y, h * (1 + S) + B, "y", {
        "the 1 is missing: s = 0 should change nothing": h * S + B,
        "the shift is scaled too; b is added last": (h + B) * (1 + S),
        "s and b have changed places": h * (1 + B) + S,
    })
    dh, ds, db = parts(back(dy), "dh", "ds", "db")
    same(dh, dy * (1 + S), "dh", {"the 1 is missing: h also goes straight through": dy * S, "the scale is missing": dy})
    same(ds, (dy * h).sum(axis=(1, 2)), "ds", {
        "h is missing: s multiplies it": dy.sum(axis=(1, 2)),
        "a mean over the pixels; it is a sum": (dy * h).mean(axis=(1, 2)),
        "h (1 + s) for h: s multiplies h alone": (dy * h * (1 + S)).sum(axis=(1, 2)),
        "y for h: s multiplies h alone": (dy * (h * (1 + S) + B)).sum(axis=(1, 2)),
        "summed over the batch too: each image has its own s": (dy * h).sum(axis=(0, 1, 2)),
        "this is dy h, not yet summed over the pixels": dy * h,
    })
    same(db, dy.sum(axis=(1, 2)), "db", {
        "a mean over the pixels; it is a sum": dy.mean(axis=(1, 2)),
        "b is not scaled: its gradient is the plain sum": (dy * (1 + S)).sum(axis=(1, 2)),
        "this is ds: the order is dh, ds, db": (dy * h).sum(axis=(1, 2)),
        "summed over the batch too: each image has its own b": dy.sum(axis=(0, 1, 2)),
    })


# ---- build it: any sinusoids, and the block of the diffusion models that beat GANs


def time_sinusoids(answer):
    t = np.array([0.0, 5.0, 333.0, 60.0])

    def made(dim, sines_first=False, shift=0.0, max_period=10000.0, t=t):
        half = dim // 2
        angle = t[:, None] * max_period ** (-np.arange(half) / (half - shift))
        halves = [np.sin(angle), np.cos(angle)] if sines_first else [np.cos(angle), np.sin(angle)]
        return np.concatenate(halves + [np.zeros((4, 1))] * (dim % 2), axis=1)

    same(answer(t, 8), made(8), "the sinusoids of dim 8", {
        "sines first; without sines_first the cosines are first": made(8, True),
        "divided by half - 1; with shift = 0 it is half": made(8, shift=1.0),
        "divided by dim; it is half of it": made(16)[:, [0, 1, 2, 3, 8, 9, 10, 11]],
        "cosine and sine take turns; here all the cosines come first": _in_turns(made(8)),
        "the row's number was taken for its time": made(8, t=np.arange(4.0)),
    })
    same(answer(t, 8, sines_first=True, shift=1.0), made(8, True, 1.0), "the sinusoids, sines_first and shift 1", {
        "cosines first: sines_first is not used": made(8, False, 1.0),
        "shift is not used": made(8, True),
        "shift is added to half; it is subtracted": made(8, True, -1.0),
        "neither sines_first nor shift is used": made(8),
    })
    same(answer(t, 6, max_period=100.0), made(6, max_period=100.0), "the sinusoids, max_period 100", {
        "max_period is not used: this is 10000": made(6),
    })
    same(answer(t, 7), made(7), "the sinusoids of dim 7", {
        "an odd dim gets a last column of zeros; it is missing": made(6),
        "the zeros are the last column, not the first": np.roll(made(7), 1, axis=1),
    })


def time_projection(answer):
    temb, w, b, dscale, dshift = _random((3, 4), (4, 10), (10,), (3, 5), (3, 5))
    (scale, shift), back = parts(answer(temb, w, b), "(scale, shift)", "back")
    a, back_silu = ops.silu(temb)
    right = a @ w + b
    mistakes = {"silu is missing: it comes before the linear layer": temb @ w + b, "the bias is missing": a @ w,
                "silu comes before the linear layer, not after it": ops.silu(temb @ w + b)[0]}  # fmt: skip
    first, second = slice(5), slice(5, None)
    for k, (got, name, half, other) in enumerate(((scale, "scale", first, second), (shift, "shift", second, first))):
        same(got, right[:, half], name, {
            **{sentence: value[:, half] for sentence, value in mistakes.items()},
            "scale and shift have changed places: the first half of the channels scales": right[:, other],
            "scale and shift take turns; the first half of the channels scales": right[:, k::2],
        })
    dtemb, dw, db = parts(back(dscale, dshift), "dtemb", "dw", "db")
    dy, swapped = (np.concatenate(pair, axis=1) for pair in ((dscale, dshift), (dshift, dscale)))
    only = np.concatenate([dscale, np.zeros_like(dshift)], axis=1)
    same(db, dy.sum(axis=0), "db", {
        "dscale and dshift have changed places": swapped.sum(axis=0),
        "a mean over the batch; it is a sum": dy.mean(axis=0),
        "dshift does not arrive: both halves carry a gradient": only.sum(axis=0),
        "not yet summed over the batch": dy,
    })
    same(dw, a.T @ dy, "dw", {
        "temb stands for silu(temb): the linear layer has seen the latter": temb.T @ dy,
        "this is dw of shape (2 C, D): it is transposed": dy.T @ a,
    })
    same(dtemb, back_silu(dy @ w.T), "dtemb", {
        "the way back through silu is missing": dy @ w.T,
        "dshift does not arrive: both halves carry a gradient": back_silu(only @ w.T),
    })


def residual_block(answer):
    x, temb, dy, w1, w2, ws, wt = _random((2, 4, 4, 4), (2, 3), (2, 4, 4, 4), (3, 3, 4, 4), (3, 3, 4, 4), (4, 4), (3, 8))
    norm1, norm2 = (_layer(ops.group_norm, np.full(4, scale), np.full(4, 0.1), 2) for scale in (1.0, 1.5))
    conv1, conv2, shortcut = *(_layer(ops.conv2d, w, np.zeros(4), padding=1) for w in (w1, w2)), _layer(ops.linear, ws, None)

    def project(temb):
        time = temb @ wt
        return (time[:, :4], time[:, 4:]), lambda ds, db: np.concatenate([ds, db], axis=1) @ wt.T

    a, back_norm1 = norm1(x)
    g, back_silu1 = ops.silu(a)
    h, back_conv1 = conv1(g)
    (s, b), back_project = project(temb)
    s, b = s[:, None, None], b[:, None, None]
    normed, back_norm2 = norm2(h)
    z, back_silu2 = ops.silu(normed * (1 + s) + b)
    out, back_conv2 = conv2(z)
    side, back_side = shortcut(x)

    def ends(z, silu=True):
        return conv2(ops.silu(z)[0] if silu else z)[0] + side

    y, back = parts(answer(x, temb, norm1, conv1, project, norm2, conv2, shortcut), "y", "back")
    same(y, out + side, "y", {
        "the input is not added at the end": out,
        "x itself is added; a shortcut that is given has to be used": out + x,
        "the 1 is missing: a scale of 0 should change nothing": ends(normed * s + b),
        "scale and shift have changed places": ends(normed * (1 + b) + s),
        "the time enters after the second norm, not before it": ends(norm2(h * (1 + s) + b)[0]),
        "the second silu is missing": ends(normed * (1 + s) + b, silu=False),
        "the second silu comes after the scale and shift": ends(ops.silu(normed)[0] * (1 + s) + b, silu=False),
        "the first silu is missing": ends(norm2(conv1(a)[0])[0] * (1 + s) + b),
        "only the shift arrives": ends(normed + b),
    })
    dx, dtemb = parts(back(dy), "dx", "dtemb")
    straight = back_conv2(dy)
    dz = back_silu2(straight)
    ds, db = (dz * normed).sum(axis=(1, 2)), dz.sum(axis=(1, 2))
    same(dtemb, back_project(ds, db), "dtemb", {
        "dscale and dshift have changed places": back_project(db, ds),
        "means over the pixels; what was used at many places gets a sum": back_project(ds / 16, db / 16),
        "the scale multiplies the normed h, so dscale has it as a factor": back_project(db, db),
        "the scale multiplies the normed h, not the h before the norm": back_project((dz * h).sum(axis=(1, 2)), db),
        "the way back through the second silu is missing": back_project(
            (straight * normed).sum(axis=(1, 2)), straight.sum(axis=(1, 2))),
    })

    def below(dnormed):
        return back_norm1(back_silu1(back_conv1(back_norm2(dnormed))))

    through, beside = below(dz * (1 + s)), back_side(dy)
    same(dx, through + beside, "dx", {
        "only the way through the convolutions; x is used a second time, in the shortcut": through,
        "only the way through the shortcut; x is used a second time, in the convolutions": beside,
        "dy itself is added; it has to go back through the shortcut": through + dy,
        "the factor 1 + scale is missing": below(dz) + beside,
        "the 1 of 1 + scale is missing": below(dz * s) + beside,
        "the way back through the first silu is missing": back_norm1(back_conv1(back_norm2(dz * (1 + s)))) + beside,
        "the way back through the second silu is missing": below(straight * (1 + s)) + beside,
    })


def _layer(op, *params, **options):
    """x -> y, back, with back(dy) -> dx alone."""

    def layer(x):
        y, back = op(x, *params, **options)
        return y, lambda dy: back(dy)[0]

    return layer


def _in_turns(halves):
    first, second = np.split(halves, 2, axis=1)
    return np.stack([first, second], axis=-1).reshape(halves.shape)


def _random(*shapes):
    rng = np.random.default_rng(15)
    return [rng.standard_normal(shape) for shape in shapes]
