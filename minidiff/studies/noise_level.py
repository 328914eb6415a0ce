"""Can I clean up my own noisy photo? Estimate its t, run the chain from there, and compare with a denoising autoencoder.

Held-out digits get noise of a known size and kind. No model gets the noise level or the class. The study compares four methods,
each with a model for each training seed:

    autoencoder      one evaluation of an autoencoder trained on noisy digits of all these levels
    one evaluation   of the diffusion model: its x0 at the estimated t, a mean of images
    chain            10 steps of DDIM from the estimated t: a single image
    chain, DDPM      the same steps with fresh noise: a sample of the possible originals

"noisy image" is the image before any method.
"""

import math

import numpy as np

from ..diffusion import estimate_t, noise_std, t_of_noise_std
from ..models.denoising_autoencoder import DenoisingAutoencoder
from ..rng import Rng, Stream
from ..samplers import sample
from . import digits, small
from .plot import curves, finish, panels, side_by_side
from .table import over_seeds

STDS = (0.1, 0.3, 0.7, 1.5)
KINDS = ("gaussian", "uniform", "laplace", "salt and pepper", "stripes")
SHOWN = (("gaussian", 0.3), ("gaussian", 0.7), ("stripes", 0.7))


class CleanUp:
    """The autoencoder's loss: squared error of the clean image, at a noise level drawn uniformly from 0.05 to 1.6."""

    def __call__(self, net, x0, rng, cond):
        std = 0.05 + 1.55 * rng.random((len(x0), 1, 1, 1), dtype=x0.dtype)
        y, back_net = net(x0 + std * rng.standard_normal(x0.shape, dtype=x0.dtype))
        error = y - x0
        return (error * error).mean(), lambda dloss=1.0: back_net(error * (2.0 * dloss / error.size))


def run(options):
    """Rows: kind of noise, its std; what the two estimates are; for each method its PSNR in decibels, all images together."""
    models = {seed: (small.unet(options, seed), autoencoder(options, seed)) for seed in options.seeds}
    pictures = []
    for kind in options.size(KINDS, ("gaussian", "stripes")):
        for std in options.size(STDS, (0.3, 1.5)):
            if kind == "salt and pepper" and std > 1:
                continue  # all pixels replaced are no more than that
            cleaned = {seed: clean_up(options, seed, *models[seed], kind, std) for seed in options.seeds}
            results, estimates = cleaned[options.seeds[0]]
            for method in results:
                yield {"kind": kind, "std": std, "method": method, "images": len(estimates["std_found"]), **over_seeds(
                    options.seeds, lambda seed, c=cleaned, m=method: scores(options, *c[seed], m))}  # fmt: skip
            if (kind, std) in SHOWN:
                shown = {"original": originals(options)} | {m: x for m, x in results.items() if m != "one evaluation, true t"}
                pictures += [(f"{kind} {std:g}: {name}", x[:16]) for name, x in shown.items()]
    side_by_side(pictures, options.out / "noise_level_samples.png")


def originals(options):
    """The held-out digits that noise is added to."""
    return digits.held_out(options.size(50, 6))[0]


def autoencoder(options, seed):
    """A denoising autoencoder trained with this seed."""
    config = digits.configuration(options, 1500, "train.batch_size=32", f"train.seed={seed}")
    net = DenoisingAutoencoder(width=options.size(24, 8), rng=Rng(seed, Stream.WEIGHTS))
    return digits.fit(net, CleanUp(), options, digits.place(options, f"noise_level/autoencoder_{seed}"), config)


def clean_up(options, seed, denoiser, autoencoder, kind, std):
    """{method: cleaned images}, and {estimate: one for each image} of the noise's standard deviation"""
    images = originals(options)
    noisy = (images + noise(kind, images, std, Rng(seed, Stream.STUDY_NOISED))).astype(images.dtype)
    null = denoiser.null_cond(np.zeros(len(images), np.int64))
    t = estimate_t(denoiser, noisy, cond=null, scaled=False, levels=options.size(32, 4), rng=seed)
    true_t = np.full(len(noisy), t_of_noise_std(denoiser.schedule, std, scaled=False))
    results = {
        "noisy image": noisy,
        "autoencoder": autoencoder.predict(noisy),
        "one evaluation": one_evaluation(denoiser, noisy, t, null),
        "one evaluation, true t": one_evaluation(denoiser, noisy, true_t, null),
        "chain": chain(denoiser, noisy, t, null, "ddim", seed),
        "chain, DDPM": chain(denoiser, noisy, t, null, "ddpm_respaced", seed),
    }
    return results, {"std_found": denoiser.schedule.sigma(t) / denoiser.schedule.alpha(t), "std_by_wavelets": noise_std(noisy)}


def scores(options, results, estimates, method):
    """{psnr: of a method, std_found, std_by_wavelets: means over the images}"""
    found = {name: float(np.mean(values)) for name, values in estimates.items()}
    return {"psnr": psnr(results[method], originals(options)), **found}


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


def one_evaluation(denoiser, noisy, t, cond):
    """The clean image that the model predicts from x0 + noise, each at its t.   noisy (B, ...)   t (B,)"""
    alpha = denoiser.schedule.alpha(t).astype(noisy.dtype)[:, None, None, None]
    return denoiser(alpha * noisy, t, cond)[0]


def chain(denoiser, noisy, t, cond, sampler, seed=0, steps=10):
    """The chain run from each image's t down; images of nearly the same t go together."""
    cleaned, bins = np.empty_like(noisy), np.maximum(1, np.round(t / 20) * 20).clip(1, denoiser.schedule.T - 1)
    for level in np.unique(bins):
        own = bins == level
        times = np.unique(np.linspace(0, level, steps + 1)[1:].astype(int))[::-1]
        x = denoiser.schedule.alpha(times[0]) * noisy[own]
        cleaned[own] = sample(sampler, denoiser, x.shape, x=x, steps=times, rng=Rng(seed, Stream.STUDY_CLEANED), cond=cond[own])
    return cleaned


def psnr(x, images):
    """Peak signal to noise ratio in decibels, pixels spanning 2: of the mean squared error of all images."""
    return 10 * math.log10(4 / max(float(((np.clip(x, -1, 1) - images) ** 2).mean()), 1e-10))


def draw(rows):
    figure, axes = panels(13, 8, 3, 2)
    methods = list(dict.fromkeys(row["method"] for row in rows))
    for ax, kind in zip(axes, dict.fromkeys(row["kind"] for row in rows), strict=False):
        curves(ax, [row for row in rows if row["kind"] == kind], "std", "psnr", "method")
        finish(ax, "standard deviation of the noise", "PSNR in dB", f"Noise: {kind}", legend=ax is axes[0])
    found = [row for row in rows if row["method"] == methods[0]]
    curves(axes[5], found, "std", "std_found", "kind")
    top = max(row["std"] for row in rows)
    axes[5].plot([0, top], [0, top], color="#868e96", linewidth=0.8, linestyle=(0, (1, 1)))
    finish(axes[5], "standard deviation of the noise", "estimated standard deviation", "Estimated noise level", legend=True)
    return figure
