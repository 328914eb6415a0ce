"""A gradient case for every denoiser with a backward pass, guided ones too, and for the exact scores of a mixture."""

import numpy as np

from .. import diffusion, models
from ..backend import xp_of
from ..diffusion import likelihood
from ..diffusion.denoiser import PREDICTS
from .inputs import classes, stirred

SCHEDULES = (diffusion.Schedule.cosine(20), diffusion.VP())


def _times(schedule, n):
    """(n,) of them, real-valued for a process."""
    steps = np.arange(n) * 7 % 19 + 1
    return steps if hasattr(schedule, "betas") else steps / 20


def _network(pick, randn, out=1):
    d = pick(1, 3)
    net = models.MLP(d, out * d, width=4, depth=1, num_class_embeds=3, null_class=2, rng=1)
    return stirred(net, randn).astype(np.float64), randn(pick(2, 4), d)


def Denoiser(pick, randn):
    schedule, learned = SCHEDULES[pick(0, 1)], bool(pick(0, 1))
    net, x = _network(pick, randn, 1 + learned)
    denoiser = diffusion.Denoiser(net, schedule, PREDICTS[pick(0, 4)], learned, time_scale=pick(1, 2) / 2)
    t, cond = _times(schedule, len(x)), classes(len(x), 3)
    return lambda x: denoiser.eps_back(x, t, cond), [x]


def EDMDenoiser(pick, randn):
    net, x = _network(pick, randn)
    denoiser, t = diffusion.EDMDenoiser(net, SCHEDULES[pick(0, 1)]), 3 / 4 if pick(0, 1) else 1
    return lambda x: denoiser.eps_back(x, t, classes(len(x), 3)), [x]


def cfg(pick, randn):
    """Classifier-free guidance, with one weight for all or one for each sample; outside its interval it does not guide."""
    schedule = SCHEDULES[pick(0, 1)]
    net, x = _network(pick, randn)
    weight = 1.5 if pick(0, 1) else randn(len(x))
    interval, t = (None, (0.2, 0.8))[pick(0, 1)], (0.5, 1)[pick(0, 1)]
    guided = diffusion.cfg(
        diffusion.Denoiser(net, schedule, PREDICTS[pick(0, 4)]), classes(len(x), 2), weight, interval=interval
    )
    return lambda x: guided.eps_back(x, t), [x]


def classifier_gradient(pick, randn):
    """The gradient of log p(label | x) that classifier guidance adds, as the backward pass of log p."""
    net = stirred(models.Classifier((4, 4, 1), classes=3, width=2, features=4, timed=True, rng=1), randn).astype(np.float64)
    labels, t = classes(2, 3), np.array([0.2, 0.9])
    gradient = diffusion.classifier_gradient(net, labels)

    def f(x):
        logits, _ = net(x, t)
        log_p = logits - xp_of(x).log(xp_of(x).exp(logits).sum(axis=1, keepdims=True))
        by_x = None if x.dtype.kind == "c" else gradient(x, t)
        return log_p[np.arange(2), labels], lambda dy: dy[:, None, None, None] * by_x

    return f, [randn(2, 4, 4, 1)]


def _mixture(pick, randn):
    d, k = pick(1, 3), pick(1, 3)
    if pick(0, 1):
        roots = randn(k, d, d)
        shape = {"covs": roots @ roots.transpose(0, 2, 1) + 0.3 * np.eye(d)}
    else:
        shape = {"stds": abs(randn(k)) + 0.5}
    return diffusion.GaussianMixture(randn(k, d), **shape), randn(pick(2, 4), d)


def GaussianMixture_score(pick, randn):
    """The score, as the backward pass of log p."""
    mixture, x = _mixture(pick, randn)

    def f(x):
        score = None if x.dtype.kind == "c" else mixture.score(x, 0.8, 0.6)
        return mixture.log_prob(x, 0.8, 0.6), lambda dy: dy[:, None] * score

    return f, [x]


def GaussianMixture_hessian(pick, randn):
    """The Hessian of log p, which is symmetric, as the backward pass of the score."""
    mixture, x = _mixture(pick, randn)
    return lambda x: (mixture.score(x, 0.8, 0.6), lambda dy: mixture.hessian_product(x, dy, 0.8, 0.6)), [x]


def MixtureModel(pick, randn):
    schedule = SCHEDULES[pick(0, 1)]
    mixture, x = _mixture(pick, randn)
    model, t = mixture.model(schedule), _times(schedule, len(x))
    return lambda x: model(x, t), [x]


def with_jacobian(pick, randn):
    """Either product of a mixture's Jacobian, which is symmetric, carries a gradient back."""
    schedule, jacobian = SCHEDULES[pick(0, 1)], ("vjp", "jvp")[pick(0, 1)]
    mixture, x = _mixture(pick, randn)
    denoiser, t = mixture.denoiser(schedule), (1, 0.3)[schedule is SCHEDULES[1]]
    return lambda x: likelihood.with_jacobian(denoiser, x, t, None, jacobian), [x]


GUIDANCE = [Denoiser, EDMDenoiser, cfg, classifier_gradient, GaussianMixture_score, GaussianMixture_hessian,
            MixtureModel, with_jacobian]  # fmt: skip
