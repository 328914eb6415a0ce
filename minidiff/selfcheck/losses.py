"""A gradient case for every loss: its objective, as a layer whose one answer is the loss; and the functions it is made of."""

import numpy as np

from .. import diffusion, models, nn
from ..backend import xp_of
from ..diffusion.denoiser import PREDICTS
from ..diffusion.losses import mean_square
from ..diffusion.posterior import Posterior
from ..diffusion.vlb import discretized_gaussian, normal_kl, term
from ..models.vq_model import VectorQuantizer
from ..rng import Rng
from ..training import distill
from ..training import losses as training_losses
from ..training.losses.contrastive import contrastive_loss as contrastive
from ..training.losses.masked_words import pick_rows as pick
from .inputs import classes, stirred

SCHEDULE = diffusion.Schedule.cosine(20)


class _Objective(nn.Layer):
    """A loss on one batch, whose noise is the same in every call: a layer without inputs."""

    def __init__(self, objective, model, x0, cond=None):
        self.model = model
        self._loss = lambda model: objective(model, x0, Rng(3, xp=xp_of(x0)), cond)  # a function: no part of a copied layer

    def forward(self):
        loss, back_loss = self._loss(self.model)

        def back(dloss):
            back_loss(dloss)  # what it returns is the gradient of the noised batch, which is no argument

        return loss, back


class _Net(nn.Layer):
    """(x, t, cond)   ->   of x's shape, or with `channels` times as many in the last axis."""

    def __init__(self, features, channels=1):
        self.layers = nn.Sequential(nn.Linear(features, 4, rng=1), nn.SiLU(), nn.Linear(4, channels * features, rng=2))

    def forward(self, x, t, cond=None):
        return self.layers(x)


class _ShareNet(nn.Layer):
    """A network of twice the channels whose prediction is fixed: only the variance is learned."""

    def __init__(self, features):
        self.share = nn.Linear(features, features, rng=1)

    def forward(self, x, t, cond=None):
        y, back_share = self.share(x)

        def back(dy):
            return back_share(dy[..., x.shape[-1] :])

        return xp_of(x).concatenate([0.0 * x, y], axis=-1), back


def _diffusion(objective, pick, randn):
    d, n = pick(1, 3), pick(3, 5)
    model = models.MLP(d, width=4, depth=1, num_class_embeds=3, null_class=2, rng=1)
    return _Objective(objective, stirred(model, randn), randn(n, d), classes(n, 2)), []


def SimpleLoss(pick, randn):
    predicts = PREDICTS[pick(0, 4)]
    weighting = ("simple", "x0", "snr", "truncated_snr", "min_snr", "p2")[pick(0, 5)]
    return _diffusion(diffusion.SimpleLoss(SCHEDULE, predicts, weighting, 0.3, "stratified"), pick, randn)


def SimpleLoss_with_weighted_times(pick, randn):
    times, weights = np.array([0, 3, 9, 15, 19]), np.array([0.5, 3.0, 1.0, 0.2, 1.5])
    objective = diffusion.SimpleLoss(SCHEDULE, t_sampler=lambda rng, n: (times[:n], weights[:n]))
    return _diffusion(objective, pick, randn)


def ScoreMatching(pick, randn):
    process, weighting = (diffusion.VP(), diffusion.VE(0.1, 5.0))[pick(0, 1)], ("sigma2", "likelihood", "none")[pick(0, 2)]
    return _diffusion(diffusion.ScoreMatching(process, weighting), pick, randn)


def ReflowLoss(pick, randn):
    d, n = pick(1, 3), pick(3, 5)
    model = models.MLP(d, width=4, depth=1, num_class_embeds=3, null_class=2, rng=1)
    objective = diffusion.ReflowLoss(diffusion.Flow(2.0), "velocity", cond_dropout=0.3, t_sampler="logit_normal")
    return _Objective(objective, stirred(model, randn), diffusion.pairs(randn(n, d), randn(n, d)), classes(n, 2)), []


def EDMLoss(pick, randn):
    return _diffusion(diffusion.EDMLoss(pick(1, 3) / 2), pick, randn)


def CascadeLoss(pick, randn):
    class Enlarging(_Net):
        def forward(self, x, t, cond):
            return self.layers(x + cond.low.repeat(2, axis=1).repeat(2, axis=2))

    c = pick(1, 2)
    cond = models.LowResolution(randn(2, 2, 2, c), np.zeros(2, np.int64), None)
    objective = diffusion.CascadeLoss(SCHEDULE, cond_dropout=0)
    return _Objective(objective, stirred(Enlarging(c), randn), randn(2, 4, 4, c), cond), []


def _grey(pick, randn):
    """Images (n, d) of 8 grey levels, and enough of them that some draw t = 0."""
    return np.clip(np.round(randn(8, pick(1, 3)) * 2), -4, 3) / 3.5 + 1 / 7


def VLBLoss(pick, randn):
    x0, learned = _grey(pick, randn), bool(pick(0, 1))
    schedule, predicts = diffusion.Schedule.linear(4, 0.05, 0.5), PREDICTS[pick(0, 4)]
    objective = diffusion.VLBLoss(schedule, predicts, "learned" if learned else "fixed_large", levels=8)
    return _Objective(objective, _Net(x0.shape[1], 1 + learned), x0), []


def HybridLoss_of_the_prediction(pick, randn):
    """Without the bound, whose gradient is stopped before it reaches the prediction."""
    x0 = _grey(pick, randn)
    objective = diffusion.HybridLoss(diffusion.Schedule.linear(4, 0.05, 0.5), vlb_weight=0.0, levels=8)
    return _Objective(objective, _Net(x0.shape[1], 2), x0), []


