"""Stable Diffusion 1.5 at its real size, with random weights: what it needs, how long a step takes, and whether it is right.

    python benchmarks/stable_diffusion.py --folder /tmp/sd15            writes the folder (float16, 2.1 GB), then measures
    python benchmarks/stable_diffusion.py --folder /tmp/sd15 --compare  also holds each net to diffusers' (torch, 12 GB)

The weights stay float16 on disk and are widened a layer at a time; attention runs in slices.
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np

from minidiff.interop import load_model, save_model
from minidiff.interop.layout import slots
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


def peak():
    """The most memory this process has held, in GB, mapped files that it touched included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def measure(folder, size):
    rng = np.random.default_rng(1)
    text = load_model(folder / "text_encoder", frugal=True)
    start = time.perf_counter()
    context = text.predict(rng.integers(0, 49407, (1, 77)))
    print(f"text encoder      {time.perf_counter() - start:6.1f} s   peak {peak():.2f} GB")
    unet = load_model(folder / "unet", frugal=True)
    x = rng.standard_normal((1, size, size, 4), dtype=np.float32)
    for i in range(2):
        start = time.perf_counter()
        y = unet.predict(x, 500 - i, context)
        seconds = time.perf_counter() - start
        print(f"U-Net, {size} x {size}    {seconds:6.1f} s   peak {peak():.2f} GB   (two of these make a guided step)")
    assert np.isfinite(y).all()
    vae = load_model(folder / "vae", frugal=True)
    start = time.perf_counter()
    image = vae.from_latent(x)
    print(f"decoder, {image.shape[1]} x {image.shape[2]} {time.perf_counter() - start:6.1f} s   peak {peak():.2f} GB")


def compare(folder, size):
    """Each net against diffusers' and transformers', the largest difference as a share of the largest number."""
    import diffusers
    import torch
    import transformers

    rng = np.random.default_rng(2)
    x, context = rng.standard_normal((1, size, size, 4), dtype=np.float32), rng.standard_normal((1, 77, 768), dtype=np.float32)
    ids = rng.integers(0, 49407, (2, 77))
    first = torch.tensor(x.transpose(0, 3, 1, 2).copy())

    def report(part, ours, theirs):
        worst = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
        print(f"{part:14} differs by {worst:.1e} of its largest number")
        assert worst < 1e-4

    with torch.no_grad():
        theirs = transformers.CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
        hidden = theirs(torch.tensor(ids)).last_hidden_state.numpy()
        report("text_encoder", load_model(folder / "text_encoder").predict(ids), hidden)
        theirs = diffusers.AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32)
        image = theirs.decode(first / 0.18215).sample.numpy().transpose(0, 2, 3, 1)
        report("vae", load_model(folder / "vae", frugal=True).from_latent(x), image)
        theirs = diffusers.UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32)
        start = time.perf_counter()
        y = theirs(first, 500, torch.tensor(context)).sample.numpy().transpose(0, 2, 3, 1)
        print(f"torch's U-Net takes {time.perf_counter() - start:.1f} s on {torch.get_num_threads()} threads")
        report("unet", load_model(folder / "unet", frugal=True).predict(x, 500, context), y)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/sd15"), help="of the random weights (default: /tmp/sd15)")
    parser.add_argument("--size", type=int, default=64, help="latents are size x size (default: 64, pictures of 512 x 512)")
    parser.add_argument("--compare", action="store_true", help="hold the nets to diffusers' and transformers'")
    arguments = parser.parse_args()
    write(arguments.folder)
    measure(arguments.folder, arguments.size)
    if arguments.compare:
        compare(arguments.folder, min(arguments.size, 16))
