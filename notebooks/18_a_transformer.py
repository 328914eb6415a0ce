# %% [markdown]
# # 18. A transformer in place of the U-Net
#
# For years the network in a diffusion model was a U-Net (chapter 6). Stable Diffusion 3, FLUX and most video models no longer
# have one. They cut the image into patches and give them to a **transformer**, the network of language models. Its best-known
# form is the *diffusion transformer*, DiT (Peebles and Xie, 2023). We build one with every gradient by hand, train it beside
# the U-Net for equally long, and look at what its patches attend to. (Its terms are in the
# [glossary](../docs/glossary.md#diffusion-transformer).)
#
# {{install}}
# The code below needs neither the internet nor a GPU.
#
# **What you should know already.** A layer returns its result and its backward pass, `y, back = layer(x)` (chapter 1).
# Self-attention gives each place a weighted mean of the values of all places (chapter 6). A timestep becomes a vector by
# sines and cosines (chapter 5), a class by a row of a table (chapter 10). In a flow $x_t = (1 - t)\,x_0 + t\,\epsilon$, where
# $x_0$ is the clean image, $\epsilon$ is normal noise and $t$ runs from 0 to 1. The network predicts the velocity
# $\epsilon - x_0$ ([chapter 17](17_flow_matching.ipynb)). Images are arrays (B, H, W, C): batch, height, width, channels.

# %%
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from minidiff import data, gradcheck, grading, interop, metrics, mistakes, models, nn, ops, sample, training, viz
from minidiff.diffusion import Flow, Schedule, SimpleLoss
from minidiff.models.positions import sincos_positions
from minidiff.rng import Rng

FAST = bool(os.environ.get("MINIDIFF_FAST"))  # the tests set this: everything runs, with smaller numbers
digits, labels = data.load("digits")  # 8 x 8 pixels from -1 (black) to 1 (white), and the class labels
held_out, held_out_labels = data.load("digits", split="test")

# %% [markdown]
# ## How does an image become a sequence?
#
# A transformer works on a sequence of vectors, called **tokens**. For text they are words. For an image we cut squares of
# $p \times p$ pixels, the *patches*. With $C$ channels each patch is a vector of $p^2 C$ numbers, and an image of
# $H \times W$ pixels has
#
# $$N = \frac{H}{p}\cdot\frac{W}{p}$$
#
# of them. This only moves numbers to other places, so nothing is lost. minidiff calls it `space_to_depth`: pixels become
# channels. A linear layer then maps each patch to $D$ features, the *patch embedding*. Papers and checkpoints write both
# steps as one convolution with a kernel of $p \times p$ and a stride of $p$. It is the same:

# %%
size, D = 2, 64
cut, _ = ops.space_to_depth(digits[:3], size)  # (3, 4, 4, 4): rows and columns of patches, numbers of a patch
patch_rows = cut.reshape(3, -1, cut.shape[-1])  # (3, N, p^2 C)
conv = nn.Conv2d(1, D, size, stride=size, rng=0)
embedded = conv.predict(digits[:3]).reshape(3, -1, D)
by_hand = patch_rows @ conv.weight.value.reshape(size * size, D) + conv.bias.value
print(f"an image {digits.shape[1:]} -> {patch_rows.shape[1]} tokens of {patch_rows.shape[2]} numbers -> {embedded.shape[1:]}")
print(f"convolution and linear layer differ by at most {np.abs(embedded - by_hand).max():.0e}")
assert np.allclose(embedded, by_hand, atol=1e-5)
assert np.array_equal(ops.depth_to_space(cut, size)[0], digits[:3])  # nothing is lost

# %%
figure = viz.new_figure(8.2, 2.2, "tight")
whole, parts, row = figure.subplots(1, 3, width_ratios=(1, 1.15, 3.4))
whole.imshow(digits[0, ..., 0], cmap="gray", vmin=-1, vmax=1)
spaced, line = np.full((11, 11), np.nan), np.full((2, 16 * 3 - 1), np.nan)
for n, patch in enumerate(patch_rows[0].reshape(-1, size, size)):
    i, j = divmod(n, 4)
    spaced[3 * i : 3 * i + 2, 3 * j : 3 * j + 2] = line[:, 3 * n : 3 * n + 2] = patch
for axes, image, title in ((whole, None, "an image"), (parts, spaced, "16 patches"), (row, line, "a sequence of 16 tokens")):
    if image is not None:
        axes.imshow(image, cmap="gray", vmin=-1, vmax=1)
    axes.set_title(title, fontsize=10)
    axes.set_axis_off()
figure

# %% [markdown]
# ## What does one layer see?
#
# A convolution of 3 x 3 sees one pixel to each side, with the same weights at every place and for every image. Self-attention
# sees all patches at once, and its weights depend on *what* is there. Let us measure both as in chapter 6. We start from a
# gradient of 1 at one output and find the input pixels that it reaches, for two different images:


# %%
def of_patches(layer):
    """A layer over tokens as a layer over images: cut into patches, apply it, put the patches together."""

    def forward(x):
        squares, back_cut = ops.space_to_depth(x, size)
        y, back = layer(squares.reshape(len(x), -1, squares.shape[-1]))
        y, back_whole = ops.depth_to_space(y.reshape(squares.shape), size)
        return y, lambda dy: back_cut(back(back_whole(dy).reshape(len(x), -1, squares.shape[-1])).reshape(squares.shape))

    return forward


def sees(layer, images, pixel=(4, 4)):
    """How much each input pixel moves one output pixel, for each image.   -> (B, H, W)"""
    y, back = layer(images)
    dy = np.zeros_like(y)
    dy[:, pixel[0], pixel[1]] = 1
    return np.abs(back(dy)).sum(axis=3)


attention = nn.Attention(size * size, 1, rng=3)
attention.to_q.weight.value *= 3  # an untrained layer attends to all nearly alike; trained ones are more decided
attention.to_k.weight.value *= 3
layers = {"convolution": nn.Conv2d(1, 1, 3, padding=1, rng=1), "attention": of_patches(attention)}
views = {name: sees(layer, digits[[0, 4]]) for name, layer in layers.items()}
for name, (one, other) in views.items():
    alike = np.corrcoef(one.ravel(), other.ravel())[0, 1]
    print(f"{name:12} reaches {(one > 0).sum():2} of 64 pixels; correlation of the two images' maps: {alike:.2f}")
