# %% [markdown]
# # 5. Telling the network the time
#
# One network has to denoise images at every noise level, from almost clean to pure noise. Therefore it gets a second input
# besides the noisy image $x_t$: the timestep $t$. This chapter builds everything between the number $t$ and the layers that use
# it, forward and backward, by hand. Then it measures whether the network needs $t$ at all.
#
# {{install}}
# The code below needs neither the internet nor a GPU.
#
# **What you should know already.** A noisy image is $x_t = \alpha_t x_0 + \sigma_t \epsilon$, with the clean image $x_0$,
# standard normal noise $\epsilon$, and $t$ from 0 (nearly clean) to 999 (nearly pure noise). The network is trained to predict
# $\epsilon$ (chapters 3 and 4). A function returns its result and its backward pass, `y, back = f(x)`; `gradcheck.check`
# compares `back` with the slope of `f` (chapter 1). ($\alpha_t$ is chapter 3's $\sqrt{\bar\alpha_t}$: see
# [chapter 3's table of symbols](03_adding_noise.ipynb).)

# %%
import copy
import os

import numpy as np

from minidiff import data, gradcheck, grading, mistakes, models, nn, ops, sample, training, viz
from minidiff.diffusion import Denoiser, Schedule, SimpleLoss
from minidiff.models.conditioning import TimestepEmbedding
from minidiff.models.resnet import ResnetBlock2D
from minidiff.rng import Rng

FAST = bool(os.environ.get("MINIDIFF_FAST"))  # the tests set this: everything runs, with smaller numbers
rng = np.random.default_rng(0)
schedule = Schedule.linear(1000)
digits, _ = data.load("digits")
held_out = data.load("digits", split="test")[0][: 10 if FAST else 120]  # no network in this chapter trains on these

# %% [markdown]
# ## Why not use the number $t$ as it is?
#
# One number from 0 to 999 is a poor input. It is large, and a linear layer can only compute a linear function of it. We want
# *many* numbers between -1 and 1 that differ for any two timesteps, near or far. The
# [transformer](../docs/glossary.md#transformer) has the same problem with positions in a sentence (Vaswani et al., 2017). It
# solves it with a **sinusoidal embedding**, sines and cosines of several frequencies. They work like the hands of a clock: one
# hand turns fast, the next more slowly, and the slowest shows only the rough time. Each hand gives a cosine and a sine. With
# $h$ hands, half of the wanted number of values, and $i = 0 \dots h-1$:
#
# $$\text{angle}_i = t \cdot 10000^{-i/h}, \qquad \text{the values are } \cos(\text{angle}_i) \text{ and }
# \sin(\text{angle}_i).$$

# %%
def sinusoids(t, dim):
    """Clock hands of a timestep.   t (B,)   ->   (B, dim), cosines first"""
    half = dim // 2
    angle = t[:, None] * 10000.0 ** (-np.arange(half) / half)  # (B, half)
    return np.concatenate([np.cos(angle), np.sin(angle)], axis=1)


every_t = np.arange(1000)
hands = sinusoids(every_t, 32)
theirs = ops.timestep_embedding(every_t, 32, flip_sin_to_cos=True, downscale_freq_shift=0.0, dtype=np.float64)
print(f"these embeddings and minidiff's differ by at most {np.abs(hands - theirs).max():.0e}")
assert np.abs(hands - theirs).max() < 1e-9

alike = hands @ hands[500] / 16  # 1 where all hands agree
for away in (1, 10, 30, 100, 400):
    print(f"similarity to t = 500, {away:3} steps away: {alike[[500 - away, 500 + away]].mean():.2f}")
turned = 999 * 10000.0 ** (-np.arange(16) / 16) / (2 * np.pi)  # full turns from t = 0 to t = 999
print(f"from t = 0 to 999, {(turned > 1).sum()} of 16 hands make more than one turn, "
      f"{(turned < 0.1).sum()} less than a tenth of a turn")  # fmt: skip
closest = (hands @ hands.T / 16 - 2 * np.eye(1000)).max()
print(f"similarity of any two different timesteps: at most {closest:.3f}")
assert closest < 0.97

figure = viz.new_figure(9.4, 3.7, "tight")
left, right = figure.subplots(1, 2)
left.imshow(hands.T, aspect="auto", cmap="RdBu", vmin=-1, vmax=1, interpolation="nearest")
left.axhline(15.5, color="black", linewidth=0.8)
left.set(xlabel="timestep t", ylabel="index of the value", title="Embedding: 16 cosines, then 16 sines")
right.plot(every_t, alike, color=viz.COLOURS[0])
right.set(xlabel="timestep t", ylabel="similarity", title="Similarity of each timestep to t = 500")
figure

