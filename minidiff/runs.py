"""A run: from a configuration to model, loss and data, and from a checkpoint back to something that samples."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

from . import data, models
from .diffusion import Schedule, SimpleLoss
from .rng import Rng
from .training import DataParallel, checkpoint
from .training.config import RunConfig, check_options
from .training.trainer import FILE

WEIGHTS = 0  # the stream of the seed from which initial weights are drawn
MODELS = {"unet": models.UNet, "mlp": models.MLP}
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


class Run(NamedTuple):
    """config with every model option written out; model; objective; images (N, ...); labels (N,) or None; what is kept."""

    config: RunConfig
    model: Any
    objective: Any
    images: Any
    labels: Any
    kept: dict


def preset(name):
    """The RunConfig that suits a data set by name; pictures that are not known by name get what suits MNIST."""
    kind = "points" if data.info(name).shape == (2,) else name if name in PRESETS else "mnist"
    chosen = {section: {**values, **PRESETS[kind].get(section, {})} for section, values in SHARED.items()}
    return RunConfig.from_dict({**chosen, "data": {"name": str(name)}})


def build(config, device="cpu", class_names=None):
    """Data, a freshly initialised model and its loss.   -> Run. Raises ValueError for options that do not exist or fit.

    class_names   those of the run that is continued, so that its classes keep their numbers, whatever their order is today
    """
    _check_model_options(config.model)
    objective = build_objective(config)
    wanted = {key: value for key, value in dataclasses.asdict(config.data).items() if value is not None}
    if config.data.name not in data.names():
        wanted["class_names"] = class_names
    images, labels = data.load(wanted.pop("name"), **wanted)
    if "num_class_embeds" in config.model and config.model["num_class_embeds"] is None:
        labels = None  # the net is asked to be unconditional
    if labels is None and config.diffusion.cond_dropout:
        config = dataclasses.replace(config, diffusion=dataclasses.replace(config.diffusion, cond_dropout=0.0))
        objective = build_objective(config)
    shape, classes = images.shape[1:], None if labels is None else int(labels.max()) + 1
    config = dataclasses.replace(config, model=_complete(config.model, shape, classes))
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


def build_model(options, seed=0):
    """A model from its options, {"name": "unet" or "mlp", ...}, its weights drawn from the seed."""
    _check_model_options(options)
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items() if key != "name"}
    return MODELS[options["name"]](**plain, rng=Rng(seed, WEIGHTS))


def build_objective(config):
    """Schedule and loss."""
    d = config.diffusion
    options = {key: getattr(d, key) for key in ("beta_start", "beta_end") if getattr(d, key) is not None}
    if not options and d.schedule != "cosine":
        options = {"scale_to_T": True}  # the usual betas belong to T = 1000; with another T they end in too little noise
    schedule = Schedule.named(d.schedule, d.T, **options)
    return SimpleLoss(schedule, d.predicts, d.weighting, d.cond_dropout, d.t_sampler)


def find_checkpoint(path):
    """The checkpoint file that a run's folder, or the path of the file itself, stands for."""
    path = Path(path)
    return path / FILE if path.is_dir() else path


class Saved(NamedTuple):
    """A checkpoint, opened: the denoiser that samples, and what the run kept (configuration, image shape, classes)."""

    denoiser: Any
    kept: dict
    checkpoint: Any


def open_run(path, weights="ema", device="cpu", processes=1):
    """Something that samples, from a run's folder or checkpoint file.   -> Saved

    weights   "ema", the moving average (where there is one), or "raw", as training left them
    processes how many share the samples on a CPU; None: as many as threads are set (`training.DataParallel`)
    Raises FileNotFoundError, or ValueError for a file that is damaged, not ours, or does not fit its own configuration.
    """
    if weights not in ("ema", "raw"):
        raise ValueError(f"weights: got {weights!r}, expected 'ema' or 'raw'")
    found = checkpoint.load(find_checkpoint(path))
    kept = found.config.get("run")
    if not kept:
        raise ValueError(f"{path}: this checkpoint does not say how its model is built; open it with training.load")
    config = RunConfig.from_dict({key: kept[key] for key in ("data", "model", "diffusion", "train")})
    model = build_model(config.model)
    model.load_state(found.ema if weights == "ema" and found.ema else found.weights)
    model = model.to(device)
    if processes != 1 and device == "cpu":
        model = DataParallel(model, processes)
    return Saved(build_objective(config).denoiser(model), kept, found)


def from_pipeline(pipeline):
    """Somebody else's pixel-space pipeline as a run of ours.   interop.Pipeline -> (model, what a checkpoint keeps)

    Raises ValueError for one that a run cannot say: a text encoder, an autoencoder, a learned variance, other betas.
    """
    unet, sampling = getattr(pipeline, "unet", None), getattr(pipeline, "sampling", None)
    if type(unet) is not models.UNet or pipeline.vae is not None or sampling.learned_variance:
        raise ValueError("this folder is not a pixel-space U-Net with a scheduler: it cannot become a run; sample it with "
                         "minidiff sample --pretrained")  # fmt: skip
    model, schedule = {"name": "unet", **unet.config}, sampling.schedule
    betas = {} if schedule.name == "cosine" else {"beta_start": schedule.betas[0], "beta_end": schedule.betas[-1]}
    told = {"schedule": schedule.name, "T": schedule.T, **betas, "predicts": sampling.predicts, "cond_dropout": 0.0}
    config = RunConfig.from_dict({"model": model, "diffusion": told})
    if abs(build_objective(config).schedule.alpha_bar - schedule.alpha_bar).max() > 1e-12:
        raise ValueError(f"this folder's betas are its own ({schedule}); a run can say linear, scaled_linear and cosine ones")
    size = unet.config["sample_size"]
    shape = [*(size if isinstance(size, (tuple, list)) else (size, size)), unet.config["in_channels"]]
    classes, null = unet.config["num_class_embeds"], unet.config["null_class"]
    return unet, {**config.to_dict(), "shape": shape, "classes": classes if null is None else null, "class_names": None}


def _check_model_options(options):
    name = options.get("name")
    if name not in MODELS:
        raise ValueError(f"model.name: got {name!r}, expected one of {', '.join(MODELS)}")
    check_options(MODELS[name], {key: value for key, value in options.items() if key != "name"}, "model")


def _complete(options, shape, classes):
    """The options with everything written out that follows from the data."""
    follows = {"num_class_embeds": None, "null_class": None}
    if classes is not None:
        follows = {"num_class_embeds": classes + 1, "null_class": classes}  # one more: the class "none", for guidance
    if options["name"] == "unet":
        if len(shape) != 3:
            raise ValueError(f"model.name: a unet takes images, and this data set's examples have shape {shape}: use mlp")
        follows |= {"sample_size": shape[0], "in_channels": shape[2], "out_channels": shape[2]}
    elif len(shape) != 1:
        raise ValueError(f"model.name: an mlp takes points, and this data set's examples have shape {shape}: use unet")
    else:
        follows |= {"features": shape[0]}
    return {**follows, **options}
