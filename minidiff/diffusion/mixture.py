"""A mixture of Gaussians: data whose score, density and best denoiser are known at every noise level.

    p(x0) = sum_k w_k N(m_k, C_k)      =>      p(x_t) = sum_k w_k N(alpha m_k, alpha^2 C_k + sigma^2 I)

Nothing has to be trained to test a sampler, a likelihood or guidance on it: the truth is on this page.
"""

import math

import numpy as np

from ..backend import xp_of
from ..complex_step import cast
from ..rng import as_rng
from .denoiser import Denoiser


class GaussianMixture:
    """K Gaussians on arrays of any shape.

    means     (K, *shape)
    stds      a number, (K,), or (K, *shape): standard deviations, for covariances that are diagonal
    covs      (K, D, D), D the product of `shape`: full covariances, in place of stds
    weights   (K,), positive; scaled to sum to 1. None: all equal
    labels    (K,) whole numbers, the class of each component; None: 0 .. K - 1, a class each

    Conditions are labels, a whole number or (B,); -1 means "any" and is the null condition.
    """

    def __init__(self, means, stds=None, covs=None, weights=None, labels=None):
        means = np.asarray(means, dtype=np.float64)
        if means.ndim < 2:
            raise ValueError(f"means: got shape {means.shape}, expected (K, *shape)")
        self.shape, K = means.shape[1:], len(means)
        self.means = means.reshape(K, -1)  # (K, D)
        D = self.means.shape[1]
        if (stds is None) == (covs is None):
            raise ValueError("stds, covs: expected exactly one of them")
        if covs is None:
            stds = np.asarray(stds, dtype=np.float64)
            stds = stds.reshape(K, -1) if stds.ndim else stds  # (K, 1) or (K, D)
            self.variances, self.axes = np.broadcast_to(stds**2, (K, D)), None
        else:
            covs = np.asarray(covs, dtype=np.float64)
            if covs.shape != (K, D, D):
                raise ValueError(f"covs: got shape {covs.shape}, expected {(K, D, D)}")
            self.variances, self.axes = np.linalg.eigh(covs)  # (K, D) and (K, D, D), an axis a column
        if not (self.variances >= 0).all():
            raise ValueError("stds, covs: a variance is negative")
        weights = np.ones(K) if weights is None else np.asarray(weights, dtype=np.float64)
        if weights.shape != (K,) or not (weights > 0).all():
            raise ValueError(f"weights: got {weights}, expected {K} positive numbers")
        self.weights = weights / weights.sum()
        self.labels = np.arange(K) if labels is None else np.asarray(labels, dtype=np.int64)
        if self.labels.shape != (K,):
            raise ValueError(f"labels: got shape {self.labels.shape}, expected {(K,)}")

    # ---- data ----------------------------------------------------------------------------------------------------------

    def sample(self, rng, n, dtype=np.float64, with_labels=False):
        """n draws.   -> (n, *shape), and with_labels also their labels (n,)"""
        rng = as_rng(rng)
        u = rng.random(n, dtype=np.float64)
        z = rng.standard_normal((n, self.means.shape[1]), dtype=np.float64)
        xp = xp_of(u)
        k = xp.searchsorted(xp.asarray(np.cumsum(self.weights)[:-1]), u, side="right")  # (n,)
        x = z * xp.asarray(np.sqrt(self.variances))[k]
        if self.axes is not None:
            x = xp.einsum("nij,nj->ni", xp.asarray(self.axes)[k], x)
        x = (x + xp.asarray(self.means)[k]).astype(dtype).reshape(n, *self.shape)
        return (x, xp.asarray(self.labels)[k]) if with_labels else x

    # ---- at a noise level ------------------------------------------------------------------------------------------------

    def log_prob(self, x, alpha=1.0, sigma=0.0, cond=None):
        """log p(x_t), in nats.   x (B, *shape)   alpha, sigma: numbers or (B,)   ->   (B,)"""
        return self._components(x, alpha, sigma, cond)[0]

    def score(self, x, alpha=1.0, sigma=0.0, cond=None):
        """Gradient of log p(x_t) by x_t.   ->   of x's shape"""
        _, share, pull, _, _ = self._components(x, alpha, sigma, cond)
        return (share[:, :, None] * pull).sum(axis=1).reshape(x.shape)  # (B, K, D) -> (B, *shape)

    def hessian_product(self, x, v, alpha=1.0, sigma=0.0, cond=None):
        """(Hessian of log p(x_t) by x_t) times v.   x, v (B, *shape)   ->   (B, *shape)"""
        _, share, pull, _, total = self._components(x, alpha, sigma, cond)
        v = v.reshape(len(x), 1, -1)  # (B, 1, D)
        share = share[:, :, None]  # (B, K, 1)
        score = (share * pull).sum(axis=1, keepdims=True)  # (B, 1, D)
        within = share * (pull * (pull * v).sum(axis=2, keepdims=True) - self._along_axes(v, lambda p: p / total))
        return (within.sum(axis=1) - (score * (score * v).sum(axis=2, keepdims=True))[:, 0]).reshape(x.shape)

    def x0_mean(self, x, alpha, sigma, cond=None):
        """E[x0 | x_t], the best denoiser there can be (Tweedie).   ->   of x's shape"""
        xp = xp_of(x)
        _, share, pull, alpha, _ = self._components(x, alpha, sigma, cond)
        means, variances = xp.asarray(self.means).astype(x.dtype), xp.asarray(self.variances).astype(x.dtype)
        moved = self._along_axes(pull, lambda p: variances * p)
        # E[x0 | x_t, k] = m_k + alpha C_k (alpha^2 C_k + sigma^2 I)^-1 (x_t - alpha m_k), pull = minus the last two
        return (share[:, :, None] * (means - alpha * moved)).sum(axis=1).reshape(x.shape)

    def responsibilities(self, x, alpha=1.0, sigma=0.0):
        """p(component | x_t).   ->   (B, K)"""
        return self._components(x, alpha, sigma, None)[1]

    def _components(self, x, alpha, sigma, cond):
        """log p (B,), responsibilities (B, K), each component's score (B, K, D), alpha ready to multiply these,
        and each component's variances along its own axes (K or B, K, D)."""
        xp, B = xp_of(x), len(x)
        alpha, sigma = (_column(c, x) for c in (alpha, sigma))  # numbers, or (B, 1, 1)
        means, variances = xp.asarray(self.means).astype(x.dtype), xp.asarray(self.variances).astype(x.dtype)
        away = x.reshape(B, 1, -1) - alpha * means  # (B, K, D)
        total = alpha * alpha * variances + sigma * sigma  # (K, D) or (B, K, D)
        pull = self._along_axes(away, lambda a: -a / total)
        if self.axes is not None:
            away = xp.einsum("kij,bki->bkj", xp.asarray(self.axes).astype(x.dtype), away)
        log_p = -0.5 * (away * away / total + xp.log(2 * math.pi * total)).sum(axis=2)  # (B, K)
        log_p = log_p + self._log_weights(xp, cond, B).astype(x.dtype)
        top = log_p.max(axis=1, keepdims=True)
        share = xp.exp(log_p - top)
        log_sum = top[:, 0] + xp.log(share.sum(axis=1))
        return log_sum, share / share.sum(axis=1, keepdims=True), pull, alpha, total

    def _along_axes(self, vectors, f):
        """f applied in each component's own axes.   vectors (B, K or 1, D)   ->   (B, K, D)"""
        if self.axes is None:
            return f(vectors)
        xp = xp_of(vectors)
        axes = xp.asarray(self.axes).astype(vectors.dtype)
        vectors = xp.broadcast_to(vectors, (len(vectors), *self.means.shape))
        return xp.einsum("kij,bkj->bki", axes, f(xp.einsum("kij,bki->bkj", axes, vectors)))

    def _log_weights(self, xp, cond, B):
        log_w = np.log(self.weights)
        if cond is None:
            return xp.asarray(log_w)
        labels, log_w = xp.asarray(self.labels), xp.asarray(log_w)
        cond = xp.asarray(cond).reshape(-1, 1)  # (1, 1) or (B, 1)
        chosen = xp.where((cond == labels) | (cond < 0), log_w, -math.inf)  # (., K)
        top = chosen.max(axis=1, keepdims=True)
        return chosen - top - xp.log(xp.exp(chosen - top).sum(axis=1, keepdims=True))

    # ---- others made from this one -----------------------------------------------------------------------------------------

    def given(self, label):
        """p(x | label): the mixture of that label's components."""
        keep = self.labels == label
        if not keep.any():
            raise ValueError(f"label: got {label}, expected one of {sorted(set(self.labels.tolist()))}")
        return self._like(self.means[keep], keep, self.weights[keep])

    def tilted(self, b):
        """The mixture with density in proportion to p(x) exp(b . x).   b of one sample's shape

        Means move by C_k b, and component k gains the factor exp(b . m_k + b . C_k b / 2).
        """
        b = np.asarray(b, dtype=np.float64).reshape(-1)  # (D,)
        if self.axes is None:
            shift = self.variances * b
        else:
            shift = np.einsum("kij,kj,klj,l->ki", self.axes, self.variances, self.axes, b)
        gain = self.means @ b + 0.5 * shift @ b  # (K,)
        return self._like(self.means + shift, slice(None), self.weights * np.exp(gain - gain.max()))

    def _like(self, means, keep, weights):
        other = object.__new__(GaussianMixture)
        other.shape, other.means, other.weights, other.labels = self.shape, means, weights / weights.sum(), self.labels[keep]
        other.variances, other.axes = self.variances[keep], None if self.axes is None else self.axes[keep]
        return other

    # ---- as a model ----------------------------------------------------------------------------------------------------------

    def model(self, schedule):
        """The perfect network: (x, t, cond) -> eps, with `null_cond`."""
        return MixtureModel(self, schedule)

    def denoiser(self, schedule):
        """The perfect denoiser for this data under a schedule or a continuous process."""
        return Denoiser(self.model(schedule), schedule, "eps")


class MixtureModel:
    """What a network with nothing left to learn would answer: eps = -sigma score."""

    def __init__(self, mixture, schedule):
        self.mixture, self.schedule = mixture, schedule

    def predict(self, x, t, cond=None):
        """eps, of x's shape."""
        alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
        return -_column(sigma, x, x.ndim) * self.mixture.score(x, alpha, sigma, cond)

    def __call__(self, x, t, cond=None):
        """(eps, back), back(deps) -> dx: what a Layer gives, by the exact Hessian."""
        alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)

        def back(deps):
            return self.mixture.hessian_product(x, -_column(sigma, x, x.ndim) * deps, alpha, sigma, cond)

        return self.predict(x, t, cond), back

    def null_cond(self, cond):
        """-1, "any label", in the shape of cond."""
        return -1 if np.ndim(cond) == 0 else xp_of(cond).full_like(cond, -1)


def _column(c, x, ndim=3):
    return c if np.ndim(c) == 0 else cast(c, x.dtype).reshape((-1,) + (1,) * (ndim - 1))
