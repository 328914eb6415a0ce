"""Recipe `imagen`: a text encoder trained on text alone, a base model for small images, and an upsampler.

Saharia et al. 2022 (arXiv:2205.11487), in miniature.
"""

import numpy as np

from ..backend import to_device, xp_of
from ..data import captioned_shapes, tokenizer
from ..diffusion import CascadeLoss, Denoiser, Schedule, SimpleLoss, cfg, dynamic_threshold, noised_low
from ..models import LowResolution, SuperResolutionUNet, TextCondition, TextUNet
from ..ops import avg_pool
from ..samplers import sample
from .language import FEATURES, LanguageStage
from .stage import LOOK, CaptionedStage, Recipe

SMALL, SIZE = 16, 32
SCHEDULE, PREDICTS = Schedule.cosine(1000), "v"
STEPS, UP_STEPS, GUIDANCE = 16, 8, 1.0
LEVEL = 100  # noise added to the small images before upsampling: a tenth of the schedule
QUANTILE = 0.9  # of the dynamic threshold. The paper's 0.995 is for photographs; here it would turn the white background grey
BLOCKS = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "attention_head_dim": 4,
    "time_embedding_dim": 64,
}


class BaseStage(CaptionedStage):
    """Denoises 16 x 16 images conditioned on the caption."""

    name = "base"
    size = SMALL
    steps = 11000
    options = {"batch_size": 24, "lr": 2e-3, "ema_decay": 0.998}

    def model(self, rng, parts):
        return TextUNet("cross", context_features=FEATURES, patch=2, block_out_channels=(48, 64), rng=rng, **BLOCKS)

    def objective(self, parts):
        return SimpleLoss(SCHEDULE, PREDICTS, cond_dropout=0.1, t_sampler="stratified")

    def prepare(self, parts, images, ids):
        return images, encode_ids(parts, ids)

    def sample(self, model, parts, rng):
        return draw_small({**parts, "base": model}, LOOK, GUIDANCE, rng)


class UpsamplerStage(CaptionedStage):
    """Denoises 32 x 32 images conditioned on the noised small image and on the caption.

    A block of 4 x 4 pixels has 48 values of noise, too many for 32 channels; the image itself has fewer degrees of freedom.
    So this model predicts x0.
    """

    name = "upsampler"
    steps = 3000
    options = {"batch_size": 24, "lr": 2e-3, "ema_decay": 0.998}

    def model(self, rng, parts):
        return SuperResolutionUNet(context_features=FEATURES, patch=4, block_out_channels=(32, 32), rng=rng, **BLOCKS)

    def objective(self, parts):
        return CascadeLoss(SCHEDULE, "x0", highest=0.4, cond_dropout=0.1, t_sampler="stratified")

    def prepare(self, parts, images, ids):
        context, mask, _ = encode_ids(parts, ids)
        level = xp_of(images).zeros(len(images), np.int64)
        return images, LowResolution(avg_pool(images, SIZE // SMALL)[0], level, context, mask)

    def sample(self, model, parts, rng):
        images, captions = captioned_shapes(len(LOOK), SMALL, 0)
        return enlarge({**parts, "upsampler": model}, to_device(images, model.device), captions, rng)


def encode_text(parts, texts):
    """The text conditioning: embedding and position of each token (n, tokens, FEATURES), and the mean of the mixed tokens.

    The models here attend to the words, as those of `stable_diffusion` do, and for the same reason. The mean serves models
    that add their conditioning.
    """
    return encode_ids(parts, tokenizer.encode(texts))


def encode_ids(parts, ids):
    """`encode_text` of token ids (n, tokens)."""
    encoder = parts["language"].encoder
    return TextCondition(encoder.words(ids), None, encoder.predict(ids)[1])


def draw_small(parts, prompts, guidance, rng, steps=None, progress=False):
    """Sample small images for prompts.   ->   float32 (n, 16, 16, 3)"""
    denoiser = cfg(Denoiser(parts["base"], SCHEDULE, PREDICTS), encode_text(parts, prompts), guidance)
    shape = (len(prompts), SMALL, SMALL, 3)
    return sample("dpmpp_2m", dynamic_threshold(denoiser, QUANTILE), shape, steps=steps or STEPS, rng=rng, progress=progress)


def enlarge(parts, small, prompts, rng, steps=None, progress=False):
    """Upsample small images (n, 16, 16, 3).   ->   float32 (n, 32, 32, 3)"""
    context, mask, _ = encode_text(parts, prompts)
    cond = noised_low(LowResolution(small, None, context, mask), LEVEL, SCHEDULE, rng)
    denoiser = dynamic_threshold(Denoiser(parts["upsampler"], SCHEDULE, "x0"), QUANTILE)
    shape = (len(prompts), SIZE, SIZE, 3)
    return sample("dpmpp_2m", denoiser, shape, steps=steps or UP_STEPS, rng=rng, cond=cond, progress=progress).clip(-1, 1)


def draw(parts, prompts, guidance, rng, steps=None, progress=False):
    """Sample images for prompts: base model, then upsampler.   ->   float32 (n, 32, 32, 3). steps: for the base model"""
    small = draw_small(parts, prompts, guidance, rng, steps, progress)
    return enlarge(parts, small, prompts, rng, progress=progress)


RECIPE = Recipe(
    "imagen",
    "a text encoder trained on text alone, a 16 x 16 base model, and an upsampler to 32 x 32",
    (LanguageStage(), BaseStage(), UpsamplerStage()),
    minutes=27.0,
    draw=draw,
    guidance=GUIDANCE,
)
