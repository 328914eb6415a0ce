# %% [markdown]
# # 10. Classes and classifier-free guidance
#
# So far the network draws what it likes. Now we want to say "a 7, please". Two things are needed: a way to tell the network
# the class, which is easy, and a way to make it *listen*, which is one line of arithmetic with a large effect. This line,
# **classifier-free guidance**, is behind the slider called "guidance scale" of every program that turns text into pictures.
#
# {{install}}
# The code below needs neither the internet nor a GPU.
#
# **What you should know already.** A noisy picture is $x_t = \alpha_t x_0 + \sigma_t \epsilon$ (chapter 3; this $\alpha_t$ is
# its $\sqrt{\bar\alpha_t}$ and the code's `schedule.alpha(t)`). A *denoiser* answers, from $x_t$ and $t$, its guess of $x_0$
# and of $\epsilon$; $-\hat\epsilon/\sigma_t$ is the *score*, the direction in which noisy pictures get more likely (chapter 4).
# DDIM draws a picture in a few steps (chapter 8).

# %%
import os

import numpy as np

from minidiff import data, gradcheck, grading, metrics, mistakes, models, ops, sample, training, viz
from minidiff.diffusion import GaussianMixture, Schedule, SimpleLoss, cfg
from minidiff.diffusion.losses import drop_conditions
from minidiff.rng import Rng

FAST = bool(os.environ.get("MINIDIFF_FAST"))  # the tests set this: everything runs, with smaller numbers
rng = np.random.default_rng(0)
schedule = Schedule.cosine(1000)
digits, labels = data.load("digits")  # 8 x 8 pixels from -1 (black) to 1 (white), and which digit each is

# %% [markdown]
# ## How does the network learn what to draw?
#
# As it learns the time: by a vector that every block gets. For a class the vector is a row of a table, learned like any
# weight: an **embedding**. It is added to the time's vector. Forward is a look-up, `table[index]`. Backward has a trap. If a
# batch has three sevens, row 7 was used three times and must get the *sum* of three gradients. `dtable[index] += dy` looks
# as if it did that, but NumPy adds only once for an index that occurs three times:

# %%
def embedding(table, index):
    def back(dy):
        dtable = np.zeros_like(table)
        np.add.at(dtable, index, dy)  # adds again for every time a row occurs
        return dtable

    return table[index], back


def trap(table, index):
    def back(dy):
        dtable = np.zeros_like(table)
        dtable[index] += dy
        return dtable

    return table[index], back


rng = np.random.default_rng(3)
table, index = rng.standard_normal((10, 4)), np.array([7, 1, 7, 7])
print("gradient error:", *gradcheck.check(lambda table: embedding(table, index), table).values())
try:
    gradcheck.check(lambda table: trap(table, index), table)
    raise SystemExit("this line is never reached")
except gradcheck.GradientError as error:
    print("the trap:", str(error).splitlines()[0])
dy = rng.standard_normal((4, 4))
assert np.array_equal(embedding(table, index)[1](dy), ops.embedding(table, index)[1](dy))  # the library's

# %% [markdown]
# ## A class that means "no class"
#
# Guidance will need the same network to answer *without* being told a class as well. So the table gets an eleventh row, the
# **null class**, and in training a tenth to a fifth of the labels is replaced by it (Ho and Salimans, 2022). In the same
# network and the same run, that is all there is to it.

# %%
NULL, RATE = 10, 0.15


def drop(labels, rng):
    return np.where(rng.random(len(labels), dtype=np.float64) < RATE, NULL, labels)


net = models.UNet(in_channels=1, out_channels=1, block_out_channels=(16, 16), layers_per_block=1, norm_num_groups=4,
                  down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2, add_attention=False,
                  num_class_embeds=11, null_class=NULL, rng=0)  # fmt: skip
dropped = drop(labels, Rng(1))
print("before", *labels[:16], "\nafter ", *dropped[:16])
assert np.array_equal(dropped, drop_conditions(net, labels, RATE, Rng(1), len(labels)))  # the library's, same random numbers
assert abs((dropped == NULL).mean() - RATE) < 0.03

