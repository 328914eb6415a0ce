"""The process: schedule, prediction, loss, guidance. Knows no network: a model here is any callable that predicts."""

from .denoiser import Denoiser
from .schedule import Schedule

__all__ = ["Denoiser", "Schedule"]
