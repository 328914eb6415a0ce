# %% [markdown]
# # 6. The U-Net
#
# A diffusion model needs a loss (chapter 4) and a network. The network maps a noisy image and a timestep to an image of the
# same size. Since the first diffusion models it has been the **U-Net**. It reduces the image to a small one, enlarges it again,
# and connects equal sizes directly. This chapter builds a U-Net from its parts with every backward pass by hand and checks
# every gradient. Then it trains the network on digits and removes parts to see what they contribute.
#
# {{install}}
# The code below needs neither the internet nor a GPU.
#
# **What you should know already.** A layer returns its result and its backward pass, `y, back = layer(x)`; a value that is used
# twice gets a sum of two gradients (chapter 1). Chapter 2 builds convolution and GroupNorm, and chapter 5 explains how a
# timestep becomes a vector. Images are arrays (B, H, W, C): batch, height, width, channels.

# %%
import os

import numpy as np

from minidiff import data, gradcheck, grading, mistakes, models, nn, ops, sample, training, viz
from minidiff.diffusion import Schedule, SimpleLoss
from minidiff.rng import Rng

FAST = bool(os.environ.get("MINIDIFF_FAST"))  # the tests set this: everything runs, with smaller numbers
rng = np.random.default_rng(0)

# %% [markdown]
# ## Why not use a stack of convolutions?
#
# To tell noise from ink, a network has to see *what is drawn*. But one 3 x 3 convolution sees only one pixel to each side. How
# far does a stack of convolutions see? A backward pass answers this: start from a gradient of 1 at one output pixel, and find
# the input pixels whose gradient is not 0. They are the **receptive field** of the output pixel.

# %%
def sees(layers, size=16, channels=8):
    """How much each input pixel moves the output pixel in the middle.   -> (size, size)"""
    h, back = nn.Sequential(*layers)(rng.standard_normal((1, size, size, channels)))
    dy = np.zeros_like(h)
    dy[0, size // 2, size // 2, 0] = 1
    return np.abs(back(dy)[0]).sum(axis=-1)


rng = np.random.default_rng(3)
stacks = {n: [nn.Conv2d(8, 8, 3, padding=1, rng=n).astype(np.float64) for _ in range(n)] for n in (1, 2, 5)}
views = {f"{n} convolution{'s' * (n > 1)}": sees(stack) for n, stack in stacks.items()}
for name, view in views.items():
    print(f"{name:15} receptive field of {(view > 0).sum():3} of 256 pixels")
assert [(view > 0).sum() for view in views.values()] == [3 * 3, 5 * 5, 11 * 11]

# %% [markdown]
# Each further layer adds one pixel to each side. For an image of 256 x 256 this takes 128 layers at full size. The U-Net
# (Ronneberger et al., 2015) therefore **halves the image**. In an image of half the size, one pixel covers two pixels of the
# input, and every layer costs a quarter.
#
# ## Downsampling and upsampling
#
# Downsampling is a convolution with *stride* 2: its kernel moves by two pixels. Upsampling copies each pixel to a block of 2 x
# 2 and then applies a convolution. In the backward pass, a pixel that was copied four times gets a sum of four gradients.

# %%
class Up(nn.Layer):
    """x (B, H, W, C)   ->   (B, 2H, 2W, C)"""

    def __init__(self, channels, rng):
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, rng=rng)

    def forward(self, x):
        B, H, W, C = x.shape
        y, back_conv = self.conv(x.repeat(2, axis=1).repeat(2, axis=2))  # (B, 2H, 2W, C)

        def back(dy):
            return back_conv(dy).reshape(B, H, 2, W, 2, C).sum(axis=(2, 4))

        return y, back


rng = np.random.default_rng(5)
x, down, up = rng.standard_normal((2, 4, 4, 3)), nn.Conv2d(3, 3, 3, stride=2, padding=1, rng=0), Up(3, rng=0)
small = x.astype(np.float32)
print("downsampling:", x.shape, "->", down.predict(small).shape, "  upsampling:", x.shape, "->", up.predict(small).shape)
errors = gradcheck.check_layer(up, x)
print(f"{len(errors)} gradients checked, largest relative error {max(errors.values()):.0e}")

