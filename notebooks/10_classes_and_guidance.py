# %% [markdown]
# # 10. Classes and classifier-free guidance
#
# So far the network draws whatever it likes. Now we want a 7. First the network must get the class, which is easy. Then it must
# follow the class more closely. This takes one line of arithmetic with a large effect, **classifier-free guidance**. Programs
# that turn text into images offer it as a slider called "guidance scale".
#
# {{install}}
# The code below needs neither the internet nor a GPU.
#
# **What you should know already.** A noisy image is $x_t = \alpha_t x_0 + \sigma_t \epsilon$, where $x_0$ is the clean image
# and $\epsilon$ is standard normal noise (chapter 3; this $\alpha_t$ is its $\sqrt{\bar\alpha_t}$ and the code's
# `schedule.alpha(t)`). A *denoiser* predicts $x_0$ and $\epsilon$ from $x_t$ and $t$. From its prediction $\hat\epsilon$
# follows the *score* $-\hat\epsilon/\sigma_t$, the direction in which noisy images become more likely (chapters 4 and 9). DDIM
# draws an image in a few steps (chapter 8).

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
digits, labels = data.load("digits")  # 8 x 8 pixels from -1 (black) to 1 (white), and the class labels

# %% [markdown]
# ## How does the network get the class?
#
# It gets the class as it gets the timestep: as a vector that every block receives. An input that specifies what to draw, such
# as a *class label*, is called *conditioning*. The vector of a class is a row of a table, learned like any weight: an
# **embedding**. The network adds it to the timestep's vector. The forward pass is a look-up, `table[index]`. The backward pass
# has a trap. If a batch contains three sevens, row 7 was used three times and must get the *sum* of three gradients.
# `dtable[index] += dy` looks as if it did that, but NumPy adds only once for an index that occurs three times:

# %%
def embedding(table, index):
    def back(dy):
        dtable = np.zeros_like(table)
        np.add.at(dtable, index, dy)  # adds once for each time that a row occurs
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
(error,) = gradcheck.check(lambda table: embedding(table, index), table).values()
print(f"embedding: relative error of the gradient {error:.0e}")
try:
    gradcheck.check(lambda table: trap(table, index), table)
    raise SystemExit("this line is never reached")
except gradcheck.GradientError as error:
    print("with dtable[index] += dy:", str(error).splitlines()[0])
dy = rng.standard_normal((4, 4))
assert np.array_equal(embedding(table, index)[1](dy), ops.embedding(table, index)[1](dy))  # the library's

# %% [markdown]
# ## A class that means "no class"
#
# Guidance needs a prediction *without* a class from the same network. So the table gets an eleventh row, the **null class**. In
# training, a tenth to a fifth of the labels are replaced by it (Ho and Salimans, 2022). This is called *dropout of the
# condition*. One network learns both predictions in one training run.

# %%
NULL, RATE = 10, 0.15


def drop(labels, rng):
    return np.where(rng.random(len(labels), dtype=np.float64) < RATE, NULL, labels)


net = models.UNet(in_channels=1, out_channels=1, block_out_channels=(16, 16), layers_per_block=1, norm_num_groups=4,
                  down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2, add_attention=False,
                  num_class_embeds=11, null_class=NULL, rng=0)  # fmt: skip
dropped = drop(labels, Rng(1))
print("labels              ", *labels[:16], "\nlabels after dropout", *dropped[:16])
assert np.array_equal(dropped, drop_conditions(net, labels, RATE, Rng(1), len(labels)))  # the library's, same random numbers
assert abs((dropped == NULL).mean() - RATE) < 0.03

# %%
net = models.UNet(**net.config, rng=0)  # untrained, however often this cell runs
objective = SimpleLoss(schedule, "v", cond_dropout=RATE)  # the loss drops the labels
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
# The usual answer is that $\hat\epsilon = (1 + w)\,\hat\epsilon(c) - w\,\hat\epsilon(\text{null})$ *strengthens the prompt*.
# Here $c$ is the class label and $w$ the guidance weight. The network predicts twice, once with the class and once without.
# Guidance goes further in the direction in which the class has moved the prediction. $w = 0$ is the plain conditional model,
# $w = -1$ the unconditional one. (Imagen and Stable Diffusion call $1 + w$ the guidance scale; their 7.5 is 6.5 in this
# chapter.)
#
# The [playground](../docs/playground.md) has a slider for this weight (`minidiff playground --chapter 10`).

