# %% [markdown]
# # 3. Adding noise
#
# A diffusion model learns to turn noise into images. To train it, we first need the opposite: a process that turns an image
# into noise, step by step. This is called the **forward process**. It contains no network and nothing to learn. It also
# introduces most of the symbols in the papers, so we build it slowly.
#
# {{install}}
# The code below needs neither the internet nor a GPU.

# %%
import os

import numpy as np

from minidiff import data, grading, mistakes, models, samplers, training, viz
from minidiff.diffusion import Posterior, Schedule, SimpleLoss
from minidiff.samplers.gaussian_chain import generated_variance

FAST = bool(os.environ.get("MINIDIFF_FAST"))  # the tests set this: everything runs, with smaller numbers
rng = np.random.default_rng(0)

# %% [markdown]
# ## How is noise added?
#
# Noise is added in many small steps. Let $x_0$ be the clean image and $x_t$ the image after $t$ steps; the number $t$ is the
# **timestep**. Step $t$ shrinks the image a little and adds a little Gaussian noise. In the formula, $z$ is an array of the
# image's shape, whose entries are independent random numbers with a normal distribution of mean 0 and variance 1:
#
# $$x_t = \sqrt{1 - \beta_t}\; x_{t-1} + \sqrt{\beta_t}\; z.$$
#
# $\beta_t$ is the **variance that step $t$ adds**, a small number chosen in advance. Why shrink the image at all? So that the
# variance does not grow: if $x_{t-1}$ has variance 1, then $x_t$ has variance $(1 - \beta_t) + \beta_t = 1$ again. The list of
# all $\beta_t$ is the **noise schedule**. The first one, of Ho et al. (2020), grows along a straight line in $T = 1000$ steps.
# It is called the **linear schedule**:

# %%
T = 1000
betas = np.linspace(1e-4, 0.02, T)


def one_step(x, t):
    return np.sqrt(1 - betas[t]) * x + np.sqrt(betas[t]) * rng.standard_normal(x.shape)


rng = np.random.default_rng(3)
digits, labels = data.load("digits")  # 8 x 8 pixels, from -1 (black) to 1 (white)
x, states = digits[:4].astype(np.float64), [digits[:4]]
for t in range(T):
    x = one_step(x, t)
    states.append(x)
assert abs(x.mean()) < 0.3 and abs(x.std() - 1) < 0.2  # no trace of the image is left
viz.denoising_strip(states, times=range(T + 1), samples=4, columns=11, title="Four digits after t small steps")

# %% [markdown]
# ## Do I have to take all the steps?
#
# No, and this makes training practical. A sum of independent Gaussian numbers is Gaussian again, and the variances add up.
# After two steps the image is multiplied by $\sqrt{(1-\beta_1)(1-\beta_2)}$, and the accumulated noise has variance
# $(1-\beta_2)\beta_1 + \beta_2 = 1 - (1-\beta_1)(1-\beta_2)$. More steps follow the same pattern. With
#
# $$\alpha_t = 1 - \beta_t, \qquad \bar\alpha_t = \alpha_1 \alpha_2 \cdots \alpha_t,$$
#
# **many small steps are equal to one large jump**:
#
# $$x_t = \sqrt{\bar\alpha_t}\; x_0 + \sqrt{1 - \bar\alpha_t}\; \epsilon.$$
#
# Here $\epsilon$ is again standard normal noise of the image's shape. Let us test this formula. We send 20,000 copies of one
# number, $x_0 = 0.8$, through the small steps and compare their mean and variance with the formula. A measured mean is itself a
# little random; its typical error is called the *standard error*, and a fair test allows a few of them.

# %%
alpha_bar = np.cumprod(1 - betas)
copies, x0 = (4000 if FAST else 20_000), 0.8
x = np.full(copies, x0)
measured = []
rng = np.random.default_rng(5)
for t in range(T):
    x = one_step(x, t)
    measured.append((x.mean(), x.var()))
measured = np.array(measured)  # (T, 2)
mean, variance = np.sqrt(alpha_bar) * x0, 1 - alpha_bar

