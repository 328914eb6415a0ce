"""Can I clean up my own noisy photo? Estimate its t, run the chain from there, and compare with a denoising autoencoder.

Held-out digits with noise of a known size and kind, nobody having told the models how much or of what class. Four answers:

    autoencoder   one look, trained on noisy digits of all these levels
    one look      the diffusion model's x0 at the estimated t
    chain         DDIM from the estimated t down, 10 steps: a picture, where one look gives a mean of pictures
    chain, DDPM   the same with fresh noise on the way: a draw from the possible originals

and "nothing" is the noisy picture as it is.
"""

import math

import numpy as np

from ..diffusion import estimate_t, noise_std, t_of_noise_std
from ..models.denoising_autoencoder import DenoisingAutoencoder
from ..rng import Rng, Stream
from ..samplers import sample
from . import digits
from .plot import curves, finish, panels, side_by_side
from .table import mean_and_error

STDS = (0.1, 0.2, 0.4, 0.7, 1.0, 1.5)
KINDS = ("gaussian", "uniform", "laplace", "salt and pepper", "stripes")


class CleanUp:
    """The autoencoder's loss: squared error of the clean picture, at a noise level drawn evenly from 0.05 to 1.6."""

    def __call__(self, net, x0, rng, cond):
        std = 0.05 + 1.55 * rng.random((len(x0), 1, 1, 1), dtype=x0.dtype)
        y, back_net = net(x0 + std * rng.standard_normal(x0.shape, dtype=x0.dtype))
        error = y - x0
        return (error * error).mean(), lambda dloss=1.0: back_net(error * (2.0 * dloss / error.size))


def run(options):
    """Rows: kind of noise, its std; what the two estimates say; for each method its PSNR in decibels, all pictures together."""
    denoiser = digits.trained(options)
    config = digits.configuration(options, 1500)
    autoencoder = digits.fit(DenoisingAutoencoder(width=options.size(48, 8), rng=0), CleanUp(), options,
                             digits.place(options, "noise_level/autoencoder"), config)  # fmt: skip
    images, _ = digits.held_out(options.size(100, 6))
    pictures = []
    for kind in KINDS:
        for std in options.size(STDS, (0.2, 1.0)):
            if kind == "salt and pepper" and std > 1:
                continue  # all pixels replaced are no more than that
            noisy = (images + noise(kind, images, std, Rng(0, Stream.STUDY_NOISED))).astype(images.dtype)
            null = denoiser.null_cond(np.zeros(len(images), np.int64))
            t = estimate_t(denoiser, noisy, cond=null, scaled=False, levels=options.size(48, 4), rng=0)
            found = denoiser.schedule.sigma(t) / denoiser.schedule.alpha(t)
            told = np.full(len(noisy), t_of_noise_std(denoiser.schedule, std, scaled=False))
            results = {
                "nothing": noisy,
                "autoencoder": autoencoder.predict(noisy),
                "one look": one_look(denoiser, noisy, t, null),
                "one look, true t": one_look(denoiser, noisy, told, null),
                "chain": chain(denoiser, noisy, t, null, "ddim"),
                "chain, DDPM": chain(denoiser, noisy, t, null, "ddpm_respaced"),
            }
            mean, error = mean_and_error(found)
            by_eye, _ = mean_and_error(noise_std(noisy))
            for method, cleaned in results.items():
                value, value_error = psnr(cleaned, images)
                yield {"kind": kind, "std": std, "method": method, "psnr": value, "psnr_error": value_error, "std_found": mean,
                       "std_found_error": error, "std_by_wavelets": by_eye, "pictures": len(images)}  # fmt: skip
            if (kind, std) in (("gaussian", 0.4), ("gaussian", 1.0), ("stripes", 1.0), ("gaussian", 0.2)):
                shown = {"original": images} | {name: results[name] for name in results if name != "one look, true t"}
                pictures += [(f"{kind} {std:g}: {name}", x[:16]) for name, x in shown.items()]
    side_by_side(pictures, options.out / "noise_level_samples.png")


def noise(kind, images, std, rng):
    """Noise of this standard deviation, of images' shape. Only the first is what the models were trained on."""
    shape = images.shape
    if kind == "gaussian":
        return std * rng.standard_normal(shape)
    if kind == "stripes":  # a number a row of pixels
        return std * np.broadcast_to(rng.standard_normal((shape[0], shape[1], 1, 1)), shape)
    u = rng.random(shape, dtype=np.float64)
    if kind == "uniform":
        return std * np.sqrt(12) * (u - 0.5)
    if kind == "laplace":
        return std / np.sqrt(2) * np.sign(u - 0.5) * -np.log1p(-2 * abs(u - 0.5))
    share = std**2 / (1 + (images**2).mean())  # salt and pepper: this share of the pixels becomes white or black
    return np.where(u < share, np.where(u < share / 2, 1.0, -1.0) - images, 0.0)


def one_look(denoiser, noisy, t, cond):
    """The clean picture that the model sees in x0 + noise, taken to be of its own t.   noisy (B, ...)   t (B,)"""
    alpha = denoiser.schedule.alpha(t).astype(noisy.dtype)[:, None, None, None]
    return denoiser(alpha * noisy, t, cond)[0]


def chain(denoiser, noisy, t, cond, sampler, steps=10):
    """The chain run from each picture's t down; pictures of nearly the same t go together."""
    cleaned, bins = np.empty_like(noisy), np.maximum(1, np.round(t / 20) * 20).clip(1, denoiser.schedule.T - 1)
    for level in np.unique(bins):
        own = bins == level
        times = np.unique(np.linspace(0, level, steps + 1)[1:].astype(int))[::-1]
        x = denoiser.schedule.alpha(times[0]) * noisy[own]
        cleaned[own] = sample(sampler, denoiser, x.shape, x=x, steps=times, rng=Rng(0, Stream.STUDY_CLEANED), cond=cond[own])
    return cleaned


def psnr(x, images):
    """Peak signal to noise ratio in decibels, pixels spanning 2: of the mean squared error of all pictures, and its error."""
    mean, error = mean_and_error(((np.clip(x, -1, 1) - images) ** 2).reshape(len(x), -1).mean(axis=1))
    mean = max(mean, 1e-10)
    return 10 * math.log10(4 / mean), None if error is None else 10 / math.log(10) * error / mean


def draw(rows):
    figure, axes = panels(13, 8, 3, 2)
    methods = list(dict.fromkeys(row["method"] for row in rows))
    for ax, kind in zip(axes, dict.fromkeys(row["kind"] for row in rows), strict=False):
        curves(ax, [row for row in rows if row["kind"] == kind], "std", "psnr", "method")
        finish(ax, "standard deviation of the noise", "PSNR (dB)", f"Noise: {kind}", legend=ax is axes[0])
    found = [row for row in rows if row["method"] == methods[0]]
    curves(axes[5], found, "std", "std_found", "kind")
    top = max(row["std"] for row in rows)
    axes[5].plot([0, top], [0, top], color="#868e96", linewidth=0.8, linestyle=(0, (1, 1)))
    finish(axes[5], "standard deviation of the noise", "what the model estimates", "The estimate", legend=True)
    return figure
