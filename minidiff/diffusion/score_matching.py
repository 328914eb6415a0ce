"""Denoising score matching: learn the gradient of the log-density of noisy data from the noise that was added."""

from .denoiser import model_time
from .losses import Objective, mean_square
from .schedule import per_sample


class ScoreMatching(Objective):
    """lambda(t) |s(x_t, t) + eps / sigma(t)|^2. Vincent 2011; Song and Ermon 2019 (arXiv:1907.05600), equation 6.

    The model puts out the score. -eps / sigma is the score of q(x_t | x0), and the best answer to all of them at one x_t
    is the score of p(x_t). With VE() the levels are those of score networks, geometric from sigma_min to sigma_max.

    weighting   "sigma2"      lambda = sigma^2: every level counts alike
                "likelihood"  lambda = g^2: the loss then bounds -log p. Song et al. 2021 (arXiv:2101.09258); a process only
                "none"        lambda = 1
    """

    each_row_alone = True

    def __init__(self, schedule, weighting="sigma2", cond_dropout=0.1, t_sampler="uniform", real_t=False, time_scale=1.0):
        super().__init__(schedule, "score", cond_dropout, t_sampler, real_t, time_scale)
        if weighting not in ("sigma2", "likelihood", "none"):
            raise ValueError(f"weighting: got {weighting!r}, expected 'sigma2', 'likelihood' or 'none'")
        if weighting == "likelihood" and not hasattr(schedule, "g"):
            raise ValueError("weighting: 'likelihood' needs g(t), so a process from `continuous` and not a Schedule")
        self.weighting = weighting

    def compare(self, model, x0, eps, t, cond):
        sigma = self.schedule.sigma(t)
        xt = self.schedule.add_noise(x0, eps, t)
        output, back_model = model(xt, model_time(t, self.time_scale), cond)
        weight = None
        if self.weighting == "sigma2":
            weight = sigma * sigma
        elif self.weighting == "likelihood":
            weight = self.schedule.g(t) ** 2
        losses, dlosses = mean_square(output, -eps / per_sample(sigma, x0), weight)
        return losses, dlosses, back_model
