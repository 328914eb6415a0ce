"""Settings that hold inside a `with`, for one thread or asyncio task alone: one may sample while another trains.

A new thread starts without any setting. A new asyncio task, and `asyncio.to_thread`, start with a copy of the settings
around them, as with every context variable. A generator runs in its caller's context: do not yield inside a `setting`.
"""

import contextlib
import contextvars

_own = contextvars.ContextVar("minidiff settings", default={})  # noqa: B039  (never changed in place)


@contextlib.contextmanager
def setting(**values):
    """Inside, `current(name)` is the value given for each name."""
    around = _own.get()
    before = {name: around.get(name) for name in values}
    _own.set({**around, **values})
    try:
        yield
    finally:  # not by a token: a generator may be closed in another context than the one it was started in
        _own.set({**_own.get(), **before})


def current(name):
    """The value that the innermost surrounding `setting(name=...)` of this thread or task gave; None outside of any."""
    return _own.get().get(name)


def all_settings():
    """{name: value} of what holds here now: `setting(**all_settings())` makes it hold in another thread or process."""
    return dict(_own.get())
