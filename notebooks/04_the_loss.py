# %% [markdown]
# # 4. The loss
#
# Chapter 3 turned images into noise. Now a network learns the opposite direction. The loss is surprisingly short: draw an
# image, a noise level and noise, mix them, and let the network *predict the noise*. We build this loss and see what its best
# possible prediction looks like. Then we compare four prediction targets: the noise, the image, $v$ and the
# [score](../docs/glossary.md#score). They contain the same information, but each weights the errors differently, and the weight
# matters.
#
# {{install}}
# The code below needs neither the internet nor a GPU.
#
# **What you should know already.** A noisy image at timestep $t$ is $x_t = \alpha_t x_0 + \sigma_t \epsilon$. Here $x_0$ is the
# clean image, $\epsilon$ is standard normal noise, $\sigma_t$ is the noise level, and $\alpha_t^2 + \sigma_t^2 = 1$. (Chapter 3
# wrote $\sqrt{\bar\alpha_t}$ for this $\alpha_t$: see its [table of symbols](03_adding_noise.ipynb).) A function returns its
# result and its backward pass, `y, back = f(x)` (chapter 1).

# %%
import os

import numpy as np

from minidiff import data, gradcheck, grading, mistakes, models, training, viz
from minidiff.diffusion import Denoiser, Posterior, Schedule, SimpleLoss

FAST = bool(os.environ.get("MINIDIFF_FAST"))  # the tests set this: everything runs, with smaller numbers
rng = np.random.default_rng(0)
schedule = Schedule.linear(1000)
digits, _ = data.load("digits")
flat = digits.reshape(len(digits), 64).astype(np.float64)  # here a digit is a row of 64 numbers

# %% [markdown]
# ## What is the loss?
#
# The loss is the mean squared error of the predicted noise $\hat\epsilon$, at a random timestep for every image of a batch (Ho
# et al., 2020). It is called the **simple loss**; $\mathbb{E}$ is the mean over images, timesteps and noise:
#
# $$L = \mathbb{E}_{x_0,\,t,\,\epsilon}\; \bigl\| \epsilon - \hat\epsilon(x_t, t) \bigr\|^2 .$$

# %%
def noise_loss(model, x0, t, eps):
    """Mean squared error of the predicted noise.   x0, eps (B, D)   t (B,)   ->   a number, back"""
    alpha, sigma = schedule.alpha(t)[:, None], schedule.sigma(t)[:, None]
    output, back_model = model(alpha * x0 + sigma * eps, t)
    error = output - eps

    def back():
        return back_model(2 * error / error.size)

    return (error**2).mean(), back


net = models.MLP(features=64, width=32, depth=2, rng=0).astype(np.float64)
rng = np.random.default_rng(3)
x0, t, eps = flat[:8], rng.integers(0, 1000, 8), rng.standard_normal((8, 64))
loss, back = noise_loss(net, x0, t, eps)
print(f"loss of an untrained network: {loss:.2f}")

losses, _, _ = SimpleLoss(schedule, "eps").compare(net, x0, eps, t, None)  # the loss of the library, one number per image
assert np.isclose(loss, losses.mean())

# %% [markdown]
# A network whose output is always 0 has loss 1, the variance of the noise. (The output of an untrained network is random, so
# its loss may be a bit higher.) Is our `back` right? Change one weight and measure the slope:

# %%
weight = net.parameters()["output.weight"]
net.zero_grad()
back()
dy, h = weight.grad[3, 5], 1e-5
values = []
for sign in (1, -1):
    weight.value[3, 5] += sign * h
    values.append(noise_loss(net, x0, t, eps)[0])
    weight.value[3, 5] -= sign * h
print(f"backward pass {dy:+.8f}, measured slope {(values[0] - values[1]) / (2 * h):+.8f}")
assert np.isclose(dy, (values[0] - values[1]) / (2 * h), rtol=1e-5)

