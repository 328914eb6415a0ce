"""Data sets by name or folder: `images, labels = data.load("digits")`. Captioned shapes: `data.captioned_shapes(n)`."""

from .batches import batch_indices, random_flip
from .captioned import captioned_shapes
from .loader import Dataset, Info, info, load, names

__all__ = ["Dataset", "Info", "batch_indices", "captioned_shapes", "info", "load", "names", "random_flip"]
