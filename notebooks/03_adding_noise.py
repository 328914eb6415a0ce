# %% [markdown]
# # 3. Adding noise
#
# A diffusion model learns to turn noise into pictures. Before it can learn the way back, somebody has to go the way there:
# take a picture and drown it in noise, little by little. This is called the **forward process**. It has nothing to learn and
# no network in it. It is also where most of the letters of the papers come from, so let us build it slowly.
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
# In many small steps. Step $t$ shrinks the picture a little and adds a little Gaussian noise $z$ (numbers from the bell
# curve, of mean 0 and variance 1):
#
# $$x_t = \sqrt{1 - \beta_t}\; x_{t-1} + \sqrt{\beta_t}\; z.$$
#
# $\beta_t$ is the **variance that step $t$ adds**, a small number chosen in advance. Why shrink at all? So that nothing
# grows: if $x_{t-1}$ has variance 1, then $x_t$ has variance $(1 - \beta_t) + \beta_t = 1$ again. The list of all $\beta_t$
# is the **schedule**. The first one that was used, by Ho and others in 2020, is a straight line in $T = 1000$ steps:

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
assert abs(x.mean()) < 0.3 and abs(x.std() - 1) < 0.2  # nothing of the picture is left
viz.denoising_strip(states, times=range(T + 1), samples=4, columns=11, title="A thousand small steps, number of steps taken")

# %% [markdown]
# ## Do I have to take all the steps?
#
# No, and this is what makes training possible. A sum of independent Gaussian numbers is Gaussian again, and variances add up.
# Follow two steps: the picture is multiplied by $\sqrt{(1-\beta_1)(1-\beta_2)}$, and the noise that has gathered has variance
# $(1-\beta_2)\beta_1 + \beta_2 = 1 - (1-\beta_1)(1-\beta_2)$. So it goes on. With
#
# $$\alpha_t = 1 - \beta_t, \qquad \bar\alpha_t = \alpha_1 \alpha_2 \cdots \alpha_t,$$
#
# **many small steps equal one big jump**:
#
# $$x_t = \sqrt{\bar\alpha_t}\; x_0 + \sqrt{1 - \bar\alpha_t}\; \epsilon.$$
#
# Let us not believe it but measure it. We send 20,000 copies of one number, $x_0 = 0.8$, through the small steps, and hold
# their mean and variance against the formula. A measured mean is itself a little random; its typical error is called the
# *standard error*, and a fair test allows a few of them.

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
axes.plot(mean, color=viz.COLOURS[0], linewidth=3, alpha=0.35, label="mean, the formula")
axes.plot(measured[:, 0], "--", color=viz.COLOURS[0], linewidth=1.2, label=f"mean of {copies:,} walks")
axes.plot(variance, color=viz.COLOURS[1], linewidth=3, alpha=0.35, label="variance, the formula")
axes.plot(measured[:, 1], "--", color=viz.COLOURS[1], linewidth=1.2, label="variance of the walks")
axes.set(xlabel="t", title="One jump lands where a thousand small steps land")
axes.legend(frameon=False, fontsize=9)
figure

# %% [markdown]
# So in training we pick any $t$ we like and jump there at once. In minidiff this is `Schedule.add_noise(x0, eps, t)`, steps
# counted from 0: `alpha_bar[0]` is what one step has left.

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
# One image shows one draw of $x_t$. Now take the pixels of all digits, jump with each of them to the same $t$, and draw the
# histogram. At $t = 0$ it is that of the data: most pixels are black, some are white. Each jump squeezes it towards 0 and
# blurs it with a bell curve of width $\sqrt{1 - \bar\alpha_t}$. At $t = 999$ only the bell curve is left (grey line: mean 0,
# variance 1), and it would be the same for any other data:

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
    assert abs(xt.mean() - mean) < 0.02 and abs(xt.var() - variance) < 0.02  # four standard errors and more
assert abs(xt.mean()) < 0.03 and abs(xt.var() - 1) < 0.03
figure