# %% [markdown]
# ## How do I get the clean image from the noise?
#
# Solve the formula for the image: $\hat x_0 = (x_t - \sigma_t \hat\epsilon) / \alpha_t$. A function that estimates the clean
# image from $x_t$ and $t$ is called a **denoiser**. If $\hat\epsilon$ were exactly the noise that was added, $\hat x_0$ would
# be exactly the image. But $x_t$ does not determine which noise was added. What does the best possible prediction look like?
#
# The prediction with the smallest squared error is a **mean**: the mean of all images that could have led to $x_t$, each
# weighted by its probability. It is called the **[posterior](../docs/glossary.md#posterior) mean**. If our training digits
# $x^{(i)}$ were the only images in the world, we could compute it, with a weight $w_i$ for each digit:
#
# $$\hat x_0 = \sum_i w_i\, x^{(i)}, \qquad w_i \propto \exp\Bigl(-\frac{\|x_t - \alpha_t x^{(i)}\|^2}{2 \sigma_t^2}\Bigr).$$

# %%
def best_x0(xt, t):
    """The mean of all digits that could have led to xt.   xt (B, 64)   ->   (B, 64)"""
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    distance = (xt**2).sum(axis=1)[:, None] - 2 * alpha * xt @ flat.T + alpha**2 * (flat**2).sum(axis=1)
    logits = -distance / (2 * sigma**2)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ flat


times = [0, 100, 200, 300, 400, 500, 600, 700, 850, 999]
rng = np.random.default_rng(7)
x0, eps = flat[9:10], rng.standard_normal((1, 64))
noisy = [schedule.add_noise(x0, eps, t) for t in times]
best = [best_x0(xt, t) for xt, t in zip(noisy, times, strict=True)]
assert np.abs(best[0] - x0).max() < 1e-6  # hardly any noise: the digit itself
assert np.abs(best[-1] - flat.mean(axis=0)).max() < 0.1  # nothing but noise: the mean of all digits
pictures = np.concatenate(noisy + best).reshape(-1, 8, 8)
viz.show_grid(pictures, columns=10, titles=[f"t = {t}" for t in times] + [""] * 10,
              rows=["noisy image", "best prediction of the clean image"])

# %% [markdown]
# At large $t$ the best prediction is a **blur**, and this is not a fault of the network. A sharp image takes many steps
# (chapter 7).
#
# ## Four prediction targets, the same information
#
# | the network predicts | which is | used by |
# |---|---|---|
# | $\epsilon$ | the noise | Ho et al., 2020 |
# | $x_0$ | the clean image | many |
# | $v = \alpha_t \epsilon - \sigma_t x_0$ | a mixture of both, well defined at both ends | Salimans and Ho, 2022 |
# | score $= -\epsilon / \sigma_t$ | the direction in which noisy images become more likely | Song et al., 2021 |
#
# Given $x_t$, each of the four determines the other three. From $x_t = \alpha x_0 + \sigma \epsilon$ and
# $v = \alpha \epsilon - \sigma x_0$, and because $\alpha^2 + \sigma^2 = 1$, it follows that $x_0 = \alpha x_t - \sigma v$ and
# $\epsilon = \sigma x_t + \alpha v$.

# %%
def x0_and_eps(output, xt, t, predicts):
    """The clean image and the noise from a network's output."""
    a, s = schedule.alpha(t), schedule.sigma(t)
    if predicts == "score":
        output, predicts = -s * output, "eps"
    if predicts == "eps":
        return (xt - s * output) / a, output
    if predicts == "x0":
        return output, (xt - a * output) / s
    return a * xt - s * output, s * xt + a * output  # v


t, xt = 400, schedule.add_noise(x0, eps, 400)
a, s = schedule.alpha(t), schedule.sigma(t)
for predicts, output in {"eps": eps, "x0": x0, "v": a * eps - s * x0, "score": -eps / s}.items():
    got_x0, got_eps = x0_and_eps(output, xt, t, predicts)
    assert np.allclose(got_x0, x0) and np.allclose(got_eps, eps)
    denoiser = Denoiser(lambda x, t, cond, output=output: output, schedule, predicts)  # the library's conversion
    assert np.allclose(denoiser(xt, t), (got_x0, got_eps))
print("all four prediction targets give the same image and the same noise")

