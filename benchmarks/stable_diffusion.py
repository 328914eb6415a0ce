"""Stable Diffusion 1.5 at its real size, with random weights: what it needs, how long a step takes, and whether it is right.

    python benchmarks/stable_diffusion.py --folder /tmp/sd15              writes the folder (float16, 2.1 GB), then measures
    python benchmarks/stable_diffusion.py --folder /tmp/sd15 --compare    beside diffusers' and transformers', in turns (torch)
    python benchmarks/stable_diffusion.py --folder /tmp/sd15 --pipeline   20 guided steps of DPM-Solver++, beside diffusers

Each side is a process with as many threads. It loads one model, then the sides evaluate it in turns, so that other load on the
machine affects all. "half" is minidiff with frugal=True: the weights stay float16 in their mapped file, and each layer widens
its weights while it runs. Memory is the peak of the process, libraries and touched pages of mapped files included.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from minidiff import thread_team
from minidiff.interop import load_model, save_model
from minidiff.interop.layout import slots
from minidiff.interop.pipelines import Pipeline
from minidiff.interop.schedulers import sampling_from_config
from minidiff.models import AutoencoderKL, CLIPTextModel, UNet2DConditionModel
from minidiff.nn.blank import Blank

# config.json of unet, vae and text_encoder of Stable Diffusion 1.5
UNET = dict(
    sample_size=64, block_out_channels=(320, 640, 1280, 1280), layers_per_block=2, cross_attention_dim=768,
    attention_head_dim=8, down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3, in_channels=4, out_channels=4,
)  # fmt: skip
VAE = dict(
    block_out_channels=(128, 256, 512, 512), down_block_types=("DownEncoderBlock2D",) * 4,
    up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=2, sample_size=512,
)  # fmt: skip
TEXT = dict(
    vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, eos_token_id=2,
)  # fmt: skip
STEPS, GUIDANCE = 20, 7.5
SCHEDULER = {
    "_class_name": "DPMSolverMultistepScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000, "prediction_type": "epsilon", "algorithm_type": "dpmsolver++", "solver_order": 2,
}  # fmt: skip
PARTS = {"unet": (UNet2DConditionModel, UNET), "vae": (AutoencoderKL, VAE), "text_encoder": (CLIPTextModel, TEXT)}


def write(folder):
    """Random weights of each net's size, scaled by fan-in, in float16."""
    rng = np.random.default_rng(0)
    for part, (kind, options) in PARTS.items():
        if (folder / part / "config.json").exists():
            continue
        model = kind(**options, rng=Blank())
        for slot in slots(model).values():
            shape = slot.param.shape
            spread = 0.02 if len(shape) == 1 else float(np.prod(shape[:-1])) ** -0.5
            array = rng.standard_normal(shape, dtype=np.float32) * np.float32(spread)
            slot.param.value = array + (slot.name == "weight" and len(shape) == 1)  # norms near 1
        save_model(model, folder / part, dtype="float16")
        print(f"wrote {folder / part}: {model.size():,} numbers")
        del model


def programs(folder, side, what, size):
    """The function that a side times, from loaded models."""
    rng = np.random.default_rng(1)
    ids, (text, null) = rng.integers(0, 49407, (1, 77)), rng.standard_normal((2, 1, 77, 768), dtype=np.float32)
    x = rng.standard_normal((1, size, size, 4), dtype=np.float32)
    return (_torch_program if side == "torch" else _minidiff_program)(folder, side, what, ids, x, text, null)


def _minidiff_program(folder, side, what, ids, x, text, null):
    nets = {part: load_model(folder / part, frugal=side == "half") for part in _parts_of(what)}
    if what == "text_encoder":
        return lambda: nets[what].predict(ids)
    if what == "unet":
        return lambda: nets[what].predict(x, 500, text)
    if what == "vae":
        return lambda: nets[what].from_latent(x)
    pipeline = Encoded(nets["unet"], sampling_from_config(SCHEDULER), nets["vae"])
    pipeline.texts = text, null
    return lambda: pipeline.sample(1, STEPS, cond=text, guidance=GUIDANCE - 1, x=x).clip(-1, 1)  # as diffusers clips its images


class Encoded(Pipeline):
    """A pipeline whose prompt and negative prompt, `texts`, are encoded already, as diffusers takes them."""

    def conditions(self, n, prompt, negative, cond):
        return self.texts


