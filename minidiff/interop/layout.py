"""Converts weights between PyTorch's layout and minidiff's, by the type of the layer.

    Linear.weight    (O, I)          <->   (I, O)
    Conv2d.weight    (O, C, KH, KW)  <->   (KH, KW, C, O)
    everything else  as it is

The shape alone would be ambiguous: a matrix may be square, and an embedding (V, D) is a table, not a linear map.
"""

import numpy as np

from ..backend import to_numpy
from ..nn import Conv2d, Layer, Linear, Param

TO_OURS = {Linear: (1, 0), Conv2d: (2, 3, 1, 0)}
TO_TORCH = {Linear: (1, 0), Conv2d: (3, 2, 0, 1)}


class Slot:
    """One Param of a model: its path, the layer that owns it, and how its axes turn."""

    def __init__(self, path, owner, name):
        self.path, self.owner, self.name = path, owner, name
        kind = next((kind for kind in TO_OURS if isinstance(owner, kind) and name == "weight"), None)
        self.to_ours, self.to_torch = TO_OURS.get(kind), TO_TORCH.get(kind)

    @property
    def param(self):
        return getattr(self.owner, self.name)

    @param.setter
    def param(self, new):
        setattr(self.owner, self.name, new)

    @property
    def torch_shape(self):
        """The shape that PyTorch gives this weight."""
        shape = self.param.shape
        return tuple(shape[axis] for axis in self.to_torch) if self.to_torch else tuple(shape)

    def ours(self, array):
        """Convert an array from PyTorch's layout to a contiguous one in minidiff's."""
        return np.array(array.transpose(self.to_ours) if self.to_ours else array, order="C")

    def torch(self, array):
        """An array in our layout as a contiguous one in PyTorch's."""
        return np.asarray(array.transpose(self.to_torch) if self.to_torch else array, order="C")


def slots(model):
    """{path: Slot} of every Param below a model, in the order of `model.parameters()`; a shared Param appears once."""
    found, seen = {}, set()
    for path, owner, name in _walk(model, ""):
        param = getattr(owner, name)
        if id(param) not in seen:
            seen.add(id(param))
            found[path] = Slot(path, owner, name)
    return found


def to_torch(model):
    """{path: float array in PyTorch's layout}: what `torch_model.load_state_dict` takes, as NumPy arrays."""
    return {path: slot.torch(to_numpy(slot.param.value)) for path, slot in slots(model).items()}


def _walk(thing, path):
    items = vars(thing).items() if isinstance(thing, Layer) else thing.items() if isinstance(thing, dict) else enumerate(thing)
    for name, child in items:
        below = f"{path}.{name}" if path else str(name)
        if isinstance(child, Param):
            yield below, thing, name
        elif isinstance(child, (Layer, dict, list, tuple)):
            yield from _walk(child, below)
