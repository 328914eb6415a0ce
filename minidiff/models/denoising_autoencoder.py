"""A denoising autoencoder: predicts the clean image in one evaluation, at any noise level. Vincent et al. 2008.

A baseline older than diffusion: it has no t and takes no steps.
"""

from .. import ops
from ..nn import Conv2d, GroupNorm, Layer, chain
from ..rng import as_rng


class DenoisingAutoencoder(Layer):
    """x (B, H, W, channels)   ->   y of x's shape, H and W even.   back(dy) -> dx

    width   features at full size; twice as many at half size, where most of the work is done
    """

    def __init__(self, channels=1, width=48, groups=8, rng=None):
        rng = as_rng(rng)
        self.config = dict(channels=channels, width=width, groups=groups)
        self.first = _block(channels, width, groups, rng)
        self.middle = [part for c in (width, 2 * width, 2 * width) for part in _block(c, 2 * width, groups, rng)]
        self.last = [*_block(3 * width, width, groups, rng), Conv2d(width, channels, 3, padding=1, rng=rng)]

    def forward(self, x):
        if x.ndim != 4 or x.shape[1] % 2 or x.shape[2] % 2:
            raise ValueError(f"DenoisingAutoencoder: x has shape {tuple(x.shape)}, expected (B, H, W, C) with H and W even")
        fine, back_first = chain(self.first, x)  # (B, H, W, width)
        h, back_pool = ops.avg_pool(fine)
        h, back_middle = chain(self.middle, h)  # (B, H / 2, W / 2, 2 width)
        h, back_up = ops.upsample_nearest(h)
        h, back_concat = ops.concat([h, fine])
        y, back_last = chain(self.last, h)

        def back(dy):
            dh, dfine = back_concat(back_last(dy))
            dfine = dfine + back_pool(back_middle(back_up(dh)))  # fine went across and down: two terms
            return back_first(dfine)

        return y, back


def _block(i, o, groups, rng):
    return [Conv2d(i, o, 3, padding=1, rng=rng), GroupNorm(groups, o), ops.silu]
