"""What holds for one thread or asyncio task alone, inside a `with`: one may sample while another trains.

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


def plain():
    """Inside, every op runs its plain reference: to compare it with a fast version, or to step through it in a debugger."""
    return setting(plain=True)


def is_plain():
    """Whether this thread or task is inside `with plain()`."""
    return bool(current("plain"))


def no_grad():
    """Inside, layers drop their `back` as soon as it is made, so that activations are freed on the way."""
    return setting(no_grad=True)


def is_no_grad():
    """Whether this thread or task is inside `with no_grad()`."""
    return bool(current("no_grad"))


def is_lone():
    """Whether a small network predicts one small image, whose ops do not wait for sleeping threads (`thread_team.share`)."""
    return bool(current("lone"))


def is_own_rows():
    """Whether this process computes its own rows of a batch, which nothing inside shares once more (`DataParallel`)."""
    return bool(current("own_rows"))


def is_complex_step():
    """Whether a derivative is being taken by a complex step (`complex_step.jvp`), so that ops take complex arrays."""
    return bool(current("complex_step"))


def dropped(*_):
    """The `back` of a forward pass that ran under no_grad: it raises RuntimeError."""
    raise RuntimeError("this forward ran under no_grad() or predict(), so there is nothing to go back through")


def training(rng):
    """Inside, dropout drops, drawing from `rng`. Outside it is the identity: there is no train()/eval() to forget."""
    return setting(training=rng)


def training_rng():
    """The generator of the surrounding `training(rng)`, or None outside one."""
    return current("training")