# %% [markdown]
# ## The residual block
#
# Most of the U-Net consists of residual blocks. A block applies GroupNorm, SiLU ($x$ times its sigmoid) and a convolution. Then
# it adds the projected time embedding, one number per channel, and applies GroupNorm, SiLU and a convolution again. Finally
# **it adds its input**. So the layers of a block only have to learn a *change* of the input, and gradients have a direct path
# back (He et al., 2015). If the number of channels changes, a 1 x 1 convolution gives the input the new number before it is
# added.

# %%
class Block(nn.Layer):
    """x (B, H, W, c)   time (B, 64)   ->   (B, H, W, o).   back(dy) -> (dx, dtime)"""

    def __init__(self, c, o, rng):
        self.norm1, self.conv1 = nn.GroupNorm(8, c), nn.Conv2d(c, o, 3, padding=1, rng=rng)
        self.time_emb_proj = nn.Linear(64, o, rng=rng)
        self.norm2, self.conv2 = nn.GroupNorm(8, o), nn.Conv2d(o, o, 3, padding=1, rng=rng)
        self.conv_shortcut = nn.Conv2d(c, o, 1, rng=rng) if c != o else None

    def forward(self, x, time):
        h, back_norm1 = self.norm1(x, silu=True)
        h, back_conv1 = self.conv1(h)
        shift, back_shift = self.time_emb_proj(time)  # (B, o)
        h, back_norm2 = self.norm2(h + shift[:, None, None, :], silu=True)
        h, back_conv2 = self.conv2(h)
        side, back_side = self.conv_shortcut(x) if self.conv_shortcut else (x, lambda dy: dy)

        def back(dy):
            dh = back_norm2(back_conv2(dy))
            dtime = back_shift(dh.sum(axis=(1, 2)))  # it was added at every pixel
            return back_norm1(back_conv1(dh)) + back_side(dy), dtime  # x was used twice

        return side + h, back


rng = np.random.default_rng(7)
errors = gradcheck.check_layer(Block(8, 16, rng=0), rng.standard_normal((2, 4, 4, 8)), rng.standard_normal((2, 64)))
print(f"{len(errors)} gradients checked, largest relative error {max(errors.values()):.0e}")

# %% [markdown]
# ## Attention: every pixel sees every other pixel
#
# At the bottom of the U the image has so few pixels that each can look at all others. Every pixel computes three vectors: a
# *query* $q$ (what it looks for), a *key* $k$ (what it offers) and a *value* $v$ (what it passes on). **Attention** gives pixel
# $n$ a weighted mean $y_n$ of the values of all pixels $m$. The weight $w_{nm}$ is large where key $m$ matches query $n$:
#
# $$y_n = \sum_m w_{nm}\, v_m, \qquad w_{nm} \propto \exp\bigl(q_n \cdot k_m / \sqrt{D}\bigr), \quad \sum_m w_{nm} = 1.$$
#
# Here $D$ is the length of $q$ and $k$. The $N$ pixels of an image stand in a row, so the arrays are (B, N, D).

# %%
def attention(q, k, v):
    scale = q.shape[-1] ** -0.5
    weights, back_softmax = ops.softmax(scale * q @ k.swapaxes(1, 2))  # (B, N, N), each row sums to 1

    def back(dy):
        dscores = scale * back_softmax(dy @ v.swapaxes(1, 2))
        return dscores @ k, dscores.swapaxes(1, 2) @ q, weights.swapaxes(1, 2) @ dy

    return weights @ v, back


rng = np.random.default_rng(9)
qkv = rng.standard_normal((3, 2, 6, 4))
print(f"largest relative error of a gradient: {max(gradcheck.check(attention, *qkv).values()):.0e}")
assert np.allclose(attention(*qkv)[0], ops.attention(*qkv)[0])

# %% [markdown]
# In the U-Net, queries, keys and values come from the same image, which is called **self-attention**. The layer applies
# GroupNorm, three linear layers for $q$, $k$ and $v$, attention and another linear layer. Then it adds its input. $x$ is used
# in four ways, so its gradient has four terms: one along the direct path and three through GroupNorm.

