"""Saves what a run needs to be resumed exactly, and restores it in another process."""

import hashlib
import platform

import numpy as np

from .. import __version__
from ..backend import to_numpy
from ..tree import tree_map
from . import checkpoint
from .errors import NotFinite

OBJECTIVE = ("predicts", "weighting", "gamma", "k", "cond_dropout", "time_scale", "variance", "levels", "vlb_weight",
             "pairing")  # fmt: skip


class SettingsDiffer(ValueError):
    """The settings of a checkpoint and of the Trainer that should resume it differ.

    differs   one "name: got B, expected A as in the checkpoint" for each
    hint      what to do where the change is wanted
    """

    def __init__(self, differs, hint="strict=False ignores the mismatch"):
        self.differs = differs
        super().__init__(f"settings differ from the checkpoint's: {'; '.join(differs)}. Leave them out, or {hint}")


def settings_of(trainer):
    """What must be the same for a resumed run to continue as if it had never stopped."""
    ema, optimizer = trainer.ema, trainer.optimizer
    return {
        "steps": trainer.steps,
        "batch_size": trainer.batch_size,
        "lr": trainer.lr,
        "curve": trainer.curve,
        "warmup": trainer.warmup,
        "betas": list(optimizer.betas),
        "weight_decay": optimizer.weight_decay,
        "grad_clip": trainer.grad_clip,
        "ema_decay": None if ema is None else ema.decay,
        "data": list(trainer.images.shape),
        "dtype": str(trainer.arena.dtype),
        **settings_of_objective(trainer.objective),
    }


def settings_of_objective(objective):
    """The settings of a loss that change what is learned, as JSON. A plain function has none."""
    found = {name: getattr(objective, name) for name in OBJECTIVE if hasattr(objective, name)}
    found = {name: value for name, value in found.items() if value is None or isinstance(value, (str, int, float))}
    schedule, t_sampler = getattr(objective, "schedule", None), getattr(objective, "t_sampler", None)
    if t_sampler is not None:
        found["t_sampler"] = type(t_sampler).__name__
    if schedule is not None:
        found["schedule"] = type(schedule).__name__ if " at 0x" in repr(schedule) else repr(schedule)
        if hasattr(schedule, "betas"):  # repr rounds them
            found["sha256 of the schedule's betas"] = hashlib.sha256(to_numpy(schedule.betas).tobytes()).hexdigest()[:16]
    return {"loss": type(objective).__name__, **found} if found else {}


def facts_of(trainer):
    """What must be the same on all ranks of an MPI job for them to train one model.   -> {name: text}"""
    arrays = {"images": trainer.images, "labels": trainer.labels}
    versions = {"minidiff": __version__, "NumPy": np.__version__, "Python": platform.python_version()}
    names = ("seed", "done", "config", "checkpoint_every", "sample_every")
    settings = {name: getattr(trainer, name) for name in names} | settings_of(trainer) | {"folder": trainer.folder is not None}
    found = {name: str(value) for name, value in {**versions, **settings}.items()}
    return found | {name: _digest(arrays[name]) for name in arrays} | weights_of(trainer)


def weights_of(trainer):
    """The weights as they must be on all ranks, at any step.   -> {name: text}"""
    return {"weights": _digest(trainer.arena.values)}


def _digest(tree):
    """The first digits of the SHA-256 of all arrays of a tree, as text."""
    sha256 = hashlib.sha256()
    tree_map(lambda a: sha256.update(np.ascontiguousarray(to_numpy(a))), tree)
    return f"arrays with SHA-256 {sha256.hexdigest()[:12]}"


def write_run(trainer, path):
    """Write the trainer's checkpoint. Raises NotFinite rather than save NaN or infinity, in whatever group of tensors."""
    try:
        checkpoint.save(
            path,
            trainer.model,
            ema=trainer.ema,
            optimizer=trainer.optimizer,
            objective=trainer.objective.state() if hasattr(trainer.objective, "state") else None,
            step=trainer.done,
            random={"seed": int(trainer.seed), "step": trainer.done},
            config={"settings": settings_of(trainer), "run": trainer.config},
        )
    except checkpoint.BadTensor as error:
        raise NotFinite(trainer.done, error.tensor) from None


def take_over(trainer, path, strict):
    """Load a checkpoint's state into the trainer. Everything is checked before anything is written."""
    found = trainer.ranks.first(checkpoint.load, path)
    if not found.m or (trainer.ema is not None and not found.ema):
        lacks = "moving average" if found.m else "optimizer moments"
        raise ValueError(f"{path}: got a checkpoint without {lacks}, expected one to resume from; it can only be sampled")
    if strict:
        _must_match(trainer, found)
    trainer.model.load_state(found.weights)  # the other groups have the same names and shapes, or it would not be there
    trainer.optimizer.load_state({"m": found.m, "v": found.v}, found.counts["adamw"])
    if trainer.ema is not None:
        trainer.ema.load_state(found.ema, found.counts["ema"])
    if found.objective and hasattr(trainer.objective, "load_state"):
        trainer.objective.load_state(found.objective)
    return found.step


def _must_match(trainer, found):
    mine = {"seed": trainer.seed, **settings_of(trainer)}
    theirs = {"seed": found.random.get("seed"), **found.config.get("settings", {})}
    differs = [key for key in mine if key != "steps" and key in theirs and theirs[key] != mine[key]]
    if differs:
        raise SettingsDiffer([f"{key}: got {mine[key]}, expected {theirs[key]} as in the checkpoint" for key in differs])
