# %% [markdown]
# # 8. Skipping steps
#
# DDPM (chapter 7) calls the network a thousand times for one image. Is this necessary? An obvious idea is to visit only every
# twentieth timestep. This chapter shows exactly what that does and why it fails, and then two ways to skip steps that work.
#
# {{install}}
# The code below needs neither the internet nor a GPU.
#
# **What you should know already.** A noisy image is $x_t = a_t\,x_0 + \sigma_t\,\epsilon$, with the clean image $x_0$, standard
# normal noise $\epsilon$, $a_t = \sqrt{\bar\alpha_t}$ and $\sigma_t = \sqrt{1 - \bar\alpha_t}$ (chapter 3). A *denoiser*
# predicts $x_0$ and $\epsilon$ from $x_t$ and $t$ (chapter 4). (Other symbols for $a_t$: see
# [chapter 3's table of symbols](03_adding_noise.ipynb).)

# %%
import os

import numpy as np

from minidiff import data, grading, metrics, mistakes, models, samplers, training, viz
from minidiff.diffusion import GaussianMixture, Schedule, SimpleLoss, spaced_steps
from minidiff.rng import Rng
from minidiff.samplers.gaussian_chain import generated_variance

FAST = bool(os.environ.get("MINIDIFF_FAST"))  # the tests set this: everything runs, with smaller numbers
T = 120 if FAST else 1000
schedule = Schedule.linear(T, scale_to_T=True)

# %% [markdown]
# ## One step back, from any timestep to any earlier one
#
# Chapter 7's formula for a step from $t$ to $t - 1$ holds for a step from any $t$ to any earlier $s$, if $\beta$ is the
# variance that the forward process adds between $s$ and $t$. With the predicted image $\hat x_0$ and new noise $z$:
#
# $$\beta = 1 - \frac{a_t^2}{a_s^2}, \qquad
# x_s = \frac{a_s\,\beta}{\sigma_t^2}\,\hat x_0 + \frac{a_t}{a_s}\,\frac{\sigma_s^2}{\sigma_t^2}\,x_t
# + \sqrt{\beta\,\frac{\sigma_s^2}{\sigma_t^2}}\;z .$$
#
# The code takes a list of moves `(t, s)`. $s = -1$ stands for the clean image: $a = 1$, $\sigma = 0$.

# %%
def level(t):
    return (schedule.alpha(t), schedule.sigma(t)) if t >= 0 else (1.0, 0.0)


def ddpm(denoiser, x, moves, rng):
    """DDPM's step for each move (t, s).   x (B, ...)   ->   (B, ...)"""
    for number, (t, s) in enumerate(moves):
        (a_t, sigma_t), (a_s, sigma_s) = level(t), level(s)
        x0, _ = denoiser(x, t)
        beta = 1 - (a_t / a_s) ** 2
        x = a_s * beta / sigma_t**2 * x0 + a_t / a_s * sigma_s**2 / sigma_t**2 * x
        if number < len(moves) - 1:  # the finished image gets no noise
            x = x + (beta * sigma_s**2 / sigma_t**2) ** 0.5 * rng.standard_normal(x.shape, dtype=x.dtype)
    return x


def every_step():
    return [(t, t - 1) for t in range(T - 1, -1, -1)]


# %% [markdown]
# ## Can I skip any $t$ with the ordinary DDPM step?
#
# The naive way is a **subset of steps**; the code calls it a `hack`. It keeps the step from $t$ to $t - 1$ as it is and
# continues at the next $t$ of a shorter list. The usual verdict is "it breaks the chain; sometimes it works". The right way is
# a step from $t$ to the $s$ that comes next in the list, which is called **respacing** (Nichol and Dhariwal, 2021). The
# difference in code is small:
#
# To see it happen, open the [playground](../docs/playground.md) (`minidiff playground --chapter 08`) and change the number of
# steps.

# %%
def hack(steps):
    return [(int(t), int(t) - 1) for t in spaced_steps(T, steps)]


def respaced(steps):
    times = [int(t) for t in spaced_steps(T, steps)]
    return list(zip(times, [*times[1:], -1], strict=True))


print("moves of the hack:   ", hack(5))
print("moves of respacing:  ", respaced(5))
assert hack(T) == respaced(T) == every_step()  # with all steps they are the same

