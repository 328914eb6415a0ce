"""Which t each sample of a training batch gets.

A t sampler is called as `t, weight = t_sampler(rng, B)`: t is (B,), whole (int64) or real-valued (float64); weight is None,
or (B,) and 1 / (probability x range), so that the weighted mean of the losses is what uniform t would give. After the
forward pass the loss reports `t_sampler.update(t, losses)`; `state()` and `load_state(state)` carry what it has learned.
A class whose t of some rows can be drawn without the others, from a `rng.RowsOfRng`, sets each_row_alone = True.
"""

import math

import numpy as np

from ..backend import to_numpy, xp_of
from ..names import check_choice


class Uniform:
    """Each t alike, each draw by itself. DDPM, algorithm 1.

    real   t real-valued on [low, high] instead of the whole steps of a Schedule; always so for a process
    A `Flow` with a shift moves every real-valued t, whatever drew it.
    """

    each_row_alone = True

    def __init__(self, schedule, real=False):
        self.low, self.high, self.real = time_range(schedule, real)
        self.shifted = getattr(schedule, "shifted", lambda t: t)

    def __call__(self, rng, B):
        if not self.real:
            return rng.integers(self.low, self.high + 1, size=B), None
        return self.at(rng.random(B, dtype=np.float64)), None

    def at(self, u):
        """The real-valued t at a share u (B,) of the range, shifted."""
        return self.shifted(self.low + (self.high - self.low) * u)

    def update(self, t, losses):
        """Nothing to learn."""

    def state(self):
        """{}"""
        return {}

    def load_state(self, state):
        """Nothing to take over."""


class Stratified(Uniform):
    """The range cut into B equal strata, one t in each: the same mean as `Uniform` and less noise in the loss.

    Kingma et al. 2021 (arXiv:2107.00630), appendix I.1, has one draw shared by the strata; here each has its own.
    """

    each_row_alone = True

    def __call__(self, rng, B):
        u, rows = rng.random(B, dtype=np.float64), getattr(rng, "rows", slice(0, B))
        u = (xp_of(u).arange(rows.start, rows.stop) + u) / getattr(rng, "total", B)  # one in each [i / B, (i + 1) / B)
        if not self.real:
            return self.low + (u * (self.high + 1 - self.low)).astype(np.int64), None
        return self.at(u), None


class Between0And1(Uniform):
    """Base class of densities on 0 .. 1, for flows and other processes whose t ends at 1."""

    def __init__(self, schedule, real=True):
        super().__init__(schedule, True)
        if self.high > 1:
            raise ValueError(
                f"t_sampler: {NAMES[type(self)]} draws t between 0 and 1, but this schedule's run to {self.high:g}"
            )


class LogitNormal(Between0And1):
    """log(t / (1 - t)) normal: most of the work at middle noise. Esser et al. 2024 (arXiv:2403.03206), section 3.1."""

    each_row_alone = True

    def __init__(self, schedule, real=True, mean=0.0, std=1.0):
        super().__init__(schedule)
        self.mean, self.std = float(mean), float(std)

    def __call__(self, rng, B):
        z = self.mean + self.std * rng.standard_normal(B, dtype=np.float64)
        return self.at(1 / (1 + math.e**-z)), None


class Mode(Between0And1):
    """More t at the middle (scale > 0) or at the ends (scale < 0), none of them rare. Esser et al. 2024, equation 20.

    scale   -1 to 2 / (pi - 2), about 1.75; 1.29 is what they found best of the densities of this kind
    """

    each_row_alone = True

    def __init__(self, schedule, real=True, scale=1.29):
        super().__init__(schedule)
        if not -1 <= scale <= 2 / (math.pi - 2):
            raise ValueError(f"scale: got {scale}, expected -1 to {2 / (math.pi - 2):.2f}")
        self.scale = float(scale)

    def __call__(self, rng, B):
        u = rng.random(B, dtype=np.float64)
        t = 1 - u - self.scale * (xp_of(u).cos(math.pi / 2 * u) ** 2 - 1 + u)
        return self.at(t), None


class LogNormal(Uniform):
    """log sigma normal: most of the work at middle noise. EDM (arXiv:2206.00364), table 1. t is sigma itself; no weights."""

    each_row_alone = True

    def __init__(self, mean=-1.2, std=1.2):
        self.mean, self.std, self.real = float(mean), float(std), True

    def __call__(self, rng, B):
        z = rng.standard_normal(B, dtype=np.float64)
        return math.e ** (self.mean + self.std * z), None


