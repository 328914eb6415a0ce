"""The activations that other people's checkpoints ask for by name, beside silu and gelu."""

import difflib
import math

from ..backend import xp_of
from . import check
from .activation import gelu, sigmoid, silu


def relu(x):
    """y = max(x, 0).   x (...)   ->   y (...)"""
    check.floats("relu", x=x)
    positive = (x > 0).astype(x.dtype)

    def back(dy):  # saved: where x is positive
        return dy * positive

    return x * positive, back


def mish(x):
    """y = x tanh(log(1 + exp(x))). Misra 2019 (arXiv:1908.08681).   x (...)   ->   y (...)"""
    check.floats("mish", x=x)
    xp = xp_of(x)
    soft = xp.maximum(x, 0) + xp.log1p(xp.exp(-abs(x)))  # log(1 + exp(x)), and no x overflows
    t = xp.tanh(soft)

    def back(dy):  # saved: x, t
        return dy * (t + x * (1.0 - t * t) * sigmoid(x))

    return x * t, back


def quick_gelu(x):
    """y = x sigmoid(1.702 x): the cheap stand-in for gelu that OpenAI's CLIP was trained with.   x (...)   ->   y (...)"""
    check.floats("quick_gelu", x=x)
    s = sigmoid(1.702 * x)

    def back(dy):  # saved: x, s
        return dy * (s + 1.702 * x * s * (1.0 - s))

    return x * s, back


def gelu_tanh(x):
    """y = x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2, gelu's first stand-in (arXiv:1606.08415).   x (...)   ->   y"""
    check.floats("gelu_tanh", x=x)
    root = math.sqrt(2.0 / math.pi)
    t = xp_of(x).tanh(root * (x + 0.044715 * x * x * x))

    def back(dy):  # saved: x, t
        dinner = root * (1.0 + 3 * 0.044715 * x * x)
        return dy * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * dinner)

    return x * (0.5 * (1.0 + t)), back


ACTIVATIONS = {
    "silu": silu, "swish": silu, "gelu": gelu, "relu": relu, "mish": mish, "quick_gelu": quick_gelu,
    "gelu_new": gelu_tanh, "gelu_pytorch_tanh": gelu_tanh,
}  # fmt: skip


def activation(name):
    """The op of that name, as configs spell it.   "silu" -> ops.silu.   Raises ValueError with the nearest name."""
    if name not in ACTIVATIONS:
        near = difflib.get_close_matches(str(name), ACTIVATIONS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"activation: got {name!r}, expected one of {', '.join(ACTIVATIONS)}{hint}")
    return ACTIVATIONS[name]
