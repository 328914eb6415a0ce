# %% [markdown]
# # 7. DDPM: walking back all the steps
#
# Noise goes in easily, one small step at a time (chapter 3). A network can guess the clean picture behind a noisy one, but at
# high noise its guess is a blur, the mean of everything it might be (chapter 4). How does one get from pure noise to one
# sharp picture with such a network? By taking **small steps back and asking again after each**. This chapter builds that
# walk. It is called *ancestral sampling*, or by the name of the paper, **DDPM**: denoising diffusion probabilistic models (Ho
# and others, 2020).
#
# {{install}}
# The code below needs neither the internet nor a GPU.
#
# **What you should know already.** A noisy picture is $x_t = \sqrt{\bar\alpha_t}\,x_0 + \sqrt{1 - \bar\alpha_t}\,\epsilon$,
# where $\epsilon$ is noise from the bell curve, $\alpha_t = 1 - \beta_t$ and $\bar\alpha_t$ is the product of the first of
# them; one more step is $x_t = \sqrt{\alpha_t}\,x_{t-1} + \sqrt{\beta_t}\,z$. A *denoiser* answers, from $x_t$ and $t$, its
# guess of $x_0$ and of $\epsilon$. (Other chapters write $\alpha_t$ for $\sqrt{\bar\alpha_t}$, and the code counts $t$ from 0:
# see [chapter 3's table of symbols](03_adding_noise.ipynb).)

# %%
import os

import numpy as np

from minidiff import data, grading, mistakes, models, samplers, training, viz
from minidiff.diffusion import GaussianMixture, Schedule, SimpleLoss
from minidiff.rng import Rng

FAST = bool(os.environ.get("MINIDIFF_FAST"))  # the tests set this: everything runs, with smaller numbers
rng = np.random.default_rng(0)
T = 100 if FAST else 500
schedule = Schedule.linear(T, scale_to_T=True)
beta, alpha_bar = schedule.betas, schedule.alpha_bar
alpha_bar_before = np.append(1.0, alpha_bar[:-1])  # one step earlier; before the first step, all is picture

# %% [markdown]
# ## If I knew the clean picture, what would one step back be?
#
# Suppose somebody told us $x_0$. Then $x_{t-1}$ has two witnesses: from before, $x_0$ with gathered noise of variance $1 -
# \bar\alpha_{t-1}$; from after, $x_t$, which is $x_{t-1}$ shrunk plus noise of variance $\beta_t$. Two Gaussian witnesses
# together give a Gaussian, its mean a weighted mean of what they say:
#
# $$\tilde\mu = \frac{\sqrt{\bar\alpha_{t-1}}\,\beta_t}{1 - \bar\alpha_t}\,x_0 +
# \frac{\sqrt{\alpha_t}\,(1 - \bar\alpha_{t-1})}{1 - \bar\alpha_t}\,x_t, \qquad
# \tilde\beta_t = \frac{1 - \bar\alpha_{t-1}}{1 - \bar\alpha_t}\,\beta_t .$$
#
# Let us measure it: walk 200,000 copies of one number to $t-1$ and one step on to $t$, and ask how $x_{t-1}$ depends on
# $x_t$. A straight line fitted through the pairs has to have these coefficients, and the rest has to have this variance.

# %%
c_x0 = np.sqrt(alpha_bar_before) * beta / (1 - alpha_bar)
c_xt = np.sqrt(1 - beta) * (1 - alpha_bar_before) / (1 - alpha_bar)
beta_tilde = beta * (1 - alpha_bar_before) / (1 - alpha_bar)

x0, t, n = 0.8, T // 20, 200_000
rng = np.random.default_rng(3)
before = np.sqrt(alpha_bar[t - 1]) * x0 + np.sqrt(1 - alpha_bar[t - 1]) * rng.standard_normal(n)
after = np.sqrt(1 - beta[t]) * before + np.sqrt(beta[t]) * rng.standard_normal(n)
slope, offset = np.polyfit(after, before, 1)
rest = (before - slope * after - offset).var()
print(f"slope    measured {slope:.4f}   formula {c_xt[t]:.4f}")
print(f"offset   measured {offset:.4f}   formula {c_x0[t] * x0:.4f}")
print(f"variance measured {rest:.6f} formula {beta_tilde[t]:.6f}")
assert abs(slope - c_xt[t]) < 0.01 and abs(offset - c_x0[t] * x0) < 0.01 and abs(rest / beta_tilde[t] - 1) < 0.02

