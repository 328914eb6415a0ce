"""Training on the variational bound, and the hybrid loss with which a network learns its variance."""

from ..backend import xp_of
from .denoiser import Denoiser, from_x0_eps, split_variance, to_x0_eps
from .losses import Objective, mean_square
from .posterior import Posterior
from .schedule import per_sample
from .vlb import term


class VLBLoss(Objective):
    """T times the bound's term at a random t: its mean over t is the bound less L_T, in bits a dimension.

    variance   "fixed_small" or "fixed_large"; "learned": the model puts out 2 C channels (see `Denoiser`)
    levels     grey levels of the data, for L_0
    The other arguments are `Objective`'s. The terms differ by orders of magnitude: t_sampler="loss" tames the noise.
    Ho et al. 2020 (arXiv:2006.11239), equation 5; Nichol and Dhariwal 2021 (arXiv:2102.09672), section 3.
    """

    each_row_alone = True

    def __init__(self, schedule, predicts="eps", variance="learned", levels=256, cond_dropout=0.1, t_sampler="uniform"):
        super().__init__(schedule, predicts, cond_dropout, t_sampler)
        self.variance, self.levels, self.posterior = variance, levels, Posterior(schedule)
        if variance != "learned":
            self.posterior.model_log_variance(0, None, variance)  # an unknown name is an error now

    def compare(self, model, x0, eps, t, cond):
        xt = self.schedule.add_noise(x0, eps, t)
        output, back_model = model(xt, t, cond)
        bits, dprediction, dshare = self.bound_term(output, x0, xt, t)
        T = self.schedule.T
        dvariance = [] if dshare is None else [T / 2 * dshare]  # share = (output + 1) / 2
        return T * bits, _join(xt, [T * dprediction, *dvariance]), back_model

    def bound_term(self, output, x0, xt, t):
        """L_t (B,), its gradient by the prediction, and by the variance share (None where that is fixed)."""
        share = None
        if self.variance == "learned":
            output, share = split_variance(output, x0)
        alpha, sigma = per_sample(self.schedule.alpha(t), xt), per_sample(self.schedule.sigma(t), xt)
        x0_hat, _ = to_x0_eps(output, xt, alpha, sigma, self.predicts)
        log_variance = self.posterior.model_log_variance(t, xt, self.variance, share)
        mean = self.posterior.mean(x0_hat, xt, t)
        bits, dmean, dlog_variance = term(self.posterior, x0, xt, t, mean, log_variance, self.levels)
        dx0_hat = self.posterior.at("c_x0", t, xt) * dmean
        dprediction = slope_of_x0(alpha, sigma, self.predicts) * dx0_hat
        if share is None:
            return bits, dprediction, None
        width = self.posterior.at("log_beta", t, xt) - self.posterior.at("log_variance", t, xt)
        return bits, dprediction, width * dlog_variance

    def denoiser(self, model):
        return Denoiser(model, self.schedule, self.predicts, learned_variance=self.variance == "learned")


class HybridLoss(VLBLoss):
    """L_simple + vlb_weight L_vlb, where the bound teaches the variance alone. Nichol and Dhariwal 2021, equation 16.

    The model puts out 2 C channels. No gradient of the bound reaches the first C, the prediction.
    """

    each_row_alone = True

    def __init__(self, schedule, predicts="eps", vlb_weight=0.001, levels=256, cond_dropout=0.1, t_sampler="uniform"):
        super().__init__(schedule, predicts, "learned", levels, cond_dropout, t_sampler)
        self.vlb_weight = vlb_weight

    def compare(self, model, x0, eps, t, cond):
        alpha, sigma = per_sample(self.schedule.alpha(t), x0), per_sample(self.schedule.sigma(t), x0)
        xt = alpha * x0 + sigma * eps
        output, back_model = model(xt, t, cond)
        prediction, _ = split_variance(output, x0)
        simple, dprediction = mean_square(prediction, from_x0_eps(x0, eps, alpha, sigma, self.predicts))
        bits, _, dshare = self.bound_term(output, x0, xt, t)
        weight = self.vlb_weight * self.schedule.T
        return simple + weight * bits, _join(xt, [dprediction, weight / 2 * dshare]), back_model


def slope_of_x0(alpha, sigma, predicts):
    """d x0 / d output, at fixed x_t."""
    if predicts == "eps":
        return -sigma / alpha
    if predicts == "v":
        return -sigma / (alpha * alpha + sigma * sigma)
    if predicts == "velocity":
        return -sigma / (alpha + sigma)
    if predicts == "score":
        return sigma * sigma / alpha
    return 1.0


def _join(x, parts):
    """The gradient by all output channels."""
    return parts[0] if len(parts) == 1 else xp_of(x).concatenate(parts, axis=-1)
