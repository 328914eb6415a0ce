"""A run as a folder that diffusers opens, and such a folder as a run."""

import contextlib
from pathlib import Path

from ..diffusion import Flow
from ..files import whole_folder, write_whole
from ..model_options import null_class
from ..models import DiT, UNet
from ..runs import build_objective, build_schedule, open_run
from ..training.config import DiffusionConfig, RunConfig
from .flow_schedulers import flow_config
from .kinds import kind_of_model
from .model_folder import save_model, write_json
from .readme import readme
from .schedulers import scheduler_config

NAMES = {UNet: "unet", DiT: "dit"}  # of the models that a pipeline can hold, in a run's configuration
OBJECTIVE = ("weighting", "cond_dropout", "t_sampler")  # options of a DiffusionConfig that no scheduler's config has


def export(checkpoint, folder, weights="ema", clip="run", dtype="float32"):
    """Write a run as a pipeline that diffusers opens, and samples as `minidiff sample` does.

    checkpoint   a run's folder or its checkpoint file; weights "ema" or "raw"; dtype as in `save_pipeline`
    clip         bound of the predicted x0 while sampling, None for none; "run": as the run has it (diffusion.clip)
    Raises what `save_pipeline` does, before anything is written.
    """
    saved = open_run(checkpoint, weights)
    denoiser, kept = saved.denoiser, saved.kept
    if "sample_size" in denoiser.model.config:  # the size of the run's images, to which a model trained here is not bound
        size = kept["shape"][:2]
        denoiser.model.config["sample_size"] = size[0] if size[0] == size[1] else tuple(size)
    clip = kept["diffusion"].get("clip") if clip == "run" else clip
    class_names = kept.get("class_names")
    run = {name: kept["diffusion"][name] for name in OBJECTIVE if name in kept["diffusion"]} | {"class_names": class_names}
    save_pipeline(denoiser.model, denoiser.schedule, folder, denoiser.predicts, clip, dtype, denoiser.learned_variance, run,
                  T=int(kept["diffusion"]["T"]), classes=kept["classes"], class_names=class_names)  # fmt: skip


def save_pipeline(
    model, schedule, folder, predicts="eps", clip=1.0, dtype="float32", learned_variance=False, run=None, T=1000, **more
):  # fmt: skip
    """Write a model and its schedule as a pipeline of diffusers, with a README that says how it is sampled there.

    model  a UNet, or a DiT, which becomes a DiTPipeline without an autoencoder
    clip   bound of the predicted x0 while sampling; None: none
    learned_variance   the model predicts its variance too: with a UNet a DDPMPipeline; others are DDIMPipelines but for a Flow
    T      of a Flow, which becomes a DDPMPipeline with the scheduler of flow matching: the model is given T t
    run    {name: value} that only `minidiff import` reads: how a run was trained
    more   further arguments of `readme.readme`: classes, class_names
    All is written to a temporary folder first, so there is no half a folder. Raises, before that, TypeError for a model
    that no such pipeline holds, and ValueError for what its schedulers do not know and for sizes its models cannot take.
    """
    if type(model) not in NAMES:
        known = " or ".join(kind.__name__ for kind in NAMES)
        raise TypeError(f"model: got {type(model).__name__}, expected {known}; save_model writes other models on their own")
    learned_variance = learned_variance and isinstance(model, UNet)  # DiTPipeline samples without it
    folder, name, steps = Path(folder), "DDPM" if learned_variance else "DDIM", getattr(schedule, "T", T)
    kind = f"{name}Scheduler"
    if isinstance(schedule, Flow):
        name, kind = "DDPM", "FlowMatchEulerDiscreteScheduler"
        scheduler = flow_config(schedule, predicts, clip, T)
    else:
        scheduler = scheduler_config(schedule, predicts, clip, kind)
    if run:
        scheduler["_minidiff"] = run
    if learned_variance:
        scheduler["variance_type"] = "learned_range"
    part = "transformer" if isinstance(model, DiT) else "unet"
    name, there = ("DiT" if part == "transformer" else name), kind_of_model(model).name
    index = {"_class_name": f"{name}Pipeline", "_diffusers_version": "0.30.0", "scheduler": ["diffusers", kind],
             part: ["diffusers", there], **({"vae": [None, None]} if part == "transformer" else {})}  # fmt: skip
    shape = _shape(model)
    if shape is not None:
        _check_shape(model, shape)
        more = {"classes": number_of_classes(model), "null": null_class(_options(model))} | more
        text = readme(folder.name, f"{name}Pipeline", kind, shape, steps, part=part, model=there, **more)
    with whole_folder(folder) as place:
        save_model(model, place / part, dtype)
        (place / "scheduler").mkdir()
        write_json(place / "scheduler" / "scheduler_config.json", scheduler)
        if shape is not None:
            write_whole(place / "README.md", [text.encode()])
        write_json(place / "model_index.json", index)


