"""Backward of every whole model against the slope of its forward."""

import pytest

from minidiff import selfcheck


@pytest.mark.slow
@pytest.mark.parametrize("case", selfcheck.MODELS, ids=lambda case: case.__name__)
def test_gradients(case):
    _worst, checked = selfcheck.run_seed(case, 5, tolerance=1e-12)
    assert checked > 6
