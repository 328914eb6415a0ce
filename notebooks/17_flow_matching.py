# %% [markdown]
# # 17. Flow matching: straight paths
#
# Stable Diffusion 3 and FLUX are no longer trained with a noise schedule as in chapter 3. They connect each image with its
# noise by a straight line, and the network learns the direction of that line. This is called **flow matching**. It is often
# said that its paths are straight, so that a few steps are enough. In this chapter we build the method, and put that claim to
# the test. (Its terms are in the [glossary](../docs/glossary.md#flow-matching).)
#
# {{install}}
# The code below needs neither the internet nor a GPU.
#
# **What you should know already.** A noisy image is $x_t = \alpha_t x_0 + \sigma_t \epsilon$, where $x_0$ is the clean image
# and $\epsilon$ is standard normal noise (chapter 3; this $\alpha_t$ is its $\sqrt{\bar\alpha_t}$). A *denoiser* predicts
# $x_0$ and $\epsilon$ from $x_t$ and $t$; the best prediction is a mean over all the images that may be behind $x_t$ (chapter
# 4). Sampling can be seen as following an ODE, by Euler's or Heun's method (chapter 9).

# %%
import copy
import itertools
import math
import os

import numpy as np

from minidiff import data, gradcheck, grading, interop, mistakes, models, sample, samplers, training, viz
from minidiff.data import toys
from minidiff.diffusion import VP, Denoiser, Flow, GaussianMixture, ReflowLoss, Schedule, SimpleLoss, cfg, rk45
from minidiff.diffusion.likelihood import ode_log_likelihood
from minidiff.diffusion.reflow import pairs, straightness
from minidiff.rng import Rng

FAST = bool(os.environ.get("MINIDIFF_FAST"))  # the tests set this: everything runs, with smaller numbers
flow = Flow()  # alpha = 1 - t, sigma = t

# %% [markdown]
# ## A straight line from data to noise
#
# The simplest way from an image $x_0$ to a noise $\epsilon$ is a straight line. Time is not discrete here: let $t$ be any
# real number from 0 to 1.
#
# $$x_t = (1 - t)\,x_0 + t\,\epsilon.$$
#
# At $t = 0$ this is the image, at $t = 1$ the noise. A point that moves along the line has the **velocity**
#
# $$u = \frac{dx_t}{dt} = \epsilon - x_0,$$
#
# which is the same at every $t$. It is called the *conditional* velocity, because it belongs to one given pair of image and
# noise. (Papers write $v$ or $u$ for it. We write $u$, because chapter 4's $v = \alpha_t\,\epsilon - \sigma_t\,x_0$ is
# something else. Some papers let $t$ run from noise to data; then the sign is the opposite. Stable Diffusion 3 and diffusers
# count as we do.)

# %%
rng = np.random.default_rng(0)
x0, eps = rng.standard_normal((2, 5, 2))


def on_the_line(x0, eps, t):
    return (1 - t) * x0 + t * eps


slope = (on_the_line(x0, eps, 0.5) - on_the_line(x0, eps, 0.3)) / 0.2
print(f"slope of the line and eps - x0 differ by at most {np.abs(slope - (eps - x0)).max():.0e}")
assert np.allclose(slope, eps - x0)
assert np.allclose(on_the_line(x0, eps, 0.3), flow.add_noise(x0, eps, 0.3))  # the library's process

# %% [markdown]
# ## What should the network predict?
#
# At sampling time there is no pair, only a point $x$ at time $t$. Lines of many pairs pass through it, each with its own
# direction. A network $\hat u(x_t, t)$ that is trained to predict $u$ has the *conditional flow matching loss* (Lipman and
# others, 2023)
#
# $$L = \mathbb E\,\bigl\lVert \hat u(x_t, t) - (\epsilon - x_0) \bigr\rVert^2,$$
#
# the mean over random images, noises and times. At one point $x$ and one time, the number that minimises a mean squared error
# is the mean. So the best network is the **marginal velocity**, the mean direction of all lines through the point:
#
# $$\hat u(x, t) = \mathbb E\,[\,\epsilon - x_0 \mid x_t = x\,].$$
#
# Why is it right to follow this mean? Let $f$ be any smooth function, and ask how the mean of $f(x_t)$ changes with $t$:
#
# $$\frac{d}{dt}\,\mathbb E\,f(x_t) = \mathbb E\,\bigl[\nabla f(x_t)\cdot(\epsilon - x_0)\bigr]
# = \mathbb E\,\bigl[\nabla f(x_t)\cdot\hat u(x_t, t)\bigr].$$
#
# The first step is the chain rule. The second takes the mean over the pairs behind each $x_t$ first. On the right stands the
# change that points make which follow $\hat u$. So whatever one measures, these points are distributed like the $x_t$ of
# random pairs. Let us check the mean on a mixture of Gaussian blobs, where it is known exactly:

# %%
angle = 2 * np.pi * np.arange(5) / 5
blobs = GaussianMixture(1.5 * np.stack([np.cos(angle), np.sin(angle)], axis=1), stds=0.2)


def best_velocity(x, t, mixture=blobs):
    """E[eps | x] - E[x0 | x], from the score of the mixture (chapter 9).   x (B, D)   ->   (B, D)"""
    alpha, sigma = 1 - t, t
    return -sigma * mixture.score(x, alpha, sigma) - mixture.x0_mean(x, alpha, sigma)


t, count = 0.5, 200_000 if FAST else 2_000_000
rng = np.random.default_rng(1)
x0, eps = blobs.sample(rng, count), rng.standard_normal((count, 2))
x = np.array([[0.6, 0.2]])
near = np.abs(on_the_line(x0, eps, t) - x).max(axis=1) < 0.04
by_counting = (eps - x0)[near].mean(axis=0)
print(f"{near.sum()} of {count:,} lines pass near x; their mean direction {by_counting.round(2)}, "
      f"the best velocity {best_velocity(x, t)[0].round(2)}")  # fmt: skip
assert np.abs(by_counting - best_velocity(x, t)[0]).max() < 4 * (eps - x0)[near].std() / np.sqrt(near.sum())

