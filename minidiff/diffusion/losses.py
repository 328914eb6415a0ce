"""Training losses. One contract:

    loss, back = objective(model, x0, rng, cond=None)      loss: a 0-d array; nothing waits for the device
    back()                                                 the model's backward pass: every p.grad has been added to

Draws from `rng` come in a fixed order (t, then the noise, then which conditions are dropped), so the noise of a training
step depends on the seed and the step alone.
"""

import numpy as np

from ..backend import xp_of
from ..finite import checked
from ..tree import tree_map
from .denoiser import Denoiser, check_predicts, from_x0_eps, model_time
from .pairing import check_pairing, optimal_pairs
from .schedule import per_sample
from .timesteps import draws_each_row_alone, make_t_sampler
from .weighting import check_finite, check_weighting, weight


class Objective:
    """Base class of the losses. A subclass defines `compare`, and `denoiser` if sampling needs another one.

    schedule      a Schedule or a process from `continuous`
    predicts      prediction type: one of `denoiser.PREDICTS`
    cond_dropout  probability of replacing a sample's condition by the null condition, for guidance
    t_sampler     "uniform", "stratified", "loss", "logit_normal", "mode", or a t sampler from `timesteps`
    real_t        draw real-valued t from a Schedule too (a process always has them)
    time_scale    factor of the model's time input: see `Denoiser`

    A class whose `draw` and `compare` treat each row of a batch without regard to the others sets each_row_alone = True.
    """

    def __init__(self, schedule, predicts="eps", cond_dropout=0.1, t_sampler="uniform", real_t=False, time_scale=1.0):
        check_predicts(predicts)
        if not 0 <= cond_dropout <= 1:
            raise ValueError(f"cond_dropout: got {cond_dropout}, expected a probability")
        self.schedule, self.predicts, self.cond_dropout, self.time_scale = schedule, predicts, cond_dropout, time_scale
        self.t_sampler = make_t_sampler(t_sampler, schedule, real_t)

    def __call__(self, model, x0, rng, cond=None):
        """(loss, back) of one batch.   x0 (B, ...) of floats   cond None or what the model takes, one a sample

        Raises `finite.NotFiniteLoss` where the loss is NaN or infinite, on a CPU.
        """
        xp = xp_of(x0)
        if x0.dtype.kind != "f":
            raise TypeError(f"x0: got dtype {x0.dtype}, expected floats (images scaled to [-1, 1])")
        t, importance = self.t_sampler(rng, len(x0))
        t, (x0, eps) = xp.asarray(t), self.draw(x0, rng)
        cond = drop_conditions(model, cond, self.cond_dropout, rng, len(x0), xp)
        losses, dlosses, back_model = self.compare(model, x0, eps, t, cond)  # (B,), and how the model's backward starts
        share = 1 / len(x0) if importance is None else xp.asarray(importance).astype(x0.dtype) / len(x0)
        self.t_sampler.update(t, losses)

        def back(dloss=1.0):
            return back_model(dlosses * per_sample(dloss * share, x0))

        return checked((losses * share).sum(), type(self).__name__, losses, t), back

    @property
    def by_rows(self):
        """Whether the loss of a batch is the mean of what its rows have alone, so that ranks may take their rows through it."""
        return draws_each_row_alone(self) and draws_each_row_alone(self.t_sampler)

    def draw(self, x0, rng):
        """(clean samples, the noise of each) of a batch."""
        return x0, xp_of(x0).asarray(rng.standard_normal(x0.shape, dtype=x0.dtype))

    def compare(self, model, x0, eps, t, cond):
        """(losses (B,), d losses / d output of the model's shape, the model's back)."""
        raise NotImplementedError(f"{type(self).__name__} has no compare")

    def denoiser(self, model):
        """The denoiser that a model trained with this loss is sampled with."""
        return Denoiser(model, self.schedule, self.predicts, time_scale=self.time_scale)

    def state(self):
        """What training has taught the loss itself (the t sampler's histories): {name: array}."""
        return self.t_sampler.state()

    def load_state(self, state):
        """Take over what `state` returned."""
        self.t_sampler.load_state(state)


class SimpleLoss(Objective):
    """Mean squared error of what is predicted. DDPM (arXiv:2006.11239), equation 14, when that is eps.

    weighting   "simple", "x0", "snr", "truncated_snr", "min_snr" or "p2": see `weighting.weight`
    gamma, k    numbers of min_snr (gamma 5) and p2 (gamma 1, k 1)
    pairing     "random", or "optimal": pair each sample with the noise of the batch that is nearest to it. See `pairing`
    The other arguments are `Objective`'s.
    """

    each_row_alone = True

    def __init__(
        self,
        schedule,
        predicts="eps",
        weighting="simple",
        cond_dropout=0.1,
        t_sampler="uniform",
        real_t=False,
        gamma=None,
        k=1.0,
        time_scale=1.0,
        pairing="random",
    ):
        super().__init__(schedule, predicts, cond_dropout, t_sampler, real_t, time_scale)
        check_weighting(weighting, gamma, k)
        check_finite(schedule, predicts, weighting, gamma, k)
        check_pairing(pairing)
        self.weighting, self.gamma, self.k, self.pairing = weighting, gamma, k, pairing
        self.recordable = pairing == "random" and not getattr(self.t_sampler, "waits", False)

    @property
    def by_rows(self):
        return self.pairing == "random" and super().by_rows

    def draw(self, x0, rng):
        x0, eps = super().draw(x0, rng)
        return x0, eps if self.pairing == "random" else eps[optimal_pairs(x0, eps)]

    def compare(self, model, x0, eps, t, cond):
        alpha, sigma = per_sample(self.schedule.alpha(t), x0), per_sample(self.schedule.sigma(t), x0)
        xt = alpha * x0 + sigma * eps
        target = from_x0_eps(x0, eps, alpha, sigma, self.predicts)
        output, back_model = model(xt, model_time(t, self.time_scale), cond)
        w = weight(self.schedule, t, self.predicts, self.weighting, self.gamma, self.k)
        losses, dlosses = mean_square(output, target, w)
        return losses, dlosses, back_model


def mean_square(output, target, w=None):
    """Each sample's weighted mean squared error and its gradient.   output, target (B, ...)   w (B,) or None
    ->   (B,), (B, ...)"""
    if output.shape != target.shape:
        raise ValueError(f"the model put out {output.shape}, expected {target.shape}")
    error, n = output - target, target.size // len(target)
    w = 1.0 if w is None else per_sample(w, target)
    return (w * error * error).reshape(len(target), -1).sum(axis=1) / n, (2.0 / n) * w * error


def drop_conditions(model, cond, rate, rng, B, xp=np):
    """cond, with each sample's condition replaced by the null condition at this rate. Ho and Salimans 2022, algorithm 1.

    Draws nothing when cond is None or the rate 0. cond may be an array, or nested arrays, one row a sample.
    Raises ValueError when the model knows no null condition.
    """
    if cond is None or rate == 0:
        return cond
    null = model.null_cond(cond) if hasattr(model, "null_cond") else None
    if null is None:
        raise ValueError(f"cond_dropout: got {rate}, but the model has no null condition; pass cond_dropout=0")
    drop = xp.asarray(rng.random(B, dtype=np.float64)) < rate  # (B,)
    return tree_map(lambda c, n: xp.where(drop.reshape((-1,) + (1,) * (c.ndim - 1)), n, c), cond, null)
