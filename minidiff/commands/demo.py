"""Train on the real 8 x 8 digits, sample and measure: about two minutes on two cores.

Writes samples.png, denoising.gif, loss.png, metrics.json and a checkpoint into runs/demo.
"""

import json
import time
from pathlib import Path

import numpy as np

from .. import data, metrics, viz
from ..backend import module_of, to_numpy
from ..diffusion import cfg
from ..files import write_whole
from ..rng import Rng, Stream
from ..runs import build, preset, shortened
from ..samplers import ddim, sample
from ..training.parallel import among_ranks
from . import device
from .train import make_trainer
from .values import whole

GUIDANCE, STEPS = 0.2, 20  # for the samples shown and measured


def add_arguments(parser):
    parser.add_argument("--out", default="runs/demo", metavar="FOLDER", help="output folder (default: runs/demo)")
    parser.add_argument("--steps", type=whole, default=1000, metavar="N", help="training steps (default: 1000)")
    parser.add_argument("--samples", type=whole, default=1000, metavar="N", help="number of samples to measure (default: 1000)")
    parser.add_argument("--seed", type=whole, default=0, metavar="N", help="seed of weights, data order and noise (default: 0)")
    device.add_arguments(parser)
    parser.add_argument("--no-progress", action="store_true", help="no progress bar")


def run(arguments):
    start, out = time.perf_counter(), Path(arguments.out)
    config = shortened(preset("digits").override(
        [f"train.steps={arguments.steps}", f"train.seed={arguments.seed}", "train.sample_every=none"]
    ))  # fmt: skip
    made, xp = build(config, arguments.device), module_of(arguments.device)
    options = device.options(arguments)
    print(f"1/4  training a U-Net of {made.model.size():,} parameters on {len(made.images):,} real digits")
    trainer = make_trainer(made, out, **options)
    trainer.run(progress=not arguments.no_progress)
    if trainer.writes:
        trainer.history.plot(path=out / "loss.png")

    print("2/4  sampling 100 digits from noise, with an animation")
    with trainer.ema.applied():
        denoiser, shape = made.objective.denoiser(trainer.model), made.images.shape[1:]
        asked = xp.asarray(np.repeat(np.arange(10), 10))
        noise = Rng(arguments.seed, Stream.DEMO_FILM, xp=xp).standard_normal((100, *shape))
        film = [noise] + [step.x for step in ddim(cfg(denoiser, asked, GUIDANCE), noise, steps=STEPS, **options)]
        film = [to_numpy(x) for x in film]
        if trainer.writes:
            viz.save_png(film[-1], out / "samples.png", columns=10)
            viz.save_gif(film, out / "denoising.gif", columns=10, scale=4)  # below 1 MB

        print(f"3/4  sampling {arguments.samples:,} more digits to measure")
        asked = xp.asarray(np.arange(arguments.samples) % 10)
        samples = sample("ddim", cfg(denoiser, asked, GUIDANCE), (arguments.samples, *shape), steps=STEPS,
                         rng=Rng(arguments.seed, Stream.DEMO_MEASURED, xp=xp), device=arguments.device, **options)  # fmt: skip

    print("4/4  training a classifier on the real digits and scoring the samples with it")
    held_out, held_out_labels = data.load("digits", split="test")
    judge = among_ranks(metrics.train_classifier(made.images, made.labels))
    figures = metrics.report(judge, samples, asked, made.images, held_out, held_out_labels)
    seconds = time.perf_counter() - start
    figures = {"seconds": round(seconds, 1), "steps": trainer.done, "parameters": made.model.size(), **figures,
               "guidance": GUIDANCE, "sampler": "ddim", "sampler_steps": STEPS, "seed": arguments.seed}  # fmt: skip
    if trainer.writes:
        write_whole(out / "metrics.json", [json.dumps(figures, indent=1).encode() + b"\n"])
    print(_closing(out, figures))


def _closing(out, f):
    return f"""
Done in {f["seconds"]:.0f} seconds. In {out}:
  samples.png             ten rows, one per class
  denoising.gif           the same digits, from noise to image
  loss.png                training loss by step
  checkpoint.safetensors  weights, moving average, optimizer state, configuration
  metrics.json            of {f["samples"]:,} samples, {f["class_accuracy"]:.1%} show the requested digit;
                          Frechet distance to held-out digits {f["frechet_distance"]:.2f} (real training digits: {
        f["frechet_distance_train_to_held_out"]:.2f});
                          distance to the nearest training digit {f["nearest_neighbour_samples_to_train"]:.3f} (held-out ones: {
        f["nearest_neighbour_held_out_to_train"]:.3f})
Try next:
  minidiff sample {out} --class 3 --guidance 2
  minidiff sample {out} --sampler dpmpp_2m --steps 8
  minidiff train --data mnist"""
