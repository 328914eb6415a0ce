"""The compile gate: every kernel to machine code for sm_80 and sm_90, nothing spilled, within its budget of registers."""

import os
import re
import shutil
import subprocess

import pytest

from minidiff.gpu.source import KERNELS, source

NVCC = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
REGISTERS = 64  # with 64, a block of 1024 threads still fits into a multiprocessor's 65536
BUDGET = {"adamw_ema": 32, "softmax_forward": 32, "softmax_backward": 32, "sum_of_squares": 32, "uniforms": 32, "im2col": 40}


def compiled(file, arch, folder):
    """What the assembler says of each kernel.   -> {name: (registers, bytes of stack, bytes spilled)}"""
    path = folder / file
    path.write_text(source(file))
    command = [NVCC, f"-arch={arch}", "-std=c++17", "-Xptxas", "-v", "-cubin", "-o", os.devnull, str(path)]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert "warning" not in made.stderr, made.stderr
    memory = r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
    found = re.findall(rf"entry function '(\w+)'.*?{memory}.*?Used (\d+) registers", made.stderr, re.S)
    return {name: (int(regs), int(stack), int(stores) + int(loads)) for name, stack, stores, loads, regs in found}


@pytest.mark.slow
@pytest.mark.skipif(NVCC is None, reason="nvcc is not installed (CUDA toolkit, or the wheel nvidia-cuda-nvcc)")
@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
@pytest.mark.parametrize("file", sorted(set(KERNELS.values())))
def test_kernels_compile_without_spills(file, arch, tmp_path):
    kernels = compiled(file, arch, tmp_path)
    assert set(kernels) == {name for name, home in KERNELS.items() if home == file}
    print(arch, kernels)
    for name, (registers, stack, spilled) in kernels.items():
        assert spilled == 0, f"{name}: {spilled} bytes spilled"
        assert stack == 0 or name == "normals", f"{name}: {stack} bytes of stack"  # cosf of huge angles has a table there
        assert registers <= BUDGET.get(name, REGISTERS), f"{name}: {registers} registers"
