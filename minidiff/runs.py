"""A run: from a configuration to model, loss and data, and from a checkpoint back to something that samples."""

import dataclasses
import math
from pathlib import Path
from typing import Any, NamedTuple

from . import data
from .diffusion import Flow, HybridLoss, Schedule, SimpleLoss
from .diffusion.schedule import NAMES
from .json_file import about_file
from .model_options import build_model, check_fit, check_model_options, complete, is_unconditional, null_class
from .mpi import world
from .names import check_choice
from .training import DataParallel, checkpoint
from .training.arguments import check_numbers
from .training.config import RunConfig
from .training.trainer import FILE

SHIPPED = Path(__file__).parent / "pretrained" / "mnist"  # a run of `minidiff study dit`, its averaged weights in float16
LONGEST = 1_000_000  # steps of a schedule: more take minutes to write down, and no one has trained so
SHARED = {
    "model": {"name": "unet"},
    "diffusion": {"schedule": "cosine", "predicts": "v"},
    "train": {"lr": 2e-3, "warmup": 100, "checkpoint_every": 250, "sample_every": 500},
}
_SMALL = {"layers_per_block": 1, "norm_num_groups": 8, "attention_head_dim": 32}
_LARGE = {"layers_per_block": 2, "norm_num_groups": 16, "attention_head_dim": 32, "dropout": 0.1}
PRESETS = {  # what suits a data set, over SHARED; any of it can be changed
    "digits": {"model": {**_SMALL, "block_out_channels": [32, 64]}, "train": {"steps": 1500}},
    "mnist": {"model": {**_SMALL, "block_out_channels": [32, 64, 64]}, "train": {"steps": 4000}},
    "cifar10": {"model": {**_LARGE, "block_out_channels": [64, 128, 128]}, "train": {"steps": 50000, "lr": 5e-4}},
    "points": {
        "model": {"name": "mlp", "width": 128, "depth": 3},
        "diffusion": {"predicts": "eps"},
        "train": {"steps": 3000, "batch_size": 256},
    },
}
DIT = {  # the same for `model.name = "dit"`, over PRESETS; its patch size follows from the images
    "digits": {"model": {"num_attention_heads": 4, "attention_head_dim": 16, "num_layers": 3}},
    "mnist": {
        "model": {"num_attention_heads": 4, "attention_head_dim": 22, "num_layers": 4},
        "train": {"steps": 2400, "batch_size": 128, "betas": [0.9, 0.99], "ema_decay": 0.99},
    },
    "cifar10": {"model": {"num_attention_heads": 8, "attention_head_dim": 32, "num_layers": 6}},
}


class Run(NamedTuple):
    """config with every model option written out; model; objective; images (N, ...); labels (N,) or None; what is kept."""

    config: RunConfig
    model: Any
    objective: Any
    images: Any
    labels: Any
    kept: dict


def preset(name, model=None):
    """The default RunConfig of a data set by name; unknown image data gets the defaults of MNIST.

    model   "unet", "dit" or "mlp"; None: what suits the data
    """
    kind = "points" if data.info(name).shape == (2,) else name if name in PRESETS else "mnist"
    chosen = {section: {**values, **PRESETS[kind].get(section, {})} for section, values in SHARED.items()}
    if model not in (None, chosen["model"]["name"]):
        own = DIT.get(kind, {}) if model == "dit" else {}
        chosen = {section: {**values, **own.get(section, {})} for section, values in chosen.items()}
        chosen["model"] = {"name": model, **own.get("model", {})}
    return RunConfig.from_dict({**chosen, "data": {"name": str(name)}})