# %%
net = models.UNet(**net.config, rng=0)  # untrained, however often this cell runs
objective = SimpleLoss(schedule, "v", cond_dropout=RATE)  # it drops labels by itself
trainer = training.Trainer(net, objective, digits, labels, steps=10 if FAST else 1000, batch_size=32, lr=3e-3, warmup=10,
                           ema_decay=0.98)  # fmt: skip
history = trainer.run(progress=False)
net.load_state(trainer.ema.state())  # the average of the last steps' weights
denoiser = objective.denoiser(net)
print(f"loss {history.loss[0]:.2f} -> {np.mean(history.loss[-50:]):.3f}")
assert np.mean(history.loss[-5:]) < history.loss[0]

# %% [markdown]
# ## What does the guidance weight do?
#
# The usual answer: $\hat\epsilon = (1 + w)\,\hat\epsilon(c) - w\,\hat\epsilon(\text{null})$ *strengthens the prompt*. In words:
# ask twice, once with the class $c$ and once without, and go further in the direction in which the class has moved the
# answer. $w = 0$ is the plain conditional model, $w = -1$ the unconditional one. (Imagen and Stable Diffusion call $1 + w$
# the guidance scale; their 7.5 is our 6.5.)

# %%
class Guided:
    """A denoiser that is pushed towards a class."""

    def __init__(self, denoiser, cond, weight):
        self.denoiser, self.cond, self.weight, self.schedule = denoiser, cond, weight, denoiser.schedule

    def __call__(self, x, t, cond=None):
        x0_with, eps_with = self.denoiser(x, t, self.cond)
        x0_without, eps_without = self.denoiser(x, t, np.full_like(self.cond, NULL))
        w = self.weight
        return (1 + w) * x0_with - w * x0_without, (1 + w) * eps_with - w * eps_without


asked = np.arange(10)
x = Rng(2).standard_normal((10, 8, 8, 1))
ours, theirs = Guided(denoiser, asked, 2.0)(x, 500), cfg(denoiser, asked, 2.0)(x, 500)
print(f"ours and the library's cfg differ by at most {np.abs(ours[1] - theirs[1]).max():.0e}")
assert np.allclose(ours, theirs, atol=1e-5)

# %% [markdown]
# A guided denoiser is a denoiser, so every sampler takes it. Each column is one start and one class, asked for with more and
# more weight:

# %%
weights, walk = [-1, -0.5, 0, 0.5, 1, 2, 4, 8], 4 if FAST else 20
rows = [sample("ddim", Guided(denoiser, asked, w), x.shape, steps=walk, x=x) for w in weights]
figure = viz.new_figure(7.4, 6.0, "constrained")
axes = figure.add_subplot()
axes.imshow(viz.image_grid(np.concatenate(rows), columns=10)[..., 0], cmap="gray", vmin=0, vmax=255)
axes.set_xticks(4.5 + 9 * asked, [f"a {label}" for label in asked])
axes.set_yticks(4.5 + 9 * np.arange(len(weights)), [f"w = {w:g}" for w in weights])
axes.tick_params(length=0, labeltop=True, labelbottom=False)
axes.spines[:].set_visible(False)
figure

# %% [markdown]
# ## Obedience against diversity
#
# Now counted, by a classifier that was trained on the real digits: *obedience*, how often it sees the class that was asked
# for; *diversity*, how far apart two samples of one class are in its features, real digits being 1; and the
# *[Fréchet distance](../docs/glossary.md#fréchet-distance)* between what it sees in samples and in real digits (lower is
# better; chapter 14 builds it).

# %%
read = slice(200 if FAST else None)
judge = metrics.train_classifier(digits[read], labels[read], epochs=1 if FAST else 8, width=4 if FAST else 16)
seen_in_real = metrics.features(judge, digits)


