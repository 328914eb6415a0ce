"""Pipelines from folders: a model, its sampling settings, and an optional autoencoder and text encoder.

    pipeline = load_pipeline(folder)
    images = pipeline.sample(4, steps=20, sampler="dpmpp_2m", prompt="a cat", guidance=6.5, rng=0)     # (4, H, W, 3)

    images = pipeline.sample(image=photo, strength=0.6, prompt="a cat", rng=0)                         # from an image (H, W, 3)

Opened are the folders of DDPMPipeline, DDIMPipeline, PNDMPipeline, LDMPipeline, DiTPipeline and StableDiffusionPipeline (1.x
and 2.x), the last also as an image-to-image or inpainting pipeline.
"""

import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..backend import module_of
from ..json_file import read_field, shown
from ..rng import as_rng
from ..samplers import find
from ..samplers.run import walk
from .clip_tokenizer import CLIPTokenizer
from .frugal import drop_pages
from .image_to_image import edit_of
from .model_folder import PIPELINE_PARTS, load_model, read_index, read_json
from .schedulers import STEPPING, Sampling, sampling_from_config

PIPELINES = ("DDPMPipeline", "DDIMPipeline", "PNDMPipeline", "LDMPipeline", "DiTPipeline", "StableDiffusionPipeline",
             "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline")  # fmt: skip
LEFT_OUT = ("safety_checker", "feature_extractor", "image_encoder")


class _Default(int):
    """A default that `is` distinguishes from an equal number given by the caller."""


STEPS = _Default(50)


