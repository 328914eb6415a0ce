"""A net, an objective and points, small enough for a training step of a millisecond."""

import numpy as np
import pytest

from minidiff import models
from minidiff.rng import Rng
from minidiff.training import Trainer


def predict_noise(model, x0, rng, cond=None):
    """The simple loss at one fixed noise level: enough for everything that training does around it."""
    eps = rng.standard_normal(x0.shape, dtype=x0.dtype)
    y, back_model = model(0.6 * x0 + 0.8 * eps, 10, cond)
    error = y - eps
    return float((error * error).mean()), lambda: back_model(error * (2 / error.size))


@pytest.fixture
def objective():
    return predict_noise


@pytest.fixture
def points():
    return Rng(5, stream=9).standard_normal((50, 2))


@pytest.fixture
def net():
    """net(seed=0, **options) -> a small MLP."""
    return lambda seed=0, **options: models.MLP(**{"width": 16, "depth": 1, "rng": Rng(seed), **options})


@pytest.fixture
def trainer(net, objective, points):
    """trainer(**options) -> a Trainer of 20 steps on that net; its arguments may be overridden."""

    def make(model=None, images=points, **options):
        options = {"objective": objective, "steps": 20, "batch_size": 8, "lr": 1e-2, "warmup": 3, "ema_decay": 0.9, **options}
        return Trainer(model or net(), options.pop("objective"), images, **options)

    return make


@pytest.fixture
def same():
    """same(a, b): two arrays, or two {name: array}, are equal to the last bit."""

    def check(a, b):
        if isinstance(a, dict):
            assert a.keys() == b.keys()
            return all(check(a[name], b[name]) for name in a)
        return a.dtype == b.dtype and a.shape == b.shape and np.asarray(a).tobytes() == np.asarray(b).tobytes()

    return check
