"""Small U-Nets that get the timestep in every block, in some blocks or in none, or the log-SNR in its place."""

import numpy as np

from ..backend import xp_of
from ..models import UNet
from ..nn import Layer
from ..rng import Rng, Stream

BLOCKS = 8  # of two convolutions each


class Mute(Layer):
    """The time projection of a block without a timestep: zeros.   temb (B, D) -> (B, channels)"""

    def __init__(self, channels):
        self.channels = channels

    def forward(self, temb):
        xp = xp_of(temb)
        return xp.zeros((len(temb), self.channels), temb.dtype), lambda dtime: xp.zeros_like(temb)


class TellLogSNR(Layer):
    """A network that gets the schedule's log-SNR, stretched to run from 0 to 999, in place of t."""

    def __init__(self, net, schedule, like=None):
        self.net, self.schedule = net, schedule
        self.span = [(like or schedule).log_snr(t) for t in (0, (like or schedule).T - 1)]

    def forward(self, x, t, cond=None):
        top, bottom = self.span
        log_snr = self.schedule.log_snr(np.full(len(x), t) if np.ndim(t) == 0 else t)
        return self.net(x, (999 * (top - log_snr) / (top - bottom)).clip(0, 999), cond)


def unet(seed, timed=range(BLOCKS), channels=16):
    """A U-Net without classes or attention, in which only the blocks with these numbers (in the order of use) get t."""
    net = UNet(in_channels=1, out_channels=1, block_out_channels=(channels, channels), layers_per_block=1, norm_num_groups=4,
               down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2, add_attention=False,
               rng=Rng(seed, Stream.WEIGHTS))  # fmt: skip
    blocks = [block for stage in (*net.down_blocks, net.mid_block, *net.up_blocks) for block in stage.resnets]
    assert len(blocks) == BLOCKS
    for number, block in enumerate(blocks):
        if number not in timed:
            block.time_emb_proj = Mute(channels)
    return net