# %% [markdown]
# ## At serving time there is no picture: what is $t$ then?
#
# We start from pure noise and count $t$ down, from $T - 1$ to 0. At each step the model is called as $f(x, t)$, its *guess*
# takes the place of $x_0$ in the formula, and fresh noise of variance $\tilde\beta_t$ is added. The whole sampler:

# %%
def ddpm(denoiser, x, rng, step_noise=1.0):
    """Walk from noise to a sample.   x (B, ...)   yields (t, x, the guess of x0), T times"""
    for t in range(T - 1, -1, -1):
        x0, _ = denoiser(x, t)
        a, b, std = float(c_x0[t]), float(c_xt[t]), float(beta_tilde[t]) ** 0.5  # plain numbers leave x its float32
        x = a * x0 + b * x
        if t > 0:  # the last step adds no noise: the picture is finished
            x = x + step_noise * std * rng.standard_normal(x.shape, dtype=x.dtype)
        yield t, x, x0


# %% [markdown]
# ## Does it work? First without any network
#
# To test the walk and not a network, we want a perfect denoiser. For points drawn from a few Gaussian blobs there is one: the
# best guess of $x_0$ is known exactly (`GaussianMixture` writes it down). Eight blobs on a ring, each of standard deviation
# 0.1:

# %%
angle = 2 * np.pi * np.arange(8) / 8
ring = GaussianMixture(1.5 * np.stack([np.cos(angle), np.sin(angle)], axis=1), stds=0.1)
perfect = ring.denoiser(schedule)

rng = np.random.default_rng(7)
start = rng.standard_normal((1000, 2))
walk = list(ddpm(perfect, start, np.random.default_rng(1)))
made = walk[-1][1]


def blobs(points):
    """Which blob each point belongs to, and the standard deviation inside a blob."""
    nearest = ((points[:, None] - ring.means) ** 2).sum(axis=2).argmin(axis=1)
    centres = np.array([points[nearest == k].mean(axis=0) for k in range(8)])
    return nearest, np.sqrt(((points - centres[nearest]) ** 2).mean())


nearest, spread = blobs(made)
shares = np.bincount(nearest, minlength=8) / len(made)
print("share of each blob", shares.round(3), f"(even: 0.125)   spread {spread:.3f} (true: 0.100)")
assert np.abs(shares - 1 / 8).max() < 5 * np.sqrt(1 / 8 * 7 / 8 / 1000) and 0.07 < spread < 0.115

