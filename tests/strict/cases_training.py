"""Training, checkpoints, distillation, metrics, data, and whole pipelines."""

import tempfile
from pathlib import Path

import numpy as np
from cases_diffusion import SMALL, batch, mlp, points, unet
from sides import case, grads

from minidiff import metrics, models, nn, training
from minidiff.backend import to_numpy
from minidiff.data import random_flip
from minidiff.diffusion import Denoiser, Schedule, SimpleLoss
from minidiff.rng import Rng
from minidiff.training import Trainer


def trainer(side, steps=4, **options):
    images, labels = Rng(3).standard_normal((16, 4, 4, 1)).clip(-1, 1), np.arange(16) % 2
    net = side.net(models.UNet(**SMALL, dropout=0.1, rng=0))  # float64: Adam blows up rounding where a gradient is near 0
    return Trainer(net, SimpleLoss(Schedule.linear(100), "v"), images, labels, steps=steps, batch_size=4, lr=1e-3, seed=1,
                   **options)  # fmt: skip


@case("Trainer", "AdamW", "Arena", "EMA", "History", "clip_grad_norm", "learning_rate", waits=True)
def run(side):
    t = trainer(side)
    t.run(progress=False)
    return t.arena.values, t.ema.average, t.optimizer.m, t.optimizer.v


@case("Trainer", "save", "load", "Checkpoint", waits=True)
def resumed(side):
    with tempfile.TemporaryDirectory() as folder:
        first = trainer(side, folder=folder)
        first.run(2, progress=False)
        again = trainer(side, folder=folder).resume()
        again.run(progress=False)
        kept = training.load(Path(folder) / "checkpoint.safetensors")
        assert kept.step == 4 and all(type(a) is np.ndarray for a in kept.weights.values())
    return again.arena.values, again.ema.average


@case("AdamW", "EMA", "Arena", "clip_grad_norm")
def optimizer(side):
    net, x = mlp(side), points(side)
    adam, ema = training.AdamW(net, 1e-2), training.EMA(net, 0.9)
    for _ in range(2):
        adam.zero_grad()
        y, back = net(x, side.up(np.arange(6)))
        back(y)
        norm = training.clip_grad_norm(net, 0.5)
        adam.step()
        ema.update()
    with ema.applied():
        averaged = net.predict(x, 3)
    return norm, adam.arena.values, adam.m, adam.v, ema.average, averaged


@case("TwoStepLoss")
def two_step_loss(side):
    teacher, student = (Denoiser(unet(side), Schedule.cosine(20), "v") for _ in range(2))
    x0, cond = batch(side)
    objective = training.TwoStepLoss(teacher, np.array([18, 13, 8, 3]), cond_dropout=0.0)
    student.model.zero_grad()
    loss, back = objective(student.model, x0, side.rng(5), cond)
    back()
    return loss, grads(student.model)


@case("progressive_distillation", waits=True, tolerance=1e-6)
def distillation(side):
    teacher = Denoiser(unet(side, num_class_embeds=None, null_class=None), Schedule.cosine(20), "v")
    stages = training.progressive_distillation(teacher, batch(side)[0], start=4, stop=1, train_steps=2, batch_size=2,
                                               cond_dropout=0.0, progress=False)  # fmt: skip
    return [stage.denoiser(batch(side)[0], 7) for stage in stages]


@case("ContrastiveLoss")
def contrastive(side):
    class Two(nn.Layer):
        def __init__(self):
            self.a, self.b = nn.Linear(3, 4, rng=0), nn.Linear(5, 4, rng=1)
            self.logit_scale = nn.Param(np.ones(1))

        def forward(self, images, texts):
            (u, back_u), (v, back_v) = self.a(images), self.b(texts)
            return (u, v), lambda du, dv: (back_u(du), back_v(dv))

    net = side.net(Two())
    net.zero_grad()
    loss, back = training.ContrastiveLoss()(net, side.normal(4, 3), side.rng(0), side.normal(4, 5, seed=1))
    back()
    return loss, grads(net)


