"""Train a model on a data set, from scratch or from an existing checkpoint.

examples:
  minidiff train --data digits                          the 8 x 8 digits that ship with minidiff
  minidiff train --data mnist --steps 5000              28 x 28, downloaded once
  minidiff train --data ~/mnist-files                   a folder of idx files, or of PNG and JPEG images
  minidiff train --data photos --size 32 --out runs/photos
  minidiff train --out runs/digits --resume             resume an interrupted run, bit for bit
  minidiff train --out runs/digits --resume --lr 1e-4 --allow-change      and change its learning rate
  minidiff train --from runs/digits --data photos       start from the model, weights, schedule and loss of that run
  minidiff train --data digits --model dit --schedule flow    a diffusion transformer, trained by flow matching
  minidiff train --data digits --set model.dropout=0.1 --set train.lr=3e-4
  minidiff train --recipe stable_diffusion --minutes 5   a text-to-image system of several models, scaled down to 5 minutes

Writes checkpoint.safetensors, log.csv and loss.png into the run folder, and samples_STEP.png at intervals.
Sample from it with `minidiff sample RUN`.
"""

import contextlib
from pathlib import Path

from ..backend import device_of
from ..lock import locked
from ..mpi import world
from ..runs import build, class_order, find_checkpoint, open_run
from ..samplers import sample
from ..training import Trainer, checkpoint
from ..training.parallel import shared
from ..training.resume import SettingsDiffer
from . import device
from .recipes import train_recipe
from .settings import ALLOW, configuration, data_name, folder_name
from .values import number, whole

SHEET = 80  # images on a sheet of samples at most: eight per class of ten


def add_arguments(parser):
    what = parser.add_argument_group("what to train")
    what.add_argument("--data", metavar="NAME|FOLDER", help="digits, mnist, fashion-mnist, cifar10, moons, swiss_roll, "
                      "checkerboard, gaussians, or a folder of idx files or images (default: digits)")  # fmt: skip
    what.add_argument("--size", type=whole, metavar="N", help="resize the images of a folder to N x N")
    what.add_argument("--root", metavar="FOLDER", help="download cache (default: $MINIDIFF_DATA or the user's cache)")
    what.add_argument("--config", metavar="FILE", help="a TOML file with tables [data], [model], [diffusion], [train]")
    what.add_argument("--recipe", metavar="NAME", help="train a text-to-image system or a part of one from scratch: "
                      "clip, language, autoencoder, stable_diffusion, imagen, dalle2, pixart")  # fmt: skip
    what.add_argument("--reuse", action="store_true", help="with --recipe: take the encoders that ship with minidiff instead "
                      "of training them again")  # fmt: skip
    what.add_argument("--from", dest="start_from", metavar="RUN", help="start from the model, weights, schedule and loss "
                      "of another run (fine-tuning), such as one from `minidiff import`; ignored with --resume")  # fmt: skip
    how = parser.add_argument_group("how")
    how.add_argument("--steps", type=whole, metavar="N", help="training steps (for a recipe: of each stage)")
    how.add_argument(
        "--minutes", type=number, metavar="M", help="with --recipe: scale its steps to about M minutes on two cores"
    )
    how.add_argument("--batch-size", type=whole, metavar="N", help="examples per step")
    how.add_argument("--lr", type=number, metavar="X", help="peak learning rate of AdamW")
    how.add_argument("--model", metavar="NAME", help="model: unet, dit (a diffusion transformer) or mlp, for points "
                     "(default: what suits the data)")  # fmt: skip
    how.add_argument(
        "--schedule",
        metavar="NAME",
        help="noise schedule: linear, scaled_linear, quadratic, cosine, sigmoid; or flow, for flow matching",
    )
    how.add_argument("--T", type=whole, metavar="N", help="number of timesteps of the noise schedule")
    how.add_argument(
        "--predicts",
        metavar="NAME",
        help="prediction target of the model: eps, x0, v, velocity or score (with --schedule flow: velocity)",
    )
    how.add_argument("--seed", type=whole, metavar="N", help="seed of weights, data order, noise and dropout (default: 0)")
    device.add_arguments(how)
    how.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="assignments",
                     help="any configuration key, such as model.dropout=0.1; may be repeated")  # fmt: skip
    where = parser.add_argument_group("output")
    where.add_argument("--out", metavar="FOLDER", help="run folder (default: runs/NAME)")
    where.add_argument("--resume", action="store_true", help="resume from the checkpoint in --out")
    where.add_argument("--allow-change", action="store_true", help="with --resume or --from: let these options replace "
                       "settings of that run, and print each change")  # fmt: skip
    where.add_argument("--overwrite", action="store_true", help="discard the existing checkpoint and start over")
    where.add_argument(
        "--checkpoint-every", type=whole, metavar="N", help="steps between checkpoints (each replaces the one before)"
    )
    where.add_argument("--sample-every", type=whole, metavar="N", help="steps between sheets of samples")
    where.add_argument("--no-progress", action="store_true", help="no progress bar")


