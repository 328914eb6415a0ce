"""Training's defaults, and values at the bound of what is allowed."""

import contextlib
import hashlib
import math
import types

import numpy as np
import pytest

from minidiff import ops
from minidiff.diffusion import Denoiser, Schedule, SimpleLoss
from minidiff.rng import Rng
from minidiff.training import History, NotFinite, progressive_distillation
from minidiff.training.arguments import check_numbers
from minidiff.training.device_step import has_kernels
from minidiff.training.losses import AutoencoderLoss
from minidiff.training.losses.contrastive import LARGEST_SCALE, contrastive_loss
from minidiff.training.resume import settings_of_objective

GOOD = dict(steps=10, batch_size=4, lr=1e-3, curve="cosine", warmup=2, betas=(0.9, 0.999), weight_decay=0.01, grad_clip=1.0,
            ema_decay=0.999, checkpoint_every=5, sample_every=5)  # fmt: skip


@pytest.mark.parametrize("name, good, bad", [
    ("steps", (2, np.int64(3)), (0, -1, 2.5)), ("batch_size", (1,), (0, None, 1.0)),
    ("checkpoint_every", (1, None), (0, -2, 0.5)),
    ("sample_every", (1, None), (0,)), ("warmup", (0, 1, 10), (-1, 11, 0.5)), ("lr", (0.0, 1.0), (-1e-9, math.inf, math.nan)),
    ("weight_decay", (0.0, 1.0), (-1e-9, math.inf)), ("betas", ((0.0, 0.0),), ((1.0, 0.9), (0.9, 1.0), (-0.1, 0.9), (0.9,))),
    ("grad_clip", (1e-9, None), (0.0, -1.0, math.inf)), ("ema_decay", (0, 1, 0.5, None), (-0.1, 1.1)),
])  # fmt: skip
def test_numbers_that_a_trainer_takes(name, good, bad):
    for value in good:
        check_numbers(**{**GOOD, name: value})
    for value in bad:
        with pytest.raises(ValueError, match=f"{name}: got"):
            check_numbers(**{**GOOD, name: value})


@pytest.mark.parametrize("dtype", (np.float16, np.float32, np.float64))
def test_there_are_kernels_for_float32_on_a_device(dtype):
    device, host = types.SimpleNamespace(RawKernel=None), types.SimpleNamespace()
    assert has_kernels(device, np.dtype(dtype)) == (dtype == np.float32)
    assert not has_kernels(host, np.dtype(dtype))
    with ops.plain():
        assert not has_kernels(device, np.dtype(dtype))


def test_recent_loss_is_the_mean_of_the_last_n():
    history = History()
    assert history.recent_loss() == 0
    for k in range(1, 101):
        history.add(step=k, loss=float(k), lr=0.0, grad_norm=0.0, seconds=0.0)
    assert history.recent_loss(1) == 100 and history.recent_loss(2) == 99.5 and history.recent_loss(1000) == 50.5
    assert history.recent_loss() == sum(range(51, 101)) / 50


@pytest.mark.parametrize("above, moves", ((-1e-6, True), (0.0, True), (1e-6, False)))
def test_the_temperature_of_the_contrastive_loss_is_held_at_a_hundredth(above, moves):
    """Radford et al. 2021, section 2.5: the logits are scaled by at most 100."""
    assert math.exp(LARGEST_SCALE) == pytest.approx(100, rel=1e-12)
    a, b = (Rng(seed).standard_normal((4, 3), dtype=np.float64) / 30 for seed in (0, 1))
    _, back = contrastive_loss(a, b, np.array([LARGEST_SCALE + above]))
    assert (back()[2] != 0) == moves


def test_a_schedule_is_known_by_a_hash_of_its_betas():
    schedule = Schedule.linear(30)
    found = settings_of_objective(SimpleLoss(schedule, "v"))
    assert found["sha256 of the schedule's betas"] == hashlib.sha256(schedule.betas.tobytes()).hexdigest()[:16]
    assert found["loss"] == "SimpleLoss" and found["predicts"] == "v" and found["t_sampler"] == "Uniform"


def test_a_distillation_by_default_is_that_of_seed_0(net, points):
    options = dict(start=4, stop=2, train_steps=3, batch_size=4, progress=False)
    teacher = Denoiser(net(), Schedule.linear(64), "v")
    runs = [next(progressive_distillation(teacher, points, **options, **seed)) for seed in ({}, {"seed": 0}, {"seed": 1})]
    assert runs[0].history.loss == runs[1].history.loss != runs[2].history.loss
    assert len(next(progressive_distillation(teacher, points, **options | {"start": 2, "stop": 1})).times) == 1


def test_a_bad_gradient_is_named_while_it_is_there(trainer):
    """The arena contains the gradients of the step that was taken last; an earlier step's are gone."""
    t = trainer()
    t.step()
    t.step()
    name = next(iter(t.arena.params))
    t.arena.views(t.arena.grads)[name].flat[0] = math.nan
    for step, message in ((2, f"the gradient of {name}"), (3, f"the gradient of {name}"), (1, "the norm of the gradients")):
        with pytest.raises(NotFinite, match=message):
            t._check(step, 1.0, math.nan)


def test_the_weight_of_the_latents_is_not_negative():
    assert AutoencoderLoss().kl_weight == 1e-4
    for weight in (0, 0.5, 2.0):
        assert AutoencoderLoss(weight).kl_weight == weight
    with pytest.raises(ValueError, match=r"kl_weight: got -0\.1"):
        AutoencoderLoss(-0.1)


@pytest.mark.parametrize("every, times", ((1, 7), (3, 2), (9, 0)))
def test_a_bar_shows_the_loss_when_the_trainer_has_looked(trainer, monkeypatch, every, times):
    from minidiff.training import trainer as module

    shown = []

    class Bar(contextlib.nullcontext):
        def __enter__(self):
            return self

        def __iter__(self):
            return iter(self.enter_result)

        def set_postfix(self, **what):
            shown.append(what)

    monkeypatch.setattr(module, "progress_bar", lambda steps, *_, **__: Bar(steps))
    run = trainer()
    run._look_every = every
    run.run(7)
    assert len(shown) == times and run.done == 7
