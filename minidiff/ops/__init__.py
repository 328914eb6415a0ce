"""Pure functions, forward and backward together:   y, back = op(x, *params, **options)   dx, *dparams = back(dy)

Letters: B batch, H W image, C O channels in and out, N M tokens, D E features, K kernel, G groups, V table rows.
Images are (B, H, W, C), tokens (B, N, D), convolution weights (KH, KW, C, O), linear weights (I, O).
dz is dLoss/dz, of z's shape. An op returns the dtype it was given. `back` changes nothing and may be called again.
"""

from ..settings import no_grad as no_grad  # settings are not ops, so they are not in __all__
from ..settings import plain as plain
from .activation import gelu, sigmoid, silu, softmax
from .attention import attention
from .concat import concat
from .conv2d import conv2d
from .dispatch import which as which  # not an op, so it is not in __all__
from .dropout import dropout
from .embedding import embedding, timestep_embedding
from .fir import fir_downsample, fir_upsample
from .geglu import geglu
from .linear import linear
from .loss import cross_entropy, mse
from .modulate import gated_add, modulate
from .named import gelu_tanh, mish, quick_gelu, relu
from .norm import group_norm, layer_norm
from .norm_silu import group_norm_silu
from .patches import depth_to_space, space_to_depth
from .resample import avg_pool, upsample_nearest
from .resize import resize_nearest
from .rms_norm import rms_norm
from .sliced_attention import sliced_attention

__all__ = [
    "attention", "avg_pool", "concat", "conv2d", "cross_entropy", "depth_to_space", "dropout",
    "embedding", "fir_downsample", "fir_upsample", "gated_add", "geglu", "gelu", "gelu_tanh", "group_norm", "group_norm_silu",
    "layer_norm", "linear", "mish", "modulate", "mse", "quick_gelu", "relu", "resize_nearest", "rms_norm", "sigmoid", "silu",
    "sliced_attention", "softmax", "space_to_depth", "timestep_embedding", "upsample_nearest",
]  # fmt: skip
