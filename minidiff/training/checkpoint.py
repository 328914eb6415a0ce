"""Checkpoints: one safetensors file with a whole training run; loading detects any changed byte.

Tensors, under the parameters' own names (`down_blocks.0.resnets.0.conv1.weight`, ...):

    weights/NAME      the weights as training left them
    ema/NAME          their moving average, which is used for sampling
    adamw.m/NAME      the optimizer's running mean of the gradient
    adamw.v/NAME      ... and of its square
    objective/NAME    state of the loss, if it has any (timesteps sampled by their loss)

Metadata is JSON under one key, "minidiff":

    sha256    of the file, computed with these 64 digits as zeros
    step      training steps done
    random    seed and step, the whole state of a counter-based generator
    counts    updates of optimizer and EMA
    config    whatever the caller passed
    tensors   name: [dtype, shape]

There is one key because the format does not fix the order of several, and equal runs should write equal files. No pickle
is ever read.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..backend import to_numpy
from ..files import regular_file, write_whole
from ..json_file import parse_object, read_field
from ..names import differences

GROUPS = ("weights", "ema", "adamw.m", "adamw.v", "objective")
WORDS = dict(zip(GROUPS, ("weight", "moving average of", "optimizer moment m of", "optimizer moment v of", "objective's"),
                 strict=True))  # fmt: skip
_KEY = "minidiff"
_MARK, _BLANK = rb"{\"sha256\": \"", b"0" * 64  # as they stand in the header: JSON inside a JSON string


class CheckpointError(ValueError):
    """A file that is not a checkpoint, or has changed since it was written."""


class BadTensor(ValueError):
    """A tensor to be saved holds NaN or infinity.   tensor: which one, in words"""

    def __init__(self, tensor, message):
        self.tensor = tensor
        super().__init__(message)


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds. weights, ema, m, v are {parameter name: NumPy array}; empty where nothing was kept.

    objective  {name: NumPy array}            step    training steps taken
    counts     {"adamw": ..., "ema": ...}     random  {"seed": ..., "step": ...}
    config     whatever was passed to `save`
    """

    weights: dict
    ema: dict = field(default_factory=dict)
    m: dict = field(default_factory=dict)
    v: dict = field(default_factory=dict)
    objective: dict = field(default_factory=dict)
    step: int = 0
    random: dict = field(default_factory=dict)
    counts: dict = field(default_factory=dict)
    config: dict = field(default_factory=dict)


def save(path, model, *, ema=None, optimizer=None, objective=None, step=0, random=None, config=None):
    """Write a checkpoint atomically: an earlier one at `path` is replaced only after the new one has been read back.

    model      a Layer, or {name: array}
    ema        an EMA, or {name: array}; optimizer: an AdamW; objective: {name: array}. Each may be left out
    step       training steps taken; random: {"seed": ..., "step": ...}; config: anything that JSON can hold
    Raises ValueError for names or a config that cannot be stored and for NaN or infinity in any tensor, OSError (disk
    full, ...) that says which checkpoint remains.
    """
    if getattr(ema, "swapped", False):
        raise RuntimeError("the model holds the average now: leave `with ema.applied()` before saving")
    moments = optimizer.state() if optimizer is not None else {"m": {}, "v": {}}
    groups = (_arrays(model), _arrays(ema), moments["m"], moments["v"], _arrays(objective))
    tensors = {}
    for group, arrays in zip(GROUPS, groups, strict=True):
        for name, array in arrays.items():  # order="C": the format's writer stores strided arrays wrongly, without an error
            tensors[f"{group}/{name}"] = np.asarray(to_numpy(array), order="C")
    bad = first_not_finite(tensors)
    if bad is not None:
        raise BadTensor(bad[0], f"the {' '.join(bad)}; a checkpoint holds finite numbers only, so {path} was not written")
    state = {"step": int(step), "random": random or {}, "counts": {}, "config": config or {}}
    if optimizer is not None:
        state["counts"]["adamw"] = optimizer.t
    if hasattr(ema, "n"):
        state["counts"]["ema"] = ema.n
    write_whole(path, _encode(tensors, state), check=load)


def load(path):
    """Read and verify a checkpoint.   -> Checkpoint, arrays on the host

    Raises FileNotFoundError, and CheckpointError (a ValueError) for a file that is empty, cut short, damaged by as
    little as one byte, of another format, that lacks or adds a tensor, or holds NaN or infinity: the message says which.
    """
    path = Path(path)
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder, expected a checkpoint file such as {path / 'checkpoint.safetensors'}")
    if not path.exists():
        raise FileNotFoundError(f"there is no checkpoint at {path}")
    data = regular_file(path, "checkpoint").read_bytes()
    tensors, state = _decode(data, path)
    bad = first_not_finite(tensors)
    if bad is not None:
        advice = "expected finite numbers. Use an earlier checkpoint, or train again"
        raise CheckpointError(f"{path}: the {' '.join(bad)}, {advice}")
    groups = {group: {} for group in GROUPS}
    for name, array in tensors.items():
        group, _, parameter = name.partition("/")
        if group not in groups:
            raise CheckpointError(f"{path}: {name} is in no known group, expected one of {', '.join(GROUPS)}")
        groups[group][parameter] = array
    try:
        return Checkpoint(*groups.values(), *_state(state, path, groups))
    except ValueError as error:
        raise CheckpointError(str(error)) from None


