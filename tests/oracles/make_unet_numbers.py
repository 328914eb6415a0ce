"""Makes unet.json: figures of diffusers' UNet2DModel built from seed 0. Needs torch and diffusers; run by hand."""

import json
from pathlib import Path

import diffusers
import torch

torch.manual_seed(0)
net = diffusers.UNet2DModel(
    sample_size=16,
    block_out_channels=(32, 64),
    layers_per_block=2,
    down_block_types=("DownBlock2D", "AttnDownBlock2D"),
    up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    attention_head_dim=8,
    num_class_embeds=11,
)
x = torch.randn(2, 3, 16, 16)
with torch.no_grad():
    y = net(x, torch.tensor([5, 999]), torch.tensor([1, 10])).sample
figures = {
    "source": f"diffusers {diffusers.__version__} UNet2DModel, torch {torch.__version__}, CPU, seed 0",
    "corner": y[0, 0, :3, :3].reshape(-1).tolist(),
    "mean_abs": y.abs().mean(dim=(1, 2, 3)).tolist(),
}
Path(__file__).with_name("unet.json").write_text(json.dumps(figures, indent=1) + "\n")
