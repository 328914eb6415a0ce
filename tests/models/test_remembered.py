"""The fixture that spares the layers before a moved Param changes no slope, and hides no wrong one."""

import numpy as np
import pytest

from minidiff import gradcheck, models, nn


def small():
    rng = np.random.default_rng(0)
    net = models.Classifier((4, 4, 2), 3, width=4, features=6, rng=rng).astype(np.float64)
    return net, rng.standard_normal((2, 4, 4, 2))


def test_every_error_is_the_same_to_the_bit(request):
    net, x = small()
    plain = gradcheck.check_layer(net, x, method="complex")
    calls, forward = [], nn.Conv2d.forward
    monkeypatch = request.getfixturevalue("monkeypatch")
    monkeypatch.setattr(nn.Conv2d, "forward", lambda layer, x: calls.append(layer) or forward(layer, x))
    gradcheck.check_layer(net, x, method="complex")
    before = len(calls)
    request.getfixturevalue("remembered")
    assert gradcheck.check_layer(net, x, method="complex") == plain
    assert len(calls) - before < 0.8 * before


@pytest.mark.usefixtures("remembered")
def test_a_wrong_gradient_of_the_last_layer_is_seen(monkeypatch):
    net, x = small()
    forward = nn.Linear.forward

    def wrong(layer, x):
        y, back = forward(layer, x)
        return y, lambda dy: back(1.001 * dy)

    monkeypatch.setattr(nn.Linear, "forward", wrong)
    with pytest.raises(gradcheck.GradientError):
        gradcheck.check_layer(net, x, method="complex")
