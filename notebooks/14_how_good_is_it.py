# %% [markdown]
# # 14. How good is it?
#
# The samples look like digits. How good are they? Nobody can look at thousands of samples one by one. The training loss does
# not tell either. It is a mean over all noise levels, and much of it is noise that no model can predict. This chapter measures
# a model in three ways: the *Fréchet distance*, its *likelihood*, and the *distance of its samples to the training set*. It
# shows what each of them misses. Then it gives the model a task that has an exact score: removing noise from images. There it
# compares the model with an older method, the **denoising autoencoder**.
#
# {{install}}
# The code below needs neither the internet nor a GPU.
#
# **What you should know already.** A noisy image is $x_t = a_t\,x_0 + \sigma_t\,\epsilon$ (chapter 3). Here $x_0$ is the clean
# image, $\epsilon$ is standard normal noise, $a_t$ is chapter 3's $\sqrt{\bar\alpha_t}$, in code `schedule.alpha(t)`, and
# $\sigma_t$ is the noise level, `schedule.sigma(t)`. A *denoiser* predicts $x_0$ and $\epsilon$ from $x_t$ and the timestep
# $t$; a hat marks a prediction. The best $\hat x_0$ is the mean of the clean images that fit $x_t$ (chapter 4). DDIM steps from
# $t$ to an earlier timestep $s$ by $x_s = a_s\,\hat x_0 + \sigma_s\,\hat\epsilon$ (chapter 8).

# %%
import os

import numpy as np

from minidiff import data, grading, metrics, mistakes, models, sample, training, viz
from minidiff.diffusion import GaussianMixture, Schedule, SimpleLoss, estimate_t, t_of_noise_std
from minidiff.diffusion.likelihood import bits_per_dim, dequantize, ode_log_likelihood
from minidiff.models.denoising_autoencoder import DenoisingAutoencoder
from minidiff.rng import Rng

FAST = bool(os.environ.get("MINIDIFF_FAST"))  # the tests set this: everything runs, with smaller numbers
schedule = Schedule.cosine(1000)
digits, labels = data.load("digits")
unseen, unseen_labels = data.load("digits", split="test")  # no model below is trained on these


