"""Checks of names: an unknown one is answered with the nearest known ones, tables of names with all that differs."""

import difflib

LISTED = 20  # differences that a message lists


def nearest(name, known, n=3, cutoff=0.6):
    """The known names that look most like this one, the best first.   -> list, n at most"""
    return difflib.get_close_matches(str(name), list(known), n, cutoff)


def did_you_mean(name, known, n=3, cutoff=0.6):
    """The end of an error message: "; did you mean x0?", or nothing when no known name is near."""
    near = nearest(name, known, n, cutoff)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def check_choice(name, value, known):
    """Raise ValueError, with the nearest names, unless `value` is one of `known`. name: the argument that it came in"""
    if value not in known:
        known = [str(one) for one in known]
        raise ValueError(f"{name}: got {value!r}, expected one of {', '.join(known)}{did_you_mean(value, known)}")


def differences(found, expected):
    """Where two tables differ, for the end of an error message: a line for each name, or nothing where they are equal.

    found, expected: {name: array}, of which shapes are compared; or {name: whatever describes it}
    """
    found, expected = ({name: tuple(a.shape) if hasattr(a, "shape") else a for name, a in t.items()} for t in (found, expected))
    lines = [f"missing {name} {expected[name]}" for name in expected if name not in found]
    lines += [f"unexpected {name} {found[name]}" for name in found if name not in expected]
    both = [name for name in expected if name in found]
    lines += [f"{name} is {found[name]}, expected {expected[name]}" for name in both if found[name] != expected[name]]
    more = [f"... and {len(lines) - LISTED} more"] * (len(lines) > LISTED)
    return "".join(f"\n  {line}" for line in lines[:LISTED] + more)
