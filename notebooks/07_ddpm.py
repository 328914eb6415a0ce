# %% [markdown]
# # 7. DDPM: the reverse process, step by step
#
# Adding noise is easy, one small step at a time (chapter 3). A network can predict the clean image behind a noisy one. But at
# high noise its prediction is a blur, the mean of all possible images (chapter 4). How can such a network turn pure noise into
# one sharp image? It takes **small steps back and predicts again after each**. This chapter builds this **reverse process**.
# Sampling with it is called *ancestral sampling*, or **DDPM** after the paper: denoising diffusion probabilistic models (Ho et
# al., 2020).
#
# {{install}}
# The code below needs neither the internet nor a GPU.
#
# **What you should know already.** A noisy image is $x_t = \sqrt{\bar\alpha_t}\,x_0 + \sqrt{1 - \bar\alpha_t}\,\epsilon$, where
# $x_0$ is the clean image, $\epsilon$ is standard normal noise, $\alpha_t = 1 - \beta_t$ and
# $\bar\alpha_t = \alpha_1 \cdots \alpha_t$. One more step is $x_t = \sqrt{\alpha_t}\,x_{t-1} + \sqrt{\beta_t}\,z$, with new
# noise $z$. A *denoiser* predicts $x_0$ and $\epsilon$ from $x_t$ and $t$. (Other chapters write $\alpha_t$ for
# $\sqrt{\bar\alpha_t}$, and the code counts $t$ from 0: see [chapter 3's table of symbols](03_adding_noise.ipynb).)

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
alpha_bar_before = np.append(1.0, alpha_bar[:-1])  # one step earlier; 1 before the first step, the clean image

# %% [markdown]
# ## If the clean image were known, what would one step back be?
#
# Suppose that $x_0$ is known. Then $x_{t-1}$ is constrained from two sides. The forward process leads from $x_0$ to $x_{t-1}$,
# with accumulated noise of variance $1 - \bar\alpha_{t-1}$. One more step leads from $x_{t-1}$ to $x_t$, which shrinks it and
# adds noise of variance $\beta_t$. The distribution of $x_{t-1}$ given both is called the **posterior**. It is Gaussian with
# variance $\tilde\beta_t$, and its mean $\tilde\mu$ is a weighted sum of $x_0$ and $x_t$:
#
# $$\tilde\mu = \frac{\sqrt{\bar\alpha_{t-1}}\,\beta_t}{1 - \bar\alpha_t}\,x_0 +
# \frac{\sqrt{\alpha_t}\,(1 - \bar\alpha_{t-1})}{1 - \bar\alpha_t}\,x_t, \qquad
# \tilde\beta_t = \frac{1 - \bar\alpha_{t-1}}{1 - \bar\alpha_t}\,\beta_t .$$
#
# Let us measure this. We send 200,000 copies of one number to $t-1$ and one step further to $t$, and fit a straight line to
# $x_{t-1}$ as a function of $x_t$. The line must have these coefficients, and the residuals must have this variance.

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
# ## When sampling starts there is no image: what is $t$ then?
#
# Sampling starts from pure noise and counts $t$ down, from $T - 1$ to 0. At each step it calls the model as $f(x, t)$, puts the
# *predicted* $x_0$ into the formula, and adds fresh noise of variance $\tilde\beta_t$. This is the whole **sampler**:

# %%
def ddpm(denoiser, x, rng, step_noise=1.0):
    """Walk from noise to a sample.   x (B, ...)   yields (t, x, the predicted x0), T times"""
    for t in range(T - 1, -1, -1):
        x0, _ = denoiser(x, t)
        a, b, std = float(c_x0[t]), float(c_xt[t]), float(beta_tilde[t]) ** 0.5  # Python floats keep the dtype float32 of x
        x = a * x0 + b * x
        if t > 0:  # the last step returns the finished image
            x = x + step_noise * std * rng.standard_normal(x.shape, dtype=x.dtype)
        yield t, x, x0


