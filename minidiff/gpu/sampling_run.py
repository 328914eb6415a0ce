"""A sampler's whole run as one CUDA graph, for those who want many batches of the same kind."""

import numpy as np

from ..samplers import sample
from .recorder import Recorded


class SamplingRun:
    """Batch after batch by one sampler, every kernel of every step in one graph.   run() -> (B, ...)

        run = SamplingRun("ddim", denoiser, (64, 32, 32, 3), Rng(0, xp=cupy), steps=50, cond=labels)
        pictures = [run() for _ in range(100)]      # two runs as they are, a recording, then 97 launches

    rng       a minidiff Rng on the device; batch k is what `sample(..., rng=rng.at(step=rng.step + k))` gives
    options   `sample`'s; graph, tf32: see `recorder.Recorded`
    """

    def __init__(self, name, denoiser, shape, rng, graph=True, tf32=False, **options):
        self.ask, self.rng = (name, denoiser, shape), rng
        self.options, self.clock = options, rng.xp.zeros(1, dtype=np.uint32)
        self.recorded = Recorded(rng.xp, self._run, graph, tf32)

    def _run(self):
        rng = type(self.rng)(self.rng.seed, self.rng.stream, self.rng.step, self.rng.xp, self.clock)
        name, denoiser, shape = self.ask
        x = sample(name, denoiser, shape, rng=rng, device="cuda", graph=None, **self.options)
        self.clock += np.uint32(1)
        return x

    def __call__(self):
        return self.recorded().copy()
