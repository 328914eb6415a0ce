"""Clipping and thresholding act on the guided x0, as in diffusers' pipelines and Imagen (arXiv:2205.11487), section 2.3.

Reference: a guided loop over diffusers' own schedulers, at guidance scale 7.5, with a model that is not linear. Both sides
use the scheduler's alpha_bar and compute in float64, and fresh noise is 0, so they agree to 1e-5.
"""

import json

import numpy as np
import pytest

from minidiff import interop, models
from minidiff.diffusion import (
    Denoiser,
    Schedule,
    cfg,
    classifier_guidance,
    clip_x0,
    dynamic_threshold,
)
from minidiff.interop.schedulers import sampling_from_config
from minidiff.samplers import SAMPLERS, ddim, ddim_invert, sample
from minidiff.samplers.recorded_step import can_be_recorded

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # from diffusers
SCALE = 7.5
PREDICTS = {"eps": "epsilon", "v": "v_prediction", "x0": "sample"}
QUANTILE, LARGEST = 0.9, 1.6


@pytest.fixture
def diffusers(monkeypatch):
    library = pytest.importorskip("diffusers")
    library.utils.logging.set_verbosity_error()
    from diffusers.schedulers import scheduling_ddpm, scheduling_dpmsolver_multistep

    for module in (scheduling_ddpm, scheduling_dpmsolver_multistep):  # fresh noise of 0, on both sides
        monkeypatch.setattr(module, "randn_tensor", lambda shape, dtype=None, **_: _torch().zeros(shape, dtype=dtype))
    return library


def _torch():
    return pytest.importorskip("torch")


class NoNoise:
    def standard_normal(self, size, dtype=np.float64):
        return np.zeros(size, dtype)


class Theirs(Schedule):
    """A Schedule with the alpha_bar of a scheduler, whose own table becomes float64."""

    @classmethod
    def of(cls, scheduler):
        schedule = cls(scheduler.betas.double().numpy())
        scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
        object.__setattr__(schedule, "alpha_bar", scheduler.alphas_cumprod.numpy())
        return schedule


def model(x, t, cond):
    """Not linear, of size about 1, different at every t and for every cond; NumPy or torch."""
    sin = np.sin if isinstance(x, np.ndarray) else _torch().sin
    return 0.7 * x + 0.4 * sin(2 * x + t / 100 + cond) + 0.1 * cond


def start():
    return np.random.default_rng(0).standard_normal((2, 3, 4, 4))


def theirs(scheduler, steps, rescale=0.0):
    """What diffusers' pipelines do: the output is guided, rescaled, and only then given to the scheduler."""
    torch = _torch()
    Theirs.of(scheduler)
    scheduler.set_timesteps(steps)
    x = torch.tensor(start())
    for t in scheduler.timesteps:
        null, cond = (model(x, float(t), c) for c in (0.0, 1.0))
        out = null + SCALE * (cond - null)
        if rescale:
            from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

            out = rescale_noise_cfg(out, cond, guidance_rescale=rescale)
        x = scheduler.step(out, t, x).prev_sample
    return x.numpy()


def orders(schedule, predicts, hold, rescale=0.0):
    """Guidance around the threshold, and the threshold around guidance."""
    plain, guide = Denoiser(model, schedule, predicts), dict(weight=SCALE - 1, null=0.0, rescale=rescale)
    return cfg(hold(plain), 1.0, **guide), hold(cfg(plain, 1.0, **guide))


def run(name, denoiser, steps, **options):
    *_, last = SAMPLERS[name].function(denoiser, start(), steps=steps, rng=NoNoise(), **options)
    return last.x


