"""A small convolutional network from an image to one vector: the image side of the contrastive pair."""

from functools import partial

from ..nn import Conv2d, GroupNorm, Layer, Linear, chain
from ..rng import as_rng


class ImageEncoder(Layer):
    """x (B, sample_size, sample_size, in_channels)   ->   (B, features).   back(dy) -> dx

    Each stage is a 3x3 convolution that halves the image, a norm and an activation. The result is flattened and not
    averaged, because captions describe positions too.

    sample_size         height and width of the images, divisible by 2 for each stage
    block_out_channels  one stage for each
    """

    def __init__(self, sample_size=32, in_channels=3, block_out_channels=(32, 64, 96), features=64, norm_num_groups=8,
                 rng=None):  # fmt: skip
        self.config = dict(sample_size=sample_size, in_channels=in_channels, block_out_channels=block_out_channels,
                           features=features, norm_num_groups=norm_num_groups)  # fmt: skip
        if sample_size % 2 ** len(block_out_channels):
            raise ValueError(
                f"sample_size: got {sample_size}, expected a multiple of {2 ** len(block_out_channels)}, which "
                f"{len(block_out_channels)} stages can halve"
            )
        rng, before = as_rng(rng), in_channels
        self.convs, self.norms = [], []
        for channels in block_out_channels:
            self.convs.append(Conv2d(before, channels, 3, stride=2, padding=1, rng=rng))
            self.norms.append(GroupNorm(norm_num_groups, channels))
            before = channels
        side = sample_size // 2 ** len(block_out_channels)
        self.projection = Linear(side * side * before, features, rng=rng)

    def forward(self, x):
        size, channels = self.config["sample_size"], self.config["in_channels"]
        if x.shape[1:] != (size, size, channels):
            raise ValueError(f"ImageEncoder: x has shape {tuple(x.shape)}, expected (B, {size}, {size}, {channels})")
        stages = [(conv, partial(norm, silu=True)) for conv, norm in zip(self.convs, self.norms, strict=True)]
        h, back_stages = chain([part for stage in stages for part in stage], x)  # (B, H / 2^k, W / 2^k, C)
        y, back_projection = self.projection(h.reshape(len(x), -1))

        def back(dy):
            return back_stages(back_projection(dy).reshape(h.shape))

        return y, back
