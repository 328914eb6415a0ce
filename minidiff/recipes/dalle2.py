"""Recipe `dalle2`: a prior from text to image embedding, and a decoder from image embedding to image.

Ramesh et al. 2022 (arXiv:2204.06125), in miniature.
"""

import math

from ..backend import xp_of
from ..data import captioned_shapes, tokenizer
from ..diffusion import Denoiser, Schedule, SimpleLoss, cfg, dynamic_threshold
from ..models import EmbeddingUNet, Prior, TextCondition
from ..samplers import sample
from .clip import FEATURES, SIZE, ClipStage
from .imagen import BLOCKS, QUANTILE
from .stage import LOOK, PRACTISED, CaptionedStage, Recipe, Stage

SCHEDULE = Schedule.cosine(1000)
SCALE = math.sqrt(FEATURES)  # scales the small components of a unit vector to variance 1, as diffusion expects
PRIOR_STEPS, STEPS, GUIDANCE = 16, 16, 1.0


class PriorStage(CaptionedStage):
    """The prior: denoises image embeddings conditioned on the caption."""

    name = "prior"
    steps = 3000
    options = {"batch_size": 128, "lr": 1e-3, "ema_decay": 0.998}

    def model(self, rng, parts):
        return Prior(FEATURES, FEATURES, FEATURES, tokenizer.LENGTH, width=64, rng=rng)

    def objective(self, parts):
        return SimpleLoss(SCHEDULE, "x0", cond_dropout=0.1)

    def prepare(self, parts, images, ids):
        return encode_images(parts, images), encode_ids(parts, ids)


class DecoderStage(Stage):
    """The decoder: denoises images conditioned on their embedding, without the caption. Predicts x0, as in `imagen`."""

    name = "decoder"
    steps = 8000
    options = {"batch_size": 32, "lr": 2e-3, "ema_decay": 0.998}

    def model(self, rng, parts):
        return EmbeddingUNet(FEATURES, token_features=FEATURES, patch=4, block_out_channels=(48, 64),
                             resnet_time_scale_shift="scale_shift", rng=rng, **BLOCKS)  # fmt: skip

    def objective(self, parts):
        return SimpleLoss(SCHEDULE, "x0", cond_dropout=0.1, t_sampler="stratified")

    def examples(self, rng, n):
        return (captioned_shapes(n, SIZE, rng, kinds=PRACTISED)[0],)

    def prepare(self, parts, images):
        return images, encode_images(parts, images)

    def sample(self, model, parts, rng):
        return draw({**parts, "decoder": model}, LOOK, GUIDANCE, rng)


def encode_images(parts, images):
    """Image embeddings (n, FEATURES), of about unit variance."""
    return parts["clip"].embed_images(images) * SCALE


def encode_text(parts, texts):
    """The conditioning of the prior: token features, token mask, and the text embedding."""
    return encode_ids(parts, tokenizer.encode(texts))


def encode_ids(parts, ids):
    """`encode_text` of token ids (n, tokens)."""
    features, vectors = parts["clip"].embed_texts(ids)
    return TextCondition(features, xp_of(features).asarray(ids) != tokenizer.PAD, vectors * SCALE)


def imagine(parts, prompts, guidance, rng, steps=None, progress=False):
    """Sample image embeddings for these prompts from the prior.   ->   float32 (n, FEATURES)"""
    denoiser = cfg(Denoiser(parts["prior"], SCHEDULE, "x0"), encode_text(parts, prompts), guidance)
    return sample("dpmpp_2m", denoiser, (len(prompts), FEATURES), steps=steps or PRIOR_STEPS, rng=rng, progress=progress)


def decode(parts, vectors, guidance, rng, steps=None, progress=False):
    """Sample images for these embeddings from the decoder.   ->   float32 (n, 32, 32, 3)"""
    denoiser = dynamic_threshold(cfg(Denoiser(parts["decoder"], SCHEDULE, "x0"), vectors, guidance), QUANTILE)
    shape = (len(vectors), SIZE, SIZE, 3)
    return sample("dpmpp_2m", denoiser, shape, steps=steps or STEPS, rng=rng, progress=progress).clip(-1, 1)


def draw(parts, prompts, guidance, rng, steps=None, progress=False):
    """Sample images for prompts.   ->   float32 (n, 32, 32, 3). guidance: for prior and decoder; steps: for the decoder"""
    vectors = imagine(parts, prompts, guidance, rng, progress=progress)
    return decode(parts, vectors, guidance, rng, steps, progress)


def variations(parts, images, guidance, rng, steps=None, progress=False):
    """Variations: other images with the same embedding, which share what the contrastive encoder keeps.

    images float32 in [-1, 1] (n, 32, 32, 3)   ->   likewise. Section 3.1 of the paper
    """
    return decode(parts, encode_images(parts, images), guidance, rng, steps, progress)


RECIPE = Recipe(
    "dalle2",
    "a prior from text to image embedding, and a decoder from image embedding to image",
    (ClipStage(), PriorStage(), DecoderStage()),
    minutes=31.0,
    draw=draw,
    guidance=GUIDANCE,
)
