# %% [markdown]
# # 9. The ODE and SDE view
#
# Chapters 7 and 8 went from noise to images in steps numbered from 0 to 999. This chapter drops the numbering. The noise level
# becomes a real number, and sampling becomes a classical problem: *follow a curve whose direction is known at every point*.
# Such a problem is called an ordinary differential equation (ODE). Mathematicians have solved ODEs numerically for over two
# hundred years. This view explains why DDIM works. It also gives samplers that need far fewer steps, and a way to measure how
# much better they are.
#
# {{install}}
# The code below needs neither the internet nor a GPU.
#
# **What you should know already.** A noisy image is $x_t = \alpha_t x_0 + \sigma_t \epsilon$, where $x_0$ is the clean image
# and $\epsilon$ is standard normal noise (chapter 3). A *denoiser* predicts $x_0$ and $\epsilon$ from $x_t$ and $t$. The best
# prediction is a mean (chapter 4). DDIM goes from noise level $t$ to $s$ by mixing the two predictions in new proportions,
# $x_s = \alpha_s \hat x_0 + \sigma_s \hat\epsilon$ (chapter 8). ($\alpha_t$ is chapter 3's $\sqrt{\bar\alpha_t}$: see
# [chapter 3's table of symbols](03_adding_noise.ipynb).)

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
# The noisy data at time $t$ have a density $p_t(x)$: how likely a noisy image $x$ is. The **score** is the gradient of its
# logarithm, $\nabla_x \log p_t(x)$. It is an arrow at every $x$ that points to where noisy images become more likely. Every
# denoiser already contains it. The best $\hat x_0$ is the mean of all clean images that may be behind $x$, and Tweedie's
# formula expresses this mean by the score:
#
# $$\hat x_0 = \frac{x + \sigma_t^2\,\nabla \log p_t(x)}{\alpha_t}
# \qquad\text{or}\qquad \nabla \log p_t(x) = -\frac{\hat\epsilon}{\sigma_t}.$$
#
# Let us check the formula on data whose density is known, a mixture of five Gaussian blobs in the plane. We compute the score
# from its definition (move $x$ a little and see how $\log p_t$ changes). Then we compare it with $-\hat\epsilon/\sigma_t$ of
# the perfect denoiser:

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
print(f"the score by its definition and from the denoiser differ by at most {np.abs(by_slope + eps / sigma).max():.0e}")
assert np.allclose(by_slope, -eps / sigma, atol=1e-6) and np.allclose(x0, (x + sigma**2 * by_slope) / alpha, atol=1e-6)

# %%
figure = viz.new_figure(9.6, 3.7, "tight")
side = np.linspace(-2.2, 2.2, 15)
grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
fine = np.linspace(-2.4, 2.4, 90)
pixels = np.stack(np.meshgrid(fine, fine), axis=-1).reshape(-1, 2)
for axes, t in zip(figure.subplots(1, 3), (0.8, 0.3, 0.1), strict=True):
    level = process.alpha(t), process.sigma(t)
    density = np.exp(blobs.log_prob(pixels, *level)).reshape(90, 90)
    axes.imshow(density, extent=(-2.4, 2.4, -2.4, 2.4), origin="lower", cmap="Blues")
    arrows = level[1] * blobs.score(grid, *level)  # times sigma, so that they fit the plot
    axes.quiver(*grid.T, *arrows.T, color=viz.COLOURS[1], scale=45, width=0.005)
    axes.set(xticks=[], yticks=[], aspect="equal", title=f"t = {t}, noise level {level[1]:.2f}")
figure

