"""EDM's loss: a preconditioned network, noise levels log-normal, every level of the same size at the start."""

from .continuous import EDM
from .edm import EDMDenoiser, c_in, c_noise, c_out, c_skip
from .losses import Objective, mean_square
from .schedule import per_sample
from .timesteps import LogNormal


class EDMLoss(Objective):
    """lambda(sigma) |D(x0 + n) - x0|^2, lambda = (sigma^2 + sigma_data^2) / (sigma sigma_data)^2 = 1 / c_out^2.

    Karras et al. 2022 (arXiv:2206.00364), equation 8 and table 1. The model is called as model(c_in x, c_noise, cond).

    sigma_data     standard deviation of the data
    mean, std      of log sigma in training, when t_sampler is "log_normal"
    schedule       EDM() by default, where t is sigma; sampling uses its sigma_min and sigma_max
    """

    each_row_alone = True

    def __init__(self, sigma_data=0.5, mean=-1.2, std=1.2, schedule=None, cond_dropout=0.1, t_sampler="log_normal"):
        schedule = EDM() if schedule is None else schedule
        chosen = LogNormal(mean, std) if t_sampler == "log_normal" else t_sampler
        super().__init__(schedule, "x0", cond_dropout, chosen)
        self.predicts, self.sigma_data = "edm", float(sigma_data)

    def compare(self, model, x0, eps, t, cond):
        sigma = self.schedule.sigma(t) / self.schedule.alpha(t)
        skip, out, scale = (per_sample(c(sigma, self.sigma_data), x0) for c in (c_skip, c_out, c_in))
        x = x0 + per_sample(sigma, x0) * eps
        output, back_model = model(scale * x, c_noise(sigma), cond)
        losses, dlosses = mean_square(output, (x0 - skip * x) / out)  # lambda c_out^2 = 1: the plain error of what F should say
        return losses, dlosses, back_model

    def denoiser(self, model):
        return EDMDenoiser(model, self.schedule, self.sigma_data)