def spread(features, labels):
    """Mean distance of two samples of one class."""
    spreads = []
    for label in range(10):
        own = features[labels == label]
        apart = np.sqrt(((own[:, None] - own) ** 2).sum(axis=2))
        spreads.append(apart.sum() / (len(own) * (len(own) - 1)))
    return np.mean(spreads)


many = np.repeat(np.arange(10), 3 if FAST else 25)
start, found = Rng(3).standard_normal((len(many), 8, 8, 1)), {}
real_spread = spread(seen_in_real[:600], labels[:600])
for w in weights:
    made = sample("ddim", cfg(denoiser, many, w), start.shape, steps=walk, x=start)
    seen = metrics.features(judge, made)
    found[w] = (metrics.accuracy(judge, made, many), spread(seen, many) / real_spread,
                metrics.frechet_distance(seen, seen_in_real), (np.abs(made) > 1.05).mean())  # fmt: skip
    print("w = {:4}   obedience {:.2f}   diversity {:.2f}   distance {:5.2f}   pixels out of range {:.1%}".format(w, *found[w]))

figure = viz.new_figure(9.4, 3.6, "tight")
left, right = figure.subplots(1, 2)
place = range(len(weights))
left.plot(place, [found[w][0] for w in weights], "o-", color=viz.COLOURS[0], label="obedience")
left.plot(place, [found[w][1] for w in weights], "o-", color=viz.COLOURS[1], label="diversity within a class")
left.axhline(1, color="grey", linewidth=0.8)
left.set(xlabel="guidance weight w", title="What is gained, what is lost", ylim=(0, None))
left.legend(frameon=False, fontsize=9)
right.plot(place, [found[w][2] for w in weights], "o-", color=viz.COLOURS[2])
right.set(xlabel="guidance weight w", ylabel="Fréchet distance", title="Distance to real digits", ylim=(0, None))
for axes in (left, right):
    axes.set_xticks(place, [f"{w:g}" for w in weights])
figure

# %% [markdown]
# Without guidance the network already draws what was asked 95 times in 100; half a unit of $w$ makes it always. From there on
# there is nothing to gain, and the price is paid: the samples of a class grow alike, down to a quarter of the variety of real
# digits, and nearly half of the pixels are driven out of their range. The distance to real digits is smallest from $w = 0$ to
# 0.5. "It strengthens the prompt" is true, "more is better" only while the prompt is not yet obeyed. (At $w = -1$ nobody asks
# for a class, and one in ten is right by chance.) `minidiff study guidance` goes up to a weight of 8:
# [table](../docs/studies.md#what-does-the-guidance-weight-do).
#
# ## Which pictures are these, exactly?
#
# There is a mathematical answer that is often given. By the rule of Bayes, $p(c \mid x) = p(x \mid c)\,p(c) / p(x)$, and
# guidance follows the score of
#
# $$p(x \mid c)\; p(c \mid x)^{w} \;\propto\; \frac{p(x \mid c)^{1 + w}}{p(x)^{w}},$$
#
# the density of class $c$, **tilted** towards pictures that a classifier would be sure about. At each noise level this is
# simply true. Two overlapping blobs on a line, classes 0 and 1, of which everything is known:

# %%
pair = GaussianMixture([[-1.0], [1.0]], stds=1.0)
exact, t, w = pair.denoiser(schedule), 300, 2.0
alpha, sigma, x = schedule.alpha(t), schedule.sigma(t), np.linspace(-3, 3, 7)[:, None]


def log_tilted(x, alpha, sigma, w):
    return (1 + w) * pair.log_prob(x, alpha, sigma, cond=1) - w * pair.log_prob(x, alpha, sigma)


slope = (log_tilted(x + 1e-5, alpha, sigma, w) - log_tilted(x - 1e-5, alpha, sigma, w)) / 2e-5
_, eps = cfg(exact, np.ones(7, np.int64), w)(x, t)
print(f"guided score and slope of the tilted log-density differ by at most {np.abs(-eps[:, 0] / sigma - slope).max():.0e}")
assert np.allclose(-eps[:, 0] / sigma, slope, atol=1e-6)

