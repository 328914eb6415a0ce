"""The stages of scripts/gpu_report.py, each run in a process of its own.

    python3 scripts/gpu_stages.py NAME --out FOLDER [--emulate]

A stage is a function (xp, out, small) -> findings that JSON can hold. It raises Skip with a reason where something it needs
is missing, and any other exception where it fails. xp is CuPy, or with --emulate the emulators of tests/gpu and tests/strict,
on which a stage runs at a small size.
"""

import argparse
import csv
import functools
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SKIPPED = 77  # exit code of a stage that was skipped; the reason is its last line
for folder in (ROOT, ROOT / "benchmarks", ROOT / "tests" / "gpu"):
    sys.path.insert(0, str(folder))


class Skip(Exception):
    """Something that the stage needs is missing; the message is the reason."""


def facts(xp, out, small):
    """Card, driver, versions, tools: what every number depends on."""
    from minidiff.doctor import examine

    found = examine()
    if small:
        return found | {"card": "none: the emulators"}
    import gpu_bench

    return found | {"card": gpu_bench.facts(xp)}


def kernels(xp, out, small):
    """Every kernel, compiled and compared with its plain reference."""
    names = ["tests/gpu/test_kernels.py", "tests/gpu/test_blas.py"]
    return run_tests(names, "gpu", "forwards and not backwards" if small else None)


def tests(xp, out, small):
    """All of tests/gpu on the card: steps, samplers, commands, recipes."""
    if small:
        return run_tests(["tests/gpu/test_sampling_step.py"], "gpu", "forwards and not backwards")
    return run_tests(["tests/gpu", "--ignore=tests/gpu/test_strict_cases.py", "--ignore=tests/gpu/test_kernels.py"], "gpu")


def strict(xp, out, small):
    """The strict emulator's cases on CuPy itself, against NumPy."""
    if small:
        return run_tests(["tests/strict/test_same_numbers.py"], None, "test_same_numbers and (00 or 01 or 02)")
    return run_tests(["tests/gpu/test_strict_cases.py"], "gpu")


def train(xp, out, small):
    """Twenty training steps and a DDIM run, on the CPU and on the card: losses to 1e-4, images to 1e-3."""
    import numpy as np

    from minidiff import viz
    from minidiff.backend import to_numpy
    from minidiff.rng import Rng
    from minidiff.samplers import sample

    here, there = (trainer(device, small) for device in ("cpu", "cuda"))
    losses = [np.array([float(to_numpy(run.step())) for _ in range(20)]) for run in (here, there)]
    error = float(np.abs(losses[1] / losses[0] - 1).max())
    there.model.load_state(here.model.state())  # one model on both, so that the images measure sampling alone
    noise = Rng(3).standard_normal((16, *here.images.shape[1:]), np.float32)
    images = []
    for run, device in ((here, "cpu"), (there, "cuda")):
        x = noise if device == "cpu" else xp.asarray(noise)
        cond = run.xp.arange(16) % 2
        drawn = sample("ddim", run.objective.denoiser(run.model), noise.shape, x=x, steps=20, cond=cond, device=device)
        images.append(to_numpy(drawn))
        viz.save_png(images[-1], out / f"ddim_{device}.png", columns=8)
    apart = float(np.abs(images[0] - images[1]).max())
    found = {"losses_cpu": losses[0].tolist(), "losses_cuda": losses[1].tolist(), "relative_loss": error, "images": apart}
    (out / "losses.json").write_text(json.dumps(found, indent=1) + "\n")
    require(error <= 1e-4, f"losses differ by {error:.2g} relative, expected at most 1e-4")
    require(apart <= 1e-3, f"images differ by {apart:.2g}, expected at most 1e-3")
    return {"relative_loss": error, "images": apart}


def replay(xp, out, small):
    """A recorded training step replayed as a CUDA graph, against the same step launch by launch: equal to the bit."""
    from minidiff.backend import to_numpy

    graph, eager = trainer("cuda", small), trainer("cuda", small, graph=False)
    for step in range(8):
        a, b = float(to_numpy(graph.step())), float(to_numpy(eager.step()))
        require(a == b, f"step {step}: the loss is {a!r} as a graph and {b!r} launch by launch")
    differing = int((to_numpy(graph.arena.values) != to_numpy(eager.arena.values)).sum())
    require(differing == 0, f"{differing} of {graph.arena.values.size} weights differ after 8 steps")
    return {"steps": 8, "equal_weights": int(graph.arena.values.size)}


