"""The trained models that ship with minidiff: averaged weights of the recipes in float16, opened as float32.

minidiff/pretrained/NAME/ contains STAGE.safetensors for each stage of the recipe NAME, and README.md, its model card.
A stage that several recipes share, such as the contrastive encoders, is stored once, in the folder of the recipe of that name.
"""

import json
from pathlib import Path

import numpy as np

from ..backend import to_numpy
from ..files import write_whole
from ..rng import Rng
from .registry import NAMES, find

FOLDER = Path(__file__).parent.parent / "pretrained"


def shipped(name, folder=FOLDER):
    """The models of a recipe, from the shipped files.   -> {stage name: model}, float32

    Raises ValueError for an unknown name or a file that does not fit, FileNotFoundError if no file was shipped.
    """
    recipe, parts = find(name), {}
    for stage in recipe.stages:
        path = path_of(recipe, stage, folder)
        weights, config = read(path)
        model = stage.model(Rng(0), parts)
        try:
            model.load_state(weights)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        if config:
            model.config.update(config)
        parts[stage.name] = model
    return parts


def is_shipped(name, folder=FOLDER):
    """Whether every model of a recipe ships with minidiff."""
    recipe = find(name)
    return all(path_of(recipe, stage, folder).exists() for stage in recipe.stages)


def ship(recipe, parts, folder=FOLDER):
    """Write the models of a run as float16.   -> paths"""
    paths = []
    for stage in recipe.stages:
        path, model = path_of(recipe, stage, folder), parts[stage.name]
        write(path, model.state(), getattr(model, "config", {}), {"recipe": recipe.name, "stage": stage.name})
        paths.append(path)
    return paths


def path_of(recipe, stage, folder=FOLDER):
    """The path of a stage's weights."""
    home = stage.name if stage.name in NAMES else recipe.name
    return Path(folder) / home / f"{stage.name}.safetensors"


def write(path, weights, config, told):
    """{name: array} as float16, with the model's config in the metadata. Raises ValueError outside float16's range."""
    from safetensors.numpy import save

    with np.errstate(over="ignore"):  # reported below, by name
        narrow = {name: np.asarray(to_numpy(array), order="C").astype(np.float16) for name, array in weights.items()}
    lost = [name for name, array in narrow.items() if not np.isfinite(array).all()]
    if lost:
        raise ValueError(f"weights: got values outside float16's range in {', '.join(lost[:5])}, expected at most 65504")
    write_whole(path, [save(narrow, metadata={"minidiff": json.dumps({**told, "config": config})})])


def read(path):
    """Read such a file.   -> weights as float32, config"""
    from safetensors import SafetensorError, safe_open

    if not Path(path).exists():
        recipe = Path(path).parent.name
        raise FileNotFoundError(f"weights: got {path}, expected an existing file; train it: minidiff train --recipe {recipe}")
    try:
        with safe_open(path, framework="np") as file:
            config = json.loads((file.metadata() or {}).get("minidiff", "{}")).get("config", {})
            return {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}, config
    except SafetensorError as error:
        raise ValueError(f"{path}: got a file that is damaged or cut short ({error}), expected safetensors") from None
