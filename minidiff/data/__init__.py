"""Data sets by name or folder: `images, labels = data.load("digits")`."""

from .batches import batch_indices, random_flip
from .loader import Dataset, Info, info, load, names

__all__ = ["Dataset", "Info", "batch_indices", "info", "load", "names", "random_flip"]
