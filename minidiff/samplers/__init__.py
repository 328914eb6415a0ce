"""Samplers: from noise to an image, by any callable that predicts. One file a family, one short function a sampler.

for step in ddim(denoiser, x, steps=50, eta=0.0, rng=0): ...        # step.i, step.t, step.x, step.x0
x = sample("ddim", denoiser, shape, steps=50, rng=0, progress=True)
"""

from . import convergence as convergence
from .ddim import ddim, ddim_invert
from .ddpm import ddpm, ddpm_respaced, ddpm_subset
from .dpm_solver import dpm_solver, dpmpp_2s
from .dpmpp import dpmpp_2m, dpmpp_2m_sde, dpmpp_sde
from .editing import inpaint, interpolate, repaint, sdedit, slerp
from .euler import euler, euler_ancestral
from .flow import flow_euler, flow_sde
from .heun import heun
from .lms import lms
from .not_finite import NotFinite
from .plms import plms
from .point import Point
from .probability_flow import probability_flow, rk4
from .registry import SAMPLERS, Sampler, find, table
from .run import sample
from .sde import predictor_corrector, reverse_diffusion
from .trajectory import Step, Trajectory
from .unipc import unipc

__all__ = [
    "SAMPLERS", "NotFinite", "Point", "Sampler", "Step", "Trajectory", "ddim", "ddim_invert", "ddpm", "ddpm_respaced",
    "ddpm_subset", "dpm_solver", "dpmpp_2m", "dpmpp_2m_sde", "dpmpp_2s", "dpmpp_sde", "euler", "euler_ancestral", "find",
    "flow_euler", "flow_sde", "heun", "inpaint", "interpolate", "lms", "plms", "predictor_corrector", "probability_flow",
    "repaint", "reverse_diffusion", "rk4", "sample", "sdedit", "slerp", "table", "unipc",
]  # fmt: skip
