# %% [markdown]
# # 2. Convolution and GroupNorm by hand
#
# The network of a diffusion model consists of a few kinds of layers. Two of them do most of the work on images. The
# **convolution** combines each pixel with its neighbours, and **GroupNorm** keeps activations at a stable scale. Both have a
# backward pass that is easy to get wrong, and a wrong GroupNorm gradient can stay unnoticed for months. We write both, check
# both, and then break one on purpose.
#
# {{install}}
# The code below needs neither the internet nor a GPU.
#
# **What you should know already.** A function here returns its result *and* the function that carries the gradient back:
# `y, back = f(x)`, `dx = back(dy)`. Here `dx` is $\partial L/\partial x$, the derivative of the loss $L$, and it has the shape
# of $x$. `gradcheck.check` compares `back` with the exact slope of `f` along a random direction.
# [Chapter 1](01_backward_by_hand.ipynb) builds both.

# %%
import os
import time

import numpy as np

from minidiff import data, gradcheck, grading, mistakes, ops, viz

FAST = bool(os.environ.get("MINIDIFF_FAST"))  # the tests set this: everything runs, with smaller numbers
rng = np.random.default_rng(0)

# %% [markdown]
# ## What is a convolution?
#
# A small window of weights, say $3 \times 3$, slides over the image. The window is called the **kernel**. At each position, the
# pixels under the kernel are multiplied by its weights and added up. Images here are arrays $(B, H, W, C)$: $B$ images, $H$
# rows, $W$ columns, and $C$ numbers (channels) per pixel. The kernel $w$ is $(K, K, C, O)$: at each position $(u, v)$ in the
# window, a matrix $w_{u,v}$ from $C$ input channels to $O$ output channels. Output pixel $(i, j)$ of image $n$ is
#
# $$y_{n,i,j} = \sum_{u=0}^{K-1} \sum_{v=0}^{K-1} x_{n,\,i+u,\,j+v}\; w_{u,v} \; + b$$
#
# To make the output as large as the input, we first put a frame of zeros around the image, the *padding*. Here is the formula
# as loops:

# %%
def conv_loops(x, w, b):
    """x (B, H, W, C)   w (3, 3, C, O)   b (O,)   ->   y (B, H, W, O)"""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    y = np.zeros(x.shape[:3] + b.shape) + b
    for n in range(x.shape[0]):
        for i in range(x.shape[1]):
            for j in range(x.shape[2]):
                for u in range(3):
                    for v in range(3):
                        y[n, i, j] += padded[n, i + u, j + v] @ w[u, v]
    return y


digits, labels = data.load("digits")
digits = digits.astype(np.float64)
sideways = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]]).reshape(3, 3, 1, 1) / 4  # left minus right: large at a vertical edge
edges = conv_loops((digits[:10] + 1) / 2, sideways, np.zeros(1))
assert edges.shape == digits[:10].shape
viz.show_grid(np.concatenate([digits[:10], edges / np.abs(edges).max()]), columns=10,
              rows=["digits", "convolved"], title="A 3 x 3 kernel that detects vertical edges")

# %% [markdown]
# A network *learns* its kernels, hundreds of them.
#
# ## How can it be fast?
#
# Write the input of each output pixel as one long row of $3 \cdot 3 \cdot C$ numbers. Then the whole convolution is a single
# matrix product, which computers do very efficiently. This rearrangement is called *im2col*, "image to columns"; here the
# function is named `gather`.

# %%
def gather(x):
    """What each pixel sees.   (B, H, W, C)   ->   (B, H, W, 3, 3, C)"""
    B, H, W, C = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    seen = np.zeros((B, H, W, 3, 3, C), x.dtype)
    for u in range(3):
        for v in range(3):
            seen[:, :, :, u, v] = padded[:, u : u + H, v : v + W]
    return seen


def conv_forward(x, w, b):
    C, O = w.shape[2:]
    rows = gather(x).reshape(-1, 9 * C)  # (B H W, 9 C)
    return (rows @ w.reshape(9 * C, O) + b).reshape(*x.shape[:3], O)