assert (views["convolution"] > 0).sum() == 2 * 9 and (views["attention"] > 0).all()
figure = viz.new_figure(8.4, 2.0, "tight")
panels = [("first image", digits[0, ..., 0]), ("convolution", views["convolution"][0]), ("attention", views["attention"][0]),
          ("second image", digits[4, ..., 0]), ("convolution", views["convolution"][1]),
          ("attention", views["attention"][1])]  # fmt: skip
for axes, (title, image) in zip(figure.subplots(1, 6), panels, strict=True):
    axes.imshow(image, cmap="gray" if "image" in title else "viridis")
    axes.plot(4, 4, "o", color="white", markeredgecolor="black", markersize=4)
    axes.set_title(title, fontsize=9)
    axes.set(xticks=[], yticks=[])
figure

# %% [markdown]
# The convolution gives the same map for both images. The map of the attention changes with the image. This freedom has a
# price: attention compares all pairs of $N$ tokens, so its cost grows with $N^2$. And a convolution knows from the start that
# neighbours belong together. A transformer has to learn it.
#
# ## How does a transformer know where a patch lies?
#
# It does not. A linear layer treats each token alike, and attention is a sum over tokens, in which order does not count. If
# we shuffle the patches of the input, we get the same output, shuffled in the same way. So DiT adds a **positional encoding**
# to each token, a vector that depends on its column and row alone. It is the sinusoidal vector of chapter 5 twice: half of
# the features for the column, half for the row. For position $m$ and $k = 0, 1, \dots, D/4 - 1$:
#
# $$\sin\bigl(m \cdot 10000^{-4k/D}\bigr), \qquad \cos\bigl(m \cdot 10000^{-4k/D}\bigr).$$


# %%
def along(n, features):
    """Positions 0 to n - 1 along one axis: sines, then cosines.   -> (n, features)"""
    return ops.timestep_embedding(np.arange(n), features, downscale_freq_shift=0, dtype=np.float64)


