"""Image-to-image and inpainting against diffusers' pipelines: tiny Stable Diffusion folders, the same noise, the same image.

The folders are written by diffusers and transformers here, so their tokenizers are `tokenizer.json` alone.
"""

import importlib
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from clip_texts import MERGES, VOCAB
from reference_pipelines import NAMES, UNET, SameNoise

from minidiff import interop, samplers
from minidiff.interop.image_to_image import check_image, check_mask

NAMES = NAMES | {"unipc": "UniPCMultistepScheduler", "heun": "HeunDiscreteScheduler", "ddpm": "DDPMScheduler"}
CODER = dict(block_out_channels=(8, 8, 8, 8), norm_num_groups=4, down_block_types=("DownEncoderBlock2D",) * 4,
             up_block_types=("UpDecoderBlock2D",) * 4)  # fmt: skip
BETAS = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
TOLERANCE = 1e-5  # of images in [0, 1]


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def diffusers():
    found = pytest.importorskip("diffusers")
    found.utils.logging.set_verbosity_error()
    found.utils.logging.disable_progress_bar()
    return found


def stir(torch, module, seed=0, by=0.05):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(torch.randn(p.shape, generator=generator) * by)
    return module.eval()


@pytest.fixture(scope="module")
def folders(torch, diffusers, tmp_path_factory):
    """{4 or 9: (folder, the parts that wrote it)} by the channels of the U-Net. Pixels are 8 x 8 to a latent."""
    transformers = pytest.importorskip("transformers")
    transformers.logging.set_verbosity_error()

    def make(channels):
        torch.manual_seed(channels)
        unet = stir(torch, diffusers.UNet2DConditionModel(
            sample_size=4, in_channels=channels, block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1,
            cross_attention_dim=12, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), attention_head_dim=2))  # fmt: skip
        vae = stir(torch, diffusers.AutoencoderKL(**CODER), 1)
        text = transformers.CLIPTextModel(transformers.CLIPTextConfig(
            vocab_size=len(VOCAB), hidden_size=12, intermediate_size=20, num_hidden_layers=2, num_attention_heads=2,
            eos_token_id=VOCAB["<|endoftext|>"], bos_token_id=VOCAB["<|startoftext|>"]))  # fmt: skip
        tokenizer = transformers.CLIPTokenizer(vocab=VOCAB, merges=[tuple(pair) for pair in MERGES], model_max_length=77)
        scheduler = diffusers.PNDMScheduler(**BETAS, skip_prk_steps=True, steps_offset=1)
        kind = diffusers.StableDiffusionInpaintPipeline if channels == 9 else diffusers.StableDiffusionPipeline
        parts = dict(vae=vae, text_encoder=stir(torch, text, 2), tokenizer=tokenizer, unet=unet, scheduler=scheduler,
                     safety_checker=None, feature_extractor=None, requires_safety_checker=False)  # fmt: skip
        folder = tmp_path_factory.mktemp(f"sd{channels}")
        kind(**parts).save_pretrained(folder)
        assert not (folder / "tokenizer/vocab.json").exists()
        return folder, parts

    return {channels: make(channels) for channels in (4, 9)}


@pytest.fixture(scope="module")
def theirs(torch, diffusers, folders):
    """theirs(kind, channels, sampler, seed, **options): images of diffusers' pipeline, (n, H, W, 3) in [0, 1]."""

    def run(kind, channels, sampler, seed, image, mask=None, **options):
        folder, parts = folders[channels]
        # its pipelines switch `clip_sample` off, as the file of Stable Diffusion itself does
        settings = diffusers.PNDMScheduler.from_pretrained(folder / "scheduler").config
        scheduler = getattr(diffusers, NAMES[sampler]).from_config(settings | {"clip_sample": False})
        pipeline = getattr(diffusers, kind)(**parts | {"scheduler": scheduler})
        pipeline.set_progress_bar_config(disable=True)
        image = torch.tensor(np.moveaxis(image / 2 + 0.5, -1, -3))
        options |= {} if mask is None else {"mask_image": torch.tensor(mask)[None, None], "height": image.shape[-2],
                                            "width": image.shape[-1]}  # fmt: skip
        with torch.no_grad():
            return pipeline(image=image, output_type="np", generator=torch.Generator().manual_seed(seed), **options).images

    return run