# %%
class SelfAttention(nn.Layer):
    """x (B, H, W, c)   ->   (B, H, W, c)"""

    def __init__(self, c, rng):
        self.to_q, self.to_k, self.to_v, out = (nn.Linear(c, c, rng=rng) for _ in range(4))
        self.to_out, self.group_norm = [out], nn.GroupNorm(8, c)

    def forward(self, x):
        B, H, W, C = x.shape
        h, back_norm = self.group_norm(x.reshape(B, H * W, C))
        (q, back_q), (k, back_k), (v, back_v) = self.to_q(h), self.to_k(h), self.to_v(h)
        h, back_attention = attention(q, k, v)
        h, back_out = self.to_out[0](h)

        def back(dy):
            dq, dk, dv = back_attention(back_out(dy.reshape(B, H * W, C)))
            return dy + back_norm(back_q(dq) + back_k(dk) + back_v(dv)).reshape(x.shape)

        return x + h.reshape(x.shape), back


rng = np.random.default_rng(11)
errors = gradcheck.check_layer(SelfAttention(8, rng=0), rng.standard_normal((2, 3, 3, 8)))
print(f"{len(errors)} gradients checked, largest relative error {max(errors.values()):.0e}")

# %% [markdown]
# ## Skip connections
#
# The U-Net keeps the images of the way down. On the way up, each block takes two images of the same size, concatenated along
# the channels. The image from below encodes *what* is drawn, and the image from the way down encodes *where* it is. These
# connections are called **skip connections**; the code calls one a `bridge`. (Setting `bridge` to 0 removes it, for an
# experiment below.)

# %%
class BlockBeside(Block):
    """x (B, H, W, c)   skip (B, H, W, s)   time (B, 64)   ->   (B, H, W, o).   back(dy) -> (dx, dskip, dtime)"""

    bridge = 1.0

    def __init__(self, c, s, o, rng):
        super().__init__(c + s, o, rng)

    def forward(self, x, skip, time):
        y, back_block = super().forward(np.concatenate([x, self.bridge * skip], axis=-1), time)

        def back(dy):
            dboth, dtime = back_block(dy)
            return dboth[..., : x.shape[-1]], self.bridge * dboth[..., x.shape[-1] :], dtime

        return y, back


# %% [markdown]
# ## The whole U-Net
#
# Two sizes are enough for digits of 8 x 8 pixels: 8 and 4. Read `back` beside `forward`, from the bottom to the top. Each of
# the arrays `a`, `b`, `c`, `d` is used twice, by the next layer and by a skip connection, so each gets two gradients.

