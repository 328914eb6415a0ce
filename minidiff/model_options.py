"""The models that a run can train, by name, and the options of each that follow from the data or have to fit them."""

from collections.abc import Callable
from typing import Any, NamedTuple

from . import models
from .nn.blank import Blank
from .rng import Rng, Stream
from .training.config import check_options


class ModelKind(NamedTuple):
    """What a configuration has to know about one class of model.

    model     the class, whose constructor has the options
    takes     "images" (H, W, C) or "points" (d,)
    follows   (shape, classes or None, learned variance or not) -> the options that follow from the data
    channels  (options) -> (channels in, channels out)
    classes   (options) -> (how many rows of the class embedding or None, the null class or None)
    """

    model: type
    takes: str
    follows: Callable[..., dict]
    channels: Callable[[dict], tuple]
    classes: Callable[[dict], tuple]


def build_model(options, seed=0):
    """A model from its options, {"name": "unet", "dit" or "mlp", ...}, its weights drawn from the seed; None: about to be
    loaded. Raises ValueError for an option that does not exist or does not fit."""
    kind = check_model_options(options)
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items() if key != "name"}
    return kind.model(**plain, rng=Blank() if seed is None else Rng(seed, Stream.WEIGHTS))


def check_model_options(options):
    """Raises ValueError unless `options` names a model and only options that it has.   -> ModelKind"""
    name = options.get("name")
    if name not in MODELS:
        raise ValueError(f"model.name: got {name!r}, expected one of {', '.join(MODELS)}")
    check_options(MODELS[name].model, {key: value for key, value in options.items() if key != "name"}, "model")
    return MODELS[name]


def complete(options, shape, classes, learned_variance=False):
    """The options with everything written out that follows from the data.

    shape (H, W, C) or (d,) of one example; classes: how many, None without. Raises ValueError for a model of other data.
    """
    name, kind, takes = options["name"], MODELS[options["name"]], "images" if len(shape) == 3 else "points"
    if kind.takes != takes:
        fits = " or ".join(other for other, it in MODELS.items() if it.takes == takes)
        raise ValueError(f"model.name: got {name} for examples of shape {shape}, expected {fits}: {name} takes {kind.takes}")
    return {**kind.follows(shape, classes, learned_variance), **options}


def is_unconditional(options):
    """Whether the options ask for a model without classes, whatever the data have."""
    key, none = ("num_embeds_ada_norm", 0) if options["name"] == "dit" else ("num_class_embeds", None)
    return key in options and options[key] == none


def null_class(options):
    """The class that stands for "no class", None for a model that has none."""
    return MODELS[options["name"]].classes(options)[1]


def check_fit(options, data, shape, classes, learned_variance=False):
    """Raises ValueError where a model's options do not fit the data called `data`: those of another run, say."""
    kind = MODELS[options["name"]]
    (takes, puts_out), what = kind.channels(options), "in_channels" if kind.takes == "images" else "features"
    if takes != shape[-1]:
        raise ValueError(f"data: got {data} with {shape[-1]} channels, expected model.{what} = {takes}")
    expected, how = takes * (1 + learned_variance), "with" if learned_variance else "without"
    if puts_out != expected:
        raise ValueError(f"model: got {puts_out} output channels, expected {expected} {how} diffusion.learned_variance")
    size = options.get("patch_size", 1)
    if any(side % size for side in shape[:2]) and kind.takes == "images":
        sides = " x ".join(map(str, shape[:2]))
        raise ValueError(f"data: got {data} of {sides}, expected multiples of model.patch_size = {size}; see data.size")
    known, null = kind.classes(options)
    if not known or options.get("class_embed_type"):
        return
    key = "num_embeds_ada_norm" if options["name"] == "dit" else "num_class_embeds"
    if classes is None:
        raise ValueError(f"data: got {data} without classes, expected classes for model.{key} = {options[key]}")
    if classes > known or (null is not None and null < classes):
        has = f"model.{key} = {options[key]}" + (f", model.null_class = {null}" if "null_class" in options else "")
        raise ValueError(f"data: got {data} with {classes} classes, expected at most those of the model ({has})")


# ---- inside ----------------------------------------------------------------------------------------------------------


def _class_options(classes):
    """One row more than there are classes: the class "none", for guidance."""
    return {"num_class_embeds": classes and classes + 1, "null_class": classes}


def _image_options(shape, learned_variance):
    size = shape[0] if shape[0] == shape[1] else list(shape[:2])
    return {"sample_size": size, "in_channels": shape[2], "out_channels": shape[2] * (1 + learned_variance)}


def _of_unet(shape, classes, learned_variance):
    return _class_options(classes) | _image_options(shape, learned_variance)


def _of_dit(shape, classes, learned_variance):
    """Patches of 4 x 4 from 16 pixels a side on, below that of 2 x 2; smaller ones where those do not fit."""
    sizes = [size for size in (4, 2, 1) if not any(side % size for side in shape[:2]) and min(shape[:2]) >= 4 * size]
    patch = {"patch_size": next(iter(sizes), 1)}
    return {"num_embeds_ada_norm": classes or 0, **patch} | _image_options(shape, learned_variance)


def _of_mlp(shape, classes, learned_variance):
    return _class_options(classes) | {"features": shape[0]} | ({"out_features": 2 * shape[0]} if learned_variance else {})


def _image_channels(options):
    return options["in_channels"], options.get("out_channels") or options["in_channels"]


def _rows_and_null(options):
    return options["num_class_embeds"], options["null_class"]


MODELS: dict[str, Any] = {
    "unet": ModelKind(models.UNet, "images", _of_unet, _image_channels, _rows_and_null),
    "dit": ModelKind(models.DiT, "images", _of_dit, _image_channels,
                     lambda options: (options["num_embeds_ada_norm"],) * 2),
    "mlp": ModelKind(models.MLP, "points", _of_mlp, lambda options: (options["features"], options.get("out_features")
                     or options["features"]), _rows_and_null),
}  # fmt: skip
