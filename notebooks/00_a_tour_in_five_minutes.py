# %% [markdown]
# # 0. A tour in five minutes
#
# How can a program draw an image that nobody has drawn before? The idea behind most of today's image generators fits into five
# minutes. **A network that has learned to remove a little noise from images can turn pure noise into an image.** This chapter
# shows all of it, from the data to new samples, with handwritten digits. You only need a little Python. Later chapters explain
# each step.
#
# {{install}}
# The code below needs neither the internet nor a GPU.
#
# **To run.** Press shift and enter in each grey cell, from top to bottom.

# %%
import os

import numpy as np

from minidiff import data, grading, metrics, mistakes, models, sample, training, viz
from minidiff.diffusion import Schedule, SimpleLoss, cfg
from minidiff.rng import Rng

FAST = bool(os.environ.get("MINIDIFF_FAST"))  # the tests set this: everything runs, with smaller numbers
digits, labels = data.load("digits")  # images, and the digit that each one shows
print(f"{len(digits)} images of 8 x 8 pixels, from {digits.min():g} (black) to {digits.max():g} (white)")
assert digits.shape[1:] == (8, 8, 1)
viz.show_grid(digits[:30], columns=15, title="Training images: handwritten digits")

# %% [markdown]
# ## 1. Add noise to an image
#
# *Noise* here means one random number for each pixel. We mix an image with noise in 1000 proportions. Mixture 0 is nearly the
# clean image, and mixture 999 is nearly pure noise. The number of the mixture is called the
# **[timestep](../docs/glossary.md#timestep)** $t$. A list that is fixed in advance, the
# *[noise schedule](../docs/glossary.md#noise-schedule)*, gives the amount of image, `alpha`, and the amount of noise, `sigma`,
# at each timestep:

# %%
schedule = Schedule.cosine(1000)


def mix(picture, noise, t):
    return schedule.alpha(t) * picture + schedule.sigma(t) * noise


times = [0, 100, 200, 300, 400, 500, 600, 700, 850, 999]
noise = Rng(0).standard_normal((3, 8, 8, 1))
rows = [mix(digits[k], noise[k], t) for k in range(3) for t in times]
assert np.allclose(mix(digits[:3], noise, 999), noise, atol=0.01)  # at t = 999 nothing of the image is left
viz.show_grid(np.stack(rows), columns=10, titles=[f"t = {t}" for t in times] + [""] * 20)

# %% [markdown]
# ([Chapter 3](03_adding_noise.ipynb) explains this step by step.) Adding noise is easy. Removing it is the hard part.
#
# ## 2. Train a network to remove noise
#
# A **network** is a function with many adjustable numbers, its *[parameters](../docs/glossary.md#parameter)*; this one has
# about 70 thousand. *Training* repeats one step a thousand times. The network gets a batch of noisy images and predicts what is
# in them. One number, the **loss**, measures how wrong the prediction is. Then every parameter changes a little, in the
# direction that lowers the loss. A calculation called the *[backward pass](../docs/glossary.md#backward-pass)* finds this
# direction, and this course writes it by hand ([chapter 1](01_backward_by_hand.ipynb)).
#
# The network takes three inputs: the noisy image, the timestep $t$, and the [class label](../docs/glossary.md#class-label),
# which is the digit that the image shows. It predicts both parts of the mixture, the clean image and the noise. (Chapter
# [4](04_the_loss.ipynb) explains the loss, [5](05_telling_the_time.ipynb) the timestep, and [6](06_the_unet.ipynb) the parts of
# the network.)

# %%
network = models.UNet(in_channels=1, out_channels=1, block_out_channels=(16, 16), layers_per_block=1, norm_num_groups=4,
                      down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2, add_attention=False,
                      num_class_embeds=11, null_class=10, rng=0)  # fmt: skip
loss = SimpleLoss(schedule, "v")  # "v" combines image and noise into one target per pixel (chapter 4)
trainer = training.Trainer(network, loss, digits, labels, steps=10 if FAST else 1000, batch_size=32, lr=3e-3, warmup=10,
                           ema_decay=0.98)  # fmt: skip
history = trainer.run(progress=False)
network.load_state(trainer.ema.state())  # the moving average of its weights
guesser = loss.denoiser(network)
print(f"{network.size():,} parameters; loss {history.loss[0]:.2f} in the first step, "
      f"{np.mean(history.loss[-50:]):.2f} on average in the last 50")  # fmt: skip
assert np.mean(history.loss[-5:]) < history.loss[0]
viz.plot_loss(history.loss, title="Training loss")

