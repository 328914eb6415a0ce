"""One model trained by several processes, ranks or threads, each with its share of the rows of a batch."""

from .batch import share_of
from .data_parallel import DataParallel, among_ranks, shared

__all__ = ["DataParallel", "among_ranks", "share_of", "shared"]
