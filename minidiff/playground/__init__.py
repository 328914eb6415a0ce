"""A page that shows diffusion in any browser, the models that it plays with, and the server of `minidiff playground`."""

from .models import denoiser, names
from .serve import Server

__all__ = ["Server", "denoiser", "names"]
