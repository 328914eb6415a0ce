"""Samplers: from noise to a picture, by any callable that predicts. One file a family, one short generator a sampler.

    for step in ddim(denoiser, x, steps=50, eta=0.0, rng=0): ...        # step.i, step.t, step.x, step.x0
    x = sample("ddim", denoiser, shape, steps=50, rng=0, progress=True)
"""

from .ddim import ddim, ddim_invert
from .ddpm import ddpm, ddpm_respaced, ddpm_subset
from .registry import SAMPLERS, Sampler, find, table
from .run import sample
from .stepping import Path, Point, Step

__all__ = [
    "SAMPLERS", "Path", "Point", "Sampler", "Step", "ddim", "ddim_invert", "ddpm", "ddpm_respaced", "ddpm_subset", "find",
    "sample", "table",
]
