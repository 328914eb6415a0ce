"""What a run writes down so that it can go on exactly, and how another process takes it over."""

from ..backend import to_numpy
from . import checkpoint
from .errors import NotFinite


def settings_of(trainer):
    """What must be the same for a resumed run to go on as if it had never stopped."""
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
    }


def write_run(trainer, path):
    """Write the trainer's checkpoint. Raises NotFinite rather than save weights that are NaN or infinite."""
    bad = trainer.arena.first_bad(trainer.arena.values)
    if bad is not None:
        raise NotFinite(trainer.done, f"weight {bad}")
    learned = trainer.objective.state() if hasattr(trainer.objective, "state") else {}
    checkpoint.save(
        path,
        trainer.model,
        ema=trainer.ema,
        optimizer=trainer.optimizer,
        objective={name: to_numpy(array) for name, array in learned.items()},
        step=trainer.done,
        random={"seed": int(trainer.seed), "step": trainer.done},
        config={"settings": settings_of(trainer), "run": trainer.config},
    )


def take_over(trainer, path, strict):
    """Put a checkpoint's state into the trainer. Everything is checked before anything is written."""
    found = checkpoint.load(path)
    if not found.m or (trainer.ema is not None and not found.ema):
        lacks = "moving average" if found.m else "optimizer moments"
        raise ValueError(f"{path} holds no {lacks}: it can be sampled from, but training cannot go on from it")
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
    wrong = [f"{key}: the checkpoint has {theirs[key]}, this Trainer {mine[key]}" for key in differs]
    if wrong:
        heading = "this checkpoint was made with other settings (strict=False goes on all the same):"
        raise ValueError("\n  ".join([heading, *wrong]))
