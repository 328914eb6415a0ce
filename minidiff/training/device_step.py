"""A Trainer's step on the device, as one CUDA graph: it uploads only what the Trainer names, and the host never waits."""

import numpy as np

from ..gpu.optimizer import Update
from ..gpu.recorder import Recorded
from ..nn import training as dropout_from
from ..rng import Rng, Stream
from ..settings import is_plain

SPARE = 256  # rows of the tables for steps beyond the run's length


def has_kernels(xp, dtype):
    """Whether there are kernels for arrays of this library and dtype, outside `with plain()`."""
    return hasattr(xp, "RawKernel") and dtype == np.float32 and not is_plain()


def recordable(objective):
    """Whether a CUDA graph can hold this loss: it sets `recordable`, or else its t sampler does not wait for the losses."""
    return getattr(objective, "recordable", not getattr(getattr(objective, "t_sampler", None), "waits", False))


class TrainingStep:
    """One step of a float32 Trainer on the device, with the numbers of the trainer's plain step.

    trainer   a Trainer; graph, tf32: see `recorder.Recorded`
    step() -> (loss, norm), 0-d float64 arrays that stay as they are: views into a log of the whole run

    The trainer's counts are kept as the plain step keeps them, so the two can alternate. Where they or its settings were
    changed from outside (a checkpoint was loaded, another lr was set), tables and graph are rebuilt. Python
    numbers inside the objective are frozen into the graph: one that changes them from step to step sets recordable = False.
    """

    def __init__(self, trainer, graph=True, tf32=False):
        self.trainer, self.graph, self.tf32, self.place = trainer, graph, tf32, None

    def __call__(self):
        if self.place != self._place() or self.update.taken == self.update.rows:
            self._begin()
        for place, array in zip(self.inputs, self.share.of(self.trainer.uploads(self.trainer.done)), strict=True):
            place.set(array)
        self.update.count()
        self.recorded()
        self.place = self._place(ahead=1)
        row = self.update.log[self.update.taken - 1]
        return row[0], row[1]

    def _begin(self):
        t, xp = self.trainer, self.trainer.xp
        last = max(t.steps, t.done + SPARE)
        self.update = Update(t.optimizer, t.ema, [t.rate(k) for k in range(t.done, last)], t.grad_clip)
        self.share = t.share()
        self.inputs = [xp.zeros(a.shape, a.dtype) for a in self.share.of(t.uploads(t.done))]
        self.noise, self.dropout = (
            Rng(t.seed, stream, t.done, xp, clock=self.update.step) for stream in (Stream.NOISE, Stream.DROPOUT)
        )  # the step that they draw for is where this began plus what `update` has counted since, in device memory
        graph = self.graph and recordable(t.objective) and getattr(t.model, "recordable", True)
        self.recorded = Recorded(xp, self._step, graph, self.tf32)

    def _step(self):
        """The work of a step that the graph records."""
        trainer = self.trainer
        trainer.arena.grads.fill(0)
        with dropout_from(self.dropout.at()):
            loss = self.share.gradients(trainer.batch_of, self.inputs, self.noise.at())
        self.update.launch(trainer.xp.asarray(loss, dtype=np.float32))

    def _place(self, ahead=0):
        """The step, the counts of optimizer and average, and the settings, as an uninterrupted run would have them."""
        t = self.trainer
        counts = t.done + ahead, t.optimizer.t, None if t.ema is None else t.ema.n
        return *counts, t.steps, t.lr, t.curve, t.warmup, t.grad_clip, id(t.objective), id(t.images), id(t.labels)
