"""Guidance asks a network once for both halves where the samples are few: the same numbers as two calls."""

from typing import Any, NamedTuple

import numpy as np
import pytest

from minidiff.diffusion import Denoiser, EDMDenoiser, Schedule, cfg, clip_x0, guidance
from minidiff.models import UNet
from minidiff.nn import Layer
from minidiff.rng import Rng

S = Schedule.cosine(100)


class Counted(Layer):
    """A network that notes the rows of each call."""

    def __init__(self, net):
        self.net, self.rows = net, []

    def forward(self, x, t, cond=None):
        self.rows.append(len(x))
        return self.net(x, t, cond)

    def null_cond(self, cond):
        return self.net.null_cond(cond)


@pytest.fixture
def net():
    made = UNet(in_channels=2, out_channels=2, block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4,
                attention_head_dim=8, num_class_embeds=4, null_class=3, rng=1)  # fmt: skip
    return Counted(made.astype(np.float64))


def draw(n):
    return Rng(n).standard_normal((n, 5, 7, 2), np.float64), np.arange(n) % 3


def apart(monkeypatch, make, x, t):
    """The answer in two calls."""
    with monkeypatch.context() as patch:
        patch.setattr(guidance, "ROWS", 0)
        return make()(x, t)


@pytest.mark.parametrize("n", [1, 3, 16])
@pytest.mark.parametrize("t", [40, "each"])
@pytest.mark.parametrize("kind", ["denoiser", "clipped", "EDM", "weights", "rescale"])
def test_one_call_gives_what_two_give(monkeypatch, net, n, t, kind):
    x, cond = draw(n)
    if t == "each":
        t = 10 + np.arange(n) * 3
    weight = np.linspace(0.5, 3, n) if kind == "weights" else 2.0
    denoiser = {"clipped": clip_x0(Denoiser(net, S)), "EDM": EDMDenoiser(net, S)}.get(kind, Denoiser(net, S))

    def make():
        return cfg(denoiser, cond, weight, rescale=0.7 if kind == "rescale" else 0.0)

    right = apart(monkeypatch, make, x, t)
    assert net.rows == [n, n]
    net.rows.clear()
    for got, want in zip(make()(x, t), right, strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-13 * np.abs(want).max())
    assert net.rows == [2 * n]


def test_many_samples_and_conditions_of_another_shape_take_two_calls(monkeypatch, net):
    x, cond = draw(17)
    cfg(Denoiser(net, S), cond, 2.0)(x, 5)
    assert net.rows == [17, 17]
    monkeypatch.setattr(guidance, "FEW", 2 * 5 * 7 * 2 - 1)
    net.rows.clear()
    cfg(Denoiser(net, S), cond[:2], 2.0)(x[:2], 5)
    assert net.rows == [2, 2]


class Texts(NamedTuple):
    """An encoded text and its mask."""

    vectors: Any
    mask: Any


def ones(*shape, dtype="float32"):
    return np.ones(shape, dtype)


@pytest.mark.parametrize(
    ("null", "cond", "alike"),
    [
        (ones(3, 4), ones(3, 4), True),
        (ones(3, 5, 2), ones(3, 4, 2), False),  # another number of tokens
        (ones(1, 4), ones(3, 4), False),
        (ones(2, 4), ones(2, 4), False),
        (ones(3, 4), ones(3, 4, dtype="float64"), False),
        (Texts(ones(3, 4), None), Texts(ones(3, 4), None), True),
        (Texts(ones(3, 4), None), Texts(ones(3, 4), ones(3)), False),
        (Texts(ones(3, 4), ones(3)), (ones(3, 4), ones(3)), False),
        ({"a": ones(3)}, {"a": ones(3)}, True),
        ({"a": ones(3)}, {"b": ones(3)}, False),
        ([ones(3), ones(3, 2)], [ones(3), ones(3, 2)], True),
        (ones(3, 4), ones(3, 4).view(np.recarray), False),  # arrays of two kinds, as of two devices
        (3, 3, False),
        ("", "a cat", False),
    ],
)
def test_which_conditions_make_one_batch(null, cond, alike):
    assert bool(guidance._alike(null, cond, 3)) is alike


def test_a_plain_function_is_asked_twice():
    """It may know which samples it gets, as an inpainting model does."""
    calls = []

    def model(x, t, cond):
        calls.append(len(x))
        return 0 * x + cond.reshape(-1, 1, 1, 1)

    x, cond = draw(2)
    cfg(Denoiser(model, S), cond, 2.0, null=0 * cond)(x, 5)
    assert calls == [2, 2]
