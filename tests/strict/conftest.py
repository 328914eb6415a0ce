"""Makes `import strict_cupy` find the package beside this file, and `device="cuda"` mean it."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def xp(monkeypatch):
    """The stand-in, in cupy's place."""
    import strict_cupy

    monkeypatch.setitem(sys.modules, "cupy", strict_cupy)
    for key in strict_cupy.STATS:
        strict_cupy.STATS[key] = 0
    return strict_cupy
