"""A run as a folder that diffusers opens, and such a folder as a run."""

import contextlib

from ..models import UNet
from ..runs import build_objective, build_schedule, open_run
from ..training.config import DiffusionConfig, RunConfig
from .pipelines import save_pipeline

OBJECTIVE = ("weighting", "cond_dropout", "t_sampler")  # options of a DiffusionConfig that no scheduler's config has


def export(checkpoint, folder, weights="ema", clip="run", dtype="float32"):
    """Write a run as a pipeline that diffusers opens, and samples as `minidiff sample` does.

    checkpoint   a run's folder or its checkpoint file; weights "ema" or "raw"; dtype as in `save_pipeline`
    clip         bound of the predicted x0 while sampling, None for none; "run": as the run has it (diffusion.clip)
    Raises what `save_pipeline` does, before anything is written.
    """
    saved = open_run(checkpoint, weights)
    denoiser, kept = saved.denoiser, saved.kept
    if hasattr(denoiser.model, "down_blocks"):  # the size of the run's images, to which a model trained here is not bound
        size = kept["shape"][:2]
        denoiser.model.config["sample_size"] = size[0] if size[0] == size[1] else tuple(size)
    clip = kept["diffusion"].get("clip") if clip == "run" else clip
    class_names = kept.get("class_names")
    ours = {name: kept["diffusion"][name] for name in OBJECTIVE if name in kept["diffusion"]} | {"class_names": class_names}
    save_pipeline(denoiser.model, denoiser.schedule, folder, denoiser.predicts, clip, dtype, denoiser.learned_variance, ours,
                  classes=kept["classes"], class_names=class_names)  # fmt: skip


def from_pipeline(pipeline):
    """A pixel-space pipeline of another library as a run.   Pipeline -> (model, what a checkpoint keeps)

    Raises ValueError for one that a run cannot hold: a text encoder, an autoencoder, a model that knows no size.
    """
    unet, sampling = getattr(pipeline, "unet", None), getattr(pipeline, "sampling", None)
    if not isinstance(unet, UNet) or pipeline.vae is not None:
        raise ValueError("this folder is not a pixel-space U-Net with a scheduler: it cannot become a run; sample it with "
                         "minidiff sample --pretrained")  # fmt: skip
    size, channels = unet.config["sample_size"], unet.config["in_channels"]
    if size is None:
        raise ValueError("sample_size: this folder's net does not say what size it was made for, which a run has to know")
    ours = sampling.config.get("_minidiff", {})  # of a folder that `minidiff export` wrote
    diffusion = {"cond_dropout": 0.0 if unet.config["null_class"] is None else 0.1,
                 **{name: ours[name] for name in OBJECTIVE if name in ours}, **_schedule_options(sampling),
                 "predicts": sampling.predicts, "clip": sampling.clip,
                 "learned_variance": unet.config["out_channels"] == 2 * channels}  # fmt: skip
    config = RunConfig.from_dict({"model": {"name": "unet", **unet.config}, "diffusion": diffusion})
    build_objective(config)
    shape = [*(size if isinstance(size, (tuple, list)) else (size, size)), channels]
    classes, null = unet.config["num_class_embeds"], unet.config["null_class"]
    classes = null if null is not None and null == classes - 1 else classes
    kept = {key: config.to_dict()[key] for key in ("model", "diffusion")}  # there is no data set, and nothing was trained
    return unet, {**kept, "shape": shape, "classes": classes, "class_names": ours.get("class_names")}


def _schedule_options(sampling):
    """How a DiffusionConfig says a schedule: by its name where that gives the same numbers, else beta by beta."""
    schedule, full = sampling.schedule, sampling.config
    ends = [(schedule.betas[0], schedule.betas[-1]), (full.get("beta_start", 1e-4), full.get("beta_end", 0.02))]
    options = [{"schedule": name, "beta_start": float(a), "beta_end": float(b)}
               for name in ("linear", "scaled_linear", "sigmoid") for a, b in ends]  # fmt: skip
    for choice in [{"schedule": "cosine"}, *options]:
        with contextlib.suppress(ValueError):  # ends that this schedule does not take
            found = build_schedule(DiffusionConfig(T=schedule.T, **choice))
            if abs(found.alpha_bar - schedule.alpha_bar).max() <= 1e-12:
                return {**choice, "T": schedule.T}
    return {"schedule": "from_betas", "T": schedule.T, "betas": schedule.betas.tolist()}
