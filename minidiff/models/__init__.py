"""Nets made of layers: functions of (x, t, condition) that know no noise schedule."""

from . import conditioning, unet_blocks
from .autoencoder_kl import AutoencoderKL
from .classifier import Classifier
from .clip_text import CLIPTextModel
from .mlp import MLP
from .t5_encoder import T5EncoderModel
from .unet import UNet
from .unet_condition import TextCondition, UNet2DConditionModel
from .vq_model import VQModel

__all__ = [
    "AutoencoderKL", "CLIPTextModel", "Classifier", "MLP", "T5EncoderModel", "TextCondition", "UNet", "UNet2DConditionModel",
    "VQModel", "conditioning", "unet_blocks",
]  # fmt: skip
