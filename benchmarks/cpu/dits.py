"""Whole steps of diffusion transformers beside the same model in plain PyTorch and diffusers' DiTTransformer2DModel.

The row is measured against the faster of the two, whose name stands beside the time. Steps are those of `steps`.
"""

import numpy as np
import torch

from minidiff import models
from minidiff.interop.layout import to_torch
from minidiff.rng import Rng
from minidiff.training import DataParallel

from . import steps
from .ops import numbers, tensor
from .pairs import is_wanted, measure
from .torch_dit import PlainDiT

IMAGES = {2: (32, 3), 4: (28, 1)}  # patch: size and channels: 256 and 49 tokens
SHAPES = [(4, 96, 4, 128)] + [  # patch, width, depth, batch; the last takes minutes and runs only with --full
    (patch, width, depth, batch) for patch in (4, 2) for width, depth in ((128, 4), (256, 6)) for batch in (8, 64)
]
HEADS, CLASSES = 4, 10


def rows(seconds, full=False):
    """Every row of the table, as it is measured: two for each of SHAPES."""
    for patch, width, depth, batch in SHAPES if full else SHAPES[:-1]:
        size = IMAGES[patch][0]
        net = f"{size} x {size}, patch {patch}, width {width}, depth {depth}"
        name = f"DiT {size}x{size}, patch {patch}, width {width}, depth {depth}, batch {batch}"
        if not is_wanted(f"training step {name}", f"sampling step {name}"):
            continue
        ours = Ours(patch, width, depth, batch)
        peers = {"plain": Plain(ours), "diffusers": Diffusers(ours)}
        for peer, theirs in peers.items():
            gap = np.abs(ours.sample() - theirs.images()).max() / np.abs(ours.sample()).max()
            assert gap < 1e-4, f"{name}: minidiff and {peer} differ by {gap:.1e}"
        for step, what in (("training step", "train"), ("sampling step", "sample")):
            programs = {peer: getattr(theirs, what) for peer, theirs in peers.items()}
            yield measure(f"DiT {step}", f"{step} {name}", getattr(ours, what), programs, seconds,
                          shape={"net": net, "batch": batch})  # fmt: skip


class Ours(steps.Ours):
    """minidiff's side. What adaLN-Zero starts at zero is random here, so that outputs can be compared."""

    def __init__(self, patch, width, depth, batch):
        size, channels = IMAGES[patch]
        self.config = dict(num_attention_heads=HEADS, attention_head_dim=width // HEADS, in_channels=channels, num_layers=depth,
                           sample_size=size, patch_size=patch, num_embeds_ada_norm=CLASSES)  # fmt: skip
        model, rng = models.DiT(**self.config, rng=0), Rng(1)
        for param in model.parameters().values():
            if not param.value.any():
                param.value[...] = rng.standard_normal(param.shape, np.float32) * np.float32(0.05)
        self.model = DataParallel(model)
        self.x, self.target = numbers(batch, size, size, channels), numbers(batch, size, size, channels)
        self.inputs = self.x, np.arange(batch) * 997 % 1000, np.arange(batch) % CLASSES


class Plain(steps.Theirs):
    """The same model in plain PyTorch, with images channels last."""

    axes = (0, 1, 2, 3)

    def __init__(self, ours):
        self.model = self.made(ours)
        self.x, self.target = tensor(ours.x, self.axes), tensor(ours.target, self.axes)
        self.time, self.label = map(torch.from_numpy, ours.inputs[1:])
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4)

    def made(self, ours):
        return PlainDiT(ours.model.module)

    def output(self):
        return self.model(self.x, self.time, self.label)

    def images(self):
        """The output, channels last."""
        return self.sample().numpy().transpose(np.argsort(self.axes))


class Diffusers(Plain):
    """diffusers' model. In evaluation mode it drops no labels; nothing else depends on the mode."""

    axes = (0, 3, 1, 2)

    def made(self, ours):
        from diffusers import DiTTransformer2DModel

        model = DiTTransformer2DModel(**ours.config).eval()
        weights = {name: torch.from_numpy(value.copy()) for name, value in to_torch(ours.model.module).items()}
        model.load_state_dict(weights, strict=False)  # minidiff computes the table of positions
        return model

    def output(self):
        return self.model(self.x, self.time, class_labels=self.label).sample