errors = (measured[:, 0] - mean) / np.sqrt(variance / copies), (measured[:, 1] - variance) / (variance * np.sqrt(2 / copies))
print("largest error over all t, in standard errors: mean {:.1f}, variance {:.1f}".format(*(np.abs(e).max() for e in errors)))
assert max(np.abs(e).max() for e in errors) < 5

figure = viz.new_figure(6.4, 3.6, "tight")
axes = figure.add_subplot()
axes.plot(mean, color=viz.COLOURS[0], linewidth=3, alpha=0.35, label="mean by the formula")
axes.plot(measured[:, 0], "--", color=viz.COLOURS[0], linewidth=1.2, label=f"measured mean of {copies:,} copies")
axes.plot(variance, color=viz.COLOURS[1], linewidth=3, alpha=0.35, label="variance by the formula")
axes.plot(measured[:, 1], "--", color=viz.COLOURS[1], linewidth=1.2, label="measured variance")
axes.set(xlabel="timestep t", title="One jump agrees with many small steps")
axes.legend(frameon=False, fontsize=9)
figure

# %% [markdown]
# So training picks any $t$ and jumps there at once. In minidiff this is `Schedule.add_noise(x0, eps, t)`. The code counts steps
# from 0, so `alpha_bar[0]` is $\bar\alpha$ after one step.

# %%
def add_noise(x0, eps, t):
    return np.sqrt(alpha_bar[t]) * x0 + np.sqrt(1 - alpha_bar[t]) * eps


rng = np.random.default_rng(7)
eps = rng.standard_normal((4, 8, 8, 1))
ours, theirs = Schedule.linear(1000), Schedule.linear(1000).add_noise(digits[:4].astype(np.float64), eps, 250)
assert np.allclose(ours.betas, betas) and np.allclose(ours.alpha_bar, alpha_bar)
assert np.allclose(add_noise(digits[:4], eps, 250), theirs)

# %% [markdown]
# ## What does $x_t$ look like as a distribution?
#
# One image shows one draw of $x_t$. Now take the pixels of all digits, jump with each of them to the same $t$, and plot the
# histogram. At $t = 0$ it is the histogram of the data: most pixels are black, some are white. The jump squeezes this histogram
# towards 0 and blurs it with a Gaussian of standard deviation $\sqrt{1 - \bar\alpha_t}$. At $t = 999$ only the Gaussian is left
# (grey line: mean 0, variance 1), whatever the data were:
#
# To watch a whole distribution turn into noise and back, open the [playground](../docs/playground.md) in your browser
# (`minidiff playground --chapter 03`) and move its time slider.

# %%
rng = np.random.default_rng(8)
pixels = digits.ravel().astype(np.float64)
bell, edges = np.linspace(-4, 4, 200), np.linspace(-4, 4, 81)
figure = viz.new_figure(9.4, 2.7, "tight")
for axes, t in zip(figure.subplots(1, 4), (0, 250, 500, 999), strict=True):
    xt = add_noise(pixels, rng.standard_normal(pixels.shape), t)
    axes.hist(xt, edges, density=True, color=viz.COLOURS[0])
    axes.plot(bell, np.exp(-(bell**2) / 2) / np.sqrt(2 * np.pi), color="grey", linewidth=0.9)
    axes.set(yticks=[], xlabel=r"value of a pixel of $x_t$", title=f"t = {t}")
    print(f"t = {t:3}: mean {xt.mean():+.3f}, variance {xt.var():.3f}")
    mean, variance = np.sqrt(alpha_bar[t]) * pixels.mean(), alpha_bar[t] * pixels.var() + 1 - alpha_bar[t]
    assert abs(xt.mean() - mean) < 0.02 and abs(xt.var() - variance) < 0.02  # at least four standard errors
assert abs(xt.mean()) < 0.03 and abs(xt.var() - 1) < 0.03
figure

