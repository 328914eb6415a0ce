"""What is counted, and what is forbidden for a while."""

import contextlib

STATS = dict(syncs=0, uploads=0, downloads=0, allocations=0)
_forbidden = {"sync": False, "capture": False, "allocation": False}


class StrictError(TypeError):
    """What CuPy would refuse, or should not be asked to do here."""


class CaptureError(StrictError, RuntimeError):
    """What CUDA refuses while a stream is captured (CuPy's error there is a RuntimeError)."""


@contextlib.contextmanager
def forbidding(*what):
    """Inside, these raise."""
    before = dict(_forbidden)
    _forbidden.update(dict.fromkeys(what, True))
    try:
        yield
    finally:
        _forbidden.update(before)


def no_sync():
    """Inside, anything that would make the host wait for the device raises."""
    return forbidding("sync")


def no_allocation():
    """Inside, asking for memory that the pool does not hold already raises."""
    return forbidding("allocation")


def capturing():
    """Inside, as in the capture of a CUDA graph: no synchronisation, no upload, no cuBLAS call through CuPy."""
    return forbidding("sync", "capture")


def sync(what):
    STATS["syncs"] += 1
    if _forbidden["sync"]:
        raise (CaptureError if _forbidden["capture"] else StrictError)(f"{what} makes the host wait for the device")


def upload(what):
    STATS["uploads"] += 1
    if _forbidden["capture"]:
        raise CaptureError(f"{what}: host-to-device copy while capturing")


def blas(name):
    if _forbidden["capture"]:
        raise NotImplementedError(f"{name}: calling cuBLAS API during stream capture is currently unsupported")


def allocation(size, private):
    STATS["allocations"] += 1
    if _forbidden["allocation"]:
        raise StrictError(f"a new allocation of {size} bytes: the pool has no such block to hand out again")
    if _forbidden["capture"] and not private:
        raise CaptureError("memory of a recording comes from the common pool: others will be given it, and be overwritten")
