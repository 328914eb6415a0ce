"""Layers for the ops with parameters. Each layer keeps Params, calls its op, and adds the op's gradients to them.

Initialisation is PyTorch's default, drawn in PyTorch's order and layout, so that one stream of random numbers
gives the same network in both libraries: weights and biases of Linear and Conv2d uniform in +-1/sqrt(fan_in),
embeddings normal, norms 1 and 0.
"""

import math

import numpy as np

from .. import ops
from ..rng import as_rng
from ..settings import training_rng
from .layer import Layer, Param, chain, owned


class Linear(Layer):
    """y = x W + b.   x (..., i)   ->   y (..., o)"""

    def __init__(self, i, o, bias=True, rng=None):
        rng, bound = as_rng(rng), 1.0 / math.sqrt(i)
        self.weight = Param(_uniform(rng, (o, i), bound).T.copy())  # (i, o)
        self.bias = Param(_uniform(rng, (o,), bound)) if bias else None

    def forward(self, x):
        w, b = self.weight, self.bias
        return owned(*ops.linear(x, w.value, b and b.value), w, b)


class Conv2d(Layer):
    """A convolution over images.   x (B, H, W, c)   ->   y (B, OH, OW, o).   kernel: a number, or (KH, KW)"""

    def __init__(self, c, o, kernel, stride=1, padding=0, bias=True, rng=None):
        kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
        rng, bound = as_rng(rng), 1.0 / math.sqrt(c * kh * kw)
        self.weight = Param(_uniform(rng, (o, c, kh, kw), bound).transpose(2, 3, 1, 0).copy())  # (KH, KW, c, o)
        self.bias = Param(_uniform(rng, (o,), bound)) if bias else None
        self.stride, self.padding = stride, padding

    def forward(self, x):
        w, b = self.weight, self.bias
        return owned(*ops.conv2d(x, w.value, b and b.value, self.stride, self.padding), w, b)


class GroupNorm(Layer):
    """Normalise over space and groups of channels.   x (B, ..., channels)   ->   y, x's shape

    With silu=True the activation is applied too. Then temb (B, channels) may be given, a vector that is first added to every
    pixel, and back(dy) -> (dx, dtemb).
    """

    def __init__(self, groups, channels, eps=1e-5):
        if channels % groups:
            raise ValueError(f"GroupNorm: groups is {groups}, expected a divisor of the {channels} channels")
        self.weight, self.bias = Param(np.ones(channels, np.float32)), Param(np.zeros(channels, np.float32))
        self.groups, self.eps = groups, eps

    def forward(self, x, silu=False, temb=None):
        gamma, beta = self.weight, self.bias
        if temb is None:
            op = ops.group_norm_silu if silu else ops.group_norm
            return owned(*op(x, gamma.value, beta.value, self.groups, self.eps), gamma, beta)
        y, back_op = ops.group_norm_silu(x, gamma.value, beta.value, self.groups, self.eps, temb)

        def back(dy):
            dx, dgamma, dbeta, dtemb = back_op(dy)
            gamma.grad += dgamma
            beta.grad += dbeta
            return dx, dtemb

        return y, back


class LayerNorm(Layer):
    """Normalise each row of features.   x (..., features)   ->   y, x's shape"""

    def __init__(self, features, eps=1e-5):
        self.weight, self.bias = Param(np.ones(features, np.float32)), Param(np.zeros(features, np.float32))
        self.eps = eps

    def forward(self, x):
        gamma, beta = self.weight, self.bias
        return owned(*ops.layer_norm(x, gamma.value, beta.value, self.eps), gamma, beta)


class Embedding(Layer):
    """A row for each index.   index integers (...)   ->   (..., features).   back(dy) -> None: an index has no gradient"""

    def __init__(self, rows, features, rng=None):
        self.weight = Param(as_rng(rng).standard_normal((rows, features), dtype=np.float32))

    def forward(self, index):
        table = self.weight
        y, back_op = ops.embedding(table.value, index)

        def back(dy):
            table.grad += back_op(dy)

        return y, back


class SiLU(Layer):
    """x sigmoid(x)."""

    def forward(self, x):
        return ops.silu(x)


class GELU(Layer):
    """x Phi(x), exact."""

    def forward(self, x):
        return ops.gelu(x)


class Dropout(Layer):
    """Drops with probability p inside `with training(rng):`, and is the identity elsewhere."""

    def __init__(self, p=0.5):
        if not 0 <= p < 1:
            raise ValueError(f"Dropout: p is {p}, expected a probability in [0, 1)")
        self.p = p

    def forward(self, x):
        rng = training_rng()
        if rng is None or self.p == 0:
            return x, lambda dy: dy
        return ops.dropout(x, self.p, rng)


class Sequential(Layer):
    """Layers one after another; forward runs down the list, back runs up."""

    def __init__(self, *layers):
        self.layers = list(layers)

    def forward(self, x):
        return chain(self.layers, x)


def _uniform(rng, shape, bound):
    return rng.random(shape, dtype=np.float32) * np.float32(2 * bound) - np.float32(bound)