def memory(xp, out, small):
    """Peak device memory of training and sampling steps, in MiB, from CuPy's pool."""
    if small:
        raise Skip("the emulators count allocations, not bytes")
    import gpu_bench

    pool, found = xp.get_default_memory_pool(), {}
    for B in (8, 128):
        pool.free_all_blocks()
        run = gpu_bench.Bench(xp).trainer(B)
        for _ in range(4):
            run.step()
        xp.cuda.get_current_stream().synchronize()
        free, total = xp.cuda.runtime.memGetInfo()
        found[f"batch {B}"] = {"pool_MiB": pool.total_bytes() / 2**20, "device_MiB": (total - free) / 2**20}
        del run
    return found


def bench(xp, out, small):
    """The ladder of benchmarks/gpu_bench.py, beside PyTorch eager and compiled, fp32 and TF32."""
    import gpu_bench

    found = {"facts": {} if small else gpu_bench.facts(xp)}
    for rung in gpu_bench.RUNGS:
        found[rung.__name__] = rung(small_bench(gpu_bench, xp) if small else gpu_bench.Bench(xp))
        found["reach"] = gpu_bench.reach(found)
        (out / "gpu.json").write_text(json.dumps(found, indent=1) + "\n")  # after each rung: a time limit may end the stage
    return found["reach"]


def profile(xp, out, small):
    """Time of each kernel in one training step at batch 8, launch by launch, by ncu."""
    if small or shutil.which("ncu") is None:
        raise Skip("the emulators have no clock worth reading" if small else "ncu is not installed")
    command = ["ncu", "--csv", "--metrics", "gpu__time_duration.sum", "--profile-from-start", "off",
               sys.executable, __file__, "one_step", "--out", str(out)]  # fmt: skip
    ran = subprocess.run(command, capture_output=True, text=True)
    (out / "profile.csv").write_text(ran.stdout)
    rows = [line for line in ran.stdout.splitlines() if line.startswith('"')]
    require(len(rows) > 1, f"ncu left no table: {(ran.stderr or ran.stdout)[-500:]}")
    nanoseconds = {}
    for row in csv.DictReader(io.StringIO("\n".join(rows))):
        name = row["Kernel Name"].partition("(")[0]
        scale = {"nsecond": 1, "ns": 1, "usecond": 1e3, "us": 1e3, "msecond": 1e6, "ms": 1e6}[row["Metric Unit"]]
        nanoseconds[name] = nanoseconds.get(name, 0.0) + scale * float(row["Metric Value"].replace(",", ""))
    slowest = sorted(nanoseconds.items(), key=lambda item: -item[1])
    return {"microseconds": {name: round(ns / 1e3, 1) for name, ns in slowest[:15]}, "sum": sum(nanoseconds.values()) / 1e3}


def one_step(xp, out, small):
    """What `profile` looks at: one training step between the profiler's start and stop."""
    import gpu_bench

    run = gpu_bench.Bench(xp).trainer(8, graph=False)
    for _ in range(3):
        run.step()
    xp.cuda.get_current_stream().synchronize()
    xp.cuda.runtime.profilerStart()
    run.step()
    xp.cuda.get_current_stream().synchronize()
    xp.cuda.runtime.profilerStop()
    return {}


def demo(xp, out, small):
    """`minidiff demo --device cuda`: train on real digits, sample, measure."""
    from minidiff.cli import main

    if small:  # the demo's network would take the emulators an hour: its commands, on a toy
        toy = ["model.block_out_channels=[8]", "model.norm_num_groups=2", "model.attention_head_dim=4", "diffusion.T=20"]
        sets = [word for assignment in toy for word in ("--set", assignment)]
        run, quiet = str(out / "toy"), ["--device", "cuda", "--no-progress"]
        require(main(["train", "--out", run, "--overwrite", "--steps", "4", "--batch-size", "2", *sets, *quiet]) == 0, "train")
        image = str(out / "toy.png")
        require(main(["sample", run, "--count", "2", "--steps", "9", "--class", "3", "--out", image, *quiet]) == 0, "sample")
        return {"steps": 4}
    code = main(["demo", "--device", "cuda", "--out", str(out / "demo"), "--no-progress"])
    require(code == 0, f"minidiff demo ended with exit code {code}")
    figures = json.loads((out / "demo" / "metrics.json").read_text())
    require(figures["class_accuracy"] > 0.95, f"{figures['class_accuracy']:.1%} of the digits show the class asked for")
    return figures


