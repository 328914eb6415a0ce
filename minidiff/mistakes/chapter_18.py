"""Chapter 18, the diffusion transformer: known mistakes in patches, positions, modulation, gates and the block."""

import numpy as np

from .. import ops
from ..grading import parts, same


def patches(answer):
    x = np.arange(96.0).reshape(2, 4, 6, 2)
    cut = x.reshape(2, 2, 2, 3, 2, 2)  # B, H / 2, 2, W / 2, 2, C

    def rows(*axes):
        return cut.transpose(axes).reshape(2, 6, 8)

    y, back = parts(answer(x, 2), "y", "back")
    same(y, rows(0, 1, 3, 2, 4, 5), "y", {
        "pieces of rows, not squares: swap the row within a patch and the column of patches before the last reshape":
            x.reshape(2, 6, 8),
        "the patches run down the columns; they run along the rows": rows(0, 3, 1, 2, 4, 5),
        "the pixels of a patch run down its columns; they run along its rows": rows(0, 1, 3, 4, 2, 5),
        "the channels come first within a patch; a pixel's channels stay together": rows(0, 1, 3, 5, 2, 4),
        "pixels from all over the image: a patch is made of neighbours": np.stack(
            [x[:, i::2, j::3] for i in range(2) for j in range(3)], axis=1).reshape(2, 6, 8),
        "the patches still stand in rows and columns; make one row of N of them":
            rows(0, 1, 3, 2, 4, 5).reshape(2, 2, 3, 8),
        "the mean of each patch; all its numbers are kept": cut.mean(axis=(2, 4)).reshape(2, 6, 2),
    })
    dy = np.arange(96.0).reshape(2, 6, 8) ** 2
    grid = dy.reshape(2, 2, 3, 2, 2, 2)
    same(back(dy), grid.transpose(0, 1, 3, 2, 4, 5).reshape(x.shape), "dx", {
        "dy in the shape of x; each number has to go back to the pixel that it came from": dy.reshape(x.shape),
        "dx has the shape of dy, expected the shape of x": dy,
        "the pixels of a patch are swapped: its rows became columns": grid.transpose(0, 1, 4, 2, 3, 5).reshape(x.shape),
        "the numbers are scattered: axes are (B, rows, columns, row within, column within, C)":
            dy.reshape(2, 2, 2, 3, 2, 2).transpose(0, 1, 3, 2, 4, 5).reshape(x.shape),
    })