# %% [markdown]
# ## Noise as a differential equation
#
# Chapter 3's step was "shrink by $\sqrt{1 - \beta}$, add noise of variance $\beta$". Now make the steps shorter and shorter.
# Let $\beta(t)\,dt$ be the variance that a very short step adds, and let $dw$ be normal noise of variance $dt$. Then a step is
#
# $$dx = -\tfrac12 \beta(t)\,x\,dt + \sqrt{\beta(t)}\,dw.$$
#
# This is a *stochastic differential equation* (SDE): it describes a very short step with a random part. Song and others (2021)
# use two facts about it. First, it can be run **backwards** if the score is known:
#
# $$dx = \bigl[-\tfrac12 \beta\,x - \beta\,\nabla \log p_t(x)\bigr]\,dt + \sqrt\beta\,d\bar w \qquad\text{(time runs down)}.$$
#
# Here $d\bar w$ is again normal noise. Second, there is an equation **without randomness** that gives the points the same
# density at every time, the *probability-flow ODE*. It uses half of the score term:
#
# $$\frac{dx}{dt} = -\tfrac12 \beta\,x - \tfrac12 \beta\,\nabla \log p_t(x).$$
#
# Let us solve both step by step by the simplest method, Euler's: follow the current direction for a short step, then compute
# the direction again.

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
for name, states in (("reverse SDE", by_sde), ("probability-flow ODE", by_ode)):
    share = np.bincount(blobs.responsibilities(states[-1]).argmax(axis=1), minlength=5) / count
    away = states[-1] - blobs.means[blobs.responsibilities(states[-1]).argmax(axis=1)]
    print(f"{name:20}  share of each blob", share.round(3), f" deviation within a blob {np.sqrt((away**2).mean()):.3f}")
    assert np.abs(share - blobs.weights).max() < 0.03 + 1 / np.sqrt(count)
print(f"{'exact':20}  share of each blob", blobs.weights.round(3), " deviation within a blob 0.120")

# %% [markdown]
# Both give the same distribution, but along very different paths. Data in one dimension show the whole paths. In the plots time
# runs from left to right. The blue shade is the density at each time, which is the same for both.

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
    axes.imshow(np.sqrt(density), extent=(1, 0, -2.8, 2.8), aspect="auto", origin="lower", cmap="Blues",
                interpolation="nearest")  # fmt: skip
    axes.plot(times, np.stack(states)[:, :, 0], color=viz.COLOURS[1], linewidth=0.9)
    axes.set(xlabel="time t (noise on the left, data on the right)", ylim=(-2.8, 2.8), title=name)
figure

# %% [markdown]
# The ODE's curves never cross. Each start leads to exactly one image, and this is why chapter 8 could turn an image into its
# noise and back. The SDE adds fresh noise in every step, so its end says little about its start.
#
# ## A change of variables that makes the ODE simple
#
# Divide by $\alpha_t$. With $y = x_t / \alpha_t$ and $s = \sigma_t / \alpha_t$ we have $y = x_0 + s\,\epsilon$: the clean image
# plus noise of standard deviation $s$, whatever the schedule was. In these variables the ODE is
#
# $$\frac{dy}{ds} = \hat\epsilon(y, s).$$
#
# All other terms cancel. (Most papers since Karras and others, 2022, write $\sigma$ for this chapter's $s$.) One step of
# **Euler's method** from level $s$ to $s'$ is $y' = y + (s' - s)\,\hat\epsilon$. Multiply it by the $\alpha'$ of the new level,
# and it becomes $\alpha'\hat x_0 + \sigma'\hat\epsilon$. This is exactly the step of DDIM:

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
print(f"20 steps of Euler's method and of minidiff's DDIM differ by at most {np.abs(theirs.x - ours).max():.0e}")
assert np.abs(theirs.x - ours).max() < 1e-6

# %% [markdown]
# ## Solvers of higher order
#
# Euler's method uses the slope at the start of a step only. **Heun's method** takes that step, evaluates the slope at its
# *end*, and repeats the step with the mean of both slopes. It evaluates the network twice per step. **PLMS** (Liu and
# others, 2022) and related methods keep the predictions of earlier steps and extrapolate how the slope changes. They evaluate
# the network once per step, so they cost hardly more than Euler's method. **DPM-Solver++ 2M** (Lu and others, 2022) keeps the
# last prediction too. In addition, it solves the linear part of the equation exactly. In $\lambda = -\log s$, a step of length
# $h = \lambda' - \lambda$ is
#
# $$y' = \frac{s'}{s}\,y + (1 - e^{-h})\,\bigl(\hat x_0 + \tfrac{h}{2}\,D\bigr),$$
#
# where $D$ is the slope of $\hat x_0$ in $\lambda$, estimated from the last two predictions. Each solver takes a few lines:

# %%
def heun(denoiser, y, levels):
    for s, after in zip(levels[:-1], levels[1:], strict=True):
        eps = ask(denoiser, y, s)[1]
        eps_there = ask(denoiser, y + (after - s) * eps, after)[1]
        y = y + (after - s) * (eps + eps_there) / 2
    return y


WEIGHTS = {1: (1,), 2: (3 / 2, -1 / 2), 3: (23 / 12, -16 / 12, 5 / 12), 4: (55 / 24, -59 / 24, 37 / 24, -9 / 24)}


def plms(denoiser, y, levels):
    past = []  # the predicted noise of the last steps, newest first; the weights are Adams and Bashforth's, of 1883
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
# ## How fast does each solver converge?
#
# An ODE has one exact solution. The *error* of a solver is its distance from that solution. A solver has **order** $k$ if twice
# the steps make the error $2^k$ times smaller. On a plot with logarithmic axes this is a line of slope $-k$. For data from one
# Gaussian blob, with mean $m$ and standard deviation $c$, the exact solution is a formula: from level $s$ to $s'$, $y - m$ is
# multiplied by $\sqrt{(c^2 + s'^2)/(c^2 + s^2)}$.
#
# The [playground](../docs/playground.md) draws the curves that the solvers follow, and the direction at every point
# (`minidiff playground --chapter 09`).

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
    print(f"{name:16} error with {tries[2]} steps {errors[name][2]:.1e}, measured order {order:.2f}")
    assert abs(order - (1 if "Euler" in name else 2)) < 0.25

figure = viz.new_figure(6.4, 4.0, "tight")
axes = figure.add_subplot()
for (name, error), colour in zip(errors.items(), viz.COLOURS, strict=False):
    axes.loglog(tries, error, "o-", color=colour, label=name, markersize=4)
axes.loglog(tries, [0.05 * tries[0] / n for n in tries], ":", color="grey", label="slope -1")
axes.loglog(tries, [0.02 * (tries[0] / n) ** 2 for n in tries], "--", color="grey", label="slope -2")
axes.set_xticks(tries, tries)
axes.minorticks_off()
axes.set(xlabel="steps", ylabel="largest error", title="Error against the number of steps")
axes.legend(frameon=False, fontsize=9)
figure

# %% [markdown]
# ## The same solvers in minidiff
#
# minidiff contains these samplers and more. The same measurement checks each against the order in its paper
# (`minidiff study orders`, [table](../docs/studies.md#how-fast-does-each-sampler-converge)). From the same start and on
# the same noise levels they must give the same result as the functions above. (The `plms` of minidiff begins with more accurate
# steps, as in the paper, so its result differs from the short version's.)

# %%
alpha_first, alpha_last = (process.alpha(process.t_of_log_snr(-2 * math.log(s))) for s in (s_max, s_min))
for name, solver in (("euler", euler), ("heun", heun), ("dpmpp_2m", dpmpp_2m)):
    *_, theirs = getattr(samplers, name)(gauss, alpha_first * first, sigmas=even(20))
    gap = np.abs(theirs.x - alpha_last * solver(gauss, first, even(20))).max()
    print(f"{name:9} differs from minidiff's by at most {gap:.0e}")
    assert gap < 1e-9

# %% [markdown]
# ## Which noise levels should the steps use?
#
# So far each step divided $s$ by the same factor. Is this best? Karras and others (2022) use short steps near the data, where
# the curves bend, and longer ones at high noise. Their levels are evenly spaced in $s^{1/\rho}$ with $\rho = 7$. Other authors
# space them evenly in $t$. We test the three rules on the five blobs, with Euler's method and with Heun's. The measure is the
# median distance from the true end of each curve, which Heun's method computes with 400 steps. We take the median because a few
# curves start between two blobs and end at the wrong one. They would dominate a mean.

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
for seed in range(3):  # three draws of starting noise: a difference smaller than between draws may be chance
    y = np.random.default_rng(seed).standard_normal((100 if FAST else 300, 2)) / process.alpha(1.0)
    ends = heun(perfect, y, karras(60 if FAST else 400))
    for name, rule in rules.items():
        for solver in (euler, heun):
            gaps = [np.linalg.norm(solver(perfect, y, rule(n)) - ends, axis=1) for n in counts]
            draws.setdefault((name, solver.__name__), []).append([np.median(gap) for gap in gaps])
