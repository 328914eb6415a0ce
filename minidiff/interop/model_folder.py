"""A model as a folder: config.json and safetensors, as diffusers and transformers write them."""

import json
from pathlib import Path

import numpy as np

from ..files import write_whole
from ..json_file import read_field, read_object, shown
from ..nn.blank import Blank
from . import tensor_file
from .fit import fit, match
from .frugal import leave_on_disk
from .kinds import buffer_tensors, kind_of_config, kind_of_model
from .layout import slots, to_torch

PIPELINE_PARTS = ("unet", "transformer", "vae", "vqvae", "text_encoder", "tokenizer", "scheduler")
SHARD = 5_000_000_000  # bytes in one file, above which weights are written as several


def load_model(folder, variant=None, frugal=False):
    """Open the model of a folder, with weights in float32.   -> Layer, with `config`

    variant   "fp16": weights from files of that variant; None: the plain ones, or the only variant there is
    frugal    leave the weights in their files and widen each when its layer runs: for sampling in little memory
    Raises FileNotFoundError; ValueError that names an unsupported option, or lists tensors that are missing, unexpected
    or of another shape, or that rejects a pickle file.
    """
    folder = Path(folder)
    config = read_json(folder / "config.json")
    kind = kind_of_config(config, folder / "config.json")
    tensors = read_weights(folder, kind.weights, variant)
    options = kind.arguments(config, folder / "config.json")
    for name, option in kind.buffers.items():
        if name in tensors and options.get("time_embedding_type") == "fourier":
            options[option] = tensors.pop(name).read().tolist()
    try:
        model = kind.model(**options, rng=Blank())
    except (ValueError, ArithmeticError, LookupError) as error:
        raise ValueError(f"{folder / 'config.json'}: {error}") from None
    aliases = {path: tuple(kind.aliases.get(path, ())) + _without(path, kind.prefix) for path in slots(model)}
    ignore = tuple(kind.ignore) + tuple(prefix + name for name in kind.ignore for prefix in [kind.prefix] if prefix)
    if frugal:
        leave_on_disk(model, tensors, match(slots(model), tensors, folder, aliases, ignore))
    else:
        fit(model, tensors, folder, aliases, ignore)
    return model


def save_model(model, folder, dtype="float32", shard=SHARD):
    """Write a model so that the other library opens it.   dtype of the file: "float32" or "float16"

    Each file is whole or not there; config.json comes last. Raises TypeError for a model that no other library has.
    """
    folder, kind = Path(folder), kind_of_model(model)
    if dtype not in ("float32", "float16"):
        raise ValueError(f"dtype: got {dtype!r}, expected 'float32' or 'float16'")
    tensors = {name: array.astype(dtype) for name, array in (to_torch(model) | buffer_tensors(kind, model)).items()}
    folder.mkdir(parents=True, exist_ok=True)
    files = _shards(tensors, shard)
    if len(files) == 1:
        tensor_file.write(folder / f"{kind.weights}.safetensors", tensors)
    else:
        names = [f"{kind.weights}-{i + 1:05d}-of-{len(files):05d}.safetensors" for i in range(len(files))]
        for name, part in zip(names, files, strict=True):
            tensor_file.write(folder / name, part)
        index = {"metadata": {"total_size": sum(array.nbytes for array in tensors.values())},
                 "weight_map": {key: name for name, part in zip(names, files, strict=True) for key in part}}  # fmt: skip
        write_json(folder / f"{kind.weights}.safetensors.index.json", index)
    write_json(folder / "config.json", kind.configuration(model))


def read_weights(folder, stem, variant=None):
    """{name: Stored} of a folder's weight files, one or several."""
    folder = Path(folder)
    file = _weight_file(folder, stem, variant)
    if file.suffix == ".safetensors":
        return tensor_file.read(file)
    places, found = read_field(read_json(file), "weight_map", dict, file, {}), {}
    if not places or not all(isinstance(name, str) for name in places.values()):
        raise ValueError(f"{file}: weight_map: got {shown(places)}, expected {{tensor: file}}")
    for name in sorted(set(places.values())):
        if not (folder / name).is_file() or Path(name).name != name:
            raise FileNotFoundError(f"{file} says that tensors lie in {name}, which is not there")
        found |= tensor_file.read(folder / name)
    missing = [name for name in places if name not in found]
    if missing:
        raise ValueError(f"{file} lists {len(missing)} tensors that its files do not hold, first {missing[0]}")
    return found


def _weight_file(folder, stem, variant):
    """The one file, or the index of several."""
    if variant:
        candidates = [f"{stem}.{variant}.safetensors", f"{stem}.safetensors.index.{variant}.json"]
    else:
        candidates = [f"{stem}.safetensors", f"{stem}.safetensors.index.json"]
    present = [folder / name for name in candidates if (folder / name).is_file()]
    if not present and variant is None:
        shards = "-of-"
        others = sorted(p for p in folder.glob(f"{stem}.*.safetensors") if shards not in p.name)
        others += sorted(folder.glob(f"{stem}.safetensors.index.*.json"))
        present = others if len(others) == 1 else []
    if present:
        return present[0]
    names = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    pickles = [name for name in names if name.endswith((".bin", ".pt", ".pth", ".ckpt", ".pkl"))]
    if pickles:
        raise ValueError(
            f"{folder} stores its weights in {pickles[0]}, a pickle file. Loading a pickle can run arbitrary code, so it is "
            f"rejected; expected {candidates[0]}. Most models on the hub have both: fetch that one, or convert "
            "the folder once with the library that wrote it: save_pretrained(folder, safe_serialization=True)"
        )
    raise FileNotFoundError(f"{folder} has no {candidates[0]}; it holds {', '.join(names) or 'nothing'}")


def _shards(tensors, largest):
    """The tensors in groups of at most so many bytes, in their order."""
    groups, size = [{}], 0
    for name, array in tensors.items():
        if groups[-1] and size + array.nbytes > largest:
            groups.append({})
            size = 0
        groups[-1][name] = array
        size += array.nbytes
    return groups


def _without(path, prefix):
    return (path.removeprefix(prefix),) if prefix and path.startswith(prefix) else ()


def read_index(folder):
    """model_index.json of a pipeline's folder, its parts checked: each is [library, class], or [null, null] where left out."""
    file = Path(folder) / "model_index.json"
    index = read_json(file)
    read_field(index, "_class_name", str, file)
    for part, value in index.items():
        pair = isinstance(value, list) and len(value) == 2 and all(v is None or isinstance(v, str) for v in value)
        pair = pair and (value[0] is None) == (value[1] is None)
        setting = part.startswith("_") or part == "id2label"  # the class names of a DiTPipeline
        if not pair and not setting and (isinstance(value, (list, dict)) or part in PIPELINE_PARTS):
            raise ValueError(f"{file}: {part}: got {shown(value)}, expected [library, class]")
    return index


def read_json(path):
    """The JSON object in a file, as a dict. Raises as `json_file.read_object` does, FileNotFoundError in fewer words."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}")
    return read_object(path)


def write_json(path, value):
    """Write JSON, whole or not at all."""
    text = json.dumps(value, indent=2, default=_plain) + "\n"
    write_whole(Path(path), [text.encode()])


def _plain(value):
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
