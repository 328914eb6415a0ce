"""The models of the page: small runs of `minidiff train`, in the files that the page itself reads.

scripts/ship_playground.py trains and writes them.
"""

from pathlib import Path

import numpy as np

from ..names import check_choice
from ..runs import open_run

PAGE = Path(__file__).parent / "page"
POINTS = ("moons", "checkerboard", "swiss_roll", "gaussians")
PREDICTS = {  # of each process: what its models predict. eps does not fit a flow, whose alpha is 0 at t = 1
    "linear": ("eps", "x0", "v"),
    "cosine": ("eps", "x0", "v"),
    "flow": ("velocity", "x0"),
}


def names():
    """The names of all models, such as "moons-cosine-v", and "digits"."""
    planes = [f"{data}-{process}-{predicts}" for data in POINTS for process, kinds in PREDICTS.items() for predicts in kinds]
    return [*planes, "digits"]


def path_of(name):
    """The file of a model: a checkpoint, float16. Raises ValueError for a name that is not in `names()`."""
    check_choice("name", name, names())
    return PAGE / "models" / f"{name}.safetensors"


def denoiser(name, dtype=np.float64):
    """The denoiser of a model of the page: class-conditional, with the null class last.   -> Denoiser

    name    one of `names()`; raises ValueError for another
    dtype   of the weights. The page computes in float64, as JavaScript does; x has to be of the same dtype
    """
    made = open_run(path_of(name)).denoiser
    made.model.astype(dtype)
    return made
