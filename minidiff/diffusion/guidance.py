"""Guidance: pushing samples towards a condition. A guided denoiser is a denoiser."""

import math

import numpy as np

from ..backend import xp_of
from ..tree import tree_map
from .denoiser import Denoiser, from_x0_eps, to_x0_eps
from .edm import EDMDenoiser
from .schedule import per_sample
from .thresholding import inside_thresholds
from .wrapper import Wrapper

ROWS, FEW = 16, 1 << 14  # samples, and their numbers, up to which one call of both halves takes less time, and little memory


def cfg(denoiser, cond, weight, null=None, rescale=0.0, interval=None):
    """Classifier-free guidance:   eps = (1 + w) eps(cond) - w eps(null).   Ho and Salimans 2022 (arXiv:2207.12598), eq. 6.

    cond      what to guide to, as the model takes it; a sampler then calls the guided denoiser without one
    weight    w: a number, or (B,) for one a sample. 0 is the plain conditional model, -1 the unconditional one.
              (The "guidance scale" of Imagen and Stable Diffusion is 1 + w.)
    null      the "no condition"; None asks the model: denoiser.null_cond(cond)
    rescale   0 to 1: how far the guided output's standard deviation, a sample, is drawn back to the conditional
              one's. Lin et al. 2024 (arXiv:2305.08891), section 3.4; they use 0.7
    interval  (low, high): guide only while low <= t <= high. Kynkäänniemi et al. 2024 (arXiv:2404.07724)

    Two network calls a step, or one with both halves as a batch where there are few samples; half of it where only one side
    counts. A denoiser that is clipped or thresholded stays so: the
    guided x0 is held, not the two that it is made of. Raises ValueError before any call, also when the model was trained
    without a "no condition".
    """
    return inside_thresholds(denoiser, lambda inner: Guided(inner, cond, weight, null, rescale, interval))


class Guided(Wrapper):
    """See `cfg`."""

    def __init__(self, denoiser, cond, weight, null=None, rescale=0.0, interval=None):
        super().__init__(denoiser)
        if cond is None:
            raise ValueError("cond: got None, expected the condition to guide to")
        if np.ndim(weight) == 0 and not math.isfinite(weight):
            raise ValueError(f"weight: got {weight}, expected a finite number")
        if not 0 <= rescale <= 1:
            raise ValueError(f"rescale: got {rescale}, expected a number from 0 to 1")
        if interval is not None and not (len(interval) == 2 and interval[0] <= interval[1]):
            raise ValueError(f"interval: got {interval}, expected (low, high) in the schedule's t, low <= high")
        if null is None:
            null = denoiser.null_cond(cond) if hasattr(denoiser, "null_cond") else None
        if null is None:
            raise ValueError(
                "null: this model has no 'no condition' to guide away from: train it with conditions dropped at random "
                "(cond_dropout), or pass null="
            )
        self.cond, self.null, self.weight, self.rescale, self.interval = cond, null, weight, rescale, interval
        self._joined = {}

    def __call__(self, x, t, cond=None):
        return self.predict(x, t, cond)[:2]

    def predict(self, x, t, cond=None):
        """(x0, eps, variance share); the share, where the model learned one, is the conditional model's."""
        if cond is not None:
            raise ValueError("cond: this guided denoiser already has a condition; call it, and samplers, without cond")
        inside = self.interval is None or self.interval[0] <= t <= self.interval[1]
        w = self.weight if inside else 0.0
        if np.ndim(w) == 0 and w == 0:
            return self._ask(x, t, self.cond)
        if np.ndim(w) == 0 and w == -1:
            return self._ask(x, t, self.null)
        (x0_null, eps_null, _), (x0_cond, eps_cond, share) = self._ask_both(x, t)
        w = per_sample(w, x)
        eps = (1 + w) * eps_cond - w * eps_null
        x0 = (1 + w) * x0_cond - w * x0_null  # the same statement about x0, and sound where alpha(t) is 0
        if self.rescale:
            x0, eps = self._rescaled(x0, eps, x0_cond, eps_cond, x, t)
        return x0, eps, share

    def eps_back(self, x, t, cond=None):
        """(eps, back) as `Denoiser.eps_back`, without rescaling."""
        if self.rescale:
            raise TypeError("a guided denoiser with rescale has no backward pass")
        w = self.weight if self.interval is None or self.interval[0] <= t <= self.interval[1] else 0.0
        w = per_sample(w, x)
        eps_cond, back_cond = self.denoiser.eps_back(x, t, self.cond)
        eps_null, back_null = self.denoiser.eps_back(x, t, self.null)

        def back(deps):
            return back_cond((1 + w) * deps) - back_null(w * deps)

        return (1 + w) * eps_cond - w * eps_null, back

    def _ask(self, x, t, cond):
        if hasattr(self.denoiser, "predict"):
            return self.denoiser.predict(x, t, cond)
        return *self.denoiser(x, t, cond), None

    def _ask_both(self, x, t):
        """What the denoiser answers to the null condition, and to the condition."""
        both = self._as_one(len(x)) if x.size <= FEW and len(x) <= ROWS else None
        if both is None:
            return self._ask(x, t, self.null), self._ask(x, t, self.cond)
        concatenate, n = xp_of(x).concatenate, len(x)
        answer = self._ask(concatenate([x, x]), t if np.ndim(t) == 0 else concatenate([t, t]), both)
        return tuple([None if part is None else part[rows] for part in answer] for rows in (slice(0, n), slice(n, 2 * n)))

    def _as_one(self, n):
        """The null conditions of n samples above their conditions; None where they have to be asked one after the other."""
        if n not in self._joined:
            model = self.denoiser.model if type(self.denoiser) in (Denoiser, EDMDenoiser) else None
            alone = hasattr(model, "parameters") or getattr(model, "each_row_alone", False)
            alike = alone and _alike(self.null, self.cond, n)
            self._joined[n] = tree_map(lambda *pair: xp_of(*pair).concatenate(pair), self.null, self.cond) if alike else None
        return self._joined[n]

    def _rescaled(self, x0, eps, x0_cond, eps_cond, x, t):
        predicts = getattr(self.denoiser, "predicts", "eps")  # the paper rescales what the network puts out
        alpha, sigma = per_sample(self.schedule.alpha(t), x), per_sample(self.schedule.sigma(t), x)
        out = from_x0_eps(x0, eps, alpha, sigma, predicts)
        out_cond = from_x0_eps(x0_cond, eps_cond, alpha, sigma, predicts)
        axes = tuple(range(1, x.ndim))
        matched = out * (_deviation(out_cond, axes) / _deviation(out, axes))
        return to_x0_eps(self.rescale * matched + (1 - self.rescale) * out, x, alpha, sigma, predicts)


