"""Options of samplers: from a folder's scheduler, from another sampler's, and of our own API, each with its right value."""

import json
import math

import numpy as np
import pytest
from reference_pipelines import SameNoise

from minidiff import interop, models, samplers
from minidiff.diffusion import Denoiser, Schedule, beta_sigmas, spaced_steps
from minidiff.diffusion.sigmas import beta_quantile, schedule_sigmas, sigma_of_t
from minidiff.interop.levels import levels_of
from minidiff.interop.scheduler_options import RULES, SAMPLER_OF, check_options
from minidiff.interop.schedulers import sampling_from_config

STABLE = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
UNET = dict(sample_size=8, block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1, attention_head_dim=4,
            down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"))  # fmt: skip
MULTI, SINGLE = "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler"

# Printed by diffusers 0.42.1 for Stable Diffusion's betas: scheduler.sigmas without the last 0, and scheduler.timesteps
LMS_KARRAS_LEADING = [2.918308, 0.423291, 0.029168]
HEUN_EXPONENTIAL_TRAILING = [14.614647, 5.290291, 1.915009, 0.693205], [999.0, 807.5112, 549.723, 249.0]
EULER_BETA_TRAILING = [14.614647, 10.780497, 4.527355, 0.693205]
MULTI_LEVELS = {
    "use_karras_sigmas": ([14.614647, 3.168611, 0.446921, 0.029168], [999, 687, 146, 0]),
    "use_exponential_sigmas": ([14.614647, 1.840032, 0.231666, 0.029168], [998, 538, 52, 0]),
    "use_beta_sigmas": ([14.614647, 10.597612, 4.046202, 0.029168], [998, 943, 746, 0]),
    "use_lu_lambdas": ([14.614647, 1.840032, 0.231666, 0.029168], [999, 538, 52, 0]),
}
# scipy.stats.beta.ppf(1 - numpy.linspace(0, 1, 6), 0.6, 0.6), scipy 1.17.1
BETA_QUANTILES = [1.0, 0.8770782495416671, 0.6372990092467856, 0.36270099075321405, 0.12292175045833284, 0.0]


def levels(name, steps, **config):
    sampling = sampling_from_config({"_class_name": name, **config})
    _, full = check_options(sampling.config, "here")
    return levels_of(name, full, sampling.schedule, steps, name)


def run(sampler, denoiser, x, **options):
    *_, step = getattr(samplers, sampler)(denoiser, x, **options)
    return step.x


def constant(x, t, cond=None):
    """Predicts eps = 1 everywhere."""
    return np.ones_like(x)


# ---- folders -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ddpm_folder(tmp_path_factory):
    """diffusers, its tiny U-Net, and the folder of the DDPMPipeline with it."""
    torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    pytest.importorskip("scipy")
    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    unet = diffusers.UNet2DModel(**UNET).eval()
    with torch.no_grad():
        for p in unet.parameters():
            p.add_(torch.randn(p.shape) * 0.05)
    folder = tmp_path_factory.mktemp("ddpm")
    diffusers.DDPMPipeline(unet, diffusers.DDPMScheduler()).save_pretrained(folder)
    return torch, diffusers, unet, folder


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("sampler", SAMPLER_OF)
def test_a_ddpm_folder_under_every_sampler(sampler, ddpm_folder, count):
    """The call of docs/pretrained.md: variance_type is DDPM's own affair. Against Class.from_config in diffusers."""
    torch, diffusers, unet, folder = ddpm_folder
    name, forced = SAMPLER_OF[sampler]
    settings = diffusers.DDPMScheduler.from_pretrained(folder / "scheduler").config
    scheduler = getattr(diffusers, name).from_config(settings, **forced)
    scheduler.set_timesteps(6)
    generator = torch.Generator().manual_seed(3)
    x = torch.randn((1, 3, 8, 8), generator=generator) * scheduler.init_noise_sigma
    extra = {"generator": generator} if "generator" in scheduler.step.__code__.co_varnames else {}
    with torch.no_grad():
        for t in scheduler.timesteps:
            x = scheduler.step(unet(scheduler.scale_model_input(x, t), t).sample, t, x, **extra).prev_sample
    ours = interop.from_pretrained(folder).sample(1, steps=6, sampler=sampler, rng=SameNoise(torch, 3))
    x = x.numpy().transpose(0, 2, 3, 1)
    assert np.abs(ours - x).max() < 1e-4 * np.abs(x).max()
    count("outside")


@pytest.mark.parametrize("sampler", [*SAMPLER_OF, "dpm_solver", "dpmpp_sde"])
def test_a_learned_variance_is_split_off_for_every_sampler(sampler):
    """Twice the channels: all samplers but ddpm give what the network gives whose further channels are left off."""

    def net(x, t, cond=None):
        return 0.3 * x + 0.01 * np.sin(x + t)

    def wide(x, t, cond=None):
        return np.concatenate([net(x, t), np.sin(3 * x)], axis=-1)

    config = {"_class_name": "DDPMScheduler", "clip_sample": False}
    x, found = np.random.default_rng(0).normal(size=(2, 4, 4, 3)), []
    for model, variance in ((wide, "learned_range"), (net, "fixed_small")):
        sampling = sampling_from_config(config | {"variance_type": variance}).change(sampler).at(5)
        row = samplers.find(sampling.sampler)
        *_, step = row.function(sampling.denoiser(model), x, rng=1, **({"steps": 5} | sampling.options))
        found.append(step.x)
    assert np.isfinite(found[0]).all()
    if sampler != "ddpm":
        np.testing.assert_array_equal(*found)
    for name in (MULTI, SINGLE):  # and from a configuration of these classes
        assert sampling_from_config({"_class_name": name, "variance_type": "learned_range"}).learned_variance
        assert not sampling_from_config({"_class_name": name, "variance_type": "fixed_small"}).learned_variance


def test_levels_and_times_of_diffusers(outside):
    """With leading and trailing times its sigma-space classes take the range from the times visited: 2.9 and not 14.6."""
    found = levels("LMSDiscreteScheduler", 3, timestep_spacing="leading", use_karras_sigmas=True, **STABLE)
    outside(found.s, LMS_KARRAS_LEADING, atol=2e-5)
    found = levels("HeunDiscreteScheduler", 4, timestep_spacing="trailing", use_exponential_sigmas=True, **STABLE)
    outside(found.s, HEUN_EXPONENTIAL_TRAILING[0], atol=2e-5)
    outside(found.model_t, HEUN_EXPONENTIAL_TRAILING[1], atol=2e-2)
    found = levels("EulerDiscreteScheduler", 4, use_beta_sigmas=True, timestep_spacing="trailing", **STABLE)
    outside(found.s, EULER_BETA_TRAILING, atol=2e-5)
    for option, (s, told) in MULTI_LEVELS.items():
        found = levels(MULTI, 4, **{option: True}, **STABLE)
        outside(found.s, s, atol=2e-5)
        outside(found.model_t, told, atol=0)  # 998 where it cuts 998.99996, 999 where it rounds


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", (MULTI, SINGLE, "UniPCMultistepScheduler"))
def test_times_are_rounded_and_cut_as_in_float32(name, count):
    """scheduler.timesteps of diffusers as it is, in float32."""
    diffusers = pytest.importorskip("diffusers")
    pytest.importorskip("scipy")
    for betas in ({}, STABLE, {"beta_schedule": "squaredcos_cap_v2"}):
        for level in [level for level in RULES if level in check_options({"_class_name": name}, "here")[1]]:
            for steps in (4, 10, 25):
                scheduler = getattr(diffusers, name)(**betas, **{level: True})
                scheduler.set_timesteps(steps)
                np.testing.assert_array_equal(
                    levels(name, steps, **betas, **{level: True}).model_t, scheduler.timesteps.numpy()
                )
                count("outside")


@pytest.mark.parametrize("other", ("PNDMScheduler", MULTI, "EulerDiscreteScheduler"))
def test_the_single_step_class_has_no_spacing_option(other):
    """`leading` in the folder, and 2S still visits linspace: 999, 832, 666, 500, 333, 166, as diffusers prints them."""
    folder = sampling_from_config({"_class_name": other, "timestep_spacing": "leading", "steps_offset": 1, **STABLE})
    found = folder.change("dpmpp_2s").at(6)
    assert found.model_t[found.options["steps"]].tolist() == [999, 832, 666, 500, 333, 166]


def test_what_another_class_wrote_is_read_as_diffusers_reads_it():
    unipc = {
        "_class_name": "UniPCMultistepScheduler",
        "solver_type": "bh1",
        "solver_order": 3,
        "final_sigmas_type": "sigma_min",
    }
    found = sampling_from_config(unipc).change("dpmpp_2m").options
    assert (found["solver"], found["order"], found["final"]) == ("midpoint", 2, "sigma_min")
    assert sampling_from_config({"_class_name": "UniPCMultistepScheduler", "solver_type": "heun"}).options["solver"] == "bh2"
    assert sampling_from_config({"_class_name": MULTI, "algorithm_type": "deis", "solver_type": "logrho"}).sampler == "dpmpp_2m"
    order_3 = sampling_from_config({"_class_name": MULTI, "solver_order": 3})
    assert (order_3.sampler, order_3.change("dpmpp_2m").options["order"]) == ("dpmpp_3m", 2)
    learned = sampling_from_config({"_class_name": "DDPMScheduler", "variance_type": "learned_range"})
    assert all(learned.change(name).learned_variance for name in (*SAMPLER_OF, "rk4"))


def test_a_spacing_of_ones_own_leaves_diffusers_levels():
    sampling = sampling_from_config({"_class_name": "EulerDiscreteScheduler", **STABLE})
    assert sampling.at(5).model_t is not None and sampling.at(5, {"spacing": "karras"}) is sampling
    assert sampling.at(np.array([900, 500, 100])) is sampling


def test_pure_noise_and_eps_are_refused_by_name():
    config = {"_class_name": "DDIMScheduler", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    with pytest.raises(ValueError, match="rescale_betas_zero_snr is True; with prediction_type 'epsilon'"):
        sampling_from_config(config).at(5)
    assert sampling_from_config(config | {"prediction_type": "v_prediction"}).at(5)
    assert sampling_from_config(config | {"timestep_spacing": "leading"}).at(5)


def test_levels_that_do_not_fall_are_refused_by_name():
    with pytest.raises(ValueError, match=r"sigma_min is 0.001"):
        levels("EulerDiscreteScheduler", 5, sigma_min=1e-3, use_karras_sigmas=True, final_sigmas_type="sigma_min")
    with pytest.raises(ValueError, match="steps: 5 steps"):
        levels("EulerDiscreteScheduler", 5, sigma_min=4.0, sigma_max=4.0, use_karras_sigmas=True)


def test_a_run_that_ends_above_zero_hands_over_x_over_alpha(tmp_path):
    """diffusers' Euler keeps x / alpha; with eps = 1 its run from s_0 n to s_last is x / alpha = s_0 n + s_last - s_0."""
    net = models.UNet(**UNET, rng=0)
    interop.save_pipeline(net, Schedule.linear(), tmp_path)
    config = {"_class_name": "EulerDiscreteScheduler", "final_sigmas_type": "sigma_min"}
    (tmp_path / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))
    pipeline = interop.from_pretrained(tmp_path)
    pipeline.unet.predict = constant
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype(np.float32)
    s = schedule_sigmas(Schedule.linear())
    expected = s[-1] * x + s[0] - s[-1]
    np.testing.assert_allclose(pipeline.sample(1, steps=7, x=x), expected, atol=2e-5 * s[-1])


# ---- our own API ---------------------------------------------------------------------------------------------------


def test_quantiles_of_beta_distributions():
    """Closed forms: Beta(1/2, 1/2) is the arcsine law, Beta(a, 1) a power, Beta(1, b) its mirror image."""
    p = np.linspace(0, 1, 41)
    np.testing.assert_allclose(beta_quantile(p, 0.5, 0.5), np.sin(math.pi * p / 2) ** 2, atol=1e-14)
    np.testing.assert_allclose(beta_quantile(p, 3.0, 1.0), p ** (1 / 3), atol=1e-14)
    np.testing.assert_allclose(beta_quantile(p, 1.0, 0.6), 1 - (1 - p) ** (1 / 0.6), atol=1e-14)
    np.testing.assert_allclose(beta_quantile(p, 1.0, 1.0), p, atol=1e-14)
    with pytest.raises(ValueError, match="a, b: got 0, 1"):
        beta_quantile(p, 0, 1)


def test_beta_levels(outside):
    """sigma_min + ppf (sigma_max - sigma_min), scipy.stats.beta.ppf(1 - linspace(0, 1, 6), 0.6, 0.6) of scipy."""
    outside(beta_sigmas(0.0001, 1.0001, 6) - 0.0001, BETA_QUANTILES, atol=1e-12)
    schedule = Schedule.linear()
    t = spaced_steps(schedule, 7, "beta")
    np.testing.assert_allclose(sigma_of_t(schedule, t), beta_sigmas(*schedule_sigmas(schedule)[[0, -1]], 7), rtol=1e-9)
    np.testing.assert_array_equal(spaced_steps(schedule, 7, "lu"), spaced_steps(schedule, 7, "exponential"))


def test_order_1_is_ddim():
    """DPM-Solver++ paper, section 5: its first order is DDIM."""
    denoiser = Denoiser(lambda x, t, c: np.tanh(x) * 0.3 + 0.01 * np.cos(t), Schedule.linear())
    x, times = np.random.default_rng(0).normal(size=(3, 5)), [900, 700, 400, 100]
    for options in ({}, {"interpolates": "eps"}):
        found = run("dpmpp_2m", denoiser, x, steps=times, order=1, **options)
        np.testing.assert_allclose(found, run("ddim", denoiser, x, steps=times), rtol=1e-12)


@pytest.mark.parametrize("order, final", [(2, {"euler_at_final": True}), (3, {"euler_at_final": True}), (3, {}), (2, {})])
def test_euler_at_final_takes_the_last_step_alone(order, final):
    """20 steps that end above 0: the last one is DDIM's from the sample before with it, and is not without it."""
    denoiser = Denoiser(lambda x, t, c: np.tanh(x + t / 300), Schedule.linear())
    x = np.random.default_rng(0).normal(size=(3, 5))
    steps = list(samplers.dpmpp_2m(denoiser, x, 20, order=order, final="sigma_min", **final))
    last = samplers.Trajectory(denoiser, x, 20, spacing="linspace", skip_last=True, final="sigma_min").points[-1]
    x0, eps = denoiser(steps[-2].x, steps[-1].t)
    alone = np.allclose(steps[-1].x, last.alpha * x0 + last.sigma * eps, rtol=1e-10)
    assert alone == bool(final)


def test_third_order_is_exact_for_parabolas_in_lambda():
    """If x0 is a + b l + c l^2 along the path, order 3 integrates it exactly; `bend="halved"` does not.

    The right value is the ODE's integral, x' = (s'/s) x + alpha' * integral of e^-(l' - l) x0(l) dl, by Gauss-Legendre.
    """
    schedule = Schedule.linear()
    lam = lambda t: 0.5 * schedule.log_snr(t)  # noqa: E731
    parabola = lambda l: 0.3 + 0.2 * l - 0.1 * l**2  # noqa: E731
    denoiser = Denoiser(lambda x, t, c: np.full_like(x, parabola(lam(t))), schedule, "x0")
    x, times = np.array([[0.7]]), [700, 600, 500, 400, 300]
    before = list(samplers.find("dpmpp_3m").function(denoiser, x, times, lower_order_final=False))
    nodes, weights = np.polynomial.legendre.leggauss(20)
    low, high = lam(400), lam(300)
    l = (low + high) / 2 + (high - low) / 2 * nodes
    integral = (high - low) / 2 * np.sum(weights * np.exp(l - high) * parabola(l))
    exact = schedule.sigma(300) / schedule.sigma(400) * before[2].x + schedule.alpha(300) * integral
    np.testing.assert_allclose(before[3].x, exact, rtol=1e-12)
    halved = list(samplers.dpmpp_2m(denoiser, x, times, order=3, bend="halved", lower_order_final=False))
    assert abs(halved[3].x - before[3].x)[0, 0] > 1e-4


def test_a_stride_is_where_ddim_ends_its_steps():
    """By hand on times 9, 6, 3, 0 of T = 10 with stride 10 // 4 = 2: eps = 1 moves x / alpha by s(t - 2) - s(t)."""
    schedule = Schedule.linear(10, 0.01, 0.3)
    denoiser, x = Denoiser(constant, schedule), np.array([[0.4]])
    for sampler, more in (("ddim", {}), ("plms", {"warm_up": "none"})):
        expected, s = x, schedule_sigmas(schedule)
        for t in (9, 6, 3):
            if sampler == "plms" and t == 9:  # its first step is taken again, from 6 + 2 down to 6
                t = 8
            expected = schedule.alpha(t - 2) * (expected / schedule.alpha(t) + s[t - 2] - s[t])
        expected = expected / schedule.alpha(0) - s[0]
        found = run(sampler, denoiser, x, steps=4, spacing="linspace", stride=2, **more)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        even = dict(steps=5, spacing="leading", **more)
        np.testing.assert_array_equal(run(sampler, denoiser, x, stride=2, **even), run(sampler, denoiser, x, **even))


@pytest.mark.parametrize("variance, std", [("fixed_small", 1e-10), ("fixed_large", None)])
def test_noise_in_the_finished_image(variance, std):
    """diffusers' last DDPM step adds noise of variance 1 - alpha_bar[t] (fixed_large) unless t = 0; ours does if asked to."""
    schedule, x = Schedule.linear(100), np.zeros((4000, 1))
    denoiser = Denoiser(lambda x, t, c: np.zeros_like(x), schedule, "x0")
    std = std or math.sqrt(1 - schedule.alpha_bar[24])
    options = dict(steps=4, spacing="trailing", variance=variance, rng=0)
    assert np.abs(run("ddpm", denoiser, x, **options)).max() == 0
    assert np.std(run("ddpm", denoiser, x, noisy_end=True, **options)) == pytest.approx(std, rel=0.05)
    assert np.abs(run("ddpm", denoiser, x, noisy_end=True, **options | {"spacing": "leading"})).max() == 0


def test_uncorrected_steps_are_those_of_the_predictor():
    denoiser = Denoiser(lambda x, t, c: np.tanh(x + t / 300), Schedule.linear())
    x = np.random.default_rng(0).normal(size=(3, 5))
    none = [step.x for step in samplers.unipc(denoiser, x, 6, corrector=False)]
    some = [step.x for step in samplers.unipc(denoiser, x, 6, uncorrected=(0, 1))]
    every = [step.x for step in samplers.unipc(denoiser, x, 6)]
    np.testing.assert_array_equal(some[2], none[2])
    assert not np.allclose(some[3], none[3]) and not np.allclose(some[1], every[1])
    *_, never = samplers.unipc(denoiser, x, 6, uncorrected=range(6))
    np.testing.assert_array_equal(never.x, none[-1])