def sanitize(xp, out, small):
    """compute-sanitizer's memcheck and racecheck over the kernel tests."""
    if small or shutil.which("compute-sanitizer") is None:
        raise Skip(
            "compute-sanitizer is not installed" if not small else "tests/gpu/test_sanitized.py does this without a card"
        )
    for tool in ("memcheck", "racecheck"):
        command = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "9", sys.executable, "-m", "pytest", "-q",
                   "-p", "no:cacheprovider", "-m", "gpu", "tests/gpu/test_kernels.py"]  # fmt: skip
        ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        (out / f"{tool}.log").write_text(ran.stdout + ran.stderr)
        require(ran.returncode == 0, f"{tool} ended with exit code {ran.returncode}: see {tool}.log")
    return {"memcheck": "clean", "racecheck": "clean"}


# In the order of what a short visit to a card should find out first
STAGES = (facts, kernels, train, replay, tests, strict, memory, bench, demo, profile, sanitize)


# ---- inside ----------------------------------------------------------------------------------------------------------


def require(holds, message):
    if not holds:
        raise AssertionError(message)


def trainer(device, small, **options):
    """Twenty steps of a conditional U-Net on random images: the digits' size on a card, a toy's on the emulators."""
    import numpy as np

    from minidiff.diffusion import Schedule, SimpleLoss
    from minidiff.models import UNet
    from minidiff.rng import Rng
    from minidiff.training import Trainer

    side, widths = (4, (4, 8)) if small else (16, (32, 64))
    net = UNet(sample_size=side, in_channels=1, out_channels=1, block_out_channels=widths, layers_per_block=1,
               norm_num_groups=min(8, widths[0] // 2), attention_head_dim=widths[0] // 2, num_class_embeds=3, null_class=2,
               rng=0).to(device)  # fmt: skip
    images, labels = Rng(1).standard_normal((64, side, side, 1), np.float32), np.arange(64) % 2
    options = dict(steps=100, batch_size=4 if small else 32, lr=1e-3, seed=0) | options
    return Trainer(net, SimpleLoss(Schedule.cosine(100), "v"), images, labels, **options)


def small_bench(module, xp):
    """The benchmark at the size that its test takes: every rung runs, no time means anything."""
    net = dict(sample_size=4, block_out_channels=(4, 8), layers_per_block=1, attention_head_dim=4, norm_num_groups=2)
    return module.Bench(xp, _once, net, images=4, batches=(2,), samples=(1,), repeats=1, steps=2)


def _once(f, calls):
    f()
    return 1e-3


def run_tests(names, marker, keyword=None):
    """Counts of a pytest run in this process.   -> findings. Raises AssertionError with the first failure whole."""
    try:
        import pytest
    except ImportError:
        raise Skip("pytest is not installed") from None

    class Counter:
        counts, first = {"passed": 0, "failed": 0, "skipped": 0}, None

        def pytest_runtest_logreport(self, report):
            if report.when == "call" or report.outcome != "passed":
                self.counts[report.outcome] += 1
            if report.failed and self.first is None:
                self.first = f"{report.nodeid}\n{report.longreprtext}"

        def pytest_collectreport(self, report):
            if report.failed and self.first is None:
                self.first = f"{report.nodeid} could not be collected\n{report.longreprtext}"

    counter, chosen = Counter(), []
    if marker and not keyword:
        chosen = ["-m", marker]
    if keyword:
        chosen = ["-k", keyword]
    code = pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir", str(ROOT), "--maxfail=40", *chosen, *names], [counter])
    require(counter.first is None, counter.first)
    require(code == 0 and counter.counts["passed"], f"pytest ended with exit code {int(code)}: {counter.counts}")
    return counter.counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    stages = {stage.__name__: stage for stage in (*STAGES, one_step)}
    parser.add_argument("stage", choices=stages)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--emulate", action="store_true")
    arguments = parser.parse_args()
    try:
        work = functools.partial(stages[arguments.stage], _module(arguments.emulate), arguments.out, arguments.emulate)
        found = work()
    except (Skip, ModuleNotFoundError) as reason:
        if isinstance(reason, ModuleNotFoundError) and (reason.name or "").partition(".")[0] == "minidiff":
            raise
        print(reason)
        raise SystemExit(SKIPPED) from None
    (arguments.out / f"{arguments.stage}.json").write_text(json.dumps(found, indent=1, default=str) + "\n")


def _module(emulate):
    if emulate:
        import emulators
        import pytest

        return emulators.install(pytest.MonkeyPatch())
    from minidiff.backend import module_of

    return module_of("cuda")


if __name__ == "__main__":
    main()
