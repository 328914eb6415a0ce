"""What the samplers' tests share: the field's little test model, its start, and where its figures are."""

import json
from pathlib import Path

import numpy as np
import pytest

from minidiff.diffusion import Denoiser, Schedule

ORACLES = Path(__file__).parent.parent / "oracles"


class Float32Schedule(Schedule):
    """A Schedule whose alpha_bar is accumulated in float32, as the schedulers that the figures come from do."""

    def __post_init__(self):
        super().__post_init__()
        alpha_bar = np.cumprod(np.float32(1) - self.betas.astype(np.float32), dtype=np.float32)
        object.__setattr__(self, "alpha_bar", alpha_bar.astype(np.float64))


class Fixture:
    """f(x, t) = x t / (t + 1) from arange / 768, as in the scheduler tests of Hugging Face diffusers."""

    @staticmethod
    def start(shape=(3, 8, 8, 4), backwards=False):
        x = np.arange(np.prod(shape))
        x = (x[::-1] if backwards else x).reshape(shape) / x.size
        return np.ascontiguousarray(np.moveaxis(x, -1, 0)).astype(np.float32)  # (4, 3, 8, 8)

    @staticmethod
    def model(x, t, cond=None):
        return x * (t / (t + 1))

    @staticmethod
    def whole_t_model(x, t, cond=None):
        return Fixture.model(x, round(t))

    @staticmethod
    def schedule(T=1000, beta_start=1e-4, tables="float64"):
        kind = Float32Schedule if tables == "float32" else Schedule
        return kind(np.linspace(beta_start, 0.02, T))

    @staticmethod
    def denoiser(predicts="eps", whole_t=False, **schedule):
        return Denoiser(Fixture.whole_t_model if whole_t else Fixture.model, Fixture.schedule(**schedule), predicts)

    @staticmethod
    def last(run):
        """The x that a run ends with."""
        *_, step = run
        return step.x


@pytest.fixture
def fx():
    return Fixture


def pytest_generate_tests(metafunc):
    """A test that asks for `run_row` or `step_row` is run for each row of tests/oracles/samplers.json."""
    for fixture, kind in (("run_row", "runs"), ("step_row", "steps")):
        if fixture in metafunc.fixturenames:
            rows = json.loads((ORACLES / "samplers.json").read_text())[kind]
            metafunc.parametrize(fixture, rows, ids=[row["id"] for row in rows])


@pytest.fixture
def oracles():
    return json.loads((ORACLES / "samplers.json").read_text())