HOLDS = {
    "clip": (clip_x0, dict(clip_sample=True)),
    "dynamic": (
        lambda d: dynamic_threshold(d, QUANTILE, LARGEST),
        dict(thresholding=True, dynamic_thresholding_ratio=QUANTILE, sample_max_value=LARGEST),
    ),
    "nothing": (lambda d: d, dict(clip_sample=False)),
}
# our sampler and options; their class and options; what it holds x0 by
CASES = [
    ("ddim", {}, "DDIMScheduler", {}, "clip"), ("ddim", {}, "DDIMScheduler", {}, "dynamic"),
    ("ddim", {}, "DDIMScheduler", {}, "nothing"),
    ("ddpm_respaced", {}, "DDPMScheduler", {}, "clip"), ("ddpm_respaced", {}, "DDPMScheduler", {}, "dynamic"),
    ("dpmpp_2m", {}, "DPMSolverMultistepScheduler", {}, "dynamic"),
    ("dpmpp_2m_sde", {}, "DPMSolverMultistepScheduler", dict(algorithm_type="sde-dpmsolver++"), "dynamic"),
    ("dpmpp_2s", {}, "DPMSolverSinglestepScheduler", dict(lower_order_final=True), "dynamic"),
    ("dpmpp_3s", {}, "DPMSolverSinglestepScheduler", dict(solver_order=3, lower_order_final=True), "dynamic"),
    ("unipc", {}, "UniPCMultistepScheduler", {}, "dynamic"),
]  # fmt: skip


@pytest.mark.parametrize("predicts", PREDICTS)
@pytest.mark.parametrize("name, ours, kind, config, held", CASES, ids=lambda v: v if isinstance(v, str) else "")
def test_the_guided_x0_is_held_as_in_diffusers(name, ours, kind, config, held, predicts, diffusers, outside):
    hold, theirs_too = HOLDS[held]
    known = (
        theirs_too
        if kind in ("DDIMScheduler", "DDPMScheduler")
        else {k: v for k, v in theirs_too.items() if k != "clip_sample"}
    )
    scheduler = getattr(diffusers, kind)(prediction_type=PREDICTS[predicts], **known, **config)
    expected = theirs(scheduler, 10)
    for denoiser in orders(Theirs.of(scheduler), predicts, hold):
        got = run(name, denoiser, 10, **ours)
        outside(got / abs(expected).max(), expected / abs(expected).max(), atol=1e-5)


@pytest.mark.parametrize("predicts", PREDICTS)
def test_samplers_that_step_with_eps_re_derive_it(predicts, diffusers, outside):
    """diffusers' dpmsolver thresholds x0 and makes eps of it; without that a threshold would have no effect at all.

    Its multistep class at order 1, where the two families meet; the singlestep class fails with thresholding in 0.42.
    """
    hold, more = HOLDS["dynamic"]
    more = more | dict(algorithm_type="dpmsolver", solver_order=1, final_sigmas_type="sigma_min")
    scheduler = diffusers.DPMSolverMultistepScheduler(prediction_type=PREDICTS[predicts], **more)
    expected = theirs(scheduler, 12)
    for denoiser in orders(Theirs.of(scheduler), predicts, hold):
        got = run("dpm_solver_1", denoiser, 12, final="sigma_min")
        outside(got / abs(expected).max(), expected / abs(expected).max(), atol=1e-5)


def test_heun_holds_the_guided_x0(diffusers, outside):
    """HeunDiscreteScheduler's clip_sample, on Karras noise levels."""
    torch = _torch()
    scheduler = diffusers.HeunDiscreteScheduler(beta_start=1e-4, beta_end=0.02, clip_sample=True, use_karras_sigmas=True)
    schedule = Theirs.of(scheduler)
    scheduler.set_timesteps(8)
    x = torch.tensor(start()) * float(scheduler.sigmas[0] ** 2 + 1) ** 0.5
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, t)
        null, cond = (model(scaled, float(t), c) for c in (0.0, 1.0))
        x = scheduler.step(null + SCALE * (cond - null), t, x).prev_sample
    for denoiser in orders(schedule, "eps", clip_x0):
        outside(run("heun", denoiser, 8), x.numpy(), atol=1e-3)  # its noise levels and times are float32