@pytest.fixture(scope="module")
def ours(folders):
    """ours(channels): the opened folder, its scheduler without clipping."""
    found = {channels: interop.from_pretrained(folder) for channels, (folder, _) in folders.items()}
    for pipeline in found.values():
        pipeline.sampling.config["clip_sample"] = False
    return found.__getitem__


def picture(seed=0, height=32, width=48, n=None):
    shape = (height, width, 3) if n is None else (n, height, width, 3)
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def hole(seed=0, height=32, width=48):
    """A mask of blobs and single pixels, so that "nearest" is seen, with values on both sides of 0.5."""
    mask = np.random.default_rng(seed).uniform(0, 1, (height, width)).astype(np.float32)
    mask[4:20, 8:30] = 0.9
    mask[16, 16], mask[8, 8], mask[0, 0] = 0.5, 0.4999, 0.2
    return mask


def close(images, expected, what=""):
    worst = np.abs(np.clip(images / 2 + 0.5, 0, 1) - expected).max()
    assert images.shape == expected.shape and worst < TOLERANCE, f"{what}: off by {worst:.2e}"
    assert expected.std() > 0.05  # an image, not a grey area


DETERMINISTIC = ("ddim", "plms", "dpmpp_2m", "euler", "unipc", "heun")


@pytest.mark.parametrize("sampler", [*DETERMINISTIC, "euler_ancestral", "ddpm"])
def test_image_to_image(sampler, theirs, ours, count):
    for strength, steps in ((0.6, 10), (0.25, 20)):
        options = dict(prompt="a photo of a cat!", strength=strength)
        expected = theirs("StableDiffusionImg2ImgPipeline", 4, sampler, 5, picture()[None], num_inference_steps=steps,
                          guidance_scale=4.0, negative_prompt="a horse", **options)  # fmt: skip
        given = None if sampler == "plms" else sampler
        images = ours(4).sample(1, steps, given, negative="a horse", guidance=3.0, image=picture(), rng=SameNoise(torch_(), 5),
                                **options)  # fmt: skip
        close(images, expected, (sampler, strength))
        count("outside")


def torch_():
    return importlib.import_module("torch")


@pytest.mark.parametrize("strength", (0.05, 0.11, 0.58, 0.999, 1, 1.0))
def test_strength_is_rounded_to_steps_as_there(strength, theirs, ours, count):
    """int(steps * strength): 0.58 of 50 is 28.999... and gives 28 steps; 0.11 of 20 gives 2; 1 gives all."""
    steps = 50 if strength == 0.58 else 20
    options = dict(prompt="a cat", strength=strength)
    expected = theirs("StableDiffusionImg2ImgPipeline", 4, "ddim", 6, picture(1)[None], num_inference_steps=steps,
                      guidance_scale=1.0, **options)  # fmt: skip
    images = ours(4).sample(1, steps, "ddim", guidance=0.0, image=picture(1), rng=SameNoise(torch_(), 6), **options)
    close(images, expected, strength)
    count("outside")


@pytest.mark.filterwarnings("ignore:You have passed 2 text prompts:FutureWarning")  # diffusers repeats the image, as asked
def test_several_images_and_several_prompts(theirs, ours):
    """Two images with a prompt each; and one image for two prompts, which is encoded once."""
    prompt = ["a cat", "the quick brown fox"]
    for image in (picture(2, n=2), picture(2, n=1)):
        expected = theirs("StableDiffusionImg2ImgPipeline", 4, "dpmpp_2m", 7, image, prompt=prompt, strength=0.5,
                          num_inference_steps=8)  # fmt: skip
        images = ours(4).sample(2, 8, "dpmpp_2m", prompt, strength=0.5, image=image, rng=SameNoise(torch_(), 7))
        close(images, expected)
    two = ours(4).sample(steps=4, sampler="ddim", prompt="a cat", strength=0.5, image=picture(2, n=2), rng=0)
    assert two.shape == (2, 32, 48, 3)


