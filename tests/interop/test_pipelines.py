"""Whole pipelines against diffusers': from the same noise, the same picture."""

import json
import sys
import types

import numpy as np
import pytest
from clip_texts import MERGES, VOCAB
from reference_pipelines import NAMES, UNET, SameNoise

from minidiff import interop, models
from minidiff.diffusion import Schedule
from minidiff.interop.schedulers import sampling_from_config, scheduler_config

STEPS = 20
CODER = dict(block_out_channels=(8, 8), norm_num_groups=4, down_block_types=("DownEncoderBlock2D",) * 2,
             up_block_types=("UpDecoderBlock2D",) * 2)  # fmt: skip


@pytest.fixture
def quiet(diffusers):
    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    return diffusers


# class of the scheduler, and its options
SCHEDULERS = [
    ("DDIMScheduler", {}), ("DDIMScheduler", dict(clip_sample=False, set_alpha_to_one=False, steps_offset=1)),
    ("DDIMScheduler", dict(timestep_spacing="trailing", thresholding=True, clip_sample=False)),
    ("PNDMScheduler", {}), ("PNDMScheduler", dict(skip_prk_steps=True, steps_offset=1)),
    ("DPMSolverMultistepScheduler", {}), ("DPMSolverMultistepScheduler", dict(use_karras_sigmas=True)),
    ("DPMSolverMultistepScheduler", dict(timestep_spacing="leading", steps_offset=1, solver_type="heun")),
    ("DPMSolverMultistepScheduler", dict(algorithm_type="sde-dpmsolver++")),
    ("DPMSolverSinglestepScheduler", dict(lower_order_final=True)), ("UniPCMultistepScheduler", {}),
    ("EulerDiscreteScheduler", {}), ("EulerDiscreteScheduler", dict(timestep_spacing="leading", steps_offset=1)),
    ("EulerDiscreteScheduler", dict(timestep_spacing="trailing")), ("EulerDiscreteScheduler", dict(use_karras_sigmas=True)),
    ("EulerAncestralDiscreteScheduler", {}), ("LMSDiscreteScheduler", {}), ("HeunDiscreteScheduler", {}),
    ("DDPMScheduler", {}), ("DDPMScheduler", dict(variance_type="fixed_large", clip_sample=False)),
]  # fmt: skip
BETAS = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)


def run_theirs(torch, scheduler, unet, noise, generator, *context):
    """The loop that all of its pipelines share."""
    scheduler.set_timesteps(STEPS)
    x = noise * scheduler.init_noise_sigma
    extra = {"generator": generator} if "generator" in scheduler.step.__code__.co_varnames else {}
    with torch.no_grad():
        for t in scheduler.timesteps:
            output = unet(scheduler.scale_model_input(x, t), t, *context).sample
            x = scheduler.step(output, t, x, **extra).prev_sample
    return x.numpy()


@pytest.mark.parametrize("prediction", ("epsilon", "v_prediction"))
@pytest.mark.parametrize(("name", "options"), SCHEDULERS, ids=[f"{n}-{i}" for i, (n, _) in enumerate(SCHEDULERS)])
def test_every_scheduler_from_the_same_noise(name, options, prediction, torch, quiet, stir, close, channels_first, tmp_path):
    pytest.importorskip("scipy")  # their LMS integrates with it
    torch.manual_seed(0)
    scheduler = getattr(quiet, name)(**BETAS, **options, prediction_type=prediction)
    theirs = stir(quiet.UNet2DModel(**UNET), by=0.05)
    (quiet.DDPMPipeline if name == "DDPMScheduler" else quiet.DDIMPipeline)(theirs, scheduler).save_pretrained(tmp_path)
    if name not in ("DDIMScheduler", "DDPMScheduler"):  # those pipelines make every scheduler one of their own
        scheduler.save_pretrained(tmp_path / "scheduler")
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn((2, 3, 8, 8), generator=generator)
    expected = run_theirs(torch, scheduler, theirs, noise, generator)
    ours = interop.load(tmp_path).sample(2, steps=STEPS, rng=SameNoise(torch, 3))
    close(channels_first(ours), expected, 1e-3)


