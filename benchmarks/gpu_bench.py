"""What the GPU room does on this card, into one JSON file: card, driver and library versions, then the ladder of sizes.

    python benchmarks/gpu_bench.py --out gpu.json          everything, some minutes
    python benchmarks/gpu_bench.py --only training_step    one rung

Times are medians in milliseconds between two events on the device, after a warm-up, each over several calls. With a PyTorch
that sees the card (and diffusers), the same work there in the same run: eager beside each time of ours, and compiled at the
end, since its compiler takes minutes. TF32 is a setting of both: every time is taken with it off and with it on, named fp32
and tf32, and a ratio is only made of two times of one setting. "reach" sums up what is aimed at and what was found. The file
is written after each measurement, so a run that is cut off leaves what it had.
"""

import argparse
import ctypes
import functools
import itertools
import json
import statistics
import time
from pathlib import Path

import gpu_torch
import numpy as np

import minidiff
from minidiff.backend import module_of, to_numpy
from minidiff.diffusion import Denoiser, Schedule, SimpleLoss
from minidiff.gpu import conv2d, group_norm_silu
from minidiff.gpu.cublas import load
from minidiff.gpu.optimizer import Update
from minidiff.gpu.recorder import Recorded
from minidiff.models import UNet
from minidiff.nn import Param
from minidiff.rng import Rng
from minidiff.samplers.recorded_run import SamplingRun
from minidiff.samplers.recorded_step import SamplingStep
from minidiff.training import EMA, AdamW, Arena, Trainer

NET = dict(sample_size=32, block_out_channels=(64, 128, 128), layers_per_block=2, attention_head_dim=32)  # 6.5 M
SETTINGS = {"fp32": False, "tf32": True}


class Bench:
    """What a rung needs: the array module, a way to time, and how much of the full size to do.

    keep(found) is called with what a rung has so far, each time that there is more
    """

    def __init__(self, xp, seconds=None, net=NET, images=256, batches=(8, 128), samples=(1, 4, 16), repeats=15, steps=20,
                 keep=lambda found: None):  # fmt: skip
        self.xp, self.net, self.images, self.repeats, self.steps = xp, net, images, repeats, steps
        self.batches, self.samples, self.keep, self.schedule = batches, samples, keep, Schedule.linear(1000)
        self.seconds = seconds or self._events

    def ms(self, f, calls=5):
        """Median milliseconds of f()."""
        for _ in range(4):
            f()
        return 1e3 * statistics.median(self.seconds(f, calls) / calls for _ in range(self.repeats))

    def _events(self, f, calls):
        first, last = self.xp.cuda.Event(), self.xp.cuda.Event()
        first.record()
        for _ in range(calls):
            f()
        last.record()
        last.synchronize()
        return self.xp.cuda.get_elapsed_time(first, last) / 1e3

    def normal(self, *shape):
        return Rng(0, xp=self.xp).standard_normal(shape, np.float32)

    def unet(self):
        return UNet(**self.net, rng=0).to("cuda")

    def trainer(self, B, host=False, **options):
        size, net = self.net["sample_size"], UNet(**self.net, rng=0)
        images = Rng(1).standard_normal((self.images, size, size, 3), np.float32)
        return Trainer(net if host else net.to("cuda"), SimpleLoss(self.schedule), images, steps=1000, batch_size=B, **options)


def facts(xp):
    """The card and everything that a time depends on."""
    found = xp.cuda.runtime.getDeviceProperties(0)
    said = dict(card=found["name"].decode(), multiprocessors=found["multiProcessorCount"],
                driver=xp.cuda.runtime.driverGetVersion(), runtime=xp.cuda.runtime.runtimeGetVersion(),
                cublas=_cublas_version(), cupy=xp.__version__, parameters=UNet(**NET, rng=0).size(),
                numpy=np.__version__, minidiff=minidiff.__version__, date=time.strftime("%Y-%m-%d"))  # fmt: skip
    torch = gpu_torch.torch_with_a_card()
    if torch is not None:
        said |= dict(torch=torch.__version__, torch_cuda=torch.version.cuda, torch_cudnn=torch.backends.cudnn.version(),
                     torch_tf32_as_it_comes=dict(cudnn=torch.backends.cudnn.allow_tf32,
                                                 matmul=torch.backends.cuda.matmul.allow_tf32))  # fmt: skip
    return said


