"""Every sampler against the scheduler of Hugging Face diffusers that it corresponds to, where that is installed.

A network that is not linear, many settings, the whole sample compared. They compute in float32, tables included.
"""

import math
from itertools import product

import numpy as np
import pytest
from torch_random import TorchRandom

from minidiff import samplers
from minidiff.diffusion import Denoiser, Schedule
from minidiff.diffusion.edm import EDMDenoiser
from minidiff.diffusion.sigmas import sigma_of_t
from minidiff.diffusion.thresholding import dynamic_threshold

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
pytest.importorskip("scipy")  # their LMS integrates with it
diffusers.utils.logging.set_verbosity_error()
pytestmark = pytest.mark.filterwarnings("ignore")  # theirs, about NumPy and about what they will remove

PREDICTS = {"eps": "epsilon", "v": "v_prediction", "x0": "sample"}
BETAS = {
    "linear": (Schedule.linear(1000), {"beta_schedule": "linear"}),
    "scaled_linear": (Schedule.scaled_linear(1000, 1e-4, 0.02), {"beta_schedule": "scaled_linear"}),
    "cosine": (Schedule.cosine(1000), {"beta_schedule": "squaredcos_cap_v2"}),
}


def model(x, t, cond=None):
    """Not linear, of size about 1, and different at every t."""
    wave = np.sin(2 * x + t / 100) if isinstance(x, np.ndarray) else torch.sin(2 * x + t / 100)
    return x * (0.9 * t / (t + 1)) + 0.2 * wave


def ours(name, betas, predicts, x, steps, whole_t=False, **options):
    schedule = BETAS[betas][0] if isinstance(betas, str) else betas
    net = (lambda x, t, c: model(x, float(round(t)))) if whole_t else model
    *_, step = getattr(samplers, name)(Denoiser(net, schedule, predicts), x, steps=steps, **options)
    return step.x


def theirs(kind, betas, predicts, x, steps, sigma_space=False, seed=None, start=0, **config):
    scheduler = getattr(diffusers, kind)(**BETAS[betas][1], beta_start=1e-4, beta_end=0.02,
                                         prediction_type=PREDICTS[predicts], **config)  # fmt: skip
    scheduler.set_timesteps(steps)
    x, extra = torch.tensor(x), {}
    if seed is not None:
        extra["generator"] = torch.Generator().manual_seed(seed)
    if sigma_space:
        x = x * float(scheduler.sigmas[0] ** 2 + 1) ** 0.5
    for t in scheduler.timesteps[start:]:
        scaled = scheduler.scale_model_input(x, t)
        x = scheduler.step(model(scaled, float(t)), t, x, **extra).prev_sample
    return x.numpy()


@pytest.fixture
def compare(count):
    """compare(a, b): the whole sample, to a share of its largest number."""

    def close(a, b, rtol=3e-4):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=0, atol=rtol * np.abs(b).max())
        count("outside")

    return close


@pytest.fixture
def x():
    return TorchRandom(3).standard_normal((2, 3, 4, 4))


@pytest.mark.parametrize("predicts, betas, spacing", list(product(PREDICTS, BETAS, ("leading", "trailing"))))
def test_ddim(x, compare, predicts, betas, spacing):
    for steps, clip, final in product((5, 20), (None, 1.0), ("zero", "sigma_min")):
        a = ours("ddim", betas, predicts, x, steps, spacing=spacing, clip=clip, final=final)
        b = theirs("DDIMScheduler", betas, predicts, x, steps, timestep_spacing=spacing, clip_sample=clip is not None,
                   set_alpha_to_one=final == "zero")  # fmt: skip
        compare(a, b, rtol=2e-3 if betas == "cosine" and predicts == "eps" else 3e-4)  # alpha(T - 1) = 5e-5


@pytest.mark.parametrize("eta", (0.3, 1.0))
def test_ddim_with_noise(x, compare, eta):
    a = ours("ddim", "linear", "eps", x, 10, eta=eta, rng=TorchRandom(0), clip=1.0)
    scheduler = diffusers.DDIMScheduler(beta_start=1e-4, beta_end=0.02)
    scheduler.set_timesteps(10)
    y, generator = torch.tensor(x), torch.Generator().manual_seed(0)
    for t in scheduler.timesteps:
        y = scheduler.step(model(y, float(t)), t, y, eta=eta, generator=generator).prev_sample
    compare(a, y.numpy())


def test_ddim_on_a_zero_terminal_snr_schedule(x, compare):
    schedule = BETAS["linear"][0].rescale_zero_terminal_snr()
    a = ours("ddim", schedule, "v", x, 10, spacing="trailing")
    b = theirs("DDIMScheduler", "linear", "v", x, 10, timestep_spacing="trailing", clip_sample=False,
               rescale_betas_zero_snr=True)  # fmt: skip
    compare(a, b)