# %%
figure = viz.new_figure(8.6, 3.2, "tight")
left, middle, right = figure.subplots(1, 3)
left.plot(*np.stack([x0[:100], eps[:100]]).transpose(2, 0, 1), color="grey", linewidth=0.4)
left.scatter(*eps[:100].T, s=4, color=viz.COLOURS[1], label="noise", zorder=2)
left.scatter(*x0[:100].T, s=4, color=viz.COLOURS[0], label="data", zorder=2)
left.legend(frameon=False, fontsize=8, loc="upper left")
left.set_title("Lines of random pairs cross", fontsize=10)
some = np.flatnonzero(near)[:30]
arrows = dict(angles="xy", scale_units="xy", scale=3)
middle.quiver(*np.repeat(x, len(some), axis=0).T, *(eps - x0)[some].T, color="grey", width=0.004, **arrows)
middle.quiver(*x.T, *best_velocity(x, t).T, color=viz.COLOURS[1], width=0.012, headwidth=4, headlength=4, **arrows)
middle.set_title("Through one point: their mean", fontsize=10)
side = np.linspace(-2.2, 2.2, 17)
grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
grid = grid[(grid**2).sum(axis=1) < 4.5]
right.quiver(*grid.T, *best_velocity(grid, t).T, color=viz.COLOURS[1], width=0.004)
right.scatter(*on_the_line(x0, eps, t)[:600].T, s=2, color=viz.COLOURS[0])
right.set_title("The marginal velocity at t = 0.5", fontsize=10)
for axes, limit in ((left, 3.2), (middle, 1.6), (right, 2.4)):
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xticks=[], yticks=[])
middle.set(xlim=(-1.0, 2.2), ylim=(-1.4, 1.8))  # around the point
figure

# %% [markdown]
# ## Does the velocity keep the distribution?
#
# The densities $p_t$ of $x_t$, one for each $t$, form a *probability path* from data to noise. The **continuity equation**
# describes it in words: probability is neither created nor lost; the density at a place changes only by what flows in and
# out. On a line, with velocity $\hat u$, it is
#
# $$\frac{\partial p_t(x)}{\partial t} = -\frac{\partial}{\partial x}\bigl[p_t(x)\,\hat u(x, t)\bigr].$$
#
# We check it for data from two blobs on a line, where both sides are known:

# %%
line = GaussianMixture([[-1.2], [1.0]], stds=0.25, weights=[1, 2])
places, h = np.linspace(-3, 3, 200)[:, None], 1e-4


def density(x, t):
    return np.exp(line.log_prob(x, 1 - t, t))


def current(x, t):
    return density(x, t) * best_velocity(x, t, line)[:, 0]


for t in (0.2, 0.5, 0.8):
    change = (density(places, t + h) - density(places, t - h)) / (2 * h)
    flows_in = -(current(places + h, t) - current(places - h, t)) / (2 * h)
    print(f"t = {t}: the density changes by up to {np.abs(change).max():.2f}; "
          f"the two sides differ by at most {np.abs(change - flows_in).max():.0e}")  # fmt: skip
    assert np.abs(change - flows_in).max() < 1e-5

# %% [markdown]
# ## Is flow matching something other than diffusion?
#
# It looks new: there is no schedule, no score and no $\bar\alpha$. Three checks show how much of it is new.
#
# **The loss.** From $x_t = (1-t)\,x_0 + t\,\epsilon$ follows $u = (\epsilon - x_t)/(1 - t)$. Read the network's output the
# same way, as a prediction $\hat\epsilon$ of the noise. Then
#
# $$\lVert \hat u - u \rVert^2 = \frac{1}{(1 - t)^2}\,\lVert \hat\epsilon - \epsilon \rVert^2.$$
#
# This is chapter 4's loss of $\epsilon$ with another weight ([derivation](../docs/derivations/diffusion_losses.md)). Any
# network shows it:

# %%
any_network = models.MLP(features=2, width=16, rng=0).astype(np.float64)
x0, eps = x0[:256], eps[:256]
for t in (0.1, 0.5, 0.9):
    xt = flow.add_noise(x0, eps, t)
    velocity = any_network.predict(xt, 1000 * t)
    _, predicted = Denoiser(lambda x, t, cond, u=velocity: u, flow, "velocity")(xt, t)  # the same output, read as noise
    losses = ((velocity - (eps - x0)) ** 2).mean(), ((predicted - eps) ** 2).mean()
    print(f"t = {t}: loss of the velocity {losses[0]:.4f}, loss of the noise {losses[1]:.4f}; "
          f"ratio {losses[0] / losses[1]:.4f}, 1 / (1 - t)^2 = {1 / (1 - t) ** 2:.4f}")  # fmt: skip
    assert np.isclose(losses[0] / losses[1], 1 / (1 - t) ** 2, rtol=1e-10)

# %% [markdown]
# **The distributions.** Divide the noisy image of any diffusion by $\alpha_t + \sigma_t$, and let
# $\tau = \sigma_t / (\alpha_t + \sigma_t)$. Then
#
# $$\frac{x_t}{\alpha_t + \sigma_t} = (1 - \tau)\,x_0 + \tau\,\epsilon,$$
#
# which is the straight line at time $\tau$. So after a change of time and of scale, both have the same distributions. For
# data from one Gaussian, with mean $m$ and standard deviation $c$, these are known: mean $\alpha_t m$, variance
# $\alpha_t^2 c^2 + \sigma_t^2$.

# %%
process, m, c = VP(), 0.7, 0.4  # chapter 9's diffusion in continuous time
for t in (0.1, 0.4, 0.9):
    alpha, sigma = process.alpha(t), process.sigma(t)
    tau = flow.t_of_log_snr(process.log_snr(t))  # the time at which the flow has the same signal-to-noise ratio
    of_diffusion = alpha * m / (alpha + sigma), np.sqrt(alpha**2 * c**2 + sigma**2) / (alpha + sigma)
    of_flow = (1 - tau) * m, np.sqrt((1 - tau) ** 2 * c**2 + tau**2)
    print(f"t = {t}, tau = {tau:.4f}: mean {of_flow[0]:.6f}, deviation {of_flow[1]:.6f}; "
          f"differences {abs(of_flow[0] - of_diffusion[0]):.0e}, {abs(of_flow[1] - of_diffusion[1]):.0e}")  # fmt: skip
    assert np.allclose(of_flow, of_diffusion, rtol=1e-10, atol=0) and np.isclose(tau, sigma / (alpha + sigma), rtol=1e-10)

# %% [markdown]
# **The paths.** After this change, even the curves that samples follow are the same. We solve two ODEs precisely, both with
# the perfect prediction for the five blobs: the probability-flow ODE of chapter 9, and $dx/dt = \hat u(x, t)$. From the same
# noise they end at the same points:

# %%
def diffusion_slope(t, x):
    return process.f(t) * x - process.g(t) ** 2 / 2 * blobs.score(x, process.alpha(t), process.sigma(t))


