"""Samplers on the device: the denoiser as a graph is the denoiser launch by launch to the bit, and NumPy's to rounding."""

import numpy as np
import pytest
from steps import SMALL

from minidiff.backend import to_numpy
from minidiff.diffusion import Denoiser, Schedule, cfg, clip_x0, dynamic_threshold
from minidiff.models import UNet
from minidiff.rng import Rng
from minidiff.samplers import SAMPLERS, find, sample
from minidiff.samplers.recorded_run import SamplingRun
from minidiff.samplers.recorded_step import SamplingStep, recorded

one_order = pytest.mark.parametrize("xp", ["forwards", pytest.param("cupy", marks=pytest.mark.gpu)], indirect=True)
SHAPE = (2, 4, 4, 1)


def _guided(xp, weight=1.0):
    net, cond = UNet(**SMALL, rng=0), np.array([0, 1])
    if xp is not np:
        net, cond = net.to("cuda"), xp.asarray(cond)
    return cfg(Denoiser(net, Schedule.linear(40), "v"), cond, weight)


def _walk(xp, name, **options):
    x = xp.asarray(Rng(2).standard_normal(SHAPE, np.float32))
    return to_numpy(list(find(name).function(_guided(xp), x, rng=Rng(4, xp=xp), **options))[-1].x)


@one_order
@pytest.mark.parametrize("name", ["ddim", "ddpm_respaced", "dpmpp_2m", "heun", "dpm_solver_2"])
def test_a_graph_gives_the_same_bits_and_numpys_numbers(xp, name):
    assert name in SAMPLERS
    graph, eager, numpys = (_walk(m, name, steps=8, **o) for m, o in ((xp, {}), (xp, {"graph": False}), (np, {})))
    np.testing.assert_array_equal(graph, eager)
    np.testing.assert_allclose(graph, numpys, rtol=0, atol=1e-4)


@one_order
def test_the_graph_is_really_there(xp):
    denoiser, x = _guided(xp), xp.asarray(Rng(2).standard_normal(SHAPE, np.float32))
    fast = recorded(denoiser, x, 8)
    for t in (30, 20.5, 10, 3, 20.25, 7, 1.5, 12.125):  # whole and real-valued times are two recordings
        for ours, plain in zip(fast(x, t), denoiser(x, t), strict=True):
            np.testing.assert_allclose(to_numpy(ours), to_numpy(plain), rtol=1e-5, atol=1e-5)
    assert len(fast.steps) == 2 and all(step.graph is not None for _, step in fast.steps.values())


@pytest.mark.parametrize("xp", ["forwards"], indirect=True)
def test_a_replay_waits_for_nothing_uploads_nothing_and_takes_no_memory(xp):
    denoiser, x = _guided(xp), xp.asarray(Rng(2).standard_normal(SHAPE, np.float32))
    fast = SamplingStep(denoiser, x)
    for t in (9, 8, 7, 6):
        fast(x, t)
    for key in xp.STATS:
        xp.STATS[key] = 0
    with xp.no_sync(), xp.no_allocation():
        fast(x, 5)
    assert set(xp.STATS.values()) == {0}


@one_order
def test_a_denoiser_that_cannot_be_recorded_is_called_directly(xp):
    denoiser, x = _guided(xp), xp.asarray(Rng(2).standard_normal(SHAPE, np.float32))
    some_t = cfg(denoiser.denoiser, xp.asarray([0, 1]), 1.0, interval=(5, 20))
    for other in (dynamic_threshold(denoiser), Denoiser(lambda x, t, c: x, Schedule.linear(40)), some_t, clip_x0(some_t)):
        assert recorded(other, x, 50) is other
    assert recorded(denoiser, x.astype(np.float64), 50) is not None
    assert isinstance(recorded(clip_x0(denoiser), x, 50), SamplingStep)
    assert not recorded(denoiser, x, 7).options[0]


@one_order
def test_pure_noise_is_detected_although_t_is_in_device_memory(xp):
    net = UNet(**(SMALL | {"num_class_embeds": None, "null_class": None}), rng=0).to("cuda")
    x = xp.asarray(Rng(2).standard_normal(SHAPE, np.float32))
    schedule = Schedule.linear(40).rescale_zero_terminal_snr()
    with pytest.raises(ValueError, match="does not determine x0"):
        sample("ddim", Denoiser(net, schedule), SHAPE, steps=10, spacing="trailing", x=x)
    sample("ddim", Denoiser(net, schedule, "v"), SHAPE, steps=10, spacing="trailing", x=x)


@one_order
def test_a_whole_run_as_one_graph(xp):
    run = SamplingRun("ddpm_respaced", _guided(xp), SHAPE, Rng(5, 3, 10, xp), steps=3)
    batches = [to_numpy(run()) for _ in range(4)]
    assert run.recorded.graph is not None
    eager = SamplingRun("ddpm_respaced", _guided(xp), SHAPE, Rng(5, 3, 10, xp), graph=False, steps=3)
    for k, batch in enumerate(batches):
        np.testing.assert_array_equal(batch, to_numpy(eager()))
        numpys = sample("ddpm_respaced", _guided(np), SHAPE, rng=Rng(5, 3, 10 + k), steps=3)
        np.testing.assert_allclose(batch, numpys, rtol=0, atol=1e-4)