def positions(answer):
    rows, columns, features = 2, 3, 8

    def along(n, width=4):
        return ops.timestep_embedding(np.arange(n), width, downscale_freq_shift=0, dtype=np.float64)

    def both(first, second):
        return np.concatenate([first, second], axis=-1)

    i, j = np.arange(6) // 3, np.arange(6) % 3
    row, column = along(rows)[i], along(columns)[j]
    same(answer(rows, columns, features), both(column, row), "the positions of 2 x 3 patches", {
        "the first half holds the row; it holds the column, as in DiT": both(row, column),
        "the patches are listed column by column; they run along the rows": both(
            along(columns)[np.arange(6) // 2], along(rows)[np.arange(6) % 2]),
        "row and column are added; each takes half of the features": along(rows, 8)[i] + along(columns, 8)[j],
        "the patches are numbered along one line; row and column are two positions": along(6, 8),
        "only the column, twice; the second half holds the row": both(column, column),
        "only the row, twice; the first half holds the column": both(row, row),
        "still (rows, columns, features); make one row of N patches": both(column, row).reshape(2, 3, 8),
        "rows and columns have changed places: this is for 3 x 2 patches": both(
            along(2)[np.arange(6) % 2], along(3)[np.arange(6) // 2]),
    }, rtol=1e-5, atol=1e-6)


def multiplications(answer):
    for pixels, size, features in ((16, 4, 10), (8, 2, 3)):
        side, D = pixels // size, features
        n = side**2
        same(answer(pixels, size, features), 12 * n * D**2 + 2 * n**2 * D, f"multiplications({pixels}, {size}, {features})", {
            "N is the patches along one side; it is their number, a square": 12 * side * D**2 + 2 * side**2 * D,
            "N is the number of pixels; it is the number of patches": 12 * pixels**2 * D**2 + 2 * pixels**4 * D,
            "attention has two products of N x N x D: scores, and weights by values": 12 * n * D**2 + n**2 * D,
            "attention between all pairs of patches is missing": 12 * n * D**2,
            "the four linear layers of attention are missing": 8 * n * D**2 + 2 * n**2 * D,
            "attention has four linear layers: q, k, v and the output": 11 * n * D**2 + 2 * n**2 * D,
            "the scores cost N^2 D, not N^2": 12 * n * D**2 + 2 * n**2,
            "a linear layer costs D^2 for each patch, not D": 12 * n * D + 2 * n**2 * D,
            "a linear layer works on every patch: N D^2, not D^2": 12 * D**2 + 2 * n**2 * D,
            "additions count too; asked are the multiplications alone": 2 * (12 * n * D**2 + 2 * n**2 * D),
        })


# ---- build it: scale and shift after a norm, a gate, a whole block


def scale_shift(answer):
    x, shift, scale, dy = _random((2, 3, 4), (2, 4), (2, 4), (2, 3, 4))
    s, a = shift[:, None], scale[:, None]
    centred = x - x.mean(axis=-1, keepdims=True)
    rstd = 1 / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-6)
    xhat = centred * rstd
    y, back = parts(answer(x, shift, scale), "y", "back")

    def normed(axis):
        return (x - x.mean(axis=axis, keepdims=True)) / np.sqrt(x.var(axis=axis, keepdims=True) + 1e-6) * (1 + a) + s

    same(y, xhat * (1 + a) + s, "y", {
        "xhat is multiplied by scale; it is 1 + scale, so that a scale of 0 changes nothing": xhat * a + s,
        "shift and scale have changed places": xhat * (1 + s) + a,
        "shift is missing": xhat * (1 + a),
        "scale is missing": xhat + s,
        "shift is scaled too; first scale, then shift": (xhat + s) * (1 + a),
        "the norm is missing": x * (1 + a) + s,
        "the mean is not taken away": x * rstd * (1 + a) + s,
        "divided by the variance; it is its root, the deviation": centred * rstd**2 * (1 + a) + s,
        "normalised over the tokens; each token is normalised over its features": normed(1),
        "normalised over the whole image; each token is normalised over its features": normed((1, 2)),
        "the variance divides by D - 1; the norm divides by D":
            centred / np.sqrt(x.var(axis=-1, keepdims=True, ddof=1) + 1e-6) * (1 + a) + s,
        "1e-6 is added to the deviation; it is added to the variance, below the root":
            centred / (np.sqrt(x.var(axis=-1, keepdims=True)) + 1e-6) * (1 + a) + s,
        "normalised after scale and shift; it comes before": _normed(x * (1 + a) + s),
        "shift and scale of the first image for all; each image has its own": xhat * (1 + a[:1]) + s[:1],
    })
    dx, dshift, dscale = parts(back(dy), "dx", "dshift", "dscale")
    dxhat = dy * (1 + a)
    through_mean = dxhat.mean(axis=-1, keepdims=True)
    through_std = xhat * (dxhat * xhat).mean(axis=-1, keepdims=True)

    def whole(d):
        return rstd * (d - d.mean(axis=-1, keepdims=True) - xhat * (d * xhat).mean(axis=-1, keepdims=True))

    same(dx, rstd * (dxhat - through_mean - through_std), "dx", {
        "the term through the mean is missing": rstd * (dxhat - through_std),
        "the term through the deviation is missing": rstd * (dxhat - through_mean),
        "mean and deviation depend on x too: two terms are missing": rstd * dxhat,
        "1 + scale is missing: dxhat is dy (1 + scale)": whole(dy),
        "dxhat is dy times scale; it is dy (1 + scale)": whole(dy * a),
        "it is not divided by the deviation: the factor rstd is missing": dxhat - through_mean - through_std,
        "sums over the features; the two terms have means": rstd * (dxhat - 4 * through_mean - 4 * through_std),
        "dy is normalised in place of x": _normed(dxhat),
    })
    same(dshift, dy.sum(axis=1), "dshift", {
        "a mean over the tokens; the gradients add up": dy.mean(axis=1),
        "summed over the batch; each image has its own shift": dy.sum(axis=0),
        "summed over the batch too; each image has its own shift": dy.sum(axis=(0, 1)),
        "not summed: all tokens of an image have one shift": dy,
        "summed over the features; each feature has its own shift": dy.sum(axis=2),
        "this is dscale: the order is dx, dshift, dscale": (dy * xhat).sum(axis=1),
    })
    same(dscale, (dy * xhat).sum(axis=1), "dscale", {
        "dy is multiplied by x; scale multiplies xhat": (dy * x).sum(axis=1),
        "dy is multiplied by y; scale multiplies xhat": (dy * (xhat * (1 + a) + s)).sum(axis=1),
        "a mean over the tokens; the gradients add up": (dy * xhat).mean(axis=1),
        "summed over the batch too; each image has its own scale": (dy * xhat).sum(axis=(0, 1)),
        "not summed: all tokens of an image have one scale": dy * xhat,
        "scale itself multiplies it; the derivative of xhat (1 + scale) is xhat": (dy * xhat * (1 + a)).sum(axis=1),
        "xhat is missing": dy.sum(axis=1),
    })


def gated(answer):
    x, h, gate, dy = _random((2, 3, 4), (2, 3, 4), (2, 4), (2, 3, 4))
    g = gate[:, None]
    y, back = parts(answer(x, h, gate), "y", "back")
    same(y, x + g * h, "y", {
        "the gate is on the skip connection; it belongs to h": g * x + h,
        "the gate is on the sum; it belongs to h alone": g * (x + h),
        "the skip connection is missing": g * h,
        "the gate is missing": x + h,
        "1 + gate: an untrained gate, 0, has to be closed": x + (1 + g) * h,
        "a mixture of the two; x always passes whole": (1 - g) * x + g * h,
        "the first image's gate for all; each image has its own": x + g[:1] * h,
    })
    dx, dh, dgate = parts(back(dy), "dx", "dh", "dgate")
    same(dx, dy, "dx", {
        "the gate is not on this way: x passes whole": g * dy,
        "this is dh added to dx; h is another argument": dy + g * dy,
    })
    same(dh, g * dy, "dh", {
        "the gate is missing": dy,
        "dh is dy times gate, not times h": dy * h,
        "the first image's gate for all; each image has its own": g[:1] * dy,
    })
    same(dgate, (dy * h).sum(axis=1), "dgate", {
        "not summed: all tokens of an image have one gate": dy * h,
        "a mean over the tokens; the gradients add up": (dy * h).mean(axis=1),
        "h is missing": dy.sum(axis=1),
        "multiplied by x; the gate multiplies h": (dy * x).sum(axis=1),
        "multiplied by y; the gate multiplies h": (dy * (x + g * h)).sum(axis=1),
        "multiplied by the gate; the derivative of gate h by the gate is h": (dy * g * h).sum(axis=1),
        "summed over the batch too; each image has its own gate": (dy * h).sum(axis=(0, 1)),
        "summed over the features; each feature has its own gate": (dy * h).sum(axis=2),
    })


def block(answer):
    x, c, w, b, u, v, dy = _random((2, 3, 4), (2, 4), (4, 24), (24,), (4, 4), (4, 4), (2, 3, 4))
    attend, feed = _mixing(u), _mixing(v, False)

    def walk(order=(0, 1, 2, 3, 4, 5), silu=True, beside=False, plain=False):
        s, back_silu = ops.silu(c) if silu else (c, lambda d: d)
        six, back_six = ops.linear(s, w, b)
        p = np.split(six, 6, axis=1)
        shift, scale, gate, shift_ff, scale_ff, gate_ff = (p[k] for k in order)
        h, back_norm = ops.modulate(x, shift, scale)
        h, back_attend = attend(h)
        z, back_sum = ops.gated_add(x, h, gate)
        h, back_norm_ff = ops.modulate(x if beside else z, shift_ff, scale_ff)
        h, back_feed = feed(z if plain else h)
        y, back_sum_ff = ops.gated_add(z, h, gate_ff)

        def back(dy, skip=1, skip_ff=1, way=1, way_ff=1, slope=True):
            dskip, dh, dgate_ff = back_sum_ff(dy)
            dx, dshift_ff, dscale_ff = back_norm_ff(back_feed(dh))
            dz = skip_ff * dskip + way_ff * dx
            dskip, dh, dgate = back_sum(dz)
            dx, dshift, dscale = back_norm(back_attend(dh))
            ds, dw, db = back_six(np.concatenate([dshift, dscale, dgate, dshift_ff, dscale_ff, dgate_ff], axis=1))
            return skip * dskip + way * dx, back_silu(ds) if slope else ds, dw, db

        return y, back

    y, back = parts(answer(x, c, w, b, attend, feed), "y", "back")
    right, back_right = walk()
    same(y, right, "y", {
        "silu is missing: the six vectors are linear in silu(c)": walk(silu=False)[0],
        "scale and shift have changed places; shift comes first": walk(order=(1, 0, 2, 4, 3, 5))[0],
        "the gates come first; the order is shift, scale, gate, twice": walk(order=(1, 2, 0, 4, 5, 3))[0],
        "the first three vectors serve both layers; feed has its own three": walk(order=(0, 1, 2, 0, 1, 2))[0],
        "feed's norm takes the shift and scale of attend's; it has its own": walk(order=(0, 1, 2, 0, 1, 5))[0],
        "the last three vectors belong to feed, the first three to attend": walk(order=(3, 4, 5, 0, 1, 2))[0],
        "feed gets the norm of the block's input; it comes after attention's sum": walk(beside=True)[0],
        "feed gets its input without norm, scale and shift": walk(plain=True)[0],
    })
    dx, dc, dw, db = parts(back(dy), "dx", "dc", "dw", "db")
    same(dx, back_right(dy)[0], "dx", {
        "the skip connection around attend is missing: two ways lead to x": back_right(dy, skip=0)[0],
        "the way through attend is missing: two ways lead to x": back_right(dy, way=0)[0],
        "the skip connection around feed is missing: two ways lead to its input": back_right(dy, skip_ff=0)[0],
        "the way through feed is missing: two ways lead to its input": back_right(dy, way_ff=0)[0],
    })
    right, attends = back_right(dy)[2], np.arange(24) < 12
    same(dw, right, "dw", {
        "only the three vectors of attend; all six have gradients": np.where(attends, right, 0),
        "only the three vectors of feed; all six have gradients": np.where(attends, 0, right),
        "the six gradients stand in another order than the six vectors: shift comes before scale":
            right.reshape(4, 6, 4)[:, [1, 0, 2, 4, 3, 5]].reshape(4, 24),
        "those of feed come first; the order is that of the six vectors": np.roll(right, 12, axis=1),
    })
    same(db, back_right(dy)[3], "db", {"a mean over the batch; the gradients add up": back_right(dy)[3] / 2})
    same(dc, back_right(dy)[1], "dc", {"the slope of silu is missing": back_right(dy, slope=False)[1]})


def _mixing(w, across=True):
    """h -> silu(h w), with each token's neighbour added if `across`; back(dy) -> dh"""

    def layer(h):
        z, back_silu = ops.silu((h + np.roll(h, 1, axis=1) if across else h) @ w)

        def back(dz):
            d = back_silu(dz) @ w.T
            return d + np.roll(d, -1, axis=1) if across else d

        return z, back

    return layer


def _normed(x):
    return (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-6)


def _random(*shapes):
    rng = np.random.default_rng(18)
    return [rng.standard_normal(shape) for shape in shapes]
