"""Minutes on two cores: does a diffusion transformer draw the MNIST digit asked for, beside a U-Net of its size and time?

Both models have about 0.7 M parameters, predict the velocity of a flow, and get the same batches and the same noise. They train
for about the same time: a step of the U-Net takes 4.6 times as long, so it gets that many fewer steps. The samples take at most
ten evaluations of the network for each image, those of the null class for guidance included. A classifier that was trained on
the training digits reads them. The Fréchet distance is taken in its features, to the digits of the test set. The last row of
the table has the real digits: how the classifier reads the test set, and how far the training digits are from it.
"""

import numpy as np

from .. import data, metrics, training
from ..diffusion import cfg
from ..models import Classifier
from ..mpi import world
from ..rng import Rng, Stream
from ..runs import build, open_run, preset, shortened
from ..samplers import sample
from ..training import DataParallel, Trainer
from ..training.complete import complete
from ..training.parallel import among_ranks
from . import digits
from .plot import colour, finish, panels, side_by_side
from .table import over_seeds

NETS = {  # name: (class of model, its options, training steps)
    "DiT": ("dit", (), 2400),
    "U-Net": ("unet", ("model.block_out_channels=[32,48,48]", "model.attention_head_dim=16"), 520),
}
FLOW = ("diffusion.schedule=flow", "diffusion.predicts=velocity", "diffusion.t_sampler=logit_normal", "train.batch_size=128",
        "train.betas=[0.9,0.99]", "train.ema_decay=0.99", "train.sample_every=null")  # fmt: skip
TINY = {"dit": ("model.num_layers=1", "model.attention_head_dim=4"),
        "unet": ("model.block_out_channels=[8,16]", "model.norm_num_groups=4", "model.attention_head_dim=8")}  # fmt: skip
EVALUATIONS = 10  # of the network for an image
WEIGHTS = (0.0, 0.5, 1.0, 2.0)  # of guidance


def run(options):
    """Rows: `net`, guidance weight, steps and evaluations of the sampler; accuracy, frechet and nearest of the samples;
    parameters and training steps of the network. The last row is of the real digits."""
    judge, n, sheets = Judge(options), options.size(1000, 20), []
    for net in NETS:
        runs = {seed: trained(options, net, seed) for seed in options.seeds}
        first = runs[options.seeds[0]]
        size = {"parameters": first.denoiser.model.size(), "training_steps": first.kept["train"]["steps"]}
        for weight in options.size(WEIGHTS, (0.0, 2.0)):
            kept = {}

            def measure(seed, runs=runs, weight=weight, kept=kept):
                kept[seed] = draw_samples(runs[seed].denoiser, runs[seed].kept["shape"], n, weight, seed)
                return judge.look(kept[seed], digits.asked_classes(n))

            row = {"net": net, "weight": weight, "steps": steps_at(weight), "evaluations": EVALUATIONS, "samples": n}
            yield row | over_seeds(options.seeds, measure) | size
            sheets.append((f"{net}, w = {weight:g}", kept[options.seeds[0]][:20]))
    yield {"net": "real digits", "samples": n} | judge.real(n)
    side_by_side(sheets, options.out / "dit_samples.png")


def steps_at(weight):
    """Steps of the sampler: with guidance, each takes two evaluations of the network."""
    return EVALUATIONS // 2 if weight else EVALUATIONS


def draw_samples(denoiser, shape, n, weight, seed):
    """n digits of all classes equally often, from the noise of this seed, by DPM-Solver++(2M) on the flow's times."""
    x, asked = Rng(seed, Stream.STUDY_START).standard_normal((n, *shape)), digits.asked_classes(n)
    if weight:
        return sample("dpmpp_2m", cfg(denoiser, asked, weight), x.shape, steps_at(weight), x=x)
    return sample("dpmpp_2m", denoiser, x.shape, steps_at(weight), x=x, cond=asked)


def trained(options, net, seed):
    """The network of this name, trained with this seed on first use.   -> Saved, with the averaged weights"""
    model, own, steps = NETS[net]
    tiny = (*TINY[model], "train.batch_size=16", "train.steps=8") if options.quick else (f"train.steps={steps}",)
    config = shortened(preset(_data(options), model).override([*FLOW, *own, f"train.seed={seed}", *tiny]))
    folder, made = digits.place(options, f"dit/{model}/{seed}"), build(config)
    settings = {key: value for key, value in vars(config.train).items() if key != "sample_every"}
    workers = DataParallel(made.model)
    trainer = Trainer(workers, made.objective, made.images, made.labels, folder=folder, config=made.kept, **settings)
    complete(trainer, options.progress)
    workers.close()
    return open_run(folder, processes=None)


def _data(options):
    return options.size("mnist", "digits")


class Judge:
    """The classifier that reads samples, trained on the real digits, with its features of the test set."""

    def __init__(self, options):
        self.images, self.labels = data.load(_data(options))
        self.held_out, self.held_out_labels = data.load(_data(options), split="test")
        path, width = digits.place(options, "dit/judge.safetensors"), options.size(24, 4)
        if world().first(path.exists):
            self.net = Classifier(self.images.shape[1:], 10, width=width)
            self.net.load_state(training.load(path).weights)
        else:
            self.net = metrics.train_classifier(self.images, self.labels, 1, width, progress=options.progress)
            world().first(lambda: training.save(path, self.net))
        self.net = among_ranks(self.net)
        self.features = metrics.features(self.net, self.held_out)

    def look(self, samples, asked):
        """{accuracy: share read as asked, frechet: to the test set, nearest: median distance to the nearest training digit}"""
        return {
            "accuracy": metrics.accuracy(self.net, samples, asked),
            "frechet": metrics.frechet_distance(metrics.features(self.net, samples), self.features),
            "nearest": float(np.median(metrics.nearest_distances(samples, self.images))),
        }

    def real(self, n):
        """The same of real digits: the test set, the training digits to it, and n of its digits to the training ones."""
        return {
            "accuracy": metrics.accuracy(self.net, self.held_out, self.held_out_labels),
            "frechet": metrics.frechet_distance(metrics.features(self.net, self.images), self.features),
            "nearest": float(np.median(metrics.nearest_distances(self.held_out[:n], self.images))),
        }


def draw(rows):
    figure, axes = panels(11, 4, 2)
    for net in NETS:
        own = [row for row in rows if row["net"] == net]
        for ax, name in zip(axes, ("accuracy", "frechet"), strict=True):
            errors = [row[f"{name}_error"] or 0 for row in own]
            ax.errorbar([row["weight"] for row in own], [row[name] for row in own], errors, marker="o", capsize=3, label=net)
    real = next(row for row in rows if row["net"] == "real digits")
    for ax, name in zip(axes, ("accuracy", "frechet"), strict=True):
        ax.axhline(real[name], color=colour(7), linewidth=0.8, linestyle="--", label="real digits")
    finish(
        axes[0], "guidance weight w", "samples read as the class asked for", f"{EVALUATIONS} evaluations an image", legend=True
    )
    finish(axes[1], "guidance weight w", "Fréchet distance to the test set", "lower is closer")
    return figure
