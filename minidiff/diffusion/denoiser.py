"""Prediction types, and the clean image and the noise from each.

At a known t these five are equivalent:

    eps        the noise that was added
    x0         the clean image
    v          alpha eps - sigma x0                    Salimans and Ho 2022 (arXiv:2202.00512)
    velocity   eps - x0                                Lipman et al. 2023 (arXiv:2210.02747), Liu et al. 2023 (arXiv:2209.03003)
    score      gradient of log p(x_t) = -eps / sigma   Song et al. 2021 (arXiv:2011.13456)
"""

import numpy as np

from ..backend import xp_of
from ..names import check_choice
from .schedule import per_sample

PREDICTS = ("eps", "x0", "v", "velocity", "score")


def to_x0_eps(output, xt, alpha, sigma, predicts):
    """(x0, eps) from a network's output.   output, xt (B, ...)   alpha, sigma: floats or (B, 1, ..., 1)."""
    check_predicts(predicts)
    if predicts in ("eps", "score") and np.ndim(alpha) == 0 and alpha == 0:
        raise ValueError(
            f"alpha(t) is 0: {predicts} does not determine x0 in pure noise; use a model that predicts v, velocity or x0"
        )
    if predicts == "eps":
        return (xt - sigma * output) / alpha, output
    if predicts == "x0":
        return output, (xt - alpha * output) / sigma
    if predicts == "v":
        power = alpha * alpha + sigma * sigma  # 1 for variance-preserving processes, but not for a flow
        return (alpha / power) * xt - (sigma / power) * output, (sigma / power) * xt + (alpha / power) * output
    if predicts == "velocity":
        return (xt - sigma * output) / (alpha + sigma), (xt + alpha * output) / (alpha + sigma)
    return (xt + sigma * sigma * output) / alpha, -sigma * output


def from_x0_eps(x0, eps, alpha, sigma, predicts):
    """What the network should have put out, from (x0, eps): the training target. The inverse of `to_x0_eps`."""
    check_predicts(predicts)
    if predicts == "eps":
        return eps
    if predicts == "x0":
        return x0
    if predicts == "v":
        return alpha * eps - sigma * x0
    if predicts == "velocity":
        return eps - x0
    return -eps / sigma