@pytest.mark.parametrize("offset", (0, 1))
def test_ddim_offset_and_dynamic_threshold(x, compare, offset):
    schedule = BETAS["linear"][0]
    denoiser = dynamic_threshold(Denoiser(model, schedule), 0.8, sample_max_value=1.5)
    *_, step = samplers.ddim(denoiser, 3 * x, 10, offset=offset)
    b = theirs("DDIMScheduler", "linear", "eps", 3 * x, 10, steps_offset=offset, thresholding=True, clip_sample=False,
               dynamic_thresholding_ratio=0.8, sample_max_value=1.5)  # fmt: skip
    compare(step.x, b)


@pytest.mark.parametrize("spacing", ("leading", "trailing"))
def test_ddim_inversion(x, compare, spacing):
    a = ours("ddim_invert", "linear", "eps", x, 10, spacing=spacing)
    compare(a, theirs("DDIMInverseScheduler", "linear", "eps", x, 10, timestep_spacing=spacing, clip_sample=False))


@pytest.mark.parametrize("variance, predicts", list(product(("fixed_small", "fixed_large"), PREDICTS)))
def test_ddpm(x, compare, variance, predicts):
    for betas, steps, spacing in product(BETAS, (25,), ("leading", "linspace")):
        a = ours("ddpm_respaced", betas, predicts, x, steps, variance=variance, spacing=spacing, clip=1.0, rng=TorchRandom(0))
        b = theirs("DDPMScheduler", betas, predicts, x, steps, seed=0, timestep_spacing=spacing, variance_type=variance)
        compare(a, b, rtol=1e-3)  # 1 - alpha_bar in float32 near t = 0


def test_ddpm_with_a_learned_variance(x, compare):
    class Net:
        @staticmethod
        def predict(x, t, cond):
            return np.concatenate([model(x, t), np.sin(3 * x)], axis=-1)

    schedule = Schedule.linear(50)
    *_, step = samplers.ddpm(Denoiser(Net(), schedule, "eps", learned_variance=True), x, variance="learned",
                             rng=TorchRandom(0), clip=1.0)  # fmt: skip
    scheduler = diffusers.DDPMScheduler(50, beta_start=1e-4, beta_end=0.02, variance_type="learned_range")
    y, generator = torch.tensor(x), torch.Generator().manual_seed(0)
    for t in scheduler.timesteps:
        output = torch.cat([model(y, float(t)), torch.sin(3 * y)], dim=1)
        y = scheduler.step(output, t, y, generator=generator).prev_sample
    compare(step.x, y.numpy(), rtol=2e-3)


@pytest.mark.parametrize("warm_up, predicts", list(product(("runge-kutta", "none"), ("eps", "v"))))
def test_plms(x, compare, warm_up, predicts):
    for betas, steps, final in product(BETAS, (4, 5, 10, 20), ("zero", "sigma_min")):
        a = ours("plms", betas, predicts, x, steps, warm_up=warm_up, mix=predicts, final=final)
        b = theirs("PNDMScheduler", betas, predicts, x, steps, skip_prk_steps=warm_up == "none",
                   set_alpha_to_one=final == "zero")  # fmt: skip
        compare(a, b)


MULTISTEP = list(product(("midpoint", "heun"), ("leading", "linspace", "trailing"), ("zero", "sigma_min")))


@pytest.mark.parametrize("solver, spacing, final", MULTISTEP)
def test_dpmpp_2m(x, compare, solver, spacing, final):
    for betas, predicts, (steps, lower) in product(BETAS, PREDICTS, ((1, True), (9, False), (14, True), (15, True))):
        a = ours("dpmpp_2m", betas, predicts, x, steps, solver=solver, spacing=spacing, final=final, lower_order_final=lower)
        b = theirs("DPMSolverMultistepScheduler", betas, predicts, x, steps, solver_type=solver, timestep_spacing=spacing,
                   final_sigmas_type=final, lower_order_final=lower)  # fmt: skip
        compare(a, b, rtol=2e-3 if betas == "cosine" else 3e-4)


@pytest.mark.parametrize("spacing", ("karras", "exponential"))
@pytest.mark.parametrize("name, kind", [("dpmpp_2m", "DPMSolverMultistepScheduler"), ("unipc", "UniPCMultistepScheduler"),
                                        ("dpmpp_2s", "DPMSolverSinglestepScheduler")])  # fmt: skip
def test_noise_levels_of_the_dpm_family(x, compare, name, kind, spacing):
    for predicts, steps, final in product(PREDICTS, (6, 15), ("zero", "sigma_min")):
        whole_t = spacing == "karras"  # with exponential levels they cut t to whole steps, by int64
        if spacing == "exponential":
            net = lambda x, t, c: model(x, float(math.floor(t + 1e-4)))  # noqa: E731
            denoiser = Denoiser(net, BETAS["linear"][0], predicts)
            *_, step = getattr(samplers, name)(denoiser, x, steps, spacing=spacing, final=final)
            a = step.x
        else:
            a = ours(name, "linear", predicts, x, steps, whole_t=whole_t, spacing=spacing, final=final)
        b = theirs(kind, "linear", predicts, x, steps, final_sigmas_type=final, lower_order_final=True,
                   **{f"use_{spacing}_sigmas": True})  # fmt: skip
        compare(a, b)


