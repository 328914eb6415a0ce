"""The gradient cases of `minidiff gradcheck`, once more on the strict emulator: every op, every layer, every model.

The check itself runs there, slopes and all. Then forward and backward run again and may neither wait nor upload.
"""

import cases_gradients as cases
import pytest


@pytest.mark.parametrize("case", cases.OPS, ids=lambda case: case.__name__)
def test_op(case, xp, count):
    _quietly(xp, cases.op(case, xp))


@pytest.mark.parametrize("case", cases.LAYERS, ids=lambda case: case.__name__)
def test_layer(case, xp):
    step = cases.layer(case, xp)
    if case.__name__ not in cases.HOST_MASK:
        _quietly(xp, step)


def _quietly(xp, step):
    step()
    before = xp.STATS["uploads"]
    with xp.no_sync():
        step()
    assert xp.STATS["uploads"] == before, "numbers were uploaded that are the same every time"