def test_the_defaults_are_those_of_diffusers(theirs, ours):
    """Strength 0.8 for an image, 1.0 with a mask, guidance scale 7.5."""
    options = dict(prompt="a cat", num_inference_steps=5)
    expected = theirs("StableDiffusionImg2ImgPipeline", 4, "ddim", 8, picture()[None], **options)
    close(ours(4).sample(1, 5, "ddim", "a cat", image=picture(), rng=SameNoise(torch_(), 8)), expected)
    expected = theirs("StableDiffusionInpaintPipeline", 4, "ddim", 8, picture()[None], hole(), **options)
    close(ours(4).sample(1, 5, "ddim", "a cat", image=picture(), mask=hole(), rng=SameNoise(torch_(), 8)), expected)


class WithoutThird(SameNoise):
    """diffusers encodes the masked image for a U-Net that takes none, which draws noise that nobody uses."""

    def __init__(self, torch, seed, shape=(4, 6, 4)):
        super().__init__(torch, seed)
        self.draws, self.shape = 0, shape

    def standard_normal(self, size, dtype=np.float32):
        self.draws += 1
        if self.draws == 3:
            super().standard_normal((1, *self.shape))
        return super().standard_normal(size, dtype)


@pytest.mark.parametrize("strength", (0.6, 1.0))
@pytest.mark.parametrize("sampler", [*DETERMINISTIC, "euler_ancestral", "ddpm"])
def test_inpainting_by_an_ordinary_unet(sampler, strength, theirs, ours, count):
    options = dict(prompt="a photo of a cat!", strength=strength)
    expected = theirs("StableDiffusionInpaintPipeline", 4, sampler, 9, picture(3)[None], hole(), num_inference_steps=10,
                      guidance_scale=4.0, negative_prompt="a horse", **options)  # fmt: skip
    given = None if sampler == "plms" else sampler
    images = ours(4).sample(1, 10, given, negative="a horse", guidance=3.0, image=picture(3), mask=hole(),
                            rng=WithoutThird(torch_(), 9), **options)  # fmt: skip
    close(images, expected, sampler)
    count("outside")


@pytest.mark.parametrize("strength", (0.6, 1.0))
@pytest.mark.parametrize("sampler", [*DETERMINISTIC, "euler_ancestral", "ddpm"])
def test_inpainting_by_an_inpainting_unet(sampler, strength, theirs, ours, count):
    options = dict(prompt=["a photo of a cat!", "a horse"], strength=strength)
    expected = theirs("StableDiffusionInpaintPipeline", 9, sampler, 9, picture(4)[None], hole(1), num_inference_steps=10,
                      guidance_scale=4.0, negative_prompt=["a horse", ""], **options)  # fmt: skip
    given = None if sampler == "plms" else sampler
    images = ours(9).sample(2, 10, given, negative=["a horse", ""], guidance=3.0, image=picture(4), mask=hole(1),
                            rng=SameNoise(torch_(), 9), **options)  # fmt: skip
    close(images, expected, sampler)
    count("outside")


OTHERS = [
    ("DPMSolverMultistepScheduler", dict(use_karras_sigmas=True)),
    ("EulerDiscreteScheduler", dict(timestep_spacing="trailing")),
    ("DPMSolverMultistepScheduler", dict(timestep_spacing="trailing")),
    ("DPMSolverMultistepScheduler", dict(algorithm_type="sde-dpmsolver++", final_sigmas_type="sigma_min")),
    ("DPMSolverSinglestepScheduler", dict(lower_order_final=True)),
    ("HeunDiscreteScheduler", dict(timestep_spacing="linspace")),
    ("EulerDiscreteScheduler", dict(use_karras_sigmas=True)),
    ("HeunDiscreteScheduler", dict(use_karras_sigmas=True)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "settings"), OTHERS, ids=[f"{name[:-9]}-{i}" for i, (name, _) in enumerate(OTHERS)])
