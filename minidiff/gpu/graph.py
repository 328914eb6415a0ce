"""Whole steps as CUDA graphs: hundreds of small launches recorded once, then started by a single call.

What may stand in a recorded step: kernels, and nothing that uploads, waits, or goes through CuPy's own cuBLAS. What
changes from step to step lies in device memory at fixed addresses: the batch indices, the clock of the random numbers,
the row of the table of learning rates. `record` does the recording; everything else here prepares steps for it.
"""

import numpy as np

from ..data.batches import batch_indices
from ..nn import no_grad
from ..nn import training as dropout_from
from ..training.lr import learning_rate
from ..training.trainer import DROPOUT, NOISE
from . import matmul
from .cublas import Cublas
from .optimizer import Update
from .rng import DeviceRng
from .source import launch

WARM_UPS = 2  # runs before the recording: kernels are compiled, tables uploaded, memory taken


class CudaRecorder:
    """Runs steps on a stream, in a memory pool and with a cuBLAS handle of its own, and records them.

    tf32  factors of products rounded to 10 bits, as PyTorch's convolutions are by default

    The pool is private because what is freed while recording is otherwise handed to others, over whose data the replay
    would then write.
    """

    def __init__(self, xp, tf32=False):
        self.xp, self.stream, self.pool = xp, xp.cuda.Stream(non_blocking=True), xp.cuda.MemoryPool()
        with self.stream, xp.cuda.using_allocator(self.pool.malloc):
            self.blas = Cublas(xp, self.stream.ptr, tf32)

    def run(self, step):
        """step() as it is, where the recording will run.   -> what it returns"""
        self._after(self.xp.cuda.get_current_stream(), self.stream)
        with self.stream, self.xp.cuda.using_allocator(self.pool.malloc), matmul.using(self.blas):
            result = step()
        self._after(self.stream, self.xp.cuda.get_current_stream())
        return result

    def record(self, step):
        """-> replay, what step() returned: replay() does again what step() does, into the same memory"""

        def recorded():
            self.stream.begin_capture()
            try:
                result = step()
            finally:
                graph = self.stream.end_capture()
            return graph, result

        self.stream.synchronize()
        graph, result = self.run_here(recorded)

        def replay():
            current = self.xp.cuda.get_current_stream()
            self._after(current, self.stream)
            graph.launch(self.stream)
            self._after(self.stream, current)

        return replay, result

    def run_here(self, step):
        """As `run`, without waiting for anybody: inside a recording there is nobody to wait for."""
        with self.stream, self.xp.cuda.using_allocator(self.pool.malloc), matmul.using(self.blas):
            return step()

    def _after(self, first, then):
        """`then` waits, on the device, for what `first` has been given so far."""
        if first.ptr != then.ptr:
            event = self.xp.cuda.Event(disable_timing=True)
            event.record(first)
            then.wait_event(event)


class Recorded:
    """A step that runs as it is WARM_UPS times, is recorded, and is replayed ever after. Every call is a real step."""

    def __init__(self, step, recorder):
        self.step, self.recorder = step, recorder
        self.runs, self.replay, self.result = 0, None, None

    def __call__(self):
        """-> what the step returns; from the recording on, always the same arrays with new contents"""
        self.runs += 1
        if self.runs <= WARM_UPS:
            return self.recorder.run(self.step)
        if self.replay is None:
            self.replay, self.result = self.recorder.record(self.step)
        self.replay()
        return self.result


