"""The kernel tests once more in a process with the address and undefined-behaviour sanitizers, which must bite first."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cuda_on_cpu import COMPILER

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BEYOND = """
import numpy as np, strict_cupy
from cuda_on_cpu import RawKernel
code = 'extern "C" __global__ void f(float* x, int n) {{ int i = threadIdx.x; {mistake} }}'
x = strict_cupy.zeros(1000, dtype=np.float32)
RawKernel(code, "f")((1,), (8,), (x, np.int32(1000)))
print("nobody noticed")
"""


def _run(arguments, **environment):
    runtime = subprocess.run([COMPILER, "-print-file-name=libasan.so"], capture_output=True, text=True).stdout.strip()
    if not os.path.isabs(runtime):
        pytest.skip("g++ has no address sanitizer here")
    options = dict(MINIDIFF_SANITIZE="1", LD_PRELOAD=runtime, ASAN_OPTIONS="detect_leaks=0:detect_stack_use_after_return=0",
                   UBSAN_OPTIONS="print_stacktrace=0")  # fmt: skip
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT,
                          env={**os.environ, **options, **environment})  # fmt: skip


needs_gcc = pytest.mark.skipif(COMPILER is None, reason="g++ is not installed, and the sanitizers are its")


@needs_gcc
@pytest.mark.slow
@pytest.mark.parametrize(
    "mistake, report",
    [
        ("x[n + i] = 1.0f;", "heap-buffer-overflow"),
        ("x[i] = x[i - 3];", "heap-buffer-overflow"),
        ("__shared__ float s[4]; s[i] = 1.0f; x[i] = s[i];", "out of bounds"),
        ("int k = 2147483600 + 10 * i; x[i] = k;", "signed integer overflow"),
        ("x[i] = n / (i - 2);", "division by zero"),
    ],
)
def test_sanitizers_detect_injected_bugs(mistake, report, count):
    ran = _run(
        ["-c", BEYOND.format(mistake=mistake)], PYTHONPATH=os.pathsep.join(map(str, (HERE, HERE.parent / "strict", ROOT)))
    )
    assert ran.returncode and report in ran.stderr and "nobody noticed" not in ran.stdout, ran.stderr[-2000:]
    count("planted")


@needs_gcc
@pytest.mark.slow
def test_kernels_under_the_sanitizers():
    ran = _run(["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", "forwards", str(HERE / "test_kernels.py")])
    assert ran.returncode == 0 and " passed" in ran.stdout, ran.stdout[-3000:] + ran.stderr[-3000:]
