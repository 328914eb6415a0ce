"""The parts of a recipe: stages, each a model trained on an endless stream of generated data, given the earlier models."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..data import captioned_shapes, tokenizer
from ..rng import Rng, Stream
from ..training import Trainer

LOOK = (  # prompts for samples during training and for comparisons: seen pairs, held-out pairs, two and more objects
    "a large red circle", "a small green square", "a blue triangle at the top left", "a yellow cross on the right",
    "a large red triangle", "a green cross in the middle", "a blue circle at the bottom", "a small yellow square",
    "a red circle above a blue square", "a large green triangle left of a small red circle", "two purple crosses",
    "three small circles",
)  # fmt: skip
PRACTISED = ("single", "position", "position", "relation", "relation", "count")  # the hardest kinds of caption, twice as often


class Stage:
    """One model of a recipe. A subclass defines:

    name       its folder in a run, and its file among the shipped models
    steps      training steps of a full run
    options    of the Trainer: batch_size, lr, warmup, ema_decay, ...
    sample     None, or a method sample(model, parts, rng) -> images, to show during training

    `parts` is {stage name: trained model} of the earlier stages.
    """

    name = ""
    steps = 1000
    options = {}
    sample = None

    def model(self, rng, parts):
        """The model, with initial weights drawn from rng."""
        raise NotImplementedError(f"stage {self.name} has no model")

    def objective(self, parts):
        """The loss: objective(model, x0, rng, cond) -> (loss, back)."""
        raise NotImplementedError(f"stage {self.name} has no objective")

    def examples(self, rng, n):
        """n examples, a pure function of rng.   -> a tuple of arrays on the host: images, token ids, ..."""
        raise NotImplementedError(f"stage {self.name} has no examples")

    def prepare(self, parts, *examples):
        """Turn examples on the models' device into the objective's arguments.   -> x0, cond"""
        return examples if len(examples) == 2 else (*examples, None)

    def batch(self, rng, n, parts):
        """n examples as arguments of the objective, on the host.   -> x0, cond"""
        return self.prepare(parts, *self.examples(rng, n))

    def finish(self, model, parts):
        """Called once after training, to measure what is stored in model.config."""


class CaptionedStage(Stage):
    """A Stage whose examples are images of shapes and the token ids of their captions."""

    size, kinds = 32, PRACTISED

    def examples(self, rng, n):
        images, captions = captioned_shapes(n, self.size, rng, kinds=self.kinds)
        return images, tokenizer.encode(captions)


@dataclass(frozen=True)
class Recipe:
    """Name, summary, stages in order, and their training time in minutes on one core.

    draw      draw(parts, prompts, guidance, rng, steps=None, progress=False) -> images (n, 32, 32, 3); None for a recipe
              whose models draw no images
    guidance  the guidance weight that satisfies most prompts
    """

    name: str
    summary: str
    stages: tuple
    minutes: float
    draw: Callable | None = None
    guidance: float | None = None


class StageTrainer(Trainer):
    """A Trainer that generates new examples in every step instead of using a fixed data set."""

    def __init__(self, stage, model, parts, **options):
        self.stage, self.parts = stage, parts
        super().__init__(model, stage.objective(parts), np.zeros((1, 1), np.float32), **options)

    def uploads(self, k):
        """The examples of step k (from 0), drawn on the host."""
        return self.stage.examples(Rng(self.seed, Stream.EXAMPLES, k), self.batch_size)

    def batch_of(self, *examples):
        """-> x0, cond"""
        return self.stage.prepare(self.parts, *examples)
