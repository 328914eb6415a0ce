"""Can DDPM's step just skip steps? Skipping, respacing, DDIM and DPM-Solver++ with the same steps and noise.

On Gaussian data, N(0, 0.5^2), the variance that each of them generates is known exactly. On the digits, with an MLP for each
training seed, the samples are compared by Fréchet distance, and with those of DDIM from the same start noise.
"""

import numpy as np

from .. import samplers
from ..diffusion import Schedule
from ..samplers.gaussian_chain import generated_variance
from . import digits, small
from .plot import curves, finish, panels, side_by_side
from .table import over_seeds

STRIDES = (1, 2, 5, 10, 20, 50, 100, 200)
ON_DIGITS = (1, 4, 20, 50, 100, 200)
STD = 0.5  # of the Gaussian data. With 1, the noise's own, a sampler that removes no noise at all would look right
NAMES = {"ddpm_subset": "the hack", "ddpm_respaced": "respaced", "ddim": "DDIM", "dpmpp_2m": "DPM-Solver++"}
SHOWN = (1, 20, 100)  # strides whose samples are shown


def run(options):
    """Rows: data, sampler, stride, steps; variance on Gaussian data; frechet, accuracy and the distance to DDIM on digits."""
    T = options.size(1000, 100)
    gaussian = Schedule.linear(T, scale_to_T=True)
    for stride in options.size(STRIDES, STRIDES[:-1]):
        for name in NAMES:
            variance = generated_variance(getattr(samplers, name), gaussian, STD, steps=T // stride)
            yield {"data": "gaussian", "sampler": name, "stride": stride, "steps": T // stride, "variance": variance,
                   "true_variance": STD**2}  # fmt: skip
    judge, n, pictures = digits.judge(options), options.size(200, 20), []
    trained = {seed: denoiser_of(options, seed) for seed in options.seeds}
    T = trained[options.seeds[0]].schedule.T
    for stride in options.size(ON_DIGITS, (10, 20)):
        drawn = {}
        for name in ("ddim", *(name for name in NAMES if name != "ddim")):  # DDIM first: the others are compared with it

            def measure(seed, name=name, stride=stride, drawn=drawn):
                x = digits.draw_samples(name, trained[seed], n, seed, steps=T // stride, spacing="trailing")
                drawn[name, seed] = x
                apart = float(np.sqrt(((x - drawn["ddim", seed]) ** 2).mean()))
                return judge.look(x, digits.asked_classes(n)) | {"distance_to_ddim": apart}

            yield {"data": "digits", "sampler": name, "stride": stride, "steps": T // stride, "samples": n,
                   **over_seeds(options.seeds, measure)}  # fmt: skip
        if stride in options.size(SHOWN, (20,)):
            pictures += [(f"{NAMES[name]}, {T // stride} steps", drawn[name, options.seeds[0]][:12]) for name in NAMES]
    side_by_side(pictures, options.out / "subset_samples.png")


def denoiser_of(options, seed):
    """An MLP trained with this seed, or for every seed the run that `options.run` names."""
    return small.mlp(options, seed, "subset") if options.run is None else digits.trained(options)


def draw(rows):
    figure, (left, middle, right) = panels(13, 4.2, 3)
    rows, names = [row | {"name": NAMES[row["sampler"]]} for row in rows], list(NAMES.values())
    gaussian, real = ([row for row in rows if row["data"] == data] for data in ("gaussian", "digits"))
    gaussian = [row | {"ratio": row["variance"] / row["true_variance"]} for row in gaussian]
    ticks = [1, 2, 5, 10, 20, 50, 100, 200]
    curves(left, gaussian, "stride", "ratio", "name", names)
    left.axhline(1, color="#868e96", linewidth=0.8, linestyle=(0, (1, 1)))
    finish(left, "stride", "variance of the samples / true variance", "Gaussian data, exact", legend=True, log="x",
           ticks=ticks)  # fmt: skip
    curves(middle, real, "stride", "frechet", "name", names)
    finish(middle, "stride", "Fréchet distance", "Digits", log="xy", ticks=ticks)
    curves(right, [row for row in real if row["sampler"] != "ddim"], "stride", "distance_to_ddim", "name", names)
    finish(right, "stride", "root mean square difference of a pixel", "Digits: difference from DDIM, same noise", log="x",
           ticks=ticks)  # fmt: skip
    return figure