# %% [markdown]
# ## Does it matter which target the network predicts?
#
# The information is the same, but the *loss* is not. An error $e$ in $\hat x_0$ is an error of $\alpha_t e / \sigma_t$ in
# $\hat\epsilon$, and of $e / \sigma_t$ in $\hat v$. So, with the signal-to-noise ratio $\text{SNR} = \alpha_t^2 / \sigma_t^2$,
#
# $$\|\epsilon - \hat\epsilon\|^2 = \text{SNR}\cdot\|x_0 - \hat x_0\|^2,$$
# $$\|v - \hat v\|^2 = (\text{SNR} + 1)\,\|x_0 - \hat x_0\|^2.$$
#
# The theory behind diffusion suggests another weight. The papers derive a *variational bound* on the
# [likelihood](../docs/glossary.md#likelihood) of the data. It compares each step of the model with the best possible step back.
# Both are Gaussians with the same variance $\tilde\beta_t$, and the distance between two such Gaussians is the squared distance
# of their means, divided by $2\tilde\beta_t$:
#
# $$L_t = \frac{\beta_t^2}{2\,\tilde\beta_t\,(1 - \beta_t)\,\sigma_t^2}\; \|\epsilon - \hat\epsilon\|^2 .$$
#
# Ho et al. found that images come out better if this weight is simply left out. The result is $L_\text{simple}$, the simple
# loss.

# %%
guess = best_x0(xt, t)
e_x0 = ((x0 - guess) ** 2).mean()
e_eps = ((eps - (xt - a * guess) / s) ** 2).mean()
e_v = ((a * eps - s * x0 - (a * (xt - a * guess) / s - s * guess)) ** 2).mean()
assert np.isclose(e_eps, (a / s) ** 2 * e_x0) and np.isclose(e_v, ((a / s) ** 2 + 1) * e_x0)

steps = np.arange(1, 1000)
beta, sigma2, posterior = schedule.betas[steps], 1 - schedule.alpha_bar[steps], Posterior(schedule)
bound_weight = beta**2 / (2 * posterior.variance[steps] * (1 - beta) * sigma2)
snr = schedule.alpha_bar[steps] / sigma2
by_posterior = posterior.c_x0[steps] ** 2 / (2 * posterior.variance[steps]) / snr  # from the library's step back
assert np.allclose(bound_weight, by_posterior)

figure = viz.new_figure(6.4, 3.7, "tight")
axes = figure.add_subplot()
for curve, label, colour in [
    (snr, r"predicting $\epsilon$: SNR", viz.COLOURS[0]),
    (np.ones_like(snr), r"predicting $x_0$: 1", viz.COLOURS[1]),
    (snr + 1, r"predicting $v$: SNR + 1", viz.COLOURS[2]),
    (bound_weight * snr, "variational bound", viz.COLOURS[3]),
]:
    axes.semilogy(steps, curve, color=colour, label=label)
axes.set(xlabel="timestep t", ylabel=r"weight of a squared error in $\hat x_0$", title="How each loss weights the same error")
axes.legend(frameon=False, fontsize=9)
figure

# %% [markdown]
# ## Why predict the noise and not the image?
#
# The usual answer is that the noise gives a simpler loss which scales better, and that $v$ is better still. Let us train all
# three targets the same way, on points in the plane. To compare them, we convert every prediction to a prediction of the noise.

# %%
def train(points, predicts, steps, seed=0, **options):
    net = models.MLP(features=points.shape[1], rng=seed, **options)
    objective = SimpleLoss(schedule, predicts)
    trainer = training.Trainer(net, objective, points, steps=steps, batch_size=128, lr=2e-3, ema_decay=None, seed=seed)
    trainer.run(progress=False)
    return objective.denoiser(net)


def noise_error(denoiser, points, times):
    """Mean squared error of the noise a denoiser predicts, at each of the times, the same noise for every denoiser."""
    eps = np.random.default_rng(7).standard_normal(points.shape).astype(np.float32)
    return np.array([((denoiser(schedule.add_noise(points, eps, int(t)), int(t))[1] - eps) ** 2).mean() for t in times])


points, _ = data.toys.moons(4000, rng=0)
unseen, _ = data.toys.moons(500 if FAST else 2000, rng=1)
times = np.linspace(5, 995, 34).round().astype(int)
steps = 60 if FAST else 2500
denoisers = {predicts: train(points, predicts, steps, width=64, depth=3) for predicts in ("eps", "x0", "v")}
errors = {predicts: noise_error(denoiser, unseen, times) for predicts, denoiser in denoisers.items()}
for predicts, error in errors.items():
    print(f"predicts {predicts:4} mean squared error of the noise: {error[0]:.2f} at t = 5, {error.mean():.3f} averaged over t")