# %% [markdown]
# After the hack's first move, $x$ has the noise level of $t - 1$, but the denoiser gets the next, much smaller $t$ of the list.
# No step removes the noise in between.
#
# ## Can DDIM skip timesteps?
#
# **DDIM** (Song, Meng and Ermon, 2020) takes another kind of step. It does not draw a random $x_s$. It computes where this
# image would be at the lower noise level *with the same noise in it*, by mixing the two predictions $\hat x_0$ and
# $\hat\epsilon$ again:
#
# $$x_s = a_s\,\hat x_0 + \sigma_s\,\hat\epsilon .$$
#
# This step adds no fresh noise, and it works for any $s$.

# %%
def ddim(denoiser, x, moves):
    for t, s in moves:
        a_s, sigma_s = level(s)
        x0, eps = denoiser(x, t)
        x = a_s * x0 + sigma_s * eps
    return x


# %% [markdown]
# ## DDPM, a subset of steps and DDIM side by side
#
# We use a perfect denoiser, so that every error comes from the sampler: for points from eight blobs the best prediction is
# known exactly (chapter 7). All samplers start from the same noise.

# %%
angle = 2 * np.pi * np.arange(8) / 8
ring = GaussianMixture(1.5 * np.stack([np.cos(angle), np.sin(angle)], axis=1), stds=0.1)
perfect = ring.denoiser(schedule)
start = Rng(0).standard_normal((500 if FAST else 1000, 2), dtype="float64")


def off_ring(points):
    """Typical distance to the nearest centre, along one axis. True points: 0.1."""
    away = ((points[:, None] - ring.means) ** 2).sum(axis=2).min(axis=1)
    return np.sqrt(away.mean() / 2)


results = {f"DDPM, all {T} steps": ddpm(perfect, start, every_step(), Rng(1))}
for steps in (50, 10):
    results[f"hack, {steps} steps"] = ddpm(perfect, start, hack(steps), Rng(1))
    results[f"respaced, {steps} steps"] = ddpm(perfect, start, respaced(steps), Rng(1))
    results[f"DDIM, {steps} steps"] = ddim(perfect, start, respaced(steps))
for name, points in results.items():
    print(f"{name:20} standard deviation around the centres {off_ring(points):.3f} (true: 0.100)")
assert off_ring(results["hack, 10 steps"]) > 2 * off_ring(results["respaced, 10 steps"])
assert off_ring(results["DDIM, 50 steps"]) < 0.15

# %%
figure = viz.new_figure(9.6, 5.2, "tight")
axes = figure.subplots(2, 4)
order = [f"DDPM, all {T} steps", *(n for n in results if "50" in n and "all" not in n), *(n for n in results if "10 " in n)]
places = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)]
axes[1, 0].set_axis_off()
for name, place in zip(order, places, strict=True):
    axes[place].scatter(*results[name].T, s=2, color=viz.COLOURS[place[1]], alpha=0.5, linewidths=0)
    axes[place].set(xlim=(-2.8, 2.8), ylim=(-2.8, 2.8), aspect="equal", xticks=[], yticks=[])
    axes[place].set_title(name, fontsize=10)
figure

# %% [markdown]
# ## Exactly where does it go wrong?
#
# For Gaussian data with standard deviation $c$, the best denoiser multiplies by a number, $\hat x_0 = g\,x_t$ with
# $g = c^2 a_t / (c^2 a_t^2 + \sigma_t^2)$. Then every move multiplies $x$ by a number $m$ and adds noise of a known variance.
# So the variance of the result can be computed exactly, without sampling:
# $\text{var} \leftarrow m^2\,\text{var} + \text{added}$.

# %%
def spread_made(moves, c, kind="ddpm"):
    """Standard deviation of the samples when the data is N(0, c^2)."""
    variance = 1.0
    for number, (t, s) in enumerate(moves):
        (a_t, sigma_t), (a_s, sigma_s) = level(t), level(s)
        g = c**2 * a_t / (c**2 * a_t**2 + sigma_t**2)
        beta = 1 - (a_t / a_s) ** 2
        if kind == "ddim":
            m, added = a_s * g + sigma_s * (1 - a_t * g) / sigma_t, 0.0
        else:
            m = a_s * beta / sigma_t**2 * g + a_t / a_s * sigma_s**2 / sigma_t**2
            added = beta * sigma_s**2 / sigma_t**2 if number < len(moves) - 1 else 0.0
        variance = m**2 * variance + added
    return variance**0.5