def timed(f, *arrays):
    """The result of f, and the milliseconds of the fastest of five calls."""
    spent = []
    for _ in range(5):
        start = time.perf_counter()
        y = f(*arrays)
        spent.append(1000 * (time.perf_counter() - start))
    return y, min(spent)


rng = np.random.default_rng(5)
x, w, b = rng.standard_normal((4, 8, 8, 16)), rng.standard_normal((3, 3, 16, 16)), rng.standard_normal(16)
(by_loops, slow), (by_product, fast) = timed(conv_loops, x, w, b), timed(conv_forward, x, w, b)
print(f"fastest of five calls: loops {slow:.1f} ms, gather and one matrix product {fast:.1f} ms")
assert np.allclose(by_loops, by_product)

# %% [markdown]
# ## What is the backward pass of a convolution?
#
# The matrix product is known from chapter 1: for `y = rows @ wide`, the gradients are `drows = dy @ wide.T` and
# `dwide = rows.T @ dy`. It remains to go back through `gather`. It copied each pixel to several places, so the gradient of the
# pixel is the **sum over all its copies**. The same loop, with an addition in place of each copy, is the function `scatter`:

# %%
def scatter(dseen):
    """The way back through gather.   (B, H, W, 3, 3, C)   ->   (B, H, W, C)"""
    B, H, W, _, _, C = dseen.shape
    dpadded = np.zeros((B, H + 2, W + 2, C))
    for u in range(3):
        for v in range(3):
            dpadded[:, u : u + H, v : v + W] += dseen[:, :, :, u, v]
    return dpadded[:, 1:-1, 1:-1]  # the padding is constant and needs no gradient


def conv(x, w, b):
    """3 x 3 convolution with a frame of zeros.   x (B, H, W, C)   w (3, 3, C, O)   b (O,)   ->   y (B, H, W, O)"""
    C, O = w.shape[2:]
    rows, wide = gather(x).reshape(-1, 9 * C), w.reshape(9 * C, O)

    def back(dy):
        drows = dy.reshape(-1, O)
        dw = (rows.T @ drows).reshape(w.shape)
        dx = scatter((drows @ wide.T).reshape(*x.shape[:3], 3, 3, C))
        return dx, dw, drows.sum(axis=0)

    return (rows @ wide + b).reshape(*x.shape[:3], O), back


rng = np.random.default_rng(7)
small = rng.standard_normal((2, 5, 4, 3)), rng.standard_normal((3, 3, 3, 2)), rng.standard_normal(2)
errors = gradcheck.check(conv, *small)
named = zip("xwb", errors.values(), strict=True)
print("relative errors of the gradients:", ", ".join(f"{name} {error:.0e}" for name, error in named))

# %% [markdown]
# `gather` is linear, so it is a product with a large matrix $G$ of zeros and ones that is never stored. `scatter` is its
# transpose $G^T$, also called its [adjoint](../docs/glossary.md#adjoint). This gives a test without any slope:
# $\langle G x, c\rangle = \langle x, G^T c\rangle$ for all arrays $x$ and $c$, where $\langle\cdot,\cdot\rangle$ is the sum of
# the products of all entries. And `scatter` of all ones counts the copies of each pixel: nine in the middle, fewer at the
# border.

# %%
rng = np.random.default_rng(9)
x, c = rng.standard_normal((2, 6, 7, 3)), rng.standard_normal((2, 6, 7, 3, 3, 3))
assert np.isclose((gather(x) * c).sum(), (x * scatter(c)).sum())
counts = scatter(np.ones((1, 8, 8, 3, 3, 1)))[0, :, :, 0]
assert counts[3, 3] == 9 and counts[0, 3] == 6 and counts[0, 0] == 4