# %% [markdown]
# ## One notation
#
# Papers, chapters and the code write the same things in different letters. Formulas count steps from 1, the code from 0:
#
# | what it is | here, as in DDPM's paper | code, for step $t$ of the formula | other letters |
# |---|---|---|---|
# | variance that step $t$ adds | $\beta_t$, $t = 1 \dots T$ | `schedule.betas[t - 1]` | |
# | share of variance that step $t$ keeps | $\alpha_t = 1 - \beta_t$ | `schedule.alphas[t - 1]` | |
# | share of variance that is still image | $\bar\alpha_t = \alpha_1 \cdots \alpha_t$ | `schedule.alpha_bar[t - 1]` | |
# | factor of $x_0$ in $x_t$ | $\sqrt{\bar\alpha_t}$ | `schedule.alpha(t - 1)` | $\alpha_t$, $a_t$ |
# | noise level: factor of $\epsilon$ in $x_t$ | $\sqrt{1 - \bar\alpha_t}$ | `schedule.sigma(t - 1)` | $\sigma_t$ |
#
# Beware of $\alpha_t$: in [DDPM](../docs/glossary.md#ddpm)'s paper, here and in chapter 7 it is what one step keeps. In most
# later papers, in `schedule.alpha` and in chapters 4, 5, 9 and 10 it is the whole factor of $x_0$; chapters 8 and 13 write
# $a_t$ for it. All these chapters write $\sigma_t$ for the noise level. A number such as $t = 250$ is always the one that the
# code takes, from 0 (nearly clean) to $T - 1$ (nearly pure noise).
#
# ## Which schedules are there?
#
# Any list of betas will do, and people have tried many. Nichol and Dhariwal (2021) noticed that the straight line destroys
# small pictures too soon, so that the last steps have nothing left to do. They chose $\bar\alpha_t$ first, as a squared
# cosine that falls evenly, and took the betas from it:
#
# $$\bar\alpha_t = \frac{f(t)}{f(0)}, \quad f(t) = \cos^2\Bigl(\frac{t/T + 0.008}{1.008}\cdot\frac{\pi}{2}\Bigr), \qquad
# \beta_t = 1 - \frac{\bar\alpha_t}{\bar\alpha_{t-1}} \text{, at most } 0.999.$$
#
# In minidiff this is `Schedule.cosine(T)`. You will write it yourself in exercise 5.