# %% [markdown]
# ## 3. What does the network predict?
#
# Here is a digit that was not among the training images, at several timesteps. The upper row shows the network's input, the
# lower row its prediction of the clean image:

# %%
unseen, their_labels = data.load("digits", split="test")
shown = [mix(unseen[40:41], noise[:1], t) for t in times]
guessed = [guesser(x, t, their_labels[40:41])[0] for x, t in zip(shown, times, strict=True)]
wrong = [float(np.abs(guess - unseen[40:41]).mean()) for guess in guessed]
by_t = ", ".join(f"{w:.2f} at t = {t}" for w, t in zip(wrong[::3], times[::3], strict=True))
print("mean absolute error of a predicted pixel:", by_t)
assert wrong[0] < wrong[-1]
titles = [f"t = {t}" for t in times] + [""] * 10
viz.show_grid(np.concatenate(shown + guessed), columns=10, titles=titles, rows=["input", "prediction"])

# %% [markdown]
# At small $t$ the prediction is nearly right. At large $t$ it is a blur, and a blur is the right answer: many digits could have
# led to this input, and the mean of all of them is blurred. So one prediction is not enough to draw an image.
#
# ## 4. Draw new images
#
# The remedy is to **move only a little towards the prediction, and then to predict again.** Start from pure noise. Let the
# network split it into image and noise. Mix the two again as at an *earlier* timestep, with slightly more image and slightly
# less noise. Repeat until $t = 0$. This is the whole program:

