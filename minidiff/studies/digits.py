"""Shared by the studies: models trained on the 8 x 8 digits, the judge, and measurements of samples."""

import functools

import numpy as np

from .. import data, metrics, training
from ..diffusion import Denoiser
from ..models import Classifier
from ..mpi import world
from ..rng import Rng, Stream
from ..runs import build, build_objective, find_checkpoint, open_run, preset
from ..samplers import sample
from ..training import Trainer
from ..training.complete import complete
from ..training.parallel import among_ranks

SHAPE, CLASSES = (8, 8, 1), 10
TINY = ("model.block_out_channels=[8,16]", "model.norm_num_groups=4", "model.attention_head_dim=8", "train.batch_size=16",
        "train.warmup=2", "train.lr=0.004", "diffusion.T=100")  # fmt: skip


def configuration(options, steps, *overrides):
    """The RunConfig of the digits preset with this number of training steps; a tiny model if the study is quick."""
    tiny = TINY if options.quick else ()
    fixed = ("train.checkpoint_every=null", "train.sample_every=null", f"train.steps={options.size(steps, 10)}")
    return preset("digits").override([*fixed, *tiny, *overrides])


def trained(options):
    """The trained digits model that most studies examine.   -> a class-conditional Denoiser

    It comes from the run folder `options.run`, or else from `home`, where it is trained on first use.
    """
    if options.run is not None:
        saved = opened(options.run)
        if tuple(saved.kept["shape"]) != SHAPE or saved.kept["classes"] != CLASSES:
            raise ValueError(f"--run: {options.run} was trained on {saved.kept['data']['name']}, expected the digits")
        return saved.denoiser
    return train(options, preset("digits").train.steps, "digits")


def train(options, steps, name, *overrides):
    """Train a digits model and cache it under this name.   -> Denoiser of the averaged weights"""
    config = configuration(options, steps, *overrides)
    made, folder = build(config), place(options, name)
    if not world().first(_complete, folder, config.train.steps):
        fit(made.model, made.objective, options, folder, config, made.kept)
    return opened(folder).denoiser


def opened(folder):
    """A run, opened; the ranks of an MPI job share its samples.   -> Saved"""
    return open_run(folder, processes=1 if world().size == 1 else None)


def fit(model, objective, options, folder, config, kept=None, labelled=True):
    """Train a model on the digits with the settings `config.train`, unless `folder` contains the trained model.

    -> the model, with its averaged weights. Resumes an interrupted run.
    """
    images, labels = data.load("digits")
    labels = labels if labelled else None
    settings = {key: value for key, value in vars(config.train).items() if not key.endswith("_every")}
    model = among_ranks(model)
    trainer = Trainer(model, objective, images, labels, folder=folder, config=kept, checkpoint_every=100, **settings)
    return complete(trainer, options.progress)


def place(options, name):
    """The cache folder of a model."""
    return options.home / ("quick" if options.quick else "") / name


def _complete(folder, steps):
    file = find_checkpoint(folder)
    return file.exists() and training.load(file).step >= steps


class Judge:
    """The classifier that scores samples, with its features of real digits for comparison."""

    def __init__(self, net):
        self.net = net
        self.images, self.labels = data.load("digits")
        self.real = metrics.features(net, self.images)

    def look(self, samples, asked):
        """{frechet: to the training digits, accuracy: fraction that show the requested class}"""
        seen = metrics.features(self.net, samples)
        if not np.isfinite(seen).all():
            return {"frechet": float("nan"), "accuracy": float("nan")}
        return {
            "frechet": metrics.frechet_distance(seen, self.real),
            "accuracy": metrics.accuracy(self.net, samples, asked),
        }


def judge(options):
    """The judge; its classifier is trained on first use and cached."""
    return _judge(place(options, "judge.safetensors"), options.size(20, 1), options.size(24, 4))


@functools.cache
def _judge(path, epochs, width):
    if world().first(path.exists):
        found = training.load(path)
        net = Classifier(SHAPE, CLASSES, width=found.config["width"])
        net.load_state(found.weights)
    else:
        net = metrics.train_classifier(*data.load("digits"), epochs=epochs, width=width)
        world().first(lambda: training.save(path, net, config={"width": width}))
    return Judge(among_ranks(net))


def asked_classes(n):
    """The requested class of each of n samples: every class equally often."""
    return np.arange(n) % CLASSES


def start_noise(seed, n):
    """The noise from which n samples of a seed start, the same for every sampler."""
    return Rng(seed, Stream.STUDY_START).standard_normal((n, *SHAPE))


def draw_samples(name, denoiser, n, seed, cond=None, **options):
    """n samples by the sampler of this name, of all classes equally often (or of the classes `cond`; False: unconditional)."""
    cond = asked_classes(n) if cond is None else None if cond is False else cond
    x = start_noise(seed, n) * np.float32(getattr(denoiser.schedule, "prior_std", 1.0))
    return sample(name, denoiser, x.shape, x=x, rng=Rng(seed, Stream.STUDY_WALK), cond=cond, **options)


class Counted:
    """A denoiser that counts its evaluations."""

    def __init__(self, denoiser):
        self.denoiser, self.schedule, self.calls = denoiser, denoiser.schedule, 0

    def __call__(self, x, t, cond=None):
        self.calls += 1
        return self.denoiser(x, t, cond)

    def predict(self, x, t, cond=None):
        self.calls += 1
        return self.denoiser.predict(x, t, cond)

    def __getattr__(self, name):
        return getattr(self.denoiser, name)


def held_out(n=None):
    """The first n digits that no model was trained on, classes mixed.   -> images, labels"""
    images, labels = data.load("digits", split="test")
    order = Rng(0, Stream.STUDY_HELD_OUT).permutation(len(images))[:n]
    return images[order], labels[order]


def loss_by_t(denoiser, times, options, n=None, seed=0):
    """Mean squared errors of both predictions on held-out digits, at each t.   -> yields (t, eps_mse, x0_mse)"""
    n = n or options.size(360, 20)
    images, labels = held_out(n)
    for t in times:
        eps = Rng(seed, Stream.STUDY_LOSS, int(t)).standard_normal(images.shape)
        x0_hat, eps_hat = denoiser(denoiser.schedule.add_noise(images, eps, int(t)), int(t), labels)
        yield int(t), float(((eps_hat - eps) ** 2).mean()), float(((x0_hat - images) ** 2).mean())


def denoiser_of(model, config):
    """A Denoiser over a model that was trained with the configuration's schedule and prediction."""
    objective = build_objective(config)
    return Denoiser(model, objective.schedule, objective.predicts)