# %%
shown = [0, T // 2, T * 3 // 4, T * 7 // 8, T - 1]
figure = viz.new_figure(10, 4.4, "tight")
axes = figure.subplots(2, 5, sharex=True, sharey=True)
for column, i in enumerate(shown):
    t, x, x0 = walk[i]
    axes[0, column].scatter(*x.T, s=2, color=viz.COLOURS[0], alpha=0.5, linewidths=0)
    axes[1, column].scatter(*x0.T, s=2, color=viz.COLOURS[1], alpha=0.5, linewidths=0)
    axes[0, column].set_title(f"after step t = {t}", fontsize=10)
for axis in axes.flat:
    axis.set(xlim=(-2.6, 2.6), ylim=(-2.6, 2.6), aspect="equal", xticks=[], yticks=[])
axes[0, 0].set_ylabel("$x$")
axes[1, 0].set_ylabel(r"guess of $x_0$")
figure

# %% [markdown]
# Above, the points; below, at the same moment, the denoiser's guess of where each will end. At first all guesses are near the
# middle, the mean of the eight blobs. They spread as the noise goes down, and each small step follows its guess only a little
# way, so there is time for the guess to get better.
#
# ## Why is noise added on the way *back*?
#
# It looks like a mistake: we want less noise, not more. Leave it out and see. (A common bug, because the pictures still look
# fine.)

# %%
quiet = list(ddpm(perfect, start, np.random.default_rng(1), step_noise=0.0))[-1][1]
_, quiet_spread = blobs(quiet)
print(f"spread of a blob: with noise {spread:.3f}, without {quiet_spread:.3f}, true 0.100")
assert quiet_spread < 0.7 * spread

figure = viz.new_figure(7, 3.4, "tight")
for number, (points, title) in enumerate([(made, "with noise on the way"), (quiet, "without")]):
    axes = figure.add_subplot(1, 2, number + 1)
    axes.scatter(*points.T, s=3, color=viz.COLOURS[number], alpha=0.5, linewidths=0)
    axes.set(xlim=(-2.1, 2.1), ylim=(-2.1, 2.1), aspect="equal", title=title)
figure

# %% [markdown]
# Without it, the points huddle together. Each step's mean is the middle of what $x_{t-1}$ may be; the noise stands for the
# rest. Always taking the middle loses variety. (There *is* a right way to walk without noise, with other coefficients:
# [DDIM](../docs/glossary.md#ddim).)
#
# ## Handing over
#
# minidiff's `samplers.ddpm` is this loop. From the same start and the same noise it must make the same points.

# %%
theirs = [step.x for step in samplers.ddpm(perfect, start, rng=Rng(5))]
ours = [x for _, x, _ in ddpm(perfect, start, Rng(5))]
print(f"{len(theirs)} steps; the points differ by at most {np.abs(theirs[-1] - ours[-1]).max():.0e}")
assert len(theirs) == len(ours) == T and np.abs(theirs[-1] - ours[-1]).max() < 1e-8

# %% [markdown]
# ## And with a network
#
# A small U-Net, the usual network for pictures, trained for a short while on the real 8 x 8 digits. The sampler does not
# change: it takes anything that answers `(x0, eps)`.

# %%
digits, _ = data.load("digits")
net = models.UNet(in_channels=1, out_channels=1, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8, rng=0)
objective = SimpleLoss(schedule, "v")  # v = alpha eps - sigma x0: its guess of x0 is tame even in pure noise
steps, batch = (10, 32) if FAST else (600, 64)
trainer = training.Trainer(net, objective, digits, steps=steps, batch_size=batch, lr=3e-3, warmup=10, ema_decay=None)
history = trainer.run(progress=False)
print(f"{net.size():,} parameters, loss {history.loss[0]:.2f} -> {np.mean(history.loss[-20:]):.2f}")
assert np.mean(history.loss[-5:]) < history.loss[0]

count = 4 if FAST else 20
noise = Rng(1).standard_normal((count, 8, 8, 1))
walk = list(ddpm(objective.denoiser(net), noise, Rng(2)))
viz.show_grid(walk[-1][1], columns=10, title=f"{count} digits that nobody wrote, after {T} steps each")

# %% [markdown]
# ## The predicted $x_0$ at each step
#
# Three walks in images. In each pair of rows, above $x$ after the step from $t$, below the network's guess of $x_0$ in it: a
# blur first, a digit long before the noise has gone. (`viz.save_gif([x for _, x, _ in walk], "walk.gif")` makes a film of it.)

# %%
picked = np.linspace(0, T - 1, 10).round().astype(int)
rows = [walk[i][part][k] for k in range(3) for part in (1, 2) for i in picked]
figure = viz.new_figure(9.8, 5.8)
axes = figure.add_axes((0.09, 0.01, 0.905, 0.94))
axes.imshow(viz.image_grid(np.stack(rows), columns=10)[..., 0], cmap="gray", vmin=0, vmax=255)
axes.set_yticks(4.5 + 9 * np.arange(6), ["$x$", "guess of $x_0$"] * 3)
axes.set_xticks(4.5 + 9 * np.arange(10), [f"t = {walk[i][0]}" for i in picked])
axes.tick_params(length=0, labeltop=True, labelbottom=False)
axes.spines[:].set_visible(False)
figure

# %%
final = walk[-1][1]
gap = np.array([((x0 - final) ** 2).mean() for _, _, x0 in walk])
print("squared distance of the guess from what comes out:", *(f"t = {walk[i][0]}: {gap[i]:.3f}" for i in picked[::3]))
assert gap[-1] < 1e-6 < gap[0]  # the last guess is the answer

# %% [markdown]
# ## Are there as many denoising as noising steps?
#
# In DDPM, yes: $T$ steps there and $T$ calls of the network back, for every single picture. This is why it is slow. It is not
# a law: the next chapter skips steps, first wrongly, then rightly.
#
# ## Exercises
#
# Complete each function and run its cell. The lines below the function test it. They print "right", or what is probably wrong.
# Each exercise has two folded hints, a small one and a bigger one.
#
# **Exercise 1.** The paper writes the mean with the *noise* instead of $x_0$. Fill in its form:
# $\frac{1}{\sqrt{\alpha_t}}\bigl(x_t - \dots\,\hat\epsilon\bigr)$.
#
# <details><summary>Hint</summary>
#
# Put $x_0 = (x_t - \sqrt{1 - \bar\alpha_t}\,\hat\epsilon)/\sqrt{\bar\alpha_t}$ into $\tilde\mu$ and collect what stands before
# $\hat\epsilon$.
# </details>
# <details><summary>Bigger hint</summary>
#
# Use $\sqrt{\bar\alpha_{t-1}} / \sqrt{\bar\alpha_t} = 1 / \sqrt{\alpha_t}$: it takes the $t - 1$ out of the formula. What
# remains is $\beta_t$ divided by a noise level.
# </details>

# %%
def mean_from_eps(x, eps, t, beta, alpha_bar):
    ...  # return the mean of x one step back


if grading.answered(mean_from_eps, start, start, 5, beta, alpha_bar):
    mistakes.find(mean_from_eps, "07.mean_from_eps")
    x0, eps = perfect(start, 30)
    grading.same(mean_from_eps(start, eps, 30, beta, alpha_bar), c_x0[30] * x0 + c_xt[30] * start, "the mean")
    print("exercise 1: right")

# %% [markdown]
# **Exercise 2.** Some code adds step noise of variance $\beta_t$ in place of $\tilde\beta_t$. Which share of it is too much?
# Return $(\beta_t - \tilde\beta_t)/\beta_t$ from `alpha_bar` alone.
#
# <details><summary>Hint</summary>
#
# The formula of $\tilde\beta_t$ stands at the top of the chapter. Divide it by $\beta_t$.
# </details>
# <details><summary>Bigger hint</summary>
#
# $\tilde\beta_t / \beta_t$ is a quotient of two noise variances, one step apart. It is the share that is right.
# </details>

# %%
def too_much(alpha_bar, t):
    ...  # t >= 1; return a number


if grading.answered(too_much, alpha_bar, 5):
    mistakes.find(too_much, "07.too_much")
    for t in (1, 10, T - 1):
        grading.same(too_much(alpha_bar, t), (beta[t] - beta_tilde[t]) / beta[t], f"the share at t = {t}")
    print("exercise 2: right")

# %% [markdown]
# **Exercise 3.** Clean an image that is not pure noise: given $x$ at noise level $t$, walk back from there. The tables `c_x0`,
# `c_xt` and `beta_tilde` are those of the chapter. Draw noise with `rng.standard_normal(x.shape)`.
#
# <details><summary>Hint</summary>
#
# It is the loop of `ddpm` with another beginning, and it returns in place of `yield`.
# </details>
# <details><summary>Bigger hint</summary>
#
# The first step is the one from $t$ itself, the last is the one from 0 and adds no noise. Write `x = ...`, not `x += ...`: the
# array that you are given must stay as it is.
# </details>

# %%
def walk_from(denoiser, x, t, c_x0, c_xt, beta_tilde, rng):
    ...  # return the finished x


rng = np.random.default_rng(23)
if grading.answered(walk_from, perfect, start[:1], 0, c_x0, c_xt, beta_tilde, rng):
    mistakes.find(walk_from, "07.walk_from")
    clean = ring.sample(1, 500)
    noisy = schedule.add_noise(clean, rng.standard_normal(clean.shape), T // 4)
    cleaned = walk_from(perfect, noisy, T // 4, c_x0, c_xt, beta_tilde, np.random.default_rng(0))
    nearest, spread = blobs(cleaned)
    assert 0.06 < spread < 0.12, f"the spread of a blob is {spread:.3f}, 0.100 is true: is the step noise right?"
    assert len(set(nearest)) == 8
    print("exercise 3: right")

# %% [markdown]
# ### Build it: a sampler for models that predict noise
#
# Now the real thing, in three steps. Most models predict $\epsilon$ and are sampled with a guess of $x_0$ that is *clipped* to
# the range of the data, with either of two variances. Each step can pass without the others.
#
# **Exercise 4.** The mean of $x_{t-1}$ from $x_t$ and $\hat\epsilon$, with `betas` alone: all other tables follow from it. If
# `clip` is a number, the guess of $x_0$ is clipped to $[-\text{clip}, \text{clip}]$ before it is used. Before the first step
# $\bar\alpha$ is 1. Write it without `Posterior`.
#
# <details><summary>Hint</summary>
#
# Exercise 1's short form has no $x_0$ that could be clipped. Go the long way: first the guess of $x_0$, then $\tilde\mu$.
# </details>
# <details><summary>Bigger hint</summary>
#
# `np.cumprod(1 - betas)` is $\bar\alpha$. Its entry $t - 1$ exists for $t \ge 1$ only: in Python, `alpha_bar[-1]` is the last
# entry and raises no error.
# </details>

# %%
def step_mean(x, eps, t, betas, clip=None):
    ...  # x, eps (B, ...)   t a whole number   betas (T,)   -> (B, ...)


if grading.answered(step_mean, start, start, 5, beta):
    mistakes.find(step_mean, "07.step_mean")
    print("exercise 4: right")

# %% [markdown]
# **Exercise 5.** The noise of each step, as a table of standard deviations. For kind `"small"` the variance is $\tilde\beta_t$,
# for `"large"` it is $\beta_t$. The step from $t = 0$ adds no noise, so its entry is 0 in both.
#
# <details><summary>Hint</summary>
#
# $\tilde\beta_0$ is 0 by its formula, if $\bar\alpha$ before the first step is 1. $\beta_0$ is not.
# </details>
# <details><summary>Bigger hint</summary>
#
# `np.append(1.0, alpha_bar[:-1])` is $\bar\alpha$ one step earlier, for all $t$ at once. A standard deviation is the root of a
# variance.
# </details>

# %%
def step_std(betas, kind):
    ...  # betas (T,)   kind "small" or "large"   -> (T,)


if grading.answered(step_std, beta, "small"):
    mistakes.find(step_std, "07.step_std")
    print("exercise 5: right")

# %% [markdown]
# **Exercise 6.** The whole loop. Draw $x_T$ of the given `shape` and walk all the steps. At each, the model gets $x$ and an
# array of whole numbers, $t$ for each image of the batch, and returns $\hat\epsilon$. `mean(x, eps, t)` gives the mean one step
# back, and `std[t]` the standard deviation of the noise of this step; `std` has one entry for each of the $T$ steps. Draw with
# `rng.standard_normal(shape)`, and nothing after the last step.
#
# <details><summary>Hint</summary>
#
# How many random arrays does a walk of $T$ steps draw? Count $x_T$, and count the steps that add noise.
# </details>
# <details><summary>Bigger hint</summary>
#
# `np.full(shape[0], t)` is $t$ for each image. The order in a step is: ask the model, take the mean, add noise unless this was
# the step from 0.
# </details>

# %%
def ddpm_sampler(model, mean, std, shape, rng):
    ...  # -> x (B, ...)


if grading.answered(ddpm_sampler, lambda x, t: x, lambda x, eps, t: x, np.zeros(2), (1, 2), np.random.default_rng(0)):
    mistakes.find(ddpm_sampler, "07.ddpm_sampler")
    print("exercise 6: right")

# %% [markdown]
# The answers are in [docs/answers/07.py](../docs/answers/07.py), together with the hidden tests for graded assignments.
