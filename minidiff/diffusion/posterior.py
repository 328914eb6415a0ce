"""The step back that training aims at: q(x_{t-1} | x_t, x0), which is Gaussian and known.

    mean = c_x0(t) x0 + c_xt(t) xt,    variance = beta_tilde(t)        Ho et al. 2020 (arXiv:2006.11239), equations 6 and 7

beta_tilde is the least variance that a step of the model may need and beta the most: it is beta_tilde when the data are
one point and beta when they are N(0, I).
"""

import numpy as np

from ..backend import Constant
from ..names import check_choice
from .schedule import per_sample

VARIANCES = ("fixed_small", "fixed_large", "learned")


class Posterior:
    """Tables of the posterior of a Schedule, float64 (T,): c_x0, c_xt, variance (0 at t = 0), log_variance, log_beta.

    log_variance and log_beta are the logarithms of the two bounds; at t = 0, where beta_tilde is 0, the former is
    that of t = 1, as in the authors' code: the decoder of the last step needs some width.
    """

    def __init__(self, schedule):
        if not hasattr(schedule, "betas"):
            raise TypeError(f"schedule: got {type(schedule).__name__}; the posterior of a step needs a Schedule of whole steps")
        beta, alpha_bar = schedule.betas, schedule.alpha_bar
        before = np.append(1.0, alpha_bar[:-1])  # alpha_bar one step earlier
        self.c_x0 = np.sqrt(before) * beta / (1 - alpha_bar)
        self.c_xt = np.sqrt(1 - beta) * (1 - before) / (1 - alpha_bar)
        self.variance = beta * (1 - before) / (1 - alpha_bar)
        self.log_beta = np.log(beta)
        self.log_variance = np.log(np.append(self.variance[1] if len(beta) > 1 else beta[0], self.variance[1:]))
        self.log_fixed_large = np.append(self.log_variance[0], self.log_beta[1:])
        self._tables = {name: Constant(table) for name, table in vars(self).items()}

    def at(self, name, t, x):
        """Row t of a table, ready to multiply x: a float, or (B, 1, ..., 1) in x's dtype on x's device."""
        table = self._tables[name]
        return float(table.values[t]) if np.ndim(t) == 0 else per_sample(table.beside(x)[t], x)

    def mean(self, x0, xt, t):
        """c_x0 x0 + c_xt xt.   x0, xt (B, ...)   t whole, scalar or (B,)"""
        return self.at("c_x0", t, xt) * x0 + self.at("c_xt", t, xt) * xt

    def model_log_variance(self, t, xt, variance="fixed_small", share=None):
        """log variance of the model's step.   ->   float, (B, 1, ..., 1), or of x's shape where it is learned

        variance   "fixed_small": beta_tilde; "fixed_large": beta (beta_tilde at the last step); "learned": between, by `share`
        share      of x's shape: 0 for beta_tilde, 1 for beta. Nichol and Dhariwal 2021 (arXiv:2102.09672), equation 15
        """
        check_choice("variance", variance, VARIANCES)
        if variance == "fixed_small":
            return self.at("log_variance", t, xt)
        if variance == "fixed_large":
            return self.at("log_fixed_large", t, xt)
        if share is None:
            raise ValueError("variance: 'learned' needs a model that learned one: Denoiser(..., learned_variance=True)")
        return share * self.at("log_beta", t, xt) + (1 - share) * self.at("log_variance", t, xt)
