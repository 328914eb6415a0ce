"""Nets made of layers: functions of (x, t, condition) that know no noise schedule."""

from . import conditioning, unet_blocks
from .autoencoder_kl import AutoencoderKL
from .classifier import Classifier
from .clip import CLIP
from .clip_text import CLIPTextModel
from .image_encoder import ImageEncoder
from .mlp import MLP
from .super_resolution import LowResolution, SuperResolutionUNet
from .t5_encoder import T5EncoderModel
from .text_encoder import MaskedLanguageModel, TextEncoder
from .text_unet import TextUNet
from .unclip import EmbeddingUNet, Prior
from .unet import UNet
from .unet_condition import TextCondition, UNet2DConditionModel
from .vq_model import VQModel

__all__ = [
    "AutoencoderKL", "CLIP", "CLIPTextModel", "Classifier", "EmbeddingUNet", "ImageEncoder", "LowResolution", "MLP",
    "MaskedLanguageModel", "Prior", "SuperResolutionUNet", "T5EncoderModel", "TextCondition", "TextEncoder", "TextUNet",
    "UNet", "UNet2DConditionModel", "VQModel", "conditioning", "unet_blocks",
]  # fmt: skip