# %%
class UNet(nn.Layer):
    """x (B, H, W, 1)   t a number or (B,)   ->   (B, H, W, 1)"""

    def __init__(self, rng=None):
        self.conv_in, self.conv_out = nn.Conv2d(1, 16, 3, padding=1, rng=rng), nn.Conv2d(16, 1, 3, padding=1, rng=rng)
        self.time_1, self.time_2, self.norm_out = nn.Linear(16, 64, rng=rng), nn.Linear(64, 64, rng=rng), nn.GroupNorm(8, 16)
        self.down_1, self.halve, self.down_2 = Block(16, 16, rng), nn.Conv2d(16, 16, 3, 2, 1, rng=rng), Block(16, 32, rng)
        self.middle_1, self.attention, self.middle_2 = Block(32, 32, rng), SelfAttention(32, rng), Block(32, 32, rng)
        self.up_1, self.up_2, self.double = BlockBeside(32, 32, 32, rng), BlockBeside(32, 16, 32, rng), Up(32, rng)
        self.up_3, self.up_4 = BlockBeside(32, 16, 16, rng), BlockBeside(16, 16, 16, rng)

    def time(self, t, x):
        """Clock hands of t, linear, SiLU, linear (chapter 5), and the SiLU before every block's own projection."""
        hands = ops.timestep_embedding(np.broadcast_to(np.asarray(t), len(x)), 16, flip_sin_to_cos=True,
                                       downscale_freq_shift=0.0, dtype=x.dtype)  # fmt: skip
        return nn.Sequential(self.time_1, nn.SiLU(), self.time_2, nn.SiLU())(hands)  # (B, 64)

    def forward(self, x, t, cond=None):
        time, back_time = self.time(t, x)
        a, back_in = self.conv_in(x)  # (B, 8, 8, 16)
        b, back_b = self.down_1(a, time)
        c, back_c = self.halve(b)  # (B, 4, 4, 16)
        d, back_d = self.down_2(c, time)  # (B, 4, 4, 32)
        h, back_1 = self.middle_1(d, time)
        h, back_2 = self.attention(h)
        h, back_3 = self.middle_2(h, time)
        h, back_4 = self.up_1(h, d, time)
        h, back_5 = self.up_2(h, c, time)
        h, back_6 = self.double(h)  # (B, 8, 8, 32)
        h, back_7 = self.up_3(h, b, time)  # (B, 8, 8, 16)
        h, back_8 = self.up_4(h, a, time)
        h, back_norm = self.norm_out(h, silu=True)
        y, back_out = self.conv_out(h)  # (B, 8, 8, 1)

        def back(dy):
            dh, da, dtime_8 = back_8(back_norm(back_out(dy)))
            dh, db, dtime_7 = back_7(dh)
            dh, dc, dtime_5 = back_5(back_6(dh))
            dh, dd, dtime_4 = back_4(dh)
            dh, dtime_3 = back_3(dh)
            dh, dtime_1 = back_1(back_2(dh))
            dh, dtime_d = back_d(dh + dd)
            dh, dtime_b = back_b(back_c(dh + dc) + db)
            back_time(dtime_8 + dtime_7 + dtime_5 + dtime_4 + dtime_3 + dtime_1 + dtime_d + dtime_b)
            return back_in(dh + da)

        return y, back


net = UNet(rng=Rng(0))
rng = np.random.default_rng(15)
errors = gradcheck.check_layer(net, rng.standard_normal((2, 8, 8, 1)), np.array([3, 500]))
print(f"{net.size():,} parameters; {len(errors)} gradients checked, largest relative error {max(errors.values()):.0e}")

# %%
places = {  # name: (height of the image, channels, column, target of the skip connection)
    "conv_in": (8, 16, 0, "up_4"), "down_1": (8, 16, 1, "up_3"), "halve": (4, 16, 2, "up_2"), "down_2": (4, 32, 3, "up_1"),
    "middle_1\nattention\nmiddle_2": (4, 32, 4.2, None),
    "up_1": (4, 32, 5.4, None), "up_2": (4, 32, 6.4, None), "double": (8, 32, 7.4, None), "up_3": (8, 16, 8.4, None),
    "up_4": (8, 16, 9.4, None), "conv_out": (8, 1, 10.4, None),
}  # fmt: skip
figure = viz.new_figure(9.6, 3.1, "tight")
axes = figure.add_subplot()
level = {8: 1.0, 4: -0.9}
for number, (name, (size, channels, column, across)) in enumerate(places.items()):
    y, colour = level[size], viz.COLOURS[0 if number < 4 else 3 if number == 4 else 1]
    axes.text(column, y, f"{name}\n{size} x {size} x {channels}", ha="center", va="center", fontsize=8,
              bbox=dict(boxstyle="round", facecolor="white", edgecolor=colour, linewidth=1.6))  # fmt: skip
    if across:
        end, bend = places[across][2], -0.16 - 0.025 * number if size == 8 else -0.3
        axes.annotate("", (end, y + 0.3), (column, y + 0.3), arrowprops=dict(
            arrowstyle="->", color="grey", linestyle="--", connectionstyle=f"arc3,rad={bend}"))  # fmt: skip
axes.set(xlim=(-0.7, 11.1), ylim=(-1.6, 2.5))
axes.set_axis_off()
figure

# %% [markdown]
# The left half goes down and the right half goes up; the dashed arrows are the skip connections. How large is the receptive
# field? We repeat the first measurement, with an image of 16 x 16:

