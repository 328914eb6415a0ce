"""The gradient cases of `minidiff gradcheck` on a device: on the strict emulator, or on CuPy itself (tests/gpu)."""

import numpy as np
from sides import compare, grads

from minidiff import selfcheck
from minidiff.gradcheck import check, check_layer
from minidiff.rng import Rng

MODELS = [*selfcheck.MODELS, selfcheck.models.VQModel]
BIG = {"UNet", *(case.__name__ for case in MODELS)}  # checked against NumPy's gradients, which tests/models checks: seconds
HOST_MASK = {"TextUNet", "SuperResolutionUNet", "Prior"}  # whose cases hold a mask on the host, taken up in every call
VQ = {"VQModel": "its codes are an argmin over distances; no gradient is asked of it here"}


def _case(case, randn=None):
    rng = Rng(3)
    return case(lambda low, high: int(rng.integers(low, high + 1)), randn or (lambda *s: rng.standard_normal(s, np.float64)))


def _up(xp, arrays):
    def one(a):
        if isinstance(a, tuple):
            return type(a)(*map(one, a))  # a TextCondition
        return xp.asarray(a) if isinstance(a, np.ndarray) else a

    return [one(a) for a in arrays]


OPS = selfcheck.OPS
LAYERS = [c for c in [*selfcheck.LAYERS, *MODELS] if c.__name__ not in VQ]


def op(case, xp):
    """Check the op's gradients on xp.   ->   a step, forward and backward, to run again"""
    rng = Rng(3)
    f, arrays = _case(case, lambda *s: xp.asarray(rng.standard_normal(s, np.float64)))
    check(f, *arrays, tolerance=1e-12, method="complex")
    y, _ = f(*arrays)
    dy = xp.asarray(Rng(1).standard_normal(y.shape, np.float64))
    return lambda: f(*arrays)[1](dy)


def layer(case, xp):
    """Check the layer's gradients on xp and hold them to NumPy's.   ->   a step, forward and backward, to run again"""
    layer, arrays = _case(case)
    layer.astype(np.float64)
    y, back = layer(*arrays)
    dy = Rng(1).standard_normal(y.shape, np.float64)
    layer.zero_grad()
    dx = back(dy)
    by_numpy = {name: grad.copy() for name, grad in grads(layer).items()}
    layer.to("cuda")
    device, ddy = _up(xp, arrays), xp.asarray(dy)
    if case.__name__ not in BIG:
        check_layer(layer, *device, tolerance=1e-12, method="complex")
    y2, back2 = layer(*device)
    compare((y2, back2(ddy), grads(layer)), (y, dx, by_numpy), 1e-7)
    return lambda: layer(*device)[1](ddy)
