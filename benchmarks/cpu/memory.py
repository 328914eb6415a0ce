"""Peak memory of a step and the time of an import, each in a process of its own: python -m benchmarks.cpu memory"""

import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time

CASES = [(8, 32, 64), (16, 64, 16), (32, 64, 8), (32, 64, 64), (32, 128, 4)]  # size, width, batch


def rows(threads):
    """[{name, ours, theirs, ratio}] in MiB: the highest resident memory of all its processes, less what the libraries
    take when imported."""
    for size, width, batch in CASES:
        for what in ("train", "sample"):
            ours, *theirs = (_peak(side, size, width, batch, what, threads) for side in ("ours", "nchw", "nhwc"))
            yield {"group": "memory", "name": f"peak memory, {what}, {size}x{size}, width {width}, batch {batch}",
                   "ours": ours, "theirs": min(theirs), "ratio": ours / min(theirs)}  # fmt: skip


def imports(repeats=5):
    """Seconds to `import minidiff` and its nets, and torch with diffusers' U-Net: medians."""
    programs = {
        "ours": "import minidiff.models, minidiff.samplers",
        "theirs": "import torch; from diffusers import UNet2DModel",
    }
    took = {side: [] for side in programs}
    for _ in range(repeats):
        for side, program in programs.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True, stderr=subprocess.DEVNULL)
            took[side].append(time.perf_counter() - start)
    ours, theirs = (1e3 * statistics.median(took[side]) for side in programs)
    return {"group": "import", "name": "import (ms)", "ours": ours, "theirs": theirs, "ratio": ours / theirs}


def _peak(*arguments):
    told = subprocess.run([sys.executable, "-m", "benchmarks.cpu.memory", json.dumps(arguments)], check=True, text=True,
                          capture_output=True)  # fmt: skip
    return float(told.stdout.split()[-1])


def _kib(field, pid="self", file="status"):
    with open(f"/proc/{pid}/{file}") as lines:
        return sum(int(line.split()[1]) for line in lines if line.startswith(field))


def _beyond(pid):
    """KiB of a copy of a process that are its own at the most: what it shares with nobody now, and what it had more before."""
    return _kib("Private_", pid, "smaps_rollup") + _kib("VmHWM", pid) - _kib("VmRSS", pid)


def _child(side, size, width, batch, what, threads):
    from .ops import LAYOUTS, set_threads
    from .steps import Ours, Theirs

    if side != "ours":
        from diffusers import UNet2DModel  # noqa: F401  before the memory is read
    set_threads(threads)
    before = _kib("VmRSS")
    held = Ours(size, width, batch) if side == "ours" else Theirs(size, width, batch, LAYOUTS[side])
    program = getattr(held, what)
    for _ in range(3):
        program()
    copies = sum(_beyond(process.pid) for process in multiprocessing.active_children())
    print((_kib("VmHWM") - before + copies) / 1024)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    _child(*json.loads(sys.argv[1]))