# %%
rng = np.random.default_rng(18)
big = rng.standard_normal((1, 16, 16, 1)).astype(np.float32)
h, back = net(big, 0)
dy = np.zeros_like(h)
dy[0, 8, 8, 0] = 1
views["the U-Net"] = np.abs(back(dy)[0, ..., 0])
print(f"the U-Net: receptive field of {(views['the U-Net'] > 0).sum()} of 256 pixels")
assert (views["the U-Net"] > 0).all()
figure = viz.new_figure(9.4, 2.6, "tight")
for axes, (name, view) in zip(figure.subplots(1, 4), views.items(), strict=True):
    axes.imshow(np.log10(view / view.max() + 1e-6), cmap="viridis", vmin=-4, vmax=0)
    axes.set(xticks=[], yticks=[], title=name)
figure

# %% [markdown]
# Bright pixels affect the output most; the scale is logarithmic. (Attention and GroupNorm look at the whole image at once. The
# small image in the middle makes this cheap.)
#
# ## Does it learn?
#
# We train the network for half a minute to predict the noise in real digits, and look at its samples. (Chapter 10 trains longer
# and gives the network the [class label](../docs/glossary.md#class-label). Its samples are clear.)

# %%
digits, _ = data.load("digits")  # 8 x 8 pixels, from -1 (black) to 1 (white)
held_out = data.load("digits", split="test")[0][: 10 if FAST else 360]
schedule, steps = Schedule.linear(1000), 10 if FAST else 450
objective = SimpleLoss(schedule, "eps")


def train(net):
    """Train on the same images and noise as every other network, and keep the EMA.   -> the loss of every step"""
    trainer = training.Trainer(net, objective, digits, steps=steps, batch_size=8 if FAST else 32, lr=3e-3,
                               warmup=10, ema_decay=0.98)  # fmt: skip
    loss = np.array(trainer.run(progress=False).loss)
    net.load_state(trainer.ema.state())
    return loss


def error(net, times=range(25, 1000, 475 if FAST else 50)):
    """Mean squared error of the noise on digits that no network was trained on, at each t."""
    errors = []
    for t in times:
        eps = Rng(5, step=t).standard_normal(held_out.shape)
        errors.append(((net.predict(schedule.add_noise(held_out, eps, t), t) - eps) ** 2).mean())
    return np.array(errors)


net = UNet(rng=Rng(0))  # a new network, so that the cell can run again
loss = train(net)
print(f"training loss {loss[:5].mean():.2f} -> {loss[-50:].mean():.3f}")
assert loss[-5:].mean() < loss[:5].mean()
count = 4 if FAST else 28
samples = sample("ddpm_respaced", objective.denoiser(net), (count, 8, 8, 1), steps=5 if FAST else 100, rng=1, clip=1.0)
viz.show_grid(samples, columns=14, title="Samples of the trained U-Net")

# %% [markdown]
# ## What does each part contribute?
#
# We remove one part, train again for equally long, and compare on held-out digits.

# %%
class Through(nn.Layer):
    """Replaces a removed part, and returns its input."""

    def forward(self, x):
        return x, lambda dy: dy


def without(part):
    net = UNet(rng=Rng(0))
    if part == "skip connections":
        for block in (net.up_1, net.up_2, net.up_3, net.up_4):
            block.bridge = 0.0
    if part == "attention":
        net.attention = Through()
    return net


times, results = range(25, 1000, 475 if FAST else 50), {"the whole U-Net": error(net)}
for part in ("skip connections", "attention"):
    lesser = without(part)
    train(lesser)
    results[f"without {part}"] = error(lesser)
for name, errors in results.items():
    print(f"{name:24} mean squared error {errors.mean():.4f}, at t = 25 {errors[0]:.3f}, at t = 975 {errors[-1]:.4f}")
mean = {name: errors.mean() / results["the whole U-Net"].mean() for name, errors in results.items()}
assert FAST or (mean["without skip connections"] > 1.1 and abs(mean["without attention"] - 1) < 0.05)

