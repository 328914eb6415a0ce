"""Pure functions, forward and backward together:   y, back = op(x, *params, **options)   dx, *dparams = back(dy)

Letters: B batch, H W image, C O channels in and out, N M tokens, D E features, K kernel, G groups, V table rows.
Images are (B, H, W, C), tokens (B, N, D), convolution weights (KH, KW, C, O), linear weights (I, O).
dz is dLoss/dz, of z's shape. An op returns the dtype it was given. `back` changes nothing and may be called again.
"""

from .activation import gelu, sigmoid, silu, softmax
from .attention import attention
from .concat import concat
from .conv2d import conv2d
from .dropout import dropout
from .embedding import embedding, timestep_embedding
from .linear import linear
from .loss import mse
from .norm import group_norm, layer_norm
from .resample import avg_pool, upsample_nearest

__all__ = [
    "attention", "avg_pool", "concat", "conv2d", "dropout", "embedding", "gelu", "group_norm", "layer_norm", "linear",
    "mse", "sigmoid", "silu", "softmax", "timestep_embedding", "upsample_nearest",
]  # fmt: skip