def test_the_schedulers_of_a_folder(name, settings, torch, diffusers, folders, tmp_path, count):
    """Sides of 40 and 56 pixels give latents of 5 x 7, which the U-Net cannot halve."""
    folder, parts = folders[4]
    scheduler = getattr(diffusers, name)(**BETAS, **settings)
    shutil.copytree(folder, tmp_path / "sd")
    scheduler.save_pretrained(tmp_path / "sd/scheduler")
    opened, image, mask = interop.load(tmp_path / "sd"), picture(8, 40, 56), hole(2, 40, 56)
    for kind in ("StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline"):
        pipeline = getattr(diffusers, kind)(**parts | {"scheduler": scheduler})
        pipeline.set_progress_bar_config(disable=True)
        inpaints = kind.endswith("InpaintPipeline")
        extra = dict(mask_image=torch.tensor(mask)[None, None], height=40, width=56) if inpaints else {}
        given = torch.tensor(image.transpose(2, 0, 1)[None] / 2 + 0.5)
        with torch.no_grad():
            expected = pipeline("a cat", given, strength=0.6, num_inference_steps=10, output_type="np",
                                generator=torch.Generator().manual_seed(5), **extra).images  # fmt: skip
        rng = WithoutThird(torch, 5, (5, 7, 4)) if inpaints else SameNoise(torch, 5)
        images = opened.sample(1, 10, prompt="a cat", image=image, strength=0.6, mask=mask if inpaints else None, rng=rng)
        close(images, expected, (name, kind))
        count("outside")


def test_the_known_part_is_the_encoded_image(ours):
    """Outside the hole an ordinary U-Net's latents are the image's own, to the last bit."""
    pipeline, mask = ours(4), np.zeros((32, 48), np.float32)
    mask[8:24, 8:32] = 1
    noise = [np.random.default_rng(i).standard_normal((1, 4, 6, 4), dtype=np.float32) for i in range(2)]
    queue = iter(noise)

    class Given:
        def standard_normal(self, size, dtype=np.float32):
            return next(queue)

    latents = pipeline.sample(1, 4, "ddim", "a cat", image=picture(), mask=mask, latent=True, rng=Given())
    queue = iter(noise)
    known = pipeline.vae.to_latent(picture()[None], Given())
    kept = np.ones((4, 6), bool)
    kept[1:3, 1:4] = False
    np.testing.assert_array_equal(latents[0][kept], known[0][kept])
    assert np.abs(latents[0][~kept] - known[0][~kept]).min() > 0


@pytest.mark.parametrize("strength", (0.95, 0.9, 0.8, 0.2, 0.1))
def test_pndm_starts_on_the_way_as_there(strength, theirs, ours, count):
    """Its list of times has the second one twice, and the count of calls starts at the first: 1, 2 and 8 steps left out."""
    for kind, mask in (("StableDiffusionImg2ImgPipeline", {}), ("StableDiffusionInpaintPipeline", {"mask": hole()})):
        expected = theirs(kind, 4, "plms", 5, picture()[None], *mask.values(), prompt="a cat", strength=strength,
                          num_inference_steps=10)  # fmt: skip
        images = ours(4).sample(1, 10, None, "a cat", image=picture(), strength=strength, rng=WithoutThird(torch_(), 5), **mask)
        close(images, expected, kind)
        count("outside")


