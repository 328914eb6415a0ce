"""Recipes by name. Each is a file of this folder that holds a `RECIPE`, imported when it is asked for."""

import importlib

from ..names import check_choice

NAMES = ("clip", "language", "autoencoder", "stable_diffusion", "imagen", "dalle2")
SYSTEMS = ("stable_diffusion", "imagen", "dalle2")  # those that draw what a prompt says


def find(name, among=NAMES):
    """The Recipe of this name. Raises ValueError, with the nearest names, for one that is not there."""
    check_choice("recipe", name, among)
    return importlib.import_module(f".{name}", __package__).RECIPE
