"""The activations, beside silu and gelu, that checkpoints of other libraries name."""

import math

from .. import complex_step
from ..backend import xp_of
from ..names import check_choice
from . import check
from .activation import above, gelu, half_in_float32, held, sigmoid, silu
from .dispatch import has_fast_version


def relu(x):
    """y = max(x, 0).   x (...)   ->   y (...)"""
    check.floats("relu", x=x)
    positive = x > 0

    def back(dy):  # saved: where x is positive
        return dy * positive

    return complex_step.maximum(x, 0), back


@half_in_float32
def mish(x):
    """y = x tanh(log(1 + exp(x))). Misra 2019 (arXiv:1908.08681).   x (...)   ->   y (...)"""
    check.floats("mish", x=x)
    xp = xp_of(x)
    soft = complex_step.maximum(x, 0) + xp.log1p(xp.exp(-complex_step.absolute(x)))  # log(1 + exp(x)), and no x overflows
    t = xp.tanh(soft)

    def back(dy):  # saved: x, t
        return dy * (t + held(x) * (1.0 - t * t) * sigmoid(x))

    return above(x) * t, back


@half_in_float32
def quick_gelu(x):
    """y = x sigmoid(1.702 x): the cheap approximation of gelu that OpenAI's CLIP was trained with.   x (...)   ->   y (...)"""
    check.floats("quick_gelu", x=x)
    s = sigmoid(1.702 * held(x))

    def back(dy):  # saved: x, s
        return dy * (s + 1.702 * held(x) * s * (1.0 - s))

    return above(x) * s, back


@has_fast_version(lambda x: check.floats("gelu_tanh", x=x))
@half_in_float32
def gelu_tanh(x):
    """y = x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2, gelu's first approximation (arXiv:1606.08415).   x (...)   ->   y

    Fast: cpu.gelu_tanh
    """
    root, z = math.sqrt(2.0 / math.pi), held(x)
    t = xp_of(x).tanh(root * (z + 0.044715 * z * z * z))

    def back(dy):  # saved: x held, t
        dinner = root * (1.0 + 3 * 0.044715 * z * z)
        return dy * (0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * dinner)

    return above(x) * (0.5 * (1.0 + t)), back


ACTIVATIONS = {
    "silu": silu, "swish": silu, "gelu": gelu, "relu": relu, "mish": mish, "quick_gelu": quick_gelu,
    "gelu_new": gelu_tanh, "gelu-approximate": gelu_tanh, "gelu_pytorch_tanh": gelu_tanh,
}  # fmt: skip


def activation(name):
    """The op of that name, as configs spell it.   "silu" -> ops.silu.   Raises ValueError with the nearest name."""
    check_choice("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]
