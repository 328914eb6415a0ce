"""The training loop, one step at a time.

Step k is a pure function of the weights and (seed, k): the batch, the noise and the dropout come from counter-based
generators at position k. So nothing random has to be saved, and a resumed run continues to the bit.
"""

import contextlib
import functools
import time
from pathlib import Path

import numpy as np

from ..backend import to_numpy
from ..data.batches import batch_indices
from ..finite import NotFiniteLoss
from ..lock import locked
from ..mpi import ALONE
from ..nn import training as dropout_from
from ..progress import progress as progress_bar
from ..rng import Rng, Stream
from ..tree import tree_map
from ..viz import save_png
from .adamw import AdamW, clip_grad_norm
from .arena import Arena
from .arguments import check_data, check_numbers
from .device_step import TrainingStep, has_kernels
from .ema import EMA
from .errors import NotFinite
from .history import History
from .interrupt import between_steps
from .lr import learning_rate
from .parallel import DataParallel, share_of
from .resume import facts_of, take_over, weights_of, write_run

FILE = "checkpoint.safetensors"
GPU_LOOK = 25  # on a GPU, steps between two checks of the losses


def plain_step(run):
    """One training step, for every array library.   run: a Trainer   ->   the loss, the norm of all gradients

    On a GPU `device_step` takes the same step in fewer launches.
    """
    k = run.done
    share = run.share()
    rows = map(run.xp.asarray, share.of(run.uploads(k)))
    run.arena.zero_grad()
    with dropout_from(Rng(run.seed, Stream.DROPOUT, k, run.xp)):
        loss = share.gradients(run.batch_of, rows, Rng(run.seed, Stream.NOISE, k, run.xp), run.check_finite)
    norm = clip_grad_norm(run.arena, run.grad_clip)
    run.check_finite(loss, norm)
    run.optimizer.step(run.rate(k))
    if run.ema is not None:
        run.ema.update()
    return loss, norm


