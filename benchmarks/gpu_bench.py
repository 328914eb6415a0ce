"""What the GPU room does on this card, into one JSON file: card, driver and library versions, then the ladder of sizes.

    python benchmarks/gpu_bench.py --out gpu.json          everything, some minutes
    python benchmarks/gpu_bench.py --only training_step    one rung

Times are medians in milliseconds between two events on the device, after a warm-up. With a PyTorch that sees the card
(and diffusers), the same work there, eager, in the same run; TF32 is a setting of both, and each setting is written down.
"""

import argparse
import ctypes
import functools
import json
import statistics
import time
from pathlib import Path

import numpy as np

import minidiff
from minidiff.backend import module_of, to_numpy
from minidiff.diffusion import Schedule, SimpleLoss
from minidiff.gpu import conv2d, group_norm_silu
from minidiff.gpu.cublas import load
from minidiff.gpu.graph import CudaRecorder, SamplingStep, TrainingStep
from minidiff.gpu.optimizer import Update
from minidiff.models import UNet
from minidiff.nn import Param
from minidiff.rng import Rng
from minidiff.training import Trainer
from minidiff.training.adamw import AdamW
from minidiff.training.arena import Arena
from minidiff.training.ema import EMA

NET = dict(sample_size=32, block_out_channels=(64, 128, 128), layers_per_block=2, attention_head_dim=32)  # 6.5 M


class Bench:
    """What a rung needs: the array module, a way to time, a recorder of graphs, and how much of the full size to do."""

    def __init__(self, xp, seconds=None, recorder=None, net=NET, images=256, sizes=(8, 128), repeats=30):
        self.xp, self.net, self.images, self.sizes, self.repeats = xp, net, images, sizes, repeats
        self.seconds = seconds or self._events
        self.recorder = recorder or (lambda tf32: CudaRecorder(xp, tf32))

    def ms(self, f):
        """Median milliseconds of f()."""
        for _ in range(4):
            f()
        return 1e3 * statistics.median(self.seconds(f) for _ in range(self.repeats))

    def _events(self, f):
        first, last = self.xp.cuda.Event(), self.xp.cuda.Event()
        first.record()
        f()
        last.record()
        last.synchronize()
        return self.xp.cuda.get_elapsed_time(first, last) / 1e3

    def normal(self, *shape):
        return Rng(0, xp=self.xp).standard_normal(shape, np.float32)


def facts(xp):
    """The card and everything that a time depends on."""
    found = xp.cuda.runtime.getDeviceProperties(0)
    said = dict(card=found["name"].decode(), multiprocessors=found["multiProcessorCount"],
                driver=xp.cuda.runtime.driverGetVersion(), runtime=xp.cuda.runtime.runtimeGetVersion(),
                cublas=_cublas_version(), cupy=xp.__version__,
                numpy=np.__version__, minidiff=minidiff.__version__, date=time.strftime("%Y-%m-%d"))  # fmt: skip
    torch = _torch()
    if torch is not None:
        said |= dict(torch=torch.__version__, torch_cudnn=torch.backends.cudnn.version())
    return said


def _cublas_version():
    library, part, found = load(), ctypes.c_int(), []
    for which in range(3):  # major, minor, patch
        library.cublasGetProperty(which, ctypes.byref(part))
        found.append(str(part.value))
    return ".".join(found)


def bandwidth(bench):
    """Bytes a second of a plain copy, and of group norm with silu at one read and one write (an ideal pass)."""
    B, H, C, xp = max(bench.sizes), bench.net["sample_size"], 128, bench.xp
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
    """3 x 3, 128 -> 128 channels, forward: with columns and CuPy's product, and as row products, TF32 off and on."""
    B, H, C, times = max(bench.sizes), bench.net["sample_size"], 128, {}
    x, w = bench.normal(B, H, H, C), bench.normal(3, 3, C, C) * np.float32(0.03)
    times["columns_ms"] = bench.ms(lambda: conv2d(x, w, padding=1))
    for tf32 in (False, True):
        recorder = bench.recorder(tf32)  # its handle works on its own stream, so the kernels have to run there too
        rows = functools.partial(recorder.run, functools.partial(conv2d, x, w, padding=1))
        times[f"rows_{'tf32' if tf32 else 'fp32'}_ms"] = bench.ms(rows)
    return times