@dataclass
class Pipeline:
    """The parts of a pipeline.

    unet           the network that predicts: UNet, UNet2DConditionModel, or DiT (the transformer of a DiTPipeline)
    sampling       sampling settings of the folder
    vae            AutoencoderKL or VQModel, for latent models
    text_encoder, tokenizer    for text-to-image models
    name           the class in model_index.json
    left_out       parts of the folder that minidiff does not run
    class_names    of a DiTPipeline, in the order of their numbers
    """

    unet: Any
    sampling: Sampling
    vae: Any = None
    text_encoder: Any = None
    tokenizer: Any = None
    name: str = "DDIMPipeline"
    left_out: tuple = field(default_factory=tuple)
    class_names: tuple = field(default_factory=tuple)

    @property
    def factor(self):
        """Pixels per latent position, along a side."""
        return 1 if self.vae is None else 2 ** (len(self.vae.config["block_out_channels"]) - 1)

    def shape(self, n, height=None, width=None):
        """The shape (n, h, w, C) of the model's input; height and width in pixels, by default those of training."""
        size = self.unet.config["sample_size"]
        size = size if isinstance(size, (tuple, list)) else (size, size)
        if size[0] is None and not (height and width):
            raise ValueError("height, width: the folder does not give the model's image size; pass both")
        wanted = (height or size[0] * self.factor, width or size[1] * self.factor)
        if any(side % self.factor for side in wanted):
            raise ValueError(f"height, width: got {wanted}, expected multiples of {self.factor}")
        return (n, wanted[0] // self.factor, wanted[1] // self.factor, self.channels)

    @property
    def channels(self):
        """Channels of what the sampler works on: those that the U-Net takes, without an inpainting one's mask and image."""
        return self.unet.config["in_channels"] if not self.inpaints else self.vae.config["latent_channels"]

    @property
    def inpaints(self):
        """Whether the U-Net takes a mask and a masked image beside the latents, as Stable Diffusion's inpainting one does."""
        latents = None if self.vae is None else self.vae.config["latent_channels"]
        return latents is not None and self.unet.config["in_channels"] == 2 * latents + 1

    @property
    def default_steps(self):
        """Steps of a run that does not state them: 50, and at most the schedule's T."""
        return min(int(STEPS), getattr(self.sampling.schedule, "T", int(STEPS)))

    @property
    def image_channels(self):
        """Channels of an image."""
        return (self.unet if self.vae is None else self.vae).config["in_channels"]

    def to(self, device):
        """Move every model to "cpu" or "cuda", where images are then made. Returns self."""
        for net in (self.unet, self.vae, self.text_encoder):
            if net is not None:
                net.to(device)
        return self

    def encode(self, prompts):
        """Encode texts for the model.   a string or a list   ->   (B, tokens, E)"""
        if self.text_encoder is None:
            raise ValueError("prompt: this pipeline has no text encoder")
        encoded = self.text_encoder.predict(self.tokenizer(prompts)[0])
        drop_pages(self.text_encoder)
        return encoded

    def sample(
        self,
        n=1,
        steps=STEPS,
        sampler=None,
        prompt=None,
        negative="",
        guidance=None,
        cond=None,
        x=None,
        height=None,
        width=None,
        rng=None,
        rescale=0.0,
        progress=False,
        latent=False,
        image=None,
        strength=None,
        mask=None,
        **options,
    ):
        """Sample images.   -> (n, H, W, C), nominally in [-1, 1]

        steps      by default 50, at most the schedule's T; None: the sampler's default
        sampler    one of `minidiff.samplers`, with the settings of the diffusers class; None: the folder's scheduler
        prompt     a text, or a list of n; negative: the negative prompt, likewise
        guidance   w of eps = (1 + w) eps(prompt) - w eps(negative); None: 6.5 for texts, 0 otherwise
        cond       instead of a prompt: class labels (n,) or an encoded text (n, tokens, E)
        x          noise to start from, (n, h, w, C); by default rng draws it; rng also serves the sampler
        rescale    see `diffusion.cfg`
        latent     return latents without decoding
        image      start from images: floats in [-1, 1], (H, W, 3) for all n, or (n, H, W, 3), sides multiples of `factor`
        strength   fraction of the steps to run, above 0, at most 1; None: 0.8, or 1.0 with a mask
        mask       (H, W) or (n, H, W), 0 to 1: regenerate where it is at least 0.5, keep the rest. (`samplers.inpaint`
                   has the opposite convention: its mask is 1 where the image is known.)
        options    further ones of the sampler, such as eta= for ddim
        """
        sampling = self.sampling if sampler is None else self.sampling.change(sampler)
        xp = module_of(self.unet.device)
        row, rng = find(sampling.sampler), as_rng(rng, xp)
        row.check(options)  # before a text encoder is asked
        if steps is STEPS:
            steps = self.default_steps
        T = getattr(sampling.schedule, "T", None)
        steps = steps or (min(row.steps or T, T) if T else row.steps)
        edit = edit_of(self, n, image, mask, strength, (height, width), steps, options)
        shape = edit.shape if edit else self.shape(n, height, width) if x is None else tuple(x.shape)
        weight = guidance if guidance is not None else 6.5 if prompt is not None else 0.0
        _check_use(weight, prompt, negative, cond, rescale)
        cond, null = self.conditions(shape[0], prompt, negative if weight else None, cond)
        cond = xp.asarray(cond) if isinstance(cond, np.ndarray) else cond
        learned = self.unet.config["out_channels"] == 2 * self.unet.config["in_channels"]
        sampling = replace(sampling, learned_variance=sampling.learned_variance or learned)
        sampling = sampling.at(steps, options)
        noise = edit.noise(rng, x) if edit else xp.asarray(rng.standard_normal(shape, dtype=np.float32) if x is None else x)
        denoiser = sampling.denoiser(edit.model if edit else self.unet)
        start, where = edit.start(sampling, rng) if edit else (sampling.first(noise), {"rng": rng})
        settings = sampling.options
        if np.ndim(steps) or any(options.get(own) is not None for own in ("spacing", "sigmas")):  # the caller's own steps
            settings = {name: value for name, value in settings.items() if name not in STEPPING}
        run = walk(
            edit.sampler(sampling, row.function) if edit else row.function, denoiser, start, cond=cond,
            guidance=weight, null=null, rescale=rescale, wrap=edit and edit.wrap, progress=progress and sampling.sampler,
            **({"steps": steps} | settings | options | where),
        )  # fmt: skip
        for step in run:
            start = step.x
        start = sampling.last(start)
        start = edit.finish(start) if edit else start
        drop_pages(self.unet)  # the decoder's memory is needed on top of it
        return start if latent or self.vae is None else self.vae.from_latent(start)

    def conditions(self, n, prompt, negative, cond):
        """(cond, null) for n images; null is None without guidance."""
        if prompt is not None and cond is not None:
            raise ValueError("prompt, cond: got both, expected one")
        if prompt is None:
            return cond, None
        texts = [[given] * n if isinstance(given, str) else list(given) for given in (prompt, negative or "")]
        if any(len(each) != n for each in texts):
            raise ValueError(f"prompt, negative: got {len(texts[0])} and {len(texts[1])} texts for {n} images")
        return self.encode(texts[0]), None if negative is None else self.encode(texts[1])


def _check_use(weight, prompt, negative, cond, rescale):
    """Raises ValueError for what would have no effect on the images."""
    if weight and prompt is None and cond is None:
        raise ValueError(f"guidance: got {weight} without prompt or cond, expected something to guide to")
    if negative and (prompt is None or not weight):
        raise ValueError("negative: only valid with prompt and guidance: it is what to guide away from")
    if rescale and not weight:
        raise ValueError(f"rescale: got {rescale} without guidance, which it scales back")


def load_pipeline(folder, variant=None, frugal=False):
    """The Pipeline of a folder with model_index.json. `variant` and `frugal` as in `load_model`.

    Raises ValueError that names a class or option that is not supported. A safety checker is left out, with a warning.
    """
    folder = Path(folder)
    index = read_index(folder)
    name = index.get("_class_name")
    if name not in PIPELINES:
        raise ValueError(f"{folder}: pipeline {name!r} is not supported, expected one of {', '.join(PIPELINES)}")
    parts = {k: v for k, v in index.items() if not k.startswith("_") and isinstance(v, list) and v[0] is not None}
    unknown = [part for part in parts if part not in PIPELINE_PARTS + LEFT_OUT]
    if unknown:
        raise ValueError(f"{folder}: part {unknown[0]!r} ({parts[unknown[0]][1]}) of {name} is not supported")

    network = "transformer" if name == "DiTPipeline" else "unet"
    for part in (network, "scheduler"):
        if part not in parts:
            raise ValueError(f"{folder / 'model_index.json'}: {part}: got none, expected [library, class]")

    def where(part):  # the oldest folders keep everything at the top
        return folder / part if (folder / part).is_dir() else folder

    def model(part):
        return load_model(where(part), variant, frugal) if part in parts else None

    left_out = tuple(part for part in parts if part in LEFT_OUT)
    if "safety_checker" in left_out:
        warnings.warn(f"{folder} comes with a safety checker, which is not run here: look at what you publish", stacklevel=2)
    config = read_json(where("scheduler") / "scheduler_config.json")
    if name == "StableDiffusionPipeline":  # that class sets these, whatever the file says: latents are not in [-1, 1]
        config = config | {"clip_sample": False, "steps_offset": 1}
    sampling = sampling_from_config(config, where("scheduler"))
    tokenizer = CLIPTokenizer.from_folder(where("tokenizer")) if "tokenizer" in parts else None
    vae = model("vae") or model("vqvae")
    names = _class_names(index, folder / "model_index.json")
    return Pipeline(model(network), sampling, vae, model("text_encoder"), tokenizer, name, left_out, names)


def _class_names(index, file):
    """The class names of a DiTPipeline's "id2label", {"0": "tench, Tinca tinca", ...}, in order; () where it has none."""
    labels = read_field(index, "id2label", dict, file, {}) or {}
    names = [labels.get(str(k)) for k in range(len(labels))]
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"{file}: id2label: got {shown(labels)}, expected a name for each number from 0 on")
    return tuple(names)