def test_the_encoder_is_torchs(torch, folders, ours, count):
    """Mean and log-variance of the encoder, and the mean alone where there is no generator (diffusers' "argmax")."""
    with torch.no_grad():
        expected = folders[4][1]["vae"].encode(torch.tensor(picture(5).transpose(2, 0, 1)[None])).latent_dist
    moments = ours(4).vae.encode(picture(5)[None])[0]
    np.testing.assert_allclose(moments.transpose(0, 3, 1, 2), expected.parameters.numpy(), rtol=0, atol=2e-6)
    mode = ours(4).vae.to_latent(picture(5)[None])
    np.testing.assert_allclose(mode.transpose(0, 3, 1, 2), expected.mode().numpy() * 0.18215, rtol=0, atol=1e-6)
    count("outside", 2)


# ---- pixels ----------------------------------------------------------------------------------------------------------


def test_a_pipeline_on_pixels(torch, diffusers, tmp_path, count):
    """Against the loop of diffusers' scheduler, from its own `add_noise`: there is no such pipeline there."""
    torch.manual_seed(0)
    unet = stir(torch, diffusers.UNet2DModel(**UNET))
    diffusers.DDIMPipeline(unet, diffusers.DDIMScheduler()).save_pretrained(tmp_path)
    scheduler, image = diffusers.DDIMScheduler(), picture(6, 8, 8)
    noise = torch.randn((1, 3, 8, 8), generator=torch.Generator().manual_seed(3))
    scheduler.set_timesteps(10)
    times, known = scheduler.timesteps[4:], torch.tensor(image.transpose(2, 0, 1)[None])
    mask = torch.zeros((1, 1, 8, 8))
    mask[:, :, 2:6, 3:] = 1
    for with_mask in (False, True):
        x = scheduler.add_noise(known, noise, times[:1])
        with torch.no_grad():
            for i, t in enumerate(times):
                x = scheduler.step(unet(x, t).sample, t, x).prev_sample
                if with_mask:
                    kept = scheduler.add_noise(known, noise, times[i + 1 : i + 2]) if i < len(times) - 1 else known
                    x = (1 - mask) * kept + mask * x
        options = dict(mask=mask[0, 0].numpy()) if with_mask else {}
        ours = interop.load(tmp_path).sample(1, 10, image=image, strength=0.6, rng=SameNoise(torch, 3), **options)
        np.testing.assert_allclose(ours.transpose(0, 3, 1, 2), x.numpy(), rtol=0, atol=1e-5)
        count("outside")


def test_pixels_are_sdedit(torch, diffusers, tmp_path):
    """The same as `samplers.sdedit` where both round strength to the same number of steps."""
    interop.save_pipeline(interop.diffusers.load_model(_unet_folder(torch, diffusers, tmp_path)), *_linear(), tmp_path / "p")
    pipeline, image = interop.load(tmp_path / "p"), picture(6, 8, 8)[None]
    given = pipeline.sampling.denoiser(pipeline.unet)
    options = {k: v for k, v in pipeline.sampling.options.items() if k != "stride"}
    for step in samplers.sdedit(given, image, 0.5, 10, rng=4, **options):
        expected = step.x
    np.testing.assert_allclose(pipeline.sample(1, 10, image=image, strength=0.5, rng=4), expected, rtol=0, atol=1e-6)


def _unet_folder(torch, diffusers, folder):
    torch.manual_seed(0)
    stir(torch, diffusers.UNet2DModel(**UNET)).save_pretrained(folder / "unet")
    return folder / "unet"


def _linear():
    from minidiff.diffusion import Schedule

    return (Schedule.linear(),)


