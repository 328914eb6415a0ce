"""Layers that own parameters. Pure functions, forward and backward, are in `ops`; models made of layers in `models`."""

from ..settings import no_grad, training, training_rng
from .attention import Attention, SpatialAttention
from .layer import Layer, Param, chain, owned
from .layers import GELU, Conv2d, Dropout, Embedding, GroupNorm, LayerNorm, Linear, Sequential, SiLU
from .transformer import GEGLU, BasicTransformerBlock, FeedForward, RMSNorm, Transformer2DModel, causal_mask

__all__ = [
    "Attention", "BasicTransformerBlock", "Conv2d", "Dropout", "Embedding", "FeedForward", "GEGLU", "GELU", "GroupNorm",
    "Layer", "LayerNorm", "Linear", "Param", "RMSNorm", "Sequential", "SiLU", "SpatialAttention", "Transformer2DModel",
    "causal_mask", "chain", "no_grad", "owned", "training", "training_rng",
]  # fmt: skip
