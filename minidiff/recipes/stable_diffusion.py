"""Recipe `stable_diffusion`: latent diffusion, conditioned on the tokens of a contrastive text encoder.

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
    """Denoises latents conditioned on the caption; cross-attention only at 4 x 4, where it is cheap."""

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
    """The context of texts: embedding and position of each token (n, tokens, FEATURES), before self-attention mixes the tokens.

    Mixed features only represent pairs from training: an unseen "red triangle" comes out close to another red object.
    """
    return parts["clip"].text.words(tokenizer.encode(texts))


def draw(parts, prompts, guidance, rng, steps=None, progress=False):
    """Sample images for prompts.   ->   float32 (n, 32, 32, 3)"""
    denoiser = cfg(Denoiser(parts["unet"], SCHEDULE, PREDICTS), encode_text(parts, prompts), guidance)
    latents = sample(
        "dpmpp_2m", denoiser, (len(prompts), *LATENT), steps=steps or STEPS, rng=rng, progress=progress, dtype=np.float32
    )
    return parts["autoencoder"].from_latent(latents).clip(-1, 1)


RECIPE = Recipe(
    "stable_diffusion",
    "latent diffusion with cross-attention on the tokens of a contrastive text encoder",
    (ClipStage(), AutoencoderStage(), LatentUNetStage()),
    minutes=28.0,
    draw=draw,
    guidance=GUIDANCE,
)
