"""Layers that own parameters. Pure functions, forward and backward, are in `ops`; nets made of layers in `models`."""

from .layer import Layer, Param, no_grad, training, training_rng

__all__ = ["Layer", "Param", "no_grad", "training", "training_rng"]