# %% [markdown]
# So guided samples should come from the tilted density of the *clean* data. Do they? On a line we can compute that density
# on a fine grid and compare it with what DDIM makes, with the perfect denoiser and 250 steps:

# %%
grid = np.linspace(-5, 14, 20_001)
width = grid[1] - grid[0]


def tilted_density(w):
    log_p = log_tilted(grid[:, None], 1.0, 0.0, w)
    p = np.exp(log_p - log_p.max())
    return p / (p.sum() * width)


def moments(w):
    p = tilted_density(w) * width
    mean = (p * grid).sum()
    return mean, np.sqrt((p * (grid - mean) ** 2).sum())


count, tried, clouds = 400 if FAST else 4000, (0.0, 1.0, 4.0), {}
noise = Rng(4).standard_normal((count, 1), dtype=np.float64)
for w in tried:
    guided = cfg(exact, np.ones(count, np.int64), w)
    clouds[w] = sample("ddim", guided, noise.shape, steps=50 if FAST else 250, x=noise)[:, 0]
    print("w = {:3}   tilted: mean {:.2f}, std {:.2f}   samples: mean {:.2f}, std {:.2f}".format(
        w, *moments(w), clouds[w].mean(), clouds[w].std()))  # fmt: skip
assert abs(clouds[0.0].mean() - moments(0.0)[0]) < 0.1
assert clouds[4.0].mean() > moments(4.0)[0] + 0.3 and clouds[4.0].std() < moments(4.0)[1]

# %% [markdown]
# Half true. Without guidance the samples are right. With it they go **further out and are more alike** than the tilted
# density says. At each noise level the score is tilted rightly; but the tilted densities of all the noise levels are not the
# noisy versions *of one and the same* clean density, so a walk through them ends somewhere else.
#
# One can tell that it is the walk, and not the score, that errs: start from the guided samples, stay at the lowest noise
# level, and let them drift along the same guided score with a little noise (*Langevin dynamics*, which ends in whatever
# density the score belongs to):

# %%
def langevin(x, w, steps, rng, size=0.05):
    guided = cfg(exact, np.ones(len(x), np.int64), w)
    for _ in range(steps):
        score = -guided(x, 0)[1] / schedule.sigma(0)
        x = x + size * score + np.sqrt(2 * size) * rng.standard_normal(x.shape, dtype=x.dtype)
    return x


settled = {w: langevin(clouds[w][:, None], w, 100 if FAST else 400, Rng(5))[:, 0] for w in tried}
for w in tried:
    print(f"w = {w:3}   after Langevin: mean {settled[w].mean():.2f}, std {settled[w].std():.2f}")
    assert abs(settled[w].mean() - moments(w)[0]) < 0.1 + 1 / np.sqrt(count)

figure = viz.new_figure(9.6, 3.2, "tight")
bins = np.linspace(-3, 6, 46)
for axes, w in zip(figure.subplots(1, 3, sharey=True), tried, strict=True):
    axes.hist(clouds[w], bins, density=True, color=viz.COLOURS[1], alpha=0.45, label="guided samples")
    axes.hist(settled[w], bins, density=True, histtype="step", color=viz.COLOURS[0], label="after Langevin")
    axes.plot(grid, tilted_density(w), color="black", linewidth=1.2, label="tilted density")
    axes.set(xlim=(-3, 6), title=f"w = {w:g}")
axes.legend(frameon=False, fontsize=8, loc="upper left")
figure

# %% [markdown]
# ## Exercises
#
# Complete each function and run its cell. The lines below the function test it. They print "right", or what is probably wrong.
# Each exercise has two folded hints, a small one and a bigger one.
#
# **Exercise 1.** Guidance as Stable Diffusion writes it: from the unconditional answer, go `scale` times the way to the
# conditional one.
#
# <details><summary>Hint</summary>
#
# At scale 0 the unconditional answer comes out, at scale 1 the conditional one.
# </details>
# <details><summary>Bigger hint</summary>
#
# The way from $a$ to $b$ is $b - a$. The result is the line of this chapter with `scale` $= 1 + w$.
# </details>