assert np.isclose(spread_made(hack(20), 1.0) ** 2, generated_variance(samplers.ddpm_subset, schedule, steps=20))
assert np.isclose(spread_made(respaced(20), 1.0, "ddim") ** 2, generated_variance(samplers.ddim, schedule, steps=20))

counts, found = [5, 10, 20, 50, 100, T], {}
for c in (0.2, 1.0):
    print(f"standard deviation of the samples, for data of standard deviation {c}")
    print(f"{'steps':10}", *(f"{n:6}" for n in counts))
    for name, move, kind in (("hack", hack, "ddpm"), ("respaced", respaced, "ddpm"), ("DDIM", respaced, "ddim")):
        found[name, c] = [spread_made(move(n), c, kind) for n in counts]
        print(f"{name:10}", *(f"{v:6.3f}" for v in found[name, c]))
assert found["hack", 0.2][1] > 2 * 0.2 and abs(found["DDIM", 0.2][4] - 0.2) < 0.02
assert np.isclose(found["hack", 0.2][-1], found["respaced", 0.2][-1])  # with all steps they are the same

figure = viz.new_figure(9.4, 3.6, "tight")
for number, c in enumerate((0.2, 1.0)):
    axes = figure.add_subplot(1, 2, number + 1)
    for name, colour in zip(("hack", "respaced", "DDIM"), viz.COLOURS[1:], strict=False):
        axes.semilogx(counts, found[name, c], "o-", color=colour, label=name)
    axes.axhline(c, color="grey", linewidth=0.8)
    axes.set(xlabel="steps", ylabel="standard deviation of samples", title=f"Data of standard deviation {c}", ylim=(0, None))
    axes.set_xticks(counts, counts)
    axes.minorticks_off()
axes.legend(frameon=False, fontsize=9)
figure

# %% [markdown]
# On the left, the data is narrower than the noise. The hack leaves most of the noise in, and more with fewer steps. On the
# right, the data has the *same* variance as the noise, and the hack looks best of all three! The noise that it leaves has
# exactly the variance that the data should have. A test on such data alone would miss the bug, so measure on more than one kind
# of data. (The loss of the other two on the right is real: with few steps their samples vary too little.)

# %% [markdown]
# ## 1000 steps beside 50 beside 10, in images
#
# If the training digits were the only images, the best denoiser would be known too: the mean of the digits, each weighted by
# its probability (chapter 4). It needs no training. Its samples are training digits, so this figure compares samplers and does
# not show new digits.

# %%
digits, labels = data.load("digits")
world = GaussianMixture(digits[: 60 if FAST else None], stds=0.05)
knows = world.denoiser(schedule)
noise = Rng(3).standard_normal((8, 8, 8, 1), dtype="float64")
rows = [ddpm(knows, noise, every_step(), Rng(4))]
names = [f"DDPM {T}"]
for steps in (50, 10):
    rows += [ddpm(knows, noise, hack(steps), Rng(4)), ddpm(knows, noise, respaced(steps), Rng(4))]
    rows += [ddim(knows, noise, respaced(steps))]
    names += [f"hack {steps}", f"respaced {steps}", f"DDIM {steps}"]
columns = np.stack(rows, axis=1).reshape(-1, 8, 8, 1)[: 5 * len(rows)]
viz.show_grid(columns, columns=len(rows), titles=names + [""] * (len(columns) - len(rows)), scale=1.15)

# %% [markdown]
# ## What happens with a trained model?
#
# So far every denoiser was perfect. A trained model has errors too. We train a small MLP on the digits, conditioned on the
# [class label](../docs/glossary.md#class-label), with three training seeds. We sample each of the three models with 1000 steps
# down to 5. Besides the hack, respacing and DDIM we test [DPM-Solver](../docs/glossary.md#dpm-solver)++ (chapter 9), which uses
# the last two predictions in each step.
#
# The numbers are *[Fréchet distances](../docs/glossary.md#fréchet-distance)*: how far the samples are from real digits in the
# features of a classifier. Lower is better; chapter 14 explains it. Each training seed starts from different noise, and ± is
# the standard error over the three seeds.

# %%
seeds, counts, n = ((0, 1), (T, 5), 10) if FAST else ((0, 1, 2), (T, 250, 50, 20, 10, 5), 100)
pixels, classes = digits.reshape(len(digits), 64), np.arange(n) % 10
read = slice(200 if FAST else None)
judge = metrics.train_classifier(digits[read], labels[read], epochs=1 if FAST else 8, width=4 if FAST else 16)
real = metrics.features(judge, digits[read])