figure = viz.new_figure(4.4, 3.4, "tight")
axes = figure.add_subplot()
axes.imshow(counts, cmap="Blues", vmin=0, vmax=17)
for (i, j), count in np.ndenumerate(counts):
    axes.text(j, i, f"{count:.0f}", ha="center", va="center", fontsize=9)
axes.set(xticks=[], yticks=[], title="Number of terms in each pixel's gradient")
figure

# %% [markdown]
# ## What is GroupNorm?
#
# After a few convolutions, activations may have grown to thousands or shrunk to almost zero, and training stalls. A
# **normalisation** layer rescales them: it subtracts the mean and divides by the standard deviation. *GroupNorm* does this
# separately for each image and each group of neighbouring channels, over all pixels. For the $n$ numbers $x_1 \dots x_n$ of one
# group:
#
# $$\mu = \frac1n \sum_i x_i, \qquad s = \frac{1}{\sqrt{\frac1n \sum_i (x_i - \mu)^2 + \epsilon}}, \qquad
# \hat x_i = (x_i - \mu)\, s, \qquad y_i = \gamma\, \hat x_i + \beta.$$
#
# Here $\mu$ is the mean, $s$ is one over the standard deviation, and $\hat x$ is the normalised input. Each channel has a
# learned gain $\gamma$ and a learned bias $\beta$. The tiny $\epsilon$ prevents a division by zero.
#
# ## Why does its gradient have three terms?
#
# There are three terms because $x_j$ affects $y_i$ in three ways: directly, if $i = j$; through the mean $\mu$; and through the
# standard deviation, both for every $i$. Write $d\hat x = \gamma\,dy$, and let $\langle\cdot\rangle$ be the mean over the
# group. Then
#
# $$dx = s\,\Bigl(\underbrace{d\hat x}_{\text{direct}} \;-\; \underbrace{\langle d\hat x\rangle}_{\text{through the mean}}
# \;-\; \underbrace{\hat x\,\langle d\hat x \cdot \hat x\rangle}_{\text{through the deviation}}\Bigr).$$
#
# This formula is easy to remember. Adding a constant to all $x$ changes nothing, so `dx` must not have a constant part; the
# second term removes it. Scaling all $x$ changes nothing either (up to $\epsilon$); the third term removes the part along
# $\hat x$.