class TrainingStep:
    """`Trainer.step` as one graph, for a float32 model on the device.   step() -> loss, norm: 0-d and (1,) device arrays

    trainer   a Trainer; its objective must draw its times on the device ("uniform" does)
    recorder  None makes a CudaRecorder

    The same batches, noise and updates as the trainer's own step; `finish()` hands the counts back, after which the
    trainer can save, sample, or go on by itself. Ordinary: history, pictures and callbacks are the caller's affair here.
    """

    def __init__(self, trainer, recorder=None, tf32=False):
        self.trainer, xp = trainer, trainer.xp
        if trainer.arena.dtype != np.float32 or not hasattr(xp, "RawKernel"):
            raise TypeError(f"trainer: a graph needs a float32 model on a GPU, got {trainer.arena.dtype} on {xp.__name__}")
        rates = [learning_rate(k, lr=trainer.lr, steps=trainer.steps, warmup=trainer.warmup, curve=trainer.curve)
                 for k in range(trainer.done, trainer.steps)]  # fmt: skip
        self.update = Update(trainer.optimizer, trainer.ema, rates, trainer.grad_clip)
        self.clock = xp.full(1, trainer.done, dtype=np.uint32)
        self.index = xp.asarray(self._indices())
        self.recorded = Recorded(self._step, CudaRecorder(xp, tf32) if recorder is None else recorder)

    def _indices(self):
        trainer = self.trainer
        return batch_indices(len(trainer.images), trainer.batch_size, trainer.done, trainer.seed)

    def _step(self):
        """What is recorded."""
        trainer, xp = self.trainer, self.trainer.xp
        x0, cond = trainer.images[self.index], _each(trainer.labels, lambda a: a[self.index])
        trainer.arena.grads.fill(0)
        with dropout_from(DeviceRng(trainer.seed, DROPOUT, xp=xp, clock=self.clock)):
            noise = DeviceRng(trainer.seed, NOISE, xp=xp, clock=self.clock)
            loss, back = trainer.objective(trainer.model, x0, noise, cond)
        back()
        self.update.launch()
        launch(xp, "next_step", (1,), (1,), self.clock)
        return loss, self.update.norm

    def __call__(self):
        self.index.set(self._indices())
        self.update.count()
        result = self.recorded()
        self.trainer.done += 1
        return result

    def finish(self):
        """Bring the counts of optimizer and average up to date."""
        self.update.finish()


class SamplingStep:
    """A network's answer as one graph, in the network's place: sampler(Denoiser(SamplingStep(model, shape), schedule))

    model   a Layer, float32, on the device   shape: of x, (B, ...)   cond: what it will be given, one a sample, or None
    The time goes into device memory, so that one recording serves all of them. x and cond are copied in, the answer out.
    """

    def __init__(self, model, shape, cond=None, xp=None, recorder=None, tf32=False):
        self.model, self.xp = model, xp
        self.x, self.t = xp.zeros(shape, dtype=np.float32), xp.zeros(shape[:1], dtype=np.float32)
        self.cond = _each(cond, lambda a: a.copy())
        self.recorded = Recorded(self._step, CudaRecorder(xp, tf32) if recorder is None else recorder)

    def _step(self):
        with no_grad():
            return self.model.predict(self.x, self.t, self.cond)

    def __call__(self, x, t, cond=None):
        if x.shape != self.x.shape or (cond is None) != (self.cond is None):
            raise ValueError(f"x: got {x.shape}, cond {'missing' if cond is None else 'given'}; recorded for {self.x.shape}")
        self.x[...] = x
        self.t[...] = t
        if cond is not None:
            _fill(self.cond, cond)
        return self.recorded().copy()


def _each(arrays, f):
    """f of every array, in the same arrangement."""
    if arrays is None:
        return None
    if isinstance(arrays, dict):
        return {name: f(a) for name, a in arrays.items()}
    return tuple(map(f, arrays)) if isinstance(arrays, tuple) else f(arrays)


def _fill(buffers, arrays):
    """Copy arrays into buffers of the same arrangement."""
    if isinstance(buffers, dict):
        for name, buffer in buffers.items():
            buffer[...] = arrays[name]
    elif isinstance(buffers, tuple):
        for buffer, array in zip(buffers, arrays, strict=True):
            buffer[...] = array
    else:
        buffers[...] = arrays