# %%
class Guided:
    """A denoiser that is guided towards a class."""

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
print(f"this class and minidiff's cfg differ by at most {np.abs(ours[1] - theirs[1]).max():.0e}")
assert np.allclose(ours, theirs, atol=1e-5)

# %% [markdown]
# A guided denoiser is a denoiser, so every sampler accepts it. Each column below is one class, from one start, with growing
# guidance weight:

# %%
weights, walk = [-1, -0.5, 0, 0.5, 1, 2, 4, 8], 2 if FAST else 20
rows = [sample("ddim", Guided(denoiser, asked, w), x.shape, steps=walk, x=x) for w in weights]
figure = viz.new_figure(7.4, 6.0, "constrained")
axes = figure.add_subplot()
axes.imshow(viz.image_grid(np.concatenate(rows), columns=10)[..., 0], cmap="gray", vmin=0, vmax=255)
axes.set_xticks(4.5 + 9 * asked, [str(label) for label in asked])
axes.set_yticks(4.5 + 9 * np.arange(len(weights)), [f"w = {w:g}" for w in weights])
axes.tick_params(length=0, labeltop=True, labelbottom=False)
axes.set_xlabel("class label")
axes.xaxis.set_label_position("top")
axes.spines[:].set_visible(False)
figure

# %% [markdown]
# ## What does guidance cost?
#
# Now let us measure it. A classifier that was trained on the real digits counts three things:
#
# - *Accuracy* is the share of samples in which it recognises the requested class.
# - *Diversity* is the mean distance between two samples of one class, in the classifier's features, divided by the same for
#   real digits. So real digits have diversity 1.
# - The *[Fréchet distance](../docs/glossary.md#fréchet-distance)* compares the features of samples with those of real digits.
#   Lower is better; chapter 14 builds it.

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


many = np.repeat(np.arange(10), 2 if FAST else 25)
start, found = Rng(3).standard_normal((len(many), 8, 8, 1)), {}
real_spread = spread(seen_in_real[:600], labels[:600])
for w in weights:
    made = sample("ddim", cfg(denoiser, many, w), start.shape, steps=walk, x=start)
    seen = metrics.features(judge, made)
    found[w] = (metrics.accuracy(judge, made, many), spread(seen, many) / real_spread,
                metrics.frechet_distance(seen, seen_in_real), (np.abs(made) > 1.05).mean())  # fmt: skip
    line = "w = {:4}   accuracy {:.2f}   diversity {:.2f}   Fréchet distance {:5.2f}   pixels out of range {:.1%}"
    print(line.format(w, *found[w]))

figure = viz.new_figure(9.4, 3.6, "tight")
left, right = figure.subplots(1, 2)
place = range(len(weights))
left.plot(place, [found[w][0] for w in weights], "o-", color=viz.COLOURS[0], label="accuracy")
left.plot(place, [found[w][1] for w in weights], "o-", color=viz.COLOURS[1], label="diversity within a class")
left.axhline(1, color="grey", linewidth=0.8)
left.set(xlabel="guidance weight w", title="Accuracy and diversity", ylim=(0, None))
left.legend(frameon=False, fontsize=9)
right.plot(place, [found[w][2] for w in weights], "o-", color=viz.COLOURS[2])
right.set(xlabel="guidance weight w", ylabel="Fréchet distance", title="Distance to real digits", ylim=(0, None))
for axes in (left, right):
    axes.set_xticks(place, [f"{w:g}" for w in weights])
figure

# %% [markdown]
# Without guidance the network already draws the requested class 95 times in 100; with $w = 0.5$ it always does. A larger weight
# gains nothing more, and it has a price. The samples of a class become alike, down to a quarter of the diversity of real
# digits. Nearly half of the pixels leave their range. The distance to real digits is smallest from $w = 0$ to 0.5. So "it
# strengthens the prompt" is true, but more guidance is better only while samples do not yet follow the prompt. (At $w = -1$ the
# network gets no class, and one sample in ten is right by chance.) `minidiff study guidance` measures weights up to 8:
# [table](../docs/studies.md#what-does-the-guidance-weight-do).
#
# ## Which distribution do guided samples come from?
#
# A mathematical answer is often given. By Bayes' rule, $p(c \mid x) = p(x \mid c)\,p(c) / p(x)$, and guidance follows the score
# of
#
# $$p(x \mid c)\; p(c \mid x)^{w} \;\propto\; \frac{p(x \mid c)^{1 + w}}{p(x)^{w}},$$
#
# This is the density of class $c$, **tilted** towards images of which a classifier would be sure. At each noise level this is
# true. We check it on a line, with two overlapping blobs, the classes 0 and 1, whose densities are known:

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
# So guided samples should come from the tilted density of the *clean* data. Do they? On a line we can compute this density on a
# fine grid. We compare it with samples of DDIM with the perfect denoiser and 250 steps:

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
    clouds[w] = sample("ddim", guided, noise.shape, steps=25 if FAST else 250, x=noise)[:, 0]
    print("w = {:3}   tilted density: mean {:.2f}, std {:.2f}   samples: mean {:.2f}, std {:.2f}".format(
        w, *moments(w), clouds[w].mean(), clouds[w].std()))  # fmt: skip
