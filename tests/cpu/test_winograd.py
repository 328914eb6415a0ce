"""Winograd's convolution: the same in float64, and in float32 as near as its page says."""

import numpy as np
import pytest

from minidiff import cpu, ops
from minidiff.cpu import winograd
from minidiff.rng import Rng


def draw(seed, *shape, dtype=np.float32):
    return Rng(seed).standard_normal(shape, dtype=dtype)


def relative(got, want):
    return float(np.abs(got - want).max() / np.abs(want).max())


def case(B, H, W, C, O):
    return draw(1, B, H, W, C), draw(2, 3, 3, C, O) / (9 * C) ** 0.5, draw(3, O), draw(4, B, H, W, O)


@pytest.mark.parametrize(
    "shape", [(8, 8, 8, 32, 32), (3, 28, 28, 32, 48), (5, 7, 9, 64, 32), (1, 36, 20, 64, 64), (2, 4, 4, 128, 128)]
)
def test_float64_is_exact(shape):
    x, w, b, dy = (a.astype(np.float64) for a in case(*shape))
    pads, (_, H, W, _) = ((1, 1), (1, 1)), x.shape
    y, back = ops.conv2d.reference(x, w, b, 1, 1)
    assert relative(winograd.run(x, w, b, pads, H, W), y) < 1e-14
    for got, want in zip(winograd.gradients(x, w, dy, pads), back(dy), strict=True):
        assert relative(got, want) < 1e-13


def test_any_padding():
    x, w, b, _ = (a.astype(np.float64) for a in case(2, 9, 11, 8, 8))
    for pads in (((0, 0), (0, 0)), ((2, 1), (0, 3)), ((0, 1), (1, 2))):
        y, back = ops.conv2d.reference(x, w, b, 1, pads)
        dy = draw(5, *y.shape, dtype=np.float64)
        assert relative(winograd.run(x, w, b, pads, *y.shape[1:3]), y) < 1e-13
        for got, want in zip(winograd.gradients(x, w, dy, pads), back(dy), strict=True):
            assert relative(got, want) < 1e-13


@pytest.mark.parametrize("channels", [32, 128])
def test_float32_error_is_within_the_documented_bound(channels):
    """Largest error, as a share of the largest number: 4e-6. A direct sum in float32 has up to 1e-6 here."""
    x, w, b, dy = case(8, 16, 16, channels, channels)
    y, back = ops.conv2d.reference(*(a.astype(np.float64) for a in (x, w, b)), 1, 1)
    wanted = y, *back(dy.astype(np.float64))
    pads = ((1, 1), (1, 1))
    got = winograd.run(x, w, b, pads, 16, 16), *winograd.gradients(x, w, dy, pads)
    for a, b in zip(got, wanted, strict=True):
        assert a.dtype == np.float32 and relative(a, b) < 4e-6


def test_it_is_used_where_it_is_faster_and_can_be_disabled(monkeypatch):
    used = []
    run = winograd.run
    monkeypatch.setattr(winograd, "run", lambda *a: used.append(a[0].shape) or run(*a))
    x, w, _, _ = case(8, 16, 16, 64, 64)
    ops.conv2d(x, w, None, 1, 1)
    assert used == [x.shape]
    for small in ((x[:1, :4, :4].copy(), w), (x, w[:1, :1].copy()), (x[..., :3].copy(), w[:, :, :3].copy())):
        ops.conv2d(*small, None, 1, 1)  # few tiles, another kernel, few channels
    ops.conv2d(x, w, None, 2, 1)
    assert used == [x.shape]
    cpu.set_winograd(False)
    try:
        ops.conv2d(x, w, None, 1, 1)
    finally:
        cpu.set_winograd(True)
    assert used == [x.shape]


def test_winograd_needs_enough_tiles_and_channels():
    """As measured (benchmarks.cpu.crossover): even 32 tiles are too few for 32 channels, 16 for any number."""
    for batch, size in ((1, 4), (8, 4), (16, 4), (4, 8), (1, 16)):  # 1 to 16 tiles
        assert not any(winograd.pays(batch, size, size, 3, 3, C, C, 1) for C in (32, 64, 128, 256))
    assert not winograd.pays(8, 8, 8, 3, 3, 32, 32, 1)
    assert all(winograd.pays(8, 8, 8, 3, 3, C, C, 1) for C in (64, 128, 256)) and winograd.pays(32, 8, 8, 3, 3, 32, 32, 1)


def test_the_points_are_more_exact_than_those_of_textbooks():
    """With the points that textbooks take, 0 and +-1 and +-2, the same answer would be several times less exact."""
    x, w, _, _ = case(8, 16, 16, 64, 64)
    y, _ = ops.conv2d.reference(x.astype(np.float64), w.astype(np.float64), None, 1, 1)
    here = relative(winograd.run(x, w, None, ((1, 1), (1, 1)), 16, 16), y)
    at = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], np.float64)
    v = np.vander([0, 1, -1, 2, -2], 6, increasing=True).astype(np.float64)
    v = np.vstack([v, [0, 0, 0, 0, 0, 1]])
    g, bt = np.vstack([v[:5, :3], [0, 0, 1]]), np.linalg.inv(v).T
    kept = winograd._CAST
    textbook = np.kron(g, g), np.kron(bt, bt), np.hstack([np.kron(at, at), np.ones((16, 1))])
    try:
        winograd._CAST = {np.dtype(np.float32): tuple(m.astype(np.float32) for m in textbook)}
        there = relative(winograd.run(x, w, None, ((1, 1), (1, 1)), 16, 16), y)
    finally:
        winograd._CAST = kept
    assert there > 3 * here