def fit(net, objective, images, steps, batch_size=64):
    trainer = training.Trainer(net, objective, images, steps=steps, batch_size=batch_size, lr=3e-3,
                               warmup=max(1, steps // 20), ema_decay=None)  # fmt: skip
    trainer.run(progress=False)
    return net


def small_unet():
    return models.UNet(in_channels=1, out_channels=1, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8, rng=0)


objective = SimpleLoss(schedule, "v")
denoiser = objective.denoiser(fit(small_unet(), objective, digits, 4 if FAST else 400, batch_size=48))
count = 60 if FAST else 400
samples = sample("ddim", denoiser, (count, 8, 8, 1), steps=3 if FAST else 25, rng=1)
viz.show_grid(samples[:40], columns=20, title=f"40 of {count} samples of a briefly trained model")

# %% [markdown]
# ## Does the whole set look like the data?
#
# One sample cannot be compared with the data, but a *set* of samples can. Describe each image by a few numbers, its *features*.
# Then compare the mean and the spread of the samples' features with those of the data. For two Gaussians in one dimension, with
# means $m, m'$ and standard deviations $s, s'$, the Fréchet distance is
#
# $$(m - m')^2 + (s - s')^2,$$
#
# In many dimensions, with mean vectors $m, m'$ and covariance matrices $A$ and $B$, it is
#
# $$\|m - m'\|^2 + \operatorname{tr}\bigl(A + B - 2\,(AB)^{1/2}\bigr).$$
#
# Papers report this distance for the features of one network, Inception-v3. They call it the **FID**, the Fréchet inception
# distance (Heusel and others, 2017). Inception was trained on photographs, not on 8 x 8 digits. So we take the features of a
# small classifier that we train on the digits. The resulting numbers can be compared with each other, but not with a published
# FID.

# %%
def frechet(x, y):
    A, B = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = np.sqrt(np.linalg.eigvals(A @ B).astype(complex)).real.sum()  # the trace of a root: the sum of eigenvalues' roots
    return ((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum() + np.trace(A) + np.trace(B) - 2 * root


rng = np.random.default_rng(0)
x, y = rng.standard_normal((100_000, 2)) * [1.0, 3.0], rng.standard_normal((100_000, 2)) * [1.0, 2.0] + [0.5, 0.0]
print(f"two known Gaussians: {frechet(x, y):.3f} from samples, by the formula {0.5**2 + (3 - 2) ** 2:.3f}")
assert abs(frechet(x, y) - 1.25) < 0.03

read = slice(400 if FAST else None)
judge = metrics.train_classifier(digits[read], labels[read], epochs=1 if FAST else 8)
real = metrics.features(judge, digits)
assert np.isclose(frechet(real, metrics.features(judge, unseen)),
                  metrics.frechet_distance(real, metrics.features(judge, unseen)), rtol=1e-3)  # fmt: skip
print(f"the classifier recognises {metrics.accuracy(judge, unseen, unseen_labels):.1%} of the held-out digits")

# %% [markdown]
# A single distance is hard to interpret. So we also compute it for held-out real digits and for two sets of copied
# training digits. Three more sets have a known fault: blur, a single class, or nothing but noise.

# %%
evenly = np.argsort(labels, kind="stable")[np.arange(count) * len(digits) // count]  # each class in proportion
pick = np.random.default_rng(1).permutation(len(digits))[:count]
one_class = digits[labels == 3][np.arange(count) % (labels == 3).sum()]
blurred = np.stack([np.roll(digits[pick], shift, axis=axis) for shift in (-1, 0, 1) for axis in (1, 2)]).mean(axis=0)
noise = Rng(2).standard_normal(samples.shape).clip(-1, 1)
sets = {"held-out digits": unseen, "samples": samples, "blurred digits": blurred, "only threes": one_class,
        "noise": noise, "copies, drawn at random": digits[pick], "copies, chosen evenly": digits[evenly]}  # fmt: skip
scores = {name: frechet(metrics.features(judge, images), real) for name, images in sets.items()}
print("Fréchet distance to the training digits")
for name, score in scores.items():
    print(f"{name:30} {score:6.2f}")
copies = scores["copies, chosen evenly"]
assert FAST or copies < scores["held-out digits"] < min(scores["samples"], scores["noise"])

# %%
rows = [images[:: len(images) // 14][:14] for images in sets.values()]
viz.show_grid(np.concatenate(rows), columns=14, scale=0.55, rows=list(sets))

# %% [markdown]
# The distance detects blur, noise and lack of variety. It is sensitive: training digits drawn at random are further away than
# the held-out ones, in which all classes are equally frequent. But look at the last line. A "model" that returns copies of its
# training set, chosen evenly over the classes, gets the best score of all, better than real new digits. **A Fréchet distance to
# the training set cannot distinguish learning from memorising.**
#
# There is a second problem, a bias: the distance falls as the number of samples grows, even when nothing else changes.

# %%
sizes = [80, 160, 320, 640, 1280] if not FAST else [80, 320]
by_size = []
for size in sizes:
    draws = [np.random.default_rng(seed).permutation(len(real))[:size] for seed in range(5)]
    by_size.append(np.mean([frechet(real[draw], real) for draw in draws]))
found = ", ".join(f"{d:.2f} with {n} digits" for n, d in zip(sizes, by_size, strict=True))
print("Fréchet distance of real digits to all real digits:", found)
assert by_size[0] > 2 * by_size[-1]  # so use the same number of samples always, at least as many as there are features

# %% [markdown]
# ## Has the model memorised its training set?
#
# For each sample we compute the distance to the *nearest* training digit. A very small distance means a copy. How small is very
# small? Held-out real digits give the scale: they are not copies, and each of them has a nearest training digit too. For
# contrast we train the same network on 16 digits only.

# %%
few = digits[:16]
parrot = objective.denoiser(fit(small_unet(), objective, few, 4 if FAST else 300, batch_size=16))
parroted = sample("ddim", parrot, (count // 5, 8, 8, 1), steps=3 if FAST else 25, rng=2)


def nearest(images, reference):
    """Index of the nearest reference image, and the root mean square distance of a pixel to it."""
    x, y = images.reshape(len(images), -1), reference.reshape(len(reference), -1)
    squares = ((x[:, None] - y[None]) ** 2).mean(axis=2)
    return squares.argmin(axis=1), np.sqrt(squares.min(axis=1))


away = {"held-out digits": nearest(unseen, digits), "samples, trained on all": nearest(samples, digits),
        "samples, trained on 16": nearest(parroted, few)}  # fmt: skip
for name, (_, distance) in away.items():
    print(f"{name:24} median distance to the nearest training digit {np.median(distance):.3f}")
assert np.allclose(away["held-out digits"][1], metrics.nearest_distances(unseen, digits), atol=1e-4)

figure = viz.new_figure(6.2, 3.2, "tight")
axes = figure.add_subplot()
for (name, (_, distance)), colour in zip(away.items(), viz.COLOURS, strict=False):
    axes.hist(distance, bins=np.linspace(0, 0.8, 41), density=True, histtype="stepfilled", color=colour, alpha=0.45, label=name)
axes.set(xlabel="root mean square difference of a pixel", yticks=[], title="Distance to the nearest training digit")
axes.legend(frameon=False, fontsize=9)
figure

# %%
rows = [samples[:12], digits[away["samples, trained on all"][0][:12]],
        parroted[:12], few[away["samples, trained on 16"][0][:12]]]  # fmt: skip
viz.show_grid(np.concatenate(rows), columns=12, scale=0.6,
              rows=["trained on all", "nearest digit", "trained on 16", "nearest of the 16"])  # fmt: skip

# %% [markdown]
# Neither model has memorised its training set. The samples of both are *further* from their training digits than held-out
# digits are. This does not show that the samples are original: they are still rough, and a rough image is far from every digit.
# (300 steps are too few to memorise even 16 digits. Use 3000 in the code above and see which model memorises then.)
#
# ## How likely are real digits under the model?
#
# The measures so far look at the samples. **Likelihood** looks at the data: how probable is each real digit under the model?
# DDIM in the limit of small steps is a flow, an ODE that maps every image to a noise and back (chapter 9). The density of the
# noise is known. Along the way, the log-density changes at a rate given by the divergence of the flow, the trace of its
# Jacobian. The backward passes can compute this trace. minidiff's `ode_log_likelihood` integrates it over time. Is the result
# right? For a mixture of Gaussians the exact log-density is known:

# %%
angle = 2 * np.pi * np.arange(8) / 8
ring = GaussianMixture(1.5 * np.stack([np.cos(angle), np.sin(angle)], axis=1), stds=0.3)
points = ring.sample(0, 50)
low = schedule.alpha(0), schedule.sigma(0)  # the model's data contain the noise of t = 0
truth = ring.log_prob(points, *low)
found = ode_log_likelihood(ring.denoiser(schedule), points, steps=50).log_p
print(f"log-density of 50 points: largest error {np.abs(found - truth).max():.4f} nats, "
      f"mean absolute value {np.abs(truth).mean():.2f} nats")  # fmt: skip
assert np.abs(found - truth).max() < 0.03

# %% [markdown]
# The digits have 17 grey levels. Without any model, one needs $\log_2 17 = 4.09$ bits per pixel to encode one. Let $\log p$ be
# the log-density, in nats, that a model gives to a digit of 64 pixels. The data are *dequantised*: each grey level is spread
# evenly over a bin of width $2/17$. Then the model needs $-\log_2 p/64 - \log_2(2/17)$ bits per pixel.

# %%
some = 2 if FAST else 12
looked_at = {"held-out digits": unseen[::10][:some], "training digits": digits[::10][:some],
             "held out, upside down": unseen[::10][:some, ::-1], "all black": np.full((some, 8, 8, 1), -1, np.float32),
             "noise": np.random.default_rng(0).integers(0, 17, (some, 8, 8, 1)).astype(np.float32) / 8 - 1}  # fmt: skip
together = dequantize(np.concatenate(list(looked_at.values())), Rng(3), levels=17).astype(np.float32)
found = ode_log_likelihood(denoiser, together, divergence="hutchinson", rng=0, steps=2 if FAST else 12, t_min=5)
bits = -found.log_p / 64 / np.log(2) - np.log2(2 / 17)
assert np.allclose(bits, bits_per_dim(found.log_p, 64, levels=17))
for name, part in zip(looked_at, bits.reshape(-1, some), strict=True):
    print(f"{name:22} {part.mean():5.2f} ± {part.std() / np.sqrt(some):.2f} bits per pixel")
bits = dict(zip(looked_at, bits.reshape(-1, some).mean(axis=1), strict=True))
assert FAST or bits["held-out digits"] < bits["noise"]

# %% [markdown]
# Likelihood separates noise from digits clearly. Held-out digits need no more bits than training digits, a second sign that the
# model memorised nothing. But digits turned upside down are hardly less likely: the difference is about as large as its
# standard error. So a good likelihood does not prove that an image shows what it should. (Simple images are often said to be
# the likeliest of all. Here "all black" is not: this model never saw anything like it.) `minidiff study likelihood` compares
# this with the variational bound: [table and plot](../docs/studies.md#how-likely-does-the-model-find-real-digits).
#
# ## What does a denoising autoencoder do instead?
#
# A denoising autoencoder maps a noisy image to a clean one **in one evaluation**. It has the same task as the diffusion model's
# network, but it gets no timestep: it has to handle any noise level. It cannot generate an image from pure noise. But to remove
# noise, one evaluation may be enough.

# %%
def clean_up(net, x0, rng, cond=None):
    """The network must remove added noise of a standard deviation up to 1.6."""
    std = 0.05 + 1.55 * rng.random((len(x0), 1, 1, 1), dtype=x0.dtype)
    y, back_net = net(x0 + std * rng.standard_normal(x0.shape, dtype=x0.dtype))
    error = y - x0
    return (error**2).mean(), lambda dloss=1.0: back_net(2 * dloss * error / error.size)


autoencoder = fit(DenoisingAutoencoder(width=24, rng=0), clean_up, digits, 4 if FAST else 400, batch_size=48)
pure_noise = 1.6 * Rng(4).standard_normal((10, 8, 8, 1))
viz.show_grid(np.concatenate([autoencoder.predict(pure_noise), samples[:10]]), columns=10, scale=0.6,
              rows=["autoencoder", "diffusion model"], title="Outputs from pure noise")  # fmt: skip

# %% [markdown]
# ## Can I clean up my own noisy photo with it?
#
# The usual answer is: not directly, since you would have to know the matching $t$. But $t$ can be estimated. Suppose the photo
# is $y = x_0 + s\,\epsilon$ with an unknown noise level $s$. Then $a_t\,y$ is an $x_t$ for the $t$ at which $\sigma_t/a_t = s$.
# Now give the denoiser other timesteps. If $t$ is too low, it finds more noise than that $t$ allows: the squares of
# $\hat\epsilon$ sum to more than $D$, the number of pixels. If $t$ is too high, they sum to less. Call the difference the
# surplus, and sum it up from low $t$ to high. This sum is largest where the surplus changes from plus to minus, which is our
# estimate of $t$.

# %%
LEVELS = 8 if FAST else 40


def guess_t(y, levels=LEVELS):
    """The t that fits an image with unknown noise.   y (B, H, W, C)   ->   (B,)"""
    u = np.linspace(-schedule.log_snr(0) / 2, 7, levels)  # log of sigma / a, evenly from low to high
    times = [schedule.t_of_log_snr(-2 * level) for level in u]
    surplus = []
    for t in times:
        _, eps = denoiser(schedule.alpha(t) * y, t)
        surplus.append((eps**2).sum(axis=(1, 2, 3)) - y[0].size)
    return np.array(times)[np.cumsum(surplus, axis=0).argmax(axis=0)]


photos = unseen[::7][: 3 if FAST else 30]
for s in (0.1, 0.4, 1.0):
    noisy = photos + s * Rng(5).standard_normal(photos.shape)
    ours = guess_t(noisy)
    library = estimate_t(denoiser, noisy, scaled=False, levels=LEVELS, divergence="unit")
    better = estimate_t(denoiser, noisy, scaled=False, levels=LEVELS // 2, rng=0)
    true_t = t_of_noise_std(schedule, s, scaled=False)
    print(f"noise level {s}: true t {true_t:4.0f}; mean estimate of this chapter {ours.mean():4.0f}, "
          f"of minidiff by this method {library.mean():4.0f}, by its better method {better.mean():4.0f}")
    assert np.median(np.abs(ours - library)) < 150  # a step or so of the search

# %% [markdown]
# This estimate of $t$ is too low, and most so for weak noise. There, the denoiser cannot separate much of the noise from the
# digit's texture, so $\hat\epsilon$ is too small. The library's better estimate counts only the directions in which the
# denoiser finds noise. Their number is again the trace of a Jacobian, and the estimate is near the true $t$.
#
# Now we remove the noise, in four ways:
#
# - the autoencoder;
# - one evaluation of the diffusion model at the estimated $t$;
# - one evaluation at the true $t$;
# - the chain: ten DDIM steps from the estimated $t$ down to almost no noise.
#
# The score is the **PSNR** (peak signal-to-noise ratio), in decibels. For pixels from -1 to 1 it is
# $10 \log_{10}(4 / \text{mean squared error})$; 3 dB more is half the error.

# %%
def psnr(made, truth):
    return 10 * np.log10(4 / ((np.clip(made, -1, 1) - truth) ** 2).mean())


def one_evaluation(y, t):
    return denoiser(schedule.alpha(t)[:, None, None, None].astype(y.dtype) * y, t)[0]


def chain(y, t, steps=3 if FAST else 10):
    """DDIM from each image's t down to nearly 0, and one last evaluation."""
    x, t = schedule.alpha(t)[:, None, None, None].astype(y.dtype) * y, np.maximum(t, 1.0)
    for k in range(steps):
        x0, eps = denoiser(x, t * (1 - k / steps))
        a, sigma = (c[:, None, None, None].astype(y.dtype) for c in (schedule.alpha(t * (1 - (k + 1) / steps)),
                                                                    schedule.sigma(t * (1 - (k + 1) / steps))))  # fmt: skip
        x = a * x0 + sigma * eps
    return x0


def clean(noisy, s):
    """{way: images}, and the estimated t."""
    t = estimate_t(denoiser, noisy, scaled=False, levels=LEVELS // 2, rng=0)
    true_t = np.full(len(noisy), t_of_noise_std(schedule, s, scaled=False))
    return {"noisy image": noisy, "autoencoder": autoencoder.predict(noisy), "one evaluation": one_evaluation(noisy, t),
            "one evaluation, true t": one_evaluation(noisy, true_t), "chain": chain(noisy, t)}, t  # fmt: skip


strengths, cleaned = (0.1, 0.2, 0.4, 0.7, 1.0, 1.5)[: 4 if FAST else None], {}
for s in strengths:
    cleaned[s], _ = clean(photos + s * Rng(6).standard_normal(photos.shape), s)
ways = list(cleaned[0.4])
print("PSNR in dB, noise level", *(f"{s:6}" for s in strengths))
table = {way: [psnr(cleaned[s][way], photos) for s in strengths] for way in ways}
for way, line in table.items():
    print(f"{way:23}", *(f"{value:6.1f}" for value in line))
assert all(best > plain for best, plain in zip(table["autoencoder"][3:], table["noisy image"][3:], strict=True)) or FAST

figure = viz.new_figure(6.2, 3.6, "tight")
axes = figure.add_subplot()
for (way, line), colour in zip(table.items(), (viz.COLOURS[7], *viz.COLOURS), strict=False):
    axes.plot(strengths, line, "o-", color=colour, markersize=4, label=way)
axes.set(xlabel="noise level s", ylabel="PSNR in dB", title="Held-out digits with Gaussian noise")
axes.legend(frameon=False, fontsize=9)
figure

# %%
shown = slice(0, 3 if FAST else 12)
ways_shown = ["noisy image", "autoencoder", "one evaluation", "chain"]
rows = [photos[shown]] + [cleaned[0.7][way][shown] for way in ways_shown]
viz.show_grid(np.concatenate(rows), columns=len(rows[0]), scale=0.62,
              rows=["original", "noise level 0.7", *ways_shown[1:]])  # fmt: skip

# %% [markdown]
# So the answer is yes. The model cleans images of unknown noise level, and the true $t$ gains 0.2 dB at most. Three results may
# surprise you:
#
# - The *plain autoencoder*, trained for just this task, needs no $t$ and is as good where the noise is strong.
# - Where the noise is weak, the autoencoder does harm. It redraws an image that needed no change. The diffusion model gets $t$
#   and leaves such an image nearly as it is.
# - **The chain makes the sharpest images but scores like one evaluation**, and a little worse in strong noise. The squared
#   error rewards the mean of all possible originals, which is blurred. The chain commits to one of these originals.
#
# ## And noise that is not Gaussian?
#
# Both models were trained on Gaussian noise. We try other noise of about the same strength $s = 0.5$:
#
# - *salt and pepper*: some pixels become black or white;
# - *stripes*: one number for a whole row of pixels;
# - *Laplace*: rare large errors.

# %%
def other_noise(kind, images, s, rng):
    if kind == "stripes":
        return s * rng.standard_normal((len(images), 8, 1, 1)) + 0 * images
    if kind == "Laplace":
        return rng.laplace(scale=s / np.sqrt(2), size=images.shape)
    if kind == "salt and pepper":
        hit = rng.random(images.shape) < s**2 / (1 + (images**2).mean())  # so that its mean square is s^2
        return np.where(hit, rng.choice([-1.0, 1.0], images.shape) - images, 0.0)
    return s * rng.standard_normal(images.shape)


s, kinds, pictures, by_kind = 0.5, ("Gaussian", "Laplace", "salt and pepper", "stripes"), [photos[shown]], {}
print("PSNR in dB".ljust(16), *(f"{way:>{len(way) + 1}}" for way in ways), "  estimated noise level (true: 0.5)")
for kind in kinds:
    noisy = (photos + other_noise(kind, photos, s, np.random.default_rng(8))).astype(np.float32)
    made, t = clean(noisy, s)
    by_kind[kind] = {way: psnr(made[way], photos) for way in ways}
    print(f"{kind:16}", *(f"{value:{len(way) + 1}.1f}" for way, value in by_kind[kind].items()),
          f"  {np.mean(schedule.sigma(t) / schedule.alpha(t)):.2f}")  # fmt: skip
    pictures += [noisy[shown], made["autoencoder"][shown], made["one evaluation"][shown]]

# %%
viz.show_grid(np.concatenate([*pictures[:1], *pictures[-6:]]), columns=len(photos[shown]), scale=0.62,
              rows=["original", *(name for kind in kinds[2:] for name in (kind, "autoencoder", "one evaluation"))])  # fmt: skip

# %% [markdown]
# Both models remove Laplace noise as well as Gaussian noise. Salt and pepper misleads the estimate of $t$. Most pixels are
# clean, so it finds about half of the noise. One evaluation at that $t$ scores a decibel less than at the right one. Stripes
# cost every method more than a decibel, even at the right $t$. The models were trained on noise without a pattern, so they take
# a pattern for part of the image. The noise of a real photo, after the camera's software has processed it, has patterns.
#
# `minidiff study noise_level` repeats this with three training seeds and five kinds of noise:
# [tables and plots](../docs/studies.md#can-i-clean-up-my-own-noisy-photo).
#
# ## Exercises
#
# Complete each function and run its cell. The lines below the function test it. They print "right", or what is probably wrong.
# Each exercise has two folded hints, a small one and a bigger one.
#
# **Exercise 1.** Compute the Fréchet distance of two Gaussians whose covariances are diagonal: means `m, n` and standard
# deviations `s, r`, all of shape `(D,)`.
#
# <details><summary>Hint</summary>
#
# With diagonal covariances the dimensions are independent. What is the distance in one dimension?
# </details>
# <details><summary>Bigger hint</summary>
#
# In the formula for many dimensions, $A$ and $B$ are diagonal, with the variances $s_i^2$ and $r_i^2$. The diagonal of
# $(AB)^{1/2}$ contains $s_i r_i$. The trace is then a sum over $i$ of a squared difference.
# </details>

# %%
def frechet_diagonal(m, s, n, r):
    ...  # return a number


if grading.answered(frechet_diagonal, np.zeros(2), np.ones(2), np.zeros(2), np.ones(2)):
    mistakes.find(frechet_diagonal, "14.frechet_diagonal")
    grading.same(frechet_diagonal(np.ones(3), np.ones(3), np.ones(3), np.ones(3)), 0.0, "the distance of a Gaussian to itself")
    print("exercise 1: right")

# %% [markdown]
# **Exercise 2.** Convert a log-density in nats to bits per dimension, for data with `levels` grey levels from -1 to 1. `log_p`
# contains one number for each image; `D` is the number of dimensions of an image.
#
# <details><summary>Hint</summary>
#
# The text above gives the formula for $D = 64$ and 17 levels. Which of its numbers come from $D$, and which from the levels?
# </details>
# <details><summary>Bigger hint</summary>
#
# A nat is $1/\log 2$ bits. The levels are bins of width $2/\text{levels}$. A density times this width is a probability, so the
# width adds the term $-\log_2(\text{width})$, once for each dimension.
# </details>

# %%
def bits_of(log_p, D, levels):
    ...  # return bits a dimension


if grading.answered(bits_of, found.log_p, 64, 17):
    mistakes.find(bits_of, "14.bits_of")
    grading.same(bits_of(found.log_p, 64, 17), bits_per_dim(found.log_p, 64, 17), "bits per dimension of the images above")
    grading.same(bits_of(-64 * np.log(2), 64, 16), 4.0, "bits per dimension of a flat density on [-1, 1], log2(16)")
    print("exercise 2: right")

# %% [markdown]
# **Exercise 3.** What share of a set of images are copies? Choose the threshold distance so that a share `share` of the
# held-out digits is nearer to a training digit. Return the share of the images that are nearer than this threshold.
#
# <details><summary>Hint</summary>
#
# `metrics.nearest_distances(a, b)` returns the distances, and `np.quantile` of some of them is the threshold.
# </details>
# <details><summary>Bigger hint</summary>
#
# Real held-out digits are not copies, so they set the threshold: only `share` of *them* may lie below it. Then compare the
# images' distances with it. The mean of a boolean array is a share.
# </details>

# %%
def copied(images, train, held_out, share=0.01):
    ...  # return a number from 0 to 1


if grading.answered(copied, digits[:50], digits, unseen):
    mistakes.find(copied, "14.copied")
    grading.same(copied(digits[:50], digits, unseen), 1.0, "the share of copies among training digits")
    print(f"exercise 3: right; copies among the samples {copied(samples, digits, unseen):.1%}, "
          f"among those of the model trained on 16 digits {copied(parroted, few, unseen):.1%}")  # fmt: skip

# %% [markdown]
# **Exercise 4.** The mean of several draws of a sharp method comes close to the mean of all possible originals. Denoise one
# image with the *random* chain `draw(y, t, seed)`, once for each seed, and return the mean of the results.
#
# <details><summary>Hint</summary>
#
# Every draw starts from the same noisy `y`; only the seed differs.
# </details>
# <details><summary>Bigger hint</summary>
#
# Collect the draws in a list. Converted to an array, they have a new first axis, over the draws. Take the mean over this axis
# alone.
# </details>

# %%
def mean_of_draws(draw, y, t, seeds):
    ...  # return images of y's shape


def draw(y, t, seed):
    """DDPM from t, the same for all images, in 10 steps."""
    start = schedule.alpha(float(t[0])) * y
    times = np.unique(np.linspace(0, t[0], 6 if FAST else 11).astype(int))[:0:-1]
    return sample("ddpm_respaced", denoiser, y.shape, x=start, steps=times, rng=seed)


t_known = np.full(len(photos), t_of_noise_std(schedule, 0.7, scaled=False))
noisy = cleaned[0.7]["noisy image"]
if grading.answered(mean_of_draws, draw, noisy, t_known, range(2)):
    mistakes.find(mean_of_draws, "14.mean_of_draws")
    single, many = psnr(draw(noisy, t_known, 0), photos), psnr(mean_of_draws(draw, noisy, t_known, range(8)), photos)
    assert many > single
    once = table["one evaluation"][3]
    print(f"exercise 4: right; one draw {single:.1f} dB, the mean of 8 {many:.1f} dB, one evaluation {once:.1f} dB")

# %% [markdown]
# The answers are in [docs/answers/14.py](../docs/answers/14.py), together with the hidden tests for graded assignments.
