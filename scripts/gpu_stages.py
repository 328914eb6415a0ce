"""The stages of scripts/gpu_report.py, each run in a process of its own.

    python3 scripts/gpu_stages.py NAME --out FOLDER --result FILE [--emulate]

A stage is a function (xp, out, small) -> findings that JSON can hold. It raises Skip with a reason where something it needs
is missing, and any other exception where it fails. xp is CuPy, or with --emulate the emulators of tests/gpu and tests/strict,
on which a stage runs at a small size.
"""

import argparse
import csv
import gc
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import gpu_stage_tools
from gpu_stage_tools import ROOT, Skip, array_module, keep, require, run_tests, small_bench, trainer

SKIPPED = 77  # exit code of a stage that was skipped; the reason is its last line


def facts(xp, out, small):
    """Card, driver, versions, tools: what every number depends on."""
    from minidiff.doctor import examine

    found = examine()
    keep(found)
    if small:
        return {"card": "none: the emulators"} | found
    import gpu_bench

    card = gpu_bench.facts(xp)
    return {"card": card["card"], "driver": smi("driver_version")} | found | {"bench": card}


def smi(field):
    """A field of nvidia-smi, or in one line why it cannot be read."""
    try:
        command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader"]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        return f"unknown: {error}"


def kernels(xp, out, small):
    """Every kernel, compiled (by nvcc too, where it is) and compared with its plain reference."""
    names = ["tests/gpu/test_kernels.py", "tests/gpu/test_blas.py"]
    if small:
        return run_tests(names, keyword="forwards")
    return run_tests([*names, "tests/gpu/test_compile.py"], keyword="cupy or test_compile")


def tests(xp, out, small):
    """All of tests/gpu on the card: steps, samplers, commands, recipes."""
    if small:
        return run_tests(["tests/gpu/test_sampling_step.py"], keyword="forwards and (replay or one_graph)")
    others = ("strict_cases", "kernels", "blas")  # they are stages
    return run_tests(["tests/gpu", *(f"--ignore=tests/gpu/test_{name}.py" for name in others)], "gpu")


def strict(xp, out, small):
    """The strict emulator's cases on CuPy itself, against NumPy."""
    if small:
        return run_tests(["tests/strict/test_same_numbers.py"], keyword="test_same_numbers and (00 or 01 or 02)")
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
    keep(found)
    require(error <= 1e-4, f"losses differ by {error:.2g} relative, expected at most 1e-4")
    require(apart <= 1e-3, f"images differ by {apart:.2g}, expected at most 1e-3")
    return found


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
    """Peak device memory of training and sampling steps, in MiB, the CUDA context left out.

    A pool gives nothing back by itself, so what is taken after some steps is their peak.
    """
    if small:
        raise Skip("the emulators count allocations, not bytes")
    import gpu_bench

    bench, found = gpu_bench.Bench(xp), {}
    before = taken(xp)
    for B in bench.samples:
        release(xp)
        ask = gpu_bench.SamplingStep(
            gpu_bench.Denoiser(bench.unet(), bench.schedule), bench.normal(B, *2 * [bench.net["sample_size"]], 3)
        )
        for _ in range(4):
            ask(ask.x, 500)
        found[f"sampling_batch_{B}_MiB"] = round(taken(xp) - before, 1)
        del ask
    for B in bench.batches:
        release(xp)
        run = bench.trainer(B)
        for _ in range(4):
            run.step()
        found[f"training_batch_{B}_MiB"] = round(taken(xp) - before, 1)
        del run
        keep(found)
    return found


def release(xp):
    """Give back what earlier work has left in the pool."""
    gc.collect()
    xp.get_default_memory_pool().free_all_blocks()


def taken(xp):
    """Device memory in use, by all processes, in MiB."""
    xp.cuda.Device().synchronize()
    free, total = xp.cuda.runtime.memGetInfo()
    return (total - free) / 2**20


def bench(xp, out, small):
    """The ladder of benchmarks/gpu_bench.py, beside PyTorch eager and compiled, fp32 and TF32."""
    import gpu_bench

    found = {"facts": {} if small else gpu_bench.facts(xp)}

    def note():
        gpu_bench.write(out / "gpu.json", found)
        keep(found["reach"])

    gpu_bench.climb(xp, found, note, **(small_bench() if small else {}))
    return found["reach"]


