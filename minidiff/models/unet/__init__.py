"""The U-Nets: the plain one in plain.py, and those that add to it or differ from it, a file each."""

from .condition import TextCondition, UNet2DConditionModel
from .plain import UNet
from .super_resolution import LowResolution, SuperResolutionUNet
from .text import TextUNet

__all__ = ["LowResolution", "SuperResolutionUNet", "TextCondition", "TextUNet", "UNet", "UNet2DConditionModel"]
