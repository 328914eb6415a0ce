"""Runs a training run to its end, in one process or in several, one after another."""

from .trainer import FILE


def complete(trainer, progress=True, strict=True, begin=None):
    """Train to the last step, from the folder's checkpoint where there is one.   -> the model, with the averaged weights

    strict   as in `Trainer.resume`
    begin    a function of the trainer, called before the first step of this process

    A finished run is not trained again. Without a moving average the model keeps the weights of the last step.
    """
    if trainer.folder is not None and trainer.ranks.first((trainer.folder / FILE).exists):
        trainer.resume(strict=strict)
    if begin is not None:
        begin(trainer)
    if trainer.done < trainer.steps:
        trainer.run(progress=progress)
    if trainer.ema is not None:
        trainer.model.load_state(trainer.ema.state())
    return trainer.model
