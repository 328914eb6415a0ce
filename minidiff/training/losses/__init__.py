"""Losses other than diffusion: for autoencoders, for pairs of images and texts, for texts alone.

All have the form that the Trainer takes:   loss, back = objective(model, x0, rng, cond=None)
"""

from .autoencoder import AutoencoderLoss
from .contrastive import ContrastiveLoss
from .masked_words import MaskedWordLoss

__all__ = ["AutoencoderLoss", "ContrastiveLoss", "MaskedWordLoss"]
