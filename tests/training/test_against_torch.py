"""Twenty steps of training, ours and torch's, from the same weights, batches and noise: the same losses."""

import numpy as np
import pytest

from minidiff.diffusion import Schedule
from minidiff.models import UNet
from minidiff.ops import mse
from minidiff.rng import Rng
from minidiff.training import AdamW

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

CONFIG = dict(
    sample_size=8, in_channels=1, out_channels=1, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8,
    down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"), num_class_embeds=5,
)  # fmt: skip


def to_torch(array):
    return torch.tensor(np.ascontiguousarray(array.transpose(0, 3, 1, 2)))


def test_twenty_steps(outside):
    ours, theirs = UNet(**CONFIG, rng=3), diffusers.UNet2DModel(**CONFIG)
    with torch.no_grad():
        for name, p in theirs.named_parameters():
            w = ours.parameters()[name].value
            if w.ndim == 4:
                w = w.transpose(3, 2, 0, 1)
            elif w.ndim == 2 and name != "class_embedding.weight":
                w = w.T
            p.copy_(torch.tensor(np.ascontiguousarray(w)))
    schedule, rng = Schedule.linear(1000), Rng(0)
    images = rng.standard_normal((20, 8, 8, 8, 1)).clip(-1, 1)
    mine = AdamW(ours, lr=2e-3, weight_decay=0.01)
    peer = torch.optim.AdamW(theirs.parameters(), lr=2e-3, weight_decay=0.01)
    losses, expected = [], []
    for x0 in images:
        eps, t, labels = rng.standard_normal(x0.shape), rng.integers(0, 1000, 8), rng.integers(0, 5, 8)
        xt = schedule.add_noise(x0, eps, t)

        y, back = ours(xt, t, labels)
        loss, back_loss = mse(y, eps)
        mine.zero_grad()
        back(back_loss()[0])
        mine.step()
        losses.append(float(loss))

        loss = torch.nn.functional.mse_loss(theirs(to_torch(xt), torch.tensor(t), torch.tensor(labels)).sample, to_torch(eps))
        peer.zero_grad()
        loss.backward()
        peer.step()
        expected.append(loss.item())
    assert expected[-1] < expected[0]  # it learned something, so the optimizers did something
    outside(np.array(losses) / np.array(expected), np.ones(20), atol=1e-4)
