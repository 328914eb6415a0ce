"""Small hand-written nets in float64, a numerical derivative of a whole loss, and the stored numbers."""

import json
from pathlib import Path

import numpy as np
import pytest

from minidiff.nn import Layer, Param


class TinyNet(Layer):
    """out = tanh(x w + a log(1 + t) + embed[cond]) v, the last axis being channels. Eleven lines, gradients and all."""

    def __init__(self, channels, out_channels, classes=3, hidden=6, seed=5):
        rng = np.random.default_rng(seed)
        self.w, self.v = (
            Param(rng.standard_normal((channels, hidden))),
            Param(rng.standard_normal((hidden, out_channels)) * 0.5),
        )
        self.a, self.embed = Param(rng.standard_normal(hidden) * 0.2), Param(rng.standard_normal((classes + 1, hidden)))
        self.classes, self.seen = classes, []

    def forward(self, x, t, cond=None):
        self.seen.append((x, t, cond))
        time = np.log1p(np.abs(np.broadcast_to(t, len(x)))).reshape((-1,) + (1,) * (x.ndim - 1))
        label = np.full(len(x), self.classes) if cond is None else np.broadcast_to(cond, len(x))
        h = np.tanh(x @ self.w.value + time * self.a.value + self.embed.value[label].reshape((*time.shape[:-1], -1)))

        def back(dout):
            dz = (dout @ self.v.value.T) * (1 - h * h)
            self.v.grad += _outer(h, dout)
            self.w.grad += _outer(x, dz)
            self.a.grad += (dz * time).reshape(-1, dz.shape[-1]).sum(axis=0)
            np.add.at(self.embed.grad, label, dz.reshape(len(x), -1, dz.shape[-1]).sum(axis=1))
            return dz @ self.w.value.T

        return h @ self.v.value, back

    def null_cond(self, cond):
        return np.full_like(cond, self.classes)


def _outer(a, b):
    return a.reshape(-1, a.shape[-1]).T @ b.reshape(-1, b.shape[-1])


@pytest.fixture
def tiny_net():
    """TinyNet(channels, out_channels)."""
    return TinyNet


@pytest.fixture
def check_objective(count):
    """check(objective, model, x0, cond): every parameter's gradient is the numerical derivative of the loss. -> the loss"""

    def check(objective, model, x0, cond=None, seed=3, h=1e-5, tolerance=1e-8):
        before = objective.state()

        def run():
            objective.load_state(before) if before else None
            return objective(model, x0, np.random.default_rng(seed), cond)

        model.zero_grad()
        loss, back = run()
        assert np.ndim(loss) == 0
        back()
        directions = np.random.default_rng(99)
        for name, param in model.parameters().items():
            d = directions.standard_normal(param.shape)
            kept = param.value.copy()
            param.value[...] = kept + h * d
            up = run()[0]
            param.value[...] = kept - h * d
            down = run()[0]
            param.value[...] = kept
            numerical, ours = (up - down) / (2 * h), (param.grad * d).sum()
            assert abs(numerical - ours) <= tolerance * (abs(numerical) + abs(ours) + 1e-3), (name, numerical, ours)
            count("gradient")
        once = {name: p.grad.copy() for name, p in model.parameters().items()}
        loss, back = run()
        back(dloss=2.0)
        for name, p in model.parameters().items():
            np.testing.assert_allclose(p.grad, 3 * once[name], rtol=1e-12, atol=1e-15)  # added to, and scaled by dloss
        return float(loss)

    return check


@pytest.fixture(scope="session")
def diffusers_numbers():
    """What diffusers computes: see diffusers_reference.py."""
    return json.loads(Path(__file__).with_name("diffusers_numbers.json").read_text())


@pytest.fixture(scope="session")
def picture():
    """The fixture of the diffusers scheduler tests, float64, (4, 3, 8, 8) channels first, and its "noise"."""
    x = (np.arange(768) / 768).reshape(3, 8, 8, 4).transpose(3, 0, 1, 2)
    return x, x.ravel()[::-1].reshape(x.shape)


@pytest.fixture
def sums():
    """sums(x): sum of |x|, and a sum whose weights see the order."""
    return lambda x: [abs(x).sum(), (x.ravel() * np.cos(np.arange(x.size))).sum()]
