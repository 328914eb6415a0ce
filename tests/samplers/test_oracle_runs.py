"""Whole runs against published figures: see tests/oracles/samplers.json for what each row is."""

import math

import numpy as np
import pytest
from torch_random import TorchRandom

from minidiff import samplers
from minidiff.diffusion.edm import EDMDenoiser, c_in
from minidiff.diffusion.sigmas import karras_sigmas
from minidiff.diffusion.thresholding import dynamic_threshold


def test_run(run_row, fx, outside):
    row = run_row
    denoiser = edm_denoiser(fx, row) if "edm" in row else vp_denoiser(fx, row)
    options = dict(row.get("options", {}))
    x = fx.start(*(tuple(row[key]) for key in ("shape",) if key in row))
    if row.get("edm") is True:
        x = x * np.float32(math.sqrt(80.0**2 + 1))  # the noise such a run starts from
    if "noised_at" in row:
        t = karras_sigmas(0.002, 80.0, 10)[5] if row["noised_at"] == "karras 5" else row["noised_at"]
        noise = fx.start(*(tuple(row[key]) for key in ("shape",) if key in row), backwards=True)
        x = denoiser.schedule.add_noise(x, noise, float(t) if t != row["noised_at"] else t).astype(np.float32)
    if "seed" in row:
        options["rng"] = TorchRandom(row["seed"])
    if "dynamic" in row:
        denoiser = dynamic_threshold(denoiser, *row["dynamic"])

    x = fx.last(getattr(samplers, row["sampler"])(denoiser, x, steps=row.get("steps", 10), **options))

    assert x.dtype == np.float32
    outside(np.abs(x).mean(), row["mean"], atol=1e-3)
    if "sum" in row:
        outside(np.abs(x).sum(), row["sum"], atol=row.get("atol_sum", 1e-2))


def vp_denoiser(fx, row):
    return fx.denoiser(row.get("predicts", "eps"), row.get("whole_t", False), beta_start=row.get("beta_start", 1e-4))


def edm_denoiser(fx, row):
    sign = -1 if row.get("predicts") == "v" else 1  # there "v" differs by the sign of c_out

    def model(x, c_noise, cond):
        if row["edm"] == "unscaled":
            x = x / c_in(math.exp(4 * c_noise))
        return sign * fx.model(x, c_noise)

    return EDMDenoiser(model)


def test_ddim_inversion_of_a_v_network(fx, outside):
    """That scheduler reads v at the noise level the sample has, though it asks the network about the next one."""
    schedule, steps = fx.schedule(), 10

    class OneStepBehind:
        def alpha(self, t):
            return 1.0 if t == 0 else schedule.alpha(t - 100)

        def sigma(self, t):
            return 0.0 if t == 0 else schedule.sigma(t - 100)

    class AsThere:
        def __init__(self):
            self.schedule = schedule

        def __call__(self, x, t, cond):
            v, level = fx.model(x, t), OneStepBehind()
            return x, level.sigma(t) * x + level.alpha(t) * v

    x = fx.last(samplers.ddim_invert(AsThere(), fx.start(), steps, clip=1.0))
    outside(np.abs(x).sum(), 1394.2185, atol=1e-2)  # huggingface/diffusers, test_scheduler_ddim_inverse.py
    outside(np.abs(x).mean(), 1.8154, atol=1e-3)


@pytest.mark.parametrize("variance", ("fixed_small", "fixed_large"))
def test_variance_that_ddpm_generates(variance, oracles, count):
    """Exact, no sampling: the chain is linear. Reproduced to every digit given."""
    from minidiff.diffusion import Schedule
    from minidiff.samplers.gaussian_chain import generated_variance

    table = oracles["gaussian_variance"]
    for T, expected in zip(table["T"], table[variance], strict=True):
        schedule = Schedule.from_betas(np.minimum(np.linspace(1e-4, 0.02, T) * 1000 / T, 0.999))
        value = generated_variance(samplers.ddpm, schedule, variance=variance)
        digits = len(expected.partition(".")[2])
        assert f"{value:.{digits}f}".removeprefix("0") == expected, (T, value)
        count("outside")


def test_noise_level_of_ddim(fx, oracles, outside):
    from minidiff.samplers.ddim import noise_level

    path = samplers.Trajectory(fx.denoiser(), fx.start(), 10)
    for t, after, variance in oracles["ddim_variance"]["rows"]:
        outside(noise_level(path.at(t), path.at(after)) ** 2, variance, atol=oracles["ddim_variance"]["atol"])
