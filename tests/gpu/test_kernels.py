"""Every kernel equals the plain op, which works in float64 here, on random odd shapes; and nothing waits for the device."""

import numpy as np
import pytest

from minidiff import gpu, nn, ops
from minidiff.gpu.optimizer import Update
from minidiff.gpu.source import KERNELS, source
from minidiff.models.resnet import ResnetBlock2D
from minidiff.ops.dispatch import has_fast_version
from minidiff.rng import Rng
from minidiff.settings import plain
from minidiff.training.adamw import AdamW, clip_grad_norm
from minidiff.training.arena import Arena
from minidiff.training.ema import EMA

CLOSE = dict(rtol=2e-5, atol=2e-5)


def _floats(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def _same(ours, plain_ones, **tolerance):
    ours, plain_ones = ((z,) if not isinstance(z, tuple) else z for z in (ours, plain_ones))
    for a, b in zip(ours, plain_ones, strict=True):
        assert a.dtype == np.float32 and a.shape == b.shape and not isinstance(a, np.ndarray)
        np.testing.assert_allclose(a.get(), b, **(tolerance or CLOSE))


def _check(xp, op, arrays, rng, *options, **named):
    """Forward and backward of op on the device against the reference in float64."""
    up = [xp.asarray(a) for a in arrays]
    y, back = op(*up, *options, **named)
    with plain():
        y64, back64 = op(*(a.astype(np.float64) for a in arrays), *options, **named)
    dy = _floats(rng, *y64.shape)
    _same(y, y64)
    _same(back(xp.asarray(dy)), back64(dy.astype(np.float64)))


def _took_the_kernel(op, *args, **named):
    """That dispatch really ran the room's function: the reference would give another `back`."""
    _, back = op(*args, **named)
    assert back.__module__.startswith("minidiff.gpu"), back.__module__


@pytest.mark.parametrize("op", [ops.group_norm, ops.group_norm_silu], ids=["norm", "norm_silu"])
@pytest.mark.parametrize(
    "shape, groups", [((2, 5, 3, 12), 4), ((3, 7, 6), 6), ((1, 1, 1, 35), 5), ((2, 9, 130), 2), ((4, 6), 2)]
)
def test_group_norm(xp, rng, op, shape, groups):
    C = shape[-1]
    x, gamma, beta = 3 + 2 * _floats(rng, *shape), _floats(rng, C), _floats(rng, C)
    _check(xp, op, (x, gamma, beta), rng, groups)
    _took_the_kernel(op, *map(xp.asarray, (x, gamma, beta)), groups)


@pytest.mark.parametrize("shape, groups", [((2, 5, 3, 12), 4), ((3, 7, 6), 3), ((2, 9, 130), 2)])
def test_group_norm_with_a_time(xp, rng, shape, groups):
    (B, *_, C), x = shape, 3 + 2 * _floats(rng, *shape)
    _check(xp, lambda x, gamma, beta, temb: ops.group_norm_silu(x, gamma, beta, groups, temb=temb),
           (x, _floats(rng, C), _floats(rng, C), 2 * _floats(rng, B, C)), rng)  # fmt: skip
    arrays = map(xp.asarray, (x, _floats(rng, C), _floats(rng, C)))
    _took_the_kernel(ops.group_norm_silu, *arrays, groups, temb=xp.asarray(_floats(rng, B, C)))
    with pytest.raises(ValueError, match="temb"):
        ops.group_norm_silu(*map(xp.asarray, (x, x[0, 0], x[0, 0])), 1, temb=xp.asarray(_floats(rng, B, C + 1)))


def test_group_norm_in_wide_spans(xp, rng, monkeypatch):
    monkeypatch.setattr("minidiff.gpu.norm.BLOCKS", 1)
    _check(xp, ops.group_norm_silu, (_floats(rng, 2, 6, 96), _floats(rng, 96), _floats(rng, 96)), rng, 24)


def test_group_norm_far_from_zero(xp, rng):
    """The variance is taken around the mean: E[x^2] - E[x]^2 would have no right digit here."""
    x = 1000 + _floats(rng, 2, 16, 8)
    y, _ = ops.group_norm(*map(xp.asarray, (x, np.ones(8, np.float32), np.zeros(8, np.float32))), 2)
    expected, _ = ops.group_norm.reference(x.astype(np.float64), np.ones(8), np.zeros(8), 2)
    np.testing.assert_allclose(y.get(), expected, atol=1e-3)


def test_silu_of_large_numbers(xp):
    x = np.array([[-200.0, -90.0, 90.0, 200.0]], np.float32)
    y, back = ops.group_norm_silu(*map(xp.asarray, (x, np.full(4, 1e3, np.float32), np.zeros(4, np.float32))), 1)
    dx = back(xp.asarray(np.ones_like(x)))[0].get()
    assert np.isfinite(y.get()).all() and np.isfinite(dx).all() and y.get()[0, 0] == 0


def test_a_residual_block_runs_on_the_fused_norm(xp, monkeypatch):
    """Models do not know of the GPU: the op that adds the time in front of the norm finds the kernel by the array."""
    entered, fused = [], gpu.group_norm_silu

    def noted(x, gamma, beta, groups, eps, temb=None):
        answer = fused(x, gamma, beta, groups, eps, temb)
        if temb is not None and answer is not NotImplemented:
            entered.append(temb.shape)
        return answer

    monkeypatch.setattr(gpu, "group_norm_silu", noted)
    monkeypatch.setattr(ops, "group_norm_silu", has_fast_version(ops.group_norm_silu.check)(ops.group_norm_silu.reference))
    block = ResnetBlock2D(4, 8, 3, groups=2, rng=0).to("cuda")
    x, temb = (xp.asarray(Rng(i).standard_normal(shape)) for i, shape in enumerate([(2, 4, 4, 4), (2, 3)]))
    _, back = block(x, temb)
    back(xp.asarray(Rng(3).standard_normal((2, 4, 4, 8))))
    assert entered == [(2, 8)]


CONVOLUTIONS = [
    ((2, 5, 4, 3), (3, 3, 3, 4), 1, 1),
    ((1, 6, 7, 2), (3, 3, 2, 5), 2, 1),
    ((2, 4, 4, 5), (1, 1, 5, 3), 1, 0),
    ((1, 8, 6, 2), (3, 3, 2, 2), 2, ((0, 1), (0, 1))),
    ((2, 7, 5, 1), (2, 3, 1, 2), 3, ((2, 0), (1, 2))),
    ((1, 3, 3, 300), (3, 3, 300, 2), 1, 1),
]


@pytest.mark.parametrize("shape, wshape, stride, padding", CONVOLUTIONS)
def test_conv2d(xp, rng, shape, wshape, stride, padding):
    arrays = _floats(rng, *shape), _floats(rng, *wshape) / 4, _floats(rng, wshape[-1])
    _check(xp, ops.conv2d, arrays, rng, stride, padding)
    _check(xp, ops.conv2d, arrays[:2], rng, None, stride, padding)
    _took_the_kernel(ops.conv2d, *map(xp.asarray, arrays), stride, padding)


def test_linear(xp, rng):
    arrays = _floats(rng, 2, 3, 5), _floats(rng, 5, 7), _floats(rng, 7)
    _check(xp, ops.linear, arrays, rng)
    _check(xp, ops.linear, arrays[:2], rng)
    _took_the_kernel(ops.linear, *map(xp.asarray, arrays))


@pytest.mark.parametrize("shape", [(2, 5, 12), (3, 2, 9, 70), (1, 40, 33), (4, 2), (2, 1, 1)])
def test_modulate(xp, rng, shape):
    B, D = shape[0], shape[-1]
    arrays = 3 + 2 * _floats(rng, *shape), _floats(rng, B, D), _floats(rng, B, D)
    _check(xp, ops.modulate, arrays, rng, 1e-2)
    _took_the_kernel(ops.modulate, *map(xp.asarray, arrays))
    with pytest.raises(ValueError, match="shift"):
        ops.modulate(*map(xp.asarray, (arrays[0], arrays[1][:, 1:], arrays[2])))


def test_modulate_far_from_zero(xp, rng):
    """The variance is taken around the mean."""
    x, zeros = 1000 + _floats(rng, 2, 3, 64), np.zeros((2, 64), np.float32)
    y, _ = ops.modulate(*map(xp.asarray, (x, zeros, zeros)))
    expected, _ = ops.modulate.reference(*(a.astype(np.float64) for a in (x, zeros, zeros)))
    np.testing.assert_allclose(y.get(), expected, atol=1e-3)


@pytest.mark.parametrize("N, M, D, E, heads", [(5, 5, 4, 4, 1), (3, 70, 6, 10, 2), (9, 1, 8, 8, 4)])
def test_attention(xp, rng, N, M, D, E, heads):
    arrays = 3 * _floats(rng, 2, N, D), _floats(rng, 2, M, D), _floats(rng, 2, M, E)
    _check(xp, ops.attention, arrays, rng, heads)
    _check(xp, ops.attention, arrays, rng, heads, scale=0.7)
    _took_the_kernel(ops.attention, *map(xp.asarray, arrays), heads)
    mask = rng.random((2, 1, N, M)) < 0.5
    mask[..., 0] = True  # a query needs something to look at
    for part in (mask, mask[:1, :, :1], mask[0, 0]):
        _check(xp, ops.attention, arrays, rng, heads, mask=part)
    _took_the_kernel(ops.attention, *map(xp.asarray, arrays), heads, mask=mask)


@pytest.mark.parametrize("shape, rows, features", [((7,), 3, 5), ((2, 6), 4, 130), ((1,), 1, 1), ((40,), 2, 3)])
def test_embedding(xp, rng, shape, rows, features):
    table, index = _floats(rng, rows, features), rng.integers(0, rows, shape)
    y, back = ops.embedding(xp.asarray(table), xp.asarray(index))
    y64, back64 = ops.embedding.reference(table.astype(np.float64), index)
    dy = _floats(rng, *y64.shape)
    _same((y, back(xp.asarray(dy))), (y64, back64(dy.astype(np.float64))))
    assert back.__module__ == "minidiff.gpu.embedding"


def test_unsupported_arguments_run_the_reference(xp, rng):
    x, c = xp.asarray(rng.standard_normal((2, 3, 4))), xp.ones(4)
    _, back = ops.group_norm(x, c, c, 2)  # float64
    assert back.__module__ == "minidiff.ops.norm"
    with pytest.raises(ValueError, match="groups is 3"):
        ops.group_norm(x.astype(np.float32), c.astype(np.float32), c.astype(np.float32), 3)
    with plain():
        _, back = ops.linear(xp.zeros((2, 3), np.float32), xp.zeros((3, 2), np.float32))
    assert back.__module__ == "minidiff.ops.linear"


@pytest.mark.parametrize("seed, stream, step, n", [(0, 0, 0, 1), (2**64 - 1, 7, 812, 1001), (5, 2**32 - 1, 2**32 - 1, 514)])
def test_random_numbers_are_those_of_rng(xp, seed, stream, step, n):
    ours, numpys = Rng(seed, stream, step, xp), Rng(seed, stream, step)
    for _ in range(2):  # a second call draws on
        np.testing.assert_array_equal(ours.random((n,)).get(), numpys.random((n,)))
        np.testing.assert_allclose(ours.standard_normal((n, 1)).get(), numpys.standard_normal((n, 1)), rtol=3e-6, atol=2e-6)
    np.testing.assert_array_equal(ours.random(n, np.float64).get(), numpys.random(n, np.float64))
    np.testing.assert_array_equal(ours.integers(3, 90, n).get(), numpys.integers(3, 90, n))
    np.testing.assert_array_equal(ours.bits(n).get(), numpys.bits(n))
    np.testing.assert_array_equal(ours.permutation(n).get(), numpys.permutation(n))
    np.testing.assert_allclose(ours.standard_normal(n, np.float64).get(), numpys.standard_normal(n, np.float64), rtol=1e-12)
    np.testing.assert_array_equal(ours.at(step=3).random(5).get(), numpys.at(step=3).random(5))


KNOWN = [  # Random123 (Salmon et al. 2011), kat_vectors: philox4x32, 10 rounds. counter, key -> words
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0),
     (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
]  # fmt: skip
BLOCK = """
extern "C" __global__ void block(unsigned* out, unsigned a, unsigned b, unsigned c, unsigned d, unsigned k, unsigned l) {
  uint4 words = philox(make_uint4(a, b, c, d), k, l);
  out[0] = words.x, out[1] = words.y, out[2] = words.z, out[3] = words.w;
}
"""


@pytest.mark.parametrize("counter, key, words", KNOWN)
def test_philox_against_its_published_known_answers(xp, counter, key, words, outside):
    out = xp.zeros(4, np.uint32)
    xp.RawKernel(source("philox.cu") + BLOCK, "block")((1,), (1,), (out, *map(np.uint32, (*counter, *key))))
    outside(out.get(), words, atol=0)


def test_the_first_words_of_seed_0(xp, outside):
    outside(Rng(0, xp=xp).bits(4).get(), KNOWN[0][2], atol=0)


def test_a_clock_moves_the_random_numbers(xp):
    clock = xp.zeros(1, np.uint32)
    ours = Rng(9, 1, 5, xp, clock)
    clock += 36
    for draw in (
        lambda r: r.random(8),
        lambda r: r.random(3, np.float64),
        lambda r: r.bits(5),
        lambda r: r.integers(9, size=4),
    ):
        np.testing.assert_array_equal(draw(ours.at()).get(), draw(Rng(9, 1, 41)))


def _training_state(xp, rng, sizes=((3, 5), (70,), (1,))):
    params = {f"p{i}": nn.Param(xp.asarray(_floats(rng, *s))) for i, s in enumerate(sizes)}
    arena = Arena(params)
    return arena, AdamW(arena, 1e-2, weight_decay=0.1), EMA(arena, 0.99)


@pytest.mark.parametrize("max_norm", [None, 0.5, 1e9])
@pytest.mark.parametrize("with_ema", [True, False])
def test_update_is_clip_adamw_and_ema(xp, max_norm, with_ema):
    ours, plain_one = (_training_state(m, np.random.default_rng(3)) for m in (xp, np))
    rates = [1e-2, 3e-3, 0.0, 1e-3]
    update = Update(ours[1], ours[2] if with_ema else None, rates, max_norm)
    rng = np.random.default_rng(4)
    for i, lr in enumerate(rates):
        g = _floats(rng, plain_one[0].size)
        ours[0].grads[...] = xp.asarray(g)
        plain_one[0].grads[...] = g
        norm = clip_grad_norm(plain_one[0], max_norm)
        plain_one[1].step(lr)
        plain_one[2].update()
        update(xp.full(1, i, np.float32))
        np.testing.assert_allclose(update.log.get()[i % 2], [i, norm], rtol=1e-6)
        if i == 1:
            update = Update(ours[1], ours[2] if with_ema else None, rates[2:], max_norm)
    for a, b in ((ours[0].values, plain_one[0].values), (ours[1].m, plain_one[1].m), (ours[1].v, plain_one[1].v)):
        np.testing.assert_allclose(a.get(), b, rtol=1e-5, atol=1e-7)
    if with_ema:
        np.testing.assert_allclose(ours[2].average.get(), plain_one[2].average, rtol=1e-5, atol=1e-7)
        assert ours[2].n == plain_one[2].n
    assert ours[1].t == plain_one[1].t
    with pytest.raises(RuntimeError, match="all 2 steps"):
        update()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_clipping_leaves_a_bad_norm_alone(xp, rng, bad):
    arena, optimizer, _ = _training_state(xp, rng)
    arena.grads[...] = xp.asarray(np.full(arena.size, bad, np.float32))
    update = Update(optimizer, None, [0.1], 1.0)
    update()
    assert not np.isfinite(update.norm.get()[0]) and update.scale.get()[0] == 1


def test_every_kernel_is_named_once():
    found = {
        name for file in set(KERNELS.values()) for name in KERNELS if f" {name}(" in source(file) and KERNELS[name] == file
    }
    assert found == set(KERNELS)
    assert sum(source(file).count('extern "C"') for file in set(KERNELS.values())) == len(KERNELS)