def test_clipped_model_output_is_rederive(diffusers, outside):
    """DDIM's use_clipped_model_output: eps of the clipped guided x0."""
    torch, scheduler = _torch(), diffusers.DDIMScheduler()
    Theirs.of(scheduler)
    scheduler.set_timesteps(10)
    x = torch.tensor(start())
    for t in scheduler.timesteps:
        null, cond = (model(x, float(t), c) for c in (0.0, 1.0))
        x = scheduler.step(null + SCALE * (cond - null), t, x, use_clipped_model_output=True).prev_sample
    for denoiser in orders(Theirs.of(scheduler), "eps", lambda d: clip_x0(d, rederive=True)):
        outside(run("ddim", denoiser, 10), x.numpy(), atol=1e-5)
    plain = cfg(Denoiser(model, Theirs.of(scheduler)), 1.0, SCALE - 1, null=0.0)
    outside(run("ddim", plain, 10, clip=1.0, rederive=True), x.numpy(), atol=1e-5)


@pytest.mark.parametrize("predicts", ("eps", "v"))
@pytest.mark.parametrize("held", HOLDS)
def test_rescaled_guidance(predicts, held, diffusers, outside):
    hold, config = HOLDS[held]
    scheduler = diffusers.DDIMScheduler(prediction_type=PREDICTS[predicts], **config)
    expected = theirs(scheduler, 10, rescale=0.7)
    for denoiser in orders(Theirs.of(scheduler), predicts, hold, rescale=0.7):
        outside(run("ddim", denoiser, 10) / abs(expected).max(), expected / abs(expected).max(), atol=1e-5)


def test_a_folders_clipping_follows_guidance(diffusers, outside):
    """`Sampling.denoiser` is what pipelines guide."""
    scheduler = diffusers.DDIMScheduler()
    sampling = sampling_from_config(dict(scheduler.config) | {"_class_name": "DDIMScheduler"})
    sampling.schedule = Theirs.of(scheduler)
    denoiser = cfg(sampling.denoiser(model), 1.0, SCALE - 1, null=0.0)
    outside(run("ddim", denoiser, 10, **sampling.options), theirs(scheduler, 10), atol=1e-5)


def test_hand_computed_step():
    """At alpha_bar = 1/4: x0 = 2 x - sqrt(3) eps. With x = 1 and eps(c) = c, w = 1 from null 0 to 1: the guided eps is 2,
    x0 = 2 - 2 sqrt(3) = -1.46, clipped to -1. Clipped one by one, 2 * 0.268 - 1 = -0.464 would come out."""
    denoiser = Denoiser(lambda x, t, c: 0 * x + c, Schedule.from_betas([0.75]), "eps")
    x = np.ones((1, 1))
    for guided in (cfg(clip_x0(denoiser), 1.0, 1.0, null=0.0), clip_x0(cfg(denoiser, 1.0, 1.0, null=0.0))):
        x0, eps = guided(x, 0)
        assert x0 == -1 and eps == 2
    doubled = cfg(cfg(clip_x0(denoiser, 1.2), 1.0, 1.0, null=0.0), 1.0, 0.0, null=0.0)
    with pytest.raises(ValueError, match="already has a condition"):
        doubled(x, 0)
    nested = cfg(dynamic_threshold(clip_x0(denoiser, 1.2), 1.0), 1.0, 1.0, null=0.0)  # clipped to -1.2, then divided by 1.2
    np.testing.assert_allclose(nested(x, 0)[0], -1.0)
    # classifier guidance adds sigma^2 / alpha w grad = 1.5 w to x0: 2 - sqrt(3) + 1.5 = 1.77, held to 1
    pushed = classifier_guidance(clip_x0(denoiser), lambda x, t: 0 * x + 1, 1.0)
    assert pushed(x, 0, 1.0)[0] == 1


def test_inversion_holds_x0_too():
    denoiser = Denoiser(lambda x, t, c: 3 * x, Schedule.linear(50), "eps")
    for held, options in ((clip_x0(denoiser, 0.5), {}), (denoiser, {"clip": 0.5})):
        assert max(abs(step.x0).max() for step in ddim_invert(held, start(), steps=5, **options)) == 0.5