assert abs(clouds[0.0].mean() - moments(0.0)[0]) < 0.1
assert clouds[4.0].mean() > moments(4.0)[0] + 0.3 and clouds[4.0].std() < moments(4.0)[1]

# %% [markdown]
# The answer is only half true. Without guidance the samples have the right distribution. With guidance they lie **further out
# and are more alike** than the tilted density predicts. At each noise level the tilted score is right. But the tilted densities
# of the noise levels are not the noisy versions of *one* clean density. So a sampler that passes through them ends somewhere
# else.
#
# The error comes from the path through the noise levels and not from the score, and we can show this. Start from the guided
# samples and stay at the lowest noise level. Then let them drift along the same guided score with a little noise. This is
# *Langevin dynamics*; its samples end in the density to which the score belongs:

# %%
def langevin(x, w, steps, rng, size=0.05):
    guided = cfg(exact, np.ones(len(x), np.int64), w)
    for _ in range(steps):
        score = -guided(x, 0)[1] / schedule.sigma(0)
        x = x + size * score + np.sqrt(2 * size) * rng.standard_normal(x.shape, dtype=x.dtype)
    return x


settled = {w: langevin(clouds[w][:, None], w, 100 if FAST else 400, Rng(5))[:, 0] for w in tried}
for w in tried:
    print(f"w = {w:3}   after Langevin dynamics: mean {settled[w].mean():.2f}, std {settled[w].std():.2f}")
    assert abs(settled[w].mean() - moments(w)[0]) < 0.1 + 1 / np.sqrt(count)

figure = viz.new_figure(9.6, 3.2, "tight")
bins = np.linspace(-3, 6, 46)
for axes, w in zip(figure.subplots(1, 3, sharey=True), tried, strict=True):
    axes.hist(clouds[w], bins, density=True, color=viz.COLOURS[1], alpha=0.45, label="guided samples")
    axes.hist(settled[w], bins, density=True, histtype="step", color=viz.COLOURS[0], label="after Langevin dynamics")
    axes.plot(grid, tilted_density(w), color="black", linewidth=1.2, label="tilted density")
    axes.set(xlim=(-3, 6), xlabel="x", title=f"w = {w:g}")
figure.axes[0].legend(frameon=False, fontsize=8, loc="upper left")
figure