# %% [markdown]
# The fast hands (top of each half) distinguish 500 from 501; the slow ones distinguish 500 from 900. The similarity is the
# scalar product of two embeddings divided by $h$, so it is 1 where all hands agree. It falls within the first ten steps. Then
# it rises and falls again, because the fast hands come round again and the slowest have hardly moved. So the similarity does
# not measure the distance of two timesteps, and it does not need to. It is enough that no two timesteps share all their
# numbers; a layer learns which hands to use.
#
# **A trap for later.** The code of the first diffusion model divides by $h - 1$ where we divide by $h$, and puts the sines
# first. Most later code uses the convention of this chapter. Both work, but the four combinations give *different numbers for
# the same timestep*.

# %%
conventions = {
    "cosines first, i / h": dict(flip_sin_to_cos=True, downscale_freq_shift=0.0),  # here and in Stable Diffusion
    "cosines first, i / (h - 1)": dict(flip_sin_to_cos=True, downscale_freq_shift=1.0),
    "sines first, i / h": dict(flip_sin_to_cos=False, downscale_freq_shift=0.0),
    "sines first, i / (h - 1)": dict(flip_sin_to_cos=False, downscale_freq_shift=1.0),  # the first DDPM code
}
for name, options in conventions.items():
    other = ops.timestep_embedding(np.array([500]), 32, dtype=np.float64, **options)[0]
    print(f"{name:28} differs from this chapter's convention at t = 500 by up to {np.abs(other - hands[500]).max():.2f}")

# %% [markdown]
# ## How does $t$ get into a U-Net, in code?
#
# In short: **a sinusoidal embedding and a small MLP make one vector. Every block projects this vector with a separate linear
# layer and adds it after its first convolution.** A *[U-Net](../docs/glossary.md#u-net)* is the usual network for images. It
# halves the image several times, doubles it again, and concatenates features of the way down with those of the same size on the
# way up ([chapter 6](06_the_unet.ipynb) builds it). A *block* is a pair of convolutions in it. The figure shows the network
# that this chapter trains below, and where the timestep enters:

# %%
blocks = {1: (1, 8), 2: (3, 4), 3: (4.2, 4), 4: (5.4, 4), 5: (6.6, 4), 6: (7.6, 4), 7: (9.6, 8), 8: (10.6, 8)}
others = {"conv_in": (0, 8), "halve": (2, 4), "double": (8.6, 8), "conv_out": (11.6, 8)}
level = {8: 0.0, 4: -2.0}  # heights in the figure, by the size of the image
figure = viz.new_figure(9.6, 3.9, "tight")
axes = figure.add_subplot()


def box(column, height, text, colour):
    axes.text(column, height, text, ha="center", va="center", fontsize=8,
              bbox=dict(boxstyle="round", facecolor="white", edgecolor=colour, linewidth=1.6))  # fmt: skip


def arrow(start, end, **style):
    axes.annotate("", end, start, arrowprops=dict(arrowstyle="->", **style))


for column, text in ((0, "t"), (2, "sinusoids\n32 numbers"), (4.8, "MLP\nlinear, SiLU, linear"), (8, "time embedding")):
    box(column, 2.2, text, viz.COLOURS[3])
for start, end in ((0.2, 1.25), (2.75, 3.65), (5.95, 6.75)):
    arrow((start, 2.2), (end, 2.2), color=viz.COLOURS[3])
axes.plot([1, 10.6], [1.35, 1.35], color=viz.COLOURS[3], linewidth=1.6)
axes.plot([8, 8], [1.35, 1.95], color=viz.COLOURS[3], linewidth=1.6)
axes.text(5.8, 1.47, "each block has its own projection", fontsize=8, ha="center", color=viz.COLOURS[3])
for number, (column, size) in blocks.items():
    arrow((column, 1.35), (column, level[size] + 0.32), color=viz.COLOURS[3])
    box(column, level[size], f"block\n{number}", viz.COLOURS[0])
for name, (column, size) in others.items():
    box(column, level[size], name, "grey")
path = sorted([*blocks.values(), *others.values()])
for (a, size_a), (b, size_b) in zip(path, path[1:], strict=False):
    arrow((a + 0.42, level[size_a]), (b - 0.42, level[size_b]), color="black", linewidth=0.7)
for start, end, bend in ((0, 10.6, 0.12), (1, 9.6, 0.05), (2, 7.6, 0.28), (3, 6.6, 0.25)):
    height = level[8 if end > 8 else 4] - 0.3
    arrow((start, height), (end, height), color="grey", linestyle="--", connectionstyle=f"arc3,rad={bend}")
axes.set(xlim=(-0.8, 12.3), ylim=(-3.5, 2.5))
axes.set_axis_off()
figure

# %% [markdown]
# The dashed arrows are the concatenations. The MLP, two linear layers with a SiLU between them, computes from the sinusoids the
# **time embedding**, the vector that the blocks use. Its backward pass calls the backward functions of its layers in reverse
# order:

# %%
def time_mlp(hands, w1, b1, w2, b2):
    h, back_1 = ops.linear(hands, w1, b1)
    h, back_silu = ops.silu(h)
    y, back_2 = ops.linear(h, w2, b2)

    def back(dy):
        dh, dw2, db2 = back_2(dy)
        dhands, dw1, db1 = back_1(back_silu(dh))
        return dhands, dw1, db1, dw2, db2

    return y, back