def _cublas_version():
    library, part, found = load(), ctypes.c_int(), []
    for which in range(3):  # major, minor, patch
        library.cublasGetProperty(which, ctypes.byref(part))
        found.append(str(part.value))
    return ".".join(found)


def bandwidth(bench):
    """Bytes a second of a plain copy, and of group norm with silu at one read and one write (an ideal pass)."""
    B, H, C, xp = max(bench.batches), bench.net["sample_size"], 128, bench.xp
    x, gamma, beta = bench.normal(B, H, H, C), xp.ones(C, np.float32), xp.zeros(C, np.float32)
    y, rates = xp.empty(x.shape, np.float32), {}

    def copy():
        y[...] = x

    _, back = group_norm_silu(x, gamma, beta, 32)
    for name, f, passes in (("copy", copy, 2), ("group_norm_silu", lambda: group_norm_silu(x, gamma, beta, 32), 2),
                            ("group_norm_silu_back", lambda: back(y), 3)):  # fmt: skip
        rates[name + "_GB_per_s"] = passes * x.nbytes / bench.ms(f) / 1e6
    return rates | {"share_of_copy": rates["group_norm_silu_GB_per_s"] / rates["copy_GB_per_s"]}


def update(bench):
    """Clipping, AdamW and the average over 6.5 million parameters."""
    n = 6_500_000 if bench.images > 16 else 6_500
    arena = Arena({"w": Param(bench.normal(n))})
    step = Update(AdamW(arena), EMA(arena), [1e-3] * 1000, 1.0)
    return {"parameters": n, "ms": bench.ms(step)}


def convolution(bench):
    """3 x 3, 128 -> 128 channels, forward: with columns and CuPy's product, and as row products."""
    B, H, C, times = max(bench.batches), bench.net["sample_size"], 128, {}
    x, w = bench.normal(B, H, H, C), bench.normal(3, 3, C, C) * np.float32(0.03)
    times["columns_ms"] = bench.ms(lambda: conv2d(x, w, padding=1))
    for name, tf32 in SETTINGS.items():
        rows = Recorded(bench.xp, functools.partial(conv2d, x, w, padding=1), graph=False, tf32=tf32)
        times[f"rows_{name}_ms"] = bench.ms(rows)
    return times


def training_step(bench):
    """The trainer's step, launch by launch and as a graph, and PyTorch's eager step with diffusers' U-Net."""
    found = {}
    for B in bench.batches:
        row = found[f"batch {B}"] = {}
        for name, tf32 in SETTINGS.items():
            row[f"eager_{name}_ms"] = bench.ms(bench.trainer(B, graph=False, tf32=tf32).step)
            row[f"graph_{name}_ms"] = bench.ms(bench.trainer(B, tf32=tf32).step)
            row |= gpu_torch.beside_torch(
                bench, name, tf32, functools.partial(gpu_torch.training, bench.net, B), row[f"graph_{name}_ms"]
            )
            bench.keep(found)
    return found


def sampling_step(bench):
    """A step of DDIM: the denoiser launch by launch, as a graph, and the whole run as one graph (a step's share of it)."""
    found, size = {}, bench.net["sample_size"]
    for B in bench.samples:
        x, denoiser = bench.normal(B, size, size, 3), Denoiser(bench.unet(), bench.schedule)
        row = found[f"batch {B}"] = {}
        for name, tf32 in SETTINGS.items():
            for how, graph in (("eager", False), ("graph", True)):
                ask = SamplingStep(denoiser, x, graph=graph, tf32=tf32)
                row[f"{how}_{name}_ms"] = bench.ms(functools.partial(_ddim_step, ask, x))
            run = SamplingRun("ddim", denoiser, x.shape, Rng(0, xp=bench.xp), steps=bench.steps, tf32=tf32)
            row[f"whole_run_{name}_ms"] = bench.ms(run, calls=1) / bench.steps
            row |= gpu_torch.beside_torch(
                bench, name, tf32, functools.partial(gpu_torch.sampling, bench.net, B), row[f"graph_{name}_ms"]
            )
            bench.keep(found)
    return found


def _ddim_step(ask, x):
    x0, eps = ask(x, 500)
    return 0.9 * x0 + 0.4 * eps


