"""Large models in little memory: weights stay where they lie, narrow, and are widened one layer at a time.

A layer asks its Param for `value` when it runs. A `DiskParam` answers with a fresh float32 copy of what lies in the file,
which is gone when the layer is done: at any moment one layer's weights are wide. The file is mapped, so its narrow numbers
are the operating system's to keep or drop. For sampling only: there is nothing to train.
"""

import mmap

from ..nn import Layer, Param
from .fit import check_finite
from .layout import slots
from .widening import widened

MAX_SCORES = 1 << 24  # attention scores at a time: 64 MiB


class DiskParam(Param):
    """A Param whose numbers lie in a file."""

    __slots__ = ("stored", "slot", "_shape")

    def __init__(self, stored, slot):
        super().__init__(None)
        self.stored, self.slot = stored, slot
        self._shape = tuple(slot.param.shape)

    @property
    def value(self):
        return widened(self.stored.raw(), self.stored.dtype, self.slot.to_ours)

    @value.setter
    def value(self, new):
        raise ValueError("this model was opened with frugal=True: its weights lie in a file and cannot be changed")

    @property
    def grad(self):
        raise RuntimeError("this model was opened with frugal=True: it samples, it cannot be trained")

    @property
    def shape(self):
        return self._shape

    def __deepcopy__(self, memo):
        return self

    def __repr__(self):
        return f"DiskParam({self._shape}, {self.stored.dtype} in {self.stored.file})"


def leave_on_disk(model, tensors, source):
    """Replace every Param by one that reads its file.   source: {path: name in tensors}"""
    for path, slot in slots(model).items():
        stored = tensors[source[path]]
        check_finite(stored.read(), source[path], stored.file)
        slot.param = DiskParam(stored, slot)
    drop_pages(model)
    slice_attention(model)


def drop_pages(model):
    """Take the pages of the files that hold a model's weights out of this process, until a layer reads them again.

    Does nothing for weights that are not on disk, nor where the system has no such call.
    """
    stored = (param.stored for param in model.parameters().values() if isinstance(param, DiskParam))
    for mapped in {id(tensor.mapped): tensor.mapped for tensor in stored}.values():
        if hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)


def slice_attention(model, max_scores=MAX_SCORES):
    """Let every attention below hold at most so many scores at a time. Same numbers, less memory."""
    for layer in _layers(model):
        if hasattr(layer, "max_scores"):
            layer.max_scores = max_scores
    return model


def _layers(thing):
    if isinstance(thing, Layer):
        yield thing
        items = vars(thing).values()
    else:
        items = thing.values() if isinstance(thing, dict) else thing
    for child in items:
        if isinstance(child, (Layer, dict, list, tuple)):
            yield from _layers(child)
