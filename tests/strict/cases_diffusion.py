"""Losses, schedules, guidance, likelihood: everything of minidiff.diffusion that touches an array."""

import numpy as np
from sides import case, grads

from minidiff import diffusion, models, nn, ops
from minidiff.backend import xp_of
from minidiff.diffusion import (
    EDM,
    VE,
    VP,
    CascadeLoss,
    Denoiser,
    EDMDenoiser,
    EDMLoss,
    Flow,
    GaussianMixture,
    HybridLoss,
    Interpolant,
    Posterior,
    Schedule,
    ScoreMatching,
    SimpleLoss,
    SubVP,
    VLBLoss,
    cfg,
)
from minidiff.nn import Layer

SMALL = dict(in_channels=1, out_channels=1, block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=2,
             attention_head_dim=4, num_class_embeds=3, null_class=2)  # fmt: skip


def unet(side, **options):
    return side.net(models.UNet(**(SMALL | options), rng=0))


def batch(side):
    """A clean batch and its classes."""
    return side.normal(4, 4, 4, 1, seed=2).clip(-1, 1), side.up(np.array([0, 1, 1, 0]))


def mlp(side):
    return side.net(models.MLP(2, width=6, depth=1, rng=0))


def points(side):
    return side.normal(6, 2, seed=4)


def _trained(side, objective, net, x0, cond=None):
    net.zero_grad()
    loss, back = objective(net, x0, side.rng(7), cond)
    back()
    return loss, grads(net)


ROUND = Interpolant(lambda t: xp_of(t).cos(1.5 * t), lambda t: xp_of(t).sin(1.5 * t))

for _predicts in ("eps", "x0", "v", "velocity", "score"):

    @case("SimpleLoss", "Objective", "Schedule")
    def simple_loss(side, predicts=_predicts):
        return _trained(side, SimpleLoss(Schedule.cosine(50), predicts), unet(side), *batch(side))

    simple_loss.__name__ = f"simple_loss_{_predicts}"


for _weighting in ("x0", "snr", "truncated_snr", "min_snr", "p2"):

    @case("SimpleLoss")
    def weighted_loss(side, weighting=_weighting):
        options = {"gamma": 5.0} if weighting == "min_snr" else {}
        objective = SimpleLoss(Schedule.linear(50), "v", weighting, 0.0, "stratified", **options)
        return _trained(side, objective, mlp(side), points(side))

    weighted_loss.__name__ = f"weighted_loss_{_weighting}"


@case("SimpleLoss", waits=True)
def loss_with_times_by_their_loss(side):
    objective = SimpleLoss(Schedule.linear(4), t_sampler="loss")
    for _ in range(14):
        found = _trained(side, objective, mlp(side), points(side))
    return found


for _process in (VP(), SubVP(), VE(sigma_max=10.0), EDM(), Flow(3.0)):

    @case("SimpleLoss", "VP", "SubVP", "VE", "EDM")
    def continuous_loss(side, process=_process):
        return _trained(side, SimpleLoss(process), mlp(side), points(side))

    @case("ScoreMatching", "VP", "SubVP", "VE", "EDM")
    def score_matching(side, process=_process):
        return _trained(side, ScoreMatching(process), mlp(side), points(side))

    continuous_loss.__name__ = f"loss_on_{type(_process).__name__}"
    score_matching.__name__ = f"score_matching_on_{type(_process).__name__}"


@case("EDMLoss", "EDM")
def edm_loss(side):
    return _trained(side, EDMLoss(), mlp(side), points(side))


@case("EDMDenoiser")
def edm_denoiser(side):
    denoiser = EDMDenoiser(mlp(side))
    x = points(side)
    eps, back = denoiser.eps_back(x, 0.7)
    return denoiser(x, 0.7), denoiser(x, side.up(np.linspace(0.1, 2, 6))), eps, back(x)


@case("VLBLoss")
def vlb_loss(side):
    return _trained(side, VLBLoss(Schedule.linear(50), variance="fixed_small"), unet(side), *batch(side))


@case("HybridLoss")
def hybrid_loss(side):
    net = unet(side, out_channels=2)
    return _trained(side, HybridLoss(Schedule.cosine(50), cond_dropout=0.0), net, *batch(side))


@case("Schedule", "noise_std", waits=True)
def schedules(side):
    t, x = side.up(np.array([0, 7, 49])), side.normal(3, 4)
    real, found = side.up(np.array([0.25, 7.5, 48.9])), []
    for s in (Schedule.named(name, 50) for name in ("linear", "cosine", "scaled_linear", "sigmoid", "quadratic")):
        found += [s.alpha(t), s.sigma(t), s.log_snr(t), s.alpha(real), s.sigma(real), s.log_snr(real)]
        found += [s.t_of_log_snr(s.log_snr(real)), s.add_noise(x, x, t)]
    return found


@case("Flow")
def flow_matching(side):
    names = ("uniform", "stratified", "logit_normal", "mode")
    return [_trained(side, SimpleLoss(Flow(3.0), "velocity", t_sampler=name), mlp(side), points(side)) for name in names]


@case("ReflowLoss", "pairs")
def reflow(side):
    data = diffusion.pairs(points(side), side.normal(6, 2, seed=9))
    return _trained(side, diffusion.ReflowLoss(Flow(), "velocity"), mlp(side), data)


@case("straightness", waits=True, host=True)
def straightness(side):
    denoiser = Denoiser(mlp(side), Flow(), "velocity")
    return [diffusion.straightness(denoiser, points(side), side.normal(6, 2, seed=9), times=3)]


