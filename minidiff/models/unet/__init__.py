"""The U-Nets: the plain one in plain.py; each variant has its own file."""

from ..text_condition import TextCondition
from .condition import UNet2DConditionModel
from .k_diffusion import KUNet
from .ncsnpp import NCSNpp
from .plain import UNet
from .super_resolution import LowResolution, SuperResolutionUNet
from .text import TextUNet

UNet.families = (KUNet, NCSNpp)  # UNet(...) with their blocks builds one of these

__all__ = [
    "KUNet", "LowResolution", "NCSNpp", "SuperResolutionUNet", "TextCondition", "TextUNet", "UNet", "UNet2DConditionModel",
]  # fmt: skip
