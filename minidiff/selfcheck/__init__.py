"""Everything with a backward pass, each with a random case to check its gradients on: what `minidiff gradcheck` prints.

A case is a function of (pick, randn): `pick(low, high)` chooses a size, both ends included, and `randn(*shape)` draws a
float64 array. It returns (f, arrays) for `gradcheck.check`, or (layer, arrays) for `gradcheck.check_layer`.
The tests call the same cases with sizes that hypothesis picks.
"""

import numpy as np

from ..gradcheck import check, check_layer
from ..nn import Layer
from ..rng import Rng
from . import imported_layers, layers, model_parts, models
from .guidance import GUIDANCE
from .losses import LOSSES
from .ops import OPS

LAYERS = [*layers.LAYERS, *models.SMALL, *imported_layers.LAYERS]
MODELS = models.MODELS  # too large for a loop over shapes
PARTS = model_parts.PARTS


def run(case, pick, randn, tolerance=None, method="complex"):
    """Check one case.   -> (largest relative error, how many gradients were checked)

    Every case here takes complex numbers, so nothing falls back to differences unasked. The options are those of `check`.
    """
    f, arrays = case(pick, randn)
    errors = (check_layer if isinstance(f, Layer) else check)(f, *arrays, tolerance=tolerance, method=method)
    return max(errors.values()), len(errors)


def run_seed(case, seed, tolerance=None, method="complex"):
    """Check one case on sizes and numbers from a seed."""
    rng = Rng(seed)

    def pick(low, high):
        return int(rng.integers(low, high + 1))

    return run(case, pick, lambda *s: rng.standard_normal(s, np.float64), tolerance, method)


def table(seeds=3, tolerance=None):
    """Every case on `seeds` random sizes, whole models on one.   yields (kind, name, largest error or failure, gradients)"""
    kinds = {"op": OPS, "layer": LAYERS, "model": MODELS, "part": PARTS, "loss": LOSSES, "denoiser": GUIDANCE}
    for kind, cases in kinds.items():
        for case in cases:
            worst, checked = 0.0, 0
            try:
                for seed in range(1 if kind == "model" else seeds):
                    error, n = run_seed(case, seed, tolerance)
                    worst, checked = max(worst, error), checked + n
            except AssertionError as failure:
                yield kind, case.__name__, failure, checked
            else:
                yield kind, case.__name__, worst, checked
