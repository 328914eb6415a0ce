"""The process: schedule, prediction, loss, guidance. Knows no network: a model here is any callable that predicts."""

from .cascade import CascadeLoss, noised_low
from .continuous import EDM, VE, VP, SubVP
from .denoiser import Denoiser
from .edm import EDMDenoiser
from .edm_loss import EDMLoss
from .flow import Flow, Interpolant
from .guidance import cfg, classifier_gradient, classifier_guidance
from .likelihood import bits_per_dim, dequantize, ode_log_likelihood
from .losses import Objective, SimpleLoss
from .mixture import GaussianMixture
from .noise_level import estimate_t, noise_std, t_of_noise_std
from .ode import rk45
from .pairing import optimal_pairs
from .posterior import Posterior
from .reflow import ReflowLoss, pairs, straightness
from .schedule import Schedule
from .score_matching import ScoreMatching
from .sigmas import beta_sigmas, exponential_sigmas, karras_sigmas
from .spacing import spaced_steps
from .thresholding import clip_x0, dynamic_threshold
from .vlb import variational_bound
from .vlb_losses import HybridLoss, VLBLoss

__all__ = [
    "EDM",
    "VE",
    "VP",
    "CascadeLoss",
    "Denoiser",
    "EDMDenoiser",
    "EDMLoss",
    "Flow",
    "GaussianMixture",
    "HybridLoss",
    "Interpolant",
    "Objective",
    "Posterior",
    "ReflowLoss",
    "Schedule",
    "ScoreMatching",
    "SimpleLoss",
    "SubVP",
    "VLBLoss",
    "beta_sigmas",
    "bits_per_dim",
    "cfg",
    "classifier_gradient",
    "classifier_guidance",
    "clip_x0",
    "dequantize",
    "dynamic_threshold",
    "estimate_t",
    "exponential_sigmas",
    "karras_sigmas",
    "noise_std",
    "noised_low",
    "ode_log_likelihood",
    "optimal_pairs",
    "pairs",
    "rk45",
    "spaced_steps",
    "straightness",
    "t_of_noise_std",
    "variational_bound",
]