library_mlp = TimestepEmbedding(32, 64, rng=0).astype(np.float64)
arrays = [hands[[3, 500]], *(p.value for p in library_mlp.parameters().values())]
print(f"largest relative error of a gradient: {max(gradcheck.check(time_mlp, *arrays).values()):.0e}")
temb, _ = time_mlp(*arrays)  # (2, 64): one vector for each image of the batch
assert np.allclose(temb, library_mlp.predict(arrays[0]))

# %% [markdown]
# Next comes the block. Its linear layer, the *projection*, maps the time embedding to one number per channel, and this number
# is added at every pixel. In the backward pass, a number that was added at every pixel gets the **sum over the pixels**.

# %%
def timed_block(x, temb, gamma1, beta1, w1, b1, wt, bt, gamma2, beta2, w2, b2, groups=4):
    """x + conv(SiLU(norm( conv(SiLU(norm(x))) + time ))).   x (B, H, W, C)   temb (B, D)   ->   (B, H, W, C)"""
    h, back_norm1 = ops.group_norm_silu(x, gamma1, beta1, groups)
    h, back_conv1 = ops.conv2d(h, w1, b1, padding=1)
    a, back_silu = ops.silu(temb)
    time, back_time = ops.linear(a, wt, bt)  # (B, C)
    h, back_norm2 = ops.group_norm_silu(h + time[:, None, None, :], gamma2, beta2, groups)
    h, back_conv2 = ops.conv2d(h, w2, b2, padding=1)

    def back(dy):
        dh, dw2, db2 = back_conv2(dy)
        dh, dgamma2, dbeta2 = back_norm2(dh)
        da, dwt, dbt = back_time(dh.sum(axis=(1, 2)))  # added at every pixel
        dh, dw1, db1 = back_conv1(dh)
        dx, dgamma1, dbeta1 = back_norm1(dh)
        return dx + dy, back_silu(da), dgamma1, dbeta1, dw1, db1, dwt, dbt, dgamma2, dbeta2, dw2, db2  # x: used twice

    return x + h, back


library_block = ResnetBlock2D(8, 8, temb_channels=64, groups=4, rng=1).astype(np.float64)
weights = [p.value for p in library_block.parameters().values()]
rng = np.random.default_rng(9)
x = rng.standard_normal((2, 5, 5, 8))
print(f"largest relative error of a gradient: {max(gradcheck.check(timed_block, x, temb, *weights).values()):.0e}")

# %% [markdown]
# The block equals the library's block to the last digit, and so do its gradients:

# %%
y, back = timed_block(x, temb, *weights)
library_block.zero_grad()  # gradients accumulate: a second run of the cell would count twice
their_y, their_back = library_block(x, temb)
rng = np.random.default_rng(11)
dy = rng.standard_normal(y.shape)
(dx, dtemb, *dweights), (their_dx, their_dtemb) = back(dy), their_back(dy)
assert np.allclose(y, their_y) and np.allclose(dx, their_dx) and np.allclose(dtemb, their_dtemb)
assert all(np.allclose(d, p.grad) for d, p in zip(dweights, library_block.parameters().values(), strict=True))
print(f"output and gradients of the input, the time embedding and {len(weights)} parameters: equal to minidiff's")

# %% [markdown]
# One detail can cost days. A GroupNorm follows the addition, and it subtracts the mean of each group of channels. If every
# channel were a separate group, it would subtract exactly what was added. **The timestep would have no effect**, and no error
# would be raised:

# %%
for groups in (4, 8):
    early, late = (timed_block(x[:1], temb[[k]], *weights, groups=groups)[0] for k in (0, 1))  # t = 3 and t = 500
    print(f"8 channels in {groups} groups: the outputs for t = 3 and t = 500 differ by up to {np.abs(early - late).max():.1e}")
assert np.abs(early - late).max() < 1e-12  # the last case, one group per channel

# %% [markdown]
# ## What if the network does not get $t$?
#
# A common answer is that training would collapse. Let us test it. We train a small U-Net with eight blocks twice, equally long,
# on the same images with the same noise. The first network is complete; the second has zeros in place of every block's time
# projection. (Later, the same method removes the timestep from only *some* of the blocks.) In the figures, "given t" is
# the first network and "without t" the second.
#
# A single pair of networks shows the method, but its numbers are partly chance. `minidiff study time` trains each network of
# this chapter longer and with three seeds, so the claims below are those of
# [its tables](../docs/studies.md#what-if-the-network-does-not-get-t). ± is a standard error over the three seeds.

# %%
class Mute(nn.Layer):
    """Zeros in place of a block's time projection."""

    def __init__(self, channels):
        self.channels = channels

    def forward(self, temb):
        return np.zeros((len(temb), self.channels), temb.dtype), lambda dtime: np.zeros_like(temb)


