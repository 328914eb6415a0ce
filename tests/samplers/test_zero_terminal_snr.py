"""Samplers on a zero-terminal-SNR schedule: the exact flow on Gaussian data, or one message that names what works.

Data N(m, s^2): the probability-flow ODE carries x_T, which is pure noise, to alpha m + x_T sqrt(alpha^2 s^2 + sigma^2).
"""

import math

import numpy as np
import pytest

import minidiff
from minidiff.diffusion import Denoiser, Schedule, classifier_guidance
from minidiff.diffusion.likelihood import ode_log_likelihood
from minidiff.samplers import SAMPLERS

SCHEDULE = Schedule.linear(4000, scale_to_T=True).rescale_zero_terminal_snr()
M, STD = 0.3, 0.5
X = np.array([[-1.25], [0.5], [1.0]])
CONVERGES = [
    ("ddim", {}), ("dpmpp_3m", {}), ("dpmpp_2m", {}), ("dpmpp_2m", {"solver": "heun"}), ("dpmpp_2m_sde", {"eta": 0.0}),
    ("dpmpp_2s", {}), ("dpmpp_2s", {"solver": "heun"}), ("dpmpp_3s", {}), ("dpmpp_3s", {"solver": "heun"}),
    ("dpm_solver", {}), ("dpm_solver", {"solver": "heun"}), ("dpm_solver_1", {}), ("dpm_solver_2", {}),
    ("flow_euler", {}), ("flow_midpoint", {}), ("flow_heun", {}), ("flow_rk4", {}), ("flow_sde", {"eta": 0.0}),
    ("plms", {"mix": "v"}), ("plms", {"mix": "v", "warm_up": "none"}),
    *(("unipc", dict(order=order, solver=solver, interpolates=form, corrector=corrector))
      for order in (1, 2, 3) for solver in ("bh1", "bh2") for form in ("x0", "eps") for corrector in (True, False)),
]  # fmt: skip
REFUSED = [
    ("euler", {}), ("euler_ancestral", {}), ("heun", {}), ("lms", {}), ("rk4", {}), ("dpmpp_sde", {}), ("plms", {}),
    ("dpmpp_2m", {"interpolates": "eps"}),
    ("reverse_diffusion", {}), ("predictor_corrector", {}), ("probability_flow", {}),
]  # fmt: skip


def best(predicts, schedule=SCHEDULE):
    """The best denoiser of this data."""

    def model(x, t, cond):
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        x0 = (STD**2 * alpha * x + sigma**2 * M) / (alpha**2 * STD**2 + sigma**2)
        return x0 if predicts == "x0" else alpha * (x - alpha * x0) / sigma - sigma * x0

    return Denoiser(model, schedule, predicts)


def error(name, predicts, steps, options):
    alpha, sigma = SCHEDULE.alpha(0), SCHEDULE.sigma(0)
    truth = alpha * M + X * math.sqrt(alpha**2 * STD**2 + sigma**2)
    run = SAMPLERS[name].function(best(predicts), X, steps=steps, spacing="trailing", final="sigma_min", **options)
    *_, last = run
    return abs(last.x - truth).max()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("predicts", ("v", "x0"))
@pytest.mark.parametrize("name, options", CONVERGES, ids=str)
def test_converges_to_the_exact_flow(name, options, predicts):
    """At least first order from 16 to 256 steps, and within 1 % of the data's scale there."""
    few, many = (error(name, predicts, steps, options) for steps in (16, 256))
    assert many < 1e-2 * 0.75, (few, many)  # first order: 0.0071; the first step alone is taken from pure noise
    assert math.log(few / many) / math.log(16) > 0.95, (few, many)


