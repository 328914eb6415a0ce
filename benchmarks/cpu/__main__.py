"""minidiff beside PyTorch and diffusers on this machine's CPU, in one run, in turns, on as many threads.

python -m benchmarks.cpu                       all parts but the next two: about ten minutes, --seconds for each row
python -m benchmarks.cpu dit                   steps of diffusion transformers: about ten minutes
python -m benchmarks.cpu compile               some steps beside torch.compile too; needs a C++ compiler
python -m benchmarks.cpu ops steps --threads 2 --seconds 1 --json figures.json
python -m benchmarks.cpu scaling --plot scaling.png
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import time

PARTS = ("ops", "steps", "memory", "import", "accuracy", "scaling", "dit", "compile")
APART = ("dit", "compile")  # only when asked for


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)} (default: all but {' and '.join(APART)})"
    )
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="threads and cores of each side (default: 2)")
    parser.add_argument("--seconds", type=float, default=1.5, metavar="S", help="time spent on each row (default: 1.5)")
    parser.add_argument(
        "--cpu-time", action="store_true", help="leave out the time that other programs take; needs --threads 1"
    )
    parser.add_argument("--only", default="", metavar="WORDS", help="rows whose name holds this")
    parser.add_argument("--full", action="store_true", help="the largest steps too; takes an hour")
    parser.add_argument("--json", metavar="FILE", help="also write everything into a file")
    parser.add_argument("--plot", default="scaling.png", metavar="FILE", help="where `scaling` draws (default: scaling.png)")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"unknown part {', '.join(unknown)}; choose from {', '.join(PARTS)}")
    if arguments.cpu_time and arguments.threads != 1:
        parser.error(f"--cpu-time: cannot be combined with --threads {arguments.threads}; use --threads 1")
    if "compile" in arguments.parts and not shutil.which("g++"):
        parser.error("compile: torch.compile needs the C++ compiler g++, and there is none")
    parts = arguments.parts or [part for part in PARTS if part not in APART]
    _pin(arguments.threads)
    figures = {
        "machine": {**machine(arguments.threads), "clock": "CPU time" if arguments.cpu_time else "wall time"},
        "rows": [],
    }
    print("  ".join(f"{key} {value}" for key, value in figures["machine"].items()))
    if {"ops", "steps", *APART} & set(parts):
        figures["rows"] += _timed(parts, arguments)
    if "memory" in parts:
        from . import memory

        figures["rows"] += [_told(row, "MiB") for row in memory.rows(arguments.threads)]
    if "import" in parts:
        from . import memory

        figures["rows"].append(_told(memory.imports(), "ms"))
    if "accuracy" in parts:
        from . import accuracy

        for row in accuracy.rows():
            accuracy.show(row)
            figures["rows"].append(row)
    if "scaling" in parts:
        from . import plots

        figures["scaling"] = plots.sweeps(arguments.seconds, arguments.threads)
        plots.draw(figures["scaling"], arguments.plot)
    if arguments.json:
        from minidiff.files import write_whole

        write_whole(arguments.json, [json.dumps(figures, indent=1).encode()])


def machine(threads):
    """What the figures were measured on."""
    import diffusers
    import numpy
    import torch

    import minidiff

    return {"processor": _processor(), "cores": len(os.sched_getaffinity(0)), "threads": threads,
            "blas": _blas(), "python": platform.python_version(), "numpy": numpy.__version__, "torch": torch.__version__,
            "diffusers": diffusers.__version__,
            "minidiff": minidiff.__version__, "load": f"{os.getloadavg()[0]:.1f}"}  # fmt: skip


def _timed(parts, arguments):
    from . import dits, ops, pairs, steps

    ops.set_threads(arguments.threads)
    pairs.wanted, pairs.clock = arguments.only, time.process_time if arguments.cpu_time else time.perf_counter
    rows = []
    sources = [ops.rows(arguments.seconds)] if "ops" in parts else []
    sources += [steps.rows(arguments.seconds, arguments.full)] if "steps" in parts else []
    sources += [dits.rows(arguments.seconds, arguments.full)] if "dit" in parts else []
    sources += [steps.compiled_rows(arguments.seconds)] if "compile" in parts else []
    for source in sources:
        for row in filter(None, source):
            pairs.show(row, heading=not rows)
            rows.append(row)
    groups = {}
    for row in rows:
        groups.setdefault(row.group + (" + backward" if "backward" in row.name else ""), []).append(row.ratio)
    print("\nratio minidiff / torch: median and worst of each group")
    for group, ratios in groups.items():
        print(f"  {group:32} {statistics.median(ratios):5.2f} {max(ratios):5.2f}")
    return [row.dict() for row in rows]


def _told(row, unit):
    print(f"{row['name']:56} {row['ours']:8.1f} {unit} {row['theirs']:8.1f} {unit} {row['ratio']:6.2f}", flush=True)
    return row


def _pin(threads):
    """The same cores for both, and one setting before any library reads it."""
    os.environ["OMP_NUM_THREADS"] = os.environ["MINIDIFF_THREADS"] = str(threads)
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < threads:
            sys.exit(f"--threads: got {threads}, but this process may use {len(cores)} cores")
        os.sched_setaffinity(0, cores[:threads])


def _blas():
    """NumPy's library of matrix products and the instruction set it uses; OPENBLAS_CORETYPE may choose an older one."""
    from threadpoolctl import threadpool_info

    for found in threadpool_info():
        if "numpy" in found["filepath"]:
            return " ".join(str(found[key]) for key in ("internal_api", "version", "architecture") if key in found)
    return "unknown"


def _processor():
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