rng = np.random.default_rng(2)
noise = rng.standard_normal((6, 2))
t_end = 0.01
scale = [process.alpha(t) + process.sigma(t) for t in (1.0, t_end)]
taus = [process.sigma(t) / (process.alpha(t) + process.sigma(t)) for t in (1.0, t_end)]
*_, (_, by_diffusion) = rk45(diffusion_slope, noise, 1.0, t_end, rtol=1e-10, atol=1e-10, first_step=0.01)
*_, (_, by_flow) = rk45(lambda t, x: best_velocity(x, t), noise / scale[0], *taus, rtol=1e-10, atol=1e-10)
print(f"the ends differ by at most {np.abs(by_diffusion / scale[1] - by_flow).max():.0e}")
assert np.abs(by_diffusion / scale[1] - by_flow).max() < 1e-7

# %% [markdown]
# So flow matching is no other kind of model. It is the diffusion of this course with another schedule, another weight in the
# loss, and another quantity to predict. These three choices are what remains to compare.
#
# ## Are the paths of a flow straight?
#
# The lines of the *pairs* are straight. A sample, however, follows the mean of many lines, and this mean changes on the way.
# We train two equal small networks on points from two half-moons. One predicts the velocity of the flow. The other is a
# diffusion model with chapter 3's cosine schedule, and predicts $v$. Each is trained from three seeds.

# %%
SEEDS, STEPS, SCALE = (range(1), 12, 1000.0) if FAST else (range(3), 1500, 1000.0)
points, _ = toys.moons(400 if FAST else 8000, 0)
real, _ = toys.moons(400 if FAST else 4000, 1)


def train(objective, seed, examples=points, start=None):
    """A trained denoiser.   start: the model to start from, in place of new weights"""
    model = copy.deepcopy(start) if start else models.MLP(features=2, width=64, depth=4, rng=seed)
    trainer = training.Trainer(model, objective, examples, steps=STEPS, batch_size=256, lr=5e-3, warmup=STEPS // 20 + 1,
                               ema_decay=0.99, seed=seed)  # fmt: skip
    trainer.run(progress=False)
    model.load_state(trainer.ema.state())
    return objective.denoiser(model)


schedule = Schedule.cosine(1000)
flow_loss_of_library = SimpleLoss(flow, "velocity", time_scale=SCALE)  # the network gets 1000 t, as with 1000 timesteps
flows = [train(flow_loss_of_library, seed) for seed in SEEDS]
diffusions = [train(SimpleLoss(schedule, "v"), seed) for seed in SEEDS]


def velocity_of(denoiser):
    """The velocity as a function of (x, t)."""

    def velocity(x, t):
        x0, eps = denoiser(x, t)
        return eps - x0

    return velocity


def euler(velocity, x, steps):
    """From noise at t = 1 to data at t = 0.   x (B, ...)   ->   [x at t = 1, ..., x at t = 0]"""
    states = [x]
    for t, after in itertools.pairwise(np.linspace(1, 0, steps + 1).tolist()):
        states.append(states[-1] + (after - t) * velocity(states[-1], t))
    return states


noise = Rng(9).standard_normal((400 if FAST else 4000, 2))
ours = euler(velocity_of(flows[0]), noise, 8)[-1]
theirs = sample("flow_euler", flows[0], noise.shape, steps=np.linspace(1, 0, 9)[:-1], x=noise)
print(f"this loop and the library's flow_euler differ by at most {np.abs(ours - theirs).max():.0e}")
assert np.allclose(ours, theirs, atol=1e-4)

# %%
fine = 20 if FAST else 100
roads = {"flow": np.stack(euler(velocity_of(flows[0]), noise[:60], fine))}
times = np.linspace(999, 0, fine).round().astype(int)
steps = [step.x for step in samplers.ddim(diffusions[0], noise[:60], steps=times)]
roads["diffusion"] = np.stack([noise[:60], *steps])
figure = viz.new_figure(9.8, 2.8, "tight")
panels = figure.subplots(1, 4)
share = np.linspace(0, 1, 50)[:, None, None]
pair = real[:30], noise[:30]
panels[0].plot(*on_the_line(*pair, share).transpose(2, 0, 1), color="grey", linewidth=0.7)
panels[0].set_title("pairs of a flow", fontsize=10)
levels = [schedule.alpha(t) for t in range(1000)[::20]], [schedule.sigma(t) for t in range(1000)[::20]]
alphas, sigmas = (np.array(level)[:, None, None] for level in levels)
panels[1].plot(*(alphas * pair[0] + sigmas * pair[1]).transpose(2, 0, 1), color="grey", linewidth=0.7)
panels[1].set_title("pairs of a diffusion", fontsize=10)
for axes, (name, states) in zip(panels[2:], roads.items(), strict=True):
    axes.plot(*states.transpose(2, 0, 1), color=viz.COLOURS[1], linewidth=0.7)
    axes.scatter(*states[-1].T, s=5, color=viz.COLOURS[0], zorder=2)
    axes.set_title(f"paths of the trained {name}", fontsize=10)
for axes in panels:
    axes.set(xlim=(-2.4, 2.4), ylim=(-2.4, 2.4), aspect="equal", xticks=[], yticks=[])
figure

# %% [markdown]
# On the left each line joins one point of the data with one noise, and for the flow it is straight. On the right are the
# paths of the trained networks, from noise to the moons (blue). *Both* bend. At first all go towards the middle of the data,
# the mean of everything, and turn to one of the moons later. Liu and others (2023) measure the **straightness** of a flow:
# the mean square of the difference between its velocity on the line from a noise to its sample, and the direction of that
# line. For straight paths it is 0.

# %%
def ends(denoiser, x):
    """Where the flow leads, precisely enough: 24 steps of Runge and Kutta's method."""
    return sample("flow_rk4", denoiser, x.shape, steps=4 if FAST else 24, x=x, final="sigma_min")


def spread(values, digits=3):
    """Mean of the seeds, and their range."""
    return "{:.{n}f} ({:.{n}f} to {:.{n}f})".format(np.mean(values), min(values), max(values), n=digits)


bend = {"random pairs": [straightness(flow_of_seed, ends(flow_of_seed, noise), noise) for flow_of_seed in flows]}
print("straightness, 0 for straight paths, mean and range of the seeds:", spread(bend["random pairs"], 4))
assert FAST or min(bend["random pairs"]) > 0.1

# %% [markdown]
# ## How few steps does a flow need?
#
# To compare samplers we need a number for quality. On a line, the distance between two sets of points is simple: sort both,
# and take the differences of points of the same rank. In the plane we project all points onto a line, do the same, and take
# the root mean square over 32 lines. This is called the *sliced Wasserstein distance*. Lower is better. It is not 0 even for
# two sets of real points, because they are random.
#
# The cost is the number of network evaluations. Euler's method and DDIM need one per step, Heun's method two, and Runge and
# Kutta's method of order 4, RK4, needs four. A difference counts only where the ranges of the three seeds do not overlap.

