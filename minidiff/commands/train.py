"""Train a model on a data set, from nothing or from where a run was stopped.

examples:
  minidiff train --data digits                          the 8 x 8 digits that ship with minidiff
  minidiff train --data mnist --steps 5000              28 x 28, downloaded once and kept
  minidiff train --data ~/mnist-files                   a folder of idx files, or of PNG and JPEG pictures
  minidiff train --data photos --size 32 --out runs/photos
  minidiff train --out runs/digits --resume             go on where a run was stopped, to the bit
  minidiff train --data digits --set model.dropout=0.1 --set train.lr=3e-4
  minidiff train --recipe stable_diffusion --minutes 5   a text-to-image system of several nets, shorter than in full

A run leaves in its folder: checkpoint.safetensors, log.csv, loss.png, and samples_STEP.png every so often.
`minidiff sample RUN` then samples from it.
"""

import dataclasses
import json
from pathlib import Path

from ..backend import device_of
from ..runs import build, class_order, find_checkpoint, open_run, preset
from ..training import DataParallel, Trainer, checkpoint
from ..training.config import RunConfig
from . import device
from .recipes import train_recipe

SHORT = {  # flag -> key of the configuration
    "steps": "train.steps", "batch_size": "train.batch_size", "lr": "train.lr", "seed": "train.seed",
    "checkpoint_every": "train.checkpoint_every", "sample_every": "train.sample_every", "schedule": "diffusion.schedule",
    "T": "diffusion.T", "predicts": "diffusion.predicts", "size": "data.size", "root": "data.root",
}  # fmt: skip


def add_arguments(parser):
    what = parser.add_argument_group("what to train")
    what.add_argument("--data", metavar="NAME|FOLDER", help="digits, mnist, fashion-mnist, cifar10, moons, swiss_roll, "
                      "checkerboard, gaussians, or a folder of idx files or pictures (default: digits)")  # fmt: skip
    what.add_argument("--size", type=int, metavar="N", help="resize the pictures of a folder to N x N")
    what.add_argument("--root", metavar="FOLDER", help="where downloads are kept (default: $MINIDIFF_DATA or the user's cache)")
    what.add_argument("--config", metavar="FILE", help="a TOML file with tables [data], [model], [diffusion], [train]")
    what.add_argument("--recipe", metavar="NAME", help="a text-to-image system or a part of one, from nothing: clip, language, "
                      "autoencoder, stable_diffusion, imagen, dalle2")  # fmt: skip
    what.add_argument("--from", dest="start_from", metavar="RUN", help="begin with the net and weights of another run "
                      "(fine-tuning), such as one that `minidiff import` made")  # fmt: skip
    how = parser.add_argument_group("how")
    how.add_argument("--steps", type=int, metavar="N", help="training steps (of a recipe: of each of its stages)")
    how.add_argument("--minutes", type=float, metavar="M", help="of a recipe: scale its steps to about M minutes on two cores")
    how.add_argument("--batch-size", type=int, metavar="N", help="examples a step")
    how.add_argument("--lr", type=float, metavar="X", help="highest learning rate of AdamW")
    how.add_argument("--schedule", metavar="NAME", help="noise schedule: linear, scaled_linear, quadratic, cosine, sigmoid")
    how.add_argument("--T", type=int, metavar="N", help="steps of the noise schedule")
    how.add_argument("--predicts", metavar="NAME", help="what the net predicts: eps, x0, v or score")
    how.add_argument("--seed", type=int, metavar="N", help="of weights, data order, noise and dropout (default: 0)")
    device.add_arguments(how)
    how.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="assignments",
                     help="any key of the configuration, such as model.dropout=0.1; may be given often")  # fmt: skip
    where = parser.add_argument_group("where to, and what on the way")
    where.add_argument("--out", metavar="FOLDER", help="the run's folder (default: runs/NAME)")
    where.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    where.add_argument("--overwrite", action="store_true", help="start anew in a folder that holds a checkpoint")
    where.add_argument("--checkpoint-every", type=int, metavar="N", help="steps between checkpoints (one is always kept)")
    where.add_argument("--sample-every", type=int, metavar="N", help="steps between pictures of samples")
    where.add_argument("--no-progress", action="store_true", help="no progress bar")