off = {key: np.mean(rows, axis=0) for key, rows in draws.items()}
print("median distance from the true end with 10, 20 and 40 steps: mean of three draws ± their standard deviation")
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
left.set(xlabel="step", ylabel="noise level s", title="Noise levels of 18 steps")
left.set_xticks(range(0, 19, 3))
left.legend(frameon=False, fontsize=9)
right.set(xlabel="steps", ylabel="median distance from the true end", title="Euler (dotted) and Heun (solid)")
right.set_xticks((10, 20, 40), (10, 20, 40))
right.minorticks_off()
figure

# %% [markdown]
# With Heun's method the rule matters. Even steps in $\log s$ end nearest for each number of steps. Even steps in $t$ are second
# best with 10 steps and worst with 20 and 40. Their last step jumps over the levels where the blobs take shape (left), and a
# better solver cannot make up for that. With Euler's method the rules differ less, and Karras' rule is last for each number of
# steps. It is the best-known rule, but not the best of the three on this data. The best rule depends on the data, so measure.
#
# ## Is time discrete?
#
# The usual answer is: "usually; continuous versions exist." In this chapter $t$ was a real number from the start, and no
# formula needed anything else. But what about a network that was trained at $t = 0, 1, \dots, 999$ only? We train two equal
# networks on the real digits, one at whole $t$ and one at real-valued $t$. Then we evaluate both at timesteps *between* the
# whole ones.

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
    """Mean squared error of the predicted noise on held-out digits, at the timesteps shift + 0, 50, 100, ..."""
    eps = Rng(5).standard_normal(held_out.shape)
    times = [t + shift for t in range(0, 975, 300 if FAST else 50)]
    return float(np.mean([((denoiser(schedule.add_noise(held_out, eps, t), t)[1] - eps) ** 2).mean() for t in times]))


nets = {"whole t": train(False), "real-valued t": train(True)}
between = {}
for name, denoiser in nets.items():
    between[name] = error(denoiser, 0.5)
    print(f"trained at {name:13}  mean squared error at whole t {error(denoiser, 0):.4f}, at t + 0.5 {between[name]:.4f}")
assert abs(between["whole t"] / between["real-valued t"] - 1) < 0.02

# %% [markdown]
# So $t$ need not be discrete, neither in the formulas nor, to within two per cent of its error, in the network. The network
# receives $t$ as a vector of sines and cosines (chapter 5). These are smooth functions, so it has learned the timesteps in
# between as well. This is why every sampler here may use any noise levels.
#
# ## And with DDIM, DPM-Solver?
#
# The usual answer is: DDIM needs 25 to 100 steps, DPM-Solver 5 to 20. What takes the time is evaluating the network, so we
# count evaluations; Heun's method uses two per step. We measure two things for the network trained at real-valued $t$:
#
# - On the left, the *[Fréchet distance](../docs/glossary.md#fréchet-distance)* between samples and real digits, in the features
#   of a small classifier. Lower is better; chapter 14 builds it.
# - On the right, for the deterministic samplers, the pixel difference from the *exact* solution of the network's ODE. For the
#   exact solution we take the result of Runge and Kutta's fourth-order method with 240 evaluations.

# %%
read = slice(200 if FAST else None)
judge = metrics.train_classifier(digits[read], labels[read], epochs=1 if FAST else 8, width=4 if FAST else 16)
seen_in_real = metrics.features(judge, digits)


def distance(images):
    return metrics.frechet_distance(metrics.features(judge, images), seen_in_real)