def trained(seed):
    """A denoiser over an MLP that predicts x0, trained with this seed."""
    net, objective = models.MLP(features=64, num_class_embeds=11, null_class=10, rng=seed), SimpleLoss(schedule, "x0")
    training.Trainer(net, objective, pixels, labels, steps=10 if FAST else 1000, batch_size=64, lr=2e-3, warmup=10,
                     ema_decay=None, seed=seed).run(progress=False)  # fmt: skip
    return objective.denoiser(net)


def draw(denoiser, name, steps, seed):
    """n samples, ten classes in turn.   -> (n, 8, 8, 1)"""
    asked = lambda x, t: denoiser(x, t, classes)  # noqa: E731
    start = Rng(seed).standard_normal((n, 64))
    if name in ("hack", "respaced"):
        x = ddpm(asked, start, (hack if name == "hack" else respaced)(steps), Rng(seed + 100))
    elif name == "DDIM":
        x = ddim(asked, start, respaced(steps))
    else:
        *_, last = samplers.dpmpp_2m(denoiser, start, steps=steps, cond=classes)
        x = last.x
    return x.reshape(n, 8, 8, 1)


by_seed = [trained(seed) for seed in seeds]
drawn, distances = {}, {}
for name in ("hack", "respaced", "DDIM", "DPM-Solver++"):
    for steps in counts:
        samples = [draw(denoiser, name, steps, seed) for denoiser, seed in zip(by_seed, seeds, strict=True)]
        drawn[name, steps] = samples[0][:10]
        values = [metrics.frechet_distance(metrics.features(judge, x), real) for x in samples]
        distances[name, steps] = np.mean(values), np.std(values, ddof=1) / len(values) ** 0.5

print("Fréchet distance to real digits")
print("steps       ", *(f"{steps:>14}" for steps in counts))
for name in ("hack", "respaced", "DDIM", "DPM-Solver++"):
    print(f"{name:12}", *("{:>7.2f} ± {:4.2f}".format(*distances[name, steps]) for steps in counts))
assert distances["hack", T] == distances["respaced", T]  # with all steps they are the same
assert FAST or min(distances["hack", steps][0] / distances["respaced", steps][0] for steps in (50, 20, 10, 5)) > 2

# %%
figure = viz.new_figure(9.8, 2.9, "tight")
axes = figure.subplots(4, len(counts), squeeze=False)
for row, name in zip(axes, ("hack", "respaced", "DDIM", "DPM-Solver++"), strict=True):
    for ax, steps in zip(row, counts, strict=True):
        ax.imshow(viz.image_grid(drawn[name, steps], columns=5)[..., 0], cmap="gray", vmin=0, vmax=255)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    row[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=10)
for ax, steps in zip(axes[0], counts, strict=True):
    ax.set_title(f"{steps} steps", fontsize=10)
figure

# %% [markdown]
# With 250 of the 1000 steps the hack and respacing differ by no more than the spread. From 50 steps down the hack is two to
# three times as far from real digits. It still draws grey digits, because its last move returns the model's prediction of a
# clean image, whatever noise is left. **Respacing and DDIM lose nothing outside the spread down to 10 steps.** At 5 respacing
# and DPM-Solver++ are somewhat further away than at 10.
#
# More steps are not better here. DPM-Solver++ with 10 steps is nearer to real digits than any sampler with 1000. At 1000 steps
# the remaining error is the model's and not the sampler's, and following an imperfect model more closely does not reduce it.
# `minidiff study subset` repeats this on the cosine schedule, where the last visited timestep is above $t = 0$. There nothing
# hides the noise that the hack leaves: at 250 steps it is three times as far away as respacing, and from 50 steps down its
# samples are only noise ([tables and plots](../docs/studies.md#can-ddpms-step-just-skip-steps)).
#
# ## From image to noise: inversion
#
# DDIM adds no noise, so one start gives one image, and the steps can be reversed: from an image to the noise that it comes
# from. This is called **inversion**. Inversion followed by DDIM should return the image. (`minidiff study inversion` does the
# same with [a trained model](../docs/studies.md#does-ddim-recover-the-noise-of-an-image).)

