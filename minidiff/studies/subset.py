"""Can DDPM's step just skip steps? The hack, the respaced chain and DDIM: same steps, same noise.

On Gaussian data the variance each of them generates is known exactly (it should be 1); on the digits the samples are
compared by Fréchet distance, and with those of DDIM from the same start noise.
"""

import numpy as np

from .. import samplers, viz
from ..diffusion import Schedule
from ..samplers.gaussian_chain import generated_variance
from . import digits
from .plot import curves, finish, panels
from .table import over_seeds

STRIDES = (1, 2, 5, 10, 20, 50, 100)
NAMES = {"ddpm_subset": "the hack", "ddpm_respaced": "respaced", "ddim": "DDIM"}
SHOWN = (1, 10, 50)  # strides whose samples are shown


def run(options):
    """Rows: data, sampler, stride, steps; variance on Gaussian data; frechet, accuracy and the distance to DDIM on digits."""
    T = options.size(1000, 100)
    gaussian = Schedule.linear(T, scale_to_T=True)
    for stride in STRIDES:
        for name in NAMES:
            variance = generated_variance(getattr(samplers, name), gaussian, steps=T // stride)
            yield {"data": "N(0, 1)", "sampler": name, "stride": stride, "steps": T // stride, "variance": variance}
    denoiser, judge = digits.trained(options), digits.judge(options)
    n, T, pictures = options.size(300, 20), denoiser.schedule.T, []
    for stride in options.size(STRIDES, (20, 100)):
        drawn = {}
        for name in reversed(NAMES):  # DDIM first: the others are compared with it
            seeds = options.seeds if stride >= 5 else options.seeds[:1]

            def measure(seed, name=name, stride=stride, drawn=drawn):
                x = digits.draw_samples(name, denoiser, n, seed, steps=T // stride, spacing="trailing")
                drawn[name, seed] = x
                apart = float(np.sqrt(((x - drawn["ddim", seed]) ** 2).mean()))
                return judge.look(x, digits.asked_classes(n)) | {"distance_to_ddim": apart}

            yield {"data": "digits", "sampler": name, "stride": stride, "steps": T // stride, "samples": n,
                   **over_seeds(seeds, measure)}  # fmt: skip
        if stride in options.size(SHOWN, (20,)):
            pictures += [(f"{NAMES[name]}, every {stride}", drawn[name, options.seeds[0]][:12]) for name in NAMES]
    side_by_side(pictures, options.out / "subset_samples.png")


def side_by_side(pictures, path):
    """One row for each kind of sample, named at its left.   pictures: [(name, (n, H, W, C)), ...]"""
    rows = len(pictures)
    figure, axes = panels(8.5, 0.62 * rows, 1, rows)
    for ax, (name, images) in zip(axes, pictures, strict=True):
        ax.imshow(viz.image_grid(images, columns=len(images))[..., 0], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        ax.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    figure.savefig(path)


def draw(rows):
    figure, (left, middle, right) = panels(13, 4.2, 3)
    rows = [row | {"name": NAMES[row["sampler"]]} for row in rows]
    gaussian, real = ([row for row in rows if row["data"] == data] for data in ("N(0, 1)", "digits"))
    gaussian = [row | {"off": abs(row["variance"] - 1)} for row in gaussian]
    ticks = [1, 2, 5, 10, 20, 50, 100]
    curves(left, gaussian, "stride", "off", "name")
    finish(left, "every how many steps", "error of the variance, which is 1", "Gaussian data, exact", legend=True, log="xy",
           ticks=ticks)  # fmt: skip
    curves(middle, real, "stride", "frechet", "name")
    finish(middle, "every how many steps", "Fréchet distance", "Digits", log="xy", ticks=ticks)
    curves(right, [row for row in real if row["sampler"] != "ddim"], "stride", "distance_to_ddim", "name")
    finish(right, "every how many steps", "per pixel", "Digits: distance to DDIM from the same noise", log="x", ticks=ticks)
    return figure