class Trainer:
    """Trains `model` on `images`, step by step or in one run.

        trainer = Trainer(model, objective, images, labels, steps=2000, folder="runs/first")
        loss = trainer.step()            # one step; a notebook can inspect everything in between
        trainer.run()                    # the rest, with a progress bar
        trainer.resume()                 # in a new process: load the folder's checkpoint

    What is trained, and on what
        model       a Layer; DataParallel(layer) shares its batches among processes, or the ranks of an MPI job
        objective   objective(model, x0, rng, cond=None) -> (loss, back); back() adds to every p.grad. With objective.by_rows,
                    the ranks of an MPI job each pass only their rows, an rng of these rows, and back(share of the batch)
        images      (N, ...) floats; moved to the model's device and dtype
        labels      conditions, one row an image: an array (N, ...), a tuple, NamedTuple or dict of arrays, or None
    Length and randomness
        steps       length of the whole run; batch_size: examples a step
        seed        of data order, noise and dropout (it does not affect weight initialisation)
    The update of the weights
        lr          highest learning rate; curve: "cosine" or "constant" after `warmup` steps of a linear rise
        betas, weight_decay     of AdamW; grad_clip: highest norm of all gradients together, None for no limit
        ema_decay   of the moving average of the weights, None for none
    Files that a run writes
        folder      for checkpoint, log.csv and sample images; None writes nothing
        config      stored in the checkpoint: whatever is needed to build model and objective again (JSON)
        checkpoint_every        steps between checkpoints (always one at the end of `run`); None: only there
        sample      sample(trainer) -> images, called with the averaged weights in the model every `sample_every` steps
        callbacks   functions of the trainer, called after every step
    On a GPU
        graph       False takes the steps launch by launch, not as one CUDA graph: the same bits, for a debugger
        tf32        True rounds the factors of matrix products to 10 bits

    Attributes: done (steps taken), history, arena, optimizer, ema, xp.
    Raises ValueError/TypeError for bad arguments, NotFinite when a loss or gradient is NaN or infinite.
    """

    def __init__(
        self, model, objective, images, labels=None, *,
        steps=1000, batch_size=64, seed=0,
        lr=1e-3, curve="cosine", warmup=0, betas=(0.9, 0.999), weight_decay=0.01, grad_clip=1.0, ema_decay=0.999,
        folder=None, config=None, checkpoint_every=None, sample=None, sample_every=None, callbacks=(),
        graph=True, tf32=False,
    ):  # fmt: skip
        check_numbers(steps, batch_size, lr, curve, warmup, betas, weight_decay, grad_clip, ema_decay, checkpoint_every,
                      sample_every)  # fmt: skip
        check_data(images, labels, sample)
        Rng(seed)  # raises for a bad seed now, not later
        self.model, self.objective = model, objective
        self.steps, self.batch_size, self.seed = steps, batch_size, seed
        self.lr, self.curve, self.warmup, self.grad_clip = lr, curve, warmup, grad_clip
        self.folder = Path(folder) if folder is not None else None
        self.config, self.checkpoint_every = config, checkpoint_every
        self.sample, self.sample_every, self.callbacks = sample, sample_every, list(callbacks)
        self.graph, self.tf32 = graph, tf32
        self.arena = Arena.of(model)
        self.optimizer = AdamW(self.arena, lr, betas, weight_decay=weight_decay)
        self.ema = EMA(self.arena, ema_decay) if ema_decay is not None else None
        self.xp = xp = self.arena.xp
        self.images = xp.asarray(images).astype(self.arena.dtype, copy=False)
        self.labels = tree_map(xp.asarray, labels, leaf=list)
        self.ranks, self._agreed = model.ranks if isinstance(model, DataParallel) else ALONE, False
        self.writes = self.folder is not None and self.ranks.is_first
        self.history = History(self.folder / "log.csv" if self.writes else None)
        self.done = 0
        self._seconds = 0.0
        self._unseen = []  # (step, loss, lr, norm, seconds) of steps whose numbers have not been looked at yet
        self._look_every = 1 if xp is np else GPU_LOOK

    # ---- stepping ----------------------------------------------------------------------------------------------------

    def step(self):
        """One training step.   -> the loss, a float (on a GPU a 0-d array, so that nothing waits for it)"""
        if not self._agreed:
            self.ranks.agree(facts_of, self)
            self._agreed = True
        self.ranks.at(self.done + 1)
        start, lr = time.perf_counter(), self.rate(self.done)
        try:
            loss, norm = self._device_step() if has_kernels(self.xp, self.arena.dtype) else plain_step(self)
        except NotFiniteLoss as error:
            raise NotFinite(self.done + 1, "the loss", error.value) from None
        self.done += 1
        self._seconds += time.perf_counter() - start
        self._unseen.append((self.done, loss, lr, norm, self._seconds))
        if self.done % self._look_every == 0:
            self.look()
        self._after_step()
        return float(loss) if self._look_every == 1 else loss

    @functools.cached_property
    def _device_step(self):
        return TrainingStep(self, self.graph, self.tf32)

    def rate(self, k):
        """The learning rate of step k (from 0)."""
        return learning_rate(k, lr=self.lr, steps=self.steps, warmup=self.warmup, curve=self.curve)

    def batch_indices(self, k):
        """The indices of the examples of step k (from 0).   -> int64 (B,), on the host"""
        return batch_indices(len(self.images), self.batch_size, k, self.seed)

    def uploads(self, k):
        """The arrays that step k (from 0) uploads to the device.   -> a tuple of arrays on the host"""
        return (self.batch_indices(k),)

    def batch_of(self, index):
        """A step's batch, from its uploads on the device.   -> images (B, ...), labels with B rows or None"""
        return self.images[index], tree_map(lambda a: a[index], self.labels)

    def share(self):
        """The share of a batch that this process takes: all of it, unless the ranks of an MPI job share the loss by rows."""
        return share_of(self.model, self.objective, self.batch_size)

    def batch(self, k):
        """The batch of step k (from 0).   -> images (B, ...), labels with B rows or None"""
        return self.batch_of(*map(self.xp.asarray, self.uploads(k)))

    def check_finite(self, loss, norm=0.0):
        """Raises NotFinite for a bad number of the step being taken. On a GPU `look` does so later, without waiting here."""
        if self._look_every == 1:
            self._check(self.done + 1, loss, norm)

    def look(self):
        """Copy the numbers of the last steps into the history. Raises NotFinite for the first that is bad."""
        if not self._unseen:
            return
        steps, losses, lrs, norms, seconds = zip(*self._unseen, strict=True)
        self._unseen = []
        if self._look_every > 1:  # one transfer for all of them
            both = to_numpy(self.xp.stack([self.xp.asarray(a, dtype=np.float64) for a in losses + norms]))
            losses, norms = both[: len(losses)], both[len(losses) :]
        for step, loss, lr, norm, elapsed in zip(steps, losses, lrs, norms, seconds, strict=True):
            self._check(step, loss, norm)
            self.history.add(step=step, loss=float(loss), lr=lr, grad_norm=float(norm), seconds=round(elapsed, 4))

    def _check(self, step, loss, norm):
        if not np.isfinite(loss):
            raise NotFinite(step, "the loss", float(loss))
        if not np.isfinite(norm):
            name = self.arena.first_bad(self.arena.grads) if step >= self.done else None  # older gradients are gone
            raise NotFinite(step, f"the gradient of {name}" if name else "the norm of the gradients")

    # ---- a whole run -------------------------------------------------------------------------------------------------

    def run(self, steps=None, progress=True):
        """Up to `steps` further steps (default: all that are left), then a checkpoint.   -> the History

        Ctrl-C ends it after the current step, with a checkpoint too; a second Ctrl-C at once. Raises FolderInUse where
        another process trains into the folder.
        """
        stop = self.steps if steps is None else min(self.steps, self.done + steps)
        asked, bar = False, contextlib.nullcontext(range(self.done, stop))
        progress = progress and self.ranks.is_first
        if progress:
            bar = progress_bar(range(self.done, stop), stop, "training", initial=self.done, leave=True)
        with self._locked(), between_steps() as interrupt, bar as steps_left, contextlib.closing(self.history):
            for _ in steps_left:
                self.step()
                if progress and self.done % self._look_every == 0:
                    steps_left.set_postfix(loss=f"{self.history.recent_loss():.4f}", refresh=False)
                if asked := self.ranks.any(interrupt.asked):
                    break
            self.look()
            if self.folder is not None:
                self.save()
        if asked:
            raise KeyboardInterrupt
        return self.history

    def _locked(self):
        return locked(self.folder) if self.writes else contextlib.nullcontext()

    def _after_step(self):
        if self.sample is not None and self.sample_every and self.done % self.sample_every == 0:
            self.sample_grid()
        for callback in self.callbacks:
            callback(self)
        if self.folder is not None and self.checkpoint_every and self.done % self.checkpoint_every == 0:
            self.save()

    def sampling_rng(self):
        """A generator for samples at this step: the same in every run with this seed, independent of training's."""
        return Rng(self.seed, Stream.SAMPLES, self.done, self.xp)

    def sample_grid(self):
        """The images of `sample` with the averaged weights.   -> images; with a folder also saved as samples_STEP.png"""
        with contextlib.nullcontext() if self.ema is None else self.ema.applied():
            images = self.sample(self)
        if self.writes:
            save_png(images, self.folder / f"samples_{self.done:06d}.png")
        return images

    # ---- saving and resuming -----------------------------------------------------------------------------------------

    def save(self, path=None):
        """Write a checkpoint (default: into the folder).   -> its path. Raises NotFinite for a model with NaN or infinity.

        Rank 0 of an MPI job writes it, while the other ranks wait.
        """
        path = self._file(path, "save in")
        self.look()
        self.ranks.agree(weights_of, self)
        self.ranks.first(self._write, path)
        return path

    def _write(self, path):
        self.history.sync()
        write_run(self, path)

    def resume(self, path=None, strict=True):
        """Continue from a checkpoint (default: the folder's).   -> the trainer itself

        With strict=True raises ValueError when seed or settings differ from those of the run that wrote it, except for a
        larger or smaller number of `steps`; the learning rate then follows the curve of the new number.
        """
        path = self._file(path, "resume from")
        with self._locked():
            self.done = take_over(self, path, strict)
            self._unseen = []
            self.history.resume(self.done)
        self._seconds = self.history.seconds[-1] if len(self.history) else 0.0
        return self

    def _file(self, path, purpose):
        if path is None and self.folder is None:
            raise ValueError(f"path: got None, and this Trainer has no folder to {purpose}")
        return self.folder / FILE if path is None else Path(path)