# %%
directions = np.stack([np.cos(np.pi * np.arange(32) / 32), np.sin(np.pi * np.arange(32) / 32)])  # (2, 32)


def distance(made, reference=real):
    gaps = np.sort(made @ directions, axis=0) - np.sort(reference @ directions, axis=0)  # (B, 32)
    return float(np.sqrt((gaps**2).mean()))


CALLS = [1, 2, 4, 8, 16, 32]
COST = {"Euler": ("flow_euler", 1), "Heun": ("flow_heun", 2), "RK4": ("flow_rk4", 4)}


def run(denoiser, solver, calls, x=noise):
    """Samples of a flow with so many evaluations of the network."""
    sampler, evaluations = COST[solver]
    return sample(sampler, denoiser, x.shape, steps=calls // evaluations, x=x, final="sigma_min")


quality = {}
for calls in CALLS:
    quality["DDIM", calls] = [
        distance(sample("ddim", d, noise.shape, steps=calls, x=noise, spacing="trailing")) for d in diffusions]
    for solver, (_, evaluations) in COST.items():
        if calls >= evaluations:
            quality[solver, calls] = [distance(run(d, solver, calls)) for d in flows]
    if calls > 1:
        quality["Heun, diffusion", calls] = [distance(run(d, "Heun", calls)) for d in diffusions]
NAMES = ("DDIM", "Heun, diffusion", *COST)
for name in NAMES:
    print(f"{name}, by evaluations:")
    print("\n".join(f"  {calls:2}: {spread(found)}" for (who, calls), found in quality.items() if who == name))
again, _ = toys.moons(len(real), 2)
print(f"two sets of real points: {distance(again):.3f}")


def better(a, b):
    """Whether all seeds of a are better than all of b."""
    return max(quality[a]) < min(quality[b])


if not FAST:
    assert better(("Heun", 4), ("Euler", 4)) and better(("Heun", 4), ("RK4", 4))
    assert not any(better(("Euler", calls), ("DDIM", calls)) for calls in (2, 4, 8))

# %%
figure = viz.new_figure(9.6, 3.6, "constrained")
left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
for name, colour, dx in zip(NAMES, viz.COLOURS, (0.92, 0.96, 1.0, 1.04, 1.08), strict=False):
    asked = [calls for who, calls in quality if who == name]
    found = np.array([quality[name, calls] for calls in asked])
    low, high = found.mean(axis=1) - found.min(axis=1), found.max(axis=1) - found.mean(axis=1)
    left.errorbar(np.array(asked) * dx, found.mean(axis=1), (low, high), color=colour, label=name, marker="o", markersize=3)
left.axhline(distance(again), color="grey", linewidth=0.8, linestyle=":", label="real points")
left.set(xscale="log", yscale="log", xlabel="evaluations of the network", ylabel="distance to real points")
left.set_xticks(CALLS, CALLS)
left.set_yticks([0.03, 0.05, 0.1, 0.2, 0.5], ["0.03", "0.05", "0.1", "0.2", "0.5"])
left.minorticks_off()
left.legend(frameon=False, fontsize=8)
right.axis("off")
for row, (name, make) in enumerate({
    "DDIM": lambda calls: sample("ddim", diffusions[0], noise.shape, steps=calls, x=noise, spacing="trailing"),
    "Euler": lambda calls: run(flows[0], "Euler", calls),
    "Heun": lambda calls: run(flows[0], "Heun", calls),
}.items()):  # fmt: skip
    for column, calls in enumerate((2, 4, 8, 16)):
        axes = right.inset_axes([0.05 + 0.24 * column, 0.64 - 0.32 * row, 0.23, 0.3])
        axes.scatter(*make(calls)[:800].T, s=0.6, color=viz.COLOURS[{"DDIM": 0, "Euler": 2, "Heun": 3}[name]])
        axes.set(xlim=(-2, 2), ylim=(-1.5, 1.5), xticks=[], yticks=[])
        if row == 0:
            axes.set_title(f"{calls} calls", fontsize=8, pad=3)
        if column == 0:
            axes.set_ylabel(name, fontsize=8)
figure

# %% [markdown]
# The usual claim is that a flow needs fewer steps because its paths are straight. Here it does not. **Euler's method on the
# flow and DDIM on the diffusion model are equally good**, from 1 to 32 evaluations: the ranges of the seeds overlap
# everywhere. The sections above explain why. DDIM is Euler's method (chapter 9), and with perfect networks both follow the
# same curves.
#
# What helps is the solver. With 4 evaluations Heun's method reaches 0.11, Euler's 0.18, and the diffusion model gains as much
# from it as the flow does. (With Heun's method the two differ at 8 evaluations alone, 0.053 against 0.064.) RK4 is worse than
# Heun's method with 4 evaluations and as good with 8: the order describes the error for many steps. From 16 evaluations on,
# Heun's method gains nothing more. What remains is the error of the network.
#
# A flow has practical advantages instead. There is no schedule to choose, and no step divides by a small $\alpha_t$, as the
# first step with a predicted $\epsilon$ must do (chapter 13). The guide lists the [samplers of
# flows](../docs/guide/sampling.md#from-a-flow); a study measures their
# [orders](../docs/studies.md#how-fast-does-each-sampler-converge).
#
# ## Which times should training see?
#
# At $t = 1$ the best velocity is simple: $\epsilon$ minus the mean of all data. At $t = 0$ it is simple too: the mean of all
# noise minus $x_0$. The middle is harder. Esser and others (2024) therefore draw more times from the middle in the training
# of Stable Diffusion 3. They use **logit-normal timesteps**, $t = 1/(1 + e^{-z})$ with normal $z$. Does it help here? We
# train three flows in this way.

# %%
logit_normal = SimpleLoss(flow, "velocity", t_sampler="logit_normal", time_scale=SCALE)
drawn, _ = logit_normal.t_sampler(Rng(0), 50_000)
z = np.random.default_rng(0).standard_normal(50_000)
assert np.allclose(np.quantile(drawn, [0.1, 0.5, 0.9]), np.quantile(1 / (1 + np.exp(-z)), [0.1, 0.5, 0.9]), atol=0.02)

of_the_middle = [train(logit_normal, seed) for seed in SEEDS]
for solver, calls in (("Euler", 1), ("Euler", 4), ("Heun", 4), ("Heun", 32)):
    quality["logit-normal", solver, calls] = [distance(run(d, solver, calls)) for d in of_the_middle]
    print(f"{solver}, evaluations {calls}: uniform times {spread(quality[solver, calls])}, "
          f"logit-normal {spread(quality['logit-normal', solver, calls])}")  # fmt: skip
exact_at_1 = noise - points.mean(axis=0)
missed = {name: [np.sqrt(((velocity_of(d)(noise, 1.0) - exact_at_1) ** 2).mean()) for d in trained]
          for name, trained in (("uniform", flows), ("logit-normal", of_the_middle))}  # fmt: skip
print("error of the velocity at t = 1:", ", ".join(f"{name} {spread(found)}" for name, found in missed.items()))
if not FAST:
    assert better(("logit-normal", "Heun", 4), ("Heun", 4)) and not better(("logit-normal", "Heun", 32), ("Heun", 32))
    assert max(missed["uniform"]) < min(missed["logit-normal"])

# %% [markdown]
# With 1 and with 4 evaluations the samples are better in all three seeds. With 32 there is no difference. Be careful with the
# reason. The network saw few times near 1, and its velocity at $t = 1$ is *worse*. But there the right answer leads to the
# mean of the data, which is a bad sample. So a benefit with one step does not show that the network has learned more.
#
# **The time shift.** Large images need more noise. Enlarge an image by repeating each pixel, so that it has $n$ times as many
# pixels. Add noise, and take the mean of each block of $n$ pixels. The image is as before, but the mean has divided the
# standard deviation of the noise by $\sqrt n$. So at the same $t$ a large image is less noisy than a small one. The
# noise-to-signal ratio is $t/(1-t)$ for the small image and $t'/((1-t')\sqrt n)$ for the large one. They are equal for
#
# $$t' = \frac{s\,t}{1 + (s - 1)\,t} \qquad\text{with}\qquad s = \sqrt n.$$
#
# Esser and others (2024) move all times by this formula. In Stable Diffusion 3 the *shift* $s$ is 3. minidiff's
# `Flow(shift=3.0)` does so in training and in sampling.

# %%
digits, labels = data.load("digits")
small, n = digits[labels == 0][:1].astype(np.float64), 16
large = small.repeat(4, axis=1).repeat(4, axis=2)  # (1, 32, 32, 1)
rng = np.random.default_rng(3)
t, shift = 0.3, math.sqrt(n)
t_shifted = Flow(shift=shift).shifted(t)


def blocks(x):
    """The mean of each 4 x 4 block.   (B, 32, 32, 1) -> (B, 8, 8, 1)"""
    return x.reshape(-1, 8, 4, 8, 4, 1).mean(axis=(2, 4))


many = rng.standard_normal((2000, 32, 32, 1))
print(f"noise to signal at t = {t}: 8 x 8 pixels {t / (1 - t):.3f}, 32 x 32 pixels, by blocks, "
      f"{blocks(t * many).std() / (1 - t):.3f}; at t' = {t_shifted:.3f} {blocks(t_shifted * many).std() / (1 - t_shifted):.3f}")
assert abs(blocks(t_shifted * many).std() / (1 - t_shifted) - t / (1 - t)) < 0.01
eps_small, eps_large = rng.standard_normal(small.shape), many[:1]
noisy = {
    f"8 x 8, t = {t}": flow.add_noise(small, eps_small, t).repeat(4, axis=1).repeat(4, axis=2),
    f"32 x 32, t = {t}": flow.add_noise(large, eps_large, t),
    f"32 x 32, t = {t_shifted:.2f}": flow.add_noise(large, eps_large, t_shifted),
}
figure = viz.new_figure(9.0, 2.6, "tight")
panels = figure.subplots(1, 4, width_ratios=(1.5, 1, 1, 1))
bins = np.linspace(0, 1, 51)
uniform = np.random.default_rng(4).random(50_000)
kinds = {"uniform": uniform, "logit-normal": drawn, "uniform, shift 3": Flow(shift=3.0).shifted(uniform)}
for (name, times), colour in zip(kinds.items(), viz.COLOURS, strict=False):
    panels[0].hist(times, bins, density=True, histtype="step", label=name, color=colour)
panels[0].set(xlabel="t", title="Density of the times", ylim=(0, 3.2), yticks=[])
panels[0].legend(frameon=False, fontsize=7, loc="upper left")
for axes, (title, image) in zip(panels[1:], noisy.items(), strict=True):
    axes.imshow(image[0, ..., 0], cmap="gray", vmin=-1.5, vmax=1.5)
    axes.set_title(title, fontsize=9)
    axes.axis("off")
figure

# %% [markdown]
# ## Can a flow be sampled with fresh noise?
#
# Chapter 9 had two equations for one diffusion: an ODE, and an SDE that adds fresh noise in every step and removes it again.
# A flow has both as well (Ma and others, 2024). For time running down,
#
# $$dx = -\hat u\,|dt| - \eta\,\hat\epsilon\,|dt| + \sqrt{2\,\eta\,t}\;dw,$$
#
# where $\hat\epsilon$ is the predicted noise, $dw$ is normal noise of variance $|dt|$, and $\eta$ is any number from 0 up.
# For $\eta = 0$ it is the ODE. The term with $\hat\epsilon$ removes just what $dw$ adds, so the distributions at every $t$
# are the same for all $\eta$.

# %%
two = line.denoiser(Flow())
starts = Rng(4).standard_normal((400 if FAST else 4000, 1))
roads, many_steps = {}, np.linspace(0.999, 0.002, 100 if FAST else 400)
for eta in (0.0, 0.3, 1.0):
    states = [step.x for step in samplers.flow_sde(two, starts, steps=many_steps, eta=eta, rng=5)]
    roads[eta] = np.stack([starts, *states])[:, :, 0]
    middle = roads[eta][np.abs(many_steps - 0.5).argmin()]
    print(f"eta = {eta}: at t = 0.5 mean {middle.mean():5.2f}, deviation {middle.std():.2f}; "
          f"at the end {roads[eta][-1].mean():5.2f}, {roads[eta][-1].std():.2f}")  # fmt: skip
    assert FAST or (abs(roads[eta][-1].mean() - 4 / 15) < 0.08 and abs(roads[eta][-1].std() - 1.067) < 0.05)
figure = viz.new_figure(8.6, 2.7, "tight")
heights = np.linspace(-3, 3, 120)
shade = np.sqrt(np.stack([density(heights[:, None], t) for t in many_steps[::4].tolist()], axis=1))
for axes, (eta, states) in zip(figure.subplots(1, 3, sharey=True), roads.items(), strict=True):
    axes.contourf(many_steps[::4], heights, shade, levels=8, cmap="Blues")
    axes.plot(np.append(many_steps, 0), states[:, :7], color=viz.COLOURS[1], linewidth=0.8)
    axes.set(xlabel="t (noise on the left)", xlim=(1, 0), ylim=(-3, 3), title=f"eta = {eta}")
figure

# %%
for calls in (16, 64):
    for eta in (0.0, 1.0):
        quality["SDE", eta, calls] = [
            distance(sample("flow_sde", d, noise.shape, steps=calls, x=noise, eta=eta, rng=5)) for d in flows]
    print(f"{calls} steps on the moons: eta = 0 {spread(quality['SDE', 0.0, calls])}, "
          f"eta = 1 {spread(quality['SDE', 1.0, calls])}")  # fmt: skip
assert FAST or better(("SDE", 1.0, 16), ("SDE", 0.0, 16))

# %% [markdown]
# For perfect predictions $\eta$ changes the paths and nothing else. For a trained network it may matter. On the moons
# $\eta = 1$ is better than $\eta = 0$ with 16 steps and with 64, in all three seeds. A likely reason is that the errors of a
# network add up along the path of an ODE, while the SDE pulls every point back, in each step, to where points are likely.
#
# ## Can better pairs straighten the paths?
#
# The paths bend because lines of random pairs cross, and the network learns their mean. But a noise need not be paired with a
# *random* image. Any pairing gives the right distributions at both ends. If each image of a batch gets a noise that is near,
# the lines cross less. **Optimal-transport pairing** takes the pairs with the smallest sum of squared distances (Tong and
# others, 2024; Pooladian and others, 2023). Here is a simple way to approach it. Take two pairs at random, and swap their
# noises if that makes the sum smaller. We do this for all pairs of a batch at once, 40 times:

# %%
def swapped(x0, eps, rng, rounds=40):
    """The noises in an order that brings them nearer to their x0.   x0, eps (B, D)   ->   (B, D)"""
    eps, half = eps.copy(), len(x0) // 2
    for _ in range(rounds):
        order = rng.permutation(len(x0))
        i, j = order[:half], order[half : 2 * half]
        # |a - b|^2 + |c - d|^2 is larger than |a - d|^2 + |c - b|^2 where (a - c) . (b - d) < 0
        worse = ((x0[i] - x0[j]) * (eps[i] - eps[j])).sum(axis=1) < 0
        i, j = i[worse], j[worse]
        eps[i], eps[j] = eps[j], eps[i]
    return eps


class NearPairs(SimpleLoss):
    """The library's loss, with other pairs."""

    def draw(self, x0, rng):
        x0, eps = super().draw(x0, rng)
        return x0, swapped(x0, eps, rng)


def cost(x0, eps):
    """The mean squared distance of the pairs."""
    return ((x0 - eps) ** 2).sum(axis=1).mean()


batch, batch_noise = points[:256], noise[:256]  # of the moons
near_noise = swapped(batch, batch_noise, Rng(6))
images = digits[:256].reshape(256, 64)
image_noise = Rng(6).standard_normal(images.shape)
for name, (a, b) in {"moons": (batch, batch_noise), "digits": (images, image_noise)}.items():
    print(f"{name}: mean squared distance of a pair, random {cost(a, b):.2f}, swapped {cost(a, swapped(a, b, Rng(6))):.2f}")
assert cost(batch, near_noise) < 0.6 * cost(batch, batch_noise)
assert np.array_equal(np.sort(near_noise, axis=0), np.sort(batch_noise, axis=0))  # the same noises, each used once

# %% [markdown]
# In 64 dimensions, the pixels of a digit, no noise of a batch is much nearer than another, and less is gained. (minidiff
# finds the best pairing of a batch with `SimpleLoss(..., pairing="optimal")`, which needs SciPy.)
#
# ## Reflow: can a flow straighten itself?
#
# The second idea needs no search. Paths of a *trained* flow never cross, because at every point there is only one velocity.
# So let the flow make pairs: start from many noises, and follow each to its sample. Then train again, on straight lines
# between these noises and their samples. This is **reflow**, and the result is called a *rectified flow* (Liu and others,
# 2023). It costs one run of sampling and a second training run.

# %%
near_pairs = NearPairs(flow, "velocity", time_scale=SCALE)
reflow_loss = ReflowLoss(flow, "velocity", time_scale=SCALE)
by_pairing = {"random pairs": flows, "near pairs": [train(near_pairs, seed) for seed in SEEDS], "reflow": []}
for seed, first in zip(SEEDS, flows, strict=True):
    its_noise = Rng(100 + seed).standard_normal(points.shape)
    made_pairs = pairs(ends(first, its_noise), its_noise)  # (N, 2, 2): sample and noise
    by_pairing["reflow"].append(train(reflow_loss, seed, made_pairs, start=first.model))

for name, trained in by_pairing.items():
    bend[name] = [straightness(d, ends(d, noise), noise) for d in trained]
    for calls in (1, 2, 4, 32):
        quality[name, calls] = [distance(run(d, "Euler", calls)) for d in trained]
    print(f"{name}: straightness {spread(bend[name], 4)}, distance by steps:")
    print("\n".join(f"  {calls:2}: {spread(quality[name, calls])}" for calls in (1, 2, 4, 32)))
if not FAST:
    for calls in (1, 2, 4):
        assert better(("near pairs", calls), ("random pairs", calls)) and better(("reflow", calls), ("random pairs", calls))
    assert max(bend["reflow"]) < min(bend["near pairs"]) and max(bend["near pairs"]) < 0.1 * min(bend["random pairs"])
    assert not better(("reflow", 32), ("random pairs", 32))

# %%
figure = viz.new_figure(7.6, 5.6, "tight")
panels = figure.subplots(3, 4)
for row, (name, trained) in zip(panels, by_pairing.items(), strict=True):
    states = np.stack(euler(velocity_of(trained[0]), noise[:60], fine))
    row[0].plot(*states.transpose(2, 0, 1), color=viz.COLOURS[1], linewidth=0.6)
    row[0].scatter(*states[-1].T, s=4, color=viz.COLOURS[0], zorder=2)
    row[0].set_title(f"{name}: paths", fontsize=10)
    for axes, calls in zip(row[1:], (1, 2, 32), strict=True):
        axes.scatter(*run(trained[0], "Euler", calls)[:1000].T, s=1, color=viz.COLOURS[0])
        axes.set_title(f"{calls} step{'s' * (calls > 1)}", fontsize=10)
for axes in panels.flat:
    axes.set(xlim=(-2.2, 2.2), ylim=(-1.8, 1.8), xticks=[], yticks=[])
figure

# %% [markdown]
# Both ideas straighten the paths, and now few steps are enough:
#
# - Near pairs bring the straightness from 0.30 down to 0.006. One step gives a distance of 0.07 in place of 0.67, two give
#   0.05.
# - Reflow brings it to 0.0001. **One step is now as good as 32 steps were before**, and further steps change nothing.
# - With 32 steps the ranges of all three overlap.
#
# Neither is free. Near pairs need a search in every batch, and gain little in many dimensions. With class labels, the noise
# of one class is no longer normal. Reflow needs a second training run and a long run of sampling for its pairs. It can only
# copy the flow that made them: it does not become better, only faster. Chapter 13 learned the whole jump from such pairs.
# Reflow learns the straight path between them, so its network can take any number of steps.
#
# ## Do guidance and likelihood work with a flow?
#
# They do, without a new line. At a given $x_t$ the velocity is a linear function of $\hat\epsilon$. So chapter 10's guidance
# has the same form for velocities:
#
# $$\hat u_w = (1 + w)\,\hat u(c) - w\,\hat u(\text{null}),$$
#
# with the class $c$ and the guidance weight $w$. And the density that a flow gives to a point follows from how much the paths
# spread on their way (chapter 14's likelihood by the ODE). For the blobs, both are known exactly. The third plot shows the
# density of the flow that we trained on the moons.

# %%
exact = blobs.denoiser(flow)
rng = np.random.default_rng(7)
x, t, w, ones = rng.standard_normal((5, 2)), 0.6, 2.0, np.ones(5, np.int64)
x0, eps = cfg(exact, ones, w)(x, t)
(x0_c, eps_c), (x0_null, eps_null) = exact(x, t, ones), exact(x, t, -ones)  # -1 is the mixture's null label
gap = np.abs((eps - x0) - ((1 + w) * (eps_c - x0_c) - w * (eps_null - x0_null))).max()
print(f"guidance by velocities and the library's cfg differ by at most {gap:.0e}")
assert gap < 1e-12

inside = blobs.sample(rng, 40)
found = ode_log_likelihood(exact, inside, t_max=0.9999, rtol=1e-7, atol=1e-7).log_p
print(f"log-likelihood by the flow and by the formula differ by at most {np.abs(found - blobs.log_prob(inside)).max():.0e}")
assert np.abs(found - blobs.log_prob(inside)).max() < 1e-2

# %%
figure = viz.new_figure(9.4, 3.1, "tight")
panels = figure.subplots(1, 3)
for axes, w in zip(panels[:2], (0.0, 3.0), strict=True):
    start, nearly = Rng(8).standard_normal((1000, 2)), np.linspace(0.999, 0, 21)[:-1]  # at t = 1 noise alone has no x0
    made = sample("flow_heun", cfg(exact, np.arange(1000) % 5, w), start.shape, steps=nearly, x=start)
    axes.scatter(*made.T, s=2, c=[viz.COLOURS[k] for k in np.arange(1000) % 5])
    axes.set(title=f"Guidance, w = {w:g}", xlim=(-3, 3), ylim=(-3, 3), aspect="equal", xticks=[], yticks=[])
across, up = np.meshgrid(np.linspace(-2, 2, 16 if FAST else 60), np.linspace(-1.4, 1.4, 12 if FAST else 42))
plane = np.stack([across, up], axis=-1).reshape(-1, 2).astype(np.float32)
log_p = ode_log_likelihood(flows[0], plane, t_min=0.01, t_max=0.999, steps=10).log_p
panels[2].imshow(np.exp(log_p).reshape(across.shape), extent=(-2, 2, -1.4, 1.4), origin="lower", cmap="Blues", aspect="auto")
panels[2].set(title="Density of the trained flow", xticks=[], yticks=[])
figure

# %% [markdown]
# ## What is a flow model in diffusers?
#
# One file of a folder such as chapter 16's makes it a flow model, `scheduler/scheduler_config.json`. Its class is
# `FlowMatchEulerDiscreteScheduler`, and nearly all that it contains is the shift. There are no betas, because there is no
# schedule to describe. The network gets $1000\,t$ and predicts the velocity. A step is Euler's: with $\sigma$ for $t$, as
# diffusers calls it, $x' = x + (\sigma' - \sigma)\,\hat u$. minidiff reads the file and visits the same times:

# %%
config = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0}
sampling = interop.sampling_from_config(config)
print(sampling.schedule, "- the model predicts", sampling.predicts, "and gets t times", sampling.time_scale)
ladder = [*sampling.at(4).options["steps"].tolist(), 0.0]
print("4 steps visit t =", np.round(ladder, 4))
x, model = noise, flows[0].model
for sigma, after in itertools.pairwise(ladder):
    x = x + (after - sigma) * model.predict(x, 1000 * sigma)
