"""Forward alone: inside `with no_grad():` nothing is kept for a way back, by layers and by ops that would keep much."""

import contextlib
import threading

_mode = threading.local()  # a thread has its own mode, so one may sample while another trains


@contextlib.contextmanager
def no_grad():
    """Inside, layers drop their `back` as soon as it is made, so activations are freed on the way."""
    before, _mode.no_grad = is_no_grad(), True
    try:
        yield
    finally:
        _mode.no_grad = before


def is_no_grad():
    """Whether this thread is inside `with no_grad()`."""
    return getattr(_mode, "no_grad", False)


def dropped(*_):
    """The `back` of what ran under no_grad."""
    raise RuntimeError("this forward ran under no_grad() or predict(), so there is nothing to go back through")
