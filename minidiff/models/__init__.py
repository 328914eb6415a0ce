"""Models made of layers: functions of (x, t, condition) that know no noise schedule."""

from . import conditioning
from .autoencoder_kl import AutoencoderKL
from .classifier import Classifier
from .clip import CLIP
from .clip_text import CLIPTextModel
from .dit import DiT
from .image_encoder import ImageEncoder
from .mlp import MLP
from .pixart import PixArt
from .t5_encoder import T5EncoderModel
from .text_condition import TextCondition
from .text_encoder import MaskedLanguageModel, TextEncoder
from .unclip import EmbeddingUNet, Prior
from .unet import LowResolution, SuperResolutionUNet, TextUNet, UNet, UNet2DConditionModel
from .unet import blocks as unet_blocks
from .unet import text as text_unet
from .vq_model import VQModel

__all__ = [
    "AutoencoderKL", "CLIP", "CLIPTextModel", "Classifier", "DiT", "EmbeddingUNet", "ImageEncoder", "LowResolution", "MLP",
    "MaskedLanguageModel", "PixArt", "Prior", "SuperResolutionUNet", "T5EncoderModel", "TextCondition", "TextEncoder",
    "TextUNet", "UNet", "UNet2DConditionModel", "VQModel", "conditioning", "text_unet", "unet_blocks",
]  # fmt: skip