@case("VP", "SubVP", "VE", "EDM", "Flow", "Interpolant")
def processes(side):
    t = side.up(np.array([0.1, 0.5, 0.9]))
    return [
        [p.alpha(t), p.sigma(t), p.log_snr(t), p.t_of_log_snr(p.log_snr(t))]
        for p in (VP(), SubVP(), VE(), EDM(), Flow(), ROUND)
    ]


@case("Posterior", waits=True)
def posterior(side):
    p, x = Posterior(Schedule.linear(50)), side.normal(3, 4)
    t = side.up(np.array([1, 7, 49]))
    return p.mean(x, 0.5 * x, t), p.mean(x, 0.5 * x, 9)


@case("Denoiser")
def denoisers(side):
    x, cond = batch(side)
    t, found = side.up(np.array([3, 9, 20, 40])), []
    for predicts in ("eps", "x0", "v", "score"):
        denoiser = Denoiser(unet(side), Schedule.linear(50), predicts)
        eps, back = denoiser.eps_back(x, 9, cond)
        found += [denoiser(x, t, cond), denoiser(x, 9, cond), eps, back(x), denoiser.null_cond(cond)]
    return found


@case("cfg", "clip_x0", "dynamic_threshold")
def guidance(side):
    x, cond = batch(side)
    denoiser = Denoiser(unet(side), Schedule.linear(50), "v")
    plain, shrunk = cfg(denoiser, cond, 2.0), cfg(denoiser, cond, 2.0, rescale=0.7, interval=(5, 30))
    eps, back = plain.eps_back(x, 9)
    each = cfg(denoiser, cond, side.up(np.array([0.0, 1.0, 2.0, 3.0])))
    found = [plain(x, 9), shrunk(x, 9), shrunk(x, 40), each(x, 9), eps, back(x)]
    return [*found, diffusion.clip_x0(plain, 0.5, rederive=True)(x, 9)]


@case("dynamic_threshold", waits=True)
def thresholding(side):
    x, cond = batch(side)
    denoiser = Denoiser(unet(side), Schedule.linear(50), "v")
    return diffusion.dynamic_threshold(denoiser, 0.9)(3 * x, 30, cond)


@case("classifier_guidance", "classifier_gradient")
def guidance_by_a_classifier(side):
    x, labels = batch(side)
    judge = side.net(models.Classifier((4, 4, 1), classes=3, width=4, features=4, timed=True, rng=0))
    gradient = diffusion.classifier_gradient(judge, labels)
    return diffusion.classifier_guidance(Denoiser(unet(side), Schedule.linear(50)), gradient, 2.0).denoiser(x, 9, labels), \
        gradient(x, 9)  # fmt: skip


@case("ode_log_likelihood", "bits_per_dim", "rk45", waits=True, tolerance=1e-7)
def likelihood(side):
    denoiser = Denoiser(mlp(side), VP())
    log_p = diffusion.ode_log_likelihood(denoiser, points(side), rtol=1e-3, atol=1e-3, rng=side.rng(0))
    return [log_p.log_p, log_p.latent, diffusion.bits_per_dim(log_p.log_p, 2)]


@case("dequantize")
def dequantized(side):
    return diffusion.dequantize(side.normal(3, 4), rng=side.rng(0))


@case("variational_bound", waits=True, tolerance=1e-8)
def bound(side):
    found = diffusion.variational_bound(Denoiser(mlp(side), Schedule.linear(20)), points(side), rng=side.rng(0))
    return found.prior, found.terms, found.total, found.eps_mse


@case("GaussianMixture", waits=True)
def mixture(side):
    m, x = GaussianMixture(np.array([[0.0, 1.0], [2.0, -1.0]]), stds=np.array([0.5, 1.0])), points(side)
    cov = GaussianMixture(np.array([[0.0, 1.0]]), covs=np.array([[[1.0, 0.3], [0.3, 0.5]]]))
    found = [m.sample(side.rng(3), 5), m.log_prob(x), m.score(x, 0.8, 0.6), m.hessian_product(x, x), m.x0_mean(x, 0.8, 0.6)]
    found += [m.responsibilities(x), cov.log_prob(x), cov.score(x, 0.8, 0.6), cov.sample(side.rng(3), 5)]
    return [*found, m.denoiser(Schedule.linear(50))(x, 9)]


@case("estimate_t", "t_of_noise_std", "noise_std", waits=True)
def noise_level(side):
    x = 0.5 * side.normal(2, 8, 8, 1)
    std = diffusion.noise_std(x)
    found = [diffusion.t_of_noise_std(Schedule.linear(50), std, scaled) for scaled in (True, False)]
    denoiser = Denoiser(mlp(side), Schedule.linear(50))
    return [std, *found] + [diffusion.estimate_t(denoiser, points(side), levels=8, divergence=how, rng=side.rng(0))
                            for how in ("exact", "hutchinson", "unit")]  # fmt: skip


@case("CascadeLoss", "noised_low")
def cascade(side):
    class TwiceAsLarge(Layer):
        def __init__(self):
            self.conv = nn.Conv2d(2, 1, 3, padding=1, rng=0)

        def forward(self, x, t, cond):
            wide, _ = ops.upsample_nearest(cond.low, 2)
            h, back_concat = ops.concat([x, wide])
            y, back = self.conv(h)
            return y, lambda dy: back_concat(back(dy))[0]

    cond = models.LowResolution(side.normal(4, 2, 2, 1, seed=9), side.up(np.zeros(4, int)), None)
    objective = CascadeLoss(Schedule.linear(50), cond_dropout=0.0)
    noised = diffusion.noised_low(cond, side.up(np.arange(4)), Schedule.linear(50), side.rng(2))
    return _trained(side, objective, side.net(TwiceAsLarge()), batch(side)[0], cond), noised.low
