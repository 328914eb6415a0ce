# %% [markdown]
# # 9. The ODE and SDE view
#
# Chapters 7 and 8 walked from noise to pictures in steps that somebody numbered from 0 to 999. Here the numbers go. Noise
# level becomes a real number, the walk becomes a curve, and drawing a picture becomes a question that mathematicians have
# had good answers to for two hundred years: *follow a curve whose direction you know at every point*. With this view one
# sees why DDIM works, builds samplers that need far fewer steps, and measures how much better they are.
#
# {{install}}
# Nothing below needs a network or a GPU.
#
# **What you should know already.** A noisy picture is $x_t = \alpha_t x_0 + \sigma_t \epsilon$ (chapter 3). A *denoiser*
# answers, from $x_t$ and $t$, its guess of $x_0$ and of $\epsilon$, and the best guess is a mean (chapter 4). DDIM goes from
# one noise level to the next by mixing the two guesses anew, $x_s = \alpha_s \hat x_0 + \sigma_s \hat\epsilon$ (chapter 8).
# ($\alpha_t$ is chapter 3's $\sqrt{\bar\alpha_t}$: see [chapter 3's table of letters](03_adding_noise.ipynb).)

# %%
import math
import os

import numpy as np

from minidiff import data, grading, metrics, mistakes, models, sample, samplers, training, viz
from minidiff.diffusion import VP, Denoiser, GaussianMixture, Schedule, SimpleLoss, karras_sigmas
from minidiff.rng import Rng

FAST = bool(os.environ.get("MINIDIFF_FAST"))  # the tests set this: everything runs, with smaller numbers
rng = np.random.default_rng(0)

# %% [markdown]
# ## What is a score?
#
# Noisy data has a density $p_t(x)$: how likely a noisy picture $x$ is at time $t$. Its **score** is $\nabla_x \log p_t(x)$, an
# arrow at every $x$ that points to where noisy pictures get more likely. And we have had it all along. Tweedie's formula
# says that the mean of all pictures that may be behind $x$, the best denoiser's answer, is where the score points:
#
# $$\hat x_0 = \frac{x + \sigma_t^2\,\nabla \log p_t(x)}{\alpha_t}
# \qquad\text{or}\qquad \nabla \log p_t(x) = -\frac{\hat\epsilon}{\sigma_t}.$$
#
# Let us check it on data whose density we can write down, five blobs in the plane. The score by definition (move $x$ a
# little, see how $\log p_t$ changes) against a denoiser's $-\hat\epsilon/\sigma_t$:

# %%
process = VP()  # chapter 3's linear schedule with T going to infinity: t is a real number from 0 to 1
angle = 2 * np.pi * np.arange(5) / 5
blobs = GaussianMixture(1.2 * np.stack([np.cos(angle), np.sin(angle)], axis=1), stds=0.12, weights=[1, 1, 1, 1, 3])
perfect = blobs.denoiser(process)

t, h = 0.3, 1e-5
rng = np.random.default_rng(3)
x = rng.standard_normal((6, 2))
alpha, sigma = process.alpha(t), process.sigma(t)
by_slope = np.stack([
    (blobs.log_prob(x + h * step, alpha, sigma) - blobs.log_prob(x - h * step, alpha, sigma)) / (2 * h) for step in np.eye(2)
], axis=1)  # fmt: skip
x0, eps = perfect(x, t)
print(f"score by its definition and from the denoiser differ by at most {np.abs(by_slope + eps / sigma).max():.0e}")
assert np.allclose(by_slope, -eps / sigma, atol=1e-6) and np.allclose(x0, (x + sigma**2 * by_slope) / alpha, atol=1e-6)

# %%
figure = viz.new_figure(9.6, 3.4, "tight")
side = np.linspace(-2.2, 2.2, 15)
grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
fine = np.linspace(-2.4, 2.4, 90)
pixels = np.stack(np.meshgrid(fine, fine), axis=-1).reshape(-1, 2)
for axes, t in zip(figure.subplots(1, 3), (0.8, 0.3, 0.1), strict=True):
    level = process.alpha(t), process.sigma(t)
    density = np.exp(blobs.log_prob(pixels, *level)).reshape(90, 90)
    axes.imshow(density, extent=(-2.4, 2.4, -2.4, 2.4), origin="lower", cmap="Blues")
    arrows = level[1] * blobs.score(grid, *level)  # times sigma, so that they fit the picture
    axes.quiver(*grid.T, *arrows.T, color=viz.COLOURS[1], scale=45, width=0.005)
    axes.set(xticks=[], yticks=[], aspect="equal", title=f"t = {t}, noise level {level[1]:.2f}")