# %%
clean = ring.sample(2, 300)
trips = {}
for steps in (10, 20, 50, 100):
    *_, up = samplers.ddim_invert(perfect, clean, steps=steps)
    down = ddim(perfect, up.x, respaced(steps))
    trips[steps] = np.sqrt(((down - clean) ** 2).mean())
found = ", ".join(f"{error:.3f} with {steps} steps" for steps, error in trips.items())
print("root mean square error of the round trip:", found)
assert trips[100] < trips[10]

# %% [markdown]
# ## The same with minidiff's samplers
#
# minidiff has all three: `ddpm_subset` (the hack, kept for comparison), `ddpm_respaced` and `ddim`. Do they return the same
# points from the same start and the same noise?

# %%
pairs = {
    "ddpm_subset": ddpm(perfect, start, hack(20), Rng(5)),
    "ddpm_respaced": ddpm(perfect, start, respaced(20), Rng(5)),
    "ddim": ddim(perfect, start, respaced(20)),
}
for name, ours in pairs.items():
    *_, last = getattr(samplers, name)(perfect, start, steps=20, rng=Rng(5))
    print(f"{name:14} minidiff's points differ from this chapter's by at most {np.abs(last.x - ours).max():.0e}")
    assert np.abs(last.x - ours).max() < 1e-8

# %% [markdown]
# ## Exercises
#
# Complete each function and run its cell. The lines below the function test it. They print "right", or what is probably wrong.
# Each exercise has two folded hints, a small one and a bigger one.
#
# **Exercise 1.** How much noise does the hack leave? Return the noise level that $x$ really has after the move from $t$, minus
# the noise level of the next $t$, which the denoiser gets. `schedule.sigma(t)` is the noise level at $t$.
#
# <details><summary>Hint</summary>
#
# To which timestep does the hack's move lead? Look at the printed moves of `hack(5)`.
# </details>
# <details><summary>Bigger hint</summary>
#
# Both levels are values of `schedule.sigma`, at two different timesteps, and neither of them is $t$.
# </details>

# %%
def noise_left(schedule, t, next_t):
    ...  # return a number


if grading.answered(noise_left, schedule, 50, 40):
    mistakes.find(noise_left, "08.noise_left")
    print("exercise 1: right")

# %% [markdown]
# **Exercise 2.** DDIM can also add a little noise, controlled by $\eta$ between 0 and 1. The added noise has standard deviation
# $\eta\,\frac{\sigma_s}{\sigma_t}\sqrt{1 - a_t^2/a_s^2}$. Which factor of $\hat\epsilon$ keeps the noise level at $\sigma_s$?
# `now` is the pair $(a_t, \sigma_t)$ and `after` is $(a_s, \sigma_s)$.
#
# <details><summary>Hint</summary>
#
# Old noise and fresh noise are independent. Which add up, the standard deviations or the variances?
# </details>
# <details><summary>Bigger hint</summary>
#
# kept$^2$ + added$^2$ = $\sigma_s^2$. In the move to the finished image $\sigma_s$ is 0: do not divide by it.
# </details>

# %%
def kept(now, after, eta):
    ...  # return the factor of eps


if grading.answered(kept, level(50), level(40), 0.5):
    mistakes.find(kept, "08.kept")
    print("exercise 2: right")

# %% [markdown]
# **Exercise 3.** Here is a bug from public code: DDIM with a minus, $x_s = a_s \hat x_0 - \sigma_s \hat\epsilon$. Write it, and
# see how far its points are from the centres. `level(s)` gives $a_s$ and $\sigma_s$.
#
# <details><summary>Hint</summary>
#
# The chapter's `ddim` has one line that mixes the two predictions.
# </details>
# <details><summary>Bigger hint</summary>
#
# Only the sign of the noise changes. The denoiser is still called with $t$, and all moves are made before the function returns.
# </details>

# %%
def ddim_minus(denoiser, x, moves, level):
    ...  # return x


if grading.answered(ddim_minus, perfect, start[:2], [(50, 40)], level):
    mistakes.find(ddim_minus, "08.ddim_minus")
    off = off_ring(ddim_minus(perfect, start, respaced(50), level))
    print(f"exercise 3: right; standard deviation around the centres {off:.3f}")

