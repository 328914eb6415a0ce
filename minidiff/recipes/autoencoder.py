"""Recipe `autoencoder`: maps images of 32 x 32 x 3 to latents of 8 x 8 x 4 and back, for latent diffusion."""

import math

import numpy as np

from .. import ops
from ..backend import to_device, to_numpy
from ..data import captioned_shapes
from ..models import AutoencoderKL
from ..rng import Rng, Stream
from ..training.losses import AutoencoderLoss
from .stage import Recipe, Stage

SIZE = 32


class FoldedAutoencoder(AutoencoderKL):
    """An AutoencoderKL on blocks of 2 x 2 pixels; convolutions at full size would take most of the time."""

    def encode(self, x):
        folded, back_fold = ops.space_to_depth(x)  # (B, H / 2, W / 2, 4 C)
        moments, back_encode = super().encode(folded)

        def back(dmoments):
            return back_fold(back_encode(dmoments))

        return moments, back

    def decode(self, z):
        folded, back_decode = super().decode(z)
        y, back_unfold = ops.depth_to_space(folded)

        def back(dy):
            return back_decode(back_unfold(dy))

        return y, back


class AutoencoderStage(Stage):
    """A small KL autoencoder; its latents are scaled to unit variance after training."""

    name = "autoencoder"
    steps = 1600
    options = {"batch_size": 8, "lr": 3e-3, "ema_decay": 0.995}

    def model(self, rng, parts):
        model = FoldedAutoencoder(
            in_channels=12, out_channels=12, down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2, block_out_channels=(32, 48), norm_num_groups=8, latent_channels=4,
            mid_block_add_attention=False, sample_size=SIZE, scaling_factor=1.0, rng=rng,
        )  # fmt: skip
        for param in model.parameters().values():
            if (
                param.value.ndim == 4
            ):  # from PyTorch's default to He et al. 2015 (arXiv:1502.01852): the model learns colours sooner
                param.value *= math.sqrt(6)
        model.quant_conv.bias.value[
            4:
        ] = -6  # the log-variance; noise of variance 1 would hide the signal at the start of training
        return model

    def objective(self, parts):
        return AutoencoderLoss()

    def examples(self, rng, n):
        return (captioned_shapes(n, SIZE, rng)[0],)

    def finish(self, model, parts):
        images = captioned_shapes(512, SIZE, Rng(0, Stream.PIXELS))[0]
        latents = model.to_latent(to_device(images, model.device))
        model.config["scaling_factor"] *= float(1 / latents.std())

    def sample(self, model, parts, rng):
        images, _ = captioned_shapes(16, SIZE, 0)
        return np.stack(pairs(images, to_numpy(model.predict(to_device(images, model.device)))))


def pairs(images, others):
    """Rows of 8 images of one batch, each above the same 8 of the other.   (16, H, W, C) each   ->   a list of 32"""
    rows = [batch[start : start + 8] for start in (0, 8) for batch in (images, others)]
    return [image for row in rows for image in row]


RECIPE = Recipe("autoencoder", "maps images to small latents and back", (AutoencoderStage(),), minutes=1.5)