class Counted(Denoiser):
    """A denoiser that counts its evaluations."""

    calls = 0

    def predict(self, x, t, cond=None):
        self.calls += 1
        return super().predict(x, t, cond)


denoiser = nets["real-valued t"]
noise = Rng(1).standard_normal((20 if FAST else 200, 8, 8, 1))
exact = sample("rk4", denoiser, noise.shape, steps=2 if FAST else 60, x=noise)
settings = {
    "DDPM": ("ddpm_respaced", dict(spacing="trailing")),
    "DDIM": ("ddim", dict(spacing="karras")),
    "PLMS": ("plms", dict(spacing="karras", warm_up="none")),
    "DPM-Solver++ 2M": ("dpmpp_2m", dict(spacing="karras")),
    "Heun": ("heun", dict(spacing="karras")),
}
asked = [2, 4] if FAST else [5, 10, 20, 50]
quality, gap, drawn = {}, {}, {}
for name, (sampler, options) in settings.items():
    for n in [*asked, 100] if name in ("DDPM", "DDIM") and not FAST else asked:
        counted = Counted(denoiser.model, schedule, "v")
        x = sample(sampler, counted, noise.shape, steps=(n + 1) // 2 if name == "Heun" else n, x=noise, rng=2, **options)
        drawn[name, n], key = x[:6], (name, counted.calls)
        quality[key], gap[key] = distance(x), float(np.sqrt(((x - exact) ** 2).mean()))
print("Fréchet distance to real digits, by network evaluations")
for name in settings:
    print(f"{name:15}", ", ".join(f"{calls:3}: {d:5.2f}" for (who, calls), d in quality.items() if who == name))
print(f"exact solution {distance(exact):.2f}, held-out real digits {distance(held_out):.2f}")
if not FAST:
    assert quality["DPM-Solver++ 2M", 10] < quality["DDIM", 50] and gap["DPM-Solver++ 2M", 20] < gap["DDIM", 50]
    assert quality["Heun", 5] > quality["DDIM", 5] > quality["DPM-Solver++ 2M", 5]

# %%
figure = viz.new_figure(9.4, 3.9, "tight")
left, right = figure.subplots(1, 2)
for name, colour in zip(settings, viz.COLOURS, strict=False):
    calls = [number for who, number in quality if who == name]
    left.loglog(calls, [quality[name, n] for n in calls], "o-", color=colour, label=name, markersize=4)
    if name != "DDPM":
        right.loglog(calls, [gap[name, n] for n in calls], "o-", color=colour, markersize=4)
left.axhline(distance(exact), color="grey", linewidth=0.8, linestyle=":")
left.set(ylabel="Fréchet distance", title="Distance to real digits (dotted: exact solution)")
left.set_yticks([8, 10, 15, 20, 30, 50], [8, 10, 15, 20, 30, 50])
left.legend(frameon=False, fontsize=9)
right.set(ylabel="root mean square difference of a pixel", title="Distance from the exact solution")
for axes in (left, right):
    axes.set(xlabel="network evaluations")
    axes.set_xticks([*asked, 100], [*asked, 100])
    axes.minorticks_off()
figure

# %%
names = list(settings)
rows = [drawn[name, n][k] for k in range(4) for name in names for n in asked[:2]]
titles = [f"{name}, {n}" for name in names for n in asked[:2]] + [""] * (len(rows) - 2 * len(names))
viz.show_grid(np.stack(rows), columns=2 * len(names), titles=titles, scale=1.0)

# %% [markdown]
# The usual answer is right: ten evaluations with DPM-Solver++ give better samples than fifty with DDIM, and PLMS is as good.
# Three things are mentioned less often:
#
# - With five evaluations **Heun's method is the worst of all**, although its order is 2. Five evaluations are only three steps,
#   and the order describes the error for *many* steps. (On the right its line is the steepest, and starts the highest.)
# - On the left all curves end near the dotted line and not at the real digits. **No solver is better than the network** whose
#   ODE it solves. From there on only more training helps. This network was trained for less than a minute.
# - DDPM does not solve the ODE. It adds fresh noise, which makes it slower and leads to a different result.
#
# `minidiff study samplers` measures the same for every sampler of minidiff:
# [table and plot](../docs/studies.md#how-many-steps-does-each-sampler-need).
#
# ## Exercises
#
# Complete each function and run its cell. The lines below the function test it. They print "right", or what is probably wrong.
# Each exercise has two folded hints, a small one and a bigger one.
#
# **Exercise 1.** Compute the score of noisy data from one Gaussian. The clean data have mean $m$ and standard deviation $c$;
# the noise level is $(\alpha, \sigma)$.
#
# <details><summary>Hint</summary>
#
# $x_t = \alpha x_0 + \sigma \epsilon$ is Gaussian too. What are its mean and its variance?
# </details>
# <details><summary>Bigger hint</summary>
#
# With that mean and variance $v$, the log-density is $-(x - \text{mean})^2 / 2v$ plus a constant. The score is its derivative
# in $x$. Variances of independent variables add up, and a factor $\alpha$ in front of $x_0$ multiplies the variance by its
# square.
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
# **Exercise 2.** Write the *midpoint* method. Take half of the step, evaluate the slope there, and take the whole step from the
# start with this slope. Halfway means halfway in $\log s$: at $\sqrt{s\,s'}$.
#
# <details><summary>Hint</summary>
#
# It evaluates the denoiser twice per step, as `heun` does, but the second time at another point. It uses the two slopes for
# different purposes.
# </details>
# <details><summary>Bigger hint</summary>
#
# The first slope only serves to reach the halfway point. Evaluate the denoiser there, at the halfway noise level. The step
# itself starts at $y$ and uses the second slope alone.
# </details>

# %%
def midpoint(denoiser, y, levels):
    ...  # return y


if grading.answered(midpoint, gauss, first, even(2)):
    mistakes.find(midpoint, "09.midpoint")
    rough, better = (np.abs(midpoint(gauss, first, even(n)) - truth).max() for n in (64, 128))
    assert 1.8 < math.log2(rough / better) < 2.2, f"measured order: got {math.log2(rough / better):.2f}, expected 2"
    print("exercise 2: right")

# %% [markdown]
# **Exercise 3.** First-order DPM-Solver drops the slope: $y' = \frac{s'}{s}\,y + (1 - e^{-h})\,\hat x_0$ with $h = \log(s/s')$.
# Write it without the chapter's solvers. The test compares it with a solver that you know.
#
# <details><summary>Hint</summary>
#
# It is `dpmpp_2m` without the term from the previous step.
# </details>
# <details><summary>Bigger hint</summary>
#
# $e^{-h}$ is a ratio of two noise levels. `ask` returns $\hat x_0$ first.
# </details>

# %%
def dpm_1(denoiser, y, levels):
    ...  # return y


if grading.answered(dpm_1, gauss, first, even(2)):
    mistakes.find(dpm_1, "09.dpm_1")
    grading.same(dpm_1(gauss, first, even(10)), euler(gauss, first, even(10)), "y after ten steps")
    print("exercise 3: right; it is Euler's step, so it is DDIM")

# %% [markdown]
# **Exercise 4.** Karras and others add *churn*: before a step, a little fresh noise raises the noise level from $s$ to
# $\hat s = (1 + \gamma)\,s$. What standard deviation must the fresh noise have?
#
# <details><summary>Hint</summary>
#
# Standard deviations of independent noise do not add up. Which quantity does?
# </details>
# <details><summary>Bigger hint</summary>
#
# The variance must grow from $s^2$ to $\hat s^2$. The fresh noise adds the difference. Return its standard deviation.
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
# Now build the two most widely used samplers. They go all the way to level 0, which the solvers above avoid. Each exercise can
# pass without the others. Do not use the chapter's `karras`, `heun` and `dpmpp_2m`.
#
# **Exercise 5.** EDM is the method of Karras and others (2022). Compute its noise levels: `steps` levels from `s_max` down to
# `s_min`, evenly spaced in $s^{1/\rho}$, and then a 0. These are `steps + 1` numbers in all. With `steps` = 1, the only step
# goes directly from `s_max` to 0.
#
# <details><summary>Hint</summary>
#
# Both ends belong to the evenly spaced levels, so there are `steps` of these. The 0 is not one of them.
# </details>
# <details><summary>Bigger hint</summary>
#
# Transform both ends by $s \mapsto s^{1/\rho}$, space points evenly between them (`np.linspace`), and transform back.
# `np.append` appends a number.
# </details>

# %%
def edm_levels(s_min, s_max, steps, rho=7.0):
    ...  # -> (steps + 1,), from s_max to 0


if grading.answered(edm_levels, 1.0, 2.0, 2):
    mistakes.find(edm_levels, "09.edm_levels")
    print("exercise 5: right")

# %% [markdown]
# **Exercise 6.** Write EDM's sampler (Karras and others, 2022, algorithm 2): Heun's method with churn. `denoise(y, s)` returns
# $\hat x_0$, and the slope is $(y - \hat x_0) / s$. With $N$ steps, $\gamma = \min(\text{churn} / N, \sqrt 2 - 1)$. Where
# $\gamma > 0$, each step first adds fresh noise: `rng.standard_normal(y.shape)` times the standard deviation of exercise 4. The
# step then starts from $\hat s = (1 + \gamma)\,s$. The last step, to level 0, is one of Euler's method.
#
# <details><summary>Hint</summary>
#
# Write the loop for `churn = 0` first. At which level would Heun's method evaluate the second slope in the last step?
# </details>
# <details><summary>Bigger hint</summary>
#
# With churn, the whole step uses $\hat s$ and the noisier $y$: the slope, its length, and the point from which Heun's second
# attempt starts. `len(levels)` is $N + 1$.
# </details>

# %%
def edm_sampler(denoise, y, levels, churn, rng):
    ...  # y (B, ...) at levels[0]   levels: numbers that fall to 0   -> y at level 0


if grading.answered(edm_sampler, lambda y, s: y / 2, np.ones((1, 1)), [1.0, 0.0], 0.0, np.random.default_rng(0)):
    mistakes.find(edm_sampler, "09.edm_sampler")
    print("exercise 6: right")

# %% [markdown]
# **Exercise 7.** Write DPM-Solver++(2M) in the variables of the schedule, as libraries do. Point $i$ has $\alpha_i$ and
# $\sigma_i$. The solver calls `denoise(x, alpha, sigma)` for $\hat x_0$, and its step to the next point is
#
# $$x' = \frac{\sigma'}{\sigma}\,x + \alpha'\,(1 - e^{-h})\,D, \qquad
# D = \hat x_0 + \frac{h}{2\,h_{\text{before}}}\,(\hat x_0 - \hat x_{0,\text{before}}),$$
#
# with $\lambda = \log(\alpha/\sigma)$ and $h = \lambda' - \lambda$. The index "before" marks the previous step. In the first
# step $D$ is $\hat x_0$. The last $\sigma$ may be 0. Then $h$ is infinite, and the step is the limit with $D = \hat x_0$.
#
# <details><summary>Hint</summary>
#
# The loop must keep two values from one step to the next: the last prediction, and the length of the last step. (The last
# $\lambda$ serves as well.)
# </details>
# <details><summary>Bigger hint</summary>
#
# $\log(\alpha/0)$ fails, so test `sigmas[i + 1] == 0` before it. With $\sigma' = 0$ the first term vanishes and $e^{-h}$ is 0.
# What remains of the formula?
# </details>

# %%
def dpm_solver_pp(denoise, x, alphas, sigmas):
    ...  # x (B, ...) at alphas[0], sigmas[0]   alphas, sigmas: one more than there are steps   -> x at the last


if grading.answered(dpm_solver_pp, lambda x, a, s: x / 2, np.ones((1, 1)), [0.5, 1.0], [0.8, 0.0]):
    mistakes.find(dpm_solver_pp, "09.dpm_solver_pp")
    print("exercise 7: right")

# %% [markdown]
# The answers are in [docs/answers/09.py](../docs/answers/09.py), together with the hidden tests for graded assignments.