assert errors["x0"][0] > errors["eps"][0]  # near t = 0 the division by a tiny sigma amplifies an error of x0
assert all(error.mean() < 0.8 for name, error in errors.items() if name != "x0")

# %%
figure = viz.new_figure(6.4, 3.7, "tight")
axes = figure.add_subplot()
for (predicts, error), colour in zip(errors.items(), viz.COLOURS, strict=False):
    axes.semilogy(times, error, color=colour, label=f"trained to predict {predicts}")
axes.axhline(1, color="grey", linewidth=0.8)
axes.set(xlabel="timestep t", ylabel="mean squared error of the noise", title="Error of the predicted noise, by target")
axes.legend(frameon=False, fontsize=9)
figure

# %% [markdown]
# At the smallest $t$ the network that predicts the image is the worst at predicting the noise. The weights above explain this:
# at small $t$ its loss gives such errors little weight. At large $t$ the network that predicts the noise is the worst, because
# there its loss gives errors of the image little weight. The target $v$ is good at both ends, and in between all three are
# alike. So the targets differ only at the ends, and "noise is better" is half true. (`minidiff study predictions` compares them
# for [U-Nets](../docs/glossary.md#u-net) on digits:
# [tables and plots](../docs/studies.md#why-predict-the-noise-and-not-the-image).)
#
# In one case predicting noise even fails completely. Noise fills all 64 directions in the space of a digit's pixels. If a layer
# of the network is *narrower* than that, say 16 numbers wide, the noise cannot pass through it: 48 of 64 directions are lost,
# whatever the weights are. The digits fill far fewer directions, so they do pass.

# %%
pixels = flat.astype(np.float32)
narrow = {predicts: train(pixels, predicts, steps, width=16, depth=2) for predicts in ("eps", "x0")}
held_out = data.load("digits", split="test")[0].reshape(-1, 64)
middle = np.arange(100, 901, 100)
for predicts, denoiser in narrow.items():
    error = noise_error(denoiser, held_out, middle).mean()
    print(f"width 16, predicts {predicts:3}   mean squared error of the noise: {error:.2f}")
stuck, free = (noise_error(narrow[predicts], held_out, middle).mean() for predicts in ("eps", "x0"))
print(f"lower bound, if only 16 of 64 directions of the noise can pass: {48 / 64:.2f}")
assert stuck > 0.7 and free < 0.6 * stuck

# %% [markdown]
# ## Does the network know $\alpha_t$?
#
# It knows $\alpha_t$ only through $t$. The network receives $t$ in training and learns what that means for its input. So let us
# give it a wrong $t$: the points have the noise of $t = 300$, and the network gets another $t$. We train it with three seeds;
# the numbers after ± are standard errors over these three.

# %%
rng = np.random.default_rng(18)
eps = rng.standard_normal(unseen.shape).astype(np.float32)
given = np.arange(0, 1000, 100 if FAST else 25)
nets = [denoisers["eps"].model, *(train(points, "eps", steps, seed, width=64, depth=3).model for seed in (1, 2))]


def error_and_distance(true_t):
    """Mean squares of output - eps and of output - x_t, by network and by the t it gets.   -> two arrays (nets, given)"""
    xt = schedule.add_noise(unseen, eps, true_t)
    outputs = [[net.predict(xt, int(t)) for t in given] for net in nets]
    return [np.array([[((y - other) ** 2).mean() for y in row] for row in outputs]) for other in (eps, xt)]


def spread(values):
    """Mean and standard error over the networks.   (nets, given) -> (given,), (given,)"""
    return values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))


wrong_time, copied = error_and_distance(300)
(error, bar), (copy, _) = spread(wrong_time), spread(copied)
for t in (0, 100, 300, 600, 900):
    i = list(given).index(t)
    print(f"noise of t = 300, given t = {t:3}: mean squared error of the noise {error[i]:.3f} ± {bar[i]:.3f}, "
          f"mean square of output - x_t {copy[i]:.4f}")  # fmt: skip
assert abs(given[error.argmin()] - 300) <= 100

figure = viz.new_figure(9.4, 3.5, "tight")
axes = figure.subplots(1, 2)
titles = "Error of the predicted noise", "Distance of the output from $x_t$"
for ax, values, title in zip(axes, (wrong_time, copied), titles, strict=True):
    mean, bar = spread(values)
    ax.errorbar(given, mean, bar, color=viz.COLOURS[0], capsize=2, linewidth=1.2)
    ax.axvline(300, color="grey", linestyle=":")
    ax.set(xlabel="timestep t given to the network", ylabel="mean square", title=title, ylim=(0, None))