def _state(state, path, groups):
    """step, random, counts, config of the JSON in a checkpoint, checked. Raises ValueError that names the field."""
    if not groups["weights"]:
        raise CheckpointError(f"{path} holds no weights")
    for group in ("ema", "adamw.m", "adamw.v"):
        own = {name: array.shape for name, array in groups[group].items()}
        if own and own != {name: array.shape for name, array in groups["weights"].items()}:
            raise CheckpointError(f"{path}: the tensors of {group} do not have the names and shapes of the weights")
    if bool(groups["adamw.m"]) != bool(groups["adamw.v"]):
        raise CheckpointError(f"{path} holds only one of adamw.m and adamw.v")
    missing = [name for name in ("step", "random", "counts", "config") if state.get(name) is None]
    if missing:
        raise CheckpointError(f"{path}: its metadata has no {missing[0]!r}")
    tables = [read_field(state, name, dict, path) for name in ("random", "counts", "config")]
    for table, name in ((tables[0], "seed"), (tables[0], "step"), (tables[1], "adamw"), (tables[1], "ema")):
        read_field(table, name, int, path, least=0)
    if groups["adamw.m"] and tables[1].get("adamw") is None:
        raise CheckpointError(f"{path}: its metadata has no 'adamw' in counts")
    return read_field(state, "step", int, path, least=0), *tables


def first_not_finite(tensors):
    """The first tensor with NaN or infinity, and how many it holds, in words; or None.   tensors: {"group/name": array}"""
    for name, array in tensors.items():
        if array.dtype.kind in "fc" and not np.isfinite(array).all():
            group, _, parameter = name.partition("/")
            bad = int((~np.isfinite(array)).sum())
            return f"{WORDS.get(group, group)} {parameter}", f"holds NaN or infinity in {bad:,} of {array.size:,} numbers"
    return None


# ---- the file --------------------------------------------------------------------------------------------------------


def _encode(tensors, state):
    """The file as a list of pieces: head, digest, rest."""
    from safetensors.numpy import save as encode

    table = {name: [str(array.dtype), list(array.shape)] for name, array in sorted(tensors.items())}
    try:
        text = json.dumps({"sha256": _BLANK.decode(), **state, "tensors": table}, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"config: it must be made of what JSON can hold (dict, list, str, finite numbers): {error}") from None
    data = encode(tensors, metadata={_KEY: text})
    start = data.index(_MARK) + len(_MARK)
    return [data[:start], hashlib.sha256(data).hexdigest().encode(), memoryview(data)[start + 64 :]]


def _decode(data, path):
    """(tensors, state) of a file's bytes."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as decode

    if not data:
        raise CheckpointError(f"{path} is empty (0 bytes), expected a checkpoint")
    header = _header(data, path)
    try:
        tensors = decode(data)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged or cut short ({len(data):,} bytes): {error}") from None
    try:
        state = parse_object(header["__metadata__"][_KEY], path)
        start = data.index(_MARK) + len(_MARK)
        claimed, table = state["sha256"], state["tensors"]
        held = {name: [str(array.dtype), list(array.shape)] for name, array in tensors.items()}
        if not isinstance(table, dict) or not isinstance(claimed, str):
            raise TypeError
    except (KeyError, TypeError, ValueError):
        raise CheckpointError(
            f"{path} is a safetensors file of {len(tensors)} tensors, but not a checkpoint of minidiff, or damaged: "
            f"it has no readable {_KEY!r} entry in its metadata"
        ) from None
    wrong = differences(held, table)
    if wrong:
        raise CheckpointError(f"{path} does not hold the tensors that were written to it:{wrong}")
    found = hashlib.sha256(data[:start])
    found.update(_BLANK)
    found.update(memoryview(data)[start + 64 :])
    if found.hexdigest() != claimed:
        raise CheckpointError(
            f"{path} has changed since it was written: its bytes have sha256 {found.hexdigest()[:16]}..., "
            f"expected {str(claimed)[:16]}... . Use an earlier checkpoint, or copy the file again"
        )
    return tensors, state


def _header(data, path):
    """The JSON at the start of a safetensors file: eight bytes of length, then text."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or data[8:9] != b"{":
        raise CheckpointError(f"{path} is not a safetensors file: it begins with {data[:16]!r}")
    if 8 + length > len(data):
        raise CheckpointError(f"{path} is cut short: {len(data):,} bytes, expected {8 + length:,} for the header alone")
    try:
        return parse_object(data[8 : 8 + length], path)
    except ValueError:
        raise CheckpointError(f"{path} is damaged: its header is not readable") from None


def _arrays(thing):
    """{name: array} of a Layer, an EMA, a dict or None."""
    if thing is None:
        return {}
    return thing.state() if hasattr(thing, "state") else dict(thing)
