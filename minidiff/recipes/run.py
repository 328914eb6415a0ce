"""Trains a recipe: its stages one after another in one folder, each resumable bit for bit."""

import functools
from pathlib import Path

from ..rng import Rng, Stream
from ..training import DataParallel, checkpoint
from ..training.complete import complete
from ..training.parallel import shared
from ..training.trainer import FILE
from .pretrained import shipped
from .registry import NAMES, find
from .stage import StageTrainer


def train(
    name, folder, *, minutes=None, steps=None, seed=0, resume=False, strict=True, device="cpu", progress=True, say=print,
    reuse=False, **options,
):  # fmt: skip
    """Train every stage of a recipe.   -> {stage name: model with averaged weights}

    folder    run folder; each stage gets a folder with its checkpoint, log.csv and samples
    minutes   scale the steps of all stages so that training takes about this long on one core
    steps     steps of every stage, instead of its default
    resume    resume: a finished stage is kept, an unfinished one continues
    reuse     take the encoders that ship with minidiff, which several recipes share, instead of training them again;
              a resumed run does as it did before
    strict    as `Trainer.resume` takes it: False ignores differing settings
    device    "cpu" or "cuda"; options: graph and tf32, as the Trainer takes them
    say       called with a line of text when a stage begins and ends

    Raises ValueError for an unknown name, for both minutes and steps, for a folder that already contains a run, and for
    reuse in a run that trained its encoders.
    """
    recipe, folder = find(name), Path(folder)
    if minutes is not None and steps is not None:
        raise ValueError("minutes, steps: got both, expected one of the two")
    for option, value in (("minutes", minutes), ("steps", steps)):
        if value is not None and not value > 0:
            raise ValueError(f"{option}: got {value}, expected a number above 0")
    held = [stage.name for stage in recipe.stages if (folder / stage.name / FILE).exists()]
    if held and not resume:
        raise ValueError(f"folder: got {folder}, with {', '.join(held)}, expected a folder without a run, or resume=True")
    if held and reuse and not reuses(recipe, folder):
        raise ValueError(f"reuse: got True, expected False: the run in {folder} trained its encoders")
    reuse = reuse or reuses(recipe, folder)
    parts = encoders(recipe, device) if reuse else {}
    for i, stage in enumerate(recipe.stages):
        if stage.name in parts:
            say(f"{i + 1}/{len(recipe.stages)}  {stage.name}: as it ships with minidiff")
            continue
        count = steps or max(1, round(stage.steps * (1 if minutes is None else minutes / recipe.minutes)))
        trainer = stage_trainer(recipe, stage, parts, seed, count, folder / stage.name, device, reuse, **options)
        heading = f"{i + 1}/{len(recipe.stages)}  {stage.name}"
        model = complete(trainer, progress, strict, begin=functools.partial(_tell, say, heading))
        seconds = trainer.history.seconds[-1] if len(trainer.history) else 0.0
        say(f"     {seconds:.0f} s of training, loss {trainer.history.recent_loss():.4f}")
        if isinstance(model, DataParallel):
            model.close()
            model = model.module
        stage.finish(model, parts)
        parts[stage.name] = model
    return parts


def _tell(say, heading, trainer):
    say(f"{heading}: {trainer.model.size():,} parameters, step {trainer.done} of {trainer.steps}")


def stage_trainer(recipe, stage, parts, seed=0, steps=None, folder=None, device="cpu", reuse=False, **options):
    """The Trainer of one stage.   parts: the models of the earlier stages, on the same device"""
    steps = steps or stage.steps
    model = stage.model(Rng(seed, Stream.WEIGHTS), parts).to(device)
    model = shared(model)
    pictures = {}
    if stage.sample is not None:
        pictures = {"sample": lambda trainer: stage.sample(trainer.model, parts, trainer.sampling_rng()), "sample_every": 500}
    options = {"warmup": min(100, steps // 10), "checkpoint_every": 250, **pictures, **stage.options, **options}
    config = {"recipe": recipe.name, "stage": stage.name} | ({"reuse": True} if reuse else {})
    return StageTrainer(stage, model, parts, steps=steps, seed=seed, folder=folder, config=config, **options)


def encoders(recipe, device="cpu"):
    """The shipped models of the stages that are recipes by themselves, and ship once for all.   -> {stage name: model}"""
    names = [stage.name for stage in recipe.stages if stage.name in NAMES and stage.name != recipe.name]
    return {name: shipped(name)[name].to(device) for name in names}


def reuses(recipe, folder):
    """Whether the run in a folder took its encoders from those that ship, as its first checkpoint says."""
    files = (Path(folder) / stage.name / FILE for stage in recipe.stages)
    first = next((file for file in files if file.exists()), None)
    return first is not None and checkpoint.load(first).config["run"].get("reuse", False)


def open_parts(recipe, folder):
    """The models of a run of this recipe.   -> {stage name: model}. Raises FileNotFoundError for a missing stage."""
    parts = encoders(recipe) if reuses(recipe, folder) else {}
    for stage in recipe.stages:
        if stage.name not in parts:
            model = stage.model(Rng(0), parts)
            model.load_state(checkpoint.load(Path(folder) / stage.name / FILE).ema)
            stage.finish(model, parts)
            parts[stage.name] = model
    return parts