class Denoiser:
    """A model, a schedule and what the model predicts:   denoiser(x, t, cond) -> (x0, eps).

    model      a Layer (its `predict` is called), or any function (x, t, cond) -> array of x's shape
    schedule   anything with alpha(t) and sigma(t): a Schedule, or a process from `continuous`
    predicts   one of PREDICTS
    learned_variance   the model outputs 2 C channels; the second half places the variance of a DDPM step between its
                       two bounds. Nichol and Dhariwal 2021 (arXiv:2102.09672), section 3.1
    time_scale the time input of the model is time_scale t. The default 1 passes t; a process with t up to 1 needs about 1000
               where the model's time embedding expects steps (Song et al. 2021, their code, have 999)
    x (B, ...)   t scalar, or (B,)   cond None or whatever the model takes
    """

    def __init__(self, model, schedule, predicts="eps", learned_variance=False, time_scale=1.0):
        check_predicts(predicts)
        self.model, self.schedule, self.predicts, self.learned_variance = model, schedule, predicts, learned_variance
        self.time_scale = time_scale
        self._run = getattr(model, "predict", model)

    def __call__(self, x, t, cond=None):
        return self.predict(x, t, cond)[:2]

    def predict(self, x, t, cond=None):
        """(x0, eps, share).   share: None, or of x's shape and about 0 to 1, the variance of the step t -> s in it being
        exp(share log beta + (1 - share) log beta_tilde), beta and beta_tilde the upper and lower bound for that step."""
        output, share = self.split(self._run(x, model_time(t, self.time_scale), cond), x)
        alpha, sigma = per_sample(self.schedule.alpha(t), x), per_sample(self.schedule.sigma(t), x)
        return *to_x0_eps(output, x, alpha, sigma, self.predicts), share

    def eps_back(self, x, t, cond=None):
        """eps and its backward pass by x:   (eps, back), back(deps) -> dx. What a likelihood needs; the model must be a Layer.

        Parameter gradients are added to on the way. Raises TypeError for a model that is a plain function.
        """
        output, back_model = run_with_back(self.model, x, model_time(t, self.time_scale), cond)
        output, share = self.split(output, x)
        alpha, sigma = per_sample(self.schedule.alpha(t), x), per_sample(self.schedule.sigma(t), x)
        _, eps = to_x0_eps(output, x, alpha, sigma, self.predicts)
        by_output, by_x = eps_slopes(alpha, sigma, self.predicts)

        def back(deps):
            doutput = by_output * deps
            if share is not None:  # the variance's channels have no part in eps
                doutput = xp_of(x).concatenate([doutput, 0.0 * share], axis=-1)
            return back_model(doutput) + by_x * deps

        return eps, back

    def split(self, output, x):
        """The model's output as (prediction, share), share None unless learned_variance. ValueError for another shape."""
        if self.learned_variance:
            return split_variance(output, x)
        if getattr(output, "shape", x.shape) != x.shape:
            twice = output.shape == (*x.shape[:-1], 2 * x.shape[-1])
            hint = ": a model that learned its variance needs Denoiser(..., learned_variance=True)" if twice else ""
            raise ValueError(f"model: put out {output.shape}, expected {x.shape}{hint}")
        return output, None

    def null_cond(self, cond):
        """The "no condition" that stands for `cond`, if the model was trained with one; else None."""
        return self.model.null_cond(cond) if hasattr(self.model, "null_cond") else None


def eps_slopes(alpha, sigma, predicts):
    """(d eps / d output at fixed x_t, d eps / d x_t at fixed output)."""
    check_predicts(predicts)
    if predicts == "eps":
        return 1.0, 0.0
    if predicts == "x0":
        return -alpha / sigma, 1 / sigma
    if predicts == "v":
        power = alpha * alpha + sigma * sigma
        return alpha / power, sigma / power
    if predicts == "velocity":
        return alpha / (alpha + sigma), 1 / (alpha + sigma)
    return -sigma, 0.0


def model_time(t, time_scale):
    """The time input of the model: t itself if the scale is 1."""
    return t if time_scale == 1 else t * time_scale


def run_with_back(model, x, t, cond):
    """(output, back) of a Layer, back(doutput) -> dx alone. Raises TypeError where the model has no backward pass."""
    answer = model(x, t, cond) if hasattr(model, "predict") else None
    if not (isinstance(answer, tuple) and len(answer) == 2 and callable(answer[1])):
        raise TypeError("this needs the model's own backward pass: a Layer, and not a plain function")
    output, back_model = answer

    def back(doutput):
        grads = back_model(doutput)
        dx = grads[0] if isinstance(grads, (tuple, list)) else grads  # a conditional model's are (dx, dcond, ...)
        if getattr(dx, "shape", None) != x.shape:  # it would broadcast without a word
            got = type(dx).__name__ if getattr(dx, "shape", None) is None else tuple(dx.shape)
            raise ValueError(f"model: its backward pass gave {got} for x, expected an array of shape {tuple(x.shape)}")
        return dx

    return output, back


def split_variance(output, x):
    """A network's 2 C channels as (prediction, share): the second half, put out in -1 .. 1, becomes 0 .. 1."""
    C = x.shape[-1]
    if output.shape != (*x.shape[:-1], 2 * C):
        raise ValueError(f"learned_variance: the model put out {output.shape}, expected {(*x.shape[:-1], 2 * C)}")
    return output[..., :C], (output[..., C:] + 1) / 2


def check_predicts(predicts):
    """Raises ValueError, with the nearest names, unless predicts is one of PREDICTS."""
    check_choice("predicts", predicts, PREDICTS)