def HybridLoss_of_the_variance(pick, randn):
    x0 = _grey(pick, randn)
    objective = diffusion.HybridLoss(diffusion.Schedule.linear(4, 0.05, 0.5), vlb_weight=0.5, levels=8)
    return _Objective(objective, _ShareNet(x0.shape[1]), x0), []


def TwoStepLoss(pick, randn):
    """The loss of progressive distillation; the teacher is at rest."""
    d, n = pick(1, 3), pick(3, 5)
    teacher = diffusion.Denoiser(_Net(d).astype(np.float64), SCHEDULE, ("v", "x0")[pick(0, 1)])
    objective = distill.TwoStepLoss(teacher, np.array([19, 14, 9, 4]), ("truncated_snr", "simple")[pick(0, 1)], 0)
    return _Objective(objective, stirred(_Net(d), randn), randn(n, d)), []


def AutoencoderLoss(pick, randn):
    net = models.AutoencoderKL(1, 1, block_out_channels=(4,), norm_num_groups=2, latent_channels=pick(1, 2),
                               mid_block_add_attention=False, rng=1)  # fmt: skip
    return _Objective(training_losses.AutoencoderLoss(kl_weight=0.3), net, randn(2, 4, 4, 1)), []


def _text_encoder(causal):
    return models.TextEncoder(vocab_size=9, length=5, features=4, layers=1, heads=2, causal=causal, rng=1)


_IDS = np.array([[1, 5, 3, 2, 0], [1, 7, 8, 4, 2]])


def ContrastiveLoss(pick, randn):
    net = models.CLIP(_text_encoder(True), models.ImageEncoder(4, 1, (4,), 4, norm_num_groups=2, rng=1), rng=1)
    return _Objective(training_losses.ContrastiveLoss(), net, randn(2, 4, 4, 1), _IDS), []


def MaskedWordLoss(pick, randn):
    net = models.MaskedLanguageModel(_text_encoder(False), rng=1)
    return _Objective(training_losses.MaskedWordLoss(hide=pick(3, 9) / 10), net, _IDS), []


# ---- the functions that losses are made of --------------------------------------------------------------------------------


def contrastive_loss(pick, randn):
    b, d = pick(2, 4), pick(1, 4)
    return contrastive, [randn(b, d), randn(b, d), randn(1)]


def pick_rows(pick_size, randn):
    chosen = randn(pick_size(2, 3), pick_size(1, 4)) > -0.5
    return lambda x: pick(x, chosen), [randn(*chosen.shape, pick_size(1, 3))]


def VectorQuantizer_losses(pick, randn):
    """With beta = 1 the two terms, which stop each other's gradients, are together twice the gradient of one of them."""

    class Halved(nn.Layer):
        def __init__(self, inner):
            self.inner = inner

        def forward(self, z):
            loss, back = self.inner.losses(z, beta=1.0)
            return 0.5 * loss, back

    d = pick(1, 3)
    return stirred(Halved(VectorQuantizer(pick(2, 5), d, rng=1)), randn), [randn(pick(2, 4), d)]


def weighted_mean_square(pick, randn):
    """Each sample's loss; no gradient goes to the target."""
    n, d = pick(2, 4), pick(1, 4)
    target, w = randn(n, d), randn(n) ** 2

    def f(output):
        losses, dlosses = mean_square(output, target, w)
        return losses, lambda dy: dy[:, None] * dlosses

    return f, [randn(n, d)]


def kl_of_normals(pick, randn):
    shape = (pick(2, 3), pick(1, 4))
    mean, log_variance = randn(*shape), randn(*shape)

    def f(mean2, log_variance2):
        kl, by_mean, by_log_variance = normal_kl(mean, log_variance, mean2, log_variance2)
        return kl, lambda dy: (dy * by_mean, dy * by_log_variance)

    return f, [randn(*shape), randn(*shape)]


def log_mass_of_a_grey_level(pick, randn):
    x, levels = _grey(pick, randn), 8

    def f(mean, log_scale):
        log_p, by_mean, by_log_scale = discretized_gaussian(x, mean, log_scale, levels)
        return log_p, lambda dy: (dy * by_mean, dy * by_log_scale)

    return f, [x + 0.3 * randn(*x.shape), 0.3 * randn(*x.shape) - 1]


def term_of_the_bound(pick, randn):
    x0 = _grey(pick, randn)
    schedule, t = diffusion.Schedule.linear(4, 0.05, 0.5), np.arange(8) % 4
    xt, posterior = schedule.add_noise(x0, randn(*x0.shape), t), Posterior(schedule)

    def f(mean, log_variance):
        bits, by_mean, by_log_variance = term(posterior, x0, xt, t, mean, log_variance, 8)
        return bits, lambda dy: (dy[:, None] * by_mean, dy[:, None] * by_log_variance)

    return f, [x0 + 0.3 * randn(*x0.shape), 0.3 * randn(*x0.shape) - 1]


LOSSES = [SimpleLoss, SimpleLoss_with_weighted_times, ScoreMatching, ReflowLoss, EDMLoss, CascadeLoss, VLBLoss,
          HybridLoss_of_the_prediction, HybridLoss_of_the_variance, TwoStepLoss, AutoencoderLoss, ContrastiveLoss,
          MaskedWordLoss, contrastive_loss, pick_rows, VectorQuantizer_losses, weighted_mean_square, kl_of_normals,
          log_mass_of_a_grey_level, term_of_the_bound]  # fmt: skip