# %% [markdown]
# ## Notation
#
# Papers, chapters and the code use different symbols for the same quantities. Formulas count steps from 1, the code from 0:
#
# | quantity | symbol here, as in the DDPM paper | code, for step $t$ of the formula | other symbols |
# |---|---|---|---|
# | variance that step $t$ adds | $\beta_t$, $t = 1 \dots T$ | `schedule.betas[t - 1]` | |
# | share of variance that step $t$ keeps | $\alpha_t = 1 - \beta_t$ | `schedule.alphas[t - 1]` | |
# | share of variance that is still image | $\bar\alpha_t = \alpha_1 \cdots \alpha_t$ | `schedule.alpha_bar[t - 1]` | |
# | factor of $x_0$ in $x_t$ | $\sqrt{\bar\alpha_t}$ | `schedule.alpha(t - 1)` | $\alpha_t$, $a_t$ |
# | noise level: factor of $\epsilon$ in $x_t$ | $\sqrt{1 - \bar\alpha_t}$ | `schedule.sigma(t - 1)` | $\sigma_t$ |
#
# The symbol $\alpha_t$ has two meanings. In the [DDPM](../docs/glossary.md#ddpm) paper, here and in chapter 7 it is the share
# that one step keeps. In most later papers, in `schedule.alpha` and in chapters 4, 5, 9 and 10 it is the whole factor of $x_0$;
# chapters 8 and 13 write $a_t$ for that factor. All these chapters write $\sigma_t$ for the noise level. A number such as
# $t = 250$ is always the index that the code takes, from 0 (nearly clean) to $T - 1$ (nearly pure noise).
#
# ## Which schedules are there?
#
# Any list of betas between 0 and 1 defines a schedule. Nichol and Dhariwal (2021) noticed that the linear schedule destroys
# small images too early, so that the last steps have almost no image left. They chose $\bar\alpha_t$ first, as a squared cosine
# that falls smoothly, and computed the betas from it. This is the **cosine schedule**:
#
# $$\bar\alpha_t = \frac{f(t)}{f(0)}, \quad f(t) = \cos^2\Bigl(\frac{t/T + 0.008}{1.008}\cdot\frac{\pi}{2}\Bigr), \qquad
# \beta_t = 1 - \frac{\bar\alpha_t}{\bar\alpha_{t-1}} \text{, at most } 0.999.$$
#
# In minidiff this is `Schedule.cosine(T)`. You will write it in exercise 5.

