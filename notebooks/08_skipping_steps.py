# %% [markdown]
# # 8. Skipping steps
#
# DDPM (chapter 7) calls the network a thousand times for one picture. Must it? Everybody who meets it tries the obvious
# thing: visit only every twentieth step. This chapter shows exactly what that does, why it breaks, and two ways to skip steps
# that work.
#
# {{install}}
# The code below needs neither the internet nor a GPU.
#
# **What you should know already.** A noisy picture is $x_t = a_t\,x_0 + \sigma_t\,\epsilon$ with $a_t = \sqrt{\bar\alpha_t}$
# and $\sigma_t = \sqrt{1 - \bar\alpha_t}$ (chapter 3). A *denoiser* answers, from $x_t$ and $t$, its guess of $x_0$ and of
# $\epsilon$ (chapter 4). (Other names of $a_t$: see [chapter 3's table of symbols](03_adding_noise.ipynb).)

# %%
import os

import numpy as np

from minidiff import data, grading, metrics, mistakes, models, samplers, training, viz
from minidiff.diffusion import GaussianMixture, Schedule, SimpleLoss, spaced_steps
from minidiff.rng import Rng
from minidiff.samplers.gaussian_chain import generated_variance

FAST = bool(os.environ.get("MINIDIFF_FAST"))  # the tests set this: everything runs, with smaller numbers
T = 200 if FAST else 1000
schedule = Schedule.linear(T, scale_to_T=True)

# %% [markdown]
# ## One step back, from any time to any other
#
# Chapter 7's formula for a step from $t$ to $t - 1$ holds for a step from any $t$ to any earlier $s$, if we write down the
# variance $\beta$ that is really added on the way from $s$ to $t$:
#
# $$\beta = 1 - \frac{a_t^2}{a_s^2}, \qquad
# x_s = \frac{a_s\,\beta}{\sigma_t^2}\,\hat x_0 + \frac{a_t}{a_s}\,\frac{\sigma_s^2}{\sigma_t^2}\,x_t
# + \sqrt{\beta\,\frac{\sigma_s^2}{\sigma_t^2}}\;z .$$
#
# The code takes a list of moves `(t, s)`. $s = -1$ stands for "clean": $a = 1$, $\sigma = 0$.

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
        if number < len(moves) - 1:  # no noise into the finished picture
            x = x + (beta * sigma_s**2 / sigma_t**2) ** 0.5 * rng.standard_normal(x.shape, dtype=x.dtype)
    return x


def every_step():
    return [(t, t - 1) for t in range(T - 1, -1, -1)]


# %% [markdown]
# ## Can I skip any $t$ I like with the ordinary DDPM step?
#
# The hack: keep the step from $t$ to $t - 1$ as it is, and then simply go on at the next $t$ of a shorter list. The usual
# answer is "it breaks the chain; sometimes it works". The right way: step from $t$ to the $s$ that really comes next, called
# *respacing* (Nichol and Dhariwal, 2021). Look how small the difference is in code:

# %%
def hack(steps):
    return [(int(t), int(t) - 1) for t in spaced_steps(T, steps)]


def respaced(steps):
    times = [int(t) for t in spaced_steps(T, steps)]
    return list(zip(times, [*times[1:], -1], strict=True))


print("hack    ", hack(5))
print("respaced", respaced(5))
assert hack(T) == respaced(T) == every_step()  # with all the steps there is no difference

# %% [markdown]
# After the hack's first move, $x$ is as noisy as at $t - 1$, and the denoiser is told that it is far cleaner. Nobody removes
# the noise in between.
#
# ## And with DDIM?
#
# DDIM (Song, Meng and Ermon, 2020) asks a different question: not "which random step back is right?" but "where would this
# picture be at the lower noise level, *with the same noise in it*?" Mix the two guesses anew:
#
# $$x_s = a_s\,\hat x_0 + \sigma_s\,\hat\epsilon .$$
#
# No fresh noise at all. Any $s$ will do.

# %%
def ddim(denoiser, x, moves):
    for t, s in moves:
        a_s, sigma_s = level(s)
        x0, eps = denoiser(x, t)
        x = a_s * x0 + sigma_s * eps
    return x


# %% [markdown]
# ## DDPM, subset, DDIM side by side
#
# A perfect denoiser, so that all that goes wrong is the sampler's fault: for points from eight blobs the best guess is
# known exactly. (See chapter 7.) All samplers start from the same noise.

