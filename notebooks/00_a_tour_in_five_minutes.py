# %% [markdown]
# # 0. A tour in five minutes
#
# How can a program draw a picture that nobody drew before? The idea behind most of today's picture makers is simple enough
# for five minutes: **a program that has learned to take a little noise out of pictures can make pictures out of nothing but
# noise.** Here it is from beginning to end, with handwritten digits. Nothing has to be known beforehand, except a little
# Python. Every step has its own chapter later.
#
# {{install}}
# Nothing below needs a network or a graphics card.
#
# **To run.** Press shift and enter in each grey cell, from the top to the bottom.

# %%
import os

import numpy as np

from minidiff import data, grading, metrics, mistakes, models, sample, training, viz
from minidiff.diffusion import Schedule, SimpleLoss, cfg
from minidiff.rng import Rng

FAST = bool(os.environ.get("MINIDIFF_FAST"))  # the tests set this: everything runs, with smaller numbers
digits, labels = data.load("digits")  # pictures, and which digit each one shows
print(f"{len(digits)} pictures of 8 x 8 numbers, from {digits.min():g} (black) to {digits.max():g} (white)")
assert digits.shape[1:] == (8, 8, 1)
viz.show_grid(digits[:30], columns=15, title="Digits that people wrote")

# %% [markdown]
# ## 1. Drown a picture in noise
#
# *Noise* is one random number for each pixel. Mix a picture with noise: much picture and little noise at first, then less and
# less picture. We number the mixtures from 0 (nearly clean) to 999 (nearly nothing but noise) and call this number the
# **time** $t$. How much of each goes in at which time is written down in advance, in a list called the *schedule*:

# %%
schedule = Schedule.cosine(1000)


def mix(picture, noise, t):
    return schedule.alpha(t) * picture + schedule.sigma(t) * noise


times = [0, 100, 200, 300, 400, 500, 600, 700, 850, 999]
noise = Rng(0).standard_normal((3, 8, 8, 1))
rows = [mix(digits[k], noise[k], t) for k in range(3) for t in times]
assert np.allclose(mix(digits[:3], noise, 999), noise, atol=0.01)  # at the end nothing of the picture is left
viz.show_grid(np.stack(rows), columns=10, titles=[f"t = {t}" for t in times] + [""] * 20)

# %% [markdown]
# ([Chapter 3](03_adding_noise.ipynb) builds this slowly.) Adding noise is easy. The way back is the art.
#
# ## 2. Teach a network to see through noise
#
# A **network** is a formula with many adjustable numbers in it; ours has about 70 thousand. To *train* it means: show it a
# noisy picture, let it guess, measure how wrong the guess is (this number is called the **loss**), and turn all its numbers a
# little in the direction that makes it less wrong. Then the next pictures, a thousand times. Which direction that is comes
# out of a calculation called *[backward pass](../docs/glossary.md#backward-pass)*, which this course does by hand
# ([chapter 1](01_backward_by_hand.ipynb)).
#
# The network is told the noisy picture, the time $t$, and which digit it is meant to be. It guesses what was mixed,
# the picture and the noise. ([Chapter 4](04_the_loss.ipynb) on the loss, [5](05_telling_the_time.ipynb) on the time,
# [6](06_the_unet.ipynb) on what is in the network.)

# %%
network = models.UNet(in_channels=1, out_channels=1, block_out_channels=(16, 16), layers_per_block=1, norm_num_groups=4,
                      down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2, add_attention=False,
                      num_class_embeds=11, null_class=10, rng=0)  # fmt: skip
loss = SimpleLoss(schedule, "v")  # "v": a way to write picture and noise in one number a pixel (chapter 4)
trainer = training.Trainer(network, loss, digits, labels, steps=10 if FAST else 1000, batch_size=32, lr=3e-3, warmup=10,
                           ema_decay=0.98)  # fmt: skip