@pytest.mark.parametrize("predicts", ("v", "x0"))
@pytest.mark.parametrize(
    "name, options",
    [("ddpm", {}), ("ddpm_respaced", {"steps": 500}), ("dpmpp_2m_sde", {"steps": 100}), ("flow_sde", {"steps": 500})],
)
def test_noisy_samplers_generate_the_data(name, options, predicts):
    """Mean and variance of 5,000 samples: 0.3 and 0.25, to four standard errors and 2 % of step error."""
    spacing = {} if name == "ddpm" else {"spacing": "trailing"}
    schedule = Schedule.linear(500, scale_to_T=True).rescale_zero_terminal_snr()
    x = minidiff.sample(name, best(predicts, schedule), (5_000, 1), rng=0, dtype=np.float64, **options, **spacing)
    assert abs(x.mean() - M) < 4 * STD / math.sqrt(5_000)
    assert abs(x.var() / STD**2 - 1) < 0.02 + 4 * math.sqrt(2 / 5_000)


def test_the_first_step_is_ddims():
    """x' = alpha' x0 + sigma' x: at pure noise x is the noise, whatever the sampler's order."""
    t = SCHEDULE.T - 1
    x0, _ = best("v")(X, t)
    np.testing.assert_allclose(x0, M)  # nothing is known of x0 but its mean
    expected = SCHEDULE.alpha(1999) * M + SCHEDULE.sigma(1999) * X
    for name, options in CONVERGES:
        if name in ("plms", "flow_midpoint", "flow_heun", "flow_rk4"):
            continue  # its first step mixes several predictions
        step = next(SAMPLERS[name].function(best("v"), X, steps=[t, 1999, 0], **options))
        np.testing.assert_allclose(step.x, expected, rtol=1e-12, err_msg=f"{name} {options}")


@pytest.mark.parametrize("name, options", REFUSED, ids=str)
def test_the_other_samplers_name_those_that_work(name, options):
    """One message, before the model is asked, from the default spacing and from one that starts at pure noise."""

    def untouchable(x, t, cond):
        raise AssertionError("asked")

    denoiser = Denoiser(untouchable, SCHEDULE, "v")
    spacings = [{}] if name == "probability_flow" else [{"steps": 10, "spacing": "trailing"}]
    spacings += [{"steps": 10}] if name in ("euler", "euler_ancestral", "heun", "lms", "rk4", "dpmpp_sde") else []
    for spacing in spacings:
        with pytest.raises(ValueError) as caught:
            SAMPLERS[name].function(denoiser, X, **spacing, **options)
        message = str(caught.value)
        assert message.startswith("schedule: got alpha = 0 at the first step (a zero-terminal-SNR schedule)")
        assert message.partition("; ")[2] == (
            "use spacing='trailing' with ddim, ddpm, ddpm_respaced, dpmpp_2m, dpmpp_2m_sde, dpmpp_2s, dpmpp_3s, dpm_solver, "
            "flow_euler, flow_midpoint, flow_heun, flow_rk4, flow_sde, unipc or plms(mix='v'), "
            "or leave that step out: steps=[...]"
        )
    if name != "probability_flow":  # and the way out that the message offers is one
        times = np.linspace(SCHEDULE.T - 40, 0, 200).round().astype(int)
        *_, last = SAMPLERS[name].function(best("v"), X, steps=times, rng=0, **options)
        assert np.isfinite(last.x).all()


def test_every_sampler_is_on_one_of_the_lists():
    listed = {name for name, _ in CONVERGES + REFUSED} | {"ddpm", "ddpm_respaced", "ddpm_subset"}
    assert listed >= set(SAMPLERS)


def test_noise_levels_need_a_finite_end():
    for spacing in ("karras", "exponential"):
        with pytest.raises(ValueError, match=f"spacing '{spacing}' cannot start from pure noise; use spacing='trailing'"):
            SAMPLERS["ddim"].function(best("v"), X, steps=10, spacing=spacing)


def test_siblings_that_divide_by_alpha():
    with pytest.raises(ValueError, match="alpha = 0 at the last step"):
        ode_log_likelihood(best("v"), X)
    with pytest.raises(ValueError, match="alpha is 0: classifier guidance"):
        classifier_guidance(best("v"), lambda x, t: x, 1.0)(X, SCHEDULE.T - 1)