# ---- Stable Diffusion ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ("PNDMScheduler", "DDIMScheduler"))
def test_stable_diffusion_never_clips_its_latents(kind, diffusers, tmp_path, outside):
    """StableDiffusionPipeline.__init__ sets clip_sample to False and steps_offset to 1, whatever the scheduler's file says."""
    torch = _torch()
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        sample_size=8, block_out_channels=(8,), norm_num_groups=4, layers_per_block=1, cross_attention_dim=12,
        down_block_types=("CrossAttnDownBlock2D",), up_block_types=("CrossAttnUpBlock2D",), attention_head_dim=2)  # fmt: skip
    coder = dict(block_out_channels=(8, 8), norm_num_groups=4, down_block_types=("DownEncoderBlock2D",) * 2,
                 up_block_types=("UpDecoderBlock2D",) * 2)  # fmt: skip
    parts = dict(vae=diffusers.AutoencoderKL(**coder), text_encoder=None, tokenizer=None, unet=unet, safety_checker=None,
                 feature_extractor=None, requires_safety_checker=False)  # fmt: skip
    first = getattr(diffusers, kind)(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    diffusers.StableDiffusionPipeline(scheduler=first, **parts).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "scheduler" / "scheduler_config.json").read_text())
    parts["scheduler"] = diffusers.DDIMScheduler.from_config({k: v for k, v in config.items() if not k.startswith("_")})
    pipeline = diffusers.StableDiffusionPipeline(**parts)  # the constructor corrects a scheduler that clips
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline.scheduler.config.clip_sample is False and pipeline.scheduler.config.steps_offset == 1

    text = torch.randn(1, 77, 12, generator=torch.Generator().manual_seed(1))
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = pipeline(prompt_embeds=text, negative_prompt_embeds=0 * text, latents=noise, guidance_scale=SCALE,
                            num_inference_steps=10, output_type="latent").images  # fmt: skip
    ours = interop.load_pipeline(tmp_path)
    ours.unet.null_context = np.zeros((1, 77, 12), np.float32)
    x = noise.numpy().transpose(0, 2, 3, 1).copy()
    got = ours.sample(steps=10, sampler="ddim", cond=text.numpy(), guidance=SCALE - 1, x=x, latent=True)
    expected = expected.numpy().transpose(0, 2, 3, 1)
    assert abs(expected).max() > 1.5  # something to clip, had it been clipped
    outside(got, expected, atol=1e-4)


def test_guided_run_through_sample_option():
    """`clip=` of a sampler holds the guided x0 as well, and equals a denoiser that is clipped before it is guided."""
    schedule = Schedule.linear(50)
    plain, x = Denoiser(model, schedule, "v"), start()
    a = sample("ddim", cfg(plain, 1.0, 3.0, null=0.0), x.shape, x=x, steps=5, clip=1.0)
    b = sample("ddim", cfg(clip_x0(plain), 1.0, 3.0, null=0.0), x.shape, x=x, steps=5)
    np.testing.assert_array_equal(a, b)
    *_, last = ddim(cfg(plain, 1.0, 3.0, null=0.0), x, steps=5)
    assert abs(a - last.x).max() > 0.1


def test_what_can_be_recorded_still_can_be():
    net = models.UNet(sample_size=4, in_channels=1, out_channels=1, block_out_channels=(4,), norm_num_groups=2,
                      layers_per_block=1, num_class_embeds=3, null_class=2, attention_head_dim=2,
                      down_block_types=("DownBlock2D",),
                      up_block_types=("UpBlock2D",), rng=0)  # fmt: skip
    labels = np.array([0])
    assert can_be_recorded(cfg(clip_x0(Denoiser(net, Schedule.linear(40), "v")), labels, 1.0))
    assert not can_be_recorded(cfg(dynamic_threshold(Denoiser(net, Schedule.linear(40), "v")), labels, 1.0))
