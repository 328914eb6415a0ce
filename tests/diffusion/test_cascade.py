"""Noise conditioning augmentation: the small picture is noised as far as the model is told."""

from typing import Any, NamedTuple

import numpy as np
import pytest

from minidiff.diffusion import CascadeLoss, Schedule, SimpleLoss, noised_low
from minidiff.rng import Rng

SCHEDULE = Schedule.cosine(100)


class Cond(NamedTuple):
    low: Any
    level: Any
    text: Any


def cond(n=2):
    return Cond(np.full((n, 4, 4, 1), 0.5, np.float32), None, np.arange(n, dtype=np.float32))


def test_noised_low():
    told = noised_low(cond(1000), np.arange(1000) % 100, SCHEDULE, Rng(0))
    for level in (0, 30, 99):
        low = told.low[told.level == level]
        assert low.mean() == pytest.approx(0.5 * SCHEDULE.alpha(level), abs=0.15)
        assert low.std() == pytest.approx(SCHEDULE.sigma(level), rel=0.15)
    np.testing.assert_array_equal(told.text, cond(1000).text)
    assert told.low.dtype == np.float32
    np.testing.assert_array_equal(noised_low(cond(), 7, SCHEDULE, Rng(0)).level, [7, 7])


def test_the_loss_draws_levels_up_to_the_highest_and_passes_them_on():
    seen = []

    def model(xt, t, told):
        seen.append(told)
        return np.zeros_like(xt), lambda dy: None

    model.null_cond = lambda told: told._replace(text=told.text * 0 - 1)
    x0 = Rng(1).standard_normal((500, 8, 8, 1))
    CascadeLoss(SCHEDULE, "v", highest=0.4, cond_dropout=0.5)(model, x0, Rng(2), cond(500)._replace(level=np.zeros(500, int)))
    (told,) = seen
    assert told.level.min() == 0 and told.level.max() == 39
    spread = told.low.reshape(500, -1).std(axis=1)
    assert np.corrcoef(spread, SCHEDULE.sigma(told.level))[0, 1] > 0.9
    assert 0.4 < (told.text == -1).mean() < 0.6  # the text was dropped, the small picture never


def test_it_is_the_simple_loss_otherwise():
    def model(xt, t, told):
        return 0 * xt, lambda dy: None

    loss, _ = CascadeLoss(SCHEDULE, "x0", cond_dropout=0)(model, np.ones((4, 2, 2, 1)), Rng(0), cond(4))
    assert loss == pytest.approx(float(SimpleLoss(SCHEDULE, "x0")(model, np.ones((4, 2, 2, 1)), Rng(0))[0]))
    with pytest.raises(ValueError, match="highest: got 0"):
        CascadeLoss(SCHEDULE, highest=0)