# %% [markdown]
# ## Does it work with a perfect denoiser?
#
# To test the sampler and not a network, we need a perfect denoiser. For points drawn from a mixture of Gaussians there is one:
# the posterior mean of $x_0$ is known exactly, and `GaussianMixture` computes it. The data are eight Gaussian blobs on a ring,
# each with standard deviation 0.1:

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
print("share of the points in each blob:", shares.round(3), "(expected: 0.125)")
print(f"standard deviation within a blob: {spread:.3f} (expected: 0.100)")
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
axes[1, 0].set_ylabel("predicted $x_0$")
figure

# %% [markdown]
# The upper row shows the points. The lower row shows, at the same step, where the denoiser predicts that each will end. At
# first all predictions are near the centre, which is the mean of the eight blobs. They spread as the noise decreases. Each
# small step moves the point only a little towards its prediction, so there is time for the prediction to improve.
#
# ## Why does a step *back* add noise?
#
# Adding noise looks wrong, because we want less of it. Let us leave it out. (This is a common bug, because the images still
# look fine.)

# %%
quiet = list(ddpm(perfect, start, np.random.default_rng(1), step_noise=0.0))[-1][1]
_, quiet_spread = blobs(quiet)
print(f"standard deviation within a blob: with step noise {spread:.3f}, without {quiet_spread:.3f}, true 0.100")
assert quiet_spread < 0.7 * spread

figure = viz.new_figure(7, 3.4, "tight")
for number, (points, title) in enumerate([(made, "With step noise"), (quiet, "Without step noise")]):
    axes = figure.add_subplot(1, 2, number + 1)
    axes.scatter(*points.T, s=3, color=viz.COLOURS[number], alpha=0.5, linewidths=0)
    axes.set(xlim=(-2.1, 2.1), ylim=(-2.1, 2.1), aspect="equal", title=title)
figure

# %% [markdown]
# Without the step noise, the points are too close together. Each step moves to the mean of the possible $x_{t-1}$; the noise
# represents their spread. Taking the mean in every step loses variety. (A sampler without noise *can* be right, with other
# coefficients: [DDIM](../docs/glossary.md#ddim).)
#
# ## The same with minidiff's sampler
#
# minidiff's `samplers.ddpm` is this loop. With the same start and the same noise it must return the same points.

# %%
theirs = [step.x for step in samplers.ddpm(perfect, start, rng=Rng(5))]
ours = [x for _, x, _ in ddpm(perfect, start, Rng(5))]
print(f"{len(theirs)} steps; the points of the two loops differ by at most {np.abs(theirs[-1] - ours[-1]).max():.0e}")
assert len(theirs) == len(ours) == T and np.abs(theirs[-1] - ours[-1]).max() < 1e-8

# %% [markdown]
# ## Sampling with a trained network
#
# Next we use a small U-Net, the usual network for images, trained briefly on the real 8 x 8 digits. The sampler does not
# change: it takes any function that returns `(x0, eps)`.

# %%
digits, _ = data.load("digits")
net = models.UNet(in_channels=1, out_channels=1, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8, rng=0)
objective = SimpleLoss(schedule, "v")  # v = alpha eps - sigma x0; x0 is well defined even at pure noise
steps, batch = (10, 16) if FAST else (600, 64)
trainer = training.Trainer(net, objective, digits, steps=steps, batch_size=batch, lr=3e-3, warmup=10, ema_decay=None)
history = trainer.run(progress=False)
print(f"{net.size():,} parameters, loss {history.loss[0]:.2f} -> {np.mean(history.loss[-20:]):.2f}")
assert np.mean(history.loss[-5:]) < history.loss[0]

count = 3 if FAST else 20
noise = Rng(1).standard_normal((count, 8, 8, 1))
walk = list(ddpm(objective.denoiser(net), noise, Rng(2)))
viz.show_grid(walk[-1][1], columns=10, title=f"{count} samples, each after {T} steps")