*_, theirs = samplers.flow_euler(sampling.denoiser(model), noise, **sampling.at(4).options)
print(f"three lines and the library differ by at most {np.abs(x - theirs.x).max():.0e}")
assert np.allclose(x, theirs.x, atol=1e-4)

# %% [markdown]
# To train a flow on images, use `minidiff train --data digits --schedule flow --set diffusion.t_sampler=logit_normal`
# ([guide](../docs/guide/training.md#flow-matching)). `minidiff export` writes its folder for diffusers.
#
# ## Exercises
#
# Complete each function and run its cell. The lines below the function test it. They print "right", or what is probably
# wrong. Each exercise has two folded hints, a small one and a bigger one.
#
# **Exercise 1.** A diffusion model predicts the noise $\hat\epsilon$ at $x_t = (1 - t)\,x_0 + t\,\epsilon$. Turn it into a
# flow: compute the velocity from $x_t$, $\hat\epsilon$ and $t < 1$.
#
# <details><summary>Hint</summary>
#
# The velocity is $\hat\epsilon - \hat x_0$. Which $\hat x_0$ belongs to this $\hat\epsilon$ at this $x_t$?
# </details>
# <details><summary>Bigger hint</summary>
#
# Solve $x_t = (1 - t)\,\hat x_0 + t\,\hat\epsilon$ for $\hat x_0$ and insert it. The result is a difference divided by
# $1 - t$.
# </details>