def training_step(bench):
    """The trainer's own step, the same as a graph, and PyTorch's eager step with diffusers' U-Net."""
    found = {}
    for B in bench.sizes:
        row = {"eager_ms": bench.ms(_trainer(bench, B).step)}
        for tf32 in (False, True):
            row[f"graph_{'tf32' if tf32 else 'fp32'}_ms"] = bench.ms(TrainingStep(_trainer(bench, B), bench.recorder(tf32)))
        found[f"batch {B}"] = row | _torch_step(bench.net, B, bench.ms)
    return found


def sampling_step(bench):
    """The network's answer, as it is and as a graph."""
    found, size = {}, bench.net["sample_size"]
    for B in {1, min(16, max(bench.sizes))}:
        net, x = UNet(**bench.net, rng=0).to("cuda"), bench.normal(B, size, size, 3)
        row = {"eager_ms": bench.ms(lambda net=net, x=x: net.predict(x, 500))}
        for tf32 in (False, True):
            fast = SamplingStep(net, x.shape, None, bench.xp, bench.recorder(tf32))
            row[f"graph_{'tf32' if tf32 else 'fp32'}_ms"] = bench.ms(lambda fast=fast, x=x: fast(x, 500))
        found[f"batch {B}"] = row
    return found


def agreement(bench):
    """The largest relative difference of the losses of 20 training steps between the card and NumPy."""
    losses = []
    for xp in (bench.xp, np):
        trainer = _trainer(bench, min(bench.sizes), xp)
        losses.append(np.array([float(to_numpy(trainer.step())) for _ in range(20 if bench.images > 16 else 3)]))
    return {"relative": float(np.abs(losses[0] / losses[1] - 1).max())}


RUNGS = (bandwidth, update, convolution, training_step, sampling_step, agreement)


def _trainer(bench, B, xp=None):
    size, net = bench.net["sample_size"], UNet(**bench.net, rng=0)
    images = Rng(1).standard_normal((bench.images, size, size, 3), np.float32)
    if xp is not np:
        net, images = net.to("cuda"), bench.xp.asarray(images)
    return Trainer(net, SimpleLoss(Schedule.linear(1000)), images, steps=1000, batch_size=B)


def _torch():
    try:
        import torch
    except ImportError:
        return None
    return torch if torch.cuda.is_available() else None


def _torch_step(options, B, ms):
    """The same step in PyTorch, if it is here and sees the card: TF32 off, and as it comes."""
    torch = _torch()
    if torch is None:
        return {"torch": "not installed, or sees no GPU"}
    from diffusers import UNet2DModel

    levels = len(options["block_out_channels"])
    net = UNet2DModel(**options, down_block_types=("DownBlock2D",) * (levels - 1) + ("AttnDownBlock2D",),
                      up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * (levels - 1)).cuda()  # fmt: skip
    adam, size, times = torch.optim.AdamW(net.parameters()), options["sample_size"], {}
    x, t = torch.randn(B, 3, size, size, device="cuda"), torch.randint(1000, (B,), device="cuda")

    def step():
        adam.zero_grad()
        torch.nn.functional.mse_loss(net(x, t).sample, torch.randn_like(x)).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        adam.step()
        torch.cuda.synchronize()

    for tf32 in (False, True):
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
        times[f"torch_{'tf32' if tf32 else 'fp32'}_ms"] = ms(step)
    return times


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
    for rung in RUNGS:
        if arguments.only in (None, rung.__name__):
            found[rung.__name__] = rung(Bench(xp))
            print(json.dumps({rung.__name__: found[rung.__name__]}, indent=1))
    new = arguments.out.with_suffix(".new")
    new.write_text(json.dumps(found, indent=1) + "\n")
    new.replace(arguments.out)
    print(f"written to {arguments.out}")


if __name__ == "__main__":
    main()