# %%
def by_scale(eps_without, eps_with, scale):
    ...  # return the guided eps


rng = np.random.default_rng(20)
a, b = rng.standard_normal((2, 3))
if grading.answered(by_scale, a, b, 7.5):
    mistakes.find(by_scale, "10.by_scale")
    grading.same(by_scale(a, b, 7.5), 7.5 * b - 6.5 * a, "the guided eps at scale 7.5")
    print("exercise 1: right")

# %% [markdown]
# **Exercise 2.** A *negative prompt*: go towards one class and away from another.
#
# <details><summary>Hint</summary>
#
# Guidance goes away from the answer for "no class". Who takes its place?
# </details>
# <details><summary>Bigger hint</summary>
#
# Ask the denoiser twice, once for each class, and take the second of the two things that it returns. The two weights are those
# of guidance, and add up to 1.
# </details>

# %%
def towards_and_away(denoiser, x, t, c, away, w):
    ...  # c and away (B,) whole numbers; return the guided eps


zeros = np.zeros(7, np.int64)
if grading.answered(towards_and_away, exact, np.linspace(-3, 3, 7)[:, None], 300, zeros + 1, zeros, 1.0):
    mistakes.find(towards_and_away, "10.towards_and_away")
    x = np.linspace(-3, 3, 7)[:, None]
    expected = cfg(exact, zeros + 1, 1.0, null=zeros)(x, 300)[1]
    grading.same(towards_and_away(exact, x, 300, zeros + 1, zeros, 1.0), expected, "the library's guided eps", rtol=1e-5)
    print("exercise 2: right")

# %% [markdown]
# **Exercise 3.** With much guidance the answer gets too large, and pixels leave their range. Lin and others (2024) shrink it:
# give the guided answer the standard deviation that the conditional one has, image by image.
#
# <details><summary>Hint</summary>
#
# A factor changes the standard deviation by this factor. So which factor takes one deviation to the other?
# </details>
# <details><summary>Bigger hint</summary>
#
# `.std(axis=(1, 2, 3), keepdims=True)` is the deviation of each image, shaped so that it multiplies whole images.
# </details>

# %%
def same_contrast(guided, conditional):
    ...  # (B, H, W, C) each -> (B, H, W, C)


rng = np.random.default_rng(24)
strong, plain = rng.standard_normal((2, 5, 8, 8, 1)) * np.array([3.0, 1.0]).reshape(2, 1, 1, 1, 1)
if grading.answered(same_contrast, strong, plain):
    mistakes.find(same_contrast, "10.same_contrast")
    print("exercise 3: right")

# %% [markdown]
# **Exercise 4.** Where do the weights of the tilted density come from? For two blobs of variance 1 at -1 and 1, equally
# likely, compute $\log p(c = 1 \mid x)$, what a perfect classifier thinks.
#
# <details><summary>Hint</summary>
#
# By the rule of Bayes $p(1 \mid x)$ is one density divided by the sum of both. Most of the two exponents cancels.
# </details>
# <details><summary>Bigger hint</summary>
#
# $p(1 \mid x) = 1 / (1 + e^{-2x})$. Its logarithm must survive $x = -1000$: `np.logaddexp(a, b)` is $\log(e^a + e^b)$ without
# overflow.
# </details>

# %%
def log_sure(x):
    ...  # (N,) -> (N,)


if grading.answered(log_sure, grid):
    mistakes.find(log_sure, "10.log_sure")
    by_bayes = pair.log_prob(grid[:, None], cond=1) + np.log(0.5) - pair.log_prob(grid[:, None])
    grading.same(log_sure(grid), by_bayes, "log p(1 | x)", rtol=1e-5)
    print("exercise 4: right")

