"""A small convolutional net from a picture to one vector: the image side of the contrastive pair."""

from ..nn import Conv2d, GroupNorm, Layer, Linear
from ..rng import as_rng


class ImageEncoder(Layer):
    """x (B, sample_size, sample_size, in_channels)   ->   (B, features).   back(dy) -> dx

    Each stage is a 3x3 convolution that halves the picture, a norm and an activation. What is left is flattened and not
    averaged, because where a thing is belongs to what captions say.

    sample_size         height and width of the pictures, divisible by 2 for each stage
    block_out_channels  one stage for each
    """

    def __init__(self, sample_size=32, in_channels=3, block_out_channels=(32, 64, 96), features=64, norm_num_groups=8,
                 rng=None):  # fmt: skip
        self.config = {name: value for name, value in locals().items() if name not in ("self", "rng")}
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
        h, backs = x, []
        for conv, norm in zip(self.convs, self.norms, strict=True):
            h, back_conv = conv(h)  # (B, H / 2, W / 2, C)
            h, back_norm = norm(h, silu=True)
            backs += [back_conv, back_norm]
        shape = h.shape
        y, back_projection = self.projection(h.reshape(len(x), -1))

        def back(dy):
            dh = back_projection(dy).reshape(shape)
            for back_layer in reversed(backs):
                dh = back_layer(dh)
            return dh

        return y, back
