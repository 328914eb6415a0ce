"""Forward alone: inside `with no_grad():` nothing is kept for a way back, by layers and by ops that would keep much."""

from .mode import current, setting


def no_grad():
    """Inside, layers drop their `back` as soon as it is made, so activations are freed on the way."""
    return setting(no_grad=True)


def is_no_grad():
    """Whether this thread or task is inside `with no_grad()`."""
    return bool(current("no_grad"))


def dropped(*_):
    """The `back` of what ran under no_grad."""
    raise RuntimeError("this forward ran under no_grad() or predict(), so there is nothing to go back through")
