"""Every op and layer, by hand, against the slope of its own forward pass, over shapes that hypothesis picks."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minidiff import ops, selfcheck
from minidiff.rng import Rng
from minidiff.settings import plain

SHAPES = dict(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


def _run(case, data):
    rng = Rng(data.draw(st.integers(0, 2**32), label="seed"))
    return selfcheck.run(
        case,
        lambda low, high: data.draw(st.integers(low, high)),
        lambda *shape: rng.standard_normal(shape, dtype=np.float64),
        tolerance=1e-12,
    )


@pytest.mark.parametrize("case", selfcheck.OPS, ids=lambda case: case.__name__)
def test_op(case):
    @settings(max_examples=30, **SHAPES)
    @given(st.data())
    def over_shapes(data):
        _run(case, data)

    over_shapes()


FAST = [name for name in ops.__all__ if hasattr(getattr(ops, name), "reference")]  # ops that have a fast version somewhere
THEIRS = [case for case in selfcheck.OPS if case.__name__.startswith(tuple(FAST))]


@pytest.mark.parametrize("case", THEIRS, ids=lambda case: case.__name__)
def test_reference_behind_a_fast_version(case):
    """What every fast version is held to is itself held to the slope of its forward pass."""

    @settings(max_examples=15, **SHAPES)
    @given(st.data())
    def over_shapes(data):
        with plain():
            _run(case, data)

    over_shapes()


def test_every_op_with_a_fast_version_has_its_reference_checked():
    assert len(FAST) >= 8
    for name in FAST:
        assert any(case.__name__.startswith(name) for case in THEIRS), name


@pytest.mark.parametrize("case", [c for c in selfcheck.LAYERS if c.__name__ != "UNet"], ids=lambda case: case.__name__)
def test_layer(case):
    @settings(max_examples=20, **SHAPES)
    @given(st.data())
    def over_shapes(data):
        _run(case, data)

    over_shapes()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_whole_unet(seed):
    _worst, checked = selfcheck.run_seed(selfcheck.models.UNet, seed, tolerance=1e-12)
    assert checked > 100


@pytest.mark.parametrize("case", [selfcheck.ops.conv2d, selfcheck.layers.ResnetBlock2D], ids=lambda case: case.__name__)
def test_a_case_gets_its_method(case):
    by_step, by_difference = (selfcheck.run_seed(case, 1, method=method)[0] for method in ("complex", "difference"))
    assert (by_step.method, by_difference.method) == ("complex", "difference") and by_step < 1e-12 < by_difference