@pytest.mark.parametrize("name", ("DDPMPipeline", "DDIMPipeline", "PNDMPipeline"))
def test_the_pipelines_themselves(name, torch, quiet, stir, close, tmp_path):
    torch.manual_seed(0)
    unet = stir(quiet.UNet2DModel(**UNET), by=0.05)
    made = {"DDPMPipeline": quiet.DDPMScheduler, "DDIMPipeline": quiet.DDIMScheduler, "PNDMPipeline": quiet.PNDMScheduler}
    if not hasattr(quiet, name):
        pytest.skip(f"this version of diffusers has no {name}")
    pipeline = getattr(quiet, name)(unet, made[name]())
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(tmp_path)
    with torch.no_grad():
        expected = pipeline(
            batch_size=2, generator=torch.Generator().manual_seed(1), num_inference_steps=STEPS, output_type="np"
        )
    ours = interop.sample(tmp_path, 2, steps=STEPS, rng=SameNoise(torch, 1))
    close(np.clip(ours / 2 + 0.5, 0, 1), expected.images, 1e-3)


def test_everything_at_the_top_of_the_folder(torch, quiet, stir, tmp_path):
    """As the oldest repositories on the hub lie."""
    quiet.DDPMPipeline(stir(quiet.UNet2DModel(**UNET)), quiet.DDPMScheduler()).save_pretrained(tmp_path)
    before = interop.sample(tmp_path, 1, steps=3, rng=0)
    for part in ("unet", "scheduler"):
        for file in (tmp_path / part).iterdir():
            file.rename(tmp_path / file.name)
        (tmp_path / part).rmdir()
    np.testing.assert_array_equal(interop.sample(tmp_path, 1, steps=3, rng=0), before)


