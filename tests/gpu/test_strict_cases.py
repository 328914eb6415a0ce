"""The strict emulator's cases on CuPy itself: NumPy's numbers and gradients. Where the emulator is wrong, it shows here."""

import cases_diffusion  # noqa: F401 - the cases register themselves
import cases_gradients
import cases_samplers  # noqa: F401
import cases_training  # noqa: F401
import numpy as np
import pytest
from sides import CASES, Side, compare

on_a_card = pytest.mark.parametrize("xp", [pytest.param("cupy", marks=pytest.mark.gpu)], indirect=True)


@on_a_card
@pytest.mark.parametrize("case", CASES, ids=[f"{i:02}-{case.__name__}" for i, case in enumerate(CASES)])
def test_same_numbers(case, xp):
    compare(case(Side(xp)), case(Side(np)), case.tolerance, case.host)


@on_a_card
@pytest.mark.parametrize("case", cases_gradients.OPS, ids=lambda case: case.__name__)
def test_op(case, xp):
    cases_gradients.op(case, xp)


@on_a_card
@pytest.mark.parametrize("case", cases_gradients.LAYERS, ids=lambda case: case.__name__)
def test_layer(case, xp):
    cases_gradients.layer(case, xp)
