"""Whole steps of one U-Net beside diffusers' UNet2DModel with the same configuration and weights.

A training step is forward, mean squared error, backward, AdamW, and the moving average of the weights; a sampling step
is the net alone with gradients off, which is all that a sampler's step costs.
"""

from functools import cached_property

import numpy as np
import torch

from minidiff import models
from minidiff.interop.layout import to_torch
from minidiff.training import EMA, AdamW, DataParallel

from .ops import LAYOUTS, numbers, tensor
from .pairs import is_wanted, measure

SIZES, WIDTHS, BATCHES = (8, 16, 32), (32, 64, 128), (1, 8, 64, 128)
COMPILED = ((8, 32, 64), (16, 32, 16), (16, 64, 16), (32, 32, 8))  # size, width, batch of the steps beside torch.compile
LARGEST = 4e11  # multiplications and additions of a training step; beyond, only with --full


def rows(seconds, full=False):
    """Every row of the table, as it is measured."""
    for size in SIZES:
        for width in WIDTHS:
            for batch in BATCHES:
                if full or work(size, width, batch) < LARGEST:
                    yield from steps(size, width, batch, seconds)


def compiled_rows(seconds):
    """The steps of COMPILED beside torch.compile too, which takes about a minute for each."""
    for size, width, batch in COMPILED:
        yield from steps(size, width, batch, seconds, compiled=True)


def steps(size, width, batch, seconds, compiled=False):
    """Two rows: a training step and a sampling step."""
    name = f"{size}x{size}, width {width}, batch {batch}"
    if not is_wanted(f"training step {name}", f"sampling step {name}"):
        return
    ours, theirs = Ours(size, width, batch), {layout: Theirs(size, width, batch, memory) for layout, memory in LAYOUTS.items()}
    for peer in theirs.values():
        peer.take(ours)
    gap = np.abs(ours.sample() - theirs["nchw"].sample().numpy().transpose(0, 2, 3, 1)).max()
    assert gap < 1e-4, f"{name}: minidiff and diffusers differ by {gap:.1e}"
    shape = {"net": f"{size} x {size}, width {width}", "batch": batch}
    fast = None
    if compiled:
        fast = Theirs(size, width, batch, torch.contiguous_format)
        fast.take(ours)
        fast.model = torch.compile(fast.model)
    for group, what in (("training step", "train"), ("sampling step", "sample")):
        peers = {layout: getattr(peer, what) for layout, peer in theirs.items()}
        heading = f"{group}, compiled" if compiled else group
        yield measure(heading, f"{group} {name}", getattr(ours, what), peers, seconds, shape=shape,
                      compiled=fast and getattr(fast, what))  # fmt: skip


def options(size, width):
    """A U-Net of two resolutions with attention at the coarser, as the demo's; the same words on both sides."""
    return dict(
        sample_size=size, in_channels=3, out_channels=3, block_out_channels=(width, 2 * width), layers_per_block=1,
        norm_num_groups=8, attention_head_dim=32, down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip


def work(size, width, batch):
    """Roughly, the multiplications and additions of a training step."""
    return 3 * 2 * batch * size**2 * 9 * width**2 * 26


class Ours:
    """minidiff's side, as `minidiff train` and `minidiff sample` run it: a batch goes to as many processes as torch has
    threads, and a single picture goes through the net on as many threads."""

    def __init__(self, size, width, batch):
        self.model = DataParallel(models.UNet(**options(size, width), rng=0))
        self.x, self.target = numbers(batch, size, size, 3), numbers(batch, size, size, 3)
        self.inputs = self.x, np.arange(batch) * 997 % 1000

    @cached_property
    def optimizer(self):  # made by the first training step: where only samples are drawn, its moments take no memory
        return AdamW(self.model, lr=1e-4)

    @cached_property
    def ema(self):
        return EMA(self.optimizer.arena)

    def train(self):
        self.optimizer.zero_grad()
        y, back = self.model(*self.inputs)
        difference = y - self.target
        back(difference * np.float32(2 / difference.size))
        self.optimizer.step()
        self.ema.update()

    def sample(self):
        return self.model.predict(*self.inputs)


class Theirs:
    """diffusers' side, eager, with the optimizer and the average as they are mostly written."""

    def __init__(self, size, width, batch, memory):
        from diffusers import UNet2DModel

        self.memory, self.model = memory, UNet2DModel(**options(size, width)).to(memory_format=memory)
        self.shape = batch, 3, size, size
        self.x = torch.randn(self.shape).contiguous(memory_format=memory)
        self.target, self.t = torch.randn(self.shape).contiguous(memory_format=memory), torch.arange(batch) * 997 % 1000
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4)  # makes its moments in its first step

    @cached_property
    def average(self):
        return [p.detach().clone() for p in self.model.parameters()]

    def take(self, ours):
        """The same weights and the same images."""
        weights = to_torch(ours.model.module)
        self.model.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in weights.items()})
        self.x, self.target = (tensor(a, (0, 3, 1, 2), self.memory) for a in (ours.x, ours.target))

    def output(self):
        return self.model(self.x, self.t).sample

    def train(self):
        self.optimizer.zero_grad()
        torch.nn.functional.mse_loss(self.output(), self.target).backward()
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.average, list(self.model.parameters()), 0.001)

    def sample(self):
        with torch.no_grad():
            return self.output()
