"""Image-to-image and inpainting with a pipeline: a run that starts from an image, and may keep part of it.

Image-to-image is SDEdit (Meng et al. 2021, arXiv:2108.01073): the image is encoded, noised part of the way and sampled
from there. With a mask only the hole is painted. An ordinary U-Net sees the known part at the noise level of each step
(RePaint without its jumps, arXiv:2201.09865, algorithm 1); an inpainting U-Net gets the mask and the masked image as
further channels (Rombach et al. 2022, arXiv:2112.10752, section 4.5). Noise is drawn in the order in which diffusers'
StableDiffusionImg2ImgPipeline and StableDiffusionInpaintPipeline draw it.
"""

import numpy as np

from ..backend import module_of, xp_of
from ..diffusion.schedule import per_sample
from ..diffusion.wrapper import Wrapper
from .pndm import pndm_on_the_way

STRENGTH, STRENGTH_WITH_MASK = 0.8, 1.0  # the defaults of the two pipelines there


def edit_of(pipeline, n, image, mask, strength, size, steps, options):
    """The Edit that these arguments of `Pipeline.sample` ask for, or None without an image. Raises ValueError."""
    if image is None:
        if mask is not None or strength is not None:
            raise ValueError(f"{'mask' if mask is not None else 'strength'}: only valid with image=")
        if pipeline.inpaints:
            raise ValueError("image, mask: got None, expected both: this folder holds an inpainting U-Net")
        return None
    if pipeline.inpaints and mask is None:
        raise ValueError("mask: got None, expected one: this folder holds an inpainting U-Net")
    return Edit(pipeline, n, image, mask, strength, size, steps, options)


