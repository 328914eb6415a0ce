"""Is this backward pass right?  Ask the forward pass.

    check(f, *arrays)              y, back = f(*arrays): does back agree with the slope of f?
    check_layer(layer, *arrays)    the same, and every Param of the layer
    jvp(f, arrays, tangents)       y and its exact derivative along the tangents
    numerical_grad(f, x, dy)       the slope entry by entry: slow, plain, and it tells which entry is wrong

The idea: pick a random dy and a random unit direction r, one for each argument. Then the two numbers

    sum(dx * r)      and      sum(dy * slope of y along r)

are the same derivative, the first by your backward pass, the second by forward passes.

The check draws dy at random because dy = 1 hides bugs: the sum of a normalised row is constant, so its gradient is 0 however
wrong the backward pass is. A check proves only that the backward pass fits the forward pass, which needs reference values.

The slope comes from one forward pass in complex numbers where f takes them: y(x + i h r).imag / h, exact to rounding. The two
numbers then agree to about 1e-15. Elsewhere it is (y(x + h r) - y(x - h r)) / 2 h, a difference, which loses digits.
"""

import copy

import numpy as np

from ..complex_step import jvp
from .calls import GradientError
from .diagnosis import diagnose
from .identity import Error, Options, check_arguments, check_params
from .numerical import numerical_grad

__all__ = ["Error", "GradientError", "check", "check_layer", "diagnose", "jvp", "numerical_grad"]

SEED = 0x9E3779B9  # used for nothing else: a dy drawn from the seed that drew x hides bugs in normalisation


def check(f, *arrays, h=1e-5, tolerance=None, seed=SEED, method="auto"):
    """Check `y, back = f(*arrays)`.   arrays: float64, any shapes; integer arrays and None pass through unchecked.

    method     "complex": one forward pass in complex numbers, through the plain ops; "difference": central differences of
               step h; "auto": the complex step, and differences where f cannot take complex numbers or is not analytic
    tolerance  None: 1e-12 for a complex step, 1e-6 for a difference
    ->         {argument number: relative error}, floats that know their .method, and .why it is no complex step

    Raises GradientError with a diagnosis; TypeError for other dtypes and for arrays of a library without NumPy's names (torch).
    y is an array or a plain number, such as a loss. `back` must return one gradient for each float argument, in order (the bare
    array when there is one), of its shape and dtype; change neither inputs nor dy; say the same when called twice; and not
    depend on later calls of f.
    """
    return check_arguments(f, list(arrays), Options(h, tolerance, method), seed)


def check_layer(layer, *arrays, h=1e-5, tolerance=None, seed=SEED, method="auto"):
    """Check a layer's inputs and every Param, on a float64 copy of it.   -> {argument number or Param path: error}

    The options are those of `check`.
    """
    layer, arrays, options = copy.deepcopy(layer).astype(np.float64), list(arrays), Options(h, tolerance, method)
    errors = check_arguments(layer, arrays, options, seed)
    errors.update(check_params(layer, arrays, options, seed + 1))
    return errors