# ---- arguments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "message"), [
    (dict(strength=0.5), "strength: only valid with image="), (dict(mask=hole()), "mask: only valid with image="),
    (dict(image=picture(), strength=0), "strength: got 0, expected a number above 0, at most 1"),
    (dict(image=picture(), strength=1.01), "strength: got 1.01"),
    (dict(image=picture(), strength=float("nan")), "strength: got nan"),
    (dict(image=picture(), strength="0.5"), "strength: got '0.5'"),
    (dict(image=picture(), strength=True), "strength: got True"),
    (dict(image=picture(), strength=0.09), "strength: got 0.09 of 10 steps, which is no step; expected at least 0.1"),
    (dict(image=picture(height=33)), "got 33 x 48 pixels, expected multiples of 8"),
    (dict(image=picture()[..., :1]), r"image: got shape \(1, 32, 48, 1\)"),
    (dict(image=np.zeros((32, 48, 3), np.uint8)), "image: got uint8"),
    (dict(image=picture() * 127.5 + 127.5), "image: got values from"),
    (dict(image=picture() * np.nan), "image: got values from nan"),
    (dict(image=picture(n=2), n=3), "image: got 2 images for 3 samples"),
    (dict(image=picture(), height=64), "height, width: got"),
    (dict(image=picture(), mask=hole() * 255), "mask: got values from 0"),
    (dict(image=picture(), mask=hole()[:31]), "mask: got shape"),
    (dict(image=picture(), mask=hole() * np.nan), "mask: got values from nan"),
    (dict(image=picture(), start=3), "cannot be combined with image"),
    (dict(image=picture(), x=np.zeros((1, 4, 4, 4), np.float32)), "x: got shape"),
])  # fmt: skip
def test_an_argument_that_is_not_right_is_named(options, message, ours):
    with pytest.raises(ValueError, match=message) as caught:
        ours(4).sample(**dict(n=1, steps=10, sampler="ddim", prompt="a cat") | options)
    assert "\n" not in str(caught.value)


def test_an_inpainting_unet_wants_image_and_mask(ours):
    with pytest.raises(ValueError, match="image, mask: got None, expected both"):
        ours(9).sample(1, 4, prompt="a cat")
    with pytest.raises(ValueError, match="mask: got None"):
        ours(9).sample(1, 4, prompt="a cat", image=picture())


def test_shapes_and_kinds_of_masks():
    """Values of at least 0.5 are the hole, as diffusers' mask processor has it; bool and 0/1 integers are masks too."""
    shape = (2, 2, 3, 3)
    expected = np.array([[0, 1, 1], [0, 1, 0]], np.float32)[None, :, :, None]
    values = np.array([[0.0, 0.5, 1.0], [0.4999, 0.7, 0.0]])
    for mask in (values, values[..., None], values[None], values[None, :, :, None], values >= 0.5, (values >= 0.5).astype(int)):
        np.testing.assert_array_equal(check_mask(mask, shape), expected)
    assert check_mask(np.stack([values, values]), shape).shape == (2, 2, 3, 1)
    assert (
        check_image(picture(), 3, 8).shape == (1, 32, 48, 3)
        and check_image(picture().astype(np.float64), 3, 8).dtype == np.float32
    )


# ---- the command line and the guide ----------------------------------------------------------------------------------


def save(path, values):
    from PIL import Image

    Image.fromarray(values).save(path)


def test_files_are_resized_as_there(torch, diffusers, tmp_path, count):
    """Against VaeImageProcessor.preprocess of the same PIL image: Lanczos, down to multiples of 8."""
    from diffusers.image_processor import VaeImageProcessor
    from PIL import Image

    values = np.random.default_rng(0).integers(0, 256, (45, 59, 3), dtype=np.uint8)
    save(tmp_path / "a.png", values)
    expected = VaeImageProcessor().preprocess(Image.fromarray(values))[0].numpy().transpose(1, 2, 0)
    image = interop.read_image(tmp_path / "a.png")
    assert image.shape == (40, 56, 3)
    np.testing.assert_allclose(image, expected, rtol=0, atol=1e-6)
    save(tmp_path / "m.png", values[..., 0])
    processor = VaeImageProcessor(do_normalize=False, do_binarize=True, do_convert_grayscale=True)
    mask = processor.preprocess(Image.fromarray(values[..., 0]), 40, 56)[0, 0].numpy()
    np.testing.assert_array_equal(interop.read_mask(tmp_path / "m.png", (40, 56)) >= 0.5, mask == 1)
    count("outside", 2)


