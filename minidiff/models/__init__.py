"""Nets made of layers: functions of (x, t, condition) that know no noise schedule."""

from . import conditioning, unet_blocks
from .classifier import Classifier
from .mlp import MLP
from .unet import UNet

__all__ = ["Classifier", "MLP", "UNet", "conditioning", "unet_blocks"]
