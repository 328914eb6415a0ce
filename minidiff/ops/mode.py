"""Settings that hold inside a `with`, for one thread alone: one may sample while another trains."""

import contextlib
import threading

_own = threading.local()


@contextlib.contextmanager
def setting(**values):
    """Inside, `current(name)` is the value given for each name."""
    before = {name: current(name) for name in values}
    vars(_own).update(values)
    try:
        yield
    finally:
        vars(_own).update(before)


def current(name):
    """What the innermost surrounding `setting(name=...)` of this thread says; None outside of any."""
    return getattr(_own, name, None)


def all_settings():
    """{name: value} of what holds in this thread now: `setting(**all_settings())` makes it hold in another."""
    return dict(vars(_own))