# %% [markdown]
# ## Exercises
#
# Complete each function and run its cell. The lines below the function test it. They print "right", or what is probably wrong.
# Each exercise has two folded hints, a small one and a bigger one.
#
# **Exercise 1.** Write guidance as Stable Diffusion does: start from the unconditional prediction and go `scale` times the
# difference to the conditional one.
#
# <details><summary>Hint</summary>
#
# Scale 0 gives the unconditional prediction, scale 1 the conditional one.
# </details>
# <details><summary>Bigger hint</summary>
#
# The difference from $a$ to $b$ is $b - a$. The result is the guidance formula of this chapter with `scale` $= 1 + w$.
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
# **Exercise 2.** Write guidance with a *negative prompt*: towards one class and away from another.
#
# <details><summary>Hint</summary>
#
# Guidance goes away from the prediction for the null class. Which class takes its place?
# </details>
# <details><summary>Bigger hint</summary>
#
# Call the denoiser twice, once for each class, and take the second of its two outputs. The two weights are those of guidance,
# and add up to 1.
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
# **Exercise 3.** With a large guidance weight the prediction becomes too large, and pixels leave their range. Lin and others
# (2024) rescale it: they give the guided prediction the standard deviation of the conditional one, image by image.
#
# <details><summary>Hint</summary>
#
# A factor multiplies the standard deviation by itself. So which factor turns one standard deviation into the other?
# </details>
# <details><summary>Bigger hint</summary>
#
# `.std(axis=(1, 2, 3), keepdims=True)` is the standard deviation of each image, in a shape that broadcasts over the image.
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
# **Exercise 4.** Where do the weights of the tilted density come from? Two blobs of variance 1 at -1 and 1 are equally likely.
# Compute $\log p(c = 1 \mid x)$, the log-probability that a perfect classifier predicts.
#
# <details><summary>Hint</summary>
#
# By Bayes' rule $p(1 \mid x)$ is one density divided by the sum of both. Most of the two exponents cancels.
# </details>
# <details><summary>Bigger hint</summary>
#
# $p(1 \mid x) = 1 / (1 + e^{-2x})$. Its logarithm must not overflow at $x = -1000$: `np.logaddexp(a, b)` computes
# $\log(e^a + e^b)$ without overflow.
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
# Now build guidance for training and for sampling, in three steps. Each exercise can pass without the others. In the chapter
# `SimpleLoss` drops the labels, and a guided denoiser calls the network twice.
#
# **Exercise 5.** Drop labels. Replace each sample's label by `null` with probability `rate`: draw `rng.random(len(labels))` and
# drop the label where the number is below `rate`. A label may be a number, or an array such as the words of a caption, so that
# `labels` is `(B, L)`. Such an array is dropped as a whole, and `null` is a number or one such array. Do not change the given
# labels.
#
# <details><summary>Hint</summary>
#
# There is one random number for each sample, whatever the rank of the labels. It must have a shape that broadcasts.
# </details>
# <details><summary>Bigger hint</summary>
#
# `np.where(gone, null, labels)` works for numbers. For labels with more axes, add as many axes of length 1 to `gone`:
# `labels.ndim - 1`.
# </details>

# %%
def drop_labels(labels, null, rate, rng):
    ...  # labels (B, ...) -> (B, ...)


if grading.answered(drop_labels, np.ones(2, int), 0, 0.5, np.random.default_rng(0)):
    mistakes.find(drop_labels, "10.drop_labels")
    print("exercise 5: right")

# %% [markdown]
# **Exercise 6.** Write the loss of a training step. Draw, in this order, `t = rng.integers(schedule.T, size=B)`, the noise
# `rng.standard_normal(x0.shape)`, and `rng.random(B)`. The last decides as in exercise 5 which labels (numbers here) become
# `null`. The model predicts the noise: `y, back_model = model(x_t, t, labels)`. Return the mean of $(y - \epsilon)^2$ over all
# entries, and `back(dloss)`. It calls `back_model` with the gradient by $y$ and returns the result.
#
# <details><summary>Hint</summary>
#
# $x_t = \alpha_t x_0 + \sigma_t \epsilon$ with `schedule.alpha(t)` and `schedule.sigma(t)`, both of shape $(B,)$. `x0` has any
# rank.
# </details>
# <details><summary>Bigger hint</summary>
#
# `.reshape((-1,) + (1,) * (x0.ndim - 1))` makes one number per sample broadcast over the sample. The derivative of a mean of
# squares has a factor 2, and is divided by the number of entries, `y.size`. `dloss` multiplies all of it.
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
# **Exercise 7.** Write guidance with **one** call of the network, on a batch of twice the size. Large models are evaluated in
# this way, since it is faster than two calls. `model(x, t, cond)` returns $\hat\epsilon$. Return the guided prediction,
# $(1 + w)\,\hat\epsilon(c) - w\,\hat\epsilon(\text{null})$. `w` is a number, or one number for each sample, `(B,)`.
#
# <details><summary>Hint</summary>
#
# The network treats each row of the batch independently. So the same $x$ and $t$ can occur twice in the batch, once with each
# label.
# </details>
# <details><summary>Bigger hint</summary>
#
# `np.concatenate` builds the double batch, and `np.split(..., 2)` splits the output. `np.full_like(cond, null)` has `cond`'s
# shape, also where `null` is an empty caption (a row of words). Give `w` a shape that broadcasts over whole samples.
# </details>

# %%
def guided_eps(model, x, t, cond, null, w):
    ...  # x (B, ...)   t (B,)   cond (B, ...)   -> eps, of x's shape


if grading.answered(guided_eps, lambda x, t, cond: x, np.ones((1, 1)), np.ones(1, int), np.ones(1, int), 0, 1.0):
    mistakes.find(guided_eps, "10.guided_eps")
    print("exercise 7: right")

# %% [markdown]
# The answers are in [docs/answers/10.py](../docs/answers/10.py), together with the hidden tests for graded assignments.
