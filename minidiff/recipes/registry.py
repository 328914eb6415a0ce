"""Recipes by name. Each is a file of this folder that holds a `RECIPE`, imported when it is asked for."""

import importlib

from ..diffusion.names import did_you_mean

NAMES = ("clip", "language", "autoencoder", "stable_diffusion", "imagen", "dalle2")
SYSTEMS = ("stable_diffusion", "imagen", "dalle2")  # those that draw what a prompt says


def find(name, among=NAMES):
    """The Recipe of this name. Raises ValueError, with the nearest names, for one that is not there."""
    if name not in among:
        raise ValueError(f"recipe: got {name!r}, expected one of {', '.join(among)}{did_you_mean(name, among)}")
    return importlib.import_module(f".{name}", __package__).RECIPE
