"""Layers that own parameters. Pure functions, forward and backward, are in `ops`; nets made of layers in `models`."""

from .attention import Attention, SpatialAttention
from .layer import Layer, Param, no_grad, training, training_rng
from .layers import GELU, Conv2d, Dropout, Embedding, GroupNorm, LayerNorm, Linear, Sequential, SiLU

__all__ = [
    "Attention", "Conv2d", "Dropout", "Embedding", "GELU", "GroupNorm", "Layer", "LayerNorm", "Linear", "Param",
    "Sequential", "SiLU", "SpatialAttention", "no_grad", "training", "training_rng",
]  # fmt: skip
