"""The training loop, one step at a time.

Step k is a pure function of the weights and (seed, k): the batch, the noise and the dropout come from counter-based
generators at position k, so nothing random has to be saved and a resumed run goes on to the bit.
"""

import contextlib
import time
from pathlib import Path

import numpy as np

from ..backend import to_numpy
from ..data.batches import batch_indices
from ..finite import NotFiniteLoss
from ..lock import locked
from ..nn import training as dropout_from
from ..progress import progress as progress_bar
from ..rng import Rng, Stream
from ..settings import is_plain
from ..tree import tree_map
from .adamw import AdamW, clip_grad_norm
from .arena import Arena
from .arguments import check_data, check_numbers
from .ema import EMA
from .errors import NotFinite
from .history import History
from .interrupt import between_steps
from .lr import learning_rate
from .resume import take_over, write_run

FILE = "checkpoint.safetensors"
GPU_LOOK = 25  # on a GPU, how many steps go by between two looks at the losses


class Trainer:
    """Trains `model` on `images`, as far and as fast as it is asked.

        trainer = Trainer(model, objective, images, labels, steps=2000, folder="runs/first")
        loss = trainer.step()            # one step; a notebook can look at everything in between
        trainer.run()                    # the rest, with a progress bar
        trainer.resume()                 # in a new process: take over the folder's checkpoint

    model       a Layer; DataParallel(layer) shares its batches among processes
    objective   objective(model, x0, rng, cond=None) -> (loss, back); back() adds to every p.grad
    images      (N, ...) floats; moved to the model's device and dtype
    labels      conditions, one row an image: an array (N, ...), a tuple, NamedTuple or dict of arrays, or None
    steps       length of the whole run; batch_size: examples a step
    lr          highest learning rate; curve: "cosine" or "constant" after `warmup` steps of a straight rise
    betas, weight_decay     of AdamW; grad_clip: highest norm of all gradients together, None for no limit
    ema_decay   of the moving average of the weights, None for none
    seed        of data order, noise and dropout (initial weights are the model's affair)
    folder      where checkpoint, log.csv and sample pictures go; None writes nothing
    checkpoint_every        steps between checkpoints (always one at the end of `run`); None: only there
    sample      sample(trainer) -> images, called with the averaged weights in the model every `sample_every` steps
    callbacks   functions of the trainer, called after every step
    config      kept in the checkpoint: whatever is needed to build model and objective again (JSON)
    graph, tf32 on a GPU: False takes its steps launch by launch, not as one CUDA graph (the same bits, for a debugger);
                True rounds the factors of matrix products to 10 bits

    Attributes: done (steps taken), history, arena, optimizer, ema, xp.
    Raises ValueError/TypeError for bad arguments, NotFinite when a loss or gradient is NaN or infinite.
    """

    def __init__(
        self, model, objective, images, labels=None, *, steps=1000, batch_size=64, lr=1e-3, curve="cosine", warmup=0,
        betas=(0.9, 0.999), weight_decay=0.01, grad_clip=1.0, ema_decay=0.999, seed=0, folder=None,
        checkpoint_every=None, sample=None, sample_every=None, callbacks=(), config=None, graph=True, tf32=False,
    ):  # fmt: skip
        check_numbers(steps, batch_size, lr, curve, warmup, betas, weight_decay, grad_clip, ema_decay, checkpoint_every,
                      sample_every)  # fmt: skip
        check_data(images, labels, sample)
        self.model, self.objective, self.seed, self.config = model, objective, seed, config
        self.steps, self.batch_size, self.lr, self.curve, self.warmup = steps, batch_size, lr, curve, warmup
        self.grad_clip, self.checkpoint_every, self.sample_every = grad_clip, checkpoint_every, sample_every
        self.sample, self.callbacks, self.graph, self.tf32 = sample, list(callbacks), graph, tf32
        self.arena = Arena.of(model)
        self.optimizer = AdamW(self.arena, lr, betas, weight_decay=weight_decay)
        Rng(seed)  # a bad seed is found now, not later
        self.ema = EMA(self.arena, ema_decay) if ema_decay is not None else None
        self.xp = xp = self.arena.xp
        self.images = xp.asarray(images).astype(self.arena.dtype, copy=False)
        self.labels = tree_map(xp.asarray, labels, leaf=list)
        self.folder = Path(folder) if folder is not None else None
        self.history = History(self.folder / "log.csv" if self.folder else None)
        self.done = 0
        self._seconds = 0.0
        self._unseen = []  # (step, loss, lr, norm, seconds) of steps whose numbers have not been looked at yet
        self._look_every = 1 if xp is np else GPU_LOOK
        self._device_step = None  # a gpu.training_step.TrainingStep, made when first needed

    # ---- stepping ----------------------------------------------------------------------------------------------------

    def step(self):
        """One training step.   -> the loss, a float (on a GPU a 0-d array, so that nothing waits for it)"""
        start, lr = time.perf_counter(), self.rate(self.done)
        loss, norm = self._on_device() if self._has_kernels() else self._plain_step(lr)
        self.done += 1
        self._seconds += time.perf_counter() - start
        self._unseen.append((self.done, loss, lr, norm, self._seconds))
        if self.done % self._look_every == 0:
            self.look()
        self._after_step()
        return loss

    def _plain_step(self, lr):
        k = self.done
        x0, cond = self.batch(k)
        self.arena.zero_grad()
        with dropout_from(Rng(self.seed, Stream.DROPOUT, k, self.xp)):
            try:
                loss, back = self.objective(self.model, x0, Rng(self.seed, Stream.NOISE, k, self.xp), cond)
            except NotFiniteLoss as error:
                raise NotFinite(k + 1, "the loss", error.value) from None
        look_now = self._look_every == 1
        if look_now:
            loss = float(loss)
            if not np.isfinite(loss):
                raise NotFinite(k + 1, "the loss", loss)
        back()
        norm = clip_grad_norm(self.arena, self.grad_clip)
        if look_now and not np.isfinite(norm):
            raise NotFinite(k + 1, self._bad_gradient())
        self.optimizer.step(lr)
        if self.ema is not None:
            self.ema.update()
        return loss, norm

    def _has_kernels(self):
        """Whether the arrays are such as the GPU room's kernels take, and nobody asked for the plain ops."""
        return hasattr(self.xp, "RawKernel") and self.arena.dtype == np.float32 and not is_plain()

    def _on_device(self):
        if self._device_step is None:
            from ..gpu.training_step import TrainingStep

            self._device_step = TrainingStep(self, self.graph, self.tf32)
        return self._device_step()

    def rate(self, k):
        """The learning rate of step k (from 0)."""
        return learning_rate(k, lr=self.lr, steps=self.steps, warmup=self.warmup, curve=self.curve)

    def batch_indices(self, k):
        """Which examples step k (from 0) trains on.   -> int64 (B,), on the host"""
        return batch_indices(len(self.images), self.batch_size, k, self.seed)

    def uploads(self, k):
        """What step k (from 0) has to bring to the device.   -> a tuple of arrays on the host"""
        return (self.batch_indices(k),)

    def batch_of(self, index):
        """What a step trains on, of its uploads on the device.   -> images (B, ...), labels with B rows or None"""
        return self.images[index], tree_map(lambda a: a[index], self.labels)

    def batch(self, k):
        """What step k (from 0) trains on.   -> images (B, ...), labels with B rows or None"""
        return self.batch_of(*map(self.xp.asarray, self.uploads(k)))

    def run(self, steps=None, progress=True):
        """Up to `steps` further steps (default: all that are left), then a checkpoint.   -> the History

        Ctrl-C ends it after the step that is under way, with a checkpoint too; a second Ctrl-C at once. Raises FolderInUse
        where another process trains into the folder.
        """
        stop = self.steps if steps is None else min(self.steps, self.done + steps)
        bar = self._bar(stop) if progress else contextlib.nullcontext(range(self.done, stop))
        with self._locked(), between_steps() as interrupt, bar as steps_left, contextlib.closing(self.history):
            for _ in steps_left:
                self.step()
                if progress and self.done % self._look_every == 0:
                    steps_left.set_postfix(loss=f"{np.mean(self.history.loss[-50:]):.4f}", refresh=False)
                if interrupt.asked:
                    break
            self.look()
            if self.folder is not None:
                self.save()
        if interrupt.asked:
            raise KeyboardInterrupt
        return self.history

    def _locked(self):
        return contextlib.nullcontext() if self.folder is None else locked(self.folder)

    def _bar(self, stop):
        bar = progress_bar(range(self.done, stop), total=stop, label="training")
        bar.n = bar.initial = self.done  # a resumed run does not begin at nought
        bar.leave = True
        bar.refresh()
        return bar

    def look(self):
        """Bring the numbers of the last steps into the history. Raises NotFinite for the first that is bad."""
        if not self._unseen:
            return
        steps, losses, lrs, norms, seconds = zip(*self._unseen, strict=True)
        self._unseen = []
        if self._look_every > 1:  # one transfer for all of them
            both = to_numpy(self.xp.stack([self.xp.asarray(a, dtype=np.float64) for a in losses + norms]))
            losses, norms = both[: len(losses)], both[len(losses) :]
        for step, loss, lr, norm, elapsed in zip(steps, losses, lrs, norms, seconds, strict=True):
            if not np.isfinite(loss):
                raise NotFinite(step, "the loss", float(loss))
            if not np.isfinite(norm):
                raise NotFinite(step, self._bad_gradient() if step == self.done else "a gradient")
            self.history.add(step=step, loss=float(loss), lr=lr, grad_norm=float(norm), seconds=round(elapsed, 4))

    def _bad_gradient(self):
        name = self.arena.first_bad(self.arena.grads)
        return f"the gradient of {name}" if name else "the norm of the gradients"

    def _after_step(self):
        if self.sample is not None and self.sample_every and self.done % self.sample_every == 0:
            self.sample_grid()
        for callback in self.callbacks:
            callback(self)
        if self.folder is not None and self.checkpoint_every and self.done % self.checkpoint_every == 0:
            self.save()

    # ---- pictures ----------------------------------------------------------------------------------------------------

    def sampling_rng(self):
        """A generator for pictures of this moment: the same for every run of this seed, and apart from training's."""
        return Rng(self.seed, Stream.SAMPLES, self.done, self.xp)

    def sample_grid(self):
        """What `sample` makes of the averaged weights.   -> images; with a folder also saved as samples_STEP.png"""
        if self.ema is None:
            images = self.sample(self)
        else:
            with self.ema.applied():
                images = self.sample(self)
        if self.folder is not None:
            from ..viz import save_png

            save_png(images, self.folder / f"samples_{self.done:06d}.png")
        return images

    # ---- saving and resuming -----------------------------------------------------------------------------------------

    def save(self, path=None):
        """Write a checkpoint (default: into the folder).   -> its path. Raises NotFinite rather than save a broken net."""
        if path is None and self.folder is None:
            raise ValueError("path: got None, and this Trainer has no folder to save in")
        path = Path(path) if path is not None else self.folder / FILE
        self.look()
        self.history.sync()
        write_run(self, path)
        return path

    def resume(self, path=None, strict=True):
        """Go on from a checkpoint (default: the folder's).   -> the trainer itself

        With strict=True raises ValueError when seed or settings differ from those of the run that wrote it, except for a
        larger or smaller number of `steps`; the learning rate then follows the curve of the new number.
        """
        if path is None and self.folder is None:
            raise ValueError("path: got None, and this Trainer has no folder to resume from")
        with self._locked():
            self.done = take_over(self, path if path is not None else self.folder / FILE, strict)
            self._unseen = []
            self.history.resume(self.done)
        self._seconds = self.history.seconds[-1] if len(self.history) else 0.0
        return self
