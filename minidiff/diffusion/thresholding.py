"""Clipping and thresholding: holding the predicted x0 to the range of the data.

Data lie in [-1, 1]; early predictions do not, and a sampler that believes them drifts. Both functions take a denoiser and
return one. Like DDPM's and diffusers' code they change x0 and leave eps as the network predicted it; `rederive=True` makes
eps agree with the new x0 again. Samplers that step with eps alone, which would not notice the change, always re-derive it.

The guided x0 is the one to hold: Imagen (arXiv:2205.11487), section 2.3. So `cfg` and `classifier_guidance` of a
thresholded denoiser guide first and threshold last, whichever is applied first.
"""

import copy

from ..complex_step import absolute, clip, quantile
from .schedule import per_sample
from .wrapper import Wrapper


def clip_x0(denoiser, bound=1.0, rederive=False):
    """A denoiser whose x0 is held to [-bound, bound]. DDPM (arXiv:2006.11239), section 3.3 and its code."""
    return Clipped(denoiser, bound, rederive)


def dynamic_threshold(denoiser, quantile=0.995, sample_max_value=None, rederive=False):
    """A denoiser whose x0 is clipped, image by image, to [-s, s] and divided by s. Imagen (arXiv:2205.11487), section 2.3.

    s is the quantile of |x0| over all pixels and channels of one image, at least 1, so unsaturated images do
    not change. sample_max_value is the upper limit of s (None: no limit; diffusers' default is 1, plain clipping).
    """
    return DynamicallyThresholded(denoiser, quantile, sample_max_value, rederive)


def inside_thresholds(denoiser, wrap):
    """wrap(the denoiser without its thresholds), with the same thresholds around the result."""
    if not isinstance(denoiser, Threshold):
        return wrap(denoiser)
    return denoiser.around(inside_thresholds(denoiser.denoiser, wrap))


def rederived(denoiser):
    """The denoiser with rederive=True in each of its thresholds; itself if it has none."""
    if not isinstance(denoiser, Threshold):
        return denoiser
    return denoiser.around(rederived(denoiser.denoiser), rederive=True)


def held(denoiser, x0):
    """Another x0, held by the same thresholds as the denoiser's own."""
    return denoiser.threshold(held(denoiser.denoiser, x0)) if isinstance(denoiser, Threshold) else x0


class Threshold(Wrapper):
    """A denoiser whose x0 is held by `threshold(x0)`, which a subclass writes."""

    def __init__(self, denoiser, rederive):
        super().__init__(denoiser)
        self.rederive = rederive

    def around(self, denoiser, rederive=None):
        """The same threshold around another denoiser."""
        other = copy.copy(self)
        other.denoiser, other.rederive = denoiser, self.rederive if rederive is None else rederive
        return other

    def change(self, x0, eps, x, t):
        x0 = self.threshold(x0)
        if self.rederive:
            alpha, sigma = per_sample(self.schedule.alpha(t), x), per_sample(self.schedule.sigma(t), x)
            eps = (x - alpha * x0) / sigma
        return x0, eps


class Clipped(Threshold):
    """See `clip_x0`."""

    def __init__(self, denoiser, bound=1.0, rederive=False):
        if not bound > 0:
            raise ValueError(f"bound: got {bound}, expected a positive number")
        super().__init__(denoiser, rederive)
        self.bound = float(bound)

    def threshold(self, x0):
        return clip(x0, -self.bound, self.bound)


class DynamicallyThresholded(Threshold):
    """See `dynamic_threshold`."""

    def __init__(self, denoiser, quantile=0.995, sample_max_value=None, rederive=False):
        if not 0 < quantile <= 1:
            raise ValueError(f"quantile: got {quantile}, expected a number in (0, 1]")
        if sample_max_value is not None and not sample_max_value > 0:
            raise ValueError(f"sample_max_value: got {sample_max_value}, expected a positive number or None")
        super().__init__(denoiser, rederive)
        self.quantile, self.sample_max_value = float(quantile), sample_max_value

    def threshold(self, x0):
        s = quantile(absolute(x0).reshape(len(x0), -1), self.quantile)  # (B, ...) -> (B,)
        s = per_sample(clip(s, 1.0, self.sample_max_value), x0)  # (B, 1, ..., 1)
        return clip(x0, -s, s) / s
