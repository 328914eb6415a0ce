"""EDM preconditioning: inputs and outputs of the network have variance about 1 at every noise level.

    D(x; sigma) = c_skip x + c_out F(c_in x; c_noise)        Karras et al. 2022 (arXiv:2206.00364), equation 7, table 1

F is the network, D the clean image. It works on every process once x_t is divided by alpha(t); sigma is then
sigma(t) / alpha(t).
"""

import numpy as np

from ..backend import xp_of
from .continuous import EDM
from .denoiser import run_with_back
from .schedule import per_sample


def c_skip(sigma, sigma_data=0.5):
    """How much of x goes past the network."""
    return sigma_data**2 / (sigma**2 + sigma_data**2)


def c_out(sigma, sigma_data=0.5):
    """What the network's output is multiplied by."""
    return sigma * sigma_data / (sigma**2 + sigma_data**2) ** 0.5


def c_in(sigma, sigma_data=0.5):
    """What the network's input is multiplied by."""
    return 1 / (sigma**2 + sigma_data**2) ** 0.5


def c_noise(sigma):
    """The time input of the network: log(sigma) / 4."""
    if np.ndim(sigma) == 0:
        return np.log(sigma).item() / 4
    return xp_of(sigma).log(sigma) / 4


class EDMDenoiser:
    """A denoiser, (x, t, cond) -> (x0, eps), around a preconditioned network.

    model       a Layer or any function (x, c_noise, cond) -> array of x's shape
    schedule    a process or Schedule; EDM() by default, where t is sigma itself
    sigma_data  standard deviation of the data
    """

    predicts, learned_variance = "edm", False

    def __init__(self, model, schedule=None, sigma_data=0.5):
        if not sigma_data > 0:
            raise ValueError(f"sigma_data: got {sigma_data}, expected a positive number")
        self.model, self.schedule, self.sigma_data = model, EDM() if schedule is None else schedule, float(sigma_data)
        self._run = getattr(model, "predict", model)

    def __call__(self, x, t, cond=None):
        return self.predict(x, t, cond)[:2]

    def predict(self, x, t, cond=None):
        """(x0, eps, None): the shape of `Denoiser.predict`."""
        alpha, level = self.schedule.alpha(t), self.schedule.sigma(t) / self.schedule.alpha(t)
        skip, out, scale = (per_sample(c(level, self.sigma_data), x) for c in (c_skip, c_out, c_in))
        x = x / per_sample(alpha, x)
        x0 = skip * x + out * self._run(scale * x, c_noise(level), cond)
        return x0, (x - x0) / per_sample(level, x), None

    def eps_back(self, x, t, cond=None):
        """(eps, back), back(deps) -> dx, as `Denoiser.eps_back`."""
        alpha, level = self.schedule.alpha(t), self.schedule.sigma(t) / self.schedule.alpha(t)
        skip, out, scale = (per_sample(c(level, self.sigma_data), x) for c in (c_skip, c_out, c_in))
        alpha, y = per_sample(alpha, x), x / per_sample(alpha, x)
        level_of = per_sample(level, x)
        output, back_model = run_with_back(self.model, scale * y, c_noise(level), cond)

        def back(deps):
            dy = deps / level_of
            return (dy * (1 - skip) - scale * back_model(out * dy)) / alpha

        return (y - (skip * y + out * output)) / level_of, back

    def null_cond(self, cond):
        """The "no condition" that stands for `cond`, if the model was trained with one; else None."""
        return self.model.null_cond(cond) if hasattr(self.model, "null_cond") else None
