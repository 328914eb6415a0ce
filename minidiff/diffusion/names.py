"""Unknown names, answered with the nearest known ones."""

import difflib


def did_you_mean(name, known):
    """The end of an error message: "; did you mean x0?", or nothing when no known name is near."""
    near = difflib.get_close_matches(str(name), list(known), n=3)
    return f"; did you mean {' or '.join(near)}?" if near else ""
