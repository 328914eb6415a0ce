"""The small run that the tests of whole steps take."""

import numpy as np

from minidiff.diffusion import Schedule, SimpleLoss
from minidiff.models import UNet
from minidiff.rng import Rng
from minidiff.training import Trainer

SMALL = dict(in_channels=1, out_channels=1, block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=2,
             attention_head_dim=4, num_class_embeds=3, null_class=2)  # fmt: skip


def trainer(xp, objective=None, dtype=np.float32, **options):
    """A Trainer of a small conditional U-Net with dropout, on xp's device, with everything switched on."""
    net = UNet(**SMALL, dropout=0.1, rng=0).astype(dtype)
    images, labels = Rng(1).standard_normal((12, 4, 4, 1), np.float32), np.arange(12) % 2
    if xp is not np:
        net = net.to("cuda")
    options = dict(steps=12, batch_size=4, lr=3e-3, warmup=2, seed=3) | options
    return Trainer(net, objective or SimpleLoss(Schedule.linear(20)), images, labels, **options)
