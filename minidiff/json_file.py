"""Reading JSON objects that may be malformed: every message names the file, and where one field is wrong, the field."""

import contextlib
import functools
import json
import math

from .files import read_bytes

LARGEST = 256 << 20  # bytes; the largest table in use, the vocabulary of a multilingual tokenizer, is below 20 MiB
_WORDS = {dict: "an object", list: "a list", str: "a string", int: "a whole number", float: "a number", bool: "true or false"}


def read_object(path, largest=LARGEST):
    """The JSON object in a file, as a dict. A byte-order mark is accepted.

    Raises FileNotFoundError, and ValueError for what is not a regular file, too large, not JSON, not an object, nested too
    deeply, or has NaN or one name twice.
    """
    return parse_object(read_bytes(path, largest), path)


def parse_object(data, where):
    """The JSON object in bytes or a string, as a dict. Raises ValueError that begins with `where`."""
    try:
        text = data if isinstance(data, str) else bytes(data).decode("utf-8-sig")
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_constant)
    except RecursionError:
        raise ValueError(f"{where} is not readable JSON: nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{where} is not readable JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{where}: got JSON that is {word_of(value)}, expected an object")
    return value


def read_field(table, name, kind, where, default=None, least=None, most=None):
    """table[name], checked to be of `kind` (a type, or several) and in [least, most]; `default` where it is missing or null.

    A float is finite, and may be written as a whole number. Raises ValueError that names `where` and the field.
    """
    value = table.get(name)
    if value is None:
        return default
    kinds = kind if isinstance(kind, tuple) else (kind,)
    others = tuple(each for each in kinds if each is not float)
    fits = isinstance(value, others) and (bool in kinds or not isinstance(value, bool))
    fits = fits or (float in kinds and is_number(value))
    fits = fits and not (least is not None and value < least) and not (most is not None and value > most)
    if not fits:
        expected = " or ".join(_WORDS[each] for each in kinds)
        if least is not None and most is not None:
            expected += f" from {least:,} to {most:,}"
        elif least is not None:
            expected += f", at least {least:,}"
        raise ValueError(f"{where}: {name}: got {shown(value)}, expected {expected}")
    return value


@contextlib.contextmanager
def about(where):
    """Inside, an error about a value is raised as a ValueError that begins with `where`, unless it names that already."""
    try:
        yield
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        text = f"missing {error}" if isinstance(error, KeyError) else str(error)
        if isinstance(error, ValueError) and str(where) in text:
            raise
        raise ValueError(f"{where}: {text}") from error


def about_file(function):
    """A function whose first argument is a path, inside `about` that path."""

    @functools.wraps(function)
    def named(path, *args, **kwargs):
        with about(path):
            return function(path, *args, **kwargs)

    return named


def is_number(value):
    """Whether a JSON value is a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond the floats
        return False


def word_of(value):
    """What kind of JSON a value is, in words."""
    return "null" if value is None else _WORDS.get(type(value), type(value).__name__)


def shown(value, most=60):
    """A value as a message shows it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= most else text[:most] + "..."


def _unique(pairs):
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {shown(twice)} appears twice in one object")
    return table


def _constant(text):
    if text == "NaN":
        raise ValueError("NaN is not a JSON number")
    return float(text.replace("Infinity", "inf"))  # diffusers writes -Infinity for lambda_min_clipped
