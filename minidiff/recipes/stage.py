"""What a recipe is made of: stages, each a net that is trained on data without end, with the nets before it at hand."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..data import captioned_shapes, tokenizer
from ..rng import Rng, Stream
from ..training import Trainer

LOOK = (  # drawn while a system trains, and wherever systems stand side by side: seen pairs, held-out ones, two and more things
    "a large red circle", "a small green square", "a blue triangle at the top left", "a yellow cross on the right",
    "a large red triangle", "a green cross in the middle", "a blue circle at the bottom", "a small yellow square",
    "a red circle above a blue square", "a large green triangle left of a small red circle", "two purple crosses",
    "three small circles",
)  # fmt: skip
PRACTISED = ("single", "position", "position", "relation", "relation", "count")  # the kinds of caption that ask most, twice


class Stage:
    """One net of a recipe. Write a subclass with these, and everything else follows.

    name       its folder in a run, and its file among the shipped ones
    steps      training steps of a full run
    options    of the Trainer: batch_size, lr, warmup, ema_decay, ...
    sample     None, or a method sample(model, parts, rng) -> images, to look at while training

    `parts` is {stage name: its finished net} of the stages before.
    """

    name = ""
    steps = 1000
    options = {}
    sample = None

    def model(self, rng, parts):
        """The net, its weights drawn from rng."""
        raise NotImplementedError(f"stage {self.name} has no model")

    def objective(self, parts):
        """The loss: objective(model, x0, rng, cond) -> (loss, back)."""
        raise NotImplementedError(f"stage {self.name} has no objective")

    def examples(self, rng, n):
        """n examples, a pure function of rng.   -> a tuple of arrays on the host: pictures, captions as numbers, ..."""
        raise NotImplementedError(f"stage {self.name} has no examples")

    def prepare(self, parts, *examples):
        """What the objective takes, of examples that have been brought to the nets' device.   -> x0, cond"""
        return examples if len(examples) == 2 else (*examples, None)

    def batch(self, rng, n, parts):
        """n examples as the objective takes them, on the host.   -> x0, cond"""
        return self.prepare(parts, *self.examples(rng, n))

    def finish(self, model, parts):
        """Called once with the trained weights in the model, for what is measured afterwards and kept in model.config."""


class CaptionedStage(Stage):
    """A Stage whose examples are images of captioned shapes and the numbers of the captions' words."""

    size, kinds = 32, PRACTISED

    def examples(self, rng, n):
        images, captions = captioned_shapes(n, self.size, rng, kinds=self.kinds)
        return images, tokenizer.encode(captions)


@dataclass(frozen=True)
class Recipe:
    """A name, what it makes, its stages in order, and how many minutes they took on one core.

    draw      draw(parts, prompts, guidance, rng, steps=None, progress=False) -> images (n, 32, 32, 3); None for a recipe
              whose nets draw nothing by themselves
    guidance  the weight with which most prompts are obeyed
    """

    name: str
    summary: str
    stages: tuple
    minutes: float
    draw: Callable | None = None
    guidance: float | None = None


class StageTrainer(Trainer):
    """A Trainer that learns from new examples in every step, in place of a fixed set of images."""

    def __init__(self, stage, model, parts, **options):
        self.stage, self.parts = stage, parts
        super().__init__(model, stage.objective(parts), np.zeros((1, 1), np.float32), **options)

    def uploads(self, k):
        """The examples of step k (from 0), drawn on the host."""
        return self.stage.examples(Rng(self.seed, Stream.EXAMPLES, k), self.batch_size)

    def batch_of(self, *examples):
        """-> x0, cond"""
        return self.stage.prepare(self.parts, *examples)
