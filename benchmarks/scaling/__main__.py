"""Training on two MPI ranks beside one, each of one thread, and a plan for up to 1,024 ranks from what that measures.

python -m benchmarks.scaling                  about seven minutes; nothing else should run
python -m benchmarks.scaling --seconds 3 --rounds 1 --models digits
python -m benchmarks.scaling --plan           from the measurements in --json alone: the table and the plot
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from minidiff.files import write_whole

from . import model
from .figure import draw

ROOT = Path(__file__).parents[2]
NAMES = ("digits", "mnist", "cifar10")  # those of rank.MODELS, which is imported by the ranks only
BATCH = 64
CLUSTER = model.Network(20e-6, 2.5e9)  # 25 Gbit/s Ethernet: an assumption, not a measurement
SHOWN = ("{net:8}  {rate_one:7.1f} images/s on one rank, {rate_two:7.1f} on two: {gain:.2f} times; "
         "allreduce {allreduce_ms:.2f} ms, {MB:.1f} MB; step {step_ms:.1f} ms, predicted {predicted_ms:.1f} ms")  # fmt: skip
PLANNED = (1, 2, 4, 16, 64, 256, 1024)  # ranks


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=NAMES, default=NAMES, help="which models (default: all)")
    parser.add_argument("--rounds", type=int, default=4, metavar="N", help="rounds of all measurements (default: 4)")
    parser.add_argument("--seconds", type=float, default=8.0, metavar="S", help="time of each measurement (default: 8)")
    parser.add_argument(
        "--wait",
        type=float,
        default=60.0,
        metavar="S",
        help="before each measurement, wait at most so long for other programs to leave the cores (default: 60)",
    )
    parser.add_argument("--plan", action="store_true", help="measure nothing")
    parser.add_argument("--json", default="docs/scaling/scaling.json", metavar="FILE", help="measurements and plan")
    parser.add_argument("--plot", default="docs/scaling/scaling.png", metavar="FILE", help="the plan as a plot")
    arguments = parser.parse_args()
    if arguments.plan:
        found = json.loads(Path(arguments.json).read_text())["measured"]
    else:
        found = measure(arguments.models, arguments.rounds, arguments.seconds, arguments.wait)
    rows, costs = table(found), {name: costs_of(found, name) for name in found["steps"]}
    for row in rows:
        if row["group"] == "two ranks":
            print(SHOWN.format(**row))
    figures = {"machine": found["machine"], "rows": rows, "measured": found}
    write_whole(arguments.json, [json.dumps(figures, indent=1).encode() + b"\n"])
    draw(costs, CLUSTER, BATCH, PLANNED[-1], arguments.plot)


def measure(names, rounds, seconds, wait):
    """Every measurement, the fastest of the rounds: other programs only make a step slower."""
    steps = {name: {} for name in names}
    for _ in range(rounds):
        for name in names:
            for ranks, batch in ((1, BATCH), (1, BATCH // 2), (2, BATCH)):
                until_quiet(wait)
                row = run(ranks, name, batch, seconds)
                best = steps[name].setdefault(f"{ranks} x {batch}", row)
                if row["step"] < best["step"]:
                    steps[name][f"{ranks} x {batch}"] = row
    until_quiet(wait)
    pairs = run(2, "allreduce", 0, 0)["allreduce"]
    return {"steps": steps, "allreduce": pairs, "machine": {"cores": os.cpu_count()}}


def until_quiet(seconds, share=0.1):
    """Wait until other programs use less than this share of the cores for a second, at most so many seconds."""
    end, stat = time.perf_counter() + seconds, Path("/proc/stat")
    while stat.exists() and time.perf_counter() < end:
        before = busy(stat)
        time.sleep(1.0)
        if busy(stat) - before < share * os.sysconf("SC_CLK_TCK") * os.cpu_count():
            return


def busy(stat):
    """Clock ticks for which a core worked, of all cores since the start."""
    user, nice, system = map(int, stat.read_text().split(maxsplit=4)[1:4])
    return user + nice + system


def run(ranks, *arguments):
    """rank.py on so many ranks.   -> what rank 0 wrote"""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "row.json"
        command = [sys.executable, "-m", "benchmarks.scaling.rank", *map(str, arguments), str(file)]
        if ranks > 1:
            command = [str(Path(sys.executable).with_name("mpiexec")), "-n", str(ranks), *command]
        env = os.environ | {"MINIDIFF_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        subprocess.run(command, cwd=ROOT, env=env, check=True, timeout=300)
        return json.loads(file.read_text())


def costs_of(found, name):
    steps = found["steps"][name]
    return model.costs(steps[f"1 x {BATCH}"], steps[f"1 x {BATCH // 2}"])


def table(found):
    """The rows of docs/scaling.md: two ranks as measured and predicted, and the plan."""
    rows, near = [], model.network(found["allreduce"])
    for name, steps in found["steps"].items():
        one, half, two = (steps[key] for key in (f"1 x {BATCH}", f"1 x {BATCH // 2}", f"2 x {BATCH}"))
        costs = costs_of(found, name)
        predicted = model.seconds(costs, near, 2, BATCH) - costs.checkpoint / model.CHECKPOINT_EVERY
        rows.append({
            "group": "two ranks", "net": name, "rate_one": BATCH / one["step"], "rate_two": BATCH / two["step"],
            "gain": one["step"] / two["step"], "limit": one["step"] / half["step"], "MB": two["allreduce_bytes"] / 1e6,
            "allreduce_ms": 1e3 * two["add"], "step_ms": 1e3 * two["step"], "predicted_ms": 1e3 * predicted,
            "error_percent": 100 * (predicted / two["step"] - 1),
        })  # fmt: skip
        rows.append({
            "group": "costs", "net": name, "million": one["parameters"] / 1e6, "row_ms": 1e3 * costs.compute_row,
            "fixed_ms": 1e3 * costs.compute, "checkpoint_ms": 1e3 * costs.checkpoint,
            "overlap": model.overlap_from(costs, CLUSTER, BATCH),
        })  # fmt: skip
        alone = model.seconds(costs, CLUSTER, 1, BATCH)
        for ranks in PLANNED:
            parts = model.step(costs, CLUSTER, ranks, ranks * BATCH)
            whole = sum(parts.values())
            rows.append({"group": "plan", "net": name, "ranks": ranks, "efficiency": alone / whole,
                         "allreduce_percent": 100 * parts["allreduce"] / whole})  # fmt: skip
    errors = [abs(row["error_percent"]) for row in rows if row["group"] == "two ranks"]
    print(f"prediction of two ranks: off by {statistics.mean(errors):.0f} % on average, {max(errors):.0f} % at most")
    return rows


if __name__ == "__main__":
    main()