# %%
def group_norm(x, gamma, beta, groups, without=""):
    """x (B, H, W, C)   gamma, beta (C,)   ->   y (B, H, W, C).   without: a term to leave out of the gradient, on purpose"""
    B, H, W, C = x.shape
    split = (B, H * W, groups, C // groups)

    def group_mean(z):
        return z.reshape(split).mean(axis=(1, 3), keepdims=True)  # (B, 1, G, 1)

    x_split = x.reshape(split)
    centred = x_split - group_mean(x)
    s = 1 / np.sqrt(group_mean(centred**2) + 1e-5)
    xhat = centred * s

    def back(dy):
        dxhat = (dy * gamma).reshape(split)
        through_mean = 0 if without == "mean" else group_mean(dxhat)
        through_deviation = 0 if without == "deviation" else xhat * group_mean(dxhat * xhat)
        dx = s * (dxhat - through_mean - through_deviation)
        dgamma = (dy * xhat.reshape(x.shape)).sum(axis=(0, 1, 2))
        return dx.reshape(x.shape), dgamma, dy.sum(axis=(0, 1, 2))

    return xhat.reshape(x.shape) * gamma + beta, back


rng = np.random.default_rng(11)
x, gamma, beta = rng.standard_normal((3, 4, 4, 6)), rng.standard_normal(6), rng.standard_normal(6)
errors = gradcheck.check(lambda *arrays: group_norm(*arrays, groups=2), x, gamma, beta)
named = zip(("x", "gamma", "beta"), errors.values(), strict=True)
print("relative errors of the gradients:", ", ".join(f"{name} {error:.0e}" for name, error in named))
y, _ = group_norm(x, np.ones(6), np.zeros(6), groups=2)
first_group = y[0, :, :, :3]
assert abs(first_group.mean()) < 1e-12 and abs(first_group.std() - 1) < 1e-4

# %% [markdown]
# ## What if I forget a term?
#
# Let us ask the gradient checker. It knows the usual bugs and names them:

# %%
for term in ("mean", "deviation"):
    try:
        gradcheck.check(lambda *arrays, term=term: group_norm(*arrays, groups=2, without=term), x, gamma, beta)
        raise SystemExit("this line is never reached")
    except gradcheck.GradientError as error:
        print(f"--- without the term through the {term}:\n{error}\n")
        assert term in str(error)

# %% [markdown]
# How large is the error? It depends on `dy`. With a random `dy` the missing terms are small, because a mean of many random
# numbers is near 0. With the `dy` of a real loss they can have any size; the next section measures them on a real network. With
# `dy` all ones (and $\gamma = 1$) the true gradient is exactly **zero**, because the sum of all $\hat x$ is always zero. So a
# check with ones detects nothing here.

# %%
_, back = group_norm(x, np.ones(6), np.zeros(6), groups=2)
dx, _, _ = back(np.ones(x.shape))
print(f"largest absolute entry of dx for dy = 1: {np.abs(dx).max():.0e}")
assert np.abs(dx).max() < 1e-12

# %% [markdown]
# ## Does it still train?
#
# The next experiment shows why such bugs survive for years. We train the same small network three times to recognise digits:
# with the right gradient, without the term through the mean, and without the term through the deviation. The network is
# convolution, GroupNorm, SiLU, all of it twice, then the mean over all pixels and a linear layer.

# %%
def network(images, p, without=""):
    """images (B, 8, 8, 1)   ->   scores (B, 10)"""
    h, backs = images, []
    for k in (1, 2):
        h, back_conv = conv(h, p[f"w{k}"], p[f"b{k}"])
        h, back_norm = group_norm(h, p[f"gamma{k}"], p[f"beta{k}"], 4, without)
        h, back_silu = ops.silu(h)
        backs.append((k, back_conv, back_norm, back_silu))
    mean, pixels = h.mean(axis=(1, 2)), h.shape
    scores, back_linear = ops.linear(mean, p["w3"], p["b3"])

    def back(dy):
        g = {}
        dmean, g["w3"], g["b3"] = back_linear(dy)
        dh = np.broadcast_to(dmean[:, None, None], pixels) / (pixels[1] * pixels[2])
        for k, back_conv, back_norm, back_silu in reversed(backs):
            dh, g[f"gamma{k}"], g[f"beta{k}"] = back_norm(back_silu(dh))
            dh, g[f"w{k}"], g[f"b{k}"] = back_conv(dh)
        return g

    return scores, back


def fresh(width=16):
    rng = np.random.default_rng(3)
    p = {"w1": rng.standard_normal((3, 3, 1, width)) / 3, "w2": rng.standard_normal((3, 3, width, width)) / (9 * width) ** 0.5,
         "w3": rng.standard_normal((width, 10)) / width**0.5, "b3": np.zeros(10)}
    for k in (1, 2):
        p |= {f"b{k}": np.zeros(width), f"gamma{k}": np.ones(width), f"beta{k}": np.zeros(width)}
    return p


def train(without, steps):
    p, rng, losses = fresh(), np.random.default_rng(4), []
    speed = {name: np.zeros_like(value) for name, value in p.items()}
    for _ in range(steps):
        index = rng.integers(0, len(digits), 32)
        scores, back = network(digits[index], p, without)
        loss, back_loss = ops.cross_entropy(scores, labels[index])
        grads = back(back_loss())
        for name in p:  # gradient descent with momentum
            speed[name] = 0.9 * speed[name] - 0.1 * grads[name]
            p[name] = p[name] + speed[name]
        losses.append(float(loss))
    return p, losses


rng = np.random.default_rng(17)
held_out, held_out_labels = data.load("digits", split="test")
steps = 40 if FAST else 600
results = {}
for without in ("", "mean", "deviation"):
    p, losses = train(without, steps)
    accuracy = (network(held_out.astype(np.float64), p)[0].argmax(axis=1) == held_out_labels).mean()
    name = f"without the term through the {without}" if without else "all three terms"
    results[name] = losses, accuracy
    print(f"{name:38} loss {np.mean(losses[-20:]):.3f}, {accuracy:.1%} of held-out digits classified correctly")

# %%
viz.plot_loss({name: losses for name, (losses, _) in results.items()}, title="Training losses: which gradient is right?")

# %% [markdown]
# All three losses fall, and all three networks recognise digits. In the full run, 97 % of the held-out digits are right with
# the true gradient, 96 % without the term through the mean, and 91 % without the term through the deviation. From any one of
# these curves alone, you would not suspect a bug. So how wrong was the gradient? We measure it for the first convolution, at
# the start of training:

# %%
scores, back = network(digits[:64], fresh())
_, back_loss = ops.cross_entropy(scores, labels[:64])
true = back(back_loss())["w1"]
for without in ("mean", "deviation"):
    wrong = network(digits[:64], fresh(), without)[1](back_loss())["w1"]
    off = np.linalg.norm(wrong - true) / np.linalg.norm(true)
    print(f"without the term through the {without}: relative error of the gradient of w1 {off:.0%}")
    assert off > 0.02
for losses, _ in results.values():
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.2  # all three losses fall

# %% [markdown]
# **A falling loss does not prove that a gradient is right. A gradient check does.**
#
# ## The same with minidiff's ops
#
# minidiff's `ops.conv2d` and `ops.group_norm` are these functions, for any kernel size, stride and padding. On the same arrays
# they must return the same outputs and the same gradients.

# %%
rng = np.random.default_rng(22)
for name, ours, theirs, arrays in [
    ("convolution", conv, lambda x, w, b: ops.conv2d(x, w, b, padding=1), small),
    ("GroupNorm", lambda *a: group_norm(*a, groups=3), lambda *a: ops.group_norm(*a, 3), (x, gamma, beta)),
]:
    (y, back), (y_lib, back_lib) = ours(*arrays), theirs(*arrays)
    dy = rng.standard_normal(y.shape)
    differences = [np.abs(a - b).max() for a, b in zip((y, *back(dy)), (y_lib, *back_lib(dy)), strict=True)]
    print(f"{name}: output and gradients differ by at most {max(differences):.0e}")
    assert max(differences) < 1e-11

# %% [markdown]
# ## Exercises
#
# Complete each function and run its cell. The lines below the function test it. They print "right", or what is probably wrong.
# Each exercise has two folded hints, a small one and a bigger one.
#
# **Exercise 1.** A $1 \times 1$ convolution uses one pixel at a time. Write its forward and backward pass without `gather`.
#
# <details><summary>Hint</summary>
#
# Every pixel passes through the same linear layer. Its position does not matter.
# </details>
# <details><summary>Bigger hint</summary>
#
# Make a table with one row per pixel, `x.reshape(-1, C)`, and apply chapter 1's linear layer to it. Give $y$ and $dx$ the
# image's shape again. All pixels share $w$ and $b$, so their gradients are sums over all rows.
# </details>

# %%
def conv1x1(x, w, b):
    ...  # x (B, H, W, C), w (C, O), b (O,); return y, back


rng = np.random.default_rng(24)
if grading.answered(conv1x1, np.zeros((1, 1, 1, 1)), np.zeros((1, 1)), np.zeros(1)):
    mistakes.find(conv1x1, "02.conv1x1")
    gradcheck.check(conv1x1, rng.standard_normal((2, 3, 4, 5)), rng.standard_normal((5, 6)), rng.standard_normal(6))
    print("exercise 1: right")

# %% [markdown]
# **Exercise 2.** Double the height and width of an image by repeating each pixel, `y = x.repeat(2, axis=1).repeat(2, axis=2)`.
# Write its backward pass.
#
# <details><summary>Hint</summary>
#
# Each pixel was copied to four places. What is the gradient of a value that is used four times?
# </details>
# <details><summary>Bigger hint</summary>
#
# Put the four copies next to each other: split the axis of length $2H$ into $H$ and 2, and the axis of length $2W$ in the same
# way. In `reshape` each 2 stands directly after the axis that it doubled.
# </details>

# %%
def upsample(x):
    ...  # x (B, H, W, C); return y, back


rng = np.random.default_rng(26)
if grading.answered(upsample, np.zeros((1, 1, 1, 1))):
    mistakes.find(upsample, "02.upsample")
    gradcheck.check(upsample, rng.standard_normal((2, 3, 4, 5)))
    print("exercise 2: right")

# %% [markdown]
# **Exercise 3.** LayerNorm normalises each row of features separately: $x$ is $(N, D)$, and mean and deviation run over $D$.
# Write it, with all three terms in the gradient and with $\epsilon$ = 1e-5.
#
# <details><summary>Hint</summary>
#
# LayerNorm is GroupNorm with another set of numbers to average over. Which line of `group_norm` chooses that set?
# </details>
# <details><summary>Bigger hint</summary>
#
# Take `.mean(axis=-1, keepdims=True)` wherever the chapter takes a group's mean, in the backward pass too. All rows share
# $\gamma$ and $\beta$, so their gradients are sums over the rows.
# </details>

# %%
def layer_norm(x, gamma, beta):
    ...  # x (N, D), gamma and beta (D,); return y, back


rng = np.random.default_rng(28)
if grading.answered(layer_norm, np.zeros((1, 2)), np.zeros(2), np.zeros(2)):
    mistakes.find(layer_norm, "02.layer_norm")
    gradcheck.check(layer_norm, rng.standard_normal((4, 7)), rng.standard_normal(7), rng.standard_normal(7))
    print("exercise 3: right")

# %% [markdown]
# **Exercise 4.** The gradient `dx` of `conv` is itself a convolution, of `dy`. Its kernel is $w$ rotated by 180 degrees in the
# plane, with its two channel axes swapped. Write that kernel.
#
# <details><summary>Hint</summary>
#
# A rotation by 180 degrees reverses the rows and the columns. A slice with a negative step reverses one axis.
# </details>
# <details><summary>Bigger hint</summary>
#
# Reverse the first two axes, with `[::-1]` for each, and leave the other two in their order. Then `np.swapaxes` exchanges the
# channel axes: `dy` has $O$ channels, and $dx$ has $C$.
# </details>

# %%
def window_of_the_way_back(w):
    ...  # w (3, 3, C, O) -> (3, 3, O, C)


rng = np.random.default_rng(30)
if grading.answered(window_of_the_way_back, np.zeros((3, 3, 1, 1))):
    mistakes.find(window_of_the_way_back, "02.window_of_the_way_back")
    x, w, b = small
    y, back = conv(x, w, b)
    dy = rng.standard_normal(y.shape)
    grading.same(conv(dy, window_of_the_way_back(w), np.zeros(3))[0], back(dy)[0], "dx by your window")
    print("exercise 4: right")

# %% [markdown]
# ### Build it: convolution and GroupNorm as networks use them
#
# The [U-Net](../docs/glossary.md#u-net) of chapter 6 needs more than the functions above. It makes images smaller with a
# **stride** $s$: the kernel moves by $s$ pixels instead of one. Its kernels have any size $K$, and its **padding** any width
# $P$. Output row $i$ depends on rows $i s$ to $i s + K - 1$ of the padded image. So there are
# $\lfloor (H + 2 P - K) / s \rfloor + 1$ output rows, and likewise for the columns, with $W$ in place of $H$. Write the
# convolution in two steps, then GroupNorm for any number of axes. Each exercise can pass without the others: the tests of
# exercise 6 supply a `windows` that works.
#
# **Exercise 5.** Return the window of inputs of each output pixel, and the backward pass. Do not use `gather` and `scatter`.
#
# <details><summary>Hint</summary>
#
# It is `gather` with a stride and any kernel size. For one place $(u, v)$ of the window, which rows of the padded image belong
# to output rows 0, 1, 2, ...?
# </details>
# <details><summary>Bigger hint</summary>
#
# Those rows start at $u$ and are $s$ apart: a slice with a step. It must stop after $OH$ rows, the number of output rows. The
# backward pass has the same two loops and the same slices, and adds where the forward pass copies. To remove the padding, slice
# from $P$ to $P$ plus the image's length; `[P:-P]` is empty for $P = 0$.
# </details>

# %%
def windows(x, size, stride, padding):
    ...  # x (B, H, W, C) -> seen (B, OH, OW, size, size, C) of x's dtype, back


rng = np.random.default_rng(32)
if grading.answered(windows, np.zeros((1, 2, 2, 1)), 1, 1, 0):
    mistakes.find(windows, "02.windows")
    gradcheck.check(lambda x: windows(x, 3, 2, 1), rng.standard_normal((2, 6, 5, 3)))
    print("exercise 5: right")

# %% [markdown]
# **Exercise 6.** Write the convolution. `windows` is an argument: `windows(x, K, stride, padding)` returns the window of inputs
# of each output pixel, and the backward pass.
#
# <details><summary>Hint</summary>
#
# With `windows` in place of `gather`, this is `conv`. Which numbers and shapes in `conv` hold only for a $3 \times 3$ kernel,
# and for an output as large as the image?
# </details>
# <details><summary>Bigger hint</summary>
#
# Read $K$ from `w.shape`, and the output's shape from the array that `windows` returns, `seen.shape[:3]`. The gradient of the
# rows has one row for each output pixel; reshape it to `seen.shape` before you pass it to the backward function of `windows`.
# </details>

# %%
def conv2d(x, w, b, stride, padding, windows):
    ...  # x (B, H, W, C)   w (K, K, C, O)   b (O,)   -> y (B, OH, OW, O), back


pixel, window, seen = np.zeros((1, 1, 1, 1)), np.zeros((3, 3, 1, 1)), np.zeros((1, 1, 1, 3, 3, 1))
if grading.answered(conv2d, pixel, window, np.zeros(1), 1, 1, lambda *_: (seen, lambda dseen: pixel)):
    mistakes.find(conv2d, "02.conv2d")
    print("exercise 6: right")

# %% [markdown]
# **Exercise 7.** Write GroupNorm for any number of axes between the first and the last, even none: vectors $(B, C)$, sequences
# $(B, N, C)$, images, videos. $\epsilon$ is an argument. Do not use the chapter's `group_norm`.
#
# <details><summary>Hint</summary>
#
# The mean runs over all axes between the first and the last. Merge them into one.
# </details>
# <details><summary>Bigger hint</summary>
#
# `x.reshape(B, -1, groups, C // groups)` has the same four axes for any $x$, and a group's mean runs over the second and the
# fourth. `dgamma` and `dbeta` are sums over every axis of `dy` but the last.
# </details>

# %%
def norm_in_groups(x, gamma, beta, groups, eps):
    ...  # x (B, ..., C)   gamma, beta (C,)   -> y (B, ..., C), back


rng = np.random.default_rng(34)
if grading.answered(norm_in_groups, np.zeros((1, 1, 1)), np.zeros(1), np.zeros(1), 1, 1.0):
    mistakes.find(norm_in_groups, "02.norm_in_groups")
    arrays = rng.standard_normal((2, 5, 6)), rng.standard_normal(6), rng.standard_normal(6)
    gradcheck.check(lambda *arrays: norm_in_groups(*arrays, 3, 1e-5), *arrays)
    print("exercise 7: right")

# %% [markdown]
# The answers are in [docs/answers/02.py](../docs/answers/02.py), together with the hidden tests for graded assignments.