def _torch_program(folder, side, what, ids, x, text, null):
    import diffusers
    import torch
    import transformers

    kinds = {"text_encoder": transformers.CLIPTextModel, "unet": diffusers.UNet2DConditionModel, "vae": diffusers.AutoencoderKL}
    nets = {part: kinds[part].from_pretrained(folder / part, torch_dtype=torch.float32).eval() for part in _parts_of(what)}
    first, ids, text, null = torch.tensor(x.transpose(0, 3, 1, 2).copy()), *map(torch.tensor, (ids, text, null))
    run = {
        "text_encoder": lambda: nets[what](ids).last_hidden_state.numpy(),
        "unet": lambda: nets[what](first, 500, text).sample.numpy().transpose(0, 2, 3, 1),
        "vae": lambda: nets[what].decode(first / 0.18215).sample.numpy().transpose(0, 2, 3, 1),
    }.get(what)
    if what == "pipeline":
        scheduler = diffusers.DPMSolverMultistepScheduler.from_config(SCHEDULER)
        pipeline = diffusers.StableDiffusionPipeline(**nets, text_encoder=None, tokenizer=None, scheduler=scheduler,
                                                     safety_checker=None, feature_extractor=None)  # fmt: skip
        pipeline.set_progress_bar_config(disable=True)

        def run():
            drawn = pipeline(prompt_embeds=text, negative_prompt_embeds=null, latents=first, num_inference_steps=STEPS,
                             guidance_scale=GUIDANCE, output_type="np")  # fmt: skip
            return 2 * drawn.images - 1

    def without_gradients():
        with torch.no_grad():
            return run()

    return without_gradients


def _parts_of(what):
    return ("unet", "vae") if what == "pipeline" else (what,)


def serve(folder, side, what, size, threads, out):
    """A side's process: evaluate for each line that comes in, and print seconds and the peak memory in GB."""
    if side == "torch":
        import torch

        torch.set_num_threads(threads)
    thread_team.set_threads(threads)
    program = programs(folder, side, what, size)
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        y = program()
        seconds = time.perf_counter() - start
        np.save(out, y)
        print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6]), flush=True)


def in_turns(folder, sides, what, size, threads, rounds):
    """Time the sides in turns, print a line for each, and hold their results to each other."""
    running, found, results = {}, {side: [] for side in sides}, {}
    for side in sides:
        out = folder / f"{what} {side}.npy"
        arguments = ["--folder", folder, "--serve", side, "--what", what, "--size", size, "--threads", threads, "--out", out]
        running[side] = subprocess.Popen([sys.executable, __file__, *map(str, arguments)], text=True, stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                         env=os.environ | {"OMP_NUM_THREADS": str(threads)})  # fmt: skip
        assert running[side].stdout.readline() == "ready\n", f"{side}: the process did not start"
    for _ in range(rounds):
        for side, process in running.items():
            print("go", file=process.stdin, flush=True)
            found[side].append(json.loads(process.stdout.readline()))
    for side, process in running.items():
        process.stdin.close()
        process.wait()
        results[side] = np.load(folder / f"{what} {side}.npy")
    for side, readings in found.items():
        seconds = [reading[0] for reading in readings]
        line = f"{what:13} {side:6} {statistics.median(seconds):7.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"
        line += f"   peak {max(reading[1] for reading in readings):.2f} GB"
        if "torch" in sides and side != "torch":
            ratio = statistics.median(mine / peer for mine, peer in zip(seconds, (r[0] for r in found["torch"]), strict=True))
            worst = np.abs(results[side] - results["torch"]).max() / np.abs(results["torch"]).max()
            line += f"   {ratio:.2f} of torch's time, differs by {worst:.0e} of the largest number"
        print(line, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/sd15"), help="of the random weights (default: /tmp/sd15)")
    parser.add_argument("--size", type=int, default=64, help="latents are size x size (default: 64, images of 512 x 512)")
    parser.add_argument("--threads", type=int, default=2, help="of each side (default: 2)")
    parser.add_argument("--rounds", type=int, default=3, help="evaluations of each side (default: 3)")
    parser.add_argument("--compare", action="store_true", help="beside diffusers' and transformers' models")
    parser.add_argument("--pipeline", action="store_true", help=f"{STEPS} guided steps and the decoder, beside diffusers")
    for hidden in ("--serve", "--what", "--out"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    shared = arguments.size, arguments.threads
    if arguments.serve:
        serve(arguments.folder, arguments.serve, arguments.what, *shared, arguments.out)
        sys.exit()
    write(arguments.folder)
    compared = ("torch",) if arguments.compare or arguments.pipeline else ()
    for what in ("pipeline",) if arguments.pipeline else PARTS:
        in_turns(arguments.folder, (*compared, "float", "half"), what, *shared, arguments.rounds)
