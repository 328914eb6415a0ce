"""The gradient cases of `minidiff gradcheck`, once more on the stand-in: every op, every layer, every model.

The check itself runs there, slopes and all. Then forward and backward run again and may neither wait nor upload.
"""

import numpy as np
import pytest
from sides import compare, grads

from minidiff import selfcheck, selfcheck_models
from minidiff.gradcheck import check, check_layer
from minidiff.rng import Rng

MODELS = [*selfcheck_models.MODELS, selfcheck_models.VQModel]
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


@pytest.mark.parametrize("case", selfcheck.OPS, ids=lambda case: case.__name__)
def test_op(case, xp, count):
    rng = Rng(3)
    f, arrays = _case(case, lambda *s: xp.asarray(rng.standard_normal(s, np.float64)))
    check(f, *arrays, tolerance=1e-7)
    y, _ = f(*arrays)
    dy = xp.asarray(Rng(1).standard_normal(y.shape, np.float64))
    _quietly(xp, lambda: f(*arrays)[1](dy))


@pytest.mark.parametrize(
    "case", [c for c in [*selfcheck.LAYERS, *MODELS] if c.__name__ not in VQ], ids=lambda case: case.__name__
)
def test_layer(case, xp):
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
        check_layer(layer, *device, tolerance=1e-6)
    y2, back2 = layer(*device)
    compare((y2, back2(ddy), grads(layer)), (y, dx, by_numpy), 1e-7)
    if case.__name__ not in HOST_MASK:
        _quietly(xp, lambda: layer(*device)[1](ddy))


def _quietly(xp, step):
    step()
    before = xp.STATS["uploads"]
    with xp.no_sync():
        step()
    assert xp.STATS["uploads"] == before, "numbers were uploaded that are the same every time"