table = sincos_positions(np, 8, 8, D)  # 8 x 8 patches
pace = 10_000.0 ** (-4 * np.arange(D // 4) / D)
assert np.allclose(along(8, D // 2)[5], [*np.sin(5 * pace), *np.cos(5 * pace)])
assert np.allclose(table[3 * 8 + 5, : D // 2], along(8, D // 2)[5], atol=1e-5)  # row 3, column 5: first the column
figure = viz.new_figure(7.2, 2.2, "tight")
for axes, (i, j) in zip(figure.subplots(1, 4), ((0, 0), (3, 5), (6, 2), (7, 7)), strict=True):
    axes.imshow((table @ table[8 * i + j]).reshape(8, 8), cmap="viridis")
    axes.plot(j, i, "o", color="white", markeredgecolor="black", markersize=5)
    axes.set(xticks=[], yticks=[], title=f"row {i}, column {j}")
figure

# %% [markdown]
# Each image shows how similar the vector of the marked place is to those of all places. Neighbours have similar vectors, so
# the network can learn what "beside" means. Now the measurement, with the library's DiT. Its weights are random here, because
# a new DiT outputs 0 (we come to that):


# %%
class Unplaced(nn.Layer):
    """The patch embedding without positions."""

    def __init__(self, proj):
        self.proj = proj

    def forward(self, x):
        h, back = self.proj(x)
        return h.reshape(len(x), -1, h.shape[-1]), lambda dy: back(dy.reshape(h.shape))


def shuffled(x, order):
    """The patches of each image in another order.   x (B, H, W, C)   ->   the same shape"""
    squares, _ = ops.space_to_depth(x, size)
    tokens = squares.reshape(len(x), -1, squares.shape[-1])[:, order]
    return ops.depth_to_space(tokens.reshape(squares.shape), size)[0]


def shaken(net, amount=0.1, seed=5):
    """The network with random numbers added to all weights, so that none is 0."""
    rng = Rng(seed)
    for param in net.parameters().values():
        param.value = param.value + np.float32(amount) * rng.standard_normal(param.shape)
    return net


def dit(seed, patch=2, heads=4, features=64, layers=4):
    return models.DiT(num_attention_heads=heads, attention_head_dim=features // heads, in_channels=1, num_layers=layers,
                      sample_size=8, patch_size=patch, num_embeds_ada_norm=10, rng=seed)  # fmt: skip


order = np.random.default_rng(2).permutation(16)
net, few = shaken(dit(0)), digits[:4]
apart = {}
for name in ("with positions", "without"):
    if name == "without":
        net.pos_embed = Unplaced(net.pos_embed.proj)
    out, of_shuffled = net.predict(few, 0.5, labels[:4]), net.predict(shuffled(few, order), 0.5, labels[:4])
    apart[name] = np.abs(of_shuffled - shuffled(out, order)).max() / np.abs(out).max()
    print(f"{name:15} output of the shuffled image, and shuffled output: differ by {apart[name]:.0e} of the largest number")
assert apart["without"] < 1e-5 < 1e-2 < apart["with positions"]
viz.show_grid(np.concatenate([few, shuffled(few, order)]), columns=4, rows=["images", "shuffled patches"], scale=0.8)

# %% [markdown]
# Without positions the second row is as good as the first to the network. Below we train one such network, to see what it
# draws.
#
# ## Where do time and class enter?
#
# As in the U-Net, time and class become one vector $c$ of $D$ features for each image: an MLP on the sines and cosines of
# $t$, plus a row of the class table. How does $c$ reach the tokens? DiT normalises the $D$ features of each token (layer
# norm, without learned scale and shift). Then it **modulates** them by a scale $a$ and a shift $s$, which a linear layer
# makes from $c$:
#
# $$y = \hat x\,(1 + a) + s, \qquad \hat x = \frac{x - \text{mean}(x)}{\sqrt{\text{var}(x) + 10^{-6}}}.$$
#
# All tokens of an image share $a$ and $s$; each image has others. This is *adaptive layer norm*, adaLN.


# %%
def modulated(x, shift, scale):
    """x (B, N, D)   shift, scale (B, D)   ->   (B, N, D)"""
    xhat = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-6)
    return xhat * (1 + scale[:, None]) + shift[:, None]


rng = np.random.default_rng(6)
x, shift, scale = rng.standard_normal((2, 5, 8)), rng.standard_normal((2, 8)), rng.standard_normal((2, 8))
assert np.allclose(modulated(x, shift, scale), ops.modulate(x, shift, scale)[0])  # the library's, with its backward pass
print("gradient errors:", ", ".join(f"{error:.0e}" for error in gradcheck.check(ops.modulate, x, shift, scale).values()))

# %% [markdown]
# ([The derivation](../docs/derivations/modulate.md) of its backward pass; you write it in exercise 4.) A block of DiT has two
# layers: attention, in which tokens exchange information, and a feed-forward layer, an MLP that works on each token alone.
# Before each comes a modulated norm, and after each a **gate** $g$, which $c$ makes too. $f$ stands for either layer:
#
# $$y = x + g\,f\bigl(\hat x\,(1 + a) + s\bigr).$$
#
# So one linear layer makes six vectors from $c$: shift, scale and gate, twice. Its weights start at **zero**. This is
# **adaLN-zero**.


# %%
def zeroed(linear):
    for param in linear.parameters().values():
        param.value = np.zeros_like(param.value)
    return linear


class Block(nn.Layer):
    """x (B, N, D)   c (B, D)   ->   (B, N, D).   back(dy) -> dx, dc"""

    def __init__(self, features, heads, rng):
        self.adaln = zeroed(nn.Linear(features, 6 * features, rng=rng))
        self.attention = nn.Attention(features, heads, bias=True, rng=rng)
        self.mlp = nn.FeedForward(features, act="gelu-approximate", rng=rng)

    def forward(self, x, c):
        six, back_adaln = self.adaln(c)
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = np.split(six, 6, axis=1)  # (B, D) each
        h, back_norm = ops.modulate(x, shift, scale)
        h, back_attention = self.attention(h)
        x, back_sum = ops.gated_add(x, h, gate)  # x + gate h
        h, back_norm_mlp = ops.modulate(x, shift_mlp, scale_mlp)
        h, back_mlp = self.mlp(h)
        y, back_sum_mlp = ops.gated_add(x, h, gate_mlp)

        def back(dy):
            dskip, dh, dgate_mlp = back_sum_mlp(dy)
            dx, dshift_mlp, dscale_mlp = back_norm_mlp(back_mlp(dh))
            dskip, dh, dgate = back_sum(dskip + dx)  # x was used twice
            dx, dshift, dscale = back_norm(back_attention(dh))
            dsix = np.concatenate([dshift, dscale, dgate, dshift_mlp, dscale_mlp, dgate_mlp], axis=1)
            return dskip + dx, back_adaln(dsix)

        return y, back


rng = np.random.default_rng(7)
tokens, c = rng.standard_normal((2, 5, 8)), rng.standard_normal((2, 8))
errors = gradcheck.check_layer(shaken(Block(8, 2, rng=0)), tokens, c)
print(f"{len(errors)} gradients checked, largest error {max(errors.values()):.0e}")
assert np.array_equal(Block(8, 2, rng=0).astype(np.float64).predict(tokens, c), tokens)  # a new block is the identity

# %% [markdown]
# ## The whole network
#
# Patches, positions, some blocks, and a last linear layer that makes pixels again. Before it comes a modulated norm without a
# gate, and its weights start at zero too. $c$ is used by every block and at the end, so its gradient is a sum of that many
# terms.


# %%
class DiT(nn.Layer):
    """x (B, H, W, 1)   t a number or (B,)   cond (B,), 0 to classes   ->   (B, H, W, 1)"""

    def __init__(self, features=64, heads=4, layers=4, size=2, classes=10, rng=None):
        self.patch_size, self.features = size, features
        self.patch = nn.Linear(size * size, features, rng=rng)
        self.time = nn.Sequential(nn.Linear(256, features, rng=rng), nn.SiLU(), nn.Linear(features, features, rng=rng))
        self.label = nn.Embedding(classes + 1, features, rng=rng)  # the last row: the null class
        self.blocks = [Block(features, heads, rng) for _ in range(layers)]
        self.adaln, self.out = zeroed(nn.Linear(features, 2 * features)), zeroed(nn.Linear(features, size * size))

    def forward(self, x, t, cond):
        hands = ops.timestep_embedding(np.broadcast_to(t, len(x)), 256, flip_sin_to_cos=True, dtype=x.real.dtype)
        (time, back_time), (label, back_label) = self.time(hands), self.label(cond)
        c, back_silu = ops.silu(time + label)  # (B, D)
        squares, back_cut = ops.space_to_depth(x, self.patch_size)  # (B, H / p, W / p, p^2)
        h, back_patch = self.patch(squares.reshape(len(x), -1, squares.shape[-1]))  # (B, N, D)
        h = h + sincos_positions(np, *squares.shape[1:3], self.features, dtype=x.real.dtype)
        backs = []
        for block in self.blocks:
            h, back_block = block(h, c)
            backs.append(back_block)
        shift_scale, back_adaln = self.adaln(c)
        h, back_norm = ops.modulate(h, *np.split(shift_scale, 2, axis=1))
        h, back_out = self.out(h)
        y, back_whole = ops.depth_to_space(h.reshape(squares.shape), self.patch_size)  # (B, H, W, 1)

        def back(dy):
            dh, dshift, dscale = back_norm(back_out(back_whole(dy).reshape(h.shape)))
            dc = back_adaln(np.concatenate([dshift, dscale], axis=1))
            for back_block in reversed(backs):
                dh, dc_block = back_block(dh)
                dc = dc + dc_block
            dc = back_silu(dc)
            back_time(dc)
            back_label(dc)
            return back_cut(back_patch(dh).reshape(squares.shape))

        return y, back


small = shaken(DiT(8, 2, layers=2, rng=Rng(0)))
rng = np.random.default_rng(8)
noisy = rng.standard_normal((2, 4, 4, 1))
errors = gradcheck.check_layer(small, noisy, np.array([3, 500]), np.array([7, 10]))
print(f"{len(errors)} gradients checked, largest error {max(errors.values()):.0e}")
assert max(errors.values()) < 1e-12

# %% [markdown]
# minidiff's `models.DiT` is this network with more options and the parameter names of diffusers. There each block has its own
# embedding of time and class, as in diffusers. (The paper's networks share one; their checkpoints hold it once for each
# block.) We copy the weights over and compare:


# %%
def to_library(net):
    """The weights of this chapter's DiT under the names of models.DiT."""
    state, features = {}, net.features
    for name, value in net.state().items():
        first, _, rest = name.partition(".")
        if first == "patch":
            state[f"pos_embed.proj.{rest}"] = (
                value.reshape(net.patch_size, net.patch_size, 1, features) if rest == "weight" else value
            )
        elif first in ("time", "label"):
            part = {"layers.0": "timestep_embedder.linear_1", "layers.2": "timestep_embedder.linear_2"}
            for k in range(len(net.blocks)):  # a copy for each block
                own = f"transformer_blocks.{k}.norm1.emb."
                if first == "time":
                    state[own + part[rest[:8]] + rest[8:]] = value
                else:
                    state[own + "class_embedder.embedding_table.weight"] = value
        elif first == "blocks":
            k, part, rest = rest.split(".", 2)
            part = {"adaln": "norm1.linear", "attention": "attn1", "mlp": "ff"}[part]
            state[f"transformer_blocks.{k}.{part}.{rest}"] = value
        else:
            state[f"{ {'adaln': 'proj_out_1', 'out': 'proj_out_2'}[first] }.{rest}"] = value
    return state


ours = shaken(DiT(rng=Rng(0)))
library = models.DiT(4, 16, in_channels=1, num_layers=4, sample_size=8, patch_size=2, num_embeds_ada_norm=10, norm_eps=1e-6)
library.load_state(to_library(ours))  # raises an error if a name or a shape does not fit
t = np.array([1, 500, 999])
(y, back), (theirs, their_back) = ours(digits[:3], t, labels[:3]), library(digits[:3], t, labels[:3])
print(f"outputs differ by at most {np.abs(y - theirs).max() / np.abs(y).max():.0e} of the largest number,",
      f"gradients by {np.abs(back(y) - their_back(theirs)).max() / np.abs(back(y)).max():.0e}")  # fmt: skip
assert np.allclose(y, theirs, atol=1e-4 * np.abs(y).max())

# %% [markdown]
# Where are the parameters? The U-Net is the one that we train below:


# %%
def unet(seed):
    return models.UNet(sample_size=8, in_channels=1, out_channels=1, block_out_channels=(16, 32), layers_per_block=1,
                       norm_num_groups=8, down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2,
                       attention_head_dim=None, num_class_embeds=11, null_class=10, rng=seed)  # fmt: skip


def count(net, word):
    return sum(param.value.size for name, param in net.parameters().items() if word in name)


for name, net in (("this chapter's DiT", ours), ("models.DiT", library), ("U-Net", unet(0))):
    print(f"{name:19} {net.size():7,} parameters")
size_of = {word: count(ours, word) for word in ("adaln", ".attention", ".mlp", "time", "patch")}
print("of this chapter's:", ", ".join(f"{word.strip('.')} {number / ours.size():.0%}" for word, number in size_of.items()))
assert ours.size() < library.size() and size_of["adaln"] > size_of[".attention"]

# %% [markdown]
# A third of the parameters serves to steer the network (adaLN). In models.DiT it is more, because each block has its own
# embedding of time and class. Later models share these six vectors between blocks, up to a small learned table for each block
# (PixArt-$\alpha$'s *adaLN-single*).
#
# ## Why do the gates of a DiT start at zero?
#
# With all gates at 0 each block is the identity, and the network is as shallow as can be. It becomes deeper only as its gates
# open. But a closed gate also stops the gradient: $dh = g\,dy = 0$. Does such a network learn at all? Look at which
# parameters get a gradient in the first steps of training (of the second block, where there are several):


# %%
def gradients(net):
    """The root mean square of the gradients in each part of the network."""
    block, gates = net.blocks[1], np.repeat(np.array([0, 0, 1, 0, 0, 1], bool), net.features)
    six = block.adaln.weight.grad
    parts = {"last layer": net.out.weight.grad, "patch embedding": net.patch.weight.grad, "gates": six[:, gates],
             "shifts and scales": six[:, ~gates], "attention": block.attention.to_v.weight.grad,
             "feed-forward": block.mlp.net[2].weight.grad, "time": net.time.layers[0].weight.grad,
             "class": net.label.weight.grad}  # fmt: skip
    return {name: np.sqrt((grad**2).mean()) for name, grad in parts.items()}


flow = Flow()  # x_t = (1 - t) x0 + t eps
objective = SimpleLoss(flow, "velocity", time_scale=1000)  # t from 0 to 1; the sines and cosines are made for 0 to 1000
plain = SimpleLoss(flow, "velocity", cond_dropout=0, time_scale=1000)  # drops no class labels
net = DiT(rng=Rng(0))
optimizer, first = training.AdamW(net, lr=1e-3), []
for step in range(4):
    optimizer.zero_grad()
    _, back = plain(net, digits[32 * step : 32 * step + 32], Rng(9, step=step), labels[32 * step : 32 * step + 32])
    back()
    first.append(gradients(net))
    optimizer.step()
print(f"{'step':18}", *(f"{step:>8}" for step in range(1, 5)))
for part in first[0]:
    print(f"{part:18}", *(f"{format(found[part], '.0e') if found[part] else '0':>8}" for found in first))
assert [sum(value > 0 for value in found.values()) for found in first] == [1, 3, 8, 8]

# %% [markdown]
# The network starts to learn at its end. In the first step only the last layer gets a gradient. In the second its weights are
# no longer 0, so the gradient reaches the gates (and the patches, along the skip connections). In the third the gates are
# open, and all parameters learn. Two steps are a small price. What is gained? We train a deep network, of twelve blocks,
# whose gates start at 0, at random numbers as in any linear layer, or at 1 as in a plain transformer:


# %%
def deep(start, seed):
    net = dit(seed, patch=4, heads=2, features=32, layers=12)
    for k, block in enumerate(net.transformer_blocks):
        if start == "at random":
            block.norm1.linear.load_state(nn.Linear(32, 6 * 32, rng=Rng(seed, step=k)).state())
        if start == "at 1":
            block.norm1.linear.bias.value = np.repeat(np.array([0, 0, 1, 0, 0, 1], np.float32), 32)
    return net


curves = {}
for start in ("at 0", "at random", "at 1"):
    runs = []
    for seed in range(1 if FAST else 3):
        trainer = training.Trainer(deep(start, seed), objective, digits, labels, steps=10 if FAST else 200, batch_size=32,
                                   lr=3e-3, warmup=10, ema_decay=None, seed=seed)  # fmt: skip
        runs.append(trainer.run(progress=False).loss)
    curves[start] = np.array(runs)
    last = curves[start][:, -50:].mean(axis=1)
    print(f"gates start {start:10} loss of the last 50 steps: {last.mean():.3f}, from {last.min():.3f} to {last.max():.3f}")
ends = {start: curve[:, -50:].mean(axis=1) for start, curve in curves.items()}
assert FAST or ends["at 0"].max() < ends["at 1"].min()
figure = viz.new_figure(5.6, 3.2, "tight")
axes = figure.add_subplot()
for (start, curve), colour in zip(curves.items(), viz.COLOURS, strict=False):
    window = 2 if FAST else 15
    smooth = np.stack([np.convolve(run, np.ones(window) / window, "valid") for run in curve])
    places = np.arange(smooth.shape[1]) + window // 2
    axes.fill_between(places, smooth.min(axis=0), smooth.max(axis=0), color=colour, alpha=0.25, linewidth=0)
    axes.plot(places, smooth.mean(axis=0), color=colour, label=f"gates start {start}")
axes.set(xlabel="training step", ylabel="loss", title="Twelve blocks; mean and range of the seeds")
axes.legend(frameon=False, fontsize=9)
figure

# %% [markdown]
# The loss falls fastest with gates that start at 0, a little slower with random ones, and far slower with gates that start at
# 1. In the last 50 steps the ranges of the seeds do not overlap. A deep network is easier to train if it starts as a shallow
# one.
#
# ## Is a transformer better than a U-Net?
#
# With much data and a large model, yes: on ImageNet the largest DiT had a lower Fréchet distance than the U-Nets before it
# (Peebles and Xie, 2023). Here we have 1,437 digits and a few seconds. We train the U-Net and DiTs with patches of 1, 2 and 4
# pixels, each with three seeds. The numbers of steps are chosen so that all train about equally long. The judge is the
# classifier of chapter 10. The *[Fréchet distance](../docs/glossary.md#fréchet-distance)* compares the samples with real
# digits (lower is better). The accuracy is the share of samples that show the requested class.

# %%
judge = metrics.train_classifier(digits[: 200 if FAST else None], labels[: 200 if FAST else None], epochs=1 if FAST else 8,
                                 width=4 if FAST else 16)  # fmt: skip
real = metrics.features(judge, digits)
SEEDS = range(1 if FAST else 3)
asked = np.repeat(np.arange(10), 1 if FAST else 40)
start = Rng(10).standard_normal((len(asked), 8, 8, 1))
networks = {  # name: (how it is made, training steps)
    "U-Net": (unet, 350), "DiT, patch 1": (lambda seed: dit(seed, 1), 100), "DiT, patch 2": (dit, 390),
    "DiT, patch 4": (lambda seed: dit(seed, 4), 850),
}  # fmt: skip


def train(net, objective, steps, seed=0):
    """Train on the digits, and keep the mean of the last weights.   -> CPU seconds"""
    trainer = training.Trainer(net, objective, digits, labels, steps=10 if FAST else steps, batch_size=4 if FAST else 32,
                               lr=3e-3, warmup=10, ema_decay=0.98, seed=seed)  # fmt: skip
    began = time.process_time()
    trainer.run(progress=False)
    net.load_state(trainer.ema.state())
    return time.process_time() - began


def score(samples):
    """-> Fréchet distance, accuracy"""
    return metrics.frechet_distance(metrics.features(judge, samples), real), metrics.accuracy(judge, samples, asked)


def draw(net):
    return sample("flow_heun", objective.denoiser(net), start.shape, steps=2 if FAST else 10, x=start, cond=asked)


trained, drawn, scores, took, after_100 = {}, {}, {}, {}, {}
for name, (make, steps) in networks.items():
    nets = [make(seed) for seed in SEEDS]
    took[name] = np.mean([train(net, objective, steps, seed) for seed, net in enumerate(nets)])
    trained[name], samples = nets[0], [draw(net) for net in nets]
    drawn[name], scores[name] = samples[0], np.array([score(images) for images in samples])
    after_100[name] = scores[name][0, 0]
    if steps > 100:
        brief = make(0)
        train(brief, objective, 100)
        after_100[name] = score(draw(brief))[0]

# %%
held_out_distance = metrics.frechet_distance(metrics.features(judge, held_out), real)
print(f"{'':13} {'':15} {'':8}   Fréchet distance")
print(f"{'':13} tokens  steps  CPU time   after 100 steps   after all: mean, from - to   accuracy")
for name, (_, steps) in networks.items():
    tokens = "" if name == "U-Net" else (8 // int(name[-1])) ** 2
    (distance, right), low, high = scores[name].mean(axis=0), scores[name].min(axis=0), scores[name].max(axis=0)
    print(f"{name:13} {tokens:>6} {steps:6} {took[name]:7.1f} s {after_100[name]:17.2f}",
          f"{distance:12.2f}, {low[0]:5.2f} - {high[0]:5.2f} {right:10.2f}")  # fmt: skip
print(f"held-out digits: {held_out_distance:.2f}")
best = scores["U-Net"][:, 0].max()
assert FAST or all(scores[f"DiT, patch {patch}"][:, 0].min() > best for patch in (1, 2))
picked = np.flatnonzero(np.arange(len(asked)) % (1 if FAST else 40) == 0)
viz.show_grid(np.concatenate([images[picked] for images in drawn.values()]), columns=10, rows=list(drawn), scale=0.62)

# %% [markdown]
# The U-Net and the DiT with patches of 4 pixels are equally good: the ranges of their three seeds overlap. With smaller
# patches the transformer is clearly worse. The U-Net needs fewer than half as many parameters, and after 100 steps it is far
# ahead of all three transformers. (Each network was trained once more, for 100 steps only.) It does not have to learn that
# neighbours belong together. So on so small a task there is no reason to leave the U-Net. (The seconds are those of this
# machine. All networks train on 32 digits a step, with the same learning rate; we did not tune it for any of them.)
#
# `minidiff study dit` repeats the comparison on the 60,000 digits of MNIST, where both networks draw the requested digit in
# 98 to 99 of 100 samples: [tables and samples](../docs/studies.md#does-a-transformer-draw-digits-as-well-as-a-u-net). The DiT
# ships with minidiff: `minidiff sample` draws with it.
#
# ### Which patch size?
#
# A patch of twice the width leaves a quarter of the tokens. The linear layers then cost a quarter, and attention a sixteenth.
# So with patches of 1 pixel a step takes many times as long, and the time is enough for 100 steps only. At 100 steps each,
# patches of 1 and of 2 pixels are equally bad. So patches of 1 lose to those of 2 because of what a step costs. The paper
# compares models that were trained for equally many steps, not equally long; there smaller patches are better.
#
# ## What does the network draw without positions?
#
# We train the network with patches of 2 pixels once more, without positions:

# %%
lost = dit(0)
lost.pos_embed = Unplaced(lost.pos_embed.proj)
train(lost, objective, networks["DiT, patch 2"][1])
drawn["without positions"] = draw(lost)
names = ["DiT, patch 2", "without positions"]
for name in names:
    distance, right = score(drawn[name])
    print(f"{name:18} Fréchet distance {distance:6.2f}   accuracy {right:.2f}")
assert FAST or score(drawn["without positions"])[0] > 4 * score(drawn["DiT, patch 2"])[0]
viz.show_grid(np.concatenate([drawn[name][picked] for name in names]), columns=10, rows=names, scale=0.62)

# %% [markdown]
# The patches look like patches of digits, with pieces of strokes in them. But the network does not know where they belong.
#
# ## What does a patch look at?
#
# The attention weights of the trained network can be plotted, as in chapters 6 and 11. To get them, we put a function around
# the part of each attention layer that gets $q$, $k$ and $v$:


# %%
def looks(net, x, t, cond):
    """The attention weights of each block.   -> (blocks, B, heads, N, N)"""
    tables = []
    for block in net.transformer_blocks:
        layer = block.attn1

        def attend(q, k, v, mask=None, layer=layer):
            q_, k_ = (a.reshape(*a.shape[:2], layer.heads, -1).swapaxes(1, 2) for a in (q, k))  # (B, heads, N, d)
            tables.append(ops.softmax(q_ @ k_.swapaxes(2, 3) / q_.shape[-1] ** 0.5)[0])
            return nn.Attention.attend(layer, q, k, v, mask)

        layer.attend = attend
    net.predict(x, t, cond)
    for block in net.transformer_blocks:
        del block.attn1.attend
    return np.array(tables)


def noisy_at(t, images, seed=11):
    return flow.add_noise(images, Rng(seed).standard_normal(images.shape), t)


def how_many(weights):
    """To how many patches a patch attends: exp of the entropy, from 1 to N.   (..., N, N)   ->   (..., N)"""
    return np.exp(-(weights * np.log(weights + 1e-12)).sum(axis=-1))


net, few, few_labels = trained["DiT, patch 2"], held_out[: 10 if FAST else 200], held_out_labels[: 10 if FAST else 200]
weights = looks(net, noisy_at(0.5, few), 500, few_labels)
assert np.allclose(weights.sum(axis=4), 1, atol=1e-4)
heads = how_many(weights).mean(axis=(1, 3)).argmin(axis=1)  # of each block, the head that attends to fewest
marked = 6  # row 1, column 2 of the 4 x 4 patches
figure = viz.new_figure(7.4, 4.6, "tight")
for row, t in zip(figure.subplots(3, 5), (0.9, 0.5, 0.1), strict=True):
    xt = noisy_at(t, digits[:1])
    row[0].imshow(xt[0, ..., 0], cmap="gray", vmin=-1, vmax=1)
    row[0].set_ylabel(f"t = {t}")
    row[0].plot(2 * (marked % 4) + 0.5, 2 * (marked // 4) + 0.5, "s", markersize=14, color=viz.COLOURS[1], fillstyle="none")
    weights = looks(net, xt, 1000 * t, labels[:1])[np.arange(4), 0, heads, marked]  # (blocks, N)
    for axes, of_block in zip(row[1:], weights, strict=True):
        axes.imshow(of_block.reshape(4, 4), cmap="viridis", vmin=0, vmax=0.3)
        axes.plot(marked % 4, marked // 4, "o", color="white", markeredgecolor="black", markersize=4)
    if t == 0.9:
        for axes, title in zip(row, ("noisy image", *(f"block {k}" for k in range(1, 5))), strict=True):
            axes.set_title(title, fontsize=10)
    for axes in row:
        axes.set(xticks=[], yticks=[])
figure

# %% [markdown]
# Each row is a time, from early in sampling ($t = 0.9$) to late. Each column is a block, with that of its heads which attends
# to the fewest patches. The colours show how much the marked patch takes from each patch. One image proves little. So we take
# the mean over many held-out digits, at each $t$. To how many patches does a patch attend? And how much of its attention
# falls on those 8 of the 16 patches that have the most ink in the *clean* image?

# %%
inked = ops.space_to_depth(few, 2)[0].reshape(len(few), 16, 4).mean(axis=2).argsort(axis=1).argsort(axis=1) >= 8
times = np.linspace(0.05, 0.95, 3 if FAST else 10)
numbers, on_ink = np.empty((2, len(times), 4))
for i, t in enumerate(times):
    weights = looks(net, noisy_at(t, few), 1000 * t, few_labels)
    numbers[i] = how_many(weights).mean(axis=(1, 3))[np.arange(4), heads]
    on_ink[i] = (weights * inked[:, None, None]).sum(axis=4).mean(axis=(1, 2, 3))
figure = viz.new_figure(8.6, 3.1, "tight")
left, right = figure.subplots(1, 2)
for k in range(4):
    print(f"block {k + 1}: attends to {numbers[-1, k]:4.1f} patches at t = 0.95, {numbers[0, k]:4.1f} at 0.05; "
          f"share on ink {on_ink[-1, k]:.2f} and {on_ink[0, k]:.2f}")  # fmt: skip
    left.plot(times, numbers[:, k], "o-", markersize=3, color=viz.COLOURS[k], label=f"block {k + 1}")
    right.plot(times, on_ink[:, k], "o-", markersize=3, color=viz.COLOURS[k])
left.axhline(16, color="grey", linewidth=0.8, linestyle="--", label="all alike")
right.axhline(0.5, color="grey", linewidth=0.8, linestyle="--")
left.set(xlabel="t (0: image, 1: noise)", ylabel="patches", title="To how many does a patch attend?", ylim=(0, 17))
right.set(xlabel="t (0: image, 1: noise)", ylabel="share", title="How much of it on ink?", ylim=(0.4, 0.7))
left.legend(frameon=False, fontsize=8, loc="lower left", ncols=2)
figure

# %% [markdown]
# The first block attends to all patches nearly alike. In the later blocks there are heads that select: of 16 patches, those
# in blocks 3 and 4 attend to about 7. Early in sampling nothing shows where ink will be, and the attention on ink is only a
# little above one half. As the image appears, the share grows, and then falls again in two blocks. The marked patch shows it
# in block 4: it attends to the places where the stroke is. But one should not read too much into this. Most heads attend to
# nearly everything, and the weights do not show what is done with the values.
#
# ## What if a patch has more numbers than the network has features?
#
# A large patch of a large image has many numbers: $32 \times 32 \times 3 = 3072$. If $D$ is smaller, the patch embedding has
# to lose some of them. Clean patches can be compressed, because neighbouring pixels are alike. Noise cannot. So a narrow
# network can output a clean image, but neither the noise nor $v$, which contains noise (Li and He, 2025). Let us see. One
# patch is the whole digit here, 64 numbers. The network has 16 features, or 96. (Prediction of $\epsilon$, $v$ and $x_0$:
# chapter 4, with the cosine schedule and DDIM.)

# %%
schedule = Schedule.cosine(1000)
narrow = {}
for features in (16, 96):
    for predicts in ("eps", "v", "x0"):
        net, own = dit(0, patch=8, heads=2, features=features), SimpleLoss(schedule, predicts)
        train(net, own, 600)
        steps = 2 if FAST else 20
        narrow[features, predicts] = sample("ddim", own.denoiser(net), start.shape, steps=steps, x=start, cond=asked)
        wide_x0 = net  # the last one: 96 features, predicts x0
        found = score(np.clip(narrow[features, predicts], -1, 1))
        print(f"{features} features, predicts {predicts:3} Fréchet distance {found[0]:6.2f}   accuracy {found[1]:.2f}")
        assert FAST or features > 16 or (found[1] > 0.9) == (predicts == "x0")
rows = [f"{features} features: {predicts}" for features, predicts in narrow]
viz.show_grid(np.concatenate([images[picked] for images in narrow.values()]), columns=10, rows=rows, scale=0.62)

# %% [markdown]
# With 16 features only the prediction of $x_0$ draws digits. The other two networks cannot output what they should: 64
# numbers of noise do not fit through 16 features. With 96 features $v$ draws digits too and $\epsilon$ often does, and $x_0$
# is still the best. So a large patch needs either a wide network or the prediction of $x_0$. (This is one seed each.
# $\epsilon$ has a further difficulty: in nearly pure noise a small error of $\epsilon$ is a large one of $x_0$, chapter 4.)
#
# The study `minidiff study predictions` measures the same over three training seeds, for patches of 2, 4 and 8 pixels and for
# MLPs ([tables](../docs/studies.md#why-predict-the-noise-and-not-the-image)).
#
# ## Opening other people's transformers
#
# A DiT in the form of diffusers is a folder, a `DiTPipeline` whose transformer is a `DiTTransformer2DModel`. We write one and
# open it in two lines. The weights that the authors of DiT published (`facebook/DiT-XL-2-256` on the Hugging Face hub) have
# the same form: with their folder in place of this one, the same two lines draw ImageNet classes. They work on latents of
# $32 \times 32 \times 4$ (chapter 12), with patches of 2 and $D = 1152$.

# %%
folder = Path(tempfile.mkdtemp()) / "digits-dit"
interop.save_pipeline(wide_x0, schedule, folder, predicts="x0")
index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
print(index["_class_name"], "with", index["transformer"][1], "and", index["scheduler"][1])

pipeline = interop.load(folder)
images = pipeline.sample(10, 2 if FAST else 20, cond=np.arange(10), guidance=1.0, rng=12)

assert np.array_equal(pipeline.unet.predict(digits[:4], 3, labels[:4]), wide_x0.predict(digits[:4], 3, labels[:4]))
viz.show_grid(images, columns=10, title="Drawn by an opened DiTPipeline", scale=0.62)

# %% [markdown]
# The published models output twice as many channels as they get. The second half is a *learned variance* (chapter 3): for
# each number it specifies where between its two bounds the variance of a sampling step lies. In minidiff this is one
# argument, `models.DiT(..., out_channels=2 * in_channels)`, and a loss, `diffusion.HybridLoss`.
#
# ## Exercises
#
# Complete each function and run its cell. The lines below the function test it. They print "right", or what is probably
# wrong. Each exercise has two folded hints, a small one and a bigger one.
#
# **Exercise 1.** Cut images into patches, with the backward pass. The patches of an image stand in a row, in the order in
# which one reads. Within a patch the pixels are in the same order, and the channels of a pixel stay together. (What does
# `back` do with a sequence of patches? Where does DiT need this?)
#
# <details><summary>Hint</summary>
#
# First find a shape in which the row of a patch, the row within it, the column of a patch and the column within it are
# separate axes. Two of these axes are then in the wrong order.
# </details>
# <details><summary>Bigger hint</summary>
#
# `reshape` to (B, H / p, p, W / p, p, C), swap two neighbouring axes with `transpose`, and `reshape` to three axes. `back`
# undoes these three steps, the last one first.
# </details>


# %%
def patches(x, size): ...  # x (B, H, W, C), H and W multiples of size -> (B, N, size^2 C), back   with back(dy) -> dx


rng = np.random.default_rng(20)
if grading.answered(patches, np.ones((1, 2, 2, 1)), 2):
    mistakes.find(patches, "18.patches")
    gradcheck.check(lambda x: patches(x, 3), rng.standard_normal((2, 6, 3, 2)))
    grading.same(patches(digits[:3], 2)[0], patch_rows, "the patches of this chapter's digits")
    print("exercise 1: right")

# %% [markdown]
# **Exercise 2.** Make the positional encodings of an image of `rows` x `columns` patches from `along`. The first half of the
# features is the vector of the column, the second half that of the row. The patches are in the order in which one reads.
#
# <details><summary>Hint</summary>
#
# Two tables, one for the columns and one for the rows. Which row of each belongs to patch number $n$?
# </details>
# <details><summary>Bigger hint</summary>
#
# `np.tile(a, (k, 1))` repeats a whole table $k$ times, `np.repeat(a, k, axis=0)` repeats each of its rows $k$ times. One of
# them fits the columns, the other the rows.
# </details>


# %%
def positions(rows, columns, features): ...  # features a multiple of 4 -> (rows * columns, features)


if grading.answered(positions, 1, 1, 4):
    mistakes.find(positions, "18.positions")
    grading.same(positions(8, 8, D), table, "the positions of this chapter's figure", rtol=1e-4, atol=1e-5)
    print("exercise 2: right")

# %% [markdown]
# **Exercise 3.** How many multiplications does one block take, for one image of `pixels` x `pixels`, patches of `size` and
# $D$ features? Count the four linear layers of attention ($D \to D$ for $q$, $k$, $v$ and the output), the scores and the
# weighted means over all pairs of tokens, and the two linear layers of the feed-forward layer ($D \to 4D \to D$). Leave out
# everything that is done once for an image or once for a number of a token.
#
# <details><summary>Hint</summary>
#
# A linear layer from $a$ to $b$ features takes $a b$ multiplications for each token. How many numbers does one score take?
# </details>
# <details><summary>Bigger hint</summary>
#
# First count the tokens, $N$. A score is a product of two vectors of $D$ numbers (all heads together), and there are $N^2$.
# The weighted means take as many again.
# </details>


# %%
def multiplications(pixels, size, features): ...  # return a number


if grading.answered(multiplications, 8, 2, 64):
    mistakes.find(multiplications, "18.multiplications")
    one, two = (multiplications(32, size, 1152) for size in (1, 2))
    print(f"exercise 3: right; for DiT-XL a patch of 1 pixel takes {one / two:.1f} times as many as one of 2")

# %% [markdown]
# ### Build it: a block with adaLN-zero
#
# Now build the heart of the network: the modulated norm, the gate, and the whole block. Write each with its backward pass,
# for tokens (B, N, D). Each exercise can pass without the others.
#
# **Exercise 4.** Normalise each token over its features, with $10^{-6}$ added to the variance. Then scale by `1 + scale` and
# shift. `back(dy)` returns `dx, dshift, dscale`. Use NumPy alone.
#
# <details><summary>Hint</summary>
#
# `shift` and `scale` are used by every token of an image. What does a value that is used $N$ times get? In `dx` three terms
# come together, because the mean and the deviation depend on `x` too: chapter 2 has them for GroupNorm.
# </details>
# <details><summary>Bigger hint</summary>
#
# `scale[:, None]` is (B, 1, D). Start `back` with the gradient by $\hat x$, which is `dy * (1 + scale)`. From it, take away
# its mean over the features, and $\hat x$ times the mean of its product with $\hat x$. Divide by the deviation.
# </details>


# %%
def scale_shift(x, shift, scale): ...  # x (B, N, D)   shift, scale (B, D)   -> y, back   with back(dy) -> dx, dshift, dscale


rng = np.random.default_rng(24)
x, shift, scale = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 4)), rng.standard_normal((2, 4))
if grading.answered(scale_shift, x, shift, scale):
    mistakes.find(scale_shift, "18.scale_shift")
    gradcheck.check(scale_shift, x, shift, scale)
    print("exercise 4: right")

# %% [markdown]
# **Exercise 5.** Add a layer's output `h` to the skip connection `x` through a gate, $y = x + g\,h$. Each image has a gate
# for each feature.
#
# <details><summary>Hint</summary>
#
# Three arguments, so three gradients. Which of them is `dy` itself?
# </details>
# <details><summary>Bigger hint</summary>
#
# The derivative of $g h$ by $h$ is $g$, and by $g$ it is $h$. All tokens of an image share the gate.
# </details>


# %%
def gated(x, h, gate): ...  # x, h (B, N, D)   gate (B, D)   -> y, back   with back(dy) -> dx, dh, dgate


rng = np.random.default_rng(25)
x, h, gate = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 4))
if grading.answered(gated, x, h, gate):
    mistakes.find(gated, "18.gated")
    gradcheck.check(gated, x, h, gate)
    print("exercise 5: right")

# %% [markdown]
# **Exercise 6.** Write the whole block as a function. `c` is the sum of time and class *before* SiLU. Six vectors come from
# it, $\mathrm{silu}(c)\,w + b$, in this order: shift, scale, gate for `attend`, then shift, scale, gate for `feed`. `attend`
# and `feed` are layers: `y, back = attend(h)` with `back(dy) -> dh`. `back` of the block returns `dx, dc, dw, db`. You may
# use `ops.modulate`, `ops.gated_add`, `ops.silu` and `ops.linear`.
#
# <details><summary>Hint</summary>
#
# Draw the block with an arrow for each array, and reverse the arrows. At two places an array is used twice. The six gradients
# meet again at the linear layer.
# </details>
# <details><summary>Bigger hint</summary>
#
# `back` runs from the second gate to the first norm. `back` of `ops.gated_add` returns the gradient along the skip connection
# first; add to it what comes back through the norm, *before* you continue. `np.concatenate` puts the six gradients in the
# order of the six vectors.
# </details>


# %%
def block(
    x, c, w, b, attend, feed
): ...  # x (B, N, D)   c (B, D)   w (D, 6 D)   b (6 D,)   -> y, back   with back(dy) -> dx, dc, dw, db


rng = np.random.default_rng(26)
x, c, w, b = (rng.standard_normal(shape) for shape in ((2, 3, 4), (2, 4), (4, 24), (24,)))
if grading.answered(block, x, c, w, b, ops.gelu, ops.silu):
    mistakes.find(block, "18.block")
    gradcheck.check(lambda *arrays: block(*arrays, ops.gelu, ops.silu), x, c, w, b)
    print("exercise 6: right")

# %% [markdown]
# The answers are in [docs/answers/18.py](../docs/answers/18.py), together with the hidden tests for graded assignments.
