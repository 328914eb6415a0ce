"""Memory freed at the end of a training step serves the next one: no page faults, unless the user has set the C library."""

import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, numpy as np
from minidiff.nn import Linear
from minidiff.training import AdamW

def step():
    made = [np.ones(1 << 18, np.float32) for _ in range(64)]  # 64 MiB, as activations are made and freed

step()
AdamW(Linear(2, 2))
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the GNU C library has these settings")


def faults(**environment):
    """Page faults of one more step in a fresh Python."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=own | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_a_second_step_uses_the_memory_of_the_first():
    assert faults() < 200


def test_the_environment_wins():
    assert faults(MALLOC_TRIM_THRESHOLD_="131072") > 10_000  # 64 MiB are 16,384 pages
