"""How should a model be conditioned on text? One U-Net with addition, concatenation or cross-attention, trained alike.

The contrastive text encoder that ships with minidiff encodes the text (if none ships, the study trains one first). Its vector
for the whole text is added or concatenated; cross-attention uses its vector for each word. The images have 16 x 16 pixels, and
all three models see the same batches and noise.
"""

import numpy as np

from .. import recipes
from ..data import checker, tokenizer
from ..diffusion import Denoiser, Schedule, SimpleLoss, cfg
from ..models import TextCondition, TextUNet
from ..models.unet.text import CONDITIONINGS
from ..recipes import Recipe, test_prompts
from ..recipes.imagen import BLOCKS
from ..recipes.pretrained import is_shipped, shipped
from ..recipes.run import stage_trainer
from ..recipes.stage import CaptionedStage
from ..samplers import sample
from ..training.complete import complete
from .digits import place
from .plot import curves, finish, panels, side_by_side
from .table import over_seeds
from .text_to_image import KINDS, SHOWN

SCHEDULE, PREDICTS, SIZE = Schedule.cosine(1000), "v", 16
WEIGHTS = (0.0, 1.0, 2.0)
STEPS, SAMPLING_STEPS = 3000, 16


class ConditioningStage(CaptionedStage):
    """The model, conditioned on text in one of the three ways."""

    size = SIZE
    options = {"batch_size": 32, "lr": 2e-3, "ema_decay": 0.998, "sample_every": None}

    def __init__(self, name, tiny):
        self.name, self.channels = name, (8, 16) if tiny else (32, 48)

    def model(self, rng, parts):
        return TextUNet(self.name, patch=2, block_out_channels=self.channels, rng=rng, **BLOCKS)

    def objective(self, parts):
        return SimpleLoss(SCHEDULE, PREDICTS, cond_dropout=0.1, t_sampler="stratified")

    def prepare(self, parts, images, ids):
        return images, condition_of(parts["clip"], ids)


def condition_of(clip, ids):
    """The vectors of the words for cross-attention, and the vector of the whole text, of about unit variance."""
    _, vectors = clip.embed_texts(ids)
    return TextCondition(clip.text.words(ids), None, vectors * np.float32(vectors.shape[1] ** 0.5))


def run(options):
    """Rows: conditioning, prompts, weight, samples, obeyed; parameters, training steps and their last loss."""
    parts, pictures, n = encoder(options), [], options.size(200, 2)
    for name in CONDITIONINGS:
        model, loss = train(name, parts, options)
        denoiser = Denoiser(model, SCHEDULE, PREDICTS)

        def images_of(prompts, weight, seed, denoiser=denoiser):
            guided = cfg(denoiser, condition_of(parts["clip"], tokenizer.encode(prompts)), weight)
            steps = options.size(SAMPLING_STEPS, 2)
            return sample("dpmpp_2m", guided, (len(prompts), SIZE, SIZE, 3), steps=steps, rng=seed)

        for prompts, (held_out, kinds) in KINDS.items():
            asked = test_prompts(n, held_out, kinds)
            for weight in options.size(WEIGHTS, (0.0, 2.0)):

                def measure(seed, asked=asked, weight=weight, images_of=images_of):
                    return {"obeyed": float(checker.check(images_of(asked, weight, seed), asked).mean())}

                yield {"conditioning": name, "prompts": prompts, "weight": weight, "samples": n,
                       **over_seeds(options.seeds, measure), "parameters": model.size(),
                       "steps": options.size(STEPS, 3), "loss": loss}  # fmt: skip
        pictures.append((name, images_of(SHOWN[: options.size(None, 2)], 2.0, 0)))
    side_by_side(pictures, options.out / "conditioning_samples.png")


def encoder(options):
    """{"clip": the contrastive encoder}."""
    if is_shipped("clip") and not options.quick:
        return shipped("clip")
    folder, steps = place(options, "clip"), options.size(None, 2)
    return recipes.train("clip", folder, steps=steps, resume=True, progress=options.progress, say=lambda line: None)


def train(name, parts, options):
    """Train one of the models, unless it is cached.   -> the model with its averaged weights, its last loss"""
    stage, folder = ConditioningStage(name, options.quick), place(options, f"conditioning_{name}")
    recipe = Recipe("conditioning", "", (stage,), minutes=0.0)
    trainer = stage_trainer(recipe, stage, parts, seed=0, steps=options.size(STEPS, 3), folder=folder)
    return complete(trainer, options.progress), float(np.mean(trainer.history.loss[-100:]))


def draw(rows):
    figure, axes = panels(4.3 * len(KINDS), 4.0, len(KINDS))
    for panel, prompts in zip(axes, KINDS, strict=True):
        own = [row for row in rows if row["prompts"] == prompts]
        curves(panel, own, "weight", "obeyed", by="conditioning", names=list(CONDITIONINGS))
        finish(panel, "guidance weight w", "share of prompts obeyed", f"prompts: {prompts}", legend=panel is axes[0])
        panel.set_ylim(0, 1.03)
    return figure