history = trainer.run(progress=False)
network.load_state(trainer.ema.state())  # the mean of its last states
guesser = loss.denoiser(network)
print(f"{network.size():,} adjustable numbers; loss {history.loss[0]:.2f} at first, {np.mean(history.loss[-50:]):.2f} at last")
assert np.mean(history.loss[-5:]) < history.loss[0]
viz.plot_loss(history.loss, title="The loss, while it learns")

# %% [markdown]
# ## 3. What does it see in the noise?
#
# A digit that the network has never met, at several times. Above what it is shown, below its guess of the clean picture:

# %%
unseen, their_labels = data.load("digits", split="test")
shown = [mix(unseen[40:41], noise[:1], t) for t in times]
guessed = [guesser(x, t, their_labels[40:41])[0] for x, t in zip(shown, times, strict=True)]
wrong = [float(np.abs(guess - unseen[40:41]).mean()) for guess in guessed]
print("a pixel of the guess is off by", ", ".join(f"{w:.2f} at t = {t}" for w, t in zip(wrong[::3], times[::3], strict=True)))
assert wrong[0] < wrong[-1]
viz.show_grid(np.concatenate(shown + guessed), columns=10, titles=[f"t = {t}" for t in times] + [""] * 10)

# %% [markdown]
# With little noise it is nearly right. From much noise it guesses a blur, and rightly so: it cannot know, and a blur is the
# mean of all that it might be. So one guess is not enough to draw a picture.
#
# ## 4. Draw
#
# The trick: **do not believe the first guess; move a little towards it, and ask again.** Start from pure noise. Ask the
# network what is picture and what is noise in it. Mix the two again, but as at an *earlier* time, with slightly more picture
# and less noise. Repeat until the time is 0. That is the whole program:

# %%
def draw(x, labels, steps=25):
    """From noise to pictures.   -> the states on the way, the last one the picture"""
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
# This way of walking is called [DDIM](../docs/glossary.md#ddim). In minidiff it and a dozen others are one line, and ours
# agrees with it:

# %%
theirs = sample("ddim", guesser, start.shape, steps=25, x=start, cond=np.array([3, 5, 8, 0]))
print(f"ours and the library's differ by at most {np.abs(theirs - states[-1]).max():.0e}")
assert np.allclose(theirs, states[-1], atol=1e-4)

# %% [markdown]
# ([Chapter 7](07_ddpm.ipynb) walks all thousand steps, [8](08_skipping_steps.ipynb) skips most of them, and
# [9](09_ode_and_sde.ipynb) gets by with ten.)
#
# ## 5. Say what you want
#
# We asked for a 3, a 5, an 8 and a 0. One can also make the network listen *harder* than it does by itself: ask it twice, with
# and without saying which digit, and exaggerate the difference. This is called *guidance*
# ([chapter 10](10_classes_and_guidance.ipynb)):

# %%
wanted = np.arange(10)
x = Rng(2).standard_normal((10, 8, 8, 1))
plain = sample("ddim", guesser, x.shape, steps=25, x=x, cond=wanted)
guided = sample("ddim", cfg(guesser, wanted, weight=1.0), x.shape, steps=25, x=x)
read = slice(200 if FAST else None)
judge = metrics.train_classifier(digits[read], labels[read], epochs=1 if FAST else 8, width=4 if FAST else 16)
many, count = np.repeat(wanted, 3 if FAST else 20), 30 if FAST else 200
x = Rng(3).standard_normal((count, 8, 8, 1))
for name, weight in (("plain", 0.0), ("guided", 1.0)):
    made = sample("ddim", cfg(guesser, many, weight), x.shape, steps=25, x=x)
    print(f"{name:6}: a second network, trained to read digits, reads it right in {metrics.accuracy(judge, made, many):.1%}")
viz.show_grid(np.concatenate([plain, guided]), columns=10, title="From the same noise: plain above, guided below")

# %% [markdown]
# ## 6. Has it only learned them by heart?
#
# The question everybody should ask. For each guided digit, below it, the most similar one of all the pictures that it was
# trained on:

# %%
flat, known = guided.reshape(10, 64), digits.reshape(-1, 64)
apart = ((flat[:, None] - known) ** 2).mean(axis=2) ** 0.5  # (10, 1437): how different each pair is
nearest = digits[apart.argmin(axis=1)]
among_real = ((unseen.reshape(-1, 64)[:100, None] - known) ** 2).mean(axis=2) ** 0.5
print(f"typical difference of a pixel to the most similar training digit: drawn {np.median(apart.min(axis=1)):.2f}, "
      f"real ones that it has never seen {np.median(among_real.min(axis=1)):.2f}")  # fmt: skip
assert apart.min() > 0.02
viz.show_grid(np.concatenate([guided, nearest]), columns=10, title="Drawn, and below the most similar that it had seen")

# %% [markdown]
# Alike, but no copies. (Chapter 14 measures this with more care.)
#
# ## Where to go from here
#
# | if you ask | read |
# |---|---|
# | How is all this computed, backwards too? | [1](01_backward_by_hand.ipynb), [2](02_convolution_and_group_norm.ipynb) |
# | How is noise added? Is the schedule learned? | [3](03_adding_noise.ipynb) |
# | Why predict the noise and not the picture? | [4](04_the_loss.ipynb) |
# | What if the network is not told $t$? | [5](05_telling_the_time.ipynb) |
# | What is in the network? | [6](06_the_unet.ipynb) |
# | Where does a picture come from, if there is none? | [7](07_ddpm.ipynb) |
# | Can I skip steps? | [8](08_skipping_steps.ipynb), [9](09_ode_and_sde.ipynb) |
# | What does the guidance weight do? | [10](10_classes_and_guidance.ipynb) |
#
# ## Exercises
#
# Fill in each function (put your lines where the three dots are) and run its cell. The lines below the function test it. They
# print "right", or what is probably wrong. Two hints are folded under each exercise, a small one and a bigger one.
#
# **Exercise 1.** How much noise, if so much image? The two amounts `alpha` and `sigma` are chosen so that the sum of their
# squares is 1.
#
# <details><summary>Hint</summary>
#
# Write "the sum of their squares is 1" as an equation with two letters. Solve it for `sigma`.
# </details>
# <details><summary>Bigger hint</summary>
#
# $\sigma^2$ is 1 less the square of the other amount. A square is written `alpha**2`, and the square root is `np.sqrt`.
# </details>

# %%
def sigma_of(alpha):
    ...  # return sigma


if grading.answered(sigma_of, 0.6):
    mistakes.find(sigma_of, "00.sigma_of")
    assert np.isclose(sigma_of(schedule.alpha(300)), schedule.sigma(300))
    print("exercise 1: right")

# %% [markdown]
# **Exercise 2.** You get the mixture, the noise in it, and the time. Get the image back.
#
# <details><summary>Hint</summary>
#
# Look at the one line of `mix`. It multiplies, and then it adds. Undo this in reverse order.
# </details>
# <details><summary>Bigger hint</summary>
#
# First take away what the noise added, and `mix` did not add the whole noise. What is left is the image times its amount at
# this time, which `mix` asks the schedule for. Mind the brackets.
# </details>

# %%
def unmix(mixture, noise, t):
    ...  # return the image


if grading.answered(unmix, noise, noise, 500):
    mistakes.find(unmix, "00.unmix")
    grading.same(unmix(mix(digits[:3], noise, 500), noise, 500), digits[:3], "three digits", rtol=1e-4, atol=1e-4)
    print("exercise 2: right")

# %% [markdown]
# **Exercise 3.** Let the network write the year in which you were born.
#
# <details><summary>Hint</summary>
#
# `draw` does it, as in section 4. What does it take, and what does it return?
# </details>
# <details><summary>Bigger hint</summary>
#
# It takes noise, four images of it, and an array of four digits such as `np.array([3, 5, 8, 0])`. It returns a list of all the
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
viz.show_grid(year, columns=4, title="3580" if year is states[-1] else "A year")

# %% [markdown]
# The answers stand in [docs/answers/00.py](../docs/answers/00.py), with the hidden tests of a teacher who grades.