class Edit:
    """What a run on an image needs. Arguments as in `Pipeline.sample`; size: (height, width) as far as they are given."""

    def __init__(self, pipeline, n, image, mask, strength, size, steps, options):
        self.pipeline, self.xp = pipeline, module_of(pipeline.unet.device)
        self.image = check_image(image, pipeline.image_channels, pipeline.factor)
        B, H, W = self.image.shape[:3]
        if any(given not in (None, side) for given, side in zip(size, (H, W), strict=True)):
            raise ValueError(f"height, width: got {size} with an image of {(H, W)}; leave them out, the image gives the size")
        n = B if n == 1 else n
        if B not in (1, n):
            raise ValueError(f"image: got {B} images for {n} samples, expected 1 or {n}")
        self.hole = None if mask is None else check_mask(mask, self.image.shape)
        strength = (STRENGTH if mask is None else STRENGTH_WITH_MASK) if strength is None else strength
        if isinstance(strength, bool) or not isinstance(strength, (int, float, np.number)) or not 0 < strength <= 1:
            raise ValueError(f"strength: got {strength!r}, expected a number above 0, at most 1")
        if np.ndim(steps) or any(name in options for name in ("sigmas", "start", "from_clean")):
            raise ValueError("steps as a list, sigmas, start, from_clean: cannot be combined with image; use strength")
        self.strength, self.steps = float(strength), steps
        self.taken = min(int(steps * self.strength), steps)  # rounded down, as there
        if self.taken < 1:
            raise ValueError(f"strength: got {strength} of {steps} steps, which is no step; expected at least {1 / steps:g}")
        f = pipeline.factor
        self.shape = (n, H // f, W // f, pipeline.channels)
        self.known = self.drawn = self._hole = self._masked = None

    def noise(self, rng, x=None):
        """The noise of the run, x or drawn. Encodes what has to be encoded; the order of drawing is diffusers'."""
        xp, inpaints = self.xp, self.pipeline.inpaints
        if not (inpaints and self.strength == 1):
            self.known = self._encode(self.image, rng)
        self.drawn = xp.asarray(rng.standard_normal(self.shape, dtype=np.float32) if x is None else x)
        if tuple(self.drawn.shape) != self.shape:
            raise ValueError(f"x: got shape {tuple(self.drawn.shape)}, expected {self.shape} for this image")
        if self.hole is not None:
            f = self.pipeline.factor
            self._hole = xp.asarray(np.ascontiguousarray(self.hole[:, ::f, ::f]))  # nearest, as torch's interpolate
            if inpaints:
                self._hole = self._all(self._hole)
                self._masked = self._encode(self.image * (1 - self.hole), rng)
        return self.drawn

    @property
    def model(self):
        """The pipeline's U-Net, for an inpainting one with its further channels."""
        unet = self.pipeline.unet
        return Inpainting(unet, self.xp.concatenate([self._hole, self._masked], axis=-1)) if self.pipeline.inpaints else unet

    def wrap(self, denoiser):
        """The denoiser that sees the known part as it is at each noise level."""
        if self.hole is None or self.pipeline.inpaints:
            return denoiser
        return Known(denoiser, self.known, self.drawn, self._hole, from_noise=self.strength == 1)

    def start(self, sampling, rng):
        """(x, what the sampler is called with): the noised image at the first of the steps that are taken."""
        if self.hole is not None and self.strength == 1:
            return sampling.first(self.drawn, self.steps), {"rng": rng}
        return self.known, {"start": self.steps - self.taken, "from_clean": True, "rng": _Then(self.drawn, rng)}

    def sampler(self, sampling, function):
        """The sampler to run: `function`, or what diffusers makes of it where it starts on the way."""
        doubled = sampling.sampler == "plms" and sampling.options.get("warm_up") == "none"
        return pndm_on_the_way if doubled and self.taken < self.steps else function

    def finish(self, x):
        """The last x, with the known part as it was."""
        if self.hole is None or self.pipeline.inpaints:
            return x
        return self._hole * x + (1 - self._hole) * self.known

    def _encode(self, image, rng):
        image, vae = self.xp.asarray(image), self.pipeline.vae
        return self._all(image if vae is None else vae.to_latent(image, rng))

    def _all(self, array):
        """One for each sample."""
        return array if len(array) == self.shape[0] else self.xp.repeat(array, self.shape[0], axis=0)


class Known(Wrapper):
    """A denoiser that sees what is known of an image, noised to the level of t, in place of x outside the hole.

    known, noise (B, ...)   hole: 1 where x is seen   from_noise: x is seen everywhere at the run's first time, as diffusers
    has it where a run starts from pure noise.
    """

    def __init__(self, denoiser, known, noise, hole, from_noise=False):
        super().__init__(denoiser)
        self.known, self.noise, self.hole = known, noise, hole
        self._from_noise, self._first = from_noise, None

    def __call__(self, x, t, cond=None):
        return self.denoiser(self.seen(x, t), t, cond)

    def predict(self, x, t, cond=None):
        return self.denoiser.predict(self.seen(x, t), t, cond)

    def seen(self, x, t):
        """x with the known part."""
        if self._first is None:
            self._first = t
        if self._from_noise and t == self._first:
            return x
        alpha, sigma = per_sample(self.schedule.alpha(t), x), per_sample(self.schedule.sigma(t), x)
        return self.hole * x + (1 - self.hole) * (alpha * self.known + sigma * self.noise)


class Inpainting:
    """An inpainting U-Net as one of (x, t, cond).   more (B, h, w, 1 + C): the mask and the masked image"""

    def __init__(self, unet, more):
        self.unet, self.more = unet, more

    def predict(self, x, t, cond=None):
        return self.unet.predict(xp_of(x).concatenate([x, self.more], axis=-1), t, cond)


class _Then:
    """A generator that gives a known noise first, then what `rng` draws."""

    def __init__(self, noise, rng):
        self._noise, self._rng = noise, rng

    def standard_normal(self, size, dtype=np.float32):
        noise, self._noise = self._noise, None
        return self._rng.standard_normal(size, dtype=dtype) if noise is None else noise

    def __getattr__(self, name):
        return getattr(self._rng, name)


def check_image(image, channels, factor):
    """image (H, W, C) or (B, H, W, C), floats in [-1, 1]   ->   float32 (B, H, W, C). Raises ValueError."""
    image = np.asarray(image.get() if hasattr(image, "get") else image)
    if image.dtype.kind != "f":
        raise ValueError(f"image: got {image.dtype}, expected floats in [-1, 1]; for 8-bit values: image / 127.5 - 1")
    image = image[None] if image.ndim == 3 else image
    if image.ndim != 4 or image.shape[3] != channels or not image.size:
        raise ValueError(f"image: got shape {image.shape}, expected (H, W, {channels}) or (B, H, W, {channels})")
    if any(side % factor for side in image.shape[1:3]):
        raise ValueError(
            f"image: got {image.shape[1]} x {image.shape[2]} pixels, expected multiples of {factor}; crop or resize it "
            "(interop.read_image resizes)"
        )
    if not (np.abs(image) <= 1.0 + 1e-3).all():  # a NaN is not
        raise ValueError(f"image: got values from {image.min():g} to {image.max():g}, expected -1 to 1")
    return image.astype(np.float32)


def check_mask(mask, shape):
    """mask (H, W), (H, W, 1), (B, H, W) or (B, H, W, 1), values from 0 to 1   ->   float32 (B, H, W, 1) of 0 and 1.

    At least 0.5 is the hole. shape: the image's (B, H, W, C). Raises ValueError.
    """
    mask, (B, H, W, _) = np.asarray(mask.get() if hasattr(mask, "get") else mask), shape
    if mask.ndim == 2 or mask.shape == (H, W, 1):
        found = mask.reshape(1, *mask.shape[:2], 1)
    else:
        found = mask[..., None] if mask.ndim == 3 else mask
    if found.ndim != 4 or found.shape[1:] != (H, W, 1) or found.shape[0] not in (1, B):
        raise ValueError(f"mask: got shape {mask.shape}, expected the image's height and width {(H, W)}")
    if found.dtype.kind not in "buif" or not ((found >= 0) & (found <= 1)).all():
        raise ValueError(f"mask: got values from {found.min()} to {found.max()}, expected 0 (keep) to 1 (paint)")
    return (found >= 0.5).astype(np.float32)
