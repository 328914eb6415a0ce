"""Losses that are not diffusion: of autoencoders, of pairs of images and texts, of texts alone.

All have the form that the Trainer takes:   loss, back = objective(model, x0, rng, cond=None)
"""

from .autoencoder import AutoencoderLoss
from .contrastive import ContrastiveLoss
from .masked_words import MaskedWordLoss

__all__ = ["AutoencoderLoss", "ContrastiveLoss", "MaskedWordLoss"]
