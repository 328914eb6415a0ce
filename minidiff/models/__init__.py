"""Nets made of layers: functions of (x, t, condition) that know no noise schedule."""

from . import conditioning, unet_blocks
from .classifier import Classifier
from .mlp import MLP
from .unet import UNet
from .unet_condition import TextCondition, UNet2DConditionModel

__all__ = ["Classifier", "MLP", "TextCondition", "UNet", "UNet2DConditionModel", "conditioning", "unet_blocks"]