def from_pipeline(pipeline):
    """A pixel-space pipeline of another library as a run.   Pipeline -> (model, what a checkpoint keeps)

    Raises ValueError for one that a run cannot hold: a text encoder, an autoencoder, a model that knows no size.
    """
    model, sampling = getattr(pipeline, "unet", None), getattr(pipeline, "sampling", None)
    if type(model) not in NAMES or pipeline.vae is not None:
        raise ValueError("this folder is not a pixel-space U-Net or DiT with a scheduler: it cannot become a run; sample it "
                         "with minidiff sample --pretrained")  # fmt: skip
    shape = _shape(model)
    if shape is None:
        raise ValueError("sample_size: this folder's model does not specify its size, which a run has to know")
    run, options = sampling.config.get("_minidiff", {}), _options(model)  # of a folder that `minidiff export` wrote
    conditional = null_class(options) is not None and number_of_classes(model) is not None
    diffusion = {"cond_dropout": 0.1 if conditional else 0.0,
                 **{name: run[name] for name in OBJECTIVE if name in run}, **_schedule_options(sampling),
                 "predicts": sampling.predicts, "clip": sampling.clip,
                 "learned_variance": model.config["out_channels"] == 2 * shape[2]}  # fmt: skip
    config = RunConfig.from_dict({"model": options, "diffusion": diffusion})
    build_objective(config)
    kept = {key: config.to_dict()[key] for key in ("model", "diffusion")}  # there is no data set, and nothing was trained
    return model, {**kept, "shape": list(shape), "classes": number_of_classes(model), "class_names": run.get("class_names")}


def _options(model):
    """The model's options as a run's configuration has them."""
    return {"name": NAMES[type(model)], **model.config}


def _shape(model):
    """(H, W, C) of the images, None where the model knows no size."""
    size = model.config["sample_size"]
    return size and (*(size if isinstance(size, (tuple, list)) else (size, size)), model.config["in_channels"])


def _check_shape(model, shape):
    """Raises ValueError for a size that diffusers' model cannot take."""
    if isinstance(model, DiT):
        if shape[0] != shape[1]:
            raise ValueError(f"sample_size: got {shape[0]} x {shape[1]}, expected a square: diffusers' DiT takes no other")
        return
    multiple = 2 ** (len(model.down_blocks) - 1)
    if any(side % multiple for side in shape[:2]):
        raise ValueError(
            f"sample_size: got {shape[0]} x {shape[1]}, expected multiples of {multiple}: diffusers' UNet2DModel does not pad, "
            f"and these {len(model.down_blocks)} levels halve an image {len(model.down_blocks) - 1} times"
        )


def number_of_classes(model):
    """How many classes there are, without the one that means "no class"; None for an unconditional model."""
    if isinstance(model, DiT):
        return model.config["num_embeds_ada_norm"] or None
    null, classes = model.config.get("null_class"), model.config["num_class_embeds"]
    return null if null is not None and null == classes - 1 else classes


def _schedule_options(sampling):
    """How a DiffusionConfig says a schedule: by its name where that gives the same numbers, else beta by beta."""
    schedule, full = sampling.schedule, sampling.config
    if isinstance(schedule, Flow):
        return {"schedule": "flow", "shift": schedule.shift, "T": int(sampling.time_scale)}
    ends = [(schedule.betas[0], schedule.betas[-1]), (full.get("beta_start", 1e-4), full.get("beta_end", 0.02))]
    options = [{"schedule": name, "beta_start": float(a), "beta_end": float(b)}
               for name in ("linear", "scaled_linear", "sigmoid") for a, b in ends]  # fmt: skip
    for choice in [{"schedule": "cosine"}, *options]:
        with contextlib.suppress(ValueError):  # ends that this schedule does not take
            found = build_schedule(DiffusionConfig(T=schedule.T, **choice))
            if abs(found.alpha_bar - schedule.alpha_bar).max() <= 1e-12:
                return {**choice, "T": schedule.T}
    return {"schedule": "from_betas", "T": schedule.T, "betas": schedule.betas.tolist()}