def shortened(config):
    """The configuration with a warm-up of at most a tenth of its steps: the presets' belongs to runs of full length."""
    train = config.train
    return dataclasses.replace(config, train=dataclasses.replace(train, warmup=min(train.warmup, train.steps // 10)))


def build(config, device="cpu", class_names=None):
    """Data, a freshly initialised model and its loss.   -> Run. Raises ValueError for options that do not exist or fit.

    class_names   those of the run that is continued, so that its classes keep their numbers, whatever their order is today
    """
    check_model_options(config.model)
    check_numbers(**vars(config.train))
    build_objective(config)  # what it cannot be made of is said before the data are read
    wanted = {key: value for key, value in dataclasses.asdict(config.data).items() if value is not None}
    if config.data.name not in data.names():
        wanted["class_names"] = class_names
    images, labels = data.load(wanted.pop("name"), **wanted)
    if is_unconditional(config.model):
        labels = None
    shape, classes = images.shape[1:], None if labels is None else int(labels.max()) + 1
    learned = config.diffusion.learned_variance
    config = dataclasses.replace(config, model=complete(config.model, shape, classes, learned))
    check_fit(config.model, config.data.name, shape, classes, learned)
    if (classes is None or null_class(config.model) is None) and config.diffusion.cond_dropout:  # nothing to replace, or by
        config = dataclasses.replace(config, diffusion=dataclasses.replace(config.diffusion, cond_dropout=0.0))
    objective = build_objective(config)
    model = build_model(config.model, config.train.seed).to(device)
    names = class_names or data.info(config.data.name).class_names
    kept = {**config.to_dict(), "shape": list(shape), "classes": classes, "class_names": list(names) if names else None}
    return Run(config, model, objective, images, labels, kept)


def class_order(config, found=None, given=None):
    """The class names to number a run's data by, or None for their own order: those of the run that is resumed, and of one
    that --from begins with where the data have no other classes. Both are what such runs kept, or None."""
    if found:
        return found.get("class_names")
    earlier, names = (given or {}).get("class_names"), data.info(config.data.name).class_names
    return earlier if earlier and names and set(names) <= set(earlier) else None


def build_schedule(d):
    """The Schedule or Flow of a DiffusionConfig. Raises ValueError for options that cannot be combined."""
    check_choice("schedule", d.schedule, (*NAMES, "from_betas", "flow"))
    if d.schedule == "flow":
        for key in ("beta_start", "beta_end", "betas"):
            if getattr(d, key) is not None:
                raise ValueError(f"diffusion.{key}: cannot be combined with schedule 'flow'")
        return Flow() if d.shift is None else Flow(d.shift)
    if d.shift is not None:
        raise ValueError(f"diffusion.shift: only valid with schedule 'flow', got schedule {d.schedule!r}")
    options = {key: getattr(d, key) for key in ("beta_start", "beta_end") if getattr(d, key) is not None}
    if d.schedule in ("cosine", "from_betas") and options:
        raise ValueError(f"diffusion.{', diffusion.'.join(options)}: cannot be combined with schedule {d.schedule!r}")
    if (d.betas is not None) != (d.schedule == "from_betas"):
        raise ValueError("diffusion.betas: only valid with schedule 'from_betas', which requires them")
    if d.betas is not None:
        if len(d.betas) != d.T:
            raise ValueError(f"diffusion.T: got {d.T}, expected {len(d.betas)}, the number of diffusion.betas")
        return Schedule.from_betas(d.betas)
    if d.T > LONGEST:
        raise ValueError(f"diffusion.T: got {d.T}, expected at most {LONGEST:,}")
    if not options and d.schedule != "cosine":
        options = {"scale_to_T": True}  # the usual betas belong to T = 1000; with another T they end in too little noise
    return Schedule.named(d.schedule, d.T, **options)


def build_objective(config):
    """Schedule and loss. Raises ValueError for options that do not exist or do not go together."""
    d, schedule = config.diffusion, build_schedule(config.diffusion)
    if d.clip is not None and not 0 < d.clip < math.inf:
        raise ValueError(f"diffusion.clip: got {d.clip}, expected a finite number > 0, or none")
    if d.schedule == "flow":
        return _flow_objective(d, schedule)
    if not d.learned_variance:
        return SimpleLoss(schedule, d.predicts, d.weighting, d.cond_dropout, d.t_sampler)
    if d.weighting != "simple":
        raise ValueError(f"diffusion.weighting: got {d.weighting!r}, expected 'simple' with diffusion.learned_variance")
    return HybridLoss(schedule, d.predicts, cond_dropout=d.cond_dropout, t_sampler=d.t_sampler)


def _flow_objective(d, flow):
    """Conditional flow matching, its model being given T t."""
    if d.learned_variance:
        raise ValueError("diffusion.learned_variance: cannot be combined with schedule 'flow', which has no steps of DDPM")
    if d.predicts in ("eps", "score"):
        raise ValueError(f"diffusion.predicts: got {d.predicts!r}, expected 'velocity', 'v' or 'x0' with schedule 'flow', "
                         "whose sampling starts from pure noise, where alpha is 0")  # fmt: skip
    return SimpleLoss(flow, d.predicts, d.weighting, d.cond_dropout, d.t_sampler, time_scale=float(d.T))


def find_checkpoint(path):
    """The checkpoint file that a run's folder, or the path of the file itself, stands for."""
    path = Path(path)
    return path / FILE if path.is_dir() else path


def config_of(kept, path):
    """The RunConfig of what a run kept. Raises ValueError where that is no run of `minidiff train` or `minidiff import`."""
    if not isinstance(kept, dict) or not {"model", "diffusion", "shape", "classes"} <= kept.keys():
        raise ValueError(f"{path}: got a checkpoint without a model configuration, expected a run; open it with training.load")
    return RunConfig.from_dict({key: kept[key] for key in ("data", "model", "diffusion", "train") if key in kept})


class Saved(NamedTuple):
    """A checkpoint, opened: the denoiser that samples, and what the run kept (configuration, image shape, classes)."""

    denoiser: Any
    kept: dict
    checkpoint: Any


@about_file
def open_run(path, weights="ema", device="cpu", processes=1):
    """Open a run folder or checkpoint file for sampling.   -> Saved

    weights   "ema", the moving average (where there is one), or "raw", as training left them
    processes how many share the samples on a CPU; None: as many as threads are set, or all ranks of an MPI job
              (`training.DataParallel`)
    Raises FileNotFoundError, or ValueError for a damaged or foreign file, or one that does not fit its configuration.
    """
    if weights not in ("ema", "raw"):
        raise ValueError(f"weights: got {weights!r}, expected 'ema' or 'raw'")
    found = checkpoint.load(find_checkpoint(path))
    kept = found.config.get("run")
    config = config_of(kept, path)
    model = build_model(config.model, seed=None)
    model.load_state(found.ema if weights == "ema" and found.ema else found.weights)
    model = model.to(device)
    if processes != 1 and (device == "cpu" or world().size > 1):
        model = DataParallel(model, processes)
    return Saved(build_objective(config).denoiser(model), kept, found)