# %%
def velocity_from_eps(xt, eps, t):
    ...  # xt, eps (B, ...)   t a number   -> (B, ...)


rng = np.random.default_rng(30)
x0, eps = rng.standard_normal((2, 4, 2))
if grading.answered(velocity_from_eps, x0, eps, 0.5):
    mistakes.find(velocity_from_eps, "17.velocity_from_eps")
    grading.same(velocity_from_eps(on_the_line(x0, eps, 0.3), eps, 0.3), eps - x0, "the velocity at t = 0.3")
    print("exercise 1: right")

# %% [markdown]
# **Exercise 2.** Shift a time. A model was tuned on images with `base` pixels, and now it is trained on images with `pixels`
# pixels. Compute the time $t'$ at which the large image is as noisy as the small one is at $t$.
#
# <details><summary>Hint</summary>
#
# Everything is in the section on the time shift. What is $n$ here, and what is $s$?
# </details>
# <details><summary>Bigger hint</summary>
#
# $s = \sqrt{\text{pixels} / \text{base}}$. At $t = 0$ and $t = 1$ nothing changes.
# </details>

# %%
def shift_time(t, pixels, base):
    ...  # t a number or an array   -> of t's shape


times = np.linspace(0, 1, 6)
if grading.answered(shift_time, times, 1024, 64):
    mistakes.find(shift_time, "17.shift_time")
    grading.same(shift_time(times, 1024**2, 256**2), Flow(shift=4.0).shifted(times), "the times for 1024 x 1024 pixels")
    print("exercise 2: right")