def test_latent_diffusion(torch, quiet, stir, close, tmp_path):
    torch.manual_seed(0)
    vqvae = stir(quiet.VQModel(**CODER, num_vq_embeddings=20))
    pipeline = quiet.LDMPipeline(
        vqvae, stir(quiet.UNet2DModel(**UNET), by=0.05), quiet.DDIMScheduler(**BETAS, clip_sample=False)
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(tmp_path)
    with torch.no_grad():
        expected = pipeline(
            batch_size=2, generator=torch.Generator().manual_seed(1), num_inference_steps=STEPS, output_type="np"
        )
    ours = interop.sample(tmp_path, 2, steps=STEPS, rng=SameNoise(torch, 1))
    assert ours.shape == (2, 16, 16, 3)
    close(np.clip(ours / 2 + 0.5, 0, 1), expected.images, 1e-3)


# ---- Stable Diffusion ------------------------------------------------------------------------------------------------


@pytest.fixture
def stable_diffusion(torch, quiet, stir, tmp_path):
    """stable_diffusion(prediction, linear): a folder of a tiny one, and the pipeline that wrote it."""
    transformers = pytest.importorskip("transformers")
    transformers.logging.set_verbosity_error()

    def make(prediction="epsilon", linear=False):
        torch.manual_seed(0)
        unet = stir(quiet.UNet2DConditionModel(
            sample_size=8, block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1, cross_attention_dim=12,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            attention_head_dim=(2, 4) if linear else 2, use_linear_projection=linear), by=0.05)  # fmt: skip
        vae = stir(quiet.AutoencoderKL(**CODER))
        text = transformers.CLIPTextConfig(
            vocab_size=len(VOCAB), hidden_size=12, intermediate_size=20, num_hidden_layers=2, num_attention_heads=2,
            eos_token_id=VOCAB["<|endoftext|>"], bos_token_id=VOCAB["<|startoftext|>"],
            hidden_act="gelu" if linear else "quick_gelu")  # fmt: skip
        folder = tmp_path / "tokenizer_files"
        folder.mkdir()
        (folder / "vocab.json").write_text(json.dumps(VOCAB, ensure_ascii=False), encoding="utf-8")
        (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(map(" ".join, MERGES)) + "\n", encoding="utf-8")
        settings = {"pad_token": "!" if linear else "<|endoftext|>", "model_max_length": 77, "tokenizer_class": "CLIPTokenizer"}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        scheduler = quiet.PNDMScheduler(**BETAS, skip_prk_steps=True, steps_offset=1, prediction_type=prediction)
        pipeline = quiet.StableDiffusionPipeline(
            vae, stir(transformers.CLIPTextModel(text)), transformers.CLIPTokenizer.from_pretrained(folder), unet, scheduler,
            safety_checker=None, feature_extractor=None, requires_safety_checker=False)  # fmt: skip
        pipeline.set_progress_bar_config(disable=True)
        pipeline.save_pretrained(tmp_path / "sd")
        settings = json.loads((tmp_path / "sd/scheduler/scheduler_config.json").read_text()) | {"clip_sample": False}
        (tmp_path / "sd/scheduler/scheduler_config.json").write_text(json.dumps(settings))  # as Stable Diffusion's has it
        for file in folder.iterdir():  # the two files of old, which every folder on the hub has
            (tmp_path / "sd" / "tokenizer" / file.name).write_bytes(file.read_bytes())
        return tmp_path / "sd", pipeline

    return make


@pytest.mark.parametrize("prediction", ("epsilon", "v_prediction"))
def test_stable_diffusion_from_the_same_noise(prediction, torch, quiet, stable_diffusion, close):
    folder, theirs = stable_diffusion(prediction, linear=prediction == "v_prediction")
    ours, settings = interop.from_pretrained(folder), quiet.PNDMScheduler.from_pretrained(folder / "scheduler").config
    prompt, negative = ["a photo of a cat!", "the quick brown fox"], ["a horse", ""]
    for sampler, name in NAMES.items():
        theirs.scheduler = getattr(quiet, name).from_config(settings)
        with torch.no_grad():
            expected = theirs(prompt, 16, 24, STEPS, guidance_scale=4.0, negative_prompt=negative, output_type="np",
                              generator=torch.Generator().manual_seed(5)).images  # fmt: skip
        given = None if sampler == "plms" else sampler
        images = ours.sample(2, STEPS, given, prompt, negative, guidance=3.0, height=16, width=24, rng=SameNoise(torch, 5))
        close(np.clip(images / 2 + 0.5, 0, 1), expected, 1e-3, what=sampler)


def test_stable_diffusion_frugally_and_by_default(torch, quiet, stable_diffusion, close):
    folder, theirs = stable_diffusion()
    with torch.no_grad():
        expected = theirs("a cat", num_inference_steps=4, generator=torch.Generator().manual_seed(5), output_type="np").images
    options = dict(steps=4, prompt="a cat")
    images = interop.sample(folder, rng=SameNoise(torch, 5), **options)
    assert images.shape == (1, 16, 16, 3)
    close(np.clip(images / 2 + 0.5, 0, 1), expected, 1e-3)
    close(interop.sample(folder, rng=SameNoise(torch, 5), frugal=True, **options), images, 1e-5)
    text = interop.describe(folder)
    for part in (
        "StableDiffusionPipeline",
        "unet: UNet2DConditionModel = models.UNet2DConditionModel",
        "tokenizer of",
        "sampler plms",
    ):
        assert part in text
    with pytest.raises(ValueError, match="multiples of 2"):
        interop.sample(folder, prompt="a cat", height=17, width=16)
    with pytest.raises(ValueError, match="got 1 and 2 texts for 2 images"):
        interop.sample(folder, 2, prompt=["a cat"])


def test_guidance_asks_the_unet_once_a_step(stable_diffusion):
    """For each way that samplers have to give the network its time."""
    folder, _ = stable_diffusion()
    pipeline = interop.from_pretrained(folder)
    rows, predict = [], pipeline.unet.predict
    pipeline.unet.predict = lambda x, *rest: rows.append(len(x)) or predict(x, *rest)
    for sampler in ("ddim", "dpmpp_2m", "euler"):
        rows.clear()
        pipeline.sample(2, 3, sampler, "a cat", guidance=3.0, rng=0)
        assert rows == [4, 4, 4], sampler


def test_the_decoder_of_a_frugal_pipeline_has_the_memory_to_itself(stable_diffusion, pages_of):
    folder, _ = stable_diffusion()
    pipeline = interop.from_pretrained(folder, frugal=True)
    pipeline.sample(prompt="a cat", steps=2, rng=0)
    held = {part: pages_of(folder / part / "diffusion_pytorch_model.safetensors") for part in ("unet", "vae")}
    assert held["unet"] == 0 < held["vae"] and pages_of(folder / "text_encoder" / "model.safetensors") == 0


def test_a_safety_checker_is_skipped_with_a_warning(stable_diffusion):
    folder, _ = stable_diffusion()
    index = json.loads((folder / "model_index.json").read_text())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.warns(UserWarning, match="safety checker"):
        assert interop.load(folder).left_out == ("safety_checker",)
    assert "safety_checker: StableDiffusionSafetyChecker, not opened" in interop.describe(folder)
    index["controlnet"] = ["diffusers", "ControlNetModel"]
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="part 'controlnet'"):
        interop.load(folder)


# ---- ours for them ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("schedule", "predicts"), [
    (Schedule.linear(), "eps"), (Schedule.scaled_linear(), "v"), (Schedule.cosine(500), "v"), (Schedule.sigmoid(400), "x0"),
    (Schedule.linear(200, scale_to_T=True), "eps"),
])  # fmt: skip
def test_diffusers_ddim_samples_an_exported_folder(schedule, predicts, torch, quiet, close, tmp_path):
    net = models.UNet(**UNET, rng=0)
    interop.save_pipeline(net, schedule, tmp_path, predicts)
    theirs = quiet.DDIMPipeline.from_pretrained(tmp_path)
    theirs.set_progress_bar_config(disable=True)
    with torch.no_grad():
        expected = theirs(
            batch_size=2, num_inference_steps=20, generator=torch.Generator().manual_seed(0), output_type="np"
        ).images
    ours = interop.sample(tmp_path, 2, steps=20, rng=SameNoise(torch, 0))
    close(np.clip(ours / 2 + 0.5, 0, 1), expected, 1e-3)