# %%
angle = 2 * np.pi * np.arange(8) / 8
ring = GaussianMixture(1.5 * np.stack([np.cos(angle), np.sin(angle)], axis=1), stds=0.1)
perfect = ring.denoiser(schedule)
start = Rng(0).standard_normal((500 if FAST else 1000, 2), dtype="float64")


def off_ring(points):
    """Typical distance to the nearest centre, along one axis. True points: 0.1."""
    away = ((points[:, None] - ring.means) ** 2).sum(axis=2).min(axis=1)
    return np.sqrt(away.mean() / 2)


results = {f"DDPM, all {T}": ddpm(perfect, start, every_step(), Rng(1))}
for steps in (50, 10):
    results[f"hack, {steps} steps"] = ddpm(perfect, start, hack(steps), Rng(1))
    results[f"respaced, {steps} steps"] = ddpm(perfect, start, respaced(steps), Rng(1))
    results[f"DDIM, {steps} steps"] = ddim(perfect, start, respaced(steps))
for name, points in results.items():
    print(f"{name:20} distance from the blobs' centres {off_ring(points):.3f}   (true: 0.100)")
assert off_ring(results["hack, 10 steps"]) > 2 * off_ring(results["respaced, 10 steps"])
assert off_ring(results["DDIM, 50 steps"]) < 0.15

# %%
figure = viz.new_figure(9.6, 5.2, "tight")
axes = figure.subplots(2, 4)
order = [f"DDPM, all {T}", *(n for n in results if "50" in n and "all" not in n), *(n for n in results if "10 " in n)]
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
# On data that is Gaussian, with standard deviation $c$, the best denoiser is a plain factor, $\hat x_0 = g\,x_t$ with $g =
# c^2 a_t / (c^2 a_t^2 + \sigma_t^2)$. Then every move multiplies $x$ by a number $m$ and adds noise of a known variance, so
# the variance that comes out can be computed exactly, with no sampling: $\text{var} \leftarrow m^2\,\text{var} +
# \text{added}$.

# %%
def spread_made(moves, c, kind="ddpm"):
    """Standard deviation of what comes out when the data is N(0, c^2)."""
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
    print(f"data of standard deviation {c}:  steps", *(f"{n:6}" for n in counts))
    for name, move, kind in (("hack", hack, "ddpm"), ("respaced", respaced, "ddpm"), ("DDIM", respaced, "ddim")):
        found[name, c] = [spread_made(move(n), c, kind) for n in counts]
        print(f"{name:>36}", *(f"{v:6.3f}" for v in found[name, c]))
assert found["hack", 0.2][1] > 2 * 0.2 and abs(found["DDIM", 0.2][4] - 0.2) < 0.02
assert np.isclose(found["hack", 0.2][-1], found["respaced", 0.2][-1])  # all the steps: no difference

figure = viz.new_figure(9.4, 3.6, "tight")
for number, c in enumerate((0.2, 1.0)):
    axes = figure.add_subplot(1, 2, number + 1)
    for name, colour in zip(("hack", "respaced", "DDIM"), viz.COLOURS[1:], strict=False):
        axes.semilogx(counts, found[name, c], "o-", color=colour, label=name)
    axes.axhline(c, color="grey", linewidth=0.8)
    axes.set(xlabel="steps", ylabel="standard deviation made", title=f"True standard deviation: {c}", ylim=(0, None))
    axes.set_xticks(counts, counts)
    axes.minorticks_off()
axes.legend(frameon=False, fontsize=9)
figure

# %% [markdown]
# On the left, data that is narrower than the noise: the hack leaves most of the noise in, and the fewer the steps, the more.
# On the right the data has the *same* variance as the noise, and the hack looks the best of all three! The noise that it
# leaves behind has just the variance that the data should have. A test on such data would never see the mistake, a reason to
# measure on more than one thing. (What the other two lose on the right is real: with few steps they make too little variety.)