figure

# %% [markdown]
# ## Noise as a differential equation
#
# Chapter 3's step was "shrink by $\sqrt{1 - \beta}$, add noise of variance $\beta$". Cut the steps finer and finer. With
# $\beta(t)\,dt$ for the variance of a very short step, and $dw$ for noise of variance $dt$, one writes
#
# $$dx = -\tfrac12 \beta(t)\,x\,dt + \sqrt{\beta(t)}\,dw.$$
#
# This is a *stochastic differential equation*, SDE for short: a rule for a very short step, with chance in it. Song and
# others (2021) put two things to use. It can be run **backwards**, if one knows the score:
#
# $$dx = \bigl[-\tfrac12 \beta\,x - \beta\,\nabla \log p_t(x)\bigr]\,dt + \sqrt\beta\,d\bar w \qquad\text{(time runs down)}.$$
#
# And there is an equation **without any chance** in it that moves the points so that they have the same density at every
# time, the *probability-flow ODE* (ordinary differential equation). It takes half of the score:
#
# $$\frac{dx}{dt} = -\tfrac12 \beta\,x - \tfrac12 \beta\,\nabla \log p_t(x).$$
#
# Both, step by step, in the plainest way there is (Euler's: go straight for a little while, look again):

# %%
def walk_back(denoiser, x, steps, chance, rng):
    """From t = 1 to nearly 0.   x (B, D)   ->   [x at t = 1, ..., x at the end], steps + 1 of them"""
    times, states = np.linspace(1, process.t_min, steps + 1), [x]
    for t, after in zip(times[:-1], times[1:], strict=True):
        beta, dt = process.g(t) ** 2, t - after
        score = -denoiser(x, t)[1] / process.sigma(t)
        x = x + (0.5 * beta * x + (1.0 if chance else 0.5) * beta * score) * dt
        if chance:
            x = x + math.sqrt(beta * dt) * rng.standard_normal(x.shape)
        states.append(x)
    return states


steps, count = (200, 400) if FAST else (500, 4000)
rng = np.random.default_rng(0)
start = rng.standard_normal((count, 2))
by_sde, by_ode = (walk_back(perfect, start, steps, chance, rng) for chance in (True, False))
for name, states in (("reverse SDE", by_sde), ("ODE", by_ode)):
    share = np.bincount(blobs.responsibilities(states[-1]).argmax(axis=1), minlength=5) / count
    away = states[-1] - blobs.means[blobs.responsibilities(states[-1]).argmax(axis=1)]
    print(f"{name:12} share of each blob", share.round(3), f"spread {np.sqrt((away**2).mean()):.3f}")
    assert np.abs(share - blobs.weights).max() < 0.03 + 1 / np.sqrt(count)
print("truth        share of each blob", blobs.weights.round(3), "spread 0.120")

# %% [markdown]
# The same cloud comes out, on very different ways. In one dimension one can see it whole. The walk goes from left to right; in
# blue, the density at each time, which both share.

# %%
line = GaussianMixture([[-1.2], [1.0]], stds=0.15, weights=[1, 2])
few = np.linspace(-2, 2, 7)[:, None]
rng = np.random.default_rng(8)
roads = {name: walk_back(line.denoiser(process), few, steps, name == "reverse SDE", rng)
         for name in ("reverse SDE", "probability-flow ODE")}  # fmt: skip
times, heights = np.linspace(1, process.t_min, steps + 1), np.linspace(-2.8, 2.8, 120)
alphas, sigmas = process.alpha(times[::5]), np.maximum(process.sigma(times[::5]), 0.02)
density = np.stack([
    np.exp(line.log_prob(heights[:, None], a, s)) for a, s in zip(alphas.tolist(), sigmas.tolist(), strict=True)
], axis=1)  # fmt: skip
figure = viz.new_figure(9.6, 3.6, "tight")
for axes, (name, states) in zip(figure.subplots(1, 2, sharey=True), roads.items(), strict=True):
    axes.imshow(np.sqrt(density), extent=(1, 0, -2.8, 2.8), aspect="auto", origin="lower", cmap="Blues")
    axes.plot(times, np.stack(states)[:, :, 0], color=viz.COLOURS[1], linewidth=0.9)
    axes.set(xlabel="t (noise on the left, data on the right)", ylim=(-2.8, 2.8), title=name)
figure

