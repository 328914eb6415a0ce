"""Recipe `autoencoder`: pictures of 32 x 32 x 3 to latents of 8 x 8 x 4 and back, for latent diffusion."""

from ..data import captioned_shapes
from ..models import AutoencoderKL
from ..rng import Rng
from ..training.autoencoder_loss import AutoencoderLoss
from .stage import Recipe, Stage

SIZE = 32


class AutoencoderStage(Stage):
    """A small KL autoencoder; afterwards its latents are scaled to unit variance."""

    name = "autoencoder"
    steps = 1500
    options = {"batch_size": 32, "lr": 2e-3}

    def model(self, rng, parts):
        return AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
            block_out_channels=(16, 32, 48), norm_num_groups=8, latent_channels=4, mid_block_add_attention=False,
            sample_size=SIZE, scaling_factor=1.0, rng=rng,
        )  # fmt: skip

    def objective(self, parts):
        return AutoencoderLoss()

    def batch(self, rng, n, parts):
        return captioned_shapes(n, SIZE, rng)[0], None

    def finish(self, model, parts):
        latents = model.to_latent(captioned_shapes(512, SIZE, Rng(0, stream=5))[0])
        model.config["scaling_factor"] *= float(1 / latents.std())

    def sample(self, model, parts, rng):
        images, _ = captioned_shapes(16, SIZE, rng)
        return pairs(images, model.predict(images))


def pairs(images, others):
    """Two batches in turns, 8 of one in a row above 8 of the other.   (16, H, W, C) each   ->   (32, H, W, C)"""
    rows = [batch[start : start + 8] for start in (0, 8) for batch in (images, others)]
    return [image for row in rows for image in row]


RECIPE = Recipe("autoencoder", "pictures to small latents and back", (AutoencoderStage(),), minutes=5.0)