@pytest.mark.parametrize("order, solver", list(product((1, 2, 3), ("midpoint", "heun"))))
def test_singlestep(x, compare, order, solver):
    for form, betas, predicts, steps, final, lower in product(
        ("x0", "eps"), ("linear",), PREDICTS, (7, 11, 12), ("zero", "sigma_min"), (True, False)
    ):
        if form == "eps" and final == "zero":
            continue  # refused there
        if not lower and (steps % order or final == "zero"):
            continue  # changed to True there
        name = "dpmpp_2s" if form == "x0" else "dpm_solver"
        a = ours(name, betas, predicts, x, steps, order=order, solver=solver, final=final, lower_order_final=lower)
        b = theirs("DPMSolverSinglestepScheduler", betas, predicts, x, steps, solver_order=order, solver_type=solver,
                   final_sigmas_type=final, lower_order_final=lower,
                   algorithm_type="dpmsolver++" if form == "x0" else "dpmsolver")  # fmt: skip
        compare(a, b, rtol=1e-3)


@pytest.mark.parametrize("solver, final", list(product(("midpoint", "heun"), ("zero", "sigma_min"))))
def test_dpmpp_2m_sde(x, compare, solver, final):
    for predicts, steps in product(PREDICTS, (5, 20)):
        a = ours("dpmpp_2m_sde", "linear", predicts, x, steps, solver=solver, final=final, rng=TorchRandom(0))
        b = theirs("DPMSolverMultistepScheduler", "linear", predicts, x, steps, seed=0, solver_type=solver,
                   final_sigmas_type=final, algorithm_type="sde-dpmsolver++")  # fmt: skip
        compare(a, b)


@pytest.mark.parametrize("order, solver, form", list(product((1, 2, 3), ("bh1", "bh2"), ("x0", "eps"))))
def test_unipc(x, compare, order, solver, form):
    for spacing, predicts, steps, final in product(("leading", "linspace", "trailing"), PREDICTS, (3, 10),
                                                   ("zero", "sigma_min")):  # fmt: skip
        if final == "zero" and (form == "eps" or solver == "bh1"):
            continue  # not a number there: 0 times infinity
        a = ours("unipc", "linear", predicts, x, steps, order=order, solver=solver, interpolates=form, spacing=spacing,
                 final=final)  # fmt: skip
        b = theirs("UniPCMultistepScheduler", "linear", predicts, x, steps, solver_order=order, solver_type=solver,
                   predict_x0=form == "x0", timestep_spacing=spacing, final_sigmas_type=final)  # fmt: skip
        compare(a, b, rtol=1e-3)


class LinearInSigma:
    """A schedule whose sigma / alpha is a straight line in t between whole steps, as in their sigma-space schedulers."""

    def __init__(self, schedule):
        self.schedule, self.T, self.t_of_log_snr = schedule, schedule.T, schedule.t_of_log_snr

    def alpha(self, t):
        return 1 / (1 + sigma_of_t(self.schedule, t, "linear") ** 2) ** 0.5

    def sigma(self, t):
        return (1 - self.alpha(t) ** 2) ** 0.5


SIGMA_SPACE = {"euler": "EulerDiscreteScheduler", "euler_ancestral": "EulerAncestralDiscreteScheduler",
               "heun": "HeunDiscreteScheduler", "lms": "LMSDiscreteScheduler"}  # fmt: skip


@pytest.mark.parametrize("name, spacing", list(product(SIGMA_SPACE, ("leading", "linspace", "trailing", "karras"))))
def test_sigma_space(x, compare, name, spacing):
    if name == "euler_ancestral" and spacing == "karras":
        pytest.skip("not offered there")
    for betas, predicts, steps in product(("linear", "scaled_linear"), ("eps", "v"), (3, 12)):
        if spacing == "karras":
            schedule, config = BETAS[betas][0], {"use_karras_sigmas": True}
        else:
            schedule, config = LinearInSigma(BETAS[betas][0]), {"timestep_spacing": spacing}
        a = ours(name, schedule, predicts, x, steps, spacing=spacing, whole=False, rng=TorchRandom(0))
        b = theirs(SIGMA_SPACE[name], betas, predicts, x, steps, sigma_space=True,
                   seed=0 if name == "euler_ancestral" else None, **config)  # fmt: skip
        compare(a, b, rtol=1e-3)


@pytest.mark.parametrize("spacing, final", list(product(("karras", "exponential"), ("zero", "sigma_min"))))
@pytest.mark.parametrize("name, kind", [("euler", "EDMEulerScheduler"), ("dpmpp_2m", "EDMDPMSolverMultistepScheduler")])
def test_edm(x, compare, name, kind, spacing, final):
    for steps in (4, 12, 20):
        scheduler = getattr(diffusers, kind)(sigma_schedule=spacing, final_sigmas_type=final)
        scheduler.set_timesteps(steps)
        y = torch.tensor(80 * x)
        for t in scheduler.timesteps:
            y = scheduler.step(model(scheduler.scale_model_input(y, t), float(t)), t, y).prev_sample
        *_, step = getattr(samplers, name)(EDMDenoiser(model), 80 * x, steps, spacing=spacing, final=final)
        compare(step.x, y.numpy())
