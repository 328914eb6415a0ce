"""The noise schedule: how much signal is left at each timestep. It is fixed in advance and not predicted by the network.

    x_t = alpha(t) x0 + sigma(t) eps,   alpha(t)**2 = alpha_bar[t],   sigma(t)**2 = 1 - alpha_bar[t]

Ho et al. 2020 (arXiv:2006.11239), equation 4. Steps count from 0 (nearly clean) to T - 1 (nearly pure noise).
"""

import math
from dataclasses import dataclass

import numpy as np

from ..backend import xp_of
from ..complex_step import cast, is_complex
from ..names import check_choice

FLOOR = -60.0  # where the curve ends for real-valued t when the last step is pure noise: alpha is 1e-13 there
NAMES = ("linear", "scaled_linear", "quadratic", "cosine", "sigmoid")


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

    def __reduce__(self):  # copied and pickled without the tables, which lie on devices
        return type(self), (self.betas, self.name)

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
    def linear(cls, T=1000, beta_start=1e-4, beta_end=0.02, scale_to_T=False):
        """Betas on a straight line. DDPM, section 4.

        The defaults belong to T = 1000. scale_to_T multiplies the betas by 1000 / T (none above 0.999), so that any T
        ends at about the same noise: Nichol and Dhariwal 2021 (arXiv:2102.09672), their code.
        """
        _check(T, beta_start, beta_end)
        return cls(_scaled(np.linspace(beta_start, beta_end, T), scale_to_T), "linear")

    @classmethod
    def scaled_linear(cls, T=1000, beta_start=0.00085, beta_end=0.012, scale_to_T=False):
        """Square roots of the betas on a straight line, as latent diffusion has them (arXiv:2112.10752)."""
        _check(T, beta_start, beta_end)
        return cls(_scaled(np.linspace(beta_start**0.5, beta_end**0.5, T) ** 2, scale_to_T), "scaled_linear")

    @classmethod
    def quadratic(cls, T=1000, beta_start=1e-4, beta_end=0.02, scale_to_T=False):
        """Square roots of the betas on a straight line: `scaled_linear` by its older name, with DDPM's ends (their code)."""
        _check(T, beta_start, beta_end)
        return cls(_scaled(np.linspace(beta_start**0.5, beta_end**0.5, T) ** 2, scale_to_T), "quadratic")

    @classmethod
    def sigmoid(cls, T=1000, beta_start=1e-4, beta_end=0.02, span=6.0, scale_to_T=False):
        """Betas on an S from -span to span: slow, fast, slow. GeoDiff (arXiv:2203.02923), as diffusers has it."""
        _check(T, beta_start, beta_end)
        s = 1.0 / (1.0 + np.exp(-np.linspace(-span, span, T)))
        return cls(_scaled(beta_start + (beta_end - beta_start) * s, scale_to_T), "sigmoid")

    @classmethod
    def cosine(cls, T=1000, s=0.008, max_beta=0.999):
        """alpha_bar = cos^2 of a straight line. Nichol and Dhariwal 2021 (arXiv:2102.09672), equation 17."""
        _check(T)
        f = [math.cos((i / T + s) / (1 + s) * math.pi / 2) ** 2 for i in range(T + 1)]
        return cls(np.minimum(1.0 - np.array(f[1:]) / np.array(f[:-1]), max_beta), "cosine")

    @classmethod
    def named(cls, name, T=1000, **options):
        """The schedule of this name: "linear", "scaled_linear", "quadratic", "cosine" or "sigmoid".

        Raises ValueError for another name, with the nearest ones.
        """
        check_choice("schedule", name, NAMES)
        return getattr(cls, name)(T, **options)

    def rescale_zero_terminal_snr(self):
        """This schedule shifted and stretched until its last step is pure noise.

        Lin et al. 2024 (arXiv:2305.08891), algorithm 1. alpha_bar[0] stays, alpha_bar[T - 1] becomes 0. There eps does not
        determine x0: train and sample with v or x0.
        """
        if self.T < 2:
            raise ValueError("T: got 1; one step cannot be both the nearly clean first and the pure noise last")
        alpha = np.sqrt(self.alpha_bar)
        alpha = (alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])
        alpha_bar = alpha**2
        return type(self)(1.0 - np.append(alpha_bar[0], alpha_bar[1:] / alpha_bar[:-1]), f"{self.name}_zero_terminal_snr")

    # ---- the curve -----------------------------------------------------------------------------------------------------

    def alpha(self, t):
        """Share of x0 in x_t.   t whole or real in [0, T - 1], scalar or array   ->   float or array of t's shape.

        In complex numbers (`gradcheck.jvp`) the slope at a step is that of the stretch after it, at the last one before it.
        """
        return self._at("alpha", t)

    def sigma(self, t):
        """Standard deviation of the noise in x_t.   t as in `alpha`."""
        return self._at("sigma", t)

    def log_snr(self, t):
        """log(alpha^2 / sigma^2); falls as t grows. Real-valued t is interpolated on this curve, linearly."""
        return self._at("log_snr", t)

    def t_of_log_snr(self, log_snr):
        """The real-valued t at which the curve has this log-SNR; held to [0, T - 1]. The inverse of `log_snr`."""
        xp = xp_of(log_snr)
        curve, steps = self._table("curve", xp), xp.arange(self.T, dtype=np.float64)
        level = xp.asarray(log_snr.real, dtype=np.float64)
        t = xp.interp(-level, -curve, steps)
        if is_complex(log_snr):  # a derivative: one over the curve's slope, 0 beyond its ends
            low = xp.clip(xp.floor(t), 0, max(self.T - 2, 0)).astype(np.int64)
            inside = (level <= curve[0]) & (level >= curve[-1])
            slope = xp.where(inside, curve[xp.minimum(low + 1, self.T - 1)] - curve[low], -np.inf)
            t = t + 1j * (log_snr.imag / slope)
        return t.item() if np.ndim(log_snr) == 0 else t

    def add_noise(self, x0, eps, t):
        """x_t = alpha(t) x0 + sigma(t) eps.   x0, eps (B, ...)   t scalar or (B,)   ->   (B, ...), x0's dtype. Equation 4."""
        return per_sample(self.alpha(t), x0) * x0 + per_sample(self.sigma(t), x0) * eps

    def _log_snr(self):
        with np.errstate(divide="ignore"):  # alpha_bar = 0 is legal at the last step: its log-SNR is -inf
            return np.log(self.alpha_bar) - np.log1p(-self.alpha_bar)

    def _at(self, what, t):
        xp, now = xp_of(t), t.real
        scalar, moving = np.ndim(t) == 0, is_complex(t)  # a complex t asks for the slope between two steps
        whole = isinstance(t, (int, np.integer)) or (scalar and not moving and float(t).is_integer())
        if scalar and not 0 <= now <= self.T - 1:
            raise ValueError(f"t: got {t}, expected a step in [0, {self.T - 1}] of this schedule of T = {self.T}")
        if scalar and whole:
            return float(self._table(what, np)[int(t)])
        if not scalar and t.dtype.kind in "iu":
            if xp is np and t.size and not (0 <= t.min() and t.max() < self.T):  # on a device the check would synchronise
                raise ValueError(f"t: got {t.min()} to {t.max()}, expected steps in [0, {self.T - 1}]")
            return self._table(what, xp)[t]
        last = max(self.T - 2, 0)  # the last step belongs to the stretch before it
        low = min(int(now), last) if scalar else xp.clip(xp.floor(now), 0, last).astype(np.int64)
        if not scalar and xp is np and t.size and not (0 <= now.min() and now.max() <= self.T - 1):
            raise ValueError(f"t: got {now.min()} to {now.max()}, expected times in [0, {self.T - 1}]")
        curve = self._table("curve", np if scalar else xp)
        high = min(low + 1, self.T - 1) if scalar else xp.minimum(low + 1, self.T - 1)
        log_snr = curve[low] + (t - low) * (curve[high] - curve[low])
        if what == "log_snr":
            return log_snr.item() if scalar else log_snr
        square = 1.0 / (1.0 + (np if scalar else xp).exp(-log_snr if what == "alpha" else log_snr))
        return square.item() ** 0.5 if scalar else xp.sqrt(square)

    def _table(self, what, xp):
        """alpha, sigma, log_snr, or the curve between steps; float64 (T,), on xp's device, uploaded once."""
        if (what, xp) not in self._tables:
            if what in ("alpha", "sigma"):
                table = np.sqrt(self.alpha_bar if what == "alpha" else 1.0 - self.alpha_bar)
            else:
                table = self._log_snr() if what == "log_snr" else np.maximum(self._log_snr(), FLOOR)
            self._tables[what, xp] = xp.asarray(table)
        return self._tables[what, xp]

    def __repr__(self):
        return f"Schedule.{self.name}(T={self.T}, beta {self.betas[0]:.2g} to {self.betas[-1]:.2g})"


def per_sample(coefficient, x):
    """A coefficient that multiplies x (B, ...) from the left without changing its dtype: a Python float as it is,
    an array (B,) as (B, 1, ..., 1) in x's dtype."""
    if np.ndim(coefficient) == 0:
        return coefficient
    return cast(coefficient, x.dtype).reshape((-1,) + (1,) * (x.ndim - 1))


def _scaled(betas, scale_to_T):
    return np.minimum(betas * (1000 / len(betas)), 0.999) if scale_to_T else betas


def _check(T, beta_start=1e-4, beta_end=0.02):
    if not isinstance(T, (int, np.integer)) or T < 1:
        raise ValueError(f"T: got {T!r}, expected a whole number of steps, at least 1")
    if not 0 < beta_start <= beta_end <= 1:
        raise ValueError(f"beta_start, beta_end: got {beta_start}, {beta_end}, expected 0 < beta_start <= beta_end <= 1")