# %% [markdown]
# **Exercise 3.** Measure how much a sampled path bends: divide the length of the path by the distance between its ends. For a
# straight path this is 1. `path` holds the states of a sampler, one after the other, for a batch of points.
#
# <details><summary>Hint</summary>
#
# The length of a path is the sum of the lengths of its steps. `np.diff(path, axis=0)` returns the steps.
# </details>
# <details><summary>Bigger hint</summary>
#
# A step's length is the root of the sum of its squared coordinates, which stand on the last axis. Take the root of each step
# first, and add the steps up afterwards. The distance of the ends is the length of `path[-1] - path[0]`.
# </details>

# %%
def detour(path):
    ...  # path (N + 1, B, D)   -> (B,)


if grading.answered(detour, np.array([[[0.0, 0.0]], [[1.0, 1.0]]])):
    mistakes.find(detour, "17.detour")
    found = {name: detour(np.stack(euler(velocity_of(trained[0]), noise[:200], fine))).mean()
             for name, trained in by_pairing.items()}  # fmt: skip
    print("mean detour:", ", ".join(f"{name} {ratio:.3f}" for name, ratio in found.items()))
    print("exercise 3: right")

# %% [markdown]
# ### Build it: flow matching, from the loss to better pairs
#
# Now build flow matching for points and for images: the loss, the sampler, and the pairing. Each exercise can pass without
# the others. In the chapter `SimpleLoss`, the samplers of minidiff and `swapped` do this work; do not call them.
#
# **Exercise 4.** Write the conditional flow matching loss of a batch. Draw, in this order, `t = rng.random(B)` and the noise
# `rng.standard_normal(x0.shape)`. The model predicts the velocity: `y, back_model = model(x_t, t)`. Return the mean of
# $(y - u)^2$ over all entries, and `back(dloss)`. It calls `back_model` with the gradient by $y$ and returns the result.
#
# <details><summary>Hint</summary>
#
# $t$ has shape $(B,)$ and `x0` any rank. Give $t$ a shape that broadcasts for $x_t$, but call the model with the $t$ that was
# drawn.
# </details>
# <details><summary>Bigger hint</summary>
#
# `t.reshape((-1,) + (1,) * (x0.ndim - 1))` broadcasts over each sample. The derivative of a mean of squares has a factor 2,
# and is divided by the number of entries, `y.size`. `dloss` multiplies all of it.
# </details>