figure = viz.new_figure(9.4, 3.6, "tight")
left, right = figure.subplots(1, 2)
for (name, errors), colour in zip(results.items(), viz.COLOURS, strict=False):
    left.semilogy(times, errors, color=colour, label=name)
    right.plot(times, errors / results["the whole U-Net"], color=colour)
left.set(xlabel="timestep t", ylabel="mean squared error of the noise", title="Error on held-out digits")
left.legend(frameon=False, fontsize=9)
right.set(xlabel="timestep t", ylabel="error / error of the whole U-Net", title="Relative error", ylim=(0, None))
figure

# %% [markdown]
# **Without the skip connections** the mean error is a fifth larger. They help most in an unexpected place: at large $t$, where
# the image is nearly all noise and the right prediction is nearly a *copy* of it. Without skip connections, the small images in
# the middle have to learn to transmit a copy of 64 pixels. With them, the copy passes directly.
#
# **Without attention** the error does not change measurably. Textbooks rightly include attention for large images. But the
# smallest image here has 4 x 4 pixels, and the convolutions already see nearly all of them. And digits of 8 x 8 pixels have no
# distant parts that must match.
#
# ## What does each pixel attend to?
#
# Attention has learned something nevertheless. The figure shows the weights $w$ of the trained attention, for three digits with
# a little noise ($t = 100$). Each small image is one row of $w$: how much the marked pixel of the 4 x 4 image takes from each
# pixel. Pixels of the empty edge attend to all places alike; some of those in the middle attend to particular places.

