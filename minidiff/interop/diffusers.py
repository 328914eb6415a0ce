"""Opens and writes model folders of Hugging Face diffusers and transformers.

    model = load("folder/unet")                               any model of `kinds.KINDS`, or a whole Pipeline
    pipeline = from_pretrained("google/ddpm-cifar10-32")      the same, by a path or by a name on the hub
    images = sample("folder", n=4, sampler="dpmpp_2m", steps=20, prompt="a cat", rng=0)
    print(describe("folder"))                                 the parts of a folder, without reading weights
    export("runs/digits", "folder")                           a minidiff run, for diffusers

Weights are read from safetensors, of any float width, and never from pickles.
"""

import math
from pathlib import Path

from .exchange import export, from_pipeline, save_pipeline
from .hub import folder_of
from .kinds import kind_of_config
from .model_folder import load_model, read_index, read_json, read_weights, save_model
from .pipelines import Pipeline, load_pipeline
from .schedulers import sampling_from_config
from .tokenizer_files import count_tokens

__all__ = [
    "Pipeline", "describe", "export", "from_pipeline", "from_pretrained", "load", "load_model", "load_pipeline", "sample",
    "save_model", "save_pipeline",
]  # fmt: skip


def from_pretrained(path_or_hub_id, variant=None, frugal=False):
    """What `load` gives for a folder, or for a name on the hub, whose files are fetched first (extra `hub`)."""
    return load(folder_of(path_or_hub_id, variant), variant, frugal)


def load(folder, variant=None, frugal=False):
    """A Pipeline for a folder with model_index.json, a Sampling for a scheduler's, a model otherwise.

    variant, frugal   see `load_model`. Raises what that says.
    """
    folder = Path(folder)
    if (folder / "model_index.json").is_file():
        return load_pipeline(folder, variant, frugal)
    if (folder / "scheduler_config.json").is_file() and not (folder / "config.json").is_file():
        return sampling_from_config(read_json(folder / "scheduler_config.json"), folder)
    return load_model(folder, variant, frugal)


def sample(path_or_hub_id, n=1, variant=None, frugal=False, device="cpu", **options):
    """Images of a pipeline's folder: `Pipeline.sample` with these options, on this device.   -> (n, H, W, C)"""
    pipeline = open_pipeline(path_or_hub_id, variant, frugal, device)
    return pipeline.sample(n, **({"steps": pipeline.default_steps} | options))


def open_pipeline(path_or_hub_id, variant=None, frugal=False, device="cpu"):
    """The Pipeline of a folder, on this device. Raises ValueError for a folder that holds something else."""
    if frugal and device != "cpu":
        raise ValueError(f"frugal: its weights stay on disk and are widened on the CPU; got device {device!r}")
    found = from_pretrained(path_or_hub_id, variant, frugal)
    if not isinstance(found, Pipeline):
        raise ValueError(
            f"{path_or_hub_id} holds a {type(found).__name__}, expected a pipeline: a folder with model_index.json"
        )
    return found if device == "cpu" else found.to(device)


def describe(folder):
    """What lies in a folder, part by part, as text; the numbers themselves are not read."""
    folder = Path(folder)
    if not (folder / "model_index.json").is_file():
        return "\n".join(_describe_part(folder, ""))
    index = read_index(folder)
    lines = [f"{index.get('_class_name')} in {folder}"]
    for part, value in index.items():
        if not part.startswith("_") and isinstance(value, list) and value[0] is not None:
            place = folder / part if (folder / part).is_dir() else folder
            try:
                lines += _describe_part(place, f"{part}: ")
            except (ValueError, FileNotFoundError) as error:
                lines.append(f"{part}: {value[1]}, not opened here: {str(error).splitlines()[0]}")
    return "\n".join(lines)


def _describe_part(folder, label):
    if label.startswith("scheduler") or not (folder / "config.json").is_file():
        if (folder / "scheduler_config.json").is_file():
            config = read_json(folder / "scheduler_config.json")
            found = sampling_from_config(config, folder)
            ours = f"sampler {found.sampler} {found.options}, {found.schedule}, predicts {found.predicts}"
            return [f"{label}{config['_class_name']} = {ours}"]
        if any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
            return [f"{label}tokenizer of {count_tokens(folder):,} tokens"]
    config = read_json(folder / "config.json")
    kind = kind_of_config(config, folder)
    options = kind.arguments(config, folder / "config.json")
    tensors = read_weights(folder, kind.weights)
    count = sum(math.prod(stored.shape) for stored in tensors.values())
    dtypes = "/".join(sorted({stored.dtype for stored in tensors.values()}))
    lines = [f"{label}{kind.name} = models.{kind.model.__name__}, {count:,} numbers in {len(tensors)} tensors ({dtypes})"]
    changed = {k: v for k, v in options.items() if v != kind.defaults.get(k)}
    return lines + [f"    {name} = {value}" for name, value in changed.items()]
