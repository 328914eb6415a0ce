"""A sampler's whole run as one CUDA graph, for many batches of the same kind."""

import numpy as np

from ..gpu.recorder import Recorded
from ..rng import Rng
from .not_finite import check
from .run import sample
from .trajectory import Step


class SamplingRun:
    """Batch after batch by one sampler, every kernel of every step in one graph.   run() -> (B, ...)

        run = SamplingRun("ddim", denoiser, (64, 32, 32, 3), Rng(0, xp=cupy), steps=50, cond=labels)
        images = [run() for _ in range(100)]      # two runs as they are, a recording, then 97 launches

    rng       a minidiff Rng on the device; batch k is what `sample(..., rng=rng.at(step=rng.step + k))` gives
    options   `sample`'s; graph, tf32: see `gpu.recorder.Recorded`
    """

    def __init__(self, name, denoiser, shape, rng, graph=True, tf32=False, **options):
        self.sampled, self.options, self.clock = (name, denoiser, shape), options, rng.xp.zeros(1, dtype=np.uint32)
        self.rng = Rng(rng.seed, rng.stream, rng.step, rng.xp, self.clock)
        self.recorded = Recorded(rng.xp, self._run, graph, tf32)

    def _run(self):
        x = sample(*self.sampled, rng=self.rng.at(), device="cuda", graph=None, **self.options)
        self.clock += np.uint32(1)
        return x

    def __call__(self):
        x = self.recorded().copy()
        check(Step(None, None, x, None), self.sampled[0])  # once a batch: a recording cannot look at its own numbers
        return x
