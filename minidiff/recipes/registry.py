"""Recipes by name. Each is a file of this folder with a `RECIPE`, imported on first use."""

import importlib

from ..names import check_choice

NAMES = ("clip", "language", "autoencoder", "stable_diffusion", "imagen", "dalle2", "pixart")
SYSTEMS = ("stable_diffusion", "imagen", "dalle2", "pixart")  # those that draw images from a prompt


def find(name, among=NAMES):
    """The Recipe of this name. Raises ValueError, with the nearest names, for an unknown one."""
    check_choice("recipe", name, among)
    return importlib.import_module(f".{name}", __package__).RECIPE
