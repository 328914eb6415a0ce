"""The process: schedule, prediction, loss, guidance. Knows no network: a model here is any callable that predicts."""

from .continuous import EDM, VE, VP, SubVP
from .denoiser import Denoiser
from .edm import EDMDenoiser
from .guidance import cfg, classifier_gradient, classifier_guidance
from .losses import Objective, SimpleLoss
from .mixture import GaussianMixture
from .schedule import Schedule
from .sigmas import exponential_sigmas, karras_sigmas
from .spacing import spaced_steps
from .thresholding import clip_x0, dynamic_threshold

__all__ = [
    "EDM",
    "VE",
    "VP",
    "Denoiser",
    "EDMDenoiser",
    "GaussianMixture",
    "Objective",
    "Schedule",
    "SimpleLoss",
    "SubVP",
    "cfg",
    "classifier_gradient",
    "classifier_guidance",
    "clip_x0",
    "dynamic_threshold",
    "exponential_sigmas",
    "karras_sigmas",
    "spaced_steps",
]
