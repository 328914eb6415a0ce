"""`device="cuda"` means the emulator of CuPy beside this file."""

import sys

import pytest
import strict_cupy


@pytest.fixture
def xp(monkeypatch):
    """The stand-in, in cupy's place."""
    monkeypatch.setitem(sys.modules, "cupy", strict_cupy)
    for key in strict_cupy.STATS:
        strict_cupy.STATS[key] = 0
    return strict_cupy
