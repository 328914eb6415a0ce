"""What a recipe is made of: stages, each a net that is trained on data without end, with the nets before it at hand."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..training import Trainer

WEIGHTS, DATA = 0, 4  # streams of the seed; the Trainer has 1, 2 and 3
LOOK = (  # drawn while a system trains, and wherever systems stand side by side: seen pairs, held-out ones, two and more things
    "a large red circle", "a small green square", "a blue triangle at the top left", "a yellow cross on the right",
    "a large red triangle", "a green cross in the middle", "a blue circle at the bottom", "a small yellow square",
    "a red circle above a blue square", "a large green triangle left of a small red circle", "two purple crosses",
    "three small circles",
)  # fmt: skip


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

    def batch(self, rng, n, parts):
        """n examples, a pure function of rng.   -> x0, cond as the objective takes them"""
        raise NotImplementedError(f"stage {self.name} has no batch")

    def finish(self, model, parts):
        """Called once with the trained weights in the model, for what is measured afterwards and kept in model.config."""


@dataclass(frozen=True)
class Recipe:
    """A name, what it makes, its stages in order, and how many minutes they take on two quiet cores.

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
    """A Trainer whose step k learns from what batch(k) makes, in place of a fixed set of images."""

    def __init__(self, model, objective, make_batch, **options):
        self.make_batch = make_batch
        super().__init__(model, objective, np.zeros((1, 1), np.float32), **options)

    def batch(self, k):
        """What step k (from 0) trains on.   -> x0, cond"""
        return self.make_batch(k)
