"""Putting tensors from a file into a model, or saying exactly why they do not fit."""

import numpy as np

from ..backend import xp_of
from ..names import differences
from ..nn.blank import is_blank
from .layout import slots


def fit(model, tensors, where="these tensors", aliases=None, ignore=()):
    """Load {name: array or Stored} in PyTorch's layout into a model, each parameter in its own dtype and on its device.

    aliases   {name in the model: another name under which the file may hold it}
    ignore    names, or ends of names, that may be there and are not looked at
    Raises ValueError that lists what is missing, unexpected or of another shape, before anything is written, and names the
    first tensor that holds NaN or infinity.
    """
    own = slots(model)
    source = match(own, tensors, where, aliases, ignore)
    for path, slot in own.items():
        stored = tensors[source[path]]
        array = stored.read() if hasattr(stored, "read") else stored
        check_finite(array, source[path], where)
        take(slot, slot.ours(array))


def check_finite(array, name, where):
    """Raises ValueError that names a tensor that holds NaN or infinity. Integers are always finite."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise ValueError(f"{where}: {name} holds NaN or infinity in {bad:,} of {array.size:,} numbers, expected finite weights")


def match(own, tensors, where, aliases=None, ignore=()):
    """{path of the model: name in `tensors`}, or ValueError.   own: {path: Slot}"""
    source = {path: next((n for n in (path, *_other_names(path, aliases)) if n in tensors), None) for path in own}
    expected = {source[path] or path: slot.torch_shape for path, slot in own.items()}
    ignored = [name for name in tensors if any(name == end or name.endswith("." + end) for end in ignore)]
    found = {name: tuple(tensors[name].shape) for name in tensors if name in expected or name not in ignored}
    wrong = differences(found, expected)
    if wrong:
        raise ValueError(f"{where} do not fit the model:{wrong}")
    return source


def take(slot, array):
    """Make `array`, in our layout, the value of a slot's Param."""
    param = slot.param
    if is_blank(param):
        param.value = array
    else:  # in place: the Param may live in an arena
        param.value[...] = xp_of(param.value).asarray(array).astype(param.value.dtype, copy=False)


# What attention's four maps were called before diffusers 0.12; files of that age are still the ones on the hub.
OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def _other_names(path, aliases):
    yield from (aliases or {}).get(path, ())
    for new, old in OLD_ATTENTION.items():
        if f".{new}." in path:
            yield path.replace(f".{new}.", f".{old}.")