def run(arguments):
    if arguments.allow_change and not (arguments.resume or arguments.start_from):
        raise ValueError("--allow-change: only valid with --resume or --from")
    try:
        return train_recipe(arguments) if arguments.recipe is not None else _train(arguments)
    except SettingsDiffer as error:
        raise SettingsDiffer(error.differs, ALLOW) from None


def _train(arguments):
    if arguments.minutes is not None:
        raise ValueError("--minutes: only valid with --recipe; use --steps")
    if arguments.reuse:
        raise ValueError("--reuse: only valid with --recipe; use --from")
    given = open_run(arguments.start_from) if arguments.start_from and not arguments.resume else None
    name = data_name(arguments, given and given.kept)
    folder = Path(arguments.out or Path("runs") / folder_name(name))
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out: got the file {folder}, expected a folder")
    with locked(folder) if world().is_first else contextlib.nullcontext():
        _train_in(folder, arguments, given)


def _train_in(folder, arguments, given):
    found = world().first(_checkpoint, folder, arguments)
    kept = found.config.get("run") if found else None
    config, changes = configuration(arguments, kept, given and given.kept)
    if world().size > 1:  # rank 0 downloads what is missing, and the other ranks find it
        world().first(lambda: build(config) and None)
    made = build(config, arguments.device, class_order(config, kept, given and given.kept))
    if given:
        made.model.load_state(given.denoiser.model.state())
        d = made.config.diffusion
        print(f"starting from {arguments.start_from}: predicts {d.predicts}, {made.objective.schedule}")
    if found:
        print(f"resuming {folder} at step {found.step}")
    for change in changes:
        print(f"changed: {change}")
    trainer = make_trainer(made, folder, **device.options(arguments))
    if found:
        trainer.resume(strict=not arguments.allow_change)
    print(f"training {made.model.size():,} parameters on {len(made.images):,} examples of {config.data.name}, "
          f"{trainer.steps - trainer.done} steps")  # fmt: skip
    if trainer.ranks.size > 1:
        print(f"on {trainer.model.about_ranks()}")
    trainer.run(progress=not arguments.no_progress)
    if trainer.writes:
        trainer.history.plot(path=folder / "loss.png")
    print(f"{folder / 'checkpoint.safetensors'}: step {trainer.done}, loss {trainer.history.recent_loss():.4f}")
    print(f"next: minidiff sample {folder}")


def make_trainer(made, folder, **more):
    """The Trainer of a run, which draws a sheet of samples at intervals."""
    options = {key: value for key, value in vars(made.config.train).items()}
    picture = sample_all_classes(made) if len(made.images.shape) == 4 else None
    if picture is None:
        options["sample_every"] = None
    return Trainer(shared(made.model), made.objective, made.images, made.labels, folder=folder, sample=picture,
                   config=made.kept, **{**options, **more})  # fmt: skip


def sample_all_classes(made, each=8, steps=20):
    """A function that maps the trainer to samples by DDIM: `each` per class, or 64 without classes.

    With many classes there are fewer samples per class, at most SHEET in all. Takes at most T steps.
    """
    classes, steps = made.kept["classes"], min(steps, getattr(made.objective.schedule, "T", steps))
    each = max(1, min(each, SHEET // (classes or 1)))
    n = 64 if classes is None else min(classes, SHEET) * each

    def picture(trainer):
        cond = None if classes is None else trainer.xp.arange(n) // each
        shape = (n, *made.images.shape[1:])
        options = {"device": device_of(trainer.images), "graph": trainer.graph, "tf32": trainer.tf32}
        denoiser = made.objective.denoiser(trainer.model)
        return sample("ddim", denoiser, shape, steps=steps, rng=trainer.sampling_rng(), cond=cond,
                      clip=made.config.diffusion.clip, **options)  # fmt: skip

    return picture


def _checkpoint(folder, arguments):
    """The checkpoint to resume from, or None."""
    file = find_checkpoint(folder)
    if arguments.resume:
        found = checkpoint.load(file)
        if not found.m:
            raise ValueError(f"--resume: got {file} without optimizer moments, expected a checkpoint of a training run; "
                             f"fine-tune its weights with --from {folder} and another --out")  # fmt: skip
        return found
    if file.exists() and not arguments.overwrite:
        raise ValueError(
            f"--out: got {folder}, expected a folder without a checkpoint; add --resume to continue or --overwrite"
        )
    return None