# %%
start, middle = (np.cos((t / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2 for t in (0, 500))
assert np.isclose(Schedule.cosine(1000).alpha_bar[499], middle / start)
schedules = [Schedule.named(name) for name in ("linear", "scaled_linear", "quadratic", "sigmoid", "cosine")]
for schedule in schedules:
    half = int(np.argmax(schedule.alpha_bar < 0.5))
    print(f"{schedule.name:14} more noise than picture from t = {half:3}; {schedule.alpha_bar[-1]:.0e} of it left at the end")

# %% [markdown]
# Which of them gives the best samples? `minidiff study schedules` trains the same network on each, with three training seeds:
# [table and plot](../docs/studies.md#which-noise-schedule). With 5 steps of [DDIM](../docs/glossary.md#ddim) (chapter 8) the
# cosine schedule is the best of six, with a [Fréchet distance](../docs/glossary.md#fréchet-distance) of 4.0 ± 0.1 against 5.8 ±
# 0.2 for the linear one (lower is better, chapter 14). With 50 steps the cosine, quadratic and sigmoid schedules do not differ
# outside the spread, and the linear one is still worse.
#
# ## Noise level against timestep
#
# The same $t$ means something else in each schedule. On the left, the **noise level** $\sigma_t = \sqrt{1 - \bar\alpha_t}$,
# the standard deviation of the noise in $x_t$. On the right, the **signal-to-noise ratio**,
#
# $$\text{SNR}(t) = \frac{\bar\alpha_t}{1 - \bar\alpha_t},$$
#
# how much stronger the picture is than the noise. At SNR 1, the grey line, they are equally strong.

# %%
figure = viz.new_figure(9.4, 3.9, "tight")
left, right = figure.subplots(1, 2)
for schedule, colour in zip(schedules, viz.COLOURS, strict=False):
    left.plot(np.sqrt(1 - schedule.alpha_bar), color=colour, label=schedule.name)
    right.semilogy(schedule.alpha_bar / (1 - schedule.alpha_bar), color=colour)
right.axhline(1, color="grey", linewidth=0.8)
left.set(xlabel="t", ylabel=r"noise level $\sigma_t$", title="Noise level against timestep")
right.set(xlabel="t", ylabel="SNR", title="Signal-to-noise ratio against timestep", ylim=(1e-8, 1e5))
left.legend(frameon=False, fontsize=9)
figure

# %% [markdown]
# And to the eye: one digit, each schedule a row, with the same noise $\epsilon$ everywhere.

# %%
times = np.linspace(0, 999, 11).round().astype(int)
rng = np.random.default_rng(13)
eps = rng.standard_normal((1, 8, 8, 1))
rows = [schedule.add_noise(digits[9:10], eps, int(t)) for schedule in schedules for t in times]
titles = [f"t = {t}" for t in times] + [""] * (len(rows) - len(times))
names = ", ".join(schedule.name for schedule in schedules)
viz.show_grid(np.concatenate(rows), columns=len(times), titles=titles, title=f"From top to bottom: {names}")

# %% [markdown]
# If two schedules have the same SNR at their own $t$, their pictures there are *the same*, whatever $t$ is called. The SNR is
# what counts; $t$ is only a label for it.

# %%
linear, cosine = Schedule.linear(1000), Schedule.cosine(1000)
t_cosine = 500
t_linear = linear.t_of_log_snr(cosine.log_snr(t_cosine))  # where the linear schedule is as noisy; between two steps
a, b = cosine.add_noise(digits[9:10], eps, t_cosine), linear.add_noise(digits[9:10], eps, t_linear)
print(f"t = {t_cosine} of the cosine schedule is t = {t_linear:.2f} of the linear one; difference {np.abs(a - b).max():.0e}")
assert np.abs(a - b).max() < 1e-6

# %% [markdown]
# ## Does the network predict the noise? And with it the schedule?
#
# The usual answer: it predicts $\epsilon$; the schedule is fixed and never learned. Let us watch. We train a small network on
# points in the plane and compare the betas before and after, bit by bit. The loss, `SimpleLoss`, jumps to a random $t$ for
# each point, asks the network for the $\epsilon$ in $x_t$, and takes the mean squared error
# ([chapter 4](04_the_loss.ipynb) builds it).

# %%
points, _ = data.toys.moons(2000, rng=0)
schedule = Schedule.linear(1000)
net = models.MLP(features=2, width=64, depth=3, rng=0)
before = schedule.betas.tobytes()
trainer = training.Trainer(net, SimpleLoss(schedule, "eps"), points, steps=200 if FAST else 1500, batch_size=128, lr=2e-3)
history = trainer.run(progress=False)
first, last = np.mean(history.loss[:20]), np.mean(history.loss[-50:])
print(f"loss {first:.3f} -> {last:.3f}; the betas are the same bits as before: {schedule.betas.tobytes() == before}")
assert last < 0.9 * first and schedule.betas.tobytes() == before
assert not any("beta" in name or "alpha" in name for name in net.parameters())  # nor is there anything to learn them with

# %% [markdown]
# The network is a function of $(x_t, t)$ and has never heard of a beta. You could not even change them if you wanted to:

# %%
try:
    schedule.betas[0] = 0.5
    raise SystemExit("this line is never reached")
except ValueError as error:
    print("ValueError:", error)

# %% [markdown]
# ## Does no model learn how much noise there is?
#
# Some learn a part of it, on the way back. Going back from $x_t$ to $x_{t-1}$, the [sampler](../docs/glossary.md#sampler) adds
# noise of some variance (chapter 7). The best value lies between two bounds: $\beta_t$, right for data of variance 1, and
# $\tilde\beta_t = \beta_t\, (1 - \bar\alpha_{t-1}) / (1 - \bar\alpha_t)$, right for data that is a single point. Nichol and
# Dhariwal (2021) let the network put out a second number $v$ from 0 to 1 for every pixel, and take the variance between the
# bounds on a log scale:
#
# $$\Sigma_t = \exp\bigl(v \log\beta_t + (1 - v) \log\tilde\beta_t\bigr).$$
#
# This is called **learned variance**. The bounds come from the schedule, and the schedule itself stays fixed. The loss on
# $\epsilon$ does not depend on $v$, so a small part of the variational bound (chapter 4) is added to train it: in minidiff
# `HybridLoss` in place of `SimpleLoss`, and `variance="learned"` for the sampler. How much is there to learn? In single
# steps the bounds differ at small $t$ only. Where steps are skipped (chapter 8) they lie further apart:

# %%
beta_tilde = betas[1:] * (1 - alpha_bar[:-1]) / (1 - alpha_bar[1:])  # for t = 1 .. 999; at t = 0 it is 0
for t in (1, 10, 100, 500, 999):
    between = np.exp(0.5 * np.log(betas[t]) + 0.5 * np.log(beta_tilde[t - 1]))
    print(f"t = {t:3}: smallest {beta_tilde[t - 1]:.2e}, v = 1/2 {between:.2e}, largest {betas[t]:.2e}, "
          f"ratio of the bounds {betas[t] / beta_tilde[t - 1]:.3f}")  # fmt: skip
far = (1 - alpha_bar[100]) / (1 - alpha_bar[50])  # the same ratio for one step from t = 100 to t = 50
print(f"one step from t = 100 to t = 50: ratio of the bounds {far:.3f}")
assert np.allclose(beta_tilde, Posterior(linear).variance[1:])

# %% [markdown]
# ## What does $T$ do? Is a very high $T$ better?
#
# The way back treats each small step as Gaussian, which is true only in the limit of small steps. So more steps should be
# better, at the price of a slower model. How much better? There is one kind of data for which we can compute *exactly* what
# comes out at the end of the way back: numbers that are Gaussian themselves, of variance 1, with the best possible network.
# If the sampler were perfect, the variance it generates would be 1. The sampler is DDPM, of
# [chapter 7](07_ddpm.ipynb): each of its steps back takes out part of the noise that the network sees, and adds a little fresh
# noise. Two variances of this step noise are in use, $\beta_t$ (large) and
# $\tilde\beta_t = \beta_t\,(1 - \bar\alpha_{t-1}) / (1 - \bar\alpha_t)$ (small).

# %%
def shrunk(T):
    """The linear schedule with T steps that end at about the same noise: betas multiplied by 1000 / T."""
    return Schedule.linear(T, scale_to_T=True)


Ts = [25, 50, 100, 200, 400] if FAST else [25, 50, 100, 200, 400, 1000, 2000]
small = [abs(generated_variance(samplers.ddpm, shrunk(T), variance="fixed_small") - 1) for T in Ts]
large = [abs(generated_variance(samplers.ddpm, shrunk(T), variance="fixed_large") - 1) for T in Ts]
for T, s, l in zip(Ts, small, large, strict=True):
    print(f"T = {T:4}   variance is off by {s:.1e} (small step noise), {l:.1e} (large step noise)")
assert all(before > after for before, after in zip(small[:-1], small[1:], strict=True))  # more steps: less error

figure = viz.new_figure(5.8, 3.5, "tight")
axes = figure.add_subplot()
axes.loglog(Ts, small, "o-", color=viz.COLOURS[0], label=r"step noise $\tilde\beta_t$ (small)")
axes.loglog(Ts, large, "o-", color=viz.COLOURS[1], label=r"step noise $\beta_t$ (large)")
axes.set(xlabel="T", ylabel="error of the generated variance", title="More steps help, less and less")
axes.legend(frameon=False, fontsize=9)
figure

# %% [markdown]
# Each doubling of $T$ costs twice the time and cuts the error to a half: at some point other errors, above all the network's
# own, are larger. (Large step noise wins here because it is the right one for data of variance 1. For data that is a single
# point the small one is right; real data lies between.) And there is **rounding**. With many tiny betas, the first
# $\bar\alpha_t$ are so close to 1 that float32, which has 7 digits, keeps only a few digits of the difference $1 -
# \bar\alpha_t$, the variance of the noise. Small, but it grows with $T$, so schedules are computed in float64:

# %%
lost = []
for T in (100, 1000, 4000):
    exact = 1 - np.cumprod(1 - shrunk(T).betas)
    rounded = 1 - np.cumprod(1 - shrunk(T).betas.astype(np.float32), dtype=np.float32)
    lost.append(np.abs(rounded / exact - 1).max())
    print(f"T = {T:4}: in float32 the noise variance is off by up to {lost[-1]:.3%}")
assert lost[0] < lost[1] < lost[2]

# %% [markdown]
# ### And with a trained model?
#
# A trained model has to learn every noise level, with the same number of training steps whatever $T$ is. `minidiff study T`
# trains an MLP on the digits for each of five values of $T$, with three training seeds each.
# [The table and the plot](../docs/studies.md#is-a-very-high-t-better) give the Fréchet distance of samples to real digits:
# lower is better, chapter 14 builds it, and ± is the standard error over the three seeds. DDPM with all $T$ steps reaches
# 5.4 ± 0.4 with $T = 50$, 6.4 ± 0.3 with 1000 and 7.7 ± 0.7 with 4000. DDIM, which takes 10 steps whatever $T$ is (chapter 8),
# reaches 4.5 ± 0.7, 4.6 ± 0.3 and 4.4 ± 0.1. **No $T$ is better than another outside the spread.** So for this model a very
# high $T$ costs time and gains nothing: the model's own errors are larger than what shorter steps save.
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
# First you need $\bar\alpha_t$ for every $t$: what all steps up to $t$ together have left.
# </details>
# <details><summary>Bigger hint</summary>
#
# `np.cumprod` gives running products. The ratio is that of two variances, the image's over the noise's, and the two variances
# add up to 1. `np.log` is the natural logarithm.
# </details>

# %%
def log_snr(betas):
    ...  # betas (T,) -> (T,)


if grading.answered(log_snr, betas):
    mistakes.find(log_snr, "03.log_snr")
    grading.same(log_snr(betas), [linear.log_snr(t) for t in range(1000)], "log_snr")
    print("exercise 1: right")

# %% [markdown]
# **Exercise 2.** One jump from $x_s$ to $x_t$, $s < t$: with which numbers $a$ and $b$ is $x_t = a\,x_s + b\,z$?
#
# <details><summary>Hint</summary>
#
# Only the betas after $s$ have been at work. What have they left of $x_s$, all together?
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
# **Exercise 3.** Make betas from any `alpha_bar` you choose.
#
# <details><summary>Hint</summary>
#
# $\bar\alpha_t$ is $\bar\alpha_{t-1}$ times what step $t$ keeps. What was $\bar\alpha$ before the first step?
# </details>
# <details><summary>Bigger hint</summary>
#
# Make an array of the $\bar\alpha_{t-1}$: `alpha_bar` without its last entry, with a 1 put in front (`np.append` takes a number
# first, too). Then one division does it for all $t$.
# </details>

# %%
def betas_of(alpha_bar):
    ...  # (T,) -> (T,)


if grading.answered(betas_of, alpha_bar):
    mistakes.find(betas_of, "03.betas_of")
    grading.same(betas_of(alpha_bar), betas, "the betas")
    print("exercise 3: right")

# %% [markdown]
# **Exercise 4.** The linear schedule ends with a trace of the image left, $\bar\alpha_T \approx 4 \cdot 10^{-5}$. Shift
# and stretch $\sqrt{\bar\alpha}$ so that it starts where it did and ends at exactly 0 (Lin and others, 2024). Return the new
# $\bar\alpha$.
#
# <details><summary>Hint</summary>
#
# Work with $a = \sqrt{\bar\alpha}$. A shift brings its end to 0. Which factor then brings its start back?
# </details>
# <details><summary>Bigger hint</summary>
#
# After $a_T$ is subtracted from all, the first entry is $a_1 - a_T$ and should be $a_1$. One factor for all entries mends this.
# Square at the end, and make a new array.
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
# With these two functions you can train a model: a schedule, and the jump from clean images to noisy ones. Each can pass
# without the other.
#
# **Exercise 5.** The cosine schedule of Nichol and Dhariwal, with the formula above: $f(t) = \cos^2\bigl(\frac{t/T +
# 0.008}{1.008} \cdot \frac{\pi}{2}\bigr)$, and no beta above 0.999. Return the $T$ betas and the $T$ entries of $\bar\alpha$
# that belong to **these** betas.
#
# <details><summary>Hint</summary>
#
# $f(0)$ stands for the clean image, so you need $T + 1$ values of $f$ for $T$ betas.
# </details>
# <details><summary>Bigger hint</summary>
#
# $f(0)$ drops out of $\bar\alpha_t / \bar\alpha_{t-1}$: it is $f(t) / f(t-1)$, a division of two slices. At $t = T$ the cosine
# is 0, so the last beta would be 1; `np.minimum` limits it. The limit changes $\bar\alpha$ too, which is therefore computed
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
# **Exercise 6.** The jump as training needs it: every sample of the batch has its own $t$. `x0` has any number of axes: rows of
# numbers, images, films. $x_t$ has the dtype of `x0`. Write it without `add_noise`.
#
# <details><summary>Hint</summary>
#
# `alpha_bar[t]` is one number for each sample. NumPy lines up shapes from the *last* axis, and the samples are on the first.
# </details>
# <details><summary>Bigger hint</summary>
#
# Give those numbers as many axes as `x0` has: the first of length $B$ and all others of length 1. `reshape` takes a list of
# lengths, and `x0.ndim` tells how many there are. `astype` changes the dtype at the end.
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