def run(arguments):
    if arguments.recipe is not None:
        return train_recipe(arguments)
    if arguments.minutes is not None:
        raise ValueError("--minutes: belongs to --recipe; say --steps")
    folder, found = _folder(arguments)
    given = open_run(arguments.start_from) if arguments.start_from and not found else None
    config = configuration(arguments, found)
    if given:
        config = dataclasses.replace(config, model=given.kept["model"])
    order = class_order(config, found and found.config.get("run"), given and given.kept)
    made = build(config, arguments.device, order)
    if given:
        made.model.load_state(given.denoiser.model.state())
    if found:  # a model's options that were left open are those the data gave it then
        print(f"going on with {folder} at step {found.step}")
    trainer = make_trainer(made, folder, **device.options(arguments))
    if found:
        trainer.resume()
    print(f"training {made.model.size():,} parameters on {len(made.images):,} examples of {config.data.name}, "
          f"{trainer.steps - trainer.done} steps")  # fmt: skip
    trainer.run(progress=not arguments.no_progress)
    trainer.history.plot(path=folder / "loss.png")
    print(f"{folder / 'checkpoint.safetensors'}: step {trainer.done}, loss {_last(trainer.history.loss):.4f}")
    print(f"next: minidiff sample {folder}")


def configuration(arguments, found=None):
    """The RunConfig that flags, --config, --set and, when resuming, the checkpoint amount to."""
    if found:
        kept = found.config.get("run") or {}
        config = RunConfig.from_dict({key: kept[key] for key in ("data", "model", "diffusion", "train") if key in kept})
        if arguments.data and arguments.data != config.data.name:
            raise ValueError(f"--data: got {arguments.data}, but the run in {arguments.out} was on {config.data.name}")
    else:
        config = preset(arguments.data or "digits")
    if arguments.config:
        config = _merged(config, arguments.config)
    flags = [
        f"{key}={json.dumps(getattr(arguments, flag))}" for flag, key in SHORT.items() if getattr(arguments, flag) is not None
    ]
    return config.override(flags + arguments.assignments)


def make_trainer(made, folder, **more):
    """The Trainer of a run, with pictures of samples every so often."""
    options = {key: value for key, value in vars(made.config.train).items()}
    picture = sample_all_classes(made) if len(made.images.shape) == 4 else None
    if picture is None:
        options["sample_every"] = None
    model = DataParallel(made.model) if made.model.device == "cpu" else made.model
    return Trainer(model, made.objective, made.images, made.labels, folder=folder, sample=picture, config=made.kept,
                   **{**options, **more})  # fmt: skip


def sample_all_classes(made, each=8, steps=20):
    """A function of the trainer: `each` samples of every class by DDIM, or 64 where there are no classes."""
    from ..samplers import sample

    classes = made.kept["classes"]
    n = 8 * each if classes is None else classes * each

    def picture(trainer):
        cond = None if classes is None else trainer.xp.arange(n) // each
        shape = (n, *made.images.shape[1:])
        options = {"device": device_of(trainer.images), "graph": trainer.graph, "tf32": trainer.tf32}
        denoiser = made.objective.denoiser(trainer.model)
        return sample("ddim", denoiser, shape, steps=steps, rng=trainer.sampling_rng(), cond=cond, **options)

    return picture


def _folder(arguments):
    """(the run's folder, the checkpoint to resume from or None)"""
    name = Path(arguments.data).expanduser().name if arguments.data else "digits"
    folder = Path(arguments.out or Path("runs") / name)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out: {folder} is a file, expected a folder")
    file = find_checkpoint(folder) if folder.is_dir() else folder / "checkpoint.safetensors"
    if arguments.resume:
        return folder, checkpoint.load(file)
    if file.exists() and not arguments.overwrite:
        raise ValueError(
            f"--out: {folder} holds a checkpoint; add --resume to go on, --overwrite to start anew, or name another"
        )
    return folder, None


def _merged(config, path):
    """The configuration with the tables of a TOML file laid over it."""
    import tomllib

    RunConfig.from_toml(path)  # every key and value is checked on its own first
    values, own = tomllib.loads(Path(path).read_text(encoding="utf-8")), config.to_dict()
    return RunConfig.from_dict({section: {**own[section], **values.get(section, {})} for section in own})


def _last(losses, n=50):
    return sum(losses[-n:]) / max(1, len(losses[-n:]))