# %% [markdown]
# ## 1000 steps beside 50 beside 10, in pictures
#
# The best denoiser for a world in which only the training digits exist is known too: the mean of the digits, weighted by how
# likely each is (chapter 4). It needs no training. What it makes are training digits, so this picture is about samplers, not
# about new digits.

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
# ## And with a trained model?
#
# So far every denoiser was perfect. A trained model adds errors of its own. We train a small MLP on the digits, conditioned on
# the class, with three training seeds, and sample each of the three models from 1000 steps down to 5. Beside the hack,
# respacing and DDIM stands [DPM-Solver](../docs/glossary.md#dpm-solver)++ (chapter 9), which uses the last two predictions in
# each step.
#
# The number is the *[Fréchet distance](../docs/glossary.md#fréchet-distance)*: how far the samples are from real digits in the
# features of a classifier. Lower is better; chapter 14 builds it. Each training seed starts from its own noise, and ± is the
# standard error over the three seeds.

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

print("steps       ", *(f"{steps:>14}" for steps in counts))
for name in ("hack", "respaced", "DDIM", "DPM-Solver++"):
    print(f"{name:12}", *("{:>7.2f} ± {:4.2f}".format(*distances[name, steps]) for steps in counts))
assert distances["hack", T] == distances["respaced", T]  # all the steps: no difference
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
# three times as far from real digits. It still draws grey digits, because its last move returns the model's guess of a clean
# image, whatever noise is left. **Respacing and DDIM lose nothing outside the spread down to 10 steps.** At 5 respacing and
# DPM-Solver++ are somewhat further away than at 10.
#
# More steps are not better here. DPM-Solver++ with 10 steps comes nearer to real digits than any sampler with 1000: what is
# left at 1000 steps is the model's error and not the sampler's, and following a flawed model more closely does not mend it.
# `minidiff study subset` repeats this on the cosine schedule, where the last step visited lies above $t = 0$. There nothing
# covers up the noise that the hack leaves: at 250 steps it is three times as far away as respacing, and from 50 steps down it
# draws nothing but noise ([tables and plots](../docs/studies.md#can-ddpms-step-just-skip-steps)).
#
# ## Walking up again: inversion
#
# As DDIM adds no noise, one start gives one picture. So it can be walked backwards: from a picture to the noise that it comes
# from. Up and down again should give back the picture. (`minidiff study inversion` does the same with
# [a trained model](../docs/studies.md#does-ddim-recover-the-noise-of-an-image).)

# %%
clean = ring.sample(2, 300)
trips = {}
for steps in (10, 20, 50, 100):
    *_, up = samplers.ddim_invert(perfect, clean, steps=steps)
    down = ddim(perfect, up.x, respaced(steps))
    trips[steps] = np.sqrt(((down - clean) ** 2).mean())
print("typical error of the round trip:", ", ".join(f"{steps} steps {error:.3f}" for steps, error in trips.items()))
assert trips[100] < trips[10]

# %% [markdown]
# ## Handing over
#
# minidiff has all three: `ddpm_subset` (the hack, kept to be looked at), `ddpm_respaced` and `ddim`. Same start, same noise,
# same points?

# %%
pairs = {
    "ddpm_subset": ddpm(perfect, start, hack(20), Rng(5)),
    "ddpm_respaced": ddpm(perfect, start, respaced(20), Rng(5)),
    "ddim": ddim(perfect, start, respaced(20)),
}
for name, ours in pairs.items():
    *_, last = getattr(samplers, name)(perfect, start, steps=20, rng=Rng(5))
    print(f"{name:14} differs by at most {np.abs(last.x - ours).max():.0e}")
    assert np.abs(last.x - ours).max() < 1e-8

# %% [markdown]
# ## Exercises
#
# Complete each function and run its cell. The lines below the function test it. They print "right", or what is probably wrong.
# Each exercise has two folded hints, a small one and a bigger one.
#
# **Exercise 1.** How much noise does the hack leave? Return the noise level that $x$ really has after the move from $t$,
# minus the one that the denoiser is given at the next $t$. `schedule.sigma(t)` is the noise level at $t$.
#
# <details><summary>Hint</summary>
#
# To which time does the hack's move lead? Look at what `hack(5)` printed.
# </details>
# <details><summary>Bigger hint</summary>
#
# Both levels are values of `schedule.sigma`, at two different times, and neither of them is $t$.
# </details>

# %%
def noise_left(schedule, t, next_t):
    ...  # return a number


if grading.answered(noise_left, schedule, 50, 40):
    mistakes.find(noise_left, "08.noise_left")
    print("exercise 1: right")