# %%
def draw(x, labels, steps=25):
    """Turn noise x into images.   -> the states on the way; the last one is the images"""
    way, states = [t * (1000 // steps) for t in reversed(range(steps))], []
    for t, earlier in zip(way, [*way[1:], None], strict=True):
        picture, its_noise = guesser(x, t, labels)
        x = picture if earlier is None else mix(picture, its_noise, earlier)
        states.append(x)
    return states


start = Rng(1).standard_normal((4, 8, 8, 1))
states = draw(start, np.array([3, 5, 8, 0]))
taken = [0, 3, 6, 9, 12, 15, 18, 20, 22, 24, 25]
film = [[start, *states][n][k] for k in range(4) for n in taken]
viz.show_grid(np.stack(film), columns=11, titles=[f"{n} steps" for n in taken] + [""] * 33)

# %% [markdown]
# This algorithm is called [DDIM](../docs/glossary.md#ddim). minidiff has it, and a dozen other
# [samplers](../docs/glossary.md#sampler), as one function call. Its result agrees with the loop above:

# %%
theirs = sample("ddim", guesser, start.shape, steps=25, x=start, cond=np.array([3, 5, 8, 0]))
print(f"this loop and minidiff's DDIM differ by at most {np.abs(theirs - states[-1]).max():.0e}")
assert np.allclose(theirs, states[-1], atol=1e-4)

# %% [markdown]
# ([Chapter 7](07_ddpm.ipynb) takes all thousand steps, [8](08_skipping_steps.ipynb) skips most of them, and
# [9](09_ode_and_sde.ipynb) needs only ten.)
#
# ## 5. Choose the digit
#
# The class labels above were 3, 5, 8 and 0. *Guidance* makes the samples follow their labels more closely. The network predicts
# twice, once with and once without the label, and the sampler exaggerates the difference
# ([chapter 10](10_classes_and_guidance.ipynb)):

# %%
wanted, steps = np.arange(10), 5 if FAST else 25
x = Rng(2).standard_normal((10, 8, 8, 1))
plain = sample("ddim", guesser, x.shape, steps=steps, x=x, cond=wanted)
guided = sample("ddim", cfg(guesser, wanted, weight=1.0), x.shape, steps=steps, x=x)
read = slice(200 if FAST else None)
judge = metrics.train_classifier(digits[read], labels[read], epochs=1 if FAST else 8, width=4 if FAST else 16)
many, count = np.repeat(wanted, 3 if FAST else 20), 30 if FAST else 200
x = Rng(3).standard_normal((count, 8, 8, 1))
for name, weight in (("unguided", 0.0), ("guided", 1.0)):
    made = sample("ddim", cfg(guesser, many, weight), x.shape, steps=steps, x=x)
    seen = metrics.accuracy(judge, made, many)
    print(f"{name:8} samples: a classifier recognises the requested digit in {seen:.1%} of them")
viz.show_grid(np.concatenate([plain, guided]), columns=10, rows=["unguided", "guided"], title="Samples from the same noise")

# %% [markdown]
# ## 6. Does it only copy its training images?
#
# A network could store its training images and return them. To test this, we put below each guided digit the training image
# that is most similar to it:

# %%
flat, known = guided.reshape(10, 64), digits.reshape(-1, 64)
apart = ((flat[:, None] - known) ** 2).mean(axis=2) ** 0.5  # (10, 1437): the distance of each pair
nearest = digits[apart.argmin(axis=1)]
among_real = ((unseen.reshape(-1, 64)[:100, None] - known) ** 2).mean(axis=2) ** 0.5
print(f"median difference per pixel from the most similar training digit: samples {np.median(apart.min(axis=1)):.2f}, "
      f"held-out real digits {np.median(among_real.min(axis=1)):.2f}")  # fmt: skip
assert apart.min() > 0.02
viz.show_grid(np.concatenate([guided, nearest]), columns=10, rows=["sample", "most similar training image"])

# %% [markdown]
# The digits are similar to training images, but none is a copy. ([Chapter 14](14_how_good_is_it.ipynb) measures this with more
# care.)
#
# ## Where to go from here
#
# | question | chapter |
# |---|---|
# | How are the gradients computed? | [1](01_backward_by_hand.ipynb), [2](02_convolution_and_group_norm.ipynb) |
# | How is noise added? Is the schedule learned? | [3](03_adding_noise.ipynb) |
# | Why predict the noise and not the image? | [4](04_the_loss.ipynb) |
# | What if the network does not get $t$? | [5](05_telling_the_time.ipynb) |
# | What are the parts of the network? | [6](06_the_unet.ipynb) |
# | How does sampling start without an image? | [7](07_ddpm.ipynb) |
# | Can I skip steps? | [8](08_skipping_steps.ipynb), [9](09_ode_and_sde.ipynb) |
# | What does the guidance weight do? | [10](10_classes_and_guidance.ipynb) |
#
# ## Exercises
#
# Complete each function: replace the three dots by your lines, then run the cell. The lines below the function test it. They
# print "right", or what is probably wrong. Each exercise has two folded hints, a small one and a bigger one.
#
# **Exercise 1.** The schedule chooses `alpha` and `sigma` so that the sum of their squares is 1. Compute `sigma` from `alpha`.
#
# <details><summary>Hint</summary>
#
# Write "the sum of their squares is 1" as an equation with two unknowns. Solve it for `sigma`.
# </details>
# <details><summary>Bigger hint</summary>
#
# $\sigma^2$ is 1 minus the square of the other amount. In Python a square is `alpha**2`, and the square root is `np.sqrt`.
# </details>

# %%
def sigma_of(alpha):
    ...  # return sigma


if grading.answered(sigma_of, 0.6):
    mistakes.find(sigma_of, "00.sigma_of")
    assert np.isclose(sigma_of(schedule.alpha(300)), schedule.sigma(300))
    print("exercise 1: right")

# %% [markdown]
# **Exercise 2.** Given the mixture, the noise in it and the timestep, recover the image.
#
# <details><summary>Hint</summary>
#
# `mix` is one line. It multiplies, and then it adds. Undo both, in reverse order.
# </details>
# <details><summary>Bigger hint</summary>
#
# First subtract what the noise contributed; `mix` did not add the whole noise. The rest is the image times `alpha` at this
# timestep, which the schedule gives. Take care with the parentheses.
# </details>

# %%
def unmix(mixture, noise, t):
    ...  # return the image


if grading.answered(unmix, noise, noise, 500):
    mistakes.find(unmix, "00.unmix")
    grading.same(unmix(mix(digits[:3], noise, 500), noise, 500), digits[:3], "three digits", rtol=1e-4, atol=1e-4)
    print("exercise 2: right")

# %% [markdown]
# **Exercise 3.** Let the network draw the year in which you were born.
#
# <details><summary>Hint</summary>
#
# `draw` does this in section 4. What are its arguments, and what does it return?
# </details>
# <details><summary>Bigger hint</summary>
#
# `draw` takes noise for four images and an array of four digits, such as `np.array([3, 5, 8, 0])`. It returns the list of all
# states on the way; `states[-1]` is the last entry of a list `states`.
# </details>

# %%
def my_year(noise):
    ...  # noise (4, 8, 8, 1) -> images (4, 8, 8, 1)


year = states[-1]
if grading.answered(my_year, Rng(4).standard_normal((4, 8, 8, 1))):
    mistakes.find(my_year, "00.my_year")
    year = my_year(Rng(4).standard_normal((4, 8, 8, 1)))
    print("exercise 3: right")
viz.show_grid(year, columns=4, title="The year 3580" if year is states[-1] else "Your year of birth")

# %% [markdown]
# The answers are in [docs/answers/00.py](../docs/answers/00.py), together with the hidden tests for graded assignments.