# %% [markdown]
# ### Build it: two samplers for any list of timesteps
#
# Now build the whole thing, in three steps: the betas of a shorter chain, and the two samplers that skip steps, for a model
# that predicts $\epsilon$. `alpha_bar` is the table of the long chain, and `times` lists the timesteps to visit, the noisiest
# first. The last step leads to the finished image, where $\bar\alpha$ is 1. Each exercise can pass without the others.
#
# **Exercise 4.** Compute the betas of the shorter chain, in the order of `times`. The beta of each timestep is the variance
# that the forward process adds between the next timestep in the list and this one.
#
# <details><summary>Hint</summary>
#
# The formula is at the top of the chapter, with $a^2$ for $\bar\alpha$.
# </details>
# <details><summary>Bigger hint</summary>
#
# `alpha_bar[np.asarray(times)]` looks up all timesteps at once. The same array, shifted by one place and with a 1 at the end,
# belongs to the timesteps that come next.
# </details>

# %%
def respaced_betas(alpha_bar, times):
    ...  # alpha_bar (T,)   times (S,), descending   -> (S,)


if grading.answered(respaced_betas, schedule.alpha_bar, [5, 0]):
    mistakes.find(respaced_betas, "08.respaced_betas")
    print("exercise 4: right")

# %% [markdown]
# **Exercise 5.** Write the respaced DDPM sampler. `model(x, t)` returns $\hat\epsilon$ for an integer `t`. If `clip` is a
# number, clip the predicted $x_0$ to $[-\text{clip}, \text{clip}]$ before you use it. Draw with `rng.standard_normal(x.shape)`,
# and draw nothing in the last step. Do not use the chapter's `ddpm`.
#
# <details><summary>Hint</summary>
#
# Go through the timesteps in pairs, each with the next one. What takes the place of the next timestep in the last pair?
# </details>
# <details><summary>Bigger hint</summary>
#
# In each step, compute $\hat x_0 = (x_t - \sigma_t \hat\epsilon) / a_t$, clip it, and apply the chapter's formula for a step
# from $t$ to $s$. The square root in it is the standard deviation of the noise. `zip(times, [*times[1:], None])` makes the
# pairs.
# </details>

# %%
def respaced_sampler(model, x, alpha_bar, times, rng, clip=None):
    ...  # x (B, ...)   -> (B, ...)


rng = np.random.default_rng(33)
if grading.answered(respaced_sampler, lambda x, t: 0 * x, start[:2], schedule.alpha_bar, [5, 0], rng):
    mistakes.find(respaced_sampler, "08.respaced_sampler")
    times, rng = spaced_steps(T, 20), np.random.default_rng(5)
    points = respaced_sampler(lambda x, t: perfect(x, t)[1], start, schedule.alpha_bar, times, rng)
    right = ddpm(perfect, start, respaced(20), np.random.default_rng(5))
    grading.same(points, right, "20 steps on the ring", rtol=1e-5, atol=1e-6)
    print("exercise 5: right")

# %% [markdown]
# **Exercise 6.** Write the DDIM sampler with $\eta$. It adds fresh noise as in exercise 2, and the factor of $\hat\epsilon$
# keeps the noise level right. If the predicted $x_0$ was clipped, compute $\hat\epsilon$ again, so that the two still give
# $x_t$. With $\eta = 0$ nothing is drawn.
#
# <details><summary>Hint</summary>
#
# $x_t = a_t \hat x_0 + \sigma_t \hat\epsilon$ has three parts. Any two of them determine the third.
# </details>
# <details><summary>Bigger hint</summary>
#
# In each step, call the model, predict $x_0$, clip it and solve for $\hat\epsilon$ again, compute the standard deviation of the
# noise, mix, and add the noise. In the last step $\sigma_s$ is 0, so the standard deviation is 0 too.
# </details>

# %%
def ddim_sampler(model, x, alpha_bar, times, eta, rng, clip=None):
    ...  # x (B, ...)   -> (B, ...)


rng = np.random.default_rng(35)
if grading.answered(ddim_sampler, lambda x, t: 0 * x, start[:2], schedule.alpha_bar, [5, 0], 0.5, rng):
    mistakes.find(ddim_sampler, "08.ddim_sampler")
    times, rng = spaced_steps(T, 20), np.random.default_rng(5)
    points = ddim_sampler(lambda x, t: perfect(x, t)[1], start, schedule.alpha_bar, times, 0.0, rng)
    grading.same(points, ddim(perfect, start, respaced(20)), "20 steps on the ring", rtol=1e-5, atol=1e-6)
    print("exercise 6: right")

# %% [markdown]
# The answers are in [docs/answers/08.py](../docs/answers/08.py), together with the hidden tests for graded assignments.