# %% [markdown]
# The ODE's curves never cross: one start, one picture, which is why pictures can be turned into their noise and back
# (chapter 8). The SDE shakes at every step and forgets where it started.
#
# ## A change of letters after which everything is simple
#
# Divide by $\alpha_t$: with $y = x_t / \alpha_t$ and $s = \sigma_t / \alpha_t$ we have $y = x_0 + s\,\epsilon$, the clean
# picture plus noise of size $s$, whatever the schedule was. In these letters the ODE is
#
# $$\frac{dy}{ds} = \hat\epsilon(y, s).$$
#
# Nothing else is left of it. (Most papers since Karras and others, 2022, write $\sigma$ for our $s$.) **Euler's step** is
# $y' = y + (s' - s)\,\hat\epsilon$. Multiply by $\alpha'$ again, and it is $\alpha'\hat x_0 + \sigma'\hat\epsilon$. This is
# DDIM, to the letter:

# %%
def ask(denoiser, y, s):
    """(x0, eps) at noise level s, from y = x / alpha."""
    t = denoiser.schedule.t_of_log_snr(-2 * math.log(s))
    return denoiser(denoiser.schedule.alpha(t) * y, t)


def euler(denoiser, y, levels):
    for s, after in zip(levels[:-1], levels[1:], strict=True):
        y = y + (after - s) * ask(denoiser, y, s)[1]
    return y


s_min, s_max = (process.sigma(t) / process.alpha(t) for t in (1e-3, 1.0))
levels = np.exp(np.linspace(math.log(s_max), math.log(s_min), 21)).tolist()
y = start[:100] / process.alpha(1.0)
*_, theirs = samplers.ddim(perfect, start[:100], sigmas=levels)
ours = process.alpha(process.t_of_log_snr(-2 * math.log(s_min))) * euler(perfect, y, levels)
print(f"20 steps of Euler and of minidiff's DDIM differ by at most {np.abs(theirs.x - ours).max():.0e}")
assert np.abs(theirs.x - ours).max() < 1e-6

# %% [markdown]
# ## Better than straight ahead
#
# Euler looks at the slope where it stands. **Heun** goes there, looks at the slope where it *arrives*, returns, and goes with
# the mean of both: two questions to the network for one step. **PLMS** (Liu and others, 2022) and its relatives remember what
# the network said one and two steps ago and guess from it how the slope is going to bend: one question, hardly more than
# Euler's. **DPM-Solver++ 2M** (Lu and others, 2022) remembers too, and treats the part of the equation that is known
# exactly as known: in $\lambda = -\log s$, a step of length $h = \lambda' - \lambda$ is
#
# $$y' = \frac{s'}{s}\,y + (1 - e^{-h})\,\bigl(\hat x_0 + \tfrac{h}{2}\,D\bigr),$$
#
# $D$ being the slope of $\hat x_0$ in $\lambda$, from the last two answers. Each is a few lines:

# %%
def heun(denoiser, y, levels):
    for s, after in zip(levels[:-1], levels[1:], strict=True):
        eps = ask(denoiser, y, s)[1]
        eps_there = ask(denoiser, y + (after - s) * eps, after)[1]
        y = y + (after - s) * (eps + eps_there) / 2
    return y


WEIGHTS = {1: (1,), 2: (3 / 2, -1 / 2), 3: (23 / 12, -16 / 12, 5 / 12), 4: (55 / 24, -59 / 24, 37 / 24, -9 / 24)}


def plms(denoiser, y, levels):
    past = []  # what the network said, the newest first; the weights are Adams and Bashforth's, of 1883
    for s, after in zip(levels[:-1], levels[1:], strict=True):
        past = [ask(denoiser, y, s)[1], *past[:3]]
        y = y + (after - s) * sum(w * eps for w, eps in zip(WEIGHTS[len(past)], past, strict=True))
    return y


def dpmpp_2m(denoiser, y, levels):
    x0_before, s_before = None, levels[0]
    for s, after in zip(levels[:-1], levels[1:], strict=True):
        x0, h = ask(denoiser, y, s)[0], math.log(s / after)
        slope = 0 if x0_before is None else (x0 - x0_before) / math.log(s_before / s)
        y = after / s * y + (1 - math.exp(-h)) * (x0 + h / 2 * slope)
        x0_before, s_before = x0, s
    return y


