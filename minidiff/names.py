"""Checks of a name or a choice: an unknown one is answered with the nearest known ones."""

import difflib


def did_you_mean(name, known):
    """The end of an error message: "; did you mean x0?", or nothing when no known name is near."""
    near = difflib.get_close_matches(str(name), list(known), n=3)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def check_choice(name, value, known):
    """Raise ValueError, with the nearest names, unless `value` is one of `known`. name: the argument that it came in"""
    if value not in known:
        known = [str(one) for one in known]
        raise ValueError(f"{name}: got {value!r}, expected one of {', '.join(known)}{did_you_mean(value, known)}")
