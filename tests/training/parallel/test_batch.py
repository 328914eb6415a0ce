"""Rows taken through a loss one part after another give the loss and the gradients of the whole batch.

The right values are those of the undivided batch. `tests/mpi` takes the parts through it on real ranks.
"""

from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

from minidiff import diffusion, models, nn
from minidiff.diffusion import Denoiser, Flow, Schedule, SimpleLoss, continuous, timesteps
from minidiff.diffusion.losses import Objective
from minidiff.nn import training
from minidiff.rng import Rng
from minidiff.training import losses
from minidiff.training.distill import TwoStepLoss
from minidiff.training.parallel.batch import AllRows, OwnRows, share_of

SCHEDULE, B, RANKS = Schedule.cosine(20), 11, 3


class Net(nn.Layer):
    """(x, t, cond) -> as many numbers a row, or with `channels` times as many; with dropout."""

    def __init__(self, channels=1):
        self.mlp = models.MLP(4, width=8, depth=1, num_class_embeds=4, null_class=3, rng=1).astype(np.float64)
        self.last = nn.Sequential(nn.Dropout(0.3), nn.Linear(4, 4 * channels, rng=2).astype(np.float64))

    def forward(self, x, t, cond=None):
        return nn.chain([lambda x: self.mlp(x, t, cond), self.last], x)

    def null_cond(self, cond):
        return self.mlp.null_cond(cond)


class Small(NamedTuple):
    """A small image and the timestep to which it is noised."""

    low: Any
    level: Any


class Upsampler(Net):
    def forward(self, x, t, cond=None):
        return super().forward(x + cond.low * (1 + cond.level[:, None]), t, np.zeros(len(x), int))


def two_steps():
    return TwoStepLoss(Denoiser(Net(), SCHEDULE, "v"), [19, 12, 7, 2], cond_dropout=0.3)


def autoencoder():
    return models.AutoencoderKL(in_channels=4, out_channels=4, latent_channels=2, block_out_channels=(8,), layers_per_block=1,
                                norm_num_groups=4, rng=1)  # fmt: skip


LOSSES = {  # name: objective, network
    "simple": (SimpleLoss(SCHEDULE, "v", "min_snr", cond_dropout=0.3), Net()),
    "flow, logit-normal t": (SimpleLoss(Flow(), "velocity", t_sampler="logit_normal", time_scale=20.0), Net()),
    "flow, mode": (SimpleLoss(Flow(), "velocity", t_sampler="mode", time_scale=20.0), Net()),
    "stratified": (SimpleLoss(SCHEDULE, t_sampler="stratified"), Net()),
    "stratified, real t": (SimpleLoss(SCHEDULE, t_sampler="stratified", real_t=True), Net()),
    "score matching": (diffusion.ScoreMatching(continuous.VP(), "likelihood"), Net()),
    "EDM": (diffusion.EDMLoss(), Net()),
    "bound": (diffusion.VLBLoss(SCHEDULE), Net(2)),
    "hybrid": (diffusion.HybridLoss(SCHEDULE), Net(2)),
    "reflow": (diffusion.ReflowLoss(Flow(), "velocity"), Net()),
    "cascade": (diffusion.CascadeLoss(SCHEDULE, "v", cond_dropout=0), Upsampler()),
    "two steps": (two_steps(), Net()),
    "autoencoder": (losses.AutoencoderLoss(0.3), autoencoder()),
}


def batch(name):
    """x0, cond"""
    rng = Rng(2)
    if name == "autoencoder":
        return rng.standard_normal((B, 6, 4, 4), np.float64), None
    if name == "reflow":
        return rng.standard_normal((B, 2, 4), np.float64), np.arange(B) % 3
    x0 = rng.standard_normal((B, 4), np.float64)
    return x0, Small(x0[:, ::-1], np.zeros(B, int)) if name == "cascade" else np.arange(B) % 3


class OfRank(nn.Layer):
    """What OwnRows needs of a DataParallel, on one rank."""

    def __init__(self, net, rank):
        self.net, self.ranks = net, SimpleNamespace(rank=rank)

    def parts(self, total):
        return min(RANKS, total // 2)

    def engine_of_ranks(self):
        return SimpleNamespace(add_up=lambda work: 0.0 if work is None else work())

    def __call__(self, *args):
        return self.net(*args)

    def __getattr__(self, name):
        return getattr(self.net, name)


@pytest.mark.parametrize("name", LOSSES)
def test_the_parts_of_a_batch_add_up(name):
    objective, net = LOSSES[name]
    net.astype(np.float64)
    arrays = batch(name)
    found = []
    for shares in ([AllRows(net, objective)], [OwnRows(OfRank(net, rank), objective, B) for rank in range(RANKS)]):
        net.zero_grad()
        loss = 0.0
        for share in shares:
            with training(Rng(7)):  # as on a rank, where a step has fresh generators
                loss += share.gradients(lambda *rows: rows, share.of(arrays), Rng(5))
        found.append((loss, {name: p.grad.copy() for name, p in net.parameters().items()}))
    (loss, grads), (loss_of_parts, grads_of_parts) = found
    assert loss_of_parts == pytest.approx(loss, rel=1e-12)
    for path, grad in grads.items():
        assert np.abs(grads_of_parts[path] - grad).max() < 1e-12 * max(1, np.abs(grad).max()), path


def test_every_loss_that_says_so_is_tested():
    def below(kind):
        kinds = [sub for sub in kind.__subclasses__() if sub.__module__.startswith("minidiff")]
        return {sub for sub in kinds if "each_row_alone" in vars(sub)}.union(*map(below, kinds))

    tested = [objective for objective, _ in LOSSES.values() if isinstance(objective, Objective)]
    assert below(Objective) == {type(objective) for objective in tested}
    assert below(timesteps.Uniform) | {timesteps.Uniform} == {type(objective.t_sampler) for objective in tested}


class Paired(SimpleLoss):
    def draw(self, x0, rng):
        x0, eps = super().draw(x0, rng)
        return x0, eps[::-1]


@pytest.mark.parametrize(
    ("objective", "by_rows"),
    [
        (SimpleLoss(SCHEDULE), True),
        (SimpleLoss(SCHEDULE, t_sampler="loss"), False),  # it learns from the losses of all rows
        (SimpleLoss(SCHEDULE, t_sampler=lambda rng, n: (np.full(n, 3), None)), False),
        (Paired(SCHEDULE), False),  # a subclass may treat rows together
        (losses.MaskedWordLoss(), False),
        (losses.ContrastiveLoss(), False),
        (lambda model, x0, rng, cond=None: None, False),
    ],
)
def test_a_rank_takes_its_rows_where_the_loss_allows_it(objective, by_rows):
    assert getattr(objective, "by_rows", False) is by_rows
    assert type(share_of(Net(), objective, B)) is AllRows