# %% [markdown]
# ## Convergence, measured
#
# An ODE has one true answer. So a solver has an *error*, its distance from that answer, and an **order**: with order $k$,
# twice the steps make the error $2^k$ times smaller. On a plot with logarithmic axes this is a line of slope $-k$. On data from
# one Gaussian blob the true answer is known in a formula, $y - m$ is multiplied by
# $\sqrt{(c^2 + s'^2)/(c^2 + s^2)}$ for data of mean $m$ and standard deviation $c$:

# %%
m, c = 0.3, 0.5
gauss = GaussianMixture([[m]], stds=c).denoiser(process)
tries = [8, 16, 32, 64, 128] if FAST else [8, 16, 32, 64, 128, 256, 512]
first = np.array([[-1.0], [0.4], [1.3]]) * s_max
truth = m + (first - m) * math.sqrt((c**2 + s_min**2) / (c**2 + s_max**2))


def even(steps):
    """Noise levels that fall by the same factor at each step."""
    return np.exp(np.linspace(math.log(s_max), math.log(s_min), steps + 1)).tolist()


errors = {}
for name, solver in (("Euler = DDIM", euler), ("PLMS", plms), ("DPM-Solver++ 2M", dpmpp_2m), ("Heun", heun)):
    errors[name] = []
    for n in tries:
        errors[name].append(np.abs(solver(gauss, first, even(n)) - truth).max())
    order = math.log(errors[name][-2] / errors[name][-1]) / math.log(2)
    print(f"{name:16} error in {tries[2]} steps {errors[name][2]:.1e}; order measured {order:.2f}")
    assert abs(order - (1 if "Euler" in name else 2)) < 0.25

figure = viz.new_figure(6.4, 4.0, "tight")
axes = figure.add_subplot()
for (name, error), colour in zip(errors.items(), viz.COLOURS, strict=False):
    axes.loglog(tries, error, "o-", color=colour, label=name, markersize=4)
axes.loglog(tries, [0.05 * tries[0] / n for n in tries], ":", color="grey", label="slope -1")
axes.loglog(tries, [0.02 * (tries[0] / n) ** 2 for n in tries], "--", color="grey", label="slope -2")
axes.set_xticks(tries, tries)
axes.minorticks_off()
axes.set(xlabel="steps", ylabel="error", title="Twice the steps: half the error, or a quarter")
axes.legend(frameon=False, fontsize=9)
figure

# %% [markdown]
# ## Handing over
#
# minidiff has these and more, each held to its paper's order by the same measurement (`minidiff study orders`,
# [table](../docs/studies.md#how-fast-does-each-sampler-converge)). From the same start and on the same
# noise levels they must land where ours do. (Its `plms` begins with more accurate steps, as the paper does, so it lands
# elsewhere at first.)

# %%
alpha_first, alpha_last = (process.alpha(process.t_of_log_snr(-2 * math.log(s))) for s in (s_max, s_min))
for name, solver in (("euler", euler), ("heun", heun), ("dpmpp_2m", dpmpp_2m)):
    *_, theirs = getattr(samplers, name)(gauss, alpha_first * first, sigmas=even(20))
    gap = np.abs(theirs.x - alpha_last * solver(gauss, first, even(20))).max()
    print(f"{name:9} differs from the library's by at most {gap:.0e}")
    assert gap < 1e-9

# %% [markdown]
# ## Where to put the steps?
#
# So far each step divided $s$ by the same factor. Is this best? Karras and others (2022) make the steps small near the data,
# where the curves bend, and longer at high noise, by a straight line in $s^{1/\rho}$ with $\rho = 7$. Others spread them evenly
# in $t$. The test: our five blobs, Euler and Heun, the median distance from the true end of each curve (Heun with 400 steps).
# The median, because a few curves that start between two blobs end at the wrong one, and would decide any mean.

# %%
def karras(steps, rho=7):
    ends = s_max ** (1 / rho), s_min ** (1 / rho)
    return (np.linspace(*ends, steps + 1) ** rho).tolist()


def even_in_t(steps):
    times = np.linspace(1.0, 1e-3, steps + 1)
    return (process.sigma(times) / process.alpha(times)).tolist()


assert np.allclose(karras(10), karras_sigmas(s_min, s_max, 11))
rules = {"even in t": even_in_t, "even in log s": even, "Karras": karras}
counts, draws = (10, 20, 40), {}
for seed in range(3):  # three draws of starting noise: what differs by less than they do is no difference
    y = np.random.default_rng(seed).standard_normal((300, 2)) / process.alpha(1.0)
    ends = heun(perfect, y, karras(60 if FAST else 400))
    for name, rule in rules.items():
        for solver in (euler, heun):
            gaps = [np.linalg.norm(solver(perfect, y, rule(n)) - ends, axis=1) for n in counts]
            draws.setdefault((name, solver.__name__), []).append([np.median(gap) for gap in gaps])
