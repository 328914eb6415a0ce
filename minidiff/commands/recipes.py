"""Implements `minidiff train --recipe` and `minidiff sample --prompt`."""

import contextlib
import time
from pathlib import Path

from .. import recipes, viz
from ..data import checker
from ..data.captions import parse
from ..files import free_name
from ..lock import locked
from ..mpi import world
from . import device

TRAIN_FLAGS = ("data", "config", "start_from", "size", "root", "batch_size", "lr", "model", "schedule", "T",
               "predicts", "checkpoint_every", "sample_every", "assignments", "overwrite")  # fmt: skip
SAMPLE_FLAGS = ("class_", "frugal", "negative", "sampler", "eta", "spacing", "clip", "eager", "tf32")


def train_recipe(arguments):
    """`minidiff train --recipe NAME`"""
    recipe = recipes.find(arguments.recipe)
    refuse(arguments, TRAIN_FLAGS, "--recipe", {"start_from": "from", "assignments": "set"})
    folder = Path(arguments.out or Path("runs") / recipe.name)
    start = time.perf_counter()
    with locked(folder) if world().is_first else contextlib.nullcontext():
        print(f"{recipe.name}: {recipe.summary}; into {folder}")
        recipes.train(recipe.name, folder, minutes=arguments.minutes, steps=arguments.steps, seed=arguments.seed or 0,
                      resume=arguments.resume, reuse=arguments.reuse, strict=not arguments.allow_change,
                      device=arguments.device, progress=not arguments.no_progress, **device.options(arguments))  # fmt: skip
    print(f"done in {(time.perf_counter() - start) / 60:.1f} minutes")
    if recipe.draw is not None:
        print(f'next: minidiff sample {folder} --system {recipe.name} --prompt "a large red circle on the left"')


def sample_prompt(arguments):
    """`minidiff sample [RUN] --prompt TEXT`"""
    prompt = " ".join(arguments.prompt.split())
    parse(prompt)  # an invalid caption fails before a model is opened
    refuse(arguments, SAMPLE_FLAGS, "--prompt without --pretrained", {"class_": "class"})
    n = 1 if arguments.count is None else arguments.count
    if n < 1:
        raise ValueError(f"--count: got {n}, expected at least 1")
    out = Path(arguments.out or free_name("samples.png"))
    if out.suffix.lower() != ".png":
        raise ValueError(f"--out: got {out}, expected a name that ends in .png")
    system = recipes.load(arguments.system, arguments.run_folder, arguments.device)
    guidance = system.recipe.guidance if arguments.guidance is None else arguments.guidance
    images = system.draw([prompt] * n, guidance, arguments.seed, arguments.steps, progress=not arguments.no_progress)
    if world().is_first:
        viz.save_png(images[0] if n == 1 else images, out)
    print(f"{out}: {n} of {prompt!r} by {system.recipe.name}, guidance {guidance:g}, seed {arguments.seed}")
    for i, reading in enumerate(checker.read(images)):
        seen = "; ".join(describe(thing) for thing in reading.things) or "nothing"
        verdict = "as asked" if reading.satisfies(prompt) else "NOT as asked"
        print(f"{i + 1:3}  {verdict:12}  the checker sees: {seen}{'' if reading.clear else ', and something unclear'}")


def describe(thing):
    """One object in words, with its position."""
    return (
        f"{thing.size} {thing.colour} {thing.shape} at {100 * thing.x:.0f} % from the left, {100 * thing.y:.0f} % from the top"
    )


def refuse(arguments, flags, what, names):
    """Raise ValueError for flags that cannot be combined with `what`."""
    for flag in flags:
        if getattr(arguments, flag, None):
            raise ValueError(f"--{names.get(flag, flag).replace('_', '-')}: cannot be combined with {what}")
