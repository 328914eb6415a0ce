"""A trained text-to-image system: draws images from prompts and checks them."""

from pathlib import Path

import numpy as np

from ..backend import module_of, to_numpy
from ..data import checker
from ..data.captioned import draw_scenes
from ..data.captions import is_held_out, parse
from ..rng import as_rng
from ..training.parallel import among_ranks
from .pretrained import shipped
from .registry import SYSTEMS, find
from .run import open_parts

BATCH = 100  # images per batch


class System:
    """`system.draw(prompts)` -> images. Made by `load`.

    recipe   its Recipe; parts: {stage name: model}, all on one device
    """

    def __init__(self, recipe, parts):
        self.recipe, self.parts = recipe, parts

    def draw(self, prompts, guidance=None, rng=None, steps=None, progress=False):
        """An image for each prompt.   prompts: a list of strings   ->   float32 in about [-1, 1] (n, 32, 32, 3)

        guidance   the weight w of (1 + w) eps(c) - w eps(null); None: the recipe's default
        rng        None, a seed, or a generator
        Raises ValueError for a prompt with unknown words, before any computation.
        """
        for prompt in prompts:
            parse(prompt)
        guidance = self.recipe.guidance if guidance is None else guidance
        rng, images = as_rng(rng, module_of(self.device)), []
        for start in range(0, len(prompts), BATCH):
            part = prompts[start : start + BATCH]
            images.append(to_numpy(self.recipe.draw(self.parts, part, guidance, rng, steps=steps, progress=progress)))
        return np.concatenate(images)

    @property
    def device(self):
        """The device of the models: "cpu" or "cuda"."""
        return next(iter(self.parts.values())).device

    def to(self, device):
        """Move all models to "cpu" or "cuda".   -> self"""
        for net in self.parts.values():
            net.to(device)
        return self

    def obeyed(self, prompts, guidance=None, rng=None, steps=None):
        """Draw each prompt once and check the images.   -> bool (n,): which prompts are satisfied exactly"""
        return checker.check(self.draw(prompts, guidance, rng, steps), prompts)


def load(name, folder=None, device="cpu"):
    """Open a system by name, from the shipped files or from a run folder, on a device.   -> System

    The ranks of an MPI job open it together, and share the rows of what it draws.
    """
    recipe = find(name, SYSTEMS)
    system = System(recipe, shipped(name) if folder is None else open_parts(recipe, Path(folder))).to(device)
    return System(recipe, {stage: among_ranks(net) for stage, net in system.parts.items()})


def test_prompts(n, held_out=False, kinds=("single", "position"), seed=0):
    """n prompts for evaluation, with pairs of colour and shape seen in training, or held-out ones.   -> list of str"""
    rng, found = as_rng(seed), []
    while len(found) < n:
        _, captions = draw_scenes(2 * n, rng, "test" if held_out else "train", kinds)
        found += [str(caption) for caption in captions if is_held_out(caption) == held_out]
    return found[:n]
