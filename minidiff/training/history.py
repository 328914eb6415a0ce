"""Loss, learning rate and gradient norm of each step, in memory and in a CSV file that survives a kill."""

import bisect
import math
import os
import re
import warnings
from pathlib import Path

from ..files import explained, read_bytes, write_whole
from ..lock import locked
from ..viz import plot_loss

LARGEST = 1 << 30  # bytes of a log that is read: some ten million steps
_NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{0,20})?(e[+-]?[0-9]{1,3})?")
FIELDS = ("step", "loss", "lr", "grad_norm", "seconds")


class History:
    """One row for each training step: step (from 1), loss, lr, grad_norm (before clipping), seconds (of training so far).

    Each is a list attribute. With a `path` every row is also appended to that CSV file, as one write, so that a kill
    loses at most the row being written. An existing file is replaced at the first row unless `resume` loaded it.
    From the first row to `close` the folder is locked: raises FolderInUse where another process holds the lock.
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
        """Load the rows of the file up to `step` and drop the later ones, in memory and in the file.

        A kill may have left the last line unfinished: it is dropped. A file that is damaged elsewhere is kept beside the new
        one as NAME.damaged, with a warning, and the rows that can still be read are loaded.
        """
        self.close()
        if self.path is not None and self.path.exists():
            self._read()
        keep = [i for i, s in enumerate(self.step) if s <= step]
        for name in FIELDS:
            column = getattr(self, name)
            column[:] = [column[i] for i in keep]
        if self.path is not None:
            rows = zip(*(getattr(self, name) for name in FIELDS), strict=True)
            write_whole(self.path, [(_line(FIELDS) + "".join(map(_line, rows))).encode()])

    def recent_loss(self, n=50):
        """The mean loss of the last n steps; 0 where there are none."""
        return sum(self.loss[-n:]) / max(1, len(self.loss[-n:]))

    def sync(self):
        """Flush the rows to disk, so that a checkpoint never has more steps than its log."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def close(self):
        """Close the file; the next row opens it again."""
        if self._file is not None:
            self._file.close()
            self._lock.__exit__(None, None, None)
            self._file = self._lock = None

    __del__ = close

    def plot(self, path=None):
        """The loss curve.   -> matplotlib Figure, also written to `path` if given"""
        return plot_loss(self.loss, self.step, path=path)

    def _read(self):
        """The rows of the file. A header or line that this class did not write is damage, the unfinished last line is not."""
        self._start()
        data = read_bytes(self.path, LARGEST, "the log")
        lines = data.decode("utf-8-sig", errors="replace").splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):
            lines.pop()
        rows = {number: _row(line) for number, line in enumerate(lines, 1)}
        good = _increasing({number: row[0] for number, row in rows.items() if row is not None})
        damaged = [
            number for number in rows if number not in good and not (number == 1 and lines[0].strip() == ",".join(FIELDS))
        ]
        for number in good:
            for name, value in zip(FIELDS, rows[number], strict=True):
                getattr(self, name).append(value)
        if damaged:
            kept = self.path.with_name(self.path.name + ".damaged")
            write_whole(kept, [data])
            more = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
            warnings.warn(
                f"{self.path}: line {damaged[0]}{more} is damaged and left out; the file as it was is kept as {kept.name}",
                stacklevel=3,
            )


def _row(line):
    """[step, loss, lr, grad_norm, seconds] of a line, or None for one that does not hold them."""
    cells = line.strip().split(",")
    if len(cells) != len(FIELDS) or not all(_NUMBER.fullmatch(cell) for cell in cells):
        return None
    step, row = float(cells[0]), list(map(float, cells[1:]))
    if step != int(step) or step < 1 or not all(map(math.isfinite, row)):
        return None
    return [int(step), *row]


def _increasing(steps):
    """The line numbers of the longest run of increasing steps, so that one damaged step costs one line.   {line: step}"""
    ends, last, before = [], [], {}  # of the best runs of each length: their last step, its line; and the line before a line
    for number, step in steps.items():
        at = bisect.bisect_left(ends, step)
        ends[at : at + 1], last[at : at + 1] = [step], [number]
        before[number] = last[at - 1] if at else None
    chosen, number = [], last[-1] if last else None
    while number is not None:
        chosen.append(number)
        number = before[number]
    return dict.fromkeys(reversed(chosen))


def _line(values):
    return ",".join(map(str, values)) + "\n"  # str of a float is the shortest text that reads back as the same number