figure.suptitle("Points with the noise of t = 300", fontsize=11)
figure

# %% [markdown]
# With too small a $t$ the network takes noise for data and misses much of it. With too large a $t$ it loses surprisingly
# little. Does it estimate the noise level from the points? **No: from $t = 600$ on it returns $x_t$ itself**, as the right plot
# shows. This is what it has learned for these $t$, where $x_t$ is nearly all noise and returning it is nearly the best
# prediction. It does the same for points with less noise. The cost of this can be computed:
# $x_t - \epsilon = \alpha_t x_0 - (1 - \sigma_t)\,\epsilon$, with the mean square
# $\alpha_t^2 \cdot \overline{x_0^2} + (1 - \sigma_t)^2$, where $\overline{x_0^2}$ is the mean square of the data. At $t = 300$
# this is only 14 % more than the error with the right $t$, because that error is large too. At $t = 100$ it is 40 % more:

# %%
for true_t in (300, 100):
    returns_x = schedule.alpha(true_t) ** 2 * (unseen**2).mean() + (1 - schedule.sigma(true_t)) ** 2
    mean, bar = spread(error_and_distance(true_t)[0])
    right, wrong = (list(given).index(t) for t in (true_t, 900))
    print(f"noise of t = {true_t}: error {mean[right]:.3f} ± {bar[right]:.3f} with the right t, "
          f"{mean[wrong]:.3f} ± {bar[wrong]:.3f} with t = 900; if the output is x_t itself: {returns_x:.3f}")  # fmt: skip
    assert FAST or abs(mean[wrong] - returns_x) < 0.03
assert FAST or (copied[:, given >= 600].max() < 0.01 and mean[wrong] > 1.2 * mean[right])

# %% [markdown]
# So all that the network knows of $\alpha_t$ is the $t$ that it gets. ([Chapter 5](05_telling_the_time.ipynb) examines networks
# that get no $t$ at all.)
#
# ## Exercises
#
# Complete each function and run its cell. The lines below the function test it. They print "right", or what is probably wrong.
# Each exercise has two folded hints, a small one and a bigger one.
#
# **Exercise 1.** Compute the noise from $x_t$ and $v$.
#
# <details><summary>Hint</summary>
#
# $x_t$ and $v$ are two mixtures of the same two unknowns, $x_0$ and $\epsilon$: two equations. Eliminate $x_0$.
# </details>
# <details><summary>Bigger hint</summary>
#
# Multiply the equation of $x_t$ by $\sigma$ and the equation of $v$ by $\alpha$, and add them. What remains has the factor
# $\alpha^2 + \sigma^2$. In code the two factors are `schedule.alpha(t)` and `schedule.sigma(t)`.
# </details>

# %%
def eps_of_v(v, xt, t):
    ...  # return eps


rng = np.random.default_rng(20)
v_test, x_test = rng.standard_normal((3, 2)), rng.standard_normal((3, 2))
if grading.answered(eps_of_v, v_test, x_test, 10):
    mistakes.find(eps_of_v, "04.eps_of_v")
    grading.same(eps_of_v(v_test, x_test, 10), Denoiser(lambda x, t, cond: v_test, schedule, "v")(x_test, 10)[1], "eps")
    print("exercise 1: right")

# %% [markdown]
# **Exercise 2.** Write the loss on $v$, with its gradient by the network's output (not through the network).
#
# <details><summary>Hint</summary>
#
# The loss is a mean of squares, as in `noise_loss`. Only the target differs; the table of prediction targets defines it.
# </details>
# <details><summary>Bigger hint</summary>
#
# With `error = output - target`: how does the mean of `error**2` change when one entry of `output` changes? The mean divides by
# the number of all entries, and `dloss`, the gradient of the loss, multiplies the result.
# </details>

# %%
def v_loss(output, x0, eps, t):
    ...  # t a number; return loss, back


rng = np.random.default_rng(22)
if grading.answered(v_loss, v_test, v_test, v_test, 10):
    mistakes.find(v_loss, "04.v_loss")
    gradcheck.check(lambda o: v_loss(o, x_test, v_test, 400), rng.standard_normal((3, 2)))
    print("exercise 2: right")

