"""The noise schedule: how much of the picture is left at each step. Fixed in advance; the network never predicts it.

    x_t = alpha(t) x0 + sigma(t) eps,   alpha(t)**2 = alpha_bar[t],   sigma(t)**2 = 1 - alpha_bar[t]

Ho et al. 2020 (arXiv:2006.11239), equation 4. Steps count from 0 (nearly clean) to T - 1 (nearly pure noise).
"""

import math
from dataclasses import dataclass

import numpy as np

from ..backend import xp_of


@dataclass(frozen=True, eq=False)
class Schedule:
    """A variance-preserving schedule of T steps; all arrays float64, shape (T,), read-only.

    betas      variance that step t adds, each in (0, 1]
    alphas     1 - betas
    alpha_bar  running product of alphas: the share of variance that is still signal
    name       what it was made by
    """

    betas: np.ndarray
    name: str = "from_betas"

    def __post_init__(self):
        betas = np.array(self.betas, dtype=np.float64)
        if betas.ndim != 1 or betas.size == 0:
            raise ValueError(f"betas: got shape {betas.shape}, expected (T,) with T >= 1")
        if not (np.isfinite(betas).all() and (betas > 0).all() and (betas <= 1).all()):
            raise ValueError(f"betas: got values from {betas.min()} to {betas.max()}, expected all in (0, 1]")
        alphas = 1.0 - betas
        for field, array in (("betas", betas), ("alphas", alphas), ("alpha_bar", np.cumprod(alphas))):
            array.setflags(write=False)
            object.__setattr__(self, field, array)
        object.__setattr__(self, "_tables", {})

    @property
    def T(self):
        """How many steps."""
        return len(self.betas)

    # ---- constructors ------------------------------------------------------------------------------------------------

    @classmethod
    def from_betas(cls, betas, name="from_betas"):
        """Any betas (T,), each in (0, 1]."""
        return cls(betas, name)

    @classmethod
    def linear(cls, T=1000, beta_start=1e-4, beta_end=0.02):
        """Betas on a straight line. DDPM, section 4. The defaults belong to T = 1000."""
        _check(T, beta_start, beta_end)
        return cls(np.linspace(beta_start, beta_end, T), "linear")

    @classmethod
    def scaled_linear(cls, T=1000, beta_start=0.00085, beta_end=0.012):
        """Square roots of the betas on a straight line, as latent diffusion does (arXiv:2112.10752)."""
        _check(T, beta_start, beta_end)
        return cls(np.linspace(beta_start**0.5, beta_end**0.5, T) ** 2, "scaled_linear")

    @classmethod
    def cosine(cls, T=1000, s=0.008, max_beta=0.999):
        """alpha_bar = cos^2 of a straight line. Nichol and Dhariwal 2021 (arXiv:2102.09672), equation 17."""
        _check(T)
        f = [math.cos((i / T + s) / (1 + s) * math.pi / 2) ** 2 for i in range(T + 1)]
        return cls(np.minimum(1.0 - np.array(f[1:]) / np.array(f[:-1]), max_beta), "cosine")

    # ---- the curve -----------------------------------------------------------------------------------------------------

    def alpha(self, t):
        """Share of x0 in x_t.   t whole or real in [0, T - 1], scalar or array   ->   float or array of t's shape."""
        return self._at("alpha", t)

    def sigma(self, t):
        """Standard deviation of the noise in x_t.   t as in `alpha`."""
        return self._at("sigma", t)

    def log_snr(self, t):
        """log(alpha^2 / sigma^2); falls as t grows. Real-valued t is interpolated on this curve, linearly."""
        return self._at("log_snr", t)

    def t_of_log_snr(self, log_snr):
        """The real-valued t at which the curve has this log-SNR; held to [0, T - 1]. The inverse of `log_snr`."""
        curve = self._curve()
        t = np.interp(-np.asarray(log_snr, dtype=np.float64), -curve, np.arange(self.T, dtype=np.float64))
        return float(t) if t.ndim == 0 else t

    def add_noise(self, x0, eps, t):
        """x_t = alpha(t) x0 + sigma(t) eps.   x0, eps (B, ...)   t scalar or (B,)   ->   (B, ...), x0's dtype. Equation 4."""
        return per_sample(self.alpha(t), x0) * x0 + per_sample(self.sigma(t), x0) * eps

    def _curve(self):
        with np.errstate(divide="ignore"):  # alpha_bar = 0 is legal at the last step: its log-SNR is -inf
            return np.log(self.alpha_bar) - np.log1p(-self.alpha_bar)

    def _at(self, what, t):
        xp = xp_of(t)
        scalar = np.ndim(t) == 0
        whole = isinstance(t, (int, np.integer)) or (scalar and float(t).is_integer())
        if scalar and not 0 <= t <= self.T - 1:
            raise ValueError(f"t: got {t}, expected a step in [0, {self.T - 1}] of this schedule of T = {self.T}")
        if scalar and whole:
            return float(self._table(what, np)[int(t)])
        if not scalar and t.dtype.kind in "iu":
            if xp is np and t.size and not (0 <= t.min() and t.max() < self.T):  # on a device the check would synchronise
                raise ValueError(f"t: got {t.min()} to {t.max()}, expected steps in [0, {self.T - 1}]")
            return self._table(what, xp)[t]
        low = np.floor(t) if scalar else xp.floor(t)
        low = int(low) if scalar else xp.clip(low, 0, max(self.T - 2, 0)).astype(np.int64)
        if not scalar and xp is np and t.size and not (0 <= t.min() and t.max() <= self.T - 1):
            raise ValueError(f"t: got {t.min()} to {t.max()}, expected times in [0, {self.T - 1}]")
        curve = self._table("log_snr", np if scalar else xp)
        high = min(low + 1, self.T - 1) if scalar else xp.minimum(low + 1, self.T - 1)
        log_snr = curve[low] + (t - low) * (curve[high] - curve[low])
        if what == "log_snr":
            return float(log_snr) if scalar else log_snr
        square = 1.0 / (1.0 + (np if scalar else xp).exp(-log_snr if what == "alpha" else log_snr))
        return float(square) ** 0.5 if scalar else xp.sqrt(square)

    def _table(self, what, xp):
        """alpha, sigma or log_snr at every whole step, float64 (T,), on xp's device; uploaded once."""
        if (what, xp) not in self._tables:
            if what == "alpha":
                table = np.sqrt(self.alpha_bar)
            else:
                table = np.sqrt(1.0 - self.alpha_bar) if what == "sigma" else self._curve()
            self._tables[what, xp] = xp.asarray(table)
        return self._tables[what, xp]

    def __repr__(self):
        return f"Schedule.{self.name}(T={self.T}, beta {self.betas[0]:.2g} to {self.betas[-1]:.2g})"


def per_sample(coefficient, x):
    """A coefficient that multiplies x (B, ...) from the left without changing its dtype: a Python float as it is,
    an array (B,) as (B, 1, ..., 1) in x's dtype."""
    if np.ndim(coefficient) == 0:
        return coefficient
    return coefficient.astype(x.dtype).reshape((-1,) + (1,) * (x.ndim - 1))


def _check(T, beta_start=1e-4, beta_end=0.02):
    if not isinstance(T, (int, np.integer)) or T < 1:
        raise ValueError(f"T: got {T!r}, expected a whole number of steps, at least 1")
    if not 0 < beta_start <= beta_end <= 1:
        raise ValueError(f"beta_start, beta_end: got {beta_start}, {beta_end}, expected 0 < beta_start <= beta_end <= 1")
