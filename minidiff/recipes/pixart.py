"""Recipe `pixart`: a diffusion transformer on latents, trained by flow matching, with cross-attention to the caption's tokens.

Chen et al. 2023 (arXiv:2310.00426), in miniature; flow matching with logit-normal times is Esser et al. 2024
(arXiv:2403.03206). Autoencoder and text encoder are those of `stable_diffusion`.
"""

import numpy as np

from ..diffusion import Denoiser, Flow, SimpleLoss, cfg
from ..models import PixArt
from ..samplers import sample
from .autoencoder import AutoencoderStage
from .clip import FEATURES, ClipStage
from .stable_diffusion import LATENT, encode_text
from .stage import LOOK, CaptionedStage, Recipe

FLOW, PREDICTS, TIME_SCALE = Flow(), "velocity", 1000.0
SAMPLER, STEPS, GUIDANCE = "flow_midpoint", 8, 1.0


class TransformerStage(CaptionedStage):
    """Predicts the velocity of latents from the caption; a token of the transformer is a patch of 2 x 2 latents."""

    name = "transformer"
    steps = 6000
    options = {"batch_size": 32, "lr": 3e-3, "ema_decay": 0.998}

    def model(self, rng, parts):
        model = PixArt(num_attention_heads=4, attention_head_dim=28, in_channels=LATENT[2], out_channels=LATENT[2],
                       num_layers=4, sample_size=LATENT[0], patch_size=2, cross_attention_dim=FEATURES, rng=rng)  # fmt: skip
        model.null_context = encode_text(parts, [""])
        return model

    def objective(self, parts):
        return SimpleLoss(FLOW, PREDICTS, cond_dropout=0.1, t_sampler="logit_normal", time_scale=TIME_SCALE)

    def prepare(self, parts, images, ids):
        return parts["autoencoder"].to_latent(images), parts["clip"].text.words(ids)

    def sample(self, model, parts, rng):
        return draw({**parts, "transformer": model}, LOOK, GUIDANCE, rng)


def draw(parts, prompts, guidance, rng, steps=None, progress=False):
    """Sample images for prompts.   ->   float32 (n, 32, 32, 3)"""
    denoiser = cfg(Denoiser(parts["transformer"], FLOW, PREDICTS, time_scale=TIME_SCALE), encode_text(parts, prompts), guidance)
    latents = sample(SAMPLER, denoiser, (len(prompts), *LATENT), steps=steps or STEPS, rng=rng, progress=progress,
                     dtype=np.float32)  # fmt: skip
    return parts["autoencoder"].from_latent(latents).clip(-1, 1)


RECIPE = Recipe(
    "pixart",
    "a diffusion transformer on latents, trained by flow matching, with cross-attention on the tokens of a contrastive encoder",
    (ClipStage(), AutoencoderStage(), TransformerStage()),
    minutes=12.0,
    draw=draw,
    guidance=GUIDANCE,
)