off = {key: np.mean(rows, axis=0) for key, rows in draws.items()}
print("median distance in 10, 20, 40 steps, mean of three draws ± their standard deviation")
for (name, kind), rows in draws.items():
    print(f"{name:14} {kind:6}", *(f"{v:.4f} ± {d:.4f}" for v, d in zip(off[name, kind], np.std(rows, axis=0), strict=True)))
by_t, by_log, by_karras = (off[name, "heun"] for name in rules)
assert (by_log < by_karras).all() and (by_log < by_t).all() and by_t[0] < by_karras[0] and by_t[2] > 1.5 * by_karras[2]

figure = viz.new_figure(9.4, 3.5, "tight")
left, right = figure.subplots(1, 2)
for (name, rule), colour in zip(rules.items(), viz.COLOURS, strict=False):
    left.semilogy(rule(18), "o-", color=colour, label=name, markersize=4)
    right.loglog((10, 20, 40), off[name, "euler"], "o:", color=colour, markersize=4)
    right.loglog((10, 20, 40), off[name, "heun"], "o-", color=colour, markersize=4)
left.set(xlabel="step", ylabel="noise level s", title="Eighteen steps")
left.set_xticks(range(0, 19, 3))
left.legend(frameon=False, fontsize=9)
right.set(xlabel="steps", ylabel="median distance from the true end", title="Dotted: Euler. Solid: Heun")
right.set_xticks((10, 20, 40), (10, 20, 40))
right.minorticks_off()
figure

# %% [markdown]
# With Heun the rule matters. Even steps in $\log s$ end nearest for each number of steps. Even steps in $t$ are the second best
# with 10 steps and the worst with 20 and 40: their last step is a leap over the levels where the blobs take shape (left), and a
# better solver does not mend a leap. With Euler the rules differ less, and Karras' rule is the last for each number of steps.
# Famous as it is, it is not the best of the three on this data. The best rule depends on the data, so measure.
#
# ## Is time discrete?
#
# "Usually; continuous versions exist." On this page time was a real number all along, because the formulas do not care. But a
# network that was trained at $t = 0, 1, \dots, 999$ only? We train two alike on the real digits, one on whole $t$, one on
# real-valued $t$, and ask both at times *between* the whole ones.

# %%
digits, labels = data.load("digits")
held_out = data.load("digits", split="test")[0][: 30 if FAST else 360]
schedule = Schedule.linear(1000)
steps = 10 if FAST else 600


def train(real_t):
    net = models.UNet(in_channels=1, out_channels=1, block_out_channels=(16, 16), layers_per_block=1, norm_num_groups=4,
                      down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2, add_attention=False,
                      rng=0)  # fmt: skip
    objective = SimpleLoss(schedule, "v", real_t=real_t)
    trainer = training.Trainer(net, objective, digits, steps=steps, batch_size=32, lr=3e-3, warmup=10, ema_decay=0.98)
    trainer.run(progress=False)
    net.load_state(trainer.ema.state())
    return objective.denoiser(net)


def error(denoiser, shift):
    """Mean squared error of the noise on held-out digits, at the times shift + 0, 25, 50, ..."""
    eps = Rng(5).standard_normal(held_out.shape)
    times = [t + shift for t in range(0, 975, 150 if FAST else 25)]
    return float(np.mean([((denoiser(schedule.add_noise(held_out, eps, t), t)[1] - eps) ** 2).mean() for t in times]))


nets = {"whole t": train(False), "real-valued t": train(True)}
between = {}
for name, denoiser in nets.items():
    between[name] = error(denoiser, 0.5)
    print(f"trained on {name:13}  error at whole t {error(denoiser, 0):.4f}, at t + 0.5 {between[name]:.4f}")
assert abs(between["whole t"] / between["real-valued t"] - 1) < 0.02

# %% [markdown]
# So no: nothing in it is discrete, neither the formulas nor, to two per cent of its error, the network. The sinusoids through
# which it hears the time (chapter 5) are smooth, so it has learned the times between as well. This is why every sampler here
# may visit whatever noise levels it likes.
#
# ## And with DDIM, DPM-Solver?
#
# What is usually said: DDIM needs 25 to 100 steps, DPM-Solver 5 to 20. What counts is how often the network is asked, since
# that is what takes the time; Heun asks twice a step. On the left, for the network trained on real-valued $t$, the
# *[Fréchet distance](../docs/glossary.md#fréchet-distance)* of the samples to the real digits, in the features of a small
# classifier (lower is better; chapter 14 builds it). On the right, for the samplers without chance, how far each pixel is from
# where the *exact* solution of the network's ODE ends (taken to be what Runge and Kutta's fourth-order method gives with 240
# evaluations).