# %% [markdown]
# **Exercise 2.** DDIM with a little noise, $\eta$ between 0 and 1: the noise added has standard deviation
# $\eta\,\frac{\sigma_s}{\sigma_t}\sqrt{1 - a_t^2/a_s^2}$. How much of $\hat\epsilon$ is kept, so that the noise level is
# still $\sigma_s$? `now` is the pair $(a_t, \sigma_t)$ and `after` is $(a_s, \sigma_s)$.
#
# <details><summary>Hint</summary>
#
# Old noise and fresh noise are independent. What adds up, deviations or variances?
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
# **Exercise 3.** A mistake from public code: DDIM with a minus, $x_s = a_s \hat x_0 - \sigma_s \hat\epsilon$. Write it, and
# see how far it lands. `level(s)` gives $a_s$ and $\sigma_s$.
#
# <details><summary>Hint</summary>
#
# The chapter's `ddim` has one line that mixes the two guesses.
# </details>
# <details><summary>Bigger hint</summary>
#
# Only the sign of the noise changes. The denoiser is still asked at $t$, and all the moves are made before you return.
# </details>

# %%
def ddim_minus(denoiser, x, moves, level):
    ...  # return x


if grading.answered(ddim_minus, perfect, start[:2], [(50, 40)], level):
    mistakes.find(ddim_minus, "08.ddim_minus")
    off = off_ring(ddim_minus(perfect, start, respaced(50), level))
    print(f"exercise 3: right; the points land {off:.3f} from the centres")

# %% [markdown]
# ### Build it: two samplers for any list of times
#
# Now the real thing, in three steps: the betas of a shorter chain, and the two samplers that skip steps, for a model that
# predicts $\epsilon$. `alpha_bar` is the table of the long chain, and `times` lists the times to visit, the noisiest first; its
# last step leads to the finished image, where $\bar\alpha$ is 1. Each step can pass without the others.
#
# **Exercise 4.** The betas of the shorter chain, in the order of `times`: each time's beta is the variance that is added on the
# way from the next time in the list to this one.
#
# <details><summary>Hint</summary>
#
# The formula stands at the top of the chapter, with $a^2$ for $\bar\alpha$.
# </details>
# <details><summary>Bigger hint</summary>
#
# `alpha_bar[np.asarray(times)]` looks up all the times at once. The same array, moved by one place and with a 1 at the end,
# belongs to the times that come next.
# </details>

# %%
def respaced_betas(alpha_bar, times):
    ...  # alpha_bar (T,)   times (S,), descending   -> (S,)


if grading.answered(respaced_betas, schedule.alpha_bar, [5, 0]):
    mistakes.find(respaced_betas, "08.respaced_betas")
    print("exercise 4: right")

# %% [markdown]
# **Exercise 5.** The respaced DDPM sampler. `model(x, t)` returns $\hat\epsilon$ for a whole number `t`. If `clip` is a number,
# the guess of $x_0$ is clipped to $[-\text{clip}, \text{clip}]$ before it is used. Draw with `rng.standard_normal(x.shape)`,
# and nothing in the last step. Write it without the chapter's `ddpm`.
#
# <details><summary>Hint</summary>
#
# Go through the times in pairs, each with the next one. What takes the place of the next time in the last pair?
# </details>
# <details><summary>Bigger hint</summary>
#
# In a step: $\hat x_0 = (x_t - \sigma_t \hat\epsilon) / a_t$, clip, then the chapter's formula for a step from $t$ to $s$. Its
# square root is the deviation of the noise. `zip(times, [*times[1:], None])` makes the pairs.
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
# **Exercise 6.** The DDIM sampler with $\eta$: fresh noise as in exercise 2, and $\hat\epsilon$ fills up what is left of the
# noise level. Where the guess of $x_0$ was clipped, $\hat\epsilon$ has to be computed again, so that the two still make $x_t$.
# With $\eta = 0$ nothing is drawn.
#
# <details><summary>Hint</summary>
#
# $x_t = a_t \hat x_0 + \sigma_t \hat\epsilon$ has three parts. From any two of them follows the third.
# </details>
# <details><summary>Bigger hint</summary>
#
# The order in a step: ask the model, guess $x_0$, clip it and solve for $\hat\epsilon$ again, compute the deviation of the
# noise, mix, add the noise. In the last step $\sigma_s$ is 0, so the deviation is 0 too.
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
