"""Tables of studies: rows are dicts; numbers that were measured several times come with their standard error."""

import csv
import io
import math

from ..files import read_text, write_whole

LARGEST = 64 << 20  # bytes of a table


def over_seeds(seeds, measure):
    """measure(seed) -> {name: number}, for each seed   ->   {name: mean, name_error: standard error, ..., "seeds": how many}

    With a single seed the errors are empty.
    """
    results, row = [measure(seed) for seed in seeds], {}
    for name in results[0]:
        row[name], row[f"{name}_error"] = mean_and_error([result[name] for result in results])
    return {**row, "seeds": len(results)}


def mean_and_error(values):
    """(mean, standard error of the mean) of numbers; the error of one number is None."""
    values = [float(v) for v in values]
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, None
    return mean, math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values))


def write_table(rows, path):
    """Rows as a CSV file, whole or not at all. Columns are all the names there are; numbers have six digits."""
    rows, text = full(rows), io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows(map(_cell, row.values()) for row in rows)
    write_whole(path, [text.getvalue().encode()])


def full(rows):
    """The rows with all the columns that any of them has, None where a row has none."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in names} for row in rows]


def read_table(path):
    """The rows of a CSV file: numbers as numbers, empty cells as None."""
    text = read_text(path, LARGEST, "table")
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise ValueError(f"{path} is not a readable table: {error}") from None
    for number, row in enumerate(rows, 1):
        if None in row or None in row.values():
            raise ValueError(f"{path}: row {number} has more or fewer cells than the table has columns")
    return [{name: _value(cell) for name, cell in row.items()} for row in rows]


def line(row):
    """A row as one line of text."""
    shown = []
    for name, value in row.items():
        if value is None or name.endswith("_error"):
            continue
        error = row.get(f"{name}_error")
        shown.append(f"{name} {_cell(value)}" + (f" ± {error:.2g}" if error is not None else ""))
    return "   ".join(shown)


def _cell(value):
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _value(cell):
    if cell == "":
        return None
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            pass
    return cell