def unet(timed="all"):
    """A small U-Net; timed: the numbers of the blocks that get the timestep, in the order of use, or "all"."""
    net = models.UNet(in_channels=1, out_channels=1, block_out_channels=(16, 16), layers_per_block=1, norm_num_groups=4,
                      down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2, add_attention=False,
                      rng=0)  # fmt: skip
    stages = [*net.down_blocks, net.mid_block, *net.up_blocks]
    blocks = [block for stage in stages for block in stage.resnets]
    for number, block in enumerate(blocks):
        if timed != "all" and number not in timed:
            block.time_emb_proj = Mute(16)
    return net


steps = 10 if FAST else 300


def train(model, predicts="eps"):
    """Train on the same images and noise as every other network.   -> the model, the loss of every step"""
    trainer = training.Trainer(model, SimpleLoss(schedule, predicts), digits, steps=steps, batch_size=16, lr=3e-3, warmup=10,
                               ema_decay=None)  # fmt: skip
    return model, np.array(trainer.run(progress=False).loss)


(given, given_loss), (without, without_loss) = train(unet()), train(unet(timed=()))
late = slice(-steps // 4, None)
print(f"mean loss of the last quarter: given t {given_loss[late].mean():.3f}, without t {without_loss[late].mean():.3f}")
assert FAST or 0.9 < without_loss[late].mean() / given_loss[late].mean() < 1.25

# %% [markdown]
# Training does not collapse: without $t$ the loss falls nearly as far. Where is the difference? We test both networks on
# held-out digits, at several timesteps, with the same noise for both:

# %%
times = np.array([0, 20, 50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 999])[:: 3 if FAST else 1]


def error_by_t(model, t_for=lambda xt, t: t):
    """Mean squared error of the noise on held-out digits. t_for(xt, t): the t that the model gets.   -> (times,)"""
    errors = []
    for t in times:
        eps = Rng(5, step=int(t)).standard_normal(held_out.shape)
        xt = schedule.add_noise(held_out, eps, int(t))
        errors.append(((model.predict(xt, t_for(xt, int(t))) - eps) ** 2).mean())
    return np.array(errors)


with_t, without_t = error_by_t(given), error_by_t(without)
for t, a, b in zip(times, with_t, without_t, strict=True):
    print(f"t = {t:3}   error given t {a:.4f}   without t {b:.4f}   ratio {b / a:.2f}")

figure = viz.new_figure(9.4, 3.7, "tight")
left, right = figure.subplots(1, 2)
width = max(1, steps // 20)
for number, (name, loss) in enumerate({"given t": given_loss, "without t": without_loss}.items()):
    smooth = np.convolve(loss, np.ones(width) / width, mode="valid")
    left.semilogy(np.arange(len(smooth)) + width, smooth, color=viz.COLOURS[number], label=name)
left.set(xlabel="training step", ylabel="loss", title=f"Training loss, mean of {width} steps")
left.set_yticks([0.1, 0.2, 0.5, 1], ["0.1", "0.2", "0.5", "1"])
left.minorticks_off()
left.legend(frameon=False)
right.plot(times, without_t / with_t, "o-", color=viz.COLOURS[1])
right.axhline(1, color="grey", linewidth=0.8)
right.set(xlabel="timestep t", ylabel="error without t / error given t", title="Ratio of the errors", ylim=(0, None))
figure

# %% [markdown]
# With three seeds the mean error without $t$ is 1.089 ± 0.002 times that with $t$. The largest relative difference is at large
# $t$: at $t \geq 600$ the error is 2.55 ± 0.11 times as large, at $t = 0$ only 1.04 times. At large $t$ the image is nearly all
# noise, so the right prediction is nearly $x_t$ itself. A network that is not sure of this has a mean squared error of about
# 0.01, so a predicted value is off by about 0.1. This is little, but several times the error that is possible.
#
# ## How can it work without $t$?
#
# The network can **estimate much of the noise level from the image**. How well? We train a small network to predict $t$ from
# $x_t$. Then we give the network *with* $t$ this estimate in place of the true timestep. For comparison we also give it
# $t = 500$ always: this is the cost if the image contained no information about $t$.

# %%
def guess_loss(net, x0, rng, cond):
    """Mean squared error of t / 1000, estimated from x_t."""
    t = rng.integers(0, 1000, size=len(x0))
    xt = schedule.add_noise(x0, rng.standard_normal(x0.shape, dtype=x0.dtype), t)
    guess, back_net = net(xt, 0)
    error = guess[:, 0] - (t / 1000).astype(x0.dtype)

    def back():
        back_net((2 / len(x0) * error)[:, None])

    return (error**2).mean(), back


guesser = models.MLP(features=64, out_features=1, width=64, depth=2, rng=0)
pixels = digits.reshape(-1, 64)
training.Trainer(guesser, guess_loss, pixels, steps=50 if FAST else 800, batch_size=128, lr=2e-3).run(progress=False)


def guessed_t(xt, t=None):
    """The guesser's estimates of t.   xt (B, 8, 8, 1)   ->   (B,), real numbers from 0 to 999"""
    return (1000 * guesser.predict(xt.reshape(-1, 64), 0)[:, 0]).clip(0, 999).astype(np.float64)


with_guess, always_500 = error_by_t(given, guessed_t), error_by_t(given, lambda xt, t: 500)
recovered = {name: (always_500 - error).mean() / (always_500 - with_t).mean()
             for name, error in (("the estimate", with_guess), ("the network without t", without_t))}  # fmt: skip
off = []
for t in times:
    xt = schedule.add_noise(held_out, Rng(6, step=int(t)).standard_normal(held_out.shape), int(t))
    off.append(np.abs(guessed_t(xt) - t).mean())
by_t = ", ".join(f"{o:.0f} at t = {t}" for t, o in zip(times[::2], off[::2], strict=True))
print("mean absolute error of the estimated t:", by_t)
print(f"error of the noise, mean over these t: given t {with_t.mean():.3f}, given the estimate {with_guess.mean():.3f}, "
      f"without t {without_t.mean():.3f}, always given 500 {always_500.mean():.3f}")  # fmt: skip
shares = ", ".join(f"{share:.0%} by {name}" for name, share in recovered.items())
print("share of the cost of the constant 500 that is recovered:", shares)

figure = viz.new_figure(9.4, 3.7, "tight")
left, right = figure.subplots(1, 2)
left.plot(times, off, "o-", color=viz.COLOURS[2])
left.set(xlabel="timestep t", ylabel="mean absolute error of t", title="Timestep estimated from the image", ylim=(0, None))
curves = {"always given 500": always_500, "given the estimate": with_guess, "without t": without_t, "given t": with_t}
for (name, error), colour in zip(curves.items(), (7, 2, 1, 0), strict=True):
    right.semilogy(times, error, "o-", color=viz.COLOURS[colour], label=name, markersize=4)
right.set(xlabel="timestep t", ylabel="mean squared error", title="Error of the predicted noise")
right.legend(frameon=False)
figure

# %% [markdown]
# The estimate is never exact. In the study its mean error is 17 ± 1 of 1000 at $t = 100$, 66 ± 4 at $t = 0$, 130 ± 4 at
# $t = 500$ and 249 ± 2 at $t = 990$. At the noisy end it is largest, because nearly pure noise hardly differs from pure noise.
#
# Over three seeds the mean error is 1.094 ± 0.008 times that with $t$ for the estimate, 1.089 ± 0.002 times without $t$, and
# 1.982 ± 0.002 times with 500 always. So **nine tenths of the value of $t$ can be recovered from the image**. On average it
# makes no difference whether a separate network estimates $t$ or the denoising network does without it. But the two fail in
# different places. At $t = 400$ the network without $t$ is better (1.29 ± 0.03 times the error with $t$, against 1.43 ± 0.03
# for the estimate). At $t \geq 600$ the estimate is better (1.58 ± 0.02 against 2.55 ± 0.11).
#
# ## And what do the samples look like?
#
# A slightly larger loss sounds harmless. But sampling calls the network dozens of times, and each error affects all later
# steps. So let us draw samples from the same noise, with [DDPM](../docs/glossary.md#ddpm) and with
# [DDIM](../docs/glossary.md#ddim) (chapters 7 and 8).
#
# We also vary what the network predicts (chapter 4). Besides $\epsilon$ we train both networks to predict
# $v = \alpha_t \epsilon - \sigma_t x_0$.
#
# The two [samplers](../docs/glossary.md#sampler) in brief: DDPM ([chapter 7](07_ddpm.ipynb)) takes a step to a lower noise
# level and adds a little fresh noise. DDIM ([chapter 8](08_skipping_steps.ipynb)) mixes its predictions of image and noise
# again, at the lower level.
#
# In the [playground](../docs/playground.md) you can hold the time input of a trained model at one value and see which samples
# come out (`minidiff playground --chapter 05`). As measured above, this harms a model more than to train it without $t$.

# %%
nets = {("given t", "eps"): given, ("without t", "eps"): without}
nets["given t", "v"], nets["without t", "v"] = (train(unet(timed=blocks), "v")[0] for blocks in ("all", ()))
walk = 2 if FAST else 40
noise, drawn = Rng(1).standard_normal((16, 8, 8, 1)), {}
for (name, predicts), model in nets.items():
    for label, sampler in (("DDPM", "ddpm_respaced"), ("DDIM", "ddim")):
        denoiser = Denoiser(model, schedule, predicts)
        drawn[f"{name}, {predicts}, {label}"] = sample(sampler, denoiser, noise.shape, steps=walk, x=noise, rng=2)

figure = viz.new_figure(10.0, 4.25)
axes = figure.add_axes((0.175, 0.01, 0.82, 0.98))
axes.imshow(viz.image_grid(np.concatenate(list(drawn.values())), columns=16)[..., 0], cmap="gray", vmin=0, vmax=255)
axes.set_yticks(4.5 + 9 * np.arange(len(drawn)), list(drawn))
axes.set_xticks([])
axes.tick_params(length=0)
axes.spines[:].set_visible(False)
figure

# %% [markdown]
# Here is the collapse, for one of the two targets. **A network that predicts $\epsilon$ without $t$ draws badly**, worst with
# DDIM, although its loss was hardly higher. The study measures the [Fréchet distance](../docs/glossary.md#fréchet-distance) to
# real digits (lower is better; chapter 14 explains it). With DDIM it is 62 ± 8 without $t$ and 35 ± 2 with $t$; with DDPM, 47 ±
# 2 without and 37 ± 2 with. The cause is the division in $\hat x_0 = (x_t - \sigma_t\hat\epsilon) / \alpha_t$, the predicted
# image. At the start of sampling $\alpha_t$ is below 0.01, so an error of 0.1 in $\hat\epsilon$ becomes an error of more than
# ten in the image, and sampling starts in a wrong direction. The fresh noise of DDPM hides a part of this error. (With DDIM a
# few samples fail even with $t$. The cause is the same division, with a network that was trained for seconds.)
#
# **For a network that predicts $v$, the difference is within the spread**: with DDIM 39 ± 2 without $t$ and 37 ± 3 with $t$,
# with DDPM 47 ± 3 without and 42 ± 3 with. Its prediction of the noise is $\hat\epsilon = \sigma_t x_t + \alpha_t \hat v$. The
# formula itself contains "nearly $x_t$", and the formula does know $t$. The network's errors are multiplied by the small
# $\alpha_t$, not divided by it.
#
# ## Why does every block get $t$?
#
# The usual answer is that layers work at different scales, and each needs the timestep. The study tests this with the same
# network, which gets $t$ in its first block only or in all eight. Can the timestep affect the output from the first block at
# all?

# %%
xt = schedule.add_noise(held_out, Rng(7).standard_normal(held_out.shape), 700)
for name, blocks in {"no block": (), "the first block": (0,), "all eight blocks": "all"}.items():
    net = unet(timed=blocks)  # untrained: can t affect the output?
    apart = np.abs(net.predict(xt, 700) - net.predict(xt, 100)).max()
    print(f"t given to {name:16}  the outputs for t = 700 and t = 100 differ by up to {apart:.3f}")
    assert (apart == 0) == (name == "no block")

# %% [markdown]
# It can: every block adds to its input, so what the first block adds reaches all later blocks. Over three training seeds, the
# network with $t$ in its first block has an error 1.009 ± 0.003 times that of the network with $t$ in all eight, and 1.09 ±
# 0.02 times at $t \geq 600$, where the network without $t$ has 2.55 times. So for this network **one block is nearly enough**.
# The other seven help a little at large $t$, for the price of one small linear layer each. (This network has only two image
# sizes, 8 and 4. A large network with more scales may gain more from it.)
#
# ## Does the network know $\alpha_t$? Give it the noise level instead
#
# The network only receives the number $t$, so another label of the noise level may work as well. Take the *log-SNR*,
# $\lambda_t = \log(\alpha_t^2/\sigma_t^2)$, the logarithm of the signal-to-noise ratio, rescaled to run from 0 to 999:

# %%
top, bottom = schedule.log_snr(0), schedule.log_snr(999)


class TellLogSNR(nn.Layer):
    """A network that gets the log-SNR of a schedule in place of t."""

    def __init__(self, net, schedule):
        self.net, self.schedule = net, schedule

    def label(self, t):
        return (999 * (top - self.schedule.log_snr(t)) / (top - bottom)).clip(0, 999)

    def forward(self, x, t, cond=None):
        return self.net(x, self.label(np.full(len(x), t) if np.ndim(t) == 0 else t))


cosine = Schedule.cosine(1000)
by_snr, by_snr_cosine = TellLogSNR(unet(), schedule), TellLogSNR(unet(), cosine)
for t in (100, 500, 900):
    same = schedule.t_of_log_snr(cosine.log_snr(t))  # the linear schedule's t of the same noise level
    labels = by_snr.label(np.array([same]))[0], by_snr_cosine.label(np.array([t]))[0]
    print(f"t = {t} of the cosine schedule has the noise level of t = {same:.1f} of the linear one; "
          f"their labels are {labels[1]:.2f} and {labels[0]:.2f}")  # fmt: skip
    assert np.isclose(*labels)
xt = schedule.add_noise(held_out[:2], Rng(8).standard_normal(held_out[:2].shape), 300)
assert np.allclose(by_snr.predict(xt, 300), by_snr.net.predict(xt, by_snr.label(np.array([300, 300]))))

# %% [markdown]
# The same noise level has the same label in both schedules. Trained with this label and three seeds, the error at $t \geq 600$
# is 0.999 ± 0.004 times that of the network that gets $t$: no difference. Over all $t$ it is 1.012 ± 0.003 times. Most of this
# comes from $t = 0$ (1.031 ± 0.004), which the log-SNR places far from the other timesteps. So the network knows $\alpha_t$
# only through the number it gets, and **another number with the same information works almost as well**.
#
# The log-SNR has one advantage: it means the same in every schedule, and $t$ does not. All these networks were trained on the
# linear schedule. On noise of the *cosine* schedule, with $t$ from 20 to 900, the network that gets the cosine schedule's $t$
# has an error of 0.343 ± 0.002, and the one that gets the log-SNR 0.275 ± 0.002.
#
# ## What if the conventions are mixed up?
#
# Now to the trap from above. Suppose you load the trained weights into a network that computes its sinusoids with another
# convention. All shapes fit, and no error is raised.

# %%
noise, pictures, ruined = noise[:12], [], {}
for name, options in conventions.items():
    loaded = copy.deepcopy(given)
    loaded.time_proj.flip_sin_to_cos = options["flip_sin_to_cos"]
    loaded.time_proj.freq_shift = options["downscale_freq_shift"]
    ruined[name] = error_by_t(loaded)
    pictures.append(sample("ddim", Denoiser(loaded, schedule), noise.shape, steps=walk, x=noise, clip=1.0))
    print(f"{name:28} mean squared error of the noise {ruined[name].mean():.3f}")
assert np.allclose(ruined["cosines first, i / h"], with_t)
assert FAST or ruined["cosines first, i / (h - 1)"].mean() > 1.2 * with_t.mean()
assert FAST or ruined["sines first, i / h"].mean() > 1.8 * with_t.mean()

figure = viz.new_figure(9.8, 2.7)
axes = figure.add_axes((0.21, 0.01, 0.785, 0.98))
axes.imshow(viz.image_grid(np.concatenate(pictures), columns=12)[..., 0], cmap="gray", vmin=0, vmax=255)
axes.set_yticks(4.5 + 9 * np.arange(len(conventions)), list(conventions))
axes.set_xticks([])
axes.tick_params(length=0)
axes.spines[:].set_visible(False)
figure

# %% [markdown]
# With sines in place of cosines the samples are noise. With only the wrong divisor they are faint grey digits, as if the model
# needed more training. If a model from another library draws like this, check this convention first. (minidiff stores both
# settings in the model's configuration, as `flip_sin_to_cos` and `freq_shift`, and reads them together with the weights.)
#
# ## Exercises
#
# Complete each function and run its cell. The lines below the function test it. They print "right", or what is probably wrong.
# Each exercise has two folded hints, a small one and a bigger one.
#
# **Exercise 1.** Write the sinusoids of the first DDPM code: sines first, and $i / (h - 1)$ in the exponent.
#
# <details><summary>Hint</summary>
#
# Two small changes to `sinusoids` are enough.
# </details>
# <details><summary>Bigger hint</summary>
#
# With $h - 1$ the exponents run from 0 to exactly $-1$: the slowest hand turns by an angle of $1/10000$ in each step. The
# number of hands does not change.
# </details>

# %%
def old_sinusoids(t, dim):
    ...  # (B,) -> (B, dim)


if grading.answered(old_sinusoids, np.zeros(1), 4):
    mistakes.find(old_sinusoids, "05.old_sinusoids")
    print("exercise 1: right")

# %% [markdown]
# **Exercise 2.** From $t$ to $t + 1$ every hand turns by a small angle. Compute the hands of $t + 1$ from those of $t$, without
# knowing $t$. (So a linear layer can shift the timestep, which is one reason for sinusoids.)
#
# <details><summary>Hint</summary>
#
# By which angle does the $i$-th hand turn from $t$ to $t + 1$? It does not depend on $t$.
# </details>
# <details><summary>Bigger hint</summary>
#
# $\cos(a + b) = \cos a \cos b - \sin a \sin b$ and $\sin(a + b) = \sin a \cos b + \cos a \sin b$. The first half of `hands` is
# $\cos a$, the second is $\sin a$.
# </details>

# %%
def tick(hands):
    ...  # (B, dim), cosines first -> (B, dim)


if grading.answered(tick, hands[:2]):
    mistakes.find(tick, "05.tick")
    print("exercise 2: right")

# %% [markdown]
# **Exercise 3.** A bias is added at every pixel. Write the forward and the backward pass.
#
# <details><summary>Hint</summary>
#
# The gradient of a value that was copied to many places is the sum of the gradients of its copies.
# </details>
# <details><summary>Bigger hint</summary>
#
# Two new axes of length 1 make (B, C) broadcast to (B, H, W, C). The backward pass sums over these two axes. Each image keeps a
# separate sum.
# </details>

# %%
def add_everywhere(x, time):
    ...  # x (B, H, W, C), time (B, C); return y, back with back(dy) -> dx, dtime


rng = np.random.default_rng(36)
if grading.answered(add_everywhere, x, x[:, 0, 0]):
    mistakes.find(add_everywhere, "05.add_everywhere")
    gradcheck.check(add_everywhere, x, rng.standard_normal((2, 8)))
    print("exercise 3: right")

# %% [markdown]
# **Exercise 4.** Many newer networks use the time embedding to *scale and shift* instead of adding it: $y = h\,(1 + s) + b$,
# where the projection gives $s$ and $b$, one number of each per channel. Write it with its backward pass.
#
# <details><summary>Hint</summary>
#
# Look at $y$ as a function of one argument at a time. Which factor multiplies $h$, and which multiplies $s$?
# </details>
# <details><summary>Bigger hint</summary>
#
# For each pixel $ds$ is `dy` times the factor of $s$. All pixels of a channel share one $s$, so these terms are summed over the
# pixels, as for a bias.
# </details>

# %%
def scale_and_shift(h, s, b):
    ...  # h (B, H, W, C), s and b (B, C); return y, back with back(dy) -> dh, ds, db


rng = np.random.default_rng(38)
if grading.answered(scale_and_shift, x, x[:, 0, 0], x[:, 0, 0]):
    mistakes.find(scale_and_shift, "05.scale_and_shift")
    gradcheck.check(scale_and_shift, x, *rng.standard_normal((2, 2, 8)))
    print("exercise 4: right")

# %% [markdown]
# ### Build it: from the number to the block
#
# Now build the whole path, in three steps: sinusoids with every convention, the projection, and the
# [residual block](../docs/glossary.md#residual-block). The block is that of the diffusion models that first beat GANs (Dhariwal
# and Nichol, 2021). Each exercise can pass without the others.
#
# **Exercise 5.** Write sinusoids that fit checkpoints of any convention. $i$ runs from 0 to $h - 1$, where $h$ is half of
# `dim`, rounded down:
#
# $$\text{angle}_i = t \cdot P^{-i/(h - \text{shift})}.$$
#
# Here $P$ is `max_period`. `sines_first` chooses which half comes first. An odd `dim` gets a last column of zeros. Do not use
# the chapter's `sinusoids`.
#
# <details><summary>Hint</summary>
#
# Every option changes one place of the chapter's `sinusoids`. Find the four places first.
# </details>
# <details><summary>Bigger hint</summary>
#
# `dim // 2` rounds down, so for an odd `dim` the two halves together are one column short. `np.zeros((len(t), 1))` is the
# missing column.
# </details>

# %%
def time_sinusoids(t, dim, sines_first=False, shift=0.0, max_period=10000.0):
    ...  # (B,) -> (B, dim)


if grading.answered(time_sinusoids, np.zeros(1), 4):
    mistakes.find(time_sinusoids, "05.time_sinusoids")
    print("exercise 5: right")

# %% [markdown]
# **Exercise 6.** Write the projection of a block that uses scale and shift: SiLU, then a linear layer with $2C$ outputs. The
# first $C$ are the scale, the others the shift. `back` takes a gradient for each, and returns `dtemb, dw, db`. You may use
# `ops.silu` and `ops.linear`.
#
# <details><summary>Hint</summary>
#
# The forward pass splits an array into two halves. What is the backward pass of a split?
# </details>
# <details><summary>Bigger hint</summary>
#
# Concatenate `dscale` and `dshift`: this is the gradient of the linear layer's output. The rest is the backward pass of the
# linear layer and then of SiLU.
# </details>

# %%
def time_projection(temb, w, b):
    ...  # temb (B, D)   w (D, 2 C)   b (2 C,)   -> (scale, shift), back   with back(dscale, dshift) -> dtemb, dw, db


if grading.answered(time_projection, np.ones((1, 1)), np.ones((1, 2)), np.ones(2)):
    mistakes.find(time_projection, "05.time_projection")
    print("exercise 6: right")

# %% [markdown]
# **Exercise 7.** Write the block from given layers. `norm1`, `conv1`, `norm2`, `conv2` and `shortcut` take one array and return
# `y, back`; `project(temb)` returns `(scale, shift), back`, as in exercise 6. The order is
#
# norm1, SiLU, conv1, norm2, scale and shift, SiLU, conv2, and finally the input is added.
#
# Scale and shift mean $h\,(1 + \text{scale}) + \text{shift}$, at every pixel. If the number of channels changes, the input
# passes through `shortcut` before it is added; if `shortcut` is None, it is added unchanged. `back(dy)` returns `dx, dtemb`. Do
# not use `timed_block`.
#
# <details><summary>Hint</summary>
#
# Give every `back` a different name in the forward pass, then call them in reverse order. Which array do you have to keep for
# the gradient of the scale?
# </details>
# <details><summary>Bigger hint</summary>
#
# Keep the output of `norm2` before it is scaled: `dscale` needs it. The gradient that goes back from the scaling to `norm2` is
# multiplied by $1 + \text{scale}$. `dx` has two terms, and one of them goes back through the shortcut.
# </details>

# %%
def residual_block(x, temb, norm1, conv1, project, norm2, conv2, shortcut=None):
    ...  # x (B, H, W, C)   temb (B, D)   -> y (B, H, W, O), back   with back(dy) -> dx, dtemb


layer = nn.SiLU()
if grading.answered(residual_block, x, x[:, 0, 0], layer, layer, lambda temb: ((temb, temb), layer), layer, layer):
    mistakes.find(residual_block, "05.residual_block")
    print("exercise 7: right")

# %% [markdown]
# The answers are in [docs/answers/05.py](../docs/answers/05.py), together with the hidden tests for graded assignments.