# %%
xt = schedule.add_noise(digits[:3], Rng(3).standard_normal((3, 8, 8, 1)), 100)
time, _ = net.time(100, xt)
h = net.down_2.predict(net.halve.predict(net.down_1.predict(net.conv_in.predict(xt), time)), time)
h = net.attention.group_norm.predict(net.middle_1.predict(h, time).reshape(3, 16, 32))
q, k = net.attention.to_q.predict(h), net.attention.to_k.predict(h)
weights, _ = ops.softmax(q @ k.swapaxes(1, 2) * 32**-0.5)  # (3, 16, 16)
assert np.allclose(weights.sum(axis=2), 1, atol=1e-5)
asked = [0, 3, 5, 6, 9, 12, 15]
figure = viz.new_figure(9.4, 3.7, "tight")
grid = figure.subplots(3, 1 + len(asked))
for row in range(3):
    grid[row, 0].imshow(xt[row, ..., 0], cmap="gray", vmin=-1, vmax=1)
    for column, pixel in enumerate(asked):
        axes = grid[row, column + 1]
        axes.imshow(weights[row, pixel].reshape(4, 4), cmap="viridis", vmin=0, vmax=0.2)
        axes.plot(pixel % 4, pixel // 4, "o", color="white", markeredgecolor="black", markersize=5)
for axes in grid.flat:
    axes.set(xticks=[], yticks=[])
figure

# %% [markdown]
# ## The same with minidiff's U-Net
#
# minidiff's `models.UNet` is this network with more options: any number of sizes, attention at each, class labels. Its parts
# have the usual names of the field. The dictionary below maps the names of this chapter to them, so that the library's network
# can load the trained weights:

# %%
field_names = {
    "conv_in": "conv_in", "conv_out": "conv_out", "norm_out": "conv_norm_out",
    "time_1": "time_embedding.linear_1", "time_2": "time_embedding.linear_2",
    "down_1": "down_blocks.0.resnets.0", "halve": "down_blocks.0.downsamplers.0.conv", "down_2": "down_blocks.1.resnets.0",
    "middle_1": "mid_block.resnets.0", "attention": "mid_block.attentions.0", "middle_2": "mid_block.resnets.1",
    "up_1": "up_blocks.0.resnets.0", "up_2": "up_blocks.0.resnets.1", "double": "up_blocks.0.upsamplers.0",
    "up_3": "up_blocks.1.resnets.0", "up_4": "up_blocks.1.resnets.1",
}  # fmt: skip
library = models.UNet(in_channels=1, out_channels=1, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8,
                      down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2,
                      attention_head_dim=None, rng=0)  # fmt: skip
state = {}
for name, value in net.state().items():
    part, _, rest = name.partition(".")
    state[f"{field_names[part]}.{rest}"] = value
library.load_state(state)  # raises an error if a name or a shape does not fit

x, t = Rng(4).standard_normal((5, 8, 8, 1)), np.array([0, 10, 200, 600, 999])
(ours, back), (theirs, their_back) = net(x, t), library(x, t)
dx, their_dx = back(ours), their_back(theirs)
print(f"the outputs differ by at most {np.abs(ours - theirs).max():.0e}, gradients by {np.abs(dx - their_dx).max():.0e}")
assert np.allclose(ours, theirs, atol=1e-5) and np.allclose(dx, their_dx, atol=1e-5)

# %% [markdown]
# ## Exercises
#
# Complete each function and run its cell. The lines below the function test it. They print "right", or what is probably wrong.
# Each exercise has two folded hints, a small one and a bigger one.
#
# **Exercise 1.** Another way to downsample is the mean of each 2 x 2 block. Write it with its backward pass.
#
# <details><summary>Hint</summary>
#
# Find a shape in which the two rows and the two columns of a block are separate axes.
# </details>
# <details><summary>Bigger hint</summary>
#
# `reshape` to (B, H / 2, 2, W / 2, 2, C) has these axes. All four pixels have the same share in the mean, so they get the same
# share of `dy`; `repeat` copies it to the four places.
# </details>

# %%
def mean_pool(x):
    ...  # x (B, H, W, C), H and W even; return y, back


rng = np.random.default_rng(28)
if grading.answered(mean_pool, rng.standard_normal((1, 2, 2, 1))):
    mistakes.find(mean_pool, "06.mean_pool")
    gradcheck.check(mean_pool, rng.standard_normal((2, 4, 6, 3)))
    print("exercise 1: right")

# %% [markdown]
# **Exercise 2.** How many pixels to one side does an output pixel see through 3 x 3 convolutions with these strides?
#
# <details><summary>Hint</summary>
#
# A convolution adds one pixel *of its input's size*. How large is such a pixel, in pixels of the first input?
# </details>
# <details><summary>Bigger hint</summary>
#
# Go through the list with two numbers: the reach so far, and the size of a pixel. A stride makes the pixels larger for the
# convolutions after it, but not for the convolution that has the stride.
# </details>

# %%
def reach(strides):
    ...  # [1, 1, 2, 1] -> 1 + 1 + 1 + 2 = 5


if grading.answered(reach, [1]):
    mistakes.find(reach, "06.reach")
    print("exercise 2: right")

# %% [markdown]
# **Exercise 3.** Write attention with several *heads*: split the features into equal parts, apply attention to each part
# separately, and concatenate the results. Only the forward pass is needed.
#
# <details><summary>Hint</summary>
#
# `np.split` splits an array into equal parts along an axis. Each head is one call of `attention`.
# </details>
# <details><summary>Bigger hint</summary>
#
# Split q, k and v along the last axis, and go through the three lists of parts together. `attention` returns two things, and
# you need the first.
# </details>

# %%
def many_heads(q, k, v, heads):
    ...  # (B, N, D) each -> (B, N, D)


if grading.answered(many_heads, *qkv, 2):
    mistakes.find(many_heads, "06.many_heads")
    print("exercise 3: right")

# %% [markdown]
# **Exercise 4.** For an image of N pixels, attention computes N x N weights. How many gigabytes do they take, in float32, for
# one head and one image of `size` x `size` pixels?
#
# <details><summary>Hint</summary>
#
# First count the pixels, then the weights, then their bytes.
# </details>
# <details><summary>Bigger hint</summary>
#
# A float32 has 4 bytes; a gigabyte here is $10^9$ bytes. Doubling `size` multiplies the number of weights by sixteen.
# </details>

# %%
def gigabytes(size):
    ...  # return a number


if grading.answered(gigabytes, 8):
    mistakes.find(gigabytes, "06.gigabytes")
    print(f"exercise 4: right; at 512 x 512 pixels it would be {gigabytes(512):.0f} GB, so only small images get attention")

# %% [markdown]
# ### Build it: a U-Net of any depth
#
# Now build the network in three steps: a skip connection, a U-Net of two levels, and a U-Net of any number of levels with a
# time embedding. The layers are given as functions that return `y, back`. Each exercise can pass without the others.
#
# **Exercise 5.** Concatenate `x` and `skip` along the channels, `x` first. Halving an odd height and doubling the result gives
# one row too many, and likewise for the width. So `x` may have one row or one column more than `skip`: remove the last one.
#
# <details><summary>Hint</summary>
#
# `back` splits `dy` where the forward pass concatenated the arrays. Which shape must `dx` have?
# </details>
# <details><summary>Bigger hint</summary>
#
# Removed pixels do not affect $y$, so their gradient is 0. Start from zeros of `x`'s shape and fill in the part that was used.
# </details>

# %%
def beside(x, skip):
    ...  # x (B, H or H + 1, W or W + 1, C)   skip (B, H, W, S)   -> (B, H, W, C + S), back   with back(dy) -> dx, dskip


rng = np.random.default_rng(34)
if grading.answered(beside, np.ones((1, 1, 1, 1)), np.ones((1, 1, 1, 1))):
    mistakes.find(beside, "06.beside")
    gradcheck.check(beside, rng.standard_normal((2, 3, 4, 2)), rng.standard_normal((2, 3, 4, 1)))
    print("exercise 5: right")

# %% [markdown]
# **Exercise 6.** Write a U-Net of two levels. `enter` makes an image $a$ from the input. One path goes down and up: `halve`,
# `middle`, `double`. The other is a skip connection. `leave` gets both, concatenated along the channels, with the image from
# below first. Each layer takes one array and returns `y, back`.
#
# <details><summary>Hint</summary>
#
# Draw the five layers as boxes, with an arrow for each array. Then reverse every arrow: where two arrows left a box, two
# gradients now arrive.
# </details>
# <details><summary>Bigger hint</summary>
#
# `back` of `leave` returns one gradient for both images; split it at the number of channels that came from below. $a$ was used
# twice, so its two gradients are added **before** they go back through `enter`.
# </details>

# %%
def two_levels(x, enter, halve, middle, double, leave):
    ...  # return y, back   with back(dy) -> dx


layer = nn.SiLU()
if grading.answered(two_levels, np.ones((1, 1, 1, 1)), layer, layer, layer, layer, layer):
    mistakes.find(two_levels, "06.two_levels")
    print("exercise 6: right")

# %% [markdown]
# **Exercise 7.** Write a U-Net with any number of levels and with a time embedding. `downs` is a list of `(block, halve)`, from
# the largest image to the smallest, and `ups` is a list of `(double, block)`, from the smallest to the largest. Blocks and
# `middle` are called as `block(h, time)` and return `y, back` with `back(dy) -> dh, dtime`; `halve` and `double` take one
# array.
#
# The skip connection carries the output of a block on the way down, before it is halved. On the way up the image is doubled
# first, then concatenated with the skip, and then passed to the block. `back(dy)` returns `dx, dtime`.
#
# <details><summary>Hint</summary>
#
# On the way down, append the skips to a list. Which end of the list does the first block of the way up need? And in which order
# does `back` compute the gradients of the skips?
# </details>
# <details><summary>Bigger hint</summary>
#
# `skips.pop()` takes the last one. For `back` keep, at each level up, the two backward functions and the number of channels
# from below. `back` goes through the levels up in reverse order and appends the gradient of each skip to a list. The levels
# down, in reverse order, take these gradients with `pop`. The gradient of the time embedding is a sum over all blocks.
# </details>

# %%
def u_net(x, time, downs, middle, ups):
    ...  # x (B, H, W, C)   time (B, D)   -> y, back   with back(dy) -> dx, dtime


small, time = np.ones((1, 2, 2, 8), np.float32), np.ones((1, 64), np.float32)
if grading.answered(u_net, small, time, [], Block(8, 8, rng=0), []):
    mistakes.find(u_net, "06.u_net")
    print("exercise 7: right")

# %% [markdown]
# The answers are in [docs/answers/06.py](../docs/answers/06.py), together with the hidden tests for graded assignments.