def agreement(bench):
    """NumPy against the card after 20 training steps; a replay against the same step launch by launch, to the bit."""
    B, steps = min(bench.batches), 20 if bench.images > 16 else 4
    runs = [bench.trainer(B), bench.trainer(B, graph=False), bench.trainer(B, host=True)]
    losses = [np.array([float(to_numpy(run.step())) for _ in range(steps)]) for run in runs]
    graph, eager, numpys = (to_numpy(run.arena.values) for run in runs)
    return {"steps": steps, "relative_loss": float(np.abs(losses[0] / losses[2] - 1).max()),
            "relative_weights": float(np.linalg.norm(graph - numpys) / np.linalg.norm(numpys)),
            "replay_equals_eager_bits": bool((graph == eager).all() and (losses[0] == losses[1]).all())}  # fmt: skip


RUNGS = (bandwidth, update, convolution, agreement, training_step, sampling_step)


def climb(xp, found, keep, only=None, **size):
    """Every rung, or one, into found = {rung: numbers}; then torch.compile beside the steps. keep() after each measurement.

    size: of the Bench, for a rehearsal. A rung that raises does not stop the next ones; the first error is raised at the end.
    """
    first = None
    for rung in RUNGS:
        if only in (None, rung.__name__):

            def note(so_far, name=rung.__name__):
                found[name] = so_far
                found["reach"] = reach(found)
                keep()

            try:
                note(rung(Bench(xp, keep=note, **size)))
            except Exception as error:
                first = first or error
    compiled(Bench(xp, **size), found, keep)
    if first is not None:
        raise first


def compiled(bench, found, keep):
    """torch.compile's times into the rows of found that have ours."""
    steps = [("sampling_step", gpu_torch.sampling, B) for B in bench.samples]
    steps += [("training_step", gpu_torch.training, B) for B in bench.batches]
    for (rung, work, B), (name, tf32) in itertools.product(steps, SETTINGS.items()):
        row = found.get(rung, {}).get(f"batch {B}", {})
        if f"graph_{name}_ms" in row:
            make, ours = functools.partial(work, bench.net, B), row[f"graph_{name}_ms"]
            row |= gpu_torch.beside_torch(bench, name, tf32, make, ours, "compile")
            found["reach"] = reach(found)
            keep()


def reach(found):
    """Each aim beside what was found: {figure: {aim, found, held}}; what was not measured is left out."""
    aims = {"group_norm_silu, share of copy bandwidth": (">= 0.8", found.get("bandwidth", {}).get("share_of_copy"))}
    ratios = {"training_step": {"batch 8": 0.5, "batch 128": 1.0},
              "sampling_step": {"batch 1": 0.3, "batch 4": 0.3, "batch 16": 0.3}}  # fmt: skip
    for rung, limits in ratios.items():
        for batch, limit in limits.items():
            for name in SETTINGS:
                ratio = found.get(rung, {}).get(batch, {}).get(f"ratio_to_torch_{name}")
                aims[f"{rung}, {batch}, {name}, ratio to PyTorch eager"] = (f"<= {limit}", ratio)
                if batch != "batch 128":  # aimed at up to batch 32
                    ratio = found.get(rung, {}).get(batch, {}).get(f"ratio_to_torch_compile_{name}")
                    aims[f"{rung}, {batch}, {name}, ratio to torch.compile"] = ("<= 1.0", ratio)
    agreed = found.get("agreement", {})
    aims["loss after 20 steps, NumPy against CuPy, relative"] = ("<= 0.0001", agreed.get("relative_loss"))
    aims["replay equals the eager step to the bit"] = (">= 1", agreed.get("replay_equals_eager_bits"))
    return {name: {"aim": aim, "found": value, "held": value <= float(aim[3:]) if aim[0] == "<" else value >= float(aim[3:])}
            for name, (aim, value) in aims.items() if value is not None}  # fmt: skip


def write(path, found):
    """The JSON file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(found, indent=1) + "\n")
    new.replace(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--only", choices=[rung.__name__ for rung in RUNGS])
    arguments = parser.parse_args()
    try:
        xp = module_of("cuda")
    except RuntimeError as error:
        raise SystemExit(f"gpu_bench: {error}") from None
    found = {"facts": facts(xp)}
    climb(xp, found, lambda: write(arguments.out, found), arguments.only)
    print(json.dumps(found, indent=1))
    print(f"written to {arguments.out}")


if __name__ == "__main__":
    main()
