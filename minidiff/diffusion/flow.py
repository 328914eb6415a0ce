"""Flow matching: processes that are paths between data and noise, x_t = alpha(t) x0 + sigma(t) eps for any alpha and sigma.

    Flow    x_t = (1 - t) x0 + t eps        a straight line, along which dx_t / dt = eps - x0 is constant

Lipman et al. 2023 (arXiv:2210.02747), where this is the conditional optimal-transport path; Liu et al. 2023
(arXiv:2209.03003), rectified flow; Albergo and Vanden-Eijnden 2023 (arXiv:2209.15571), interpolants. Time runs as in the
other processes of this package, from data at t = 0 to noise at t = 1; the first and the last of these papers count the other
way. A network that `predicts="velocity"` predicts eps - x0.
"""

import numpy as np

from ..complex_step import is_complex
from .continuous import Process

HALVINGS = 60  # of [t_min, t_max] in the search for a log-SNR: to rounding
STEP = 1e-100  # of a derivative along the imaginary axis


class Flow(Process):
    """Rectified flow: alpha = 1 - t, sigma = t, t in [1e-5, 1]; pure noise at t = 1.

    shift   moves the times of training and sampling towards the noise, for large images, in which neighbouring pixels are
            alike and the same noise hides less: t = shift u / (1 + (shift - 1) u) for u uniform. 1 leaves them as they are.
            Esser et al. 2024 (arXiv:2403.03206), equation 23; Stable Diffusion 3 has 3. The network is given t
    """

    def __init__(self, shift=1.0):
        if not 0 < shift < np.inf:
            raise ValueError(f"shift: got {shift}, expected a finite number > 0")
        self.shift = float(shift)

    def shifted(self, u):
        """The time at the uniform time u.   u a number or an array in [0, 1]   ->   of u's shape"""
        return self.shift * u / (1 + (self.shift - 1) * u)

    def log_snr(self, t):
        """2 log((1 - t) / t); -inf at t = 1."""
        return self._answer(lambda xp, t: 2 * (xp.log1p(-t) - xp.log(t)), t)

    def _alpha(self, xp, t):
        return 1 - t

    def _sigma(self, xp, t):
        return t

    def _f(self, xp, t):
        return -1 / (1 - t)

    def _g(self, xp, t):
        return xp.sqrt(2 * t / (1 - t))

    def _t_of_log_snr(self, xp, log_snr):
        return 1 / (1 + xp.exp(log_snr / 2))

    def _answer(self, formula, t):
        with np.errstate(divide="ignore"):  # at t = 1 the log-SNR is -inf, f is -inf and g is inf
            return super()._answer(formula, t)


class Interpolant(Process):
    """The process of two functions:   Interpolant(lambda t: np.cos(np.pi / 2 * t), lambda t: np.sin(np.pi / 2 * t))

    alpha, sigma   functions of an array t, made of analytic functions of its module; alpha / sigma falls from t_min to t_max
    t_min, t_max   the ends; alpha may be 0 at t_max

    Their derivatives are taken by complex steps, so f and g take real t alone. Raises ValueError for functions that are
    negative, not finite or do not fall.
    """

    def __init__(self, alpha, sigma, t_min=1e-5, t_max=1.0):
        if not t_min < t_max:
            raise ValueError(f"t_min, t_max: got {t_min}, {t_max}, expected t_min < t_max")
        self._functions, self.t_min, self.t_max = (alpha, sigma), float(t_min), float(t_max)
        t = np.linspace(self.t_min, self.t_max, 257)
        for name, values in (("alpha", np.asarray(alpha(t))), ("sigma", np.asarray(sigma(t)))):
            if values.shape not in (t.shape, ()) or not (values >= -1e-12).all() or not np.isfinite(values).all():
                raise ValueError(f"{name}: got {name}(t) = {values} for t of shape {t.shape}, expected finite numbers >= 0, "
                                 "one for each t")  # fmt: skip
        level = sigma(t) / (alpha(t) + sigma(t))
        if not (np.diff(level) > 0).all():
            raise ValueError("alpha, sigma: got a ratio alpha / sigma that does not fall from t_min to t_max")

    def _alpha(self, xp, t):
        return self._functions[0](t) + xp.zeros_like(t)

    def _sigma(self, xp, t):
        return self._functions[1](t) + xp.zeros_like(t)

    def _slopes(self, xp, t):
        """(d alpha / dt, d sigma / dt)."""
        if is_complex(t):
            raise TypeError("t: got a complex number, expected a real one: the derivatives of an Interpolant are not "
                            "differentiated again")  # fmt: skip
        return (f(xp, t + 1j * STEP).imag / STEP for f in (self._alpha, self._sigma))

    def _f(self, xp, t):
        dalpha, _ = self._slopes(xp, t)
        return dalpha / self._alpha(xp, t)

    def _g(self, xp, t):
        dalpha, dsigma = self._slopes(xp, t)
        alpha, sigma = self._alpha(xp, t), self._sigma(xp, t)
        return xp.sqrt(2 * sigma * (dsigma - dalpha / alpha * sigma))

    def _t_of_log_snr(self, xp, log_snr):
        level = 1 / (1 + xp.exp(log_snr.real / 2))  # sigma / (alpha + sigma), which rises with t
        low, high = xp.full_like(level, self.t_min), xp.full_like(level, self.t_max)
        for _ in range(HALVINGS):
            t = (low + high) / 2
            alpha, sigma = self._alpha(xp, t), self._sigma(xp, t)
            below = sigma < level * (alpha + sigma)
            low, high = xp.where(below, t, low), xp.where(below, high, t)
        t = (low + high) / 2
        if not is_complex(log_snr):
            return t
        dalpha, dsigma = self._slopes(xp, t)
        slope = 2 * (dalpha / self._alpha(xp, t) - dsigma / self._sigma(xp, t))
        return t + 1j * log_snr.imag / slope

    def __repr__(self):
        return f"Interpolant(t_min={self.t_min:g}, t_max={self.t_max:g})"