# %% [markdown]
# ## The predicted $x_0$ at each step
#
# The figure shows three trajectories. In each pair of rows, the upper one is $x$ after the step from $t$, and the lower one is
# the network's prediction of $x_0$ in that step. It is a blur at first, and a digit long before the noise is gone.
# (`viz.save_gif([x for _, x, _ in walk], "walk.gif")` saves all steps as an animation.)
#
# The [playground](../docs/playground.md) shows this for 2,000 points in the plane (`minidiff playground --chapter 07`). Touch a
# point to see its path and the $x_0$ that the model predicts for it.

# %%
picked = np.linspace(0, T - 1, 10).round().astype(int)
rows = [walk[i][part][k] for k in range(3) for part in (1, 2) for i in picked]
figure = viz.new_figure(10.1, 5.8)
axes = figure.add_axes((0.115, 0.01, 0.878, 0.94))
axes.imshow(viz.image_grid(np.stack(rows), columns=10)[..., 0], cmap="gray", vmin=0, vmax=255)
axes.set_yticks(4.5 + 9 * np.arange(6), ["$x$", "predicted $x_0$"] * 3)
axes.set_xticks(4.5 + 9 * np.arange(10), [f"t = {walk[i][0]}" for i in picked])
axes.tick_params(length=0, labeltop=True, labelbottom=False)
axes.spines[:].set_visible(False)
figure

# %%
final = walk[-1][1]
gap = np.array([((x0 - final) ** 2).mean() for _, _, x0 in walk])
print("mean squared difference between the predicted x0 and the sample:",
      ", ".join(f"{gap[i]:.3f} at t = {walk[i][0]}" for i in picked[::3]))  # fmt: skip
assert gap[-1] < 1e-6 < gap[0]  # the last prediction is the sample

# %% [markdown]
# ## Are there as many denoising steps as noising steps?
#
# In DDPM, yes: $T$ noising steps, and $T$ calls of the network for every image. This makes it slow. Other samplers need fewer
# calls: the next chapter skips steps, first in a wrong way and then in a right way.
#
# ## Exercises
#
# Complete each function and run its cell. The lines below the function test it. They print "right", or what is probably wrong.
# Each exercise has two folded hints, a small one and a bigger one.
#
# **Exercise 1.** The paper writes the mean with the *noise* instead of $x_0$. Complete its formula:
# $\frac{1}{\sqrt{\alpha_t}}\bigl(x_t - \dots\,\hat\epsilon\bigr)$.
#
# <details><summary>Hint</summary>
#
# Substitute $x_0 = (x_t - \sqrt{1 - \bar\alpha_t}\,\hat\epsilon)/\sqrt{\bar\alpha_t}$ in $\tilde\mu$ and collect the factor of
# $\hat\epsilon$.
# </details>
# <details><summary>Bigger hint</summary>
#
# Use $\sqrt{\bar\alpha_{t-1}} / \sqrt{\bar\alpha_t} = 1 / \sqrt{\alpha_t}$ to remove $t - 1$ from the formula. What remains is
# $\beta_t$ divided by a noise level.
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
# **Exercise 2.** Some code adds step noise of variance $\beta_t$ in place of $\tilde\beta_t$. What share of it is too much?
# Return $(\beta_t - \tilde\beta_t)/\beta_t$ from `alpha_bar` alone.
#
# <details><summary>Hint</summary>
#
# The formula of $\tilde\beta_t$ is at the top of the chapter. Divide it by $\beta_t$.
# </details>
# <details><summary>Bigger hint</summary>
#
# $\tilde\beta_t / \beta_t$, the right share, is a quotient of two noise variances, one step apart.
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
# **Exercise 3.** Denoise an image that is not pure noise: given $x$ at timestep $t$, sample from there on. The tables `c_x0`,
# `c_xt` and `beta_tilde` are those of the chapter. Draw noise with `rng.standard_normal(x.shape)`.
#
# <details><summary>Hint</summary>
#
# It is the loop of `ddpm` with another start, and with `return` in place of `yield`.
# </details>
# <details><summary>Bigger hint</summary>
#
# The first step is the one from $t$ itself. The last is the step from 0, and it adds no noise. Write `x = ...`, not `x += ...`,
# so that the input array stays unchanged.
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
    assert 0.06 < spread < 0.12, f"standard deviation in a blob: got {spread:.3f}, expected 0.100; check the step noise"
    assert len(set(nearest)) == 8
    print("exercise 3: right")

