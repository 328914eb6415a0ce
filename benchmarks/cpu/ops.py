"""Each op of our U-Nets, forward and forward + backward, beside torch's; and AdamW."""

import numpy as np
import torch
import torch.nn.functional as F

import minidiff
from minidiff import ops
from minidiff.nn import Param
from minidiff.training import AdamW

from .floors import bytes_floor, product_floor
from .pairs import is_wanted, measure

IMAGE, KERNEL, MATRIX = (0, 3, 1, 2), (3, 2, 0, 1), (1, 0)  # where our axes are in torch
LAYOUTS = {"nchw": torch.contiguous_format, "nhwc": torch.channels_last}
SHAPES = [  # batch, size, channels: what the nets of the demo, of MNIST, CIFAR-10 and larger ones are made of
    (64, 8, 32), (64, 4, 64), (1, 8, 64), (32, 16, 32), (32, 16, 64), (32, 8, 128), (16, 32, 32), (8, 32, 64), (8, 32, 128),
    (8, 16, 128), (1, 32, 128),
]  # fmt: skip


def rows(seconds):
    """Every row of the table, as it is measured."""
    for shape in SHAPES:
        yield from convolution(*shape, shape[2], seconds=seconds)
    yield from convolution(64, 8, 96, 32, seconds=seconds)
    yield from convolution(64, 8, 64, 64, kernel=1, seconds=seconds)
    yield from convolution(64, 8, 32, 32, stride=2, seconds=seconds)
    for shape in SHAPES:
        yield from group_norm_silu(*shape, seconds=seconds)
    for batch, pixels, channels in ((64, 16, 64), (16, 64, 64), (8, 256, 64), (4, 1024, 128)):
        yield from attention(batch, pixels, channels, seconds=seconds)
    for rows_, i, o in ((64, 128, 128), (4096, 64, 64), (4096, 128, 512)):
        yield from linear(rows_, i, o, seconds=seconds)
    for shape in ((64, 4, 64), (8, 16, 128)):
        yield from upsample(*shape, seconds=seconds)
    for size in (500_000, 9_000_000):
        yield adamw(size, seconds)


def convolution(B, H, C, O, kernel=3, stride=1, seconds=1.5):
    x, w, b = numbers(B, H, H, C), numbers(kernel, kernel, C, O) / (kernel * C**0.5), numbers(O)
    pad, name = kernel // 2, f"conv2d {B}x{H}x{H} {C}->{O} {kernel}x{kernel}" + (f" stride {stride}" if stride > 1 else "")

    def theirs(x, w, b):
        return F.conv2d(x, w, b, stride=stride, padding=pad)

    floor = product_floor(B * (H // stride) ** 2, kernel * kernel * C, O)
    yield from both("conv2d", name, lambda x, w, b: ops.conv2d(x, w, b, stride, pad), theirs, (x, w, b),
                    (IMAGE, KERNEL, None, IMAGE), seconds, floor)  # fmt: skip


def group_norm_silu(B, H, C, seconds):
    x, gamma, beta, groups = numbers(B, H, H, C), numbers(C), numbers(C), 8

    def theirs(x, gamma, beta):
        return F.silu(F.group_norm(x, groups, gamma, beta))

    floor = bytes_floor(x.nbytes, x.nbytes)
    yield from both("group norm + silu", f"group norm + silu {B}x{H}x{H} {C}",
                    lambda *a: ops.group_norm_silu(*a, groups), theirs, (x, gamma, beta), (IMAGE, None, None, IMAGE),
                    seconds, floor)  # fmt: skip


def attention(B, N, C, seconds):
    q, k, v = numbers(B, N, C), numbers(B, N, C), numbers(B, N, C)
    heads = C // 32

    def theirs(q, k, v):
        q, k, v = (z.view(B, N, heads, C // heads).transpose(1, 2) for z in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(B, N, C)

    yield from both("attention", f"attention {B}x{N} {C}, {heads} heads", lambda *a: ops.attention(*a, heads), theirs,
                    (q, k, v), (None,) * 4, seconds)  # fmt: skip


def linear(R, I, O, seconds):
    x, w, b = numbers(R, I), numbers(I, O), numbers(O)
    yield from both("linear", f"linear {R}x{I}->{O}", ops.linear, F.linear, (x, w, b), (None, MATRIX, None, None),
                    seconds, product_floor(R, I, O))  # fmt: skip


def upsample(B, H, C, seconds):
    x = numbers(B, H, H, C)
    yield from both("upsample", f"upsample {B}x{H}x{H} {C}", ops.upsample_nearest, lambda x: F.interpolate(x, scale_factor=2.0),
                    (x,), (IMAGE, IMAGE), seconds, bytes_floor(x.nbytes, 4 * x.nbytes))  # fmt: skip


def adamw(size, seconds, parameters=60):
    """One step on so many numbers in 60 arrays; theirs as it comes, `torch.optim.AdamW(parameters)`."""
    each = size // parameters
    ours = AdamW({str(i): Param(numbers(each)) for i in range(parameters)})
    ours.arena.grads[:] = numbers(ours.arena.size)
    weights = [torch.nn.Parameter(torch.randn(each)) for _ in range(parameters)]
    for w in weights:
        w.grad = torch.randn(each)
    return measure("adamw", f"AdamW {size / 1e6:g} M", ours.step, {"as is": torch.optim.AdamW(weights).step}, seconds,
                   floor=bytes_floor(16 * size, 12 * size))  # fmt: skip


def both(group, name, ours, theirs, arrays, axes, seconds, floor=None):
    """Two rows: forward, and forward + backward to every argument. Both sides get the same numbers.

    arrays: ours; axes: for each, the order of its axes in torch, with the answer's at the end (None: as ours)
    """
    if not is_wanted(name, name + ", + backward"):
        return
    y, _ = ours(*arrays)
    dy = numbers(*y.shape)
    forward, backward = {}, {}
    for layout, memory in LAYOUTS.items() if arrays[0].ndim == 4 else [("as is", None)]:
        tensors = [tensor(a, order, memory).requires_grad_() for a, order in zip(arrays, axes[:-1], strict=True)]
        dyt = tensor(dy, axes[-1], memory)
        gap = (theirs(*tensors).detach() - tensor(y, axes[-1], memory)).abs().max() / np.abs(y).max()
        assert gap < 2e-5, f"{name}: minidiff and torch differ by {gap:.1e}"
        forward[layout] = lambda tensors=tensors: _no_grad(theirs, tensors)
        backward[layout] = lambda tensors=tensors, dyt=dyt: torch.autograd.grad(theirs(*tensors), tensors, dyt)
    yield measure(group, name, lambda: ours(*arrays), forward, seconds, floor=floor)
    yield measure(group, name + ", + backward", lambda: ours(*arrays)[1](dy), backward, seconds,
                  floor=floor and (lambda: (floor(), floor(), floor())))  # fmt: skip


def _no_grad(theirs, tensors):
    with torch.no_grad():
        return theirs(*tensors)


_rng = np.random.default_rng(0)


def numbers(*shape):
    return _rng.standard_normal(shape, dtype=np.float32)


def tensor(array, order=None, memory=None):
    """The same numbers as torch lays them out."""
    array = np.ascontiguousarray(array if order is None else array.transpose(order))
    held = torch.from_numpy(array.copy())
    return held.contiguous(memory_format=memory) if memory and held.ndim == 4 else held


def set_threads(n):
    """The same number for both."""
    minidiff.set_threads(n)
    torch.set_num_threads(n)