# %%
read = slice(200 if FAST else None)
judge = metrics.train_classifier(digits[read], labels[read], epochs=1 if FAST else 8, width=4 if FAST else 16)
seen_in_real = metrics.features(judge, digits)


def distance(pictures):
    return metrics.frechet_distance(metrics.features(judge, pictures), seen_in_real)


class Counted(Denoiser):
    """A denoiser that counts how often it is asked."""

    calls = 0

    def predict(self, x, t, cond=None):
        self.calls += 1
        return super().predict(x, t, cond)


denoiser = nets["real-valued t"]
noise = Rng(1).standard_normal((20 if FAST else 200, 8, 8, 1))
exact = sample("rk4", denoiser, noise.shape, steps=5 if FAST else 60, x=noise)
settings = {
    "DDPM": ("ddpm_respaced", dict(spacing="trailing")),
    "DDIM": ("ddim", dict(spacing="karras")),
    "PLMS": ("plms", dict(spacing="karras", warm_up="none")),
    "DPM++ 2M": ("dpmpp_2m", dict(spacing="karras")),  # DPM-Solver++ 2M
    "Heun": ("heun", dict(spacing="karras")),
}
asked = [4, 6] if FAST else [5, 10, 20, 50]
quality, gap, drawn = {}, {}, {}
for name, (sampler, options) in settings.items():
    for n in [*asked, 200] if name in ("DDPM", "DDIM") and not FAST else asked:
        counted = Counted(denoiser.model, schedule, "v")
        x = sample(sampler, counted, noise.shape, steps=(n + 1) // 2 if name == "Heun" else n, x=noise, rng=2, **options)
        drawn[name, n], key = x[:6], (name, counted.calls)
        quality[key], gap[key] = distance(x), float(np.sqrt(((x - exact) ** 2).mean()))
for name in settings:
    print(f"{name:9}", ", ".join(f"{calls:3} calls: {d:5.2f}" for (who, calls), d in quality.items() if who == name))
print(f"the exact end {distance(exact):.2f}; held-out real digits {distance(held_out):.2f}")
if not FAST:
    assert quality["DPM++ 2M", 10] < quality["DDIM", 50] and gap["DPM++ 2M", 20] < gap["DDIM", 50]
    assert quality["Heun", 5] > quality["DDIM", 5] > quality["DPM++ 2M", 5]

# %%
figure = viz.new_figure(9.4, 3.9, "tight")
left, right = figure.subplots(1, 2)
for name, colour in zip(settings, viz.COLOURS, strict=False):
    calls = [number for who, number in quality if who == name]
    left.loglog(calls, [quality[name, n] for n in calls], "o-", color=colour, label=name, markersize=4)
    if name != "DDPM":
        right.loglog(calls, [gap[name, n] for n in calls], "o-", color=colour, markersize=4)
left.axhline(distance(exact), color="grey", linewidth=0.8, linestyle=":")
left.set(ylabel="Fréchet distance", title="Quality (dotted: the exact end)")
left.set_yticks([8, 10, 15, 20, 30, 50], [8, 10, 15, 20, 30, 50])
left.legend(frameon=False, fontsize=9)
right.set(ylabel="difference of a pixel", title="Distance from the exact end")
for axes in (left, right):
    axes.set(xlabel="evaluations of the network")
    axes.set_xticks([*asked, 200], [*asked, 200])
    axes.minorticks_off()
figure

# %%
names = list(settings)
rows = [drawn[name, n][k] for k in range(4) for name in names for n in asked[:2]]
titles = [f"{name} with {n}" for name in names for n in asked[:2]] + [""] * (len(rows) - 2 * len(names))
viz.show_grid(np.stack(rows), columns=2 * len(names), titles=titles)

# %% [markdown]
# What is said is right: ten questions with DPM-Solver++ beat fifty with DDIM, and PLMS is as good. What is less often said:
#
# - With five questions **Heun is the worst of all**, though its order is 2: they are only three steps, and order is a promise
#   about *many* steps (right: its line is the steepest, and starts the highest).
# - On the left all curves end near the dotted line and not at the real digits. **No solver is better than the network**, whose
#   ODE it solves. From there on, only more training helps; this network was trained for less than a minute.
# - DDPM is no solver of the ODE: its fresh noise makes it slow, and lets it end somewhere else.
#
# `minidiff study samplers` puts the same question to every sampler of minidiff:
# [table and plot](../docs/studies.md#how-many-steps-does-each-sampler-need).
#
# ## Exercises
#
# Fill in each function and run its cell. The lines below the function test it. They print "right", or what is probably wrong.
# Two hints are folded under each exercise, a small one and a bigger one.
#
# **Exercise 1.** The score of one Gaussian: data of mean $m$ and standard deviation $c$, at noise level $(\alpha, \sigma)$.
#
# <details><summary>Hint</summary>
#
# $x_t = \alpha x_0 + \sigma \epsilon$ is Gaussian too. Which mean and which variance has it?
# </details>
# <details><summary>Bigger hint</summary>
#
# With that mean and variance $v$, the log-density is $-(x - \text{mean})^2 / 2v$ and a constant. The score is its slope in $x$.
# Variances of independent things add up; a factor $\alpha$ in front of $x_0$ counts squared.
# </details>

# %%
def gaussian_score(x, m, c, alpha, sigma):
    ...  # of x's shape


rng = np.random.default_rng(26)
if grading.answered(gaussian_score, np.zeros(1), m, c, 0.6, 0.8):
    mistakes.find(gaussian_score, "09.gaussian_score")
    x = rng.standard_normal((5, 1))
    theirs = GaussianMixture([[m]], stds=c).score(x, 0.6, 0.8)
    grading.same(gaussian_score(x, m, c, 0.6, 0.8), theirs, "the score of a table")
    print("exercise 1: right")

# %% [markdown]
# **Exercise 2.** The *midpoint* method: go half of the way, look at the slope there, return, and go the whole way with it.
# Halfway is meant in $\log s$: at $\sqrt{s\,s'}$.
#
# <details><summary>Hint</summary>
#
# It asks twice in each step, as `heun` does, at another place, and it uses the two slopes for different things.
# </details>
# <details><summary>Bigger hint</summary>
#
# The first slope only serves to get to the halfway point. Ask there, at the halfway noise level. The step itself starts at $y$
# and uses the second slope alone.
# </details>

# %%
def midpoint(denoiser, y, levels):
    ...  # return y


if grading.answered(midpoint, gauss, first, even(2)):
    mistakes.find(midpoint, "09.midpoint")
    rough, better = (np.abs(midpoint(gauss, first, even(n)) - truth).max() for n in (64, 128))
    assert 1.8 < math.log2(rough / better) < 2.2, f"order {math.log2(rough / better):.2f}, expected 2"
    print("exercise 2: right")

# %% [markdown]
# **Exercise 3.** DPM-Solver of the first order leaves the slope out: $y' = \frac{s'}{s}\,y + (1 - e^{-h})\,\hat x_0$ with
# $h = \log(s/s')$. Write it, without the chapter's solvers, and see that it is an old friend.
#
# <details><summary>Hint</summary>
#
# It is `dpmpp_2m` without a memory.
# </details>
# <details><summary>Bigger hint</summary>
#
# $e^{-h}$ is simply a ratio of two noise levels. `ask` returns $\hat x_0$ first.
# </details>

# %%
def dpm_1(denoiser, y, levels):
    ...  # return y


if grading.answered(dpm_1, gauss, first, even(2)):
    mistakes.find(dpm_1, "09.dpm_1")
    grading.same(dpm_1(gauss, first, even(10)), euler(gauss, first, even(10)), "y after ten steps")
    print("exercise 3: right; it is Euler's step, so it is DDIM")

# %% [markdown]
# **Exercise 4.** *Churn* (Karras and others): before a step, add a little fresh noise, so that the noise level goes from $s$
# up to $\hat s = (1 + \gamma)\,s$. How large must the standard deviation of the fresh noise be?
#
# <details><summary>Hint</summary>
#
# Standard deviations of independent noise do not add up. What does?
# </details>
# <details><summary>Bigger hint</summary>
#
# The variance is to grow from $s^2$ to $\hat s^2$. The fresh noise brings the difference; asked is its standard deviation.
# </details>

# %%
def churn(s, gamma):
    ...  # return a number


if grading.answered(churn, 1.0, 0.1):
    mistakes.find(churn, "09.churn")
    print("exercise 4: right")

# %% [markdown]
# ### Build it: EDM's sampler and DPM-Solver++
#
# Now the real thing, the two samplers that are used most. They go all the way to level 0, which the solvers above avoid. Each
# exercise can pass without the others. The chapter's `karras`, `heun` and `dpmpp_2m` stay out of it.
#
# **Exercise 5.** EDM's noise levels: `steps` levels from `s_max` down to `s_min`, a straight line in $s^{1/\rho}$, and then a
# 0. These are `steps + 1` numbers in all. One step goes from `s_max` to 0 at once.
#
# <details><summary>Hint</summary>
#
# Both ends belong to the straight line, so it has `steps` points. The 0 does not lie on it.
# </details>
# <details><summary>Bigger hint</summary>
#
# Transform both ends by $s \mapsto s^{1/\rho}$, draw the straight line between them (`np.linspace`), and transform back.
# `np.append` puts a number at the end.
# </details>

# %%
def edm_levels(s_min, s_max, steps, rho=7.0):
    ...  # -> (steps + 1,), from s_max to 0


if grading.answered(edm_levels, 1.0, 2.0, 2):
    mistakes.find(edm_levels, "09.edm_levels")
    print("exercise 5: right")

# %% [markdown]
# **Exercise 6.** EDM's sampler (Karras and others, 2022, algorithm 2): Heun's method with churn. `denoise(y, s)` returns
# $\hat x_0$, and the slope is $(y - \hat x_0) / s$. With $N$ steps, $\gamma = \min(\text{churn} / N, \sqrt 2 - 1)$. Where
# $\gamma > 0$, each step first adds fresh noise, `rng.standard_normal(y.shape)` times the right number, and then starts from
# $\hat s = (1 + \gamma)\,s$. The last step, to level 0, is one of Euler's.
#
# <details><summary>Hint</summary>
#
# Write the loop for `churn = 0` first. At which level would Heun ask the second time in the last step?
# </details>
# <details><summary>Bigger hint</summary>
#
# With churn, everything that follows in the step uses $\hat s$ and the noisier $y$: the slope, the length of the step, the
# point to which Heun returns. `len(levels)` is $N + 1$.
# </details>

# %%
def edm_sampler(denoise, y, levels, churn, rng):
    ...  # y (B, ...) at levels[0]   levels: numbers that fall to 0   -> y at level 0


if grading.answered(edm_sampler, lambda y, s: y / 2, np.ones((1, 1)), [1.0, 0.0], 0.0, np.random.default_rng(0)):
    mistakes.find(edm_sampler, "09.edm_sampler")
    print("exercise 6: right")

# %% [markdown]
# **Exercise 7.** DPM-Solver++(2M) in the letters of the schedule, as libraries have it. At each point $i$ it has $\alpha_i$ and
# $\sigma_i$, asks `denoise(x, alpha, sigma)` for $\hat x_0$, and goes on to
#
# $$x' = \frac{\sigma'}{\sigma}\,x + \alpha'\,(1 - e^{-h})\,D, \qquad
# D = \hat x_0 + \frac{h}{2\,h_{\text{before}}}\,(\hat x_0 - \hat x_{0,\text{before}}),$$
#
# with $\lambda = \log(\alpha/\sigma)$ and $h = \lambda' - \lambda$. In the first step $D$ is $\hat x_0$. The last $\sigma$ may
# be 0. Then $h$ is infinite, and the step is the limit with $D = \hat x_0$.
#
# <details><summary>Hint</summary>
#
# Between two turns of the loop two things have to be kept: the last guess, and the length of the last step (or the last
# $\lambda$).
# </details>
# <details><summary>Bigger hint</summary>
#
# $\log(\alpha/0)$ fails, so test `sigmas[i + 1] == 0` before it. With $\sigma' = 0$ the first term is gone and $e^{-h}$ is 0:
# what is left of the formula?
# </details>

# %%
def dpm_solver_pp(denoise, x, alphas, sigmas):
    ...  # x (B, ...) at alphas[0], sigmas[0]   alphas, sigmas: one more than there are steps   -> x at the last


if grading.answered(dpm_solver_pp, lambda x, a, s: x / 2, np.ones((1, 1)), [0.5, 1.0], [0.8, 0.0]):
    mistakes.find(dpm_solver_pp, "09.dpm_solver_pp")
    print("exercise 7: right")

# %% [markdown]
# The answers stand in [docs/answers/09.py](../docs/answers/09.py), with the hidden tests of a teacher who grades.