# %% [markdown]
# ### Build it: classifier-free guidance, from training to sampling
#
# Now the real thing, in three steps. Each can pass without the others. In the chapter `SimpleLoss` drops the labels, and a
# guided denoiser calls the network twice.
#
# **Exercise 5.** Drop labels. Each sample's label is replaced by `null` with probability `rate`: draw
# `rng.random(len(labels))` and drop where the number is below `rate`. A label may be a number, or an array such as the words
# of a caption, `(B, L)`. Then it is dropped as a whole, and `null` is a number or one such array. The given labels stay as
# they are.
#
# <details><summary>Hint</summary>
#
# There is one random number for each sample, whatever the rank of the labels. Broadcasting needs it in the right shape.
# </details>
# <details><summary>Bigger hint</summary>
#
# `np.where(gone, null, labels)` serves numbers. For labels with more axes give `gone` as many axes of length 1:
# `labels.ndim - 1`.
# </details>

# %%
def drop_labels(labels, null, rate, rng):
    ...  # labels (B, ...) -> (B, ...)


if grading.answered(drop_labels, np.ones(2, int), 0, 0.5, np.random.default_rng(0)):
    mistakes.find(drop_labels, "10.drop_labels")
    print("exercise 5: right")

# %% [markdown]
# **Exercise 6.** The loss of a training step. Draw, in this order, `t = rng.integers(schedule.T, size=B)`, the noise
# `rng.standard_normal(x0.shape)`, and `rng.random(B)`, which decides as in exercise 5 which labels (numbers here) become
# `null`. The model predicts the noise: `y, back_model = model(x_t, t, labels)`. Return the mean of $(y - \epsilon)^2$ over all
# entries, and `back(dloss)`, which hands the gradient by $y$ to `back_model` and returns what that returns.
#
# <details><summary>Hint</summary>
#
# $x_t = \alpha_t x_0 + \sigma_t \epsilon$ with `schedule.alpha(t)` and `schedule.sigma(t)`, $(B,)$ each. `x0` has any rank.
# </details>
# <details><summary>Bigger hint</summary>
#
# `.reshape((-1,) + (1,) * (x0.ndim - 1))` lets one number serve a whole sample. The derivative of a mean of squares has a
# factor 2, and is divided by the number of entries, `y.size`. `dloss` multiplies all of it.
# </details>

# %%
def conditional_loss(model, schedule, x0, labels, null, rate, rng):
    ...  # x0 (B, ...)   labels (B,)   -> loss, back


def zero(x, t, labels):
    return x * 0, lambda dy: dy


if grading.answered(conditional_loss, zero, schedule, np.ones((2, 1)), np.ones(2, int), 0, 0.5, np.random.default_rng(0)):
    mistakes.find(conditional_loss, "10.conditional_loss")
    print("exercise 6: right")

# %% [markdown]
# **Exercise 7.** Guidance with **one** call of the network, on a batch of twice the size: large models are asked so, as it is
# faster than two calls. `model(x, t, cond)` returns $\hat\epsilon$. Return the guided one,
# $(1 + w)\,\hat\epsilon(c) - w\,\hat\epsilon(\text{null})$. `w` is a number, or one for each sample, `(B,)`.
#
# <details><summary>Hint</summary>
#
# The network takes each row by itself. So the same $x$ and $t$ can stand in the batch twice, once with each label.
# </details>
# <details><summary>Bigger hint</summary>
#
# `np.concatenate` builds the double batch, `np.split(..., 2)` takes the answer apart. `np.full_like(cond, null)` has `cond`'s
# shape, also where `null` is the row of an empty caption. Shape `w` so that it multiplies whole samples.
# </details>

# %%
def guided_eps(model, x, t, cond, null, w):
    ...  # x (B, ...)   t (B,)   cond (B, ...)   -> eps, of x's shape


if grading.answered(guided_eps, lambda x, t, cond: x, np.ones((1, 1)), np.ones(1, int), np.ones(1, int), 0, 1.0):
    mistakes.find(guided_eps, "10.guided_eps")
    print("exercise 7: right")

# %% [markdown]
# The answers are in [docs/answers/10.py](../docs/answers/10.py), together with the hidden tests for graded assignments.