# %% [markdown]
# ### Build it: a sampler for models that predict noise
#
# Now build the whole sampler, in three steps. Most models predict $\epsilon$. Their samplers *clip* the predicted $x_0$ to the
# range of the data and use one of two variances. Each exercise can pass without the others.
#
# **Exercise 4.** Compute the mean of $x_{t-1}$ from $x_t$ and $\hat\epsilon$, with `betas` alone: all other tables follow from
# it. If `clip` is a number, clip the predicted $x_0$ to $[-\text{clip}, \text{clip}]$ before you use it. Before the first step
# $\bar\alpha$ is 1. Do not use `Posterior`.
#
# <details><summary>Hint</summary>
#
# The short formula of exercise 1 has no $x_0$ to clip. Compute the predicted $x_0$ first, then $\tilde\mu$.
# </details>
# <details><summary>Bigger hint</summary>
#
# `np.cumprod(1 - betas)` is $\bar\alpha$. Its entry $t - 1$ exists only for $t \ge 1$: in Python, `alpha_bar[-1]` is the last
# entry and raises no error.
# </details>

# %%
def step_mean(x, eps, t, betas, clip=None):
    ...  # x, eps (B, ...)   t a whole number   betas (T,)   -> (B, ...)


if grading.answered(step_mean, start, start, 5, beta):
    mistakes.find(step_mean, "07.step_mean")
    print("exercise 4: right")

# %% [markdown]
# **Exercise 5.** Return the noise of every step as a table of standard deviations. For kind `"small"` the variance is
# $\tilde\beta_t$, for `"large"` it is $\beta_t$. The step from $t = 0$ adds no noise, so its entry is 0 for both kinds.
#
# <details><summary>Hint</summary>
#
# The formula gives $\tilde\beta_0 = 0$ if $\bar\alpha$ before the first step is 1. $\beta_0$ is not 0.
# </details>
# <details><summary>Bigger hint</summary>
#
# `np.append(1.0, alpha_bar[:-1])` is $\bar\alpha$ one step earlier, for all $t$ at once. A standard deviation is the square
# root of a variance.
# </details>

# %%
def step_std(betas, kind):
    ...  # betas (T,)   kind "small" or "large"   -> (T,)


if grading.answered(step_std, beta, "small"):
    mistakes.find(step_std, "07.step_std")
    print("exercise 5: right")

# %% [markdown]
# **Exercise 6.** Write the whole loop. Draw $x_T$ of the given `shape` and take all the steps. In each step the model gets $x$
# and an array of integers, $t$ for each image of the batch, and returns $\hat\epsilon$. `mean(x, eps, t)` returns the mean one
# step back, and `std[t]` is the standard deviation of the noise of this step; `std` has one entry for each of the $T$ steps.
# Draw with `rng.standard_normal(shape)`, and draw nothing after the last step.
#
# <details><summary>Hint</summary>
#
# How many random arrays does sampling with $T$ steps draw? Count $x_T$, and count the steps that add noise.
# </details>
# <details><summary>Bigger hint</summary>
#
# `np.full(shape[0], t)` is $t$ for each image. In each step, call the model, take the mean, and add noise unless this is the
# step from 0.
# </details>

# %%
def ddpm_sampler(model, mean, std, shape, rng):
    ...  # -> x (B, ...)


if grading.answered(ddpm_sampler, lambda x, t: x, lambda x, eps, t: x, np.zeros(2), (1, 2), np.random.default_rng(0)):
    mistakes.find(ddpm_sampler, "07.ddpm_sampler")
    print("exercise 6: right")

# %% [markdown]
# The answers are in [docs/answers/07.py](../docs/answers/07.py), together with the hidden tests for graded assignments.