# %%
start, middle = (np.cos((t / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2 for t in (0, 500))
assert np.isclose(Schedule.cosine(1000).alpha_bar[499], middle / start)
schedules = [Schedule.named(name) for name in ("linear", "scaled_linear", "quadratic", "sigmoid", "cosine")]
for schedule in schedules:
    half = int(np.argmax(schedule.alpha_bar < 0.5))
    print(f"{schedule.name:14} more noise than image from t = {half:3}; alpha_bar at the end {schedule.alpha_bar[-1]:.0e}")

# %% [markdown]
# Which schedule gives the best samples? `minidiff study schedules` trains the same network on each, with three training seeds:
# [table and plot](../docs/studies.md#which-noise-schedule). The measure is the
# [Fréchet distance](../docs/glossary.md#fréchet-distance) (lower is better, chapter 14). With 5 steps of
# [DDIM](../docs/glossary.md#ddim) (chapter 8) the cosine schedule is the best of six, with 4.0 ± 0.1 against 5.8 ± 0.2 for the
# linear one. With 50 steps the differences between the cosine, quadratic and sigmoid schedules are within the spread, and the
# linear one is still worse.
#
# ## Noise level against timestep
#
# The same $t$ means a different amount of noise in each schedule. On the left is the **noise level**
# $\sigma_t = \sqrt{1 - \bar\alpha_t}$, the standard deviation of the noise in $x_t$. On the right is the **signal-to-noise
# ratio**,
#
# $$\text{SNR}(t) = \frac{\bar\alpha_t}{1 - \bar\alpha_t},$$
#
# the variance of the image over the variance of the noise. At an SNR of 1, the grey line, they are equal.

# %%
figure = viz.new_figure(9.4, 3.9, "tight")
left, right = figure.subplots(1, 2)
for schedule, colour in zip(schedules, viz.COLOURS, strict=False):
    left.plot(np.sqrt(1 - schedule.alpha_bar), color=colour, label=schedule.name)
    right.semilogy(schedule.alpha_bar / (1 - schedule.alpha_bar), color=colour)
right.axhline(1, color="grey", linewidth=0.8)
left.set(xlabel="timestep t", ylabel=r"noise level $\sigma_t$", title="Noise level against timestep")
right.set(xlabel="timestep t", ylabel="SNR", title="Signal-to-noise ratio against timestep", ylim=(1e-8, 1e5))
left.legend(frameon=False, fontsize=9)
figure

# %% [markdown]
# The next figure shows the same comparison in images: one digit, with one row for each schedule and the same noise $\epsilon$
# everywhere.

# %%
times = np.linspace(0, 999, 11).round().astype(int)
rng = np.random.default_rng(13)
eps = rng.standard_normal((1, 8, 8, 1))
rows = [schedule.add_noise(digits[9:10], eps, int(t)) for schedule in schedules for t in times]
titles = [f"t = {t}" for t in times] + [""] * (len(rows) - len(times))
names = [schedule.name for schedule in schedules]
viz.show_grid(np.concatenate(rows), columns=len(times), titles=titles, rows=names)

# %% [markdown]
# If two schedules have the same SNR, one at its $t$ and the other at another $t$, their noisy images there are *the same*. Only
# the SNR matters; $t$ is a label for it.

# %%
linear, cosine = Schedule.linear(1000), Schedule.cosine(1000)
t_cosine = 500
t_linear = linear.t_of_log_snr(cosine.log_snr(t_cosine))  # t of equal SNR, between two steps
a, b = cosine.add_noise(digits[9:10], eps, t_cosine), linear.add_noise(digits[9:10], eps, t_linear)
print(f"t = {t_cosine} of the cosine schedule has the SNR of t = {t_linear:.2f} of the linear one; "
      f"the two noisy images differ by at most {np.abs(a - b).max():.0e}")  # fmt: skip
assert np.abs(a - b).max() < 1e-6

# %% [markdown]
# ## Does the network predict the noise? Does it learn the schedule too?
#
# The usual answer is: it predicts $\epsilon$, and the schedule is fixed and never learned. Let us test this. We train a small
# network on points in the plane and compare the bits of the betas before and after. The loss, `SimpleLoss`, picks a random $t$
# for each point, lets the network predict the $\epsilon$ in $x_t$, and takes the mean squared error
# ([chapter 4](04_the_loss.ipynb) builds it).

# %%
points, _ = data.toys.moons(2000, rng=0)
schedule = Schedule.linear(1000)
net = models.MLP(features=2, width=64, depth=3, rng=0)
before = schedule.betas.tobytes()
trainer = training.Trainer(net, SimpleLoss(schedule, "eps"), points, steps=200 if FAST else 1500, batch_size=128, lr=2e-3)
history = trainer.run(progress=False)
first, last = np.mean(history.loss[:20]), np.mean(history.loss[-50:])
print(f"loss {first:.3f} -> {last:.3f}; betas unchanged to the last bit: {schedule.betas.tobytes() == before}")
assert last < 0.9 * first and schedule.betas.tobytes() == before
assert not any("beta" in name or "alpha" in name for name in net.parameters())  # no parameter is a part of the schedule

# %% [markdown]
# The network is a function of $(x_t, t)$ and never receives a beta. The schedule even rejects a change:

# %%
try:
    schedule.betas[0] = 0.5
    raise SystemExit("this line is never reached")
except ValueError as error:
    print("ValueError:", error)

# %% [markdown]
# ## Does any model learn how much noise to add?
#
# Some models learn a part of it, for the [reverse process](../docs/glossary.md#reverse-process). Going back from $x_t$ to
# $x_{t-1}$, the [sampler](../docs/glossary.md#sampler) adds noise of some variance (chapter 7). The best value lies between two
# bounds: $\beta_t$, right for data of variance 1, and $\tilde\beta_t = \beta_t\, (1 - \bar\alpha_{t-1}) / (1 - \bar\alpha_t)$,
# right for data that is a single point. Nichol and Dhariwal (2021) let the network output a second number $v$ from 0 to 1 for
# every pixel. It selects a variance $\Sigma_t$ between the bounds on a log scale:
#
# $$\Sigma_t = \exp\bigl(v \log\beta_t + (1 - v) \log\tilde\beta_t\bigr).$$
#
# This is called **learned variance**. The bounds come from the schedule, and the schedule itself stays fixed. The loss on
# $\epsilon$ does not depend on $v$, so a small part of the variational bound (chapter 4) is added to train $v$. In minidiff,
# use `HybridLoss` in place of `SimpleLoss`, and `variance="learned"` for the sampler. How much is there to learn? For single
# steps the bounds differ only at small $t$. If steps are skipped (chapter 8), the bounds lie further apart:

# %%
beta_tilde = betas[1:] * (1 - alpha_bar[:-1]) / (1 - alpha_bar[1:])  # for t = 1 .. 999; at t = 0 it is 0
for t in (1, 10, 100, 500, 999):
    between = np.exp(0.5 * np.log(betas[t]) + 0.5 * np.log(beta_tilde[t - 1]))
    print(f"t = {t:3}: lower bound {beta_tilde[t - 1]:.2e}, v = 1/2 {between:.2e}, upper bound {betas[t]:.2e}, "
          f"ratio of the bounds {betas[t] / beta_tilde[t - 1]:.3f}")  # fmt: skip
far = (1 - alpha_bar[100]) / (1 - alpha_bar[50])  # the same ratio for one step from t = 100 to t = 50
print(f"one step from t = 100 to t = 50: ratio of the bounds {far:.3f}")
assert np.allclose(beta_tilde, Posterior(linear).variance[1:])

# %% [markdown]
# ## What does $T$ do? Is a very high $T$ better?
#
# The reverse process treats each small step as Gaussian, which is exact only in the limit of small steps. So more steps should
# be better, at the price of slower sampling. How much better? For one kind of data we can compute the generated distribution
# *exactly*: numbers that are themselves Gaussian with variance 1, with the best possible network. A perfect sampler would
# generate a variance of 1. The sampler here is DDPM, of [chapter 7](07_ddpm.ipynb): each of its steps back removes part of the
# noise that the network predicts, and adds a little fresh noise. Two variances of this step noise are in use, $\beta_t$ (large)
# and $\tilde\beta_t = \beta_t\,(1 - \bar\alpha_{t-1}) / (1 - \bar\alpha_t)$ (small).

# %%
def shrunk(T):
    """The linear schedule with T steps that end at about the same noise: betas multiplied by 1000 / T."""
    return Schedule.linear(T, scale_to_T=True)


Ts = [25, 50, 100, 200, 400] if FAST else [25, 50, 100, 200, 400, 1000, 2000]
small = [abs(generated_variance(samplers.ddpm, shrunk(T), variance="fixed_small") - 1) for T in Ts]
large = [abs(generated_variance(samplers.ddpm, shrunk(T), variance="fixed_large") - 1) for T in Ts]
for T, s, l in zip(Ts, small, large, strict=True):
    print(f"T = {T:4}   error of the generated variance: {s:.1e} with small step noise, {l:.1e} with large step noise")
assert all(before > after for before, after in zip(small[:-1], small[1:], strict=True))  # more steps: less error

figure = viz.new_figure(5.8, 3.5, "tight")
axes = figure.add_subplot()
axes.loglog(Ts, small, "o-", color=viz.COLOURS[0], label=r"step noise $\tilde\beta_t$ (small)")
axes.loglog(Ts, large, "o-", color=viz.COLOURS[1], label=r"step noise $\beta_t$ (large)")
axes.set(xlabel="number of steps T", ylabel="error of the generated variance", title="Error against the number of steps")
axes.legend(frameon=False, fontsize=9)
figure

# %% [markdown]
# Each doubling of $T$ doubles the time and halves the error. At some point other errors are larger, above all the error of the
# network. (The large step noise wins here because it is right for data of variance 1. For data that is a single point the small
# one is right; real data lies between.) A second limit is **rounding**. With many tiny betas, the first $\bar\alpha_t$ are so
# close to 1 that float32, which has 7 digits, keeps only a few digits of the difference $1 - \bar\alpha_t$, the variance of the
# noise. This error is small, but it grows with $T$, so minidiff computes schedules in float64:

# %%
lost = []
for T in (100, 1000, 4000):
    exact = 1 - np.cumprod(1 - shrunk(T).betas)
    rounded = 1 - np.cumprod(1 - shrunk(T).betas.astype(np.float32), dtype=np.float32)
    lost.append(np.abs(rounded / exact - 1).max())
    print(f"T = {T:4}: relative error of the noise variance in float32 up to {lost[-1]:.3%}")
assert lost[0] < lost[1] < lost[2]

# %% [markdown]
# ### What does $T$ do for a trained model?
#
# A trained model has to learn every noise level, with the same number of training steps whatever $T$ is. `minidiff study T`
# trains an MLP on the digits for each of five values of $T$, with three training seeds each.
# [The table and the plot](../docs/studies.md#is-a-very-high-t-better) give the Fréchet distance of samples to real digits.
# Lower is better, chapter 14 explains it, and ± is the standard error over the three seeds. DDPM with all $T$ steps reaches 5.4
# ± 0.4 with $T = 50$, 6.4 ± 0.3 with 1000 and 7.7 ± 0.7 with 4000. DDIM, which takes 10 steps whatever $T$ is (chapter 8),
# reaches 4.5 ± 0.7, 4.6 ± 0.3 and 4.4 ± 0.1. **No $T$ is better than another outside the spread.** So for this model a very
# high $T$ costs time and gains nothing: the model's errors are larger than what shorter steps save.
#
# ## Exercises
#
# Complete each function and run its cell. The lines below the function test it. They print "right", or what is probably wrong.
# Each exercise has two folded hints, a small one and a bigger one.
#
# **Exercise 1.** From the betas, compute the logarithm of the signal-to-noise ratio at every step.
#
# <details><summary>Hint</summary>
#
# First you need $\bar\alpha_t$ for every $t$: the share of variance that all steps up to $t$ keep together.
# </details>
# <details><summary>Bigger hint</summary>
#
# `np.cumprod` gives running products. The ratio is the variance of the image over the variance of the noise, and the two
# variances add up to 1. `np.log` is the natural logarithm.
# </details>

# %%
def log_snr(betas):
    ...  # betas (T,) -> (T,)


if grading.answered(log_snr, betas):
    mistakes.find(log_snr, "03.log_snr")
    grading.same(log_snr(betas), [linear.log_snr(t) for t in range(1000)], "log_snr")
    print("exercise 1: right")

# %% [markdown]
# **Exercise 2.** Jump from $x_s$ to $x_t$, with $s < t$. For which numbers $a$ and $b$ is $x_t = a\,x_s + b\,z$?
#
# <details><summary>Hint</summary>
#
# Only the steps after $s$ have acted. What factor do they leave of $x_s$, all together?
# </details>
# <details><summary>Bigger hint</summary>
#
# The product of the $\alpha$ after $s$ is a ratio of two $\bar\alpha$. It is a share of *variance*. For $b$, think of an $x_s$
# of variance 1: then $x_t$ has variance 1 as well.
# </details>

# %%
def jump(alpha_bar, s, t):
    ...  # return a, b


if grading.answered(jump, alpha_bar, 10, 20):
    mistakes.find(jump, "03.jump")
    a, b = jump(alpha_bar, 100, 600)
    grading.same(a * np.sqrt(alpha_bar[100]), np.sqrt(alpha_bar[600]), "what is left of the image after both jumps")
    grading.same(a**2 * (1 - alpha_bar[100]) + b**2, 1 - alpha_bar[600], "the variance of all the noise after both jumps")
    print("exercise 2: right")

# %% [markdown]
# **Exercise 3.** Compute the betas of any given `alpha_bar`.
#
# <details><summary>Hint</summary>
#
# $\bar\alpha_t$ is $\bar\alpha_{t-1}$ times the share that step $t$ keeps. What was $\bar\alpha$ before the first step?
# </details>
# <details><summary>Bigger hint</summary>
#
# Make an array of the $\bar\alpha_{t-1}$: `alpha_bar` without its last entry, with a 1 in front. (The first argument of
# `np.append` may be a single number.) Then one division gives all betas.
# </details>

# %%
def betas_of(alpha_bar):
    ...  # (T,) -> (T,)


if grading.answered(betas_of, alpha_bar):
    mistakes.find(betas_of, "03.betas_of")
    grading.same(betas_of(alpha_bar), betas, "the betas")
    print("exercise 3: right")

# %% [markdown]
# **Exercise 4.** The linear schedule ends with a trace of the image left, $\bar\alpha_T \approx 4 \cdot 10^{-5}$. Shift and
# stretch $\sqrt{\bar\alpha}$ so that its first entry stays the same and its last is exactly 0, a schedule with **zero terminal
# SNR** (Lin et al., 2024). Return the new $\bar\alpha$.
#
# <details><summary>Hint</summary>
#
# Work with $a = \sqrt{\bar\alpha}$. A shift brings its last entry to 0. Which factor then restores its first entry?
# </details>
# <details><summary>Bigger hint</summary>
#
# After you subtract $a_T$ from all entries, the first is $a_1 - a_T$ and should be $a_1$. One factor for all entries corrects
# this. Square at the end, and make a new array.
# </details>

# %%
def end_in_pure_noise(alpha_bar):
    ...  # (T,) -> (T,)


if grading.answered(end_in_pure_noise, alpha_bar):
    mistakes.find(end_in_pure_noise, "03.end_in_pure_noise")
    grading.same(end_in_pure_noise(alpha_bar), linear.rescale_zero_terminal_snr().alpha_bar, "alpha_bar")
    print("exercise 4: right")

# %% [markdown]
# ### Build it: a schedule, and noise for a whole batch
#
# Training needs these two functions: a schedule, and the jump from clean images to noisy ones. Each exercise can pass without
# the other.
#
# **Exercise 5.** Write the cosine schedule of Nichol and Dhariwal, with the formula above:
# $f(t) = \cos^2\bigl(\frac{t/T + 0.008}{1.008} \cdot \frac{\pi}{2}\bigr)$, and no beta above 0.999. Return the $T$ betas and
# the $T$ entries of $\bar\alpha$ that belong to **these** betas.
#
# <details><summary>Hint</summary>
#
# $f(0)$ stands for the clean image, so you need $T + 1$ values of $f$ for $T$ betas.
# </details>
# <details><summary>Bigger hint</summary>
#
# $f(0)$ cancels in $\bar\alpha_t / \bar\alpha_{t-1}$: the ratio is $f(t) / f(t-1)$, a division of two slices. At $t = T$ the
# cosine is 0, so the last beta would be 1; `np.minimum` limits it. The limit changes $\bar\alpha$ too, so compute $\bar\alpha$
# from the betas, as at the start of the chapter.
# </details>

# %%
def cosine_schedule(T):
    ...  # return betas (T,), alpha_bar (T,)


if grading.answered(cosine_schedule, 10):
    mistakes.find(cosine_schedule, "03.cosine_schedule")
    grading.same(cosine_schedule(1000)[0], cosine.betas, "1000 betas")
    print("exercise 5: right")

# %% [markdown]
# **Exercise 6.** Write the jump as training needs it, with a separate $t$ for every sample of the batch. `x0` has any number of
# axes: rows of numbers, images, videos. $x_t$ has the dtype of `x0`. Do not use `add_noise`.
#
# <details><summary>Hint</summary>
#
# `alpha_bar[t]` is one number for each sample. NumPy broadcasts from the *last* axis, and the samples are on the first.
# </details>
# <details><summary>Bigger hint</summary>
#
# Reshape those numbers to as many axes as `x0` has: the first of length $B$ and all others of length 1. `reshape` takes a list
# of lengths, and `x0.ndim` is the number of axes. `astype` changes the dtype at the end.
# </details>

# %%
def q_sample(alpha_bar, x0, t, eps):
    ...  # alpha_bar (T,)   x0, eps (B, ...)   t (B,) whole numbers   -> x_t (B, ...)


if grading.answered(q_sample, alpha_bar, np.zeros((1, 1)), np.zeros(1, int), np.zeros((1, 1))):
    mistakes.find(q_sample, "03.q_sample")
    x0, noise, t = digits[:3], np.ones((3, 8, 8, 1), digits.dtype), np.array([999, 0, 250])
    grading.same(q_sample(alpha_bar, x0, t, noise), linear.add_noise(x0, noise, t), "x_t of three digits", rtol=1e-4, atol=1e-5)
    print("exercise 6: right")

# %% [markdown]
# The answers are in [docs/answers/03.py](../docs/answers/03.py), together with the hidden tests for graded assignments.
