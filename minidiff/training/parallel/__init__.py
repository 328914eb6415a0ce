"""One model trained by several processes, each with its share of the rows of a batch."""

from .data_parallel import DataParallel

__all__ = ["DataParallel"]