def profile(xp, out, small):
    """Time of each kernel in one training step at batch 8, launch by launch, by ncu. The card's clocks stay as they are."""
    if small or shutil.which("ncu") is None:
        raise Skip("the emulators have no clock worth reading" if small else "ncu is not installed")
    command = ["ncu", "--csv", "--metrics", "gpu__time_duration.sum", "--profile-from-start", "off", "--clock-control", "none",
               sys.executable, __file__, "one_step", "--out", str(out), "--result", os.devnull]  # fmt: skip
    ran = subprocess.run(command, capture_output=True, text=True)
    print(ran.stdout, ran.stderr)
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

    with tempfile.TemporaryDirectory() as folder:
        if small:  # the demo's network would take the emulators an hour: its commands, on a toy
            toy = ["model.block_out_channels=[8]", "model.norm_num_groups=2", "model.attention_head_dim=4", "diffusion.T=20"]
            sets = [word for assignment in toy for word in ("--set", assignment)]
            quiet, image = ["--device", "cuda", "--no-progress"], str(out / "demo_samples.png")
            require(main(["train", "--out", folder, "--steps", "4", "--batch-size", "2", *sets, *quiet]) == 0, "train failed")
            sampling = ["sample", folder, "--count", "2", "--steps", "9", "--class", "3", "--out", image]
            require(main([*sampling, *quiet]) == 0, "sample failed")
            return {"steps": 4}
        code = main(["demo", "--device", "cuda", "--out", folder, "--no-progress"])
        require(code == 0, f"minidiff demo ended with exit code {code}")
        for name in ("samples.png", "loss.png"):
            shutil.copy(Path(folder) / name, out / f"demo_{name}")
        figures = json.loads((Path(folder) / "metrics.json").read_text())
    keep(figures)
    require(figures["class_accuracy"] > 0.95, f"{figures['class_accuracy']:.1%} of the digits show the class asked for")
    return figures


def sanitize(xp, out, small):
    """compute-sanitizer's memcheck and racecheck over the kernel tests, with one allocation an array."""
    if small:
        raise Skip("tests/gpu/test_sanitized.py does this without a card")
    if shutil.which("compute-sanitizer") is None:
        raise Skip("compute-sanitizer is not installed")
    found = {}
    for tool in ("memcheck", "racecheck"):
        command = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "9", sys.executable, "-m", "pytest", "-q", "-x",
                   "-p", "no:cacheprovider", "-m", "gpu", "tests/gpu/test_kernels.py"]  # fmt: skip
        ran = subprocess.run(command, cwd=ROOT, env=os.environ | {"MINIDIFF_NO_POOL": "1"})
        found[tool] = "clean" if ran.returncode == 0 else f"exit code {ran.returncode}: see report.log"
        keep(found)
    require(set(found.values()) == {"clean"}, str(found))
    return found


# In the order of what a short visit to a card should find out first
STAGES = (facts, kernels, train, replay, tests, strict, memory, bench, demo, profile, sanitize)


def main():
    """Run one stage; its exit code tells the report how it ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    stages = {stage.__name__: stage for stage in (*STAGES, one_step)}
    parser.add_argument("stage", choices=stages)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--result", type=Path, required=True, help="file for the findings")
    parser.add_argument("--emulate", action="store_true")
    arguments = parser.parse_args()
    gpu_stage_tools.result = arguments.result
    stage, out, small = stages[arguments.stage], arguments.out, arguments.emulate
    try:
        xp = array_module(small)
    except RuntimeError as error:
        if stage is facts:
            from minidiff.doctor import examine

            keep(examine())
        raise SystemExit(str(error)) from None
    try:
        found = stage(xp, out, small)
    except (Skip, ModuleNotFoundError) as reason:
        if isinstance(reason, ModuleNotFoundError) and (reason.name or "").partition(".")[0] == "minidiff":
            raise
        raise SystemExit(skipped(reason)) from None
    if stage is not one_step:
        keep(found)


def skipped(reason):
    print(reason)
    return SKIPPED


if __name__ == "__main__":
    main()