# %%
def flow_loss(model, x0, rng):
    ...  # x0 (B, ...)   -> loss, back


def zero(x, t):
    return x * 0, lambda dy: dy


if grading.answered(flow_loss, zero, np.ones((2, 1)), np.random.default_rng(0)):
    mistakes.find(flow_loss, "17.flow_loss")

    def loss_of(scale):  # a model with one number to learn, so that its gradient can be checked
        return flow_loss(lambda x, t: (scale * x, lambda dy: (dy * x).sum()), x0, np.random.default_rng(31))

    gradcheck.check(loss_of, np.array(0.7))
    print("exercise 4: right")

# %% [markdown]
# **Exercise 5.** Follow a flow by Heun's method. `velocity(x, t)` returns the velocity, and `times` are the times to visit,
# one more than there are steps. They fall from 1 to 0 to draw samples. They may rise as well: then data are encoded as noise.
# Return $x$ at the last time.
#
# <details><summary>Hint</summary>
#
# Heun's method takes Euler's step, evaluates the velocity at its end, and repeats the step with the mean of both velocities.
# </details>
# <details><summary>Bigger hint</summary>
#
# The length of a step is `after - t`, below 0 when the times fall. The second velocity is evaluated at Euler's point and at
# the time `after`; the step itself starts at $x$ again. Make a new array in each step.
# </details>

# %%
def heun_flow(velocity, x, times):
    ...  # x (B, ...) at times[0]   -> x at times[-1]


if grading.answered(heun_flow, lambda x, t: x, np.ones((1, 1)), [1.0, 0.0]):
    mistakes.find(heun_flow, "17.heun_flow")
    x, even = noise[:50].astype(np.float64), np.linspace(0.9, 1e-5, 9)
    theirs = sample("flow_heun", exact, x.shape, steps=even[:-1], x=x, final="sigma_min")
    grading.same(heun_flow(best_velocity, x, even), theirs, "x at the end of the blobs' flow", rtol=1e-5)
    print("exercise 5: right")

# %% [markdown]
# **Exercise 6.** Find the best pairing of a small batch, at most 7 samples, by trying every order of the noises. Return the
# order (whole numbers) for which the sum of the squared distances between `x0[i]` and `eps[order[i]]` is smallest.
#
# <details><summary>Hint</summary>
#
# Every noise is used once, so the candidates are the permutations of the indices. `itertools.permutations(range(B))` lists
# them.
# </details>
# <details><summary>Bigger hint</summary>
#
# Compute the table of all squared distances first, `(B, B)`: row $i$ for sample $i$, column $j$ for noise $j$. The cost of an
# order is the sum of `table[i, order[i]]`. `min(..., key=...)` finds the best.
# </details>

# %%
def best_pairs(x0, eps):
    ...  # x0, eps (B, ...)   -> (B,) whole numbers: eps[order] stands beside x0


if grading.answered(best_pairs, x0, eps):
    mistakes.find(best_pairs, "17.best_pairs")
    six, six_noise = points[:6], noise[:6]
    best = cost(six, six_noise[best_pairs(six, six_noise)])
    print(f"mean squared distance of six pairs: random {cost(six, six_noise):.2f}, best {best:.2f}")
    assert best <= cost(six, swapped(six, six_noise, Rng(0))) + 1e-6, "swapping finds a better order"
    print("exercise 6: right")

# %% [markdown]
# The answers are in [docs/answers/17.py](../docs/answers/17.py), together with the hidden tests for graded assignments.