class ByLoss(Uniform):
    """t in proportion to the root mean square of its last losses. Nichol and Dhariwal 2021 (arXiv:2102.09672), section 3.3.

    Uniform until every t has `history` losses; after that a share of `uniform_share` stays uniform. Whole t only.
    The losses come to the host, which waits for the device once a step.
    """

    waits = True

    def __init__(self, schedule, history=10, uniform_share=0.001):
        low, high, real = time_range(schedule, False)
        if real:
            raise ValueError("t sampling by loss keeps one history a step: it needs a Schedule, not a continuous process")
        self.low, self.high, self.real, self.uniform_share = low, high, False, float(uniform_share)
        self.losses = np.zeros((high + 1, history))
        self.counts = np.zeros(high + 1, dtype=np.int64)

    def probabilities(self):
        """How likely each t is.   -> float64 (T,)"""
        T, history = self.losses.shape
        if not (self.counts == history).all():
            return np.full(T, 1 / T)
        p = np.sqrt((self.losses**2).mean(axis=1))
        if not p.sum() > 0:
            return np.full(T, 1 / T)
        return (1 - self.uniform_share) * p / p.sum() + self.uniform_share / T

    def __call__(self, rng, B):
        p, u = self.probabilities(), rng.random(B, dtype=np.float64)
        t = np.searchsorted(np.cumsum(p)[:-1], to_numpy(u), side="right")  # (B,)
        weight = 1 / (len(p) * p[t])
        xp = xp_of(u)
        return xp.asarray(t), xp.asarray(weight)

    def update(self, t, losses):
        """Remember each loss under its t, the oldest forgotten.   t, losses (B,)"""
        for step, loss in zip(to_numpy(t).tolist(), to_numpy(losses).tolist(), strict=True):
            if self.counts[step] == self.losses.shape[1]:
                self.losses[step, :-1] = self.losses[step, 1:]
                self.losses[step, -1] = loss
            else:
                self.losses[step, self.counts[step]] = loss
                self.counts[step] += 1

    def state(self):
        """{"losses": (T, history), "counts": (T,)}, copies."""
        return {"losses": self.losses.copy(), "counts": self.counts.copy()}

    def load_state(self, state):
        """Take over what `state` returned. Raises ValueError when it is another T's or history's."""
        losses, counts = to_numpy(state["losses"]), to_numpy(state["counts"])
        if losses.shape != self.losses.shape:
            raise ValueError(f"losses: got shape {losses.shape}, expected {self.losses.shape}")
        self.losses[...], self.counts[...] = losses, counts


class Drawn(Uniform):
    """Any function (rng, B) -> (t, weight or None) as a t sampler."""

    def __init__(self, draw):
        self.draw = draw

    def __call__(self, rng, B):
        return self.draw(rng, B)


T_SAMPLERS = {"uniform": Uniform, "stratified": Stratified, "loss": ByLoss, "logit_normal": LogitNormal, "mode": Mode}
NAMES = {kind: name for name, kind in T_SAMPLERS.items()}


def draws_each_row_alone(thing):
    """Whether the class of this loss or t sampler sets each_row_alone. A subclass does not inherit it: it may pair rows."""
    return vars(type(thing)).get("each_row_alone", False)


def make_t_sampler(t_sampler, schedule, real=False):
    """A t sampler from its name in T_SAMPLERS, from a function (rng, B) -> (t, weight), or itself."""
    if callable(t_sampler):
        return t_sampler if hasattr(t_sampler, "update") else Drawn(t_sampler)
    check_choice("t_sampler", t_sampler, T_SAMPLERS)
    if t_sampler == "loss":
        if real:
            raise ValueError("t_sampler 'loss' keeps one history a step and cannot draw real-valued t")
        return ByLoss(schedule)
    return T_SAMPLERS[t_sampler](schedule, real)


def time_range(schedule, real):
    """(lowest t, highest t, whether t is real-valued) of a Schedule or a process."""
    if hasattr(schedule, "betas"):
        return 0, schedule.T - 1, bool(real)
    return schedule.t_min, schedule.t_max, True
