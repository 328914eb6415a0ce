"""What a network predicts, and what that says about the clean picture and the noise.

Four names for one thing, at a known t:

    eps      the noise that was added
    x0       the clean picture
    v        alpha eps - sigma x0                    Salimans and Ho 2022 (arXiv:2202.00512)
    score    gradient of log p(x_t) = -eps / sigma   Song et al. 2021 (arXiv:2011.13456)
"""

from .schedule import per_sample

PREDICTS = ("eps", "x0", "v", "score")


def to_x0_eps(output, xt, alpha, sigma, predicts):
    """(x0, eps) from a network's output.   output, xt (B, ...)   alpha, sigma: floats or (B, 1, ..., 1)."""
    if predicts == "eps":
        return (xt - sigma * output) / alpha, output
    if predicts == "x0":
        return output, (xt - alpha * output) / sigma
    if predicts == "v":
        return alpha * xt - sigma * output, sigma * xt + alpha * output
    if predicts == "score":
        return (xt + sigma * sigma * output) / alpha, -sigma * output
    raise ValueError(f"predicts: got {predicts!r}, expected one of {', '.join(PREDICTS)}")


def from_x0_eps(x0, eps, alpha, sigma, predicts):
    """What the network should have put out, from (x0, eps): the training target. The inverse of `to_x0_eps`."""
    if predicts == "eps":
        return eps
    if predicts == "x0":
        return x0
    if predicts == "v":
        return alpha * eps - sigma * x0
    if predicts == "score":
        return -eps / sigma
    raise ValueError(f"predicts: got {predicts!r}, expected one of {', '.join(PREDICTS)}")


class Denoiser:
    """A model, a schedule and what the model predicts:   denoiser(x, t, cond) -> (x0, eps).

    model      a Layer (its `predict` is called), or any function (x, t, cond) -> array of x's shape
    schedule   anything with alpha(t) and sigma(t)
    predicts   "eps", "x0", "v" or "score"
    x (B, ...)   t scalar, or (B,)   cond None or whatever the model takes; t reaches the model as it came
    """

    def __init__(self, model, schedule, predicts="eps"):
        if predicts not in PREDICTS:
            raise ValueError(f"predicts: got {predicts!r}, expected one of {', '.join(PREDICTS)}")
        self.model, self.schedule, self.predicts = model, schedule, predicts
        self._run = getattr(model, "predict", model)

    def __call__(self, x, t, cond=None):
        output = self._run(x, t, cond)
        alpha, sigma = per_sample(self.schedule.alpha(t), x), per_sample(self.schedule.sigma(t), x)
        return to_x0_eps(output, x, alpha, sigma, self.predicts)

    def null_cond(self, cond):
        """The "no condition" that stands for `cond`, if the model was trained with one; else None."""
        return self.model.null_cond(cond) if hasattr(self.model, "null_cond") else None
