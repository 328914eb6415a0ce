"""Settings that hold inside a `with`, for one thread alone: one may sample while another trains."""

import contextlib
import threading

_own = threading.local()


@contextlib.contextmanager
def setting(name, value):
    """Inside, `current(name)` is value."""
    before = current(name)
    setattr(_own, name, value)
    try:
        yield
    finally:
        setattr(_own, name, before)


def current(name):
    """What the innermost surrounding `setting(name, ...)` of this thread says; None outside of any."""
    return getattr(_own, name, None)
