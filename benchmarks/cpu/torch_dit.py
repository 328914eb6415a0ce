"""minidiff's diffusion transformer in plain PyTorch, as one would write it: one product for queries, keys and values, fused
attention, and the sinusoids once a step. diffusers' DiTTransformer2DModel does the same with more calls."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from minidiff.models.positions import sincos_positions


class PlainDiT(nn.Module):
    """x (B, H, W, C)   time (B,)   label (B,)   ->   (B, H, W, C), with a DiT's weights of minidiff."""

    def __init__(self, model):
        super().__init__()
        self.patch, config, state = model.config["patch_size"], model.config, model.state()
        D, rows = config["num_attention_heads"] * config["attention_head_dim"], config["sample_size"] // self.patch
        self.inside = _linear(state, "pos_embed.proj", flat=True)
        self.register_buffer("where", torch.from_numpy(sincos_positions(np, rows, rows, D)))
        self.register_buffer("frequencies", torch.exp(-torch.arange(128) * (torch.log(torch.tensor(1e4)) / 127)))
        blocks = range(config["num_layers"])
        self.blocks = nn.ModuleList(PlainBlock(state, f"transformer_blocks.{i}.", config) for i in blocks)
        self.last, self.outside = _linear(state, "proj_out_1"), _linear(state, "proj_out_2")

    def forward(self, x, time, label):
        (B, H, W, C), n = x.shape, self.patch
        angles = time[:, None] * self.frequencies
        features = torch.cat([angles.cos(), angles.sin()], 1)
        patches = x.view(B, H // n, n, W // n, n, C).permute(0, 1, 3, 2, 4, 5).reshape(B, -1, n * n * C)
        h, first = self.inside(patches) + self.where, None
        for block in self.blocks:
            h, c = block(h, features, label)
            first = c if first is None else first
        shift, scale = self.last(F.silu(first))[:, None].chunk(2, -1)
        y = self.outside(F.layer_norm(h, h.shape[-1:], eps=1e-6) * (1 + scale) + shift)
        return y.view(B, H // n, W // n, n, n, C).permute(0, 1, 3, 2, 4, 5).reshape(x.shape)


class PlainBlock(nn.Module):
    """x (B, N, D), sinusoids of the time and labels   ->   x, and the block's vector (B, D)"""

    def __init__(self, state, path, config):
        super().__init__()
        self.heads, self.eps = config["num_attention_heads"], config["norm_eps"]
        embedders = f"{path}norm1.emb."
        self.time = nn.Sequential(_linear(state, f"{embedders}timestep_embedder.linear_1"), nn.SiLU(),
                                  _linear(state, f"{embedders}timestep_embedder.linear_2"))  # fmt: skip
        table = torch.from_numpy(state[f"{embedders}class_embedder.embedding_table.weight"].copy())
        self.label = nn.Embedding.from_pretrained(table, freeze=False)
        self.modulation = _linear(state, f"{path}norm1.linear")
        self.qkv = _linear(state, *(f"{path}attn1.to_{z}" for z in "qkv"))
        self.out = _linear(state, f"{path}attn1.to_out.0")
        self.up, self.down = _linear(state, f"{path}ff.net.0.proj"), _linear(state, f"{path}ff.net.2")

    def forward(self, x, features, label):
        (B, N, D), c = x.shape, self.time(features) + self.label(label)
        shift, scale, gate, shift_ff, scale_ff, gate_ff = self.modulation(F.silu(c))[:, None].chunk(6, -1)
        h = F.layer_norm(x, (D,), eps=1e-6) * (1 + scale) + shift
        q, k, v = self.qkv(h).view(B, N, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        h = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(B, N, D)
        x = x + gate * self.out(h)
        h = F.layer_norm(x, (D,), eps=self.eps) * (1 + scale_ff) + shift_ff
        return x + gate_ff * self.down(F.gelu(self.up(h), approximate="tanh")), c


def _linear(state, *paths, flat=False):
    """nn.Linear with our weights of these layers side by side; flat: those of a convolution over patches."""
    weights = [torch.from_numpy(state[f"{path}.weight"]) for path in paths]
    weight = torch.cat([w.flatten(0, 2) if flat else w for w in weights], 1)  # (I, O)
    layer = nn.Linear(*weight.shape)
    with torch.no_grad():
        layer.weight.copy_(weight.T)
        layer.bias.copy_(torch.cat([torch.from_numpy(state[f"{path}.bias"]) for path in paths]))
    return layer