@pytest.mark.parametrize(("change", "message"), [
    ({"_class_name": "FlowMatchLCMScheduler"}, "'FlowMatchLCMScheduler' is not supported"),
    ({"beta_schedule": "laplace"}, "beta_schedule is 'laplace'"), ({"prediction_type": "flow"}, "prediction_type is 'flow'"),
    ({"timestep_spacing": "quadratic"}, "timestep_spacing"), ({"betas_start": 1}, "option 'betas_start'"),
    ({"_class_name": "DPMSolverMultistepScheduler", "solver_order": 4}, "solver_order is 4"),
    ({"_class_name": "DPMSolverMultistepScheduler", "solver_order": 3, "algorithm_type": "sde-dpmsolver++"},
     "solver_order is 3"),
    ({"_class_name": "DPMSolverMultistepScheduler", "use_flow_sigmas": True}, "use_flow_sigmas is True"),
    ({"_class_name": "DPMSolverMultistepScheduler", "use_beta_sigmas": True, "use_karras_sigmas": True},
     "use_karras_sigmas and use_beta_sigmas"),
    ({"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "dpmsolver"}, "final_sigmas_type is 'zero'"),
    ({"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver"}, "algorithm_type"),
    ({"_class_name": "EulerDiscreteScheduler", "interpolation_type": "cubic"}, "interpolation_type"),
    ({"_class_name": "UniPCMultistepScheduler", "use_dynamic_shifting": True}, "use_dynamic_shifting is True"),
    ({"_class_name": "DDPMScheduler", "variance_type": "learned"}, "variance_type is 'learned'"),
])  # fmt: skip
def test_a_scheduler_option_that_is_not_supported_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        sampling_from_config(scheduler_config(Schedule.linear()) | change)


def test_the_oldest_configurations():
    """scheduler_config.json of google/ddpm-cifar10-32, and how a net that predicts x0 was marked then."""
    old = {"_class_name": "DDPMScheduler", "_diffusers_version": "0.1.1", "beta_end": 0.02, "beta_schedule": "linear",
           "beta_start": 0.0001, "clip_sample": True, "num_train_timesteps": 1000, "trained_betas": None,
           "variance_type": "fixed_large", "tensor_format": "pt", "timestep_values": None}  # fmt: skip
    found = sampling_from_config(old)
    assert (found.sampler, found.predicts, found.clip) == ("ddpm", "eps", 1.0) and found.options["variance"] == "fixed_large"
    assert sampling_from_config(old | {"predict_epsilon": True}).predicts == "eps"
    assert sampling_from_config(old | {"predict_epsilon": False}).predicts == "x0"


def test_scheduler_defaults_are_the_other_librarys(diffusers):
    pytest.importorskip("scipy")  # their LMS integrates with it
    import inspect

    from minidiff.interop.scheduler_options import DEFAULTS

    for name, ours in DEFAULTS.items():
        parameters = inspect.signature(getattr(diffusers, name).__init__).parameters
        theirs = {option: p.default for option, p in parameters.items() if option != "self"}
        for option, value in ours.items():
            if option in theirs:
                assert theirs[option] == value or option == "disable_corrector", (name, option)
        assert set(theirs) <= set(ours), (name, set(theirs) - set(ours))


def test_a_hub_id_is_fetched(monkeypatch, tmp_path):
    interop.save_pipeline(models.UNet(**UNET, rng=0), Schedule.linear(), tmp_path)
    asked = []

    def snapshot_download(name, allow_patterns):
        asked.append((name, allow_patterns))
        return str(tmp_path)

    monkeypatch.setitem(sys.modules, "huggingface_hub", types.SimpleNamespace(snapshot_download=snapshot_download))
    assert interop.from_pretrained("somebody/something").unet.size() > 0
    assert asked[0][0] == "somebody/something" and "*.safetensors" in asked[0][1] and "*.bin" not in asked[0][1]
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(RuntimeError, match="pip install 'minidiff\\[hub\\]'"):
        interop.from_pretrained("somebody/something")
    for name in ("nowhere", "a/b/c", "./a/b"):
        with pytest.raises(FileNotFoundError, match="there is no folder"):
            interop.from_pretrained(name)