# %% [markdown]
# **Exercise 3.** "Min-SNR" (Hang et al., 2023) gives an error in $x_0$ the weight $\min(\text{SNR}, 5)$. Which weight does this
# give an error in $\epsilon$?
#
# <details><summary>Hint</summary>
#
# The loss on $\epsilon$ already gives an error in $x_0$ a weight. Which one?
# </details>
# <details><summary>Bigger hint</summary>
#
# (wanted weight on $\epsilon$) times (weight that the $\epsilon$-loss already gives) is (wanted weight on $x_0$). `np.minimum`
# takes an array and a number.
# </details>

# %%
def min_snr_weight(snr):
    ...  # array -> array


if grading.answered(min_snr_weight, np.ones(1)):
    mistakes.find(min_snr_weight, "04.min_snr_weight")
    print("exercise 3: right")

# %% [markdown]
# ### Build it: the losses that models are trained with
#
# A loss for training takes images of any shape and one $t$ for each sample, and its backward pass runs through the model. The
# next two functions do this, and each can pass without the other. `model(x, t)` returns its output and its backward pass, which
# takes the gradient by the output. `alpha_bar` is an array of all $\bar\alpha_t$, so that the functions work with any schedule.
#
# **Exercise 4.** Write the loss on $\epsilon$. `back(dloss)` runs the model's backward pass and returns its result. Do not use
# `noise_loss`.
#
# <details><summary>Hint</summary>
#
# `noise_loss` has the right parts. Two of its lines work only for rows of numbers, and its `back` does not take a `dloss`.
# </details>
# <details><summary>Bigger hint</summary>
#
# `alpha_bar[t]` has one number for each sample. Reshape it to length $B$ on the first axis and 1 on all others, `x0.ndim` axes
# in all. Then its square roots multiply `x0` and `eps` of any shape. Pass the whole array `t` to the model.
# </details>

# %%
def eps_objective(model, x0, t, eps, alpha_bar):
    ...  # x0, eps (B, ...)   t (B,) whole numbers   alpha_bar (T,)   -> loss, back


one, first = np.ones((1, 1)), np.zeros(1, int)
fresh = models.MLP(features=64, width=32, depth=2, rng=0).astype(np.float64)
if grading.answered(eps_objective, lambda x, t: (x, lambda dy: dy), one, first, one, np.array([0.5])):
    mistakes.find(eps_objective, "04.eps_objective")
    loss, _ = eps_objective(fresh, flat[:8], np.arange(8), flat[8:16], schedule.alpha_bar)
    by_library, _, _ = SimpleLoss(schedule, "eps").compare(fresh, flat[:8], flat[8:16], np.arange(8), None)
    grading.same(loss, by_library.mean(), "the loss of a network")
    print("exercise 4: right")

# %% [markdown]
# **Exercise 5.** Write the loss on $v$ with a weight for each sample: the mean over all numbers of weight times squared error.
#
# <details><summary>Hint</summary>
#
# It is the last exercise with another target. The weight of a sample multiplies all squares of that sample, and nothing else.
# </details>
# <details><summary>Bigger hint</summary>
#
# Reshape `weight` like `alpha_bar[t]`. It is outside the square, so the gradient contains it once, unchanged. The mean still
# divides by the number of all entries, not by the sum of the weights.
# </details>

# %%
def v_objective(model, x0, t, eps, alpha_bar, weight):
    ...  # x0, eps (B, ...)   t, weight (B,)   alpha_bar (T,)   -> loss, back


if grading.answered(v_objective, lambda x, t: (x, lambda dy: dy), one, first, one, np.array([0.5]), np.ones(1)):
    mistakes.find(v_objective, "04.v_objective")
    loss, _ = v_objective(fresh, flat[:8], np.arange(8), flat[8:16], schedule.alpha_bar, np.ones(8))
    by_library, _, _ = SimpleLoss(schedule, "v").compare(fresh, flat[:8], flat[8:16], np.arange(8), None)
    grading.same(loss, by_library.mean(), "the loss of a network")
    print("exercise 5: right")

# %% [markdown]
# The answers are in [docs/answers/04.py](../docs/answers/04.py), together with the hidden tests for graded assignments.
