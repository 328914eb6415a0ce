"""A 3 x 3 convolution with a quarter of the multiplications: F(4 x 4, 3 x 3) of Lavin and Gray 2015 (arXiv:1509.09308).

Sixteen outputs of a 4 x 4 tile see 6 x 6 inputs. Seen as polynomials, that window and the kernel can be evaluated at 36
points, multiplied there (36 products instead of 144) and taken back. All three changes of basis are linear:

    y = A^T [ (G w G^T) * (B^T d B) ] A      d (6, 6) inputs, w (3, 3) kernel, y (4, 4) outputs

Laid out as (36, tiles, channels) each change of basis is one matrix product for all tiles and channels of a piece, and
so is the sum over channels at each point. Backward is the transpose of each of these products, in reverse order.

It costs accuracy, because large numbers are subtracted. The usual points 0, 1, -1, 2, -2 lose 40 times what a direct
sum loses; these here lose 8 times, and a matrix product does not care that they are not whole numbers.
"""

import os

import numpy as np

from ..thread_team import share
from .columns import padded
from .pieces import cut, even, is_lone, lanes
from .scratch import ones, scratch

POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)  # and infinity: the last row and column
PIECE = 128  # tiles a piece: enough rows for a quick product, few enough to stay in cache
POINTS_BYTES = 5 << 20  # that a piece's points may fill: fewer tiles for many channels, but 64 at least
FILTERS = 1 << 13  # filters that are taken to the points at once
SOME = 12  # of the 36 points, for which a kernel's gradient is worked out at once
LARGEST = 1024  # tiles an image may have on the way back, where images are taken whole

_allowed = os.environ.get("MINIDIFF_WINOGRAD", "1") != "0"


def set_winograd(allowed):
    """Whether convolutions may be computed this way; with False (or MINIDIFF_WINOGRAD=0) all are sums of direct products."""
    global _allowed
    _allowed = bool(allowed)


def _bases():
    """A^T (4, 6), G (6, 3), B^T (6, 6) for POINTS, in float64: Toom and Cook's product of polynomials, transposed."""

    def powers(n):
        return np.array([[p**k for k in range(n)] for p in POINTS] + [[0.0] * (n - 1) + [1.0]])

    return powers(4).T, powers(3), np.linalg.inv(powers(6)).T


_AT, _G, _BT = _bases()
_FILTER = np.kron(_G, _G)  # (36, 9)
_INPUT = np.kron(_BT, _BT)  # (36, 36)
_OUTPUT = np.hstack([np.kron(_AT, _AT), np.ones((16, 1))])  # (16, 37): the last column adds the bias to every pixel
_CAST = {d: tuple(m.astype(d) for m in (_FILTER, _INPUT, _OUTPUT)) for d in map(np.dtype, ("float32", "float64"))}


