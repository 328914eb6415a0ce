"""Recipe `stable_diffusion`: diffusion in the latents of an autoencoder, with an eye on the words of a contrastive encoder.

Rombach et al. 2022 (arXiv:2112.10752), in miniature.
"""

import numpy as np

from ..data import tokenizer
from ..diffusion import Denoiser, Schedule, SimpleLoss, cfg
from ..models import UNet2DConditionModel
from ..samplers import sample
from .autoencoder import AutoencoderStage
from .clip import FEATURES, ClipStage
from .stage import LOOK, CaptionedStage, Recipe

LATENT = (8, 8, 4)
SCHEDULE, PREDICTS = Schedule.cosine(1000), "v"
STEPS, GUIDANCE = 16, 1.0


class LatentUNetStage(CaptionedStage):
    """Noise out of latents, with an eye on the caption where they are 4 x 4: there attention costs little."""

    name = "unet"
    steps = 10000
    options = {"batch_size": 24, "lr": 2e-3, "ema_decay": 0.998}

    def model(self, rng, parts):
        model = UNet2DConditionModel(
            sample_size=LATENT[0], in_channels=LATENT[2], out_channels=LATENT[2], block_out_channels=(48, 64),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            layers_per_block=1, norm_num_groups=8, attention_head_dim=4, cross_attention_dim=FEATURES, time_embedding_dim=64,
            rng=rng,
        )  # fmt: skip
        model.null_context = encode_text(parts, [""])
        return model

    def objective(self, parts):
        return SimpleLoss(SCHEDULE, PREDICTS, cond_dropout=0.1, t_sampler="stratified")

    def prepare(self, parts, images, ids):
        return parts["autoencoder"].to_latent(images), parts["clip"].text.words(ids)

    def sample(self, model, parts, rng):
        return draw({**parts, "unet": model}, LOOK, GUIDANCE, rng)


def encode_text(parts, texts):
    """The context of texts: what each token is and where (n, tokens, FEATURES), before the tokens are mixed.

    The mixed features know only the pairs of training, and a "red triangle" among them looks like some other red thing.
    """
    return parts["clip"].text.words(tokenizer.encode(texts))


def draw(parts, prompts, guidance, rng, steps=None, progress=False):
    """Pictures of prompts.   ->   float32 (n, 32, 32, 3)"""
    denoiser = cfg(Denoiser(parts["unet"], SCHEDULE, PREDICTS), encode_text(parts, prompts), guidance)
    latents = sample(
        "dpmpp_2m", denoiser, (len(prompts), *LATENT), steps=steps or STEPS, rng=rng, progress=progress, dtype=np.float32
    )
    return parts["autoencoder"].from_latent(latents).clip(-1, 1)


RECIPE = Recipe(
    "stable_diffusion",
    "diffusion in latents, with cross-attention on the words of a contrastive text encoder",
    (ClipStage(), AutoencoderStage(), LatentUNetStage()),
    minutes=28.0,
    draw=draw,
    guidance=GUIDANCE,
)
