"""Which arrays the fast versions take. That they fit each other, the op has checked."""

import numpy as np

FLOATS = {np.dtype("float32"), np.dtype("float64")}
PLAIN = np.ndarray, type(None)


def fits(x, *others):
    """Whether x is float32 or float64, in order and not empty, and the others are NumPy's own arrays (None is passed over)."""
    for other in others:
        if type(other) not in PLAIN:
            return False
    return x.dtype in FLOATS and x.size > 0 and x.flags.c_contiguous
