"""The safetensors format, read in place: eight bytes of length, a JSON table, then the numbers.

The file is mapped into memory, so a tensor costs nothing until it is read, and a model may be larger than memory. Every
float becomes float32 when read; bfloat16, which NumPy does not have, is the upper half of a float32.
https://huggingface.co/docs/safetensors (format), Apache-2.0.
"""

import json
import math
import mmap

import numpy as np

from ..files import regular_file, write_whole
from ..json_file import parse_object, shown

DTYPES = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16, "I64": np.int64, "I32": np.int32,
    "I16": np.int16, "I8": np.int8, "U8": np.uint8, "BOOL": np.bool_,
}  # fmt: skip
_LARGEST_TABLE = 100 << 20  # the format's own limit


class Stored:
    """A tensor that lies in a file.   shape, dtype (the format's name: "F16", ...), file"""

    def __init__(self, file, dtype, shape, raw):
        self.file, self.dtype, self.shape, self._raw = file, dtype, shape, raw

    @property
    def mapped(self):
        """The map of the whole file, one for all its tensors."""
        return self._raw.obj

    def raw(self):
        """The numbers as they lie there, a read-only view; bfloat16 as uint16."""
        return np.frombuffer(self._raw, dtype=np.dtype(DTYPES[self.dtype]).newbyteorder("<")).reshape(self.shape)

    def read(self):
        """The numbers: floats as float32 (a copy unless they are), whole numbers as they are."""
        return widen(self.raw(), self.dtype)


def widen(raw, dtype):
    """Floats of any width as float32, without loss for the narrow ones.   raw: uint16 for "BF16" """
    if dtype == "BF16":
        return (raw.astype(np.uint32) << 16).view(np.float32)
    return raw.astype(np.float32, copy=False) if raw.dtype.kind == "f" else raw


def read(path):
    """{name: Stored} of a file, as strict as the format: its table lists every byte of the rest exactly once.

    Raises ValueError for a file that is cut short, damaged, or of another format, has bytes that no tensor owns or that two
    do, a name twice, or a dtype that is not in DTYPES.
    """
    path = regular_file(path, "tensors")
    size = path.stat().st_size
    if size < 9:
        raise ValueError(f"{path} holds {size} bytes, expected a safetensors file")
    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    length = int.from_bytes(mapped[:8], "little")
    if mapped[8:9] != b"{" or length > _LARGEST_TABLE:
        raise ValueError(f"{path} is not a safetensors file: it begins with {mapped[:16]!r}")
    if 8 + length > size:
        raise ValueError(f"{path} is cut short: {size:,} bytes, expected {8 + length:,} for its table alone")
    table = parse_object(mapped[8 : 8 + length], f"{path}, the table at its start,")
    metadata = table.pop("__metadata__", None)
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError(f"{path}: __metadata__: got {shown(metadata)}, expected an object of strings")
    body = memoryview(mapped)[8 + length :]
    found = {name: _stored(path, name, entry, body) for name, entry in table.items()}
    _check_places(path, {name: entry["data_offsets"] for name, entry in table.items()}, len(body))
    return found


def _stored(path, name, entry, body):
    whole = isinstance(entry, dict) and set(entry) >= {"dtype", "shape", "data_offsets"}
    whole = whole and all(isinstance(entry[key], list) for key in ("shape", "data_offsets")) and len(entry["data_offsets"]) == 2
    if not whole or not all(type(n) is int and 0 <= n < 2**63 for n in entry["shape"] + entry["data_offsets"]):
        raise ValueError(f"{path} is damaged: the entry of {name} in its table is {shown(entry)}")
    dtype, shape, (start, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError(f"{path}: {name} has dtype {str(dtype)[:40]}, expected one of {', '.join(DTYPES)}")
    expected = math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize
    if end - start != expected or end > len(body):
        raise ValueError(
            f"{path} is damaged or cut short: {name} {shape} {dtype} should be {expected:,} bytes, its table says "
            f"{start:,} to {end:,} of {len(body):,}"
        )
    return Stored(path, dtype, shape, body[start:end])


def _check_places(path, places, size):
    """Raises ValueError unless the tensors lie one after the other and fill the file."""
    end = 0
    for name, (start, stop) in sorted(places.items(), key=lambda item: item[1]):
        if start != end:
            what = "overlaps the tensor before it" if start < end else f"begins {start - end:,} bytes after the one before it"
            raise ValueError(f"{path} is damaged: {name} {what}, expected tensors one after the other")
        end = stop
    if end != size:
        raise ValueError(f"{path} is damaged: {size - end:,} bytes after the last tensor, expected none")


def write(path, tensors, metadata=None):
    """Write {name: array} as one file, whole or not at all. Arrays of any strides; NumPy's dtypes as in `DTYPES`."""
    names = {np.dtype(dtype): name for name, dtype in DTYPES.items() if name != "BF16"}
    table, pieces, end = {"__metadata__": {"format": "pt", **(metadata or {})}}, [], 0
    for name, array in tensors.items():
        array = np.asarray(array, order="C")
        if array.dtype not in names:
            raise TypeError(f"{name} has dtype {array.dtype}, which the safetensors format does not know")
        table[name] = {"dtype": names[array.dtype], "shape": list(array.shape), "data_offsets": [end, end + array.nbytes]}
        end += array.nbytes
        pieces.append(array.reshape(-1).view(np.uint8) if array.size else b"")
    text = json.dumps(table).encode()
    text += b" " * (-len(text) % 8)
    write_whole(path, [len(text).to_bytes(8, "little"), text, *pieces])
