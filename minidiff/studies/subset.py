"""Can DDPM's step just skip steps? The hack, the respaced chain and DDIM: same steps, same noise.

On Gaussian data, N(0, 0.5^2), the variance that each of them generates is known exactly; on the digits the samples are
compared by Fréchet distance, and with those of DDIM from the same start noise.
"""

import numpy as np

from .. import samplers
from ..diffusion import Schedule
from ..samplers.gaussian_chain import generated_variance
from . import digits
from .plot import curves, finish, panels, side_by_side
from .table import over_seeds

STRIDES = (1, 2, 5, 10, 20, 50, 100)
ON_DIGITS = STRIDES[:1] + STRIDES[2:]
STD = 0.5  # of the Gaussian data. With 1, the noise's own, a sampler that removes no noise at all would look right
NAMES = {"ddpm_subset": "the hack", "ddpm_respaced": "respaced", "ddim": "DDIM"}
SHOWN = (1, 10, 50)  # strides whose samples are shown


def run(options):
    """Rows: data, sampler, stride, steps; variance on Gaussian data; frechet, accuracy and the distance to DDIM on digits."""
    T = options.size(1000, 100)
    gaussian = Schedule.linear(T, scale_to_T=True)
    for stride in STRIDES:
        for name in NAMES:
            variance = generated_variance(getattr(samplers, name), gaussian, STD, steps=T // stride)
            yield {"data": "gaussian", "sampler": name, "stride": stride, "steps": T // stride, "variance": variance,
                   "true_variance": STD**2}  # fmt: skip
    denoiser, judge = digits.trained(options), digits.judge(options)
    n, T, pictures = options.size(150, 20), denoiser.schedule.T, []
    for stride in options.size(ON_DIGITS, (20, 100)):
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


def draw(rows):
    figure, (left, middle, right) = panels(13, 4.2, 3)
    rows, names = [row | {"name": NAMES[row["sampler"]]} for row in rows], list(NAMES.values())
    gaussian, real = ([row for row in rows if row["data"] == data] for data in ("gaussian", "digits"))
    gaussian = [row | {"ratio": row["variance"] / row["true_variance"]} for row in gaussian]
    ticks = [1, 2, 5, 10, 20, 50, 100]
    curves(left, gaussian, "stride", "ratio", "name", names)
    left.axhline(1, color="#868e96", linewidth=0.8, linestyle=(0, (1, 1)))
    finish(left, "every how many steps", "variance generated / true variance", "Gaussian data, exact", legend=True, log="x",
           ticks=ticks)  # fmt: skip
    curves(middle, real, "stride", "frechet", "name", names)
    finish(middle, "every how many steps", "Fréchet distance", "Digits", log="xy", ticks=ticks)
    curves(right, [row for row in real if row["sampler"] != "ddim"], "stride", "distance_to_ddim", "name", names)
    finish(right, "every how many steps", "root mean square of a pixel", "Digits: away from DDIM of the same noise", log="x",
           ticks=ticks)  # fmt: skip
    return figure