def pays(B, OH, OW, KH, KW, C, O, stride):
    """Whether it takes less time than a direct convolution.

    In multiplications of a direct one, as `python -m benchmarks.cpu.crossover` measures: a product at a point counts for 1.4 of
    them, so many small products being slower than a large one, a change of basis of images for 1.1, and of filters for 5,
    since that writes four times as much memory as it reads. With few tiles those are what most of the time goes to.
    """
    if not _allowed or not KH == KW == 3 or stride != 1:
        return False
    tiles = B * -(-OH // 4) * -(-OW // 4)
    here = tiles * (1.4 * 36 * C * O + 1.1 * (36 * 36 * C + 16 * 37 * O)) + 5 * 36 * 9 * C * O
    return here < B * OH * OW * 9 * C * O


def run(x, w, b, pads, OH, OW):
    """The forward pass.   x (B, H, W, C)   w (3, 3, C, O)   b (O,) or None   ->   y (B, OH, OW, O)"""
    B, O = x.shape[0], w.shape[3]
    th, tw = -(-OH // 4), -(-OW // 4)
    basis_w, basis_x, basis_y = _CAST[x.dtype]
    lone = is_lone(B * th * tw * 36 * w.shape[2] * O)
    kernel = _kernel(w, basis_w, lone)
    y, pieces = np.empty((B, OH, OW, O), x.dtype), _pieces(B, th, tw, 37 * max(w.shape[2:]) * x.itemsize, lone=lone)

    def forward(i):
        n0, n1, t0, t1 = pieces[i]
        n, T = n1 - n0, (n1 - n0) * (t1 - t0) * tw
        points = _to_points(x[n0:n1], t0, t1, tw, pads, basis_x)  # (36, T, C)
        products = scratch("winograd a", (37, T, O), x.dtype)  # where the windows were: they are not needed any more
        np.matmul(points, kernel, out=products[:36])
        products[36] = 0 if b is None else b
        tiles = scratch("winograd b", (16, T * O), x.dtype)
        np.matmul(basis_y, products.reshape(37, T * O), out=tiles)
        _from_tiles(tiles.reshape(4, 4, n, t1 - t0, tw, O), y[n0:n1, 4 * t0 : 4 * t1])

    share(forward, len(pieces), lone)
    return y


def gradients(x, w, dy, pads):
    """All gradients.   x (B, H, W, C)   w (3, 3, C, O)   dy (B, OH, OW, O)   ->   dx, dw, db"""
    (B, H, W, C), (_, OH, OW, O) = x.shape, dy.shape
    th, tw = -(-OH // 4), -(-OW // 4)
    basis_w, basis_x, basis_y = _CAST[x.dtype]
    kernel = _kernel(w, basis_w).transpose(0, 2, 1)
    (top, _), (left, _) = pads
    shares = lanes(_pieces(B, th, tw, 37 * max(C, O) * x.itemsize, bands=False), 36 * C * O * x.itemsize)
    dx, dws, dbs = np.empty_like(x), np.empty((len(shares), 9, C * O), x.dtype), np.empty((len(shares), O), x.dtype)

    def backward(lane):
        for k, (n0, n1, _, _) in enumerate(shares[lane]):
            n, T = n1 - n0, (n1 - n0) * th * tw
            tiles = _to_tiles(dy[n0:n1], th, tw)  # (16, T O)
            dproducts = scratch("winograd c", (37, T, O), x.dtype)
            np.matmul(basis_y.T, tiles, out=dproducts.reshape(37, T * O))
            points = _to_points(x[n0:n1], 0, th, tw, pads, basis_x).transpose(0, 2, 1)  # (36, C, T)
            _add_taps(points, dproducts[:36], basis_w, dws[lane], fresh=k == 0)
            if k == 0:
                np.matmul(ones(T, x.dtype), dproducts[36], out=dbs[lane])
            else:
                dbs[lane] += ones(T, x.dtype) @ dproducts[36]
            dpoints = scratch("winograd b", (36, T, C), x.dtype)
            np.matmul(dproducts[:36], kernel, out=dpoints)
            windows = scratch("winograd a", (36, T * C), x.dtype)
            np.matmul(basis_x.T, dpoints.reshape(36, T * C), out=windows)
            total = _add_windows(windows.reshape(6, 6, n, th, tw, C))
            dx[n0:n1] = total[:, top : top + H, left : left + W]

    share(backward, len(shares))
    for lane in range(1, len(shares)):  # always in this order
        dws[0] += dws[lane]
        dbs[0] += dbs[lane]
    return dx, dws[0].reshape(w.shape), dbs[0]


def _kernel(w, basis, lone=False):
    """The filters at the points.   w (3, 3, C, O)   ->   (36, C, O), this thread's until it asks again"""
    C, O = w.shape[2:]
    taps, points = w.reshape(9, C * O), scratch("winograd kernel", (36, C * O), w.dtype)
    parts = cut(C * O, C * O if lone else FILTERS)

    def part(i):
        columns = slice(*parts[i])
        np.matmul(basis, taps[:, columns], out=points[:, columns])

    share(part, len(parts), lone)
    return points.reshape(36, C, O)


def _add_taps(points, dproducts, basis, dw, fresh):
    """What the kernel saw, taken back from the points and added to dw unless that is fresh: some points at a time.

    points (36, C, T)   dproducts (36, T, O)   dw (9, C O)
    """
    C, O, numbers = points.shape[1], dproducts.shape[2], dw.shape[1]
    for first in range(0, 36, SOME):
        some = slice(first, first + SOME)
        dkernel = np.matmul(points[some], dproducts[some], out=scratch("winograd dkernel", (SOME, C, O), dw.dtype))
        dkernel = dkernel.reshape(SOME, numbers)
        for start, stop in cut(numbers, FILTERS):
            part = dw[:, start:stop]
            if fresh and first == 0:
                np.matmul(basis[some].T, dkernel[:, start:stop], out=part)
            else:
                part += np.matmul(basis[some].T, dkernel[:, start:stop], out=scratch("winograd dw", part.shape, dw.dtype))


def _pieces(B, th, tw, tile_bytes, bands=True, lone=False):
    """[(first image, last, first row of tiles, last)]: several whole images, or a band of one."""
    most = min(PIECE, max(64, POINTS_BYTES // tile_bytes))
    if not lone:
        most = min(most, max(8, -(-B * th * tw // 2)))  # at least two pieces, so that two threads have work
    each = even(B, most // (th * tw))
    if each > 1 or th * tw <= most or not bands:
        return [(n0, n1, 0, th) for n0, n1 in cut(B, each)]
    return [(n, n + 1, t0, t1) for n in range(B) for t0, t1 in cut(th, even(th, most // tw))]


def _to_points(x, t0, t1, tw, pads, basis):
    """B^T d B of every 6 x 6 window of rows t0 to t1 of tiles.   x (n, H, W, C)   ->   (36, tiles, C)"""
    n, _, W, C = x.shape
    (top, _), (left, _) = pads
    seen = padded(x, 4 * t0 - top, 4 * (t1 - t0) + 2, (left, 4 * tw + 2 - left - W))
    image, row, pixel, number = seen.strides
    shape = (6, 6, n, t1 - t0, tw, C)
    windows = scratch("winograd a", shape, x.dtype)
    windows[...] = np.ndarray(shape, x.dtype, seen, 0, (row, pixel, image, 4 * row, 4 * pixel, number))
    points = scratch("winograd b", (36, n * (t1 - t0) * tw, C), x.dtype)
    np.matmul(basis, windows.reshape(36, -1), out=points.reshape(36, -1))
    return points


def _from_tiles(tiles, y):
    """Puts 4 x 4 tiles side by side into y; what sticks out is dropped.   tiles (4, 4, n, th, tw, O)   y (n, H, W, O)"""
    _, _, n, th, tw, O = tiles.shape
    ordered = tiles.transpose(2, 3, 0, 4, 1, 5)
    if y.shape == (n, 4 * th, 4 * tw, O):
        y.reshape(n, th, 4, tw, 4, O)[...] = ordered
    else:
        whole = scratch("padded", (n, 4 * th, 4 * tw, O), y.dtype)
        whole.reshape(n, th, 4, tw, 4, O)[...] = ordered
        y[...] = whole[:, : y.shape[1], : y.shape[2]]


def _to_tiles(dy, th, tw):
    """The transpose of `_from_tiles`.   dy (n, H, W, O)   ->   (16, tiles O)"""
    n, _, W, O = dy.shape
    whole = padded(dy, 0, 4 * th, (0, 4 * tw - W))
    tiles = scratch("winograd a", (4, 4, n, th, tw, O), dy.dtype)
    tiles[...] = whole.reshape(n, th, 4, tw, 4, O).transpose(2, 4, 0, 1, 3, 5)
    return tiles.reshape(16, -1)


def _add_windows(windows):
    """Windows laid where they came from, summed where they overlap.   (6, 6, n, th, tw, C)   ->   (n, 4 th + 2, 4 tw + 2, C)

    A window is the tile's own 4 rows and 2 of the next one's, and so in columns: four pieces, none of which overlaps itself.
    """
    _, _, n, th, tw, C = windows.shape
    total = scratch("padded", (n, 4 * th + 2, 4 * tw + 2, C), windows.dtype)
    total[:, 4 * th :] = 0
    total[:, :, 4 * tw :] = 0
    image, row, pixel, number = total.strides
    for u, rows in ((0, 4), (4, 2)):
        for v, cols in ((0, 4), (4, 2)):
            shape, strides = (rows, cols, n, th, tw, C), (row, pixel, image, 4 * row, 4 * pixel, number)
            place = np.ndarray(shape, total.dtype, total, u * row + v * pixel, strides)
            if u == v == 0:
                place[...] = windows[:4, :4]
            else:
                place += windows[u : u + rows, v : v + cols]
    return total