@case("MaskedWordLoss", waits=True)
def masked_words(side):
    encoder = models.TextEncoder(11, 6, features=8, layers=1, heads=2, causal=False, rng=0)
    net = side.net(models.MaskedLanguageModel(encoder, rng=1))
    net.zero_grad()
    loss, back = training.MaskedWordLoss()(net, side.up(np.arange(18).reshape(3, 6) % 7 + 4), side.rng(0))
    back()
    return loss, grads(net)


@case("train_classifier", "classify", "predictions", "accuracy", "features", "frechet_distance", "nearest_distances", "report",
      waits=True, host=True, tolerance=0.02)  # fmt: skip
def figures(side):
    rng = np.random.default_rng(0)
    labels = np.arange(24) % 2
    images = (rng.standard_normal((24, 4, 4, 1)) * 0.1 + labels[:, None, None, None]).astype(np.float32)
    there, asked = side.up(images), side.up(labels)
    judge = metrics.train_classifier(there, asked, epochs=3, width=4)
    found = metrics.report(judge, there[::2] * 0.9, asked[::2], images, there, labels)
    assert metrics.frechet_distance(side.normal(9, 3), side.normal(9, 3)) < 1e-6
    return [np.array(found[name]) for name in sorted(found)]


@case("random_flip", "batch_indices")
def data(side):
    return random_flip(side.normal(4, 3, 5, 1), side.rng(0))


@case("no_grad", "training", "training_rng", "Dropout", "Sequential", "SiLU", "GELU", "chain", "owned", "Layer", "Param")
def layers(side):
    net = side.net(nn.Sequential(nn.Linear(2, 4, rng=0), nn.SiLU(), nn.Dropout(0.5), nn.GELU(), nn.Linear(4, 2, rng=1)))
    net.zero_grad()
    with nn.training(side.rng(3)):
        y, back = net(points(side))
    return y, back(y), net.predict(points(side)), grads(net)


@case("DiT", waits=True)
def diffusion_transformer(side):
    net = side.net(models.DiT(2, 4, in_channels=2, num_layers=2, patch_size=2, num_embeds_ada_norm=3, rng=0))
    for param in net.parameters().values():  # a new model answers zero
        param.value += side.normal(*param.shape) * 0.1
    y, back = net(side.normal(2, 4, 6, 2), side.up(np.array([3, 700])), side.up(np.array([0, 3])))
    return y, back(y), grads(net)


@case("PixArt", "TextCondition", waits=True)
def diffusion_transformer_for_texts(side):
    net = side.net(models.PixArt(2, 4, in_channels=2, out_channels=None, num_layers=2, cross_attention_dim=8,
                                 caption_channels=3, sample_size=4, rng=0))  # fmt: skip
    for param in net.parameters().values():  # a new model answers zero
        param.value += side.normal(*param.shape) * 0.1
    mask = side.up(np.array([[True, True, False], [True, False, False]]))
    y, back = net(side.normal(2, 4, 6, 2), side.up(np.array([3, 700])), (side.normal(2, 3, 3), mask))
    return y, *back(y), grads(net)


@case("AutoencoderKL", "VQModel", waits=True)
def autoencoders(side):
    small = dict(block_out_channels=(4, 8), down_block_types=("DownEncoderBlock2D",) * 2, norm_num_groups=2, rng=0,
                 up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=3)  # fmt: skip
    vae, vq = side.net(models.AutoencoderKL(**small)), side.net(models.VQModel(**small, num_vq_embeddings=7))
    x = side.normal(2, 8, 8, 3)
    z = vae.encode(x, rng=side.rng(1)) if "rng" in vae.encode.__code__.co_varnames else vae.encode(x)
    return to_side(z), vq.predict(x)


def to_side(z):
    """The arrays of what an encoder gives."""
    return [a for a in (z if isinstance(z, tuple) else [z]) if hasattr(a, "dtype")]


@case("Trainer", waits=True, host=True)
def pictures_while_training(side):
    seen = []
    t = trainer(side, steps=2, sample=lambda t: seen.append(to_numpy(t.images[:1])) or seen[-1], sample_every=1)
    t.run(progress=False)
    return seen
