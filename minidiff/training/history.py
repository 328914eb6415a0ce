"""What happened at each step: kept in memory for a plot, and in a CSV file that survives a kill."""

import csv
import io
import os
from pathlib import Path

from ..files import explained, write_whole
from ..lock import locked

FIELDS = ("step", "loss", "lr", "grad_norm", "seconds")


class History:
    """One row for each training step: step (from 1), loss, lr, grad_norm (before clipping), seconds (of training so far).

    Each is a list attribute. With a `path` every row is also appended to that CSV file, as one write, so that a kill
    costs at most the row being written. A file that is there is replaced at the first row unless `resume` took it over.
    From the first row to `close` the folder is held: raises FolderInUse where another process holds it.
    """

    def __init__(self, path=None):
        self.path = Path(path) if path is not None else None
        self._file = self._lock = None
        self._start()

    def _start(self):
        for name in FIELDS:
            setattr(self, name, [])

    def __len__(self):
        return len(self.step)

    def add(self, **row):
        """Append one row; all of FIELDS as keywords, Python numbers."""
        first = not len(self)
        for name in FIELDS:
            getattr(self, name).append(row[name])
        if self.path is not None:
            text = (_line(FIELDS) if first else "") + _line(row[name] for name in FIELDS)
            try:
                self._append(text, "wb" if first else "ab")
            except OSError as error:
                raise explained(error, self.path, len(text)) from error

    def _append(self, text, mode):
        if self._file is None:
            self._lock = locked(self.path.parent)  # while the file is open, no other process writes beside it
            self._lock.__enter__()
            self._file = open(self.path, mode, buffering=0)  # unbuffered: one row, one write
        self._file.write(text.encode())

    def resume(self, step):
        """Take over the rows of the file up to `step` and forget the later ones, in memory and in the file."""
        self.close()
        if self.path is not None and self.path.exists():
            self._read()
        keep = sum(s <= step for s in self.step)
        for name in FIELDS:
            del getattr(self, name)[keep:]
        if self.path is not None:
            rows = zip(*(getattr(self, name) for name in FIELDS), strict=True)
            write_whole(self.path, [(_line(FIELDS) + "".join(map(_line, rows))).encode()])

    def sync(self):
        """Have the rows on the disk, so that a checkpoint never outlives its log."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def close(self):
        """Close the file; the next row opens it again."""
        if self._file is not None:
            self._file.close()
            self._lock.__exit__(None, None, None)
            self._file = self._lock = None

    def plot(self, path=None):
        """The loss curve.   -> matplotlib Figure, also written to `path` if given"""
        from ..viz import plot_loss

        return plot_loss(self.loss, self.step, path=path)

    def _read(self):
        """Rows of the file as far as they are whole: a killed run may have left half a line at the end."""
        self._start()
        text = self.path.read_text(encoding="utf-8", errors="replace")
        whole = text[: text.rfind("\n") + 1]
        for row in csv.DictReader(io.StringIO(whole)):
            try:
                values = [int(row["step"])] + [float(row[name]) for name in FIELDS[1:]]
            except (KeyError, TypeError, ValueError):
                break
            for name, value in zip(FIELDS, values, strict=True):
                getattr(self, name).append(value)


def _line(values):
    return ",".join(map(str, values)) + "\n"  # str of a float is the shortest text that reads back as the same number
