"""The compile gate: every kernel to machine code for sm_80 and sm_90, nothing spilled, within its budget of registers."""

import ctypes
import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

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


def _nvrtc():
    """The compiler that CuPy's RawKernel uses, from a wheel or a toolkit; None where there is none."""
    homes = importlib.util.find_spec("nvidia")
    homes = [*(homes.submodule_search_locations if homes else ()), "/usr/local/cuda/lib64"]
    found = [file for home in homes for file in sorted(Path(home).rglob("libnvrtc.so*"))]
    return ctypes.CDLL(str(found[0])) if found else None


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_kernels_compile_as_cupy_compiles_them(arch):
    """NVRTC includes no header by itself, which nvcc does: what only compiles there would fail on the first call."""
    nvrtc = _nvrtc()
    if nvrtc is None:
        pytest.skip("NVRTC is not installed (wheel nvidia-cuda-nvrtc)")
    options = (ctypes.c_char_p * 2)(b"--std=c++17", f"-arch={arch}".encode())
    for file in sorted(set(KERNELS.values())):
        program, size = ctypes.c_void_p(), ctypes.c_size_t()
        assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), source(file).encode(), file.encode(), 0, None, None) == 0
        status = nvrtc.nvrtcCompileProgram(program, 2, options)
        nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetProgramLog(program, log)
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
        assert status == 0, log.value.decode()