def _alike(a, b, n):
    """Whether two conditions are arranged alike, of arrays with n rows each."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(_alike(a[key], b[key], n) for key in a)
    if isinstance(a, (tuple, list)):
        return type(a) is type(b) and len(a) == len(b) and all(map(_alike, a, b, [n] * len(a)))
    if a is None or b is None:
        return a is b
    if type(a) is not type(b) or np.ndim(a) == 0:
        return False
    return (a.shape, a.dtype, len(a)) == (b.shape, b.dtype, n)


def _deviation(x, axes):
    """Standard deviation, analytic in x as NumPy's is not."""
    away = x - x.mean(axis=axes, keepdims=True)
    return xp_of(x).sqrt((away * away).mean(axis=axes, keepdims=True))


def classifier_guidance(denoiser, gradient, weight):
    """Guidance by a classifier:   eps - w sigma(t) grad log p(y | x_t).   Dhariwal and Nichol 2021 (arXiv:2105.05233), alg. 2.

    gradient   (x, t) -> gradient of log p(y | x_t) by x, of x's shape (see `classifier_gradient`)
    weight     w: a number, or (B,) for one a sample
    A denoiser that is clipped or thresholded stays so: the guided x0 is held. Raises ValueError where alpha(t) = 0: pure
    noise has no class to be pushed to.
    """
    return inside_thresholds(denoiser, lambda inner: ClassifierGuided(inner, gradient, weight))


class ClassifierGuided(Wrapper):
    """See `classifier_guidance`."""

    def __init__(self, denoiser, gradient, weight):
        super().__init__(denoiser)
        if not callable(gradient):
            raise TypeError(f"gradient: got {type(gradient).__name__}, expected a function (x, t) -> array of x's shape")
        if np.ndim(weight) == 0 and not math.isfinite(weight):
            raise ValueError(f"weight: got {weight}, expected a finite number")
        self.gradient, self.weight = gradient, weight

    def change(self, x0, eps, x, t):
        alpha, sigma = per_sample(self.schedule.alpha(t), x), per_sample(self.schedule.sigma(t), x)
        if np.ndim(alpha) == 0 and alpha == 0:
            raise ValueError(f"t: got {t}, where alpha is 0: classifier guidance needs some signal; leave that step out")
        push = per_sample(self.weight, x) * self.gradient(x, t)
        return x0 + (sigma * sigma / alpha) * push, eps - sigma * push


def classifier_gradient(classifier, labels):
    """The function (x, t) -> gradient of log p(label | x) by x, from a classifier.

    classifier   a Layer: classifier(x, t) -> (logits (B, K), back), back(dlogits) -> dx
    labels       (B,) whole numbers
    The backward pass also adds to the classifier's parameter gradients: zero them before training it again.
    """

    def gradient(x, t):
        logits, back = classifier(x, t)
        xp = xp_of(logits)
        p = xp.exp(logits - logits.max(axis=1, keepdims=True))
        p = p / p.sum(axis=1, keepdims=True)
        wanted = (xp.arange(logits.shape[1]) == xp.asarray(labels)[:, None]).astype(logits.dtype)  # (B, K)
        return back(wanted - p)  # d log softmax_y / d logits = onehot(y) - p

    return gradient
