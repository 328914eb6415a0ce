"""JSON through a pipe, with its length in front: a reader takes one message and leaves the next to whoever it is for."""

import json
import os
import select
import struct
import time


class Late(Exception):
    """The deadline has passed."""


def write(file, value):
    data = json.dumps(value).encode()
    data = struct.pack("<Q", len(data)) + data
    while data:
        data = data[os.write(file, data) :]


def read(file, deadline=None):
    """One message. Raises EOFError at the end, Late where the deadline (of time.monotonic) passes first."""
    (size,) = struct.unpack("<Q", _bytes(file, 8, deadline))
    return json.loads(_bytes(file, size, deadline))


def _bytes(file, count, deadline):
    parts = []
    while count:
        if deadline is not None and not select.select([file], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise Late
        part = os.read(file, min(count, 2**20))
        if not part:
            raise EOFError
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
