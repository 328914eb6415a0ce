"""How likely does the model find real digits? Bits per dimension by the variational bound and by the ODE, and their terms.

The digits have 17 grey levels, so a uniform model needs log2(17) = 4.09 bits per pixel. The bound sums one term for each of the
T steps. The probability-flow ODE gives the density of dequantised images, whose grey levels are spread over their bins.
"""

import math

import numpy as np

from .. import data
from ..diffusion import bits_per_dim, dequantize, ode_log_likelihood, variational_bound
from ..rng import Rng, Stream
from . import digits
from .plot import colour, finish, panels
from .table import mean_and_error

LEVELS = 17


def run(options):
    """Rows: method, images ("held out", "training", "upside down"), bits per dimension; and terms of the bound by t."""
    denoiser, n = digits.trained(options), options.size(60, 2)
    images, labels = digits.held_out(n)
    seen = tuple(array[:n] for array in data.load("digits"))
    sets = {"held out": (images, labels), "training": seen, "upside down": (images[:, ::-1].copy(), labels)}
    for name, (x, cond) in list(sets.items())[: options.size(3, 1)]:
        bound = variational_bound(denoiser, x, Rng(0, Stream.STUDY_BOUND), cond=cond, levels=LEVELS)
        mean, error = mean_and_error(bound.total)
        yield {"what": "bits", "method": "bound", "images": name, "bits": mean, "bits_error": error, "n": n}
        spread = dequantize(x, Rng(0, Stream.STUDY_DEQUANTIZE), LEVELS).astype(np.float32)
        found = ode_log_likelihood(denoiser, spread, cond, divergence="hutchinson", probes=1, rng=0, steps=options.size(40, 4),
                                   t_min=5)  # fmt: skip
        mean, error = mean_and_error(bits_per_dim(found.log_p, x[0].size, LEVELS))
        yield {"what": "bits", "method": "ODE", "images": name, "bits": mean, "bits_error": error, "n": n}
        if name == "held out":
            terms = bound.terms.mean(axis=0)
            for t in np.unique(np.geomspace(1, denoiser.schedule.T, 60).astype(int) - 1):
                yield {"what": "term", "t": int(t), "bits": float(terms[t])}


def draw(rows):
    figure, (left, right) = panels(10, 4.2, 2)
    bits = [row for row in rows if row["what"] == "bits"]
    sets = list(dict.fromkeys(row["images"] for row in bits))
    for i, method in enumerate(("bound", "ODE")):
        own = [row for row in bits if row["method"] == method]
        left.bar([sets.index(row["images"]) + 0.4 * (i - 0.5) for row in own], [row["bits"] for row in own], 0.38,
                 yerr=[row["bits_error"] or 0 for row in own], capsize=2, color=colour(i), label=method)  # fmt: skip
    left.axhline(math.log2(LEVELS), color="#868e96", linewidth=0.8, linestyle=(0, (1, 1)))
    left.set_xticks(range(len(sets)), sets)
    finish(left, None, "bits per dimension", "Real digits (dotted: uniform model)", legend=True)
    terms = [row for row in rows if row["what"] == "term"]
    right.plot([row["t"] + 1 for row in terms], [row["bits"] for row in terms], color="#1f6feb", linewidth=1.5)
    finish(right, "timestep t + 1", "bits per dimension", "Terms of the bound, held-out digits", log="xy")
    return figure