def test_files_that_are_no_images(tmp_path):
    (tmp_path / "eps.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    with pytest.raises(ValueError, match=r"eps.png: cannot be read as an image: got .*, expected PNG or JPEG"):
        interop.read_image(tmp_path / "eps.png")
    with pytest.raises(FileNotFoundError, match=r"nowhere.png, expected a file"):
        interop.read_image(tmp_path / "nowhere.png")
    save(tmp_path / "small.png", np.zeros((7, 9, 3), np.uint8))
    with pytest.raises(ValueError, match="got 7 x 9 pixels, expected at least 8 x 8"):
        interop.read_image(tmp_path / "small.png")


@pytest.mark.parametrize("with_mask", (False, True))
def test_the_command_line(with_mask, folders, tmp_path, monkeypatch, capsys):
    """The same image as `Pipeline.sample` from the same seed, to the last of 256 levels."""
    from PIL import Image

    from minidiff import cli, viz
    from minidiff.rng import Rng

    save(tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (37, 50, 3), dtype=np.uint8))
    save(tmp_path / "m.png", np.kron([[0, 255], [255, 0]], np.ones((20, 30))).astype(np.uint8))
    monkeypatch.chdir(tmp_path)
    words = ["sample", "--pretrained", str(folders[4][0]), "--image", "a.png", "--strength", "0.5", "--prompt", "a cat",
             "--steps", "6",
             "--sampler", "dpmpp_2m", "--out", "b.png", "--no-progress", "--seed", "3"]  # fmt: skip
    assert not cli.main(words + (["--mask", "m.png"] if with_mask else []))
    assert "b.png: 1 samples" in capsys.readouterr().out
    options = {"mask": interop.read_mask("m.png", (32, 48))} if with_mask else {}
    expected = interop.sample(folders[4][0], 1, steps=6, sampler="dpmpp_2m", prompt="a cat", image=interop.read_image("a.png"),
                              strength=0.5, rng=Rng(3), **options)  # fmt: skip
    viz.save_png(expected, "c.png")
    np.testing.assert_array_equal(np.asarray(Image.open("b.png")), np.asarray(Image.open("c.png")))


@pytest.mark.parametrize(("words", "message"), [
    (["runs/x", "--image", "a.png"], "--image: only valid with --pretrained"),
    (["--pretrained", "x", "--strength", "0.5"], "--strength: only valid with --image"),
    (["--pretrained", "x", "--mask", "m.png"], "--mask: only valid with --image"),
    (["--pretrained", "x", "--image", "nowhere.png"], "--image: got nowhere.png, expected an existing file"),
])  # fmt: skip
def test_flags_that_need_others(words, message, capsys):
    from minidiff import cli

    assert cli.main(["sample", *words])
    assert message in capsys.readouterr().err


def test_the_guide_runs(folders, tmp_path, monkeypatch):
    """The code of docs/pretrained.md about images, with tiny models under the names that the page uses."""
    page = (Path(__file__).parents[2] / "docs/pretrained.md").read_text(encoding="utf-8")
    section = re.search(r"## Image-to-image and inpainting\n(.*?)\n## ", page, re.S).group(1)
    blocks = re.findall(r"```python\n(.*?)```", section, re.S)
    (tmp_path / "stable-diffusion-v1-5").symlink_to(folders[4][0])
    (tmp_path / "stable-diffusion-inpainting").symlink_to(folders[9][0])
    save(tmp_path / "photo.jpg", np.random.default_rng(0).integers(0, 256, (37, 50, 3), dtype=np.uint8))
    save(tmp_path / "hole.png", np.kron([[0, 255], [255, 0]], np.ones((20, 25))).astype(np.uint8))
    monkeypatch.chdir(tmp_path)
    space = {"interop": interop}
    for block in blocks:
        exec(compile(block, "pretrained.md", "exec"), space)
    assert len(blocks) >= 2 and space["images"].shape[1:] == (32, 48, 3) and np.isfinite(space["images"]).all()
