# %% [markdown]
# # 12. Three systems in miniature
#
# A denoiser that listens to a text (chapter 11) is not yet Stable Diffusion. Each of the famous systems puts something around
# it, so that large pictures do not cost too much: **Stable Diffusion** works on a compressed picture, **Imagen** makes a
# small picture first and enlarges it, **DALL-E 2** first imagines what the picture would *mean*. minidiff ships all three,
# trained from nothing on its captioned shapes, a few megabytes in all. We take them apart, look at what passes between the
# parts, and let a program count how often each obeys.
#
# {{install}}
# The code below needs neither the internet nor a GPU.
#
# **What you should know already.** Predicting $v$ (chapter 4), samplers (chapters 8 and 9), guidance (chapter 10), text
# encoders and cross-attention (chapter 11).

# %%
import os

import numpy as np

from minidiff import grading, mistakes, ops, recipes, sample, samplers, viz
from minidiff.data import captioned_shapes, checker
from minidiff.diffusion import Denoiser, cfg, clip_x0, dynamic_threshold
from minidiff.models import LowResolution
from minidiff.recipes import dalle2, imagen, stable_diffusion
from minidiff.rng import Rng

FAST = bool(os.environ.get("MINIDIFF_FAST"))  # the tests set this: everything runs, with smaller numbers
STEPS = 2 if FAST else None  # of the samplers; None: what each system takes by itself

# %% [markdown]
# ## What are Stable Diffusion, Imagen and DALL-E 2 made of?
#
# The usual answer: latents and CLIP; T5 and a cascade; a prior and a decoder. Here are the parts, under their papers' names.

# %%
systems = {name: recipes.load(name) for name in ("stable_diffusion", "imagen", "dalle2")}
ROLES = {
    "clip": "CLIP: text encoder, trained against an image encoder", "language": "language-only text encoder (T5's place)",
    "autoencoder": "KL autoencoder: picture <-> latent", "unet": "denoises latents, cross-attention on the text",
    "base": "denoises 16 x 16 pixels, cross-attention on the text", "upsampler": "super-resolution, 16 x 16 -> 32 x 32",
    "prior": "denoises image embeddings, told of the text", "decoder": "denoises pixels, told of an image embedding",
}  # fmt: skip
for name, system in systems.items():
    print(f"{name}: {sum(net.size() for net in system.parts.values()):,} parameters")
    for part, net in system.parts.items():
        print(f"    {part:12} {net.size():9,}   {ROLES[part]}")

# %%
prompts = ["a large red circle", "a small green square on the left", "a blue triangle at the top", "a large purple cross",
           "a yellow circle at the bottom right", "a red square above a blue cross", "two green circles",
           "a red triangle"]  # fmt: skip
prompts = prompts[:2] if FAST else prompts
drawn = {name: system.draw(prompts, rng=2, steps=STEPS) for name, system in systems.items()}
holds = {name: checker.check(images, prompts) for name, images in drawn.items()}
print("obeyed, by the checker:", ", ".join(f"{name} {ok.sum()} of {len(ok)}" for name, ok in holds.items()))
NAMES = ["Stable Diffusion", "Imagen", "DALL-E 2"]
titles = prompts + [""] * (2 * len(prompts))
viz.show_grid(np.concatenate(list(drawn.values())), columns=len(prompts), titles=titles, rows=NAMES)

# %% [markdown]
# ## Stable Diffusion
#
# ### Why not denoise the pixels themselves?
#
# Because most of them say nothing. An *autoencoder* squeezes the picture into a **latent**, and another network makes the
# picture of it again. The diffusion happens in between, on far fewer numbers (Rombach and others, 2022).

# %%
autoencoder = systems["stable_diffusion"].parts["autoencoder"]
images, captions = captioned_shapes(4 if FAST else 100, 32, rng=0)
latents = autoencoder.to_latent(images)
back = autoencoder.from_latent(latents)
print(f"{images[0].size} numbers a picture -> {latents[0].size} a latent: {images[0].size // latents[0].size} times fewer")
psnr = 10 * np.log10(4 / ((back - images) ** 2).mean())
readable = checker.check(back.clip(-1, 1), captions).mean()
print(f"there and back: {psnr:.1f} dB, and {readable:.1%} of the pictures still satisfy their captions")
print(f"the latents' standard deviation: {latents.std():.2f}")
assert images[0].size == 12 * latents[0].size and abs(latents.std() - 1) < 0.2
assert FAST or readable > 0.8

# %% [markdown]
# What does not survive this, no diffusion can bring back: it is the *ceiling* of the system. And the latents have to be
# scaled to standard deviation 1 (`scaling_factor`, 0.18215 in the real one), for that is what the noise schedule is made for.
#
# "KL" means that the encoder gives a mean and a variance for each number, and the decoder is trained on a random draw. So it
# has to bear a little noise, and *that* is why the latents' neighbourhood is full of good pictures:

# %%
moments, _ = autoencoder.encode(images[:1])
spread = np.exp(0.5 * moments[..., latents.shape[-1] :]) * autoencoder.config["scaling_factor"]
print(f"the encoder's own uncertainty of a latent number: {spread.mean():.3f}, beside a standard deviation of 1")
shift = Rng(1).standard_normal(latents[:1].shape)
noisy = np.concatenate([autoencoder.from_latent(latents[:1] + s * shift) for s in (0, 0.1, 0.3, 0.6, 1.0)])
planes = np.moveaxis(latents[0], -1, 0)[..., None].repeat(4, axis=1).repeat(4, axis=2) / 3
planes = np.repeat(planes, 3, axis=3)  # grey, as large as the picture
viz.show_grid(np.concatenate([images[:1], planes, noisy]), columns=5,
              titles=["picture", *(f"latent, channel {i + 1}" for i in range(4)), "decoded",
                      *(f"latent + {s} noise" for s in (0.1, 0.3, 0.6, 1.0))])  # fmt: skip

# %% [markdown]
# ### The whole of it by hand
#
# Text to tokens, noise to latent by any sampler, latent to picture. One thing is not as in the paper: our nets look at the
# tokens *before* the text encoder's layers mix them. With so few words there is little to be mixed, and a pair that no
# training showed ("a red triangle") is then nothing new: two words that each are known.

# %%
def stable_diffusion_by_hand(parts, prompts, weight, rng, steps):
    text = stable_diffusion.encode_text(parts, prompts)  # the CLIP text encoder's tokens
    denoiser = cfg(Denoiser(parts["unet"], stable_diffusion.SCHEDULE, stable_diffusion.PREDICTS), text, weight)
    latents = sample("dpmpp_2m", denoiser, (len(prompts), 8, 8, 4), steps=steps, rng=rng)
    return parts["autoencoder"].from_latent(latents).clip(-1, 1)


system = systems["stable_diffusion"]
ours = stable_diffusion_by_hand(system.parts, prompts, system.recipe.guidance, Rng(2), STEPS or stable_diffusion.STEPS)
assert np.allclose(ours, drawn["stable_diffusion"], atol=1e-4)
print("the same pictures as the library's")

# %% [markdown]
# And on the way: the latent's guess of the clean latent, decoded at each step.

# %%
text = stable_diffusion.encode_text(system.parts, prompts[:2])
denoiser = cfg(Denoiser(system.parts["unet"], stable_diffusion.SCHEDULE, "v"), text, system.recipe.guidance)
walk = list(samplers.dpmpp_2m(denoiser, Rng(2).standard_normal((2, 8, 8, 4)), steps=STEPS or 20))
films = [autoencoder.from_latent(step.x0).clip(-1, 1) for step in walk]
viz.denoising_strip(films, times=[step.t for step in walk], samples=2, columns=8, title="What the latent will become")

# %% [markdown]
# ## Imagen
#
# ### Small first, then large
#
# Imagen (Saharia and others, 2022) stays with pixels, but makes 64 x 64 of them first. Two further models enlarge (a
# *cascade*). What a picture shows is decided while it is small and cheap. Ours: 16 x 16, then 32 x 32.

# %%
parts = systems["imagen"].parts
small = imagen.draw_small(parts, prompts, imagen.GUIDANCE, Rng(3), STEPS)
large = imagen.enlarge(parts, small, prompts, Rng(4), STEPS)
stretched = small.repeat(2, axis=1).repeat(2, axis=2).clip(-1, 1)
titles = prompts + [""] * len(prompts)
rows = ["base model", "super-resolution"]
viz.show_grid(np.concatenate([stretched, large]), columns=len(prompts), titles=titles, rows=rows)

# %% [markdown]
# How good is the enlarging alone? Take real pictures, shrink them, and enlarge them again: by repeating pixels, and by the
# model.

# %%
real, captions = captioned_shapes(2 if FAST else 40, 32, rng=5)
shrunk, _ = ops.avg_pool(real, 2)
repeated, enlarged = shrunk.repeat(2, axis=1).repeat(2, axis=2), imagen.enlarge(parts, shrunk, captions, Rng(6), STEPS)
ways = {"pixels repeated": repeated, "the model": enlarged}
for name, made in ways.items():
    print(f"{name:16} {10 * np.log10(4 / ((made - real) ** 2).mean()):.1f} dB from the real picture")

# %% [markdown]
# ### Why is noise put into the small picture?
#
# In training, the super-resolution model is shown *real* small pictures. In use it is shown the base model's, with their
# mistakes. It would copy each of them faithfully. So the small picture is noised a little, in training by random amounts and
# in use by a fixed one, and the model is told how much: **noise-conditioning augmentation**. It learns to trust the small
# picture no more than it deserves.

# %%
def enlarge_by_hand(parts, small, prompts, level, rng):
    context, mask, _ = imagen.encode_text(parts, prompts)
    a, sigma = imagen.SCHEDULE.alpha(level), imagen.SCHEDULE.sigma(level)
    noised = a * small + sigma * rng.standard_normal(small.shape)
    told = LowResolution(noised, np.full(len(small), level), context, mask)
    denoiser = dynamic_threshold(Denoiser(parts["upsampler"], imagen.SCHEDULE, "x0"), imagen.QUANTILE)
    shape = (len(small), 32, 32, 3)
    return sample("dpmpp_2m", denoiser, shape, steps=STEPS or imagen.UP_STEPS, rng=rng, cond=told).clip(-1, 1)


assert np.allclose(enlarge_by_hand(parts, small, prompts, imagen.LEVEL, Rng(4)), large, atol=1e-4)
damaged = shrunk + 0.35 * Rng(7).standard_normal(shrunk.shape)  # a base model with mistakes
levels = (0, 50, imagen.LEVEL, 200, 300)
print("level of noise added, of 1000:     ", *(f"{level:6}" for level in levels))
for name, given in (("given a perfect small picture", shrunk), ("given a damaged one", damaged)):
    made = [enlarge_by_hand(parts, given, captions, level, Rng(8)) for level in levels]
    print(f"{name:30} dB:", *(f"{10 * np.log10(4 / ((m - real) ** 2).mean()):6.1f}" for m in made))
    print(f"{'':18} captions that hold:", *(f"{checker.check(m, captions).mean():6.0%}" for m in made))

# %% [markdown]
# That is what is usually said. In this miniature it hardly pays: more noise takes the pictures further off, even when the
# small picture is damaged.
#
# ### What does dynamic thresholding do?
#
# Guidance drives the guessed picture beyond white and black. Clipping it back to $[-1, 1]$ at each step piles up pixels at
# the ends. Imagen's way: take the $s$ below which 99.5 % of the picture's sizes lie, and if it is above 1, clip to $[-s, s]$
# and *divide by $s$*. Everything moves inwards, and contrast is kept. (That share is for photographs. Our pictures are mostly
# white paper, which would turn grey; the miniature takes 90 %.)

# %%
def threshold(x0, quantile):
    s = np.maximum(np.quantile(np.abs(x0).reshape(len(x0), -1), quantile, axis=1), 1)[:, None, None, None].astype(x0.dtype)
    return np.clip(x0, -s, s) / s


wild = 1.7 * Rng(9).standard_normal((3, 16, 16, 3))
for share in (0.995, 0.9):
    library = dynamic_threshold(Denoiser(lambda x, t, cond: wild, imagen.SCHEDULE, "x0"), share)
    assert np.allclose(threshold(wild, share), library(wild, 500)[0], atol=1e-6)
assert imagen.QUANTILE == 0.9

text = imagen.encode_text(parts, prompts)
guided = cfg(Denoiser(parts["base"], imagen.SCHEDULE, imagen.PREDICTS), text, 8.0)
ways = {"nothing": guided, "clipping": clip_x0(guided), "dynamic thresholding": dynamic_threshold(guided, imagen.QUANTILE)}
results = {}
for name, denoiser in ways.items():
    results[name] = sample("dpmpp_2m", denoiser, (len(prompts), 16, 16, 3), steps=STEPS or imagen.STEPS, rng=10)
    print(f"w = 8, {name:21} beyond white or black {(np.abs(results[name]) > 1.02).mean():5.1%} of the numbers, "
          f"obeyed {checker.check(results[name].clip(-1, 1), prompts).sum()} of {len(prompts)}")  # fmt: skip

# %%
titles = prompts + [""] * (2 * len(prompts))
rows = ["nothing done", "clipped", "dynamic thresholding"]
viz.show_grid(np.concatenate(list(results.values())), columns=len(prompts), titles=titles, rows=rows, scale=0.85,
              title="Guidance 8 in pixels")  # fmt: skip

# %% [markdown]
# What is out of range is gone with either. By the checker's count, with so few prompts, neither is better than the other; the
# rows show what each does to colours.
#
# ## DALL-E 2
#
# ### First the meaning, then the picture
#
# CLIP gives a vector to every text and to every picture, and those of a pair point the same way. DALL-E 2 (Ramesh and others,
# 2022) turns this round: a **prior** makes, from a text, the vector that a *picture* of it could have. A **decoder** makes a
# picture of that vector. It never sees the text.

# %%
parts = systems["dalle2"].parts
images, captions = captioned_shapes(8 if FAST else 200, 32, rng=11, kinds=("single", "position"))
of_images = dalle2.encode_images(parts, images)
of_texts = dalle2.encode_text(parts, captions).labels
imagined = dalle2.imagine(parts, captions, dalle2.GUIDANCE, Rng(12), STEPS)


def cosine(a, b):
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


near = {"the text's own vector": cosine(of_texts, of_images).mean(), "the prior's": cosine(imagined, of_images).mean(),
        "another picture's": cosine(of_images[1:], of_images[:-1]).mean()}  # fmt: skip
print("cosine with the vector of the caption's real picture:", ", ".join(f"{name} {c:.2f}" for name, c in near.items()))

# %% [markdown]
# All the vectors, seen along the two directions in which they differ most:

# %%
everything = np.concatenate([of_images, of_texts, imagined])
everything = everything / np.linalg.norm(everything, axis=1, keepdims=True)
everything = everything - everything.mean(axis=0)
flat = everything @ np.linalg.svd(everything, full_matrices=False)[2][:2].T
figure = viz.new_figure(5.6, 4.4, "tight")
axes = figure.add_subplot()
n = len(images)
for name, part, colour in zip(("of pictures", "of their captions", "from the prior"), range(3), viz.COLOURS, strict=False):
    axes.scatter(*flat[part * n : (part + 1) * n].T, s=9, color=colour, alpha=0.5, linewidths=0, label=name)
axes.set(title="CLIP's vectors", xticks=[], yticks=[])
axes.legend(frameon=False, fontsize=9)
figure

# %% [markdown]
# ### Is the prior needed?
#
# If the two kinds of vectors pointed exactly the same way, one could hand the text's vector to the decoder. Try it, and
# count:

# %%
wanted = recipes.test_prompts(2 if FAST else 80, kinds=("single", "position"))
sources = {
    "the text's own vector": dalle2.encode_text(parts, wanted).labels,
    "the prior's vector": dalle2.imagine(parts, wanted, dalle2.GUIDANCE, Rng(13), STEPS),
}
counts = {}
for name, vectors in sources.items():
    made = dalle2.decode(parts, vectors, dalle2.GUIDANCE, Rng(14), STEPS)
    counts[name] = checker.check(made, wanted).mean()
    print(f"{name:22} {counts[name]:4.0%} of {len(wanted)} prompts obeyed")

# %% [markdown]
# The texts' vectors are near their pictures' to begin with, and the prior's a little nearer. For the decoder, which was only
# ever given vectors of pictures, that little seems to count; 80 prompts are not enough to be sure.
#
# ### Variations
#
# The decoder needs no text at all. Give it the vector of a *picture*, and it draws others with the same vector: what CLIP has
# kept stays, everything else is drawn anew. So one sees what CLIP keeps.

# %%
few = images[:1 if FAST else 3]
again = [dalle2.variations(parts, few, dalle2.GUIDANCE, Rng(seed), STEPS) for seed in range(2 if FAST else 6)]
rows = np.stack([few, *again], axis=1).reshape(-1, 32, 32, 3)
titles = ["original"] + ["variation"] * len(again)
viz.show_grid(rows, columns=len(titles), titles=titles + [""] * (len(rows) - len(titles)))

# %% [markdown]
# And between two vectors lie others. One walks on the sphere (*slerp*), since all vectors have the same length:

# %%
def slerp(a, b, share):
    """From a to b along the sphere.   a, b (D,) of the same length, share from 0 to 1"""
    angle = np.arccos(np.clip((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b), -1, 1))
    return (np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle)


ends = dalle2.encode_images(parts, captioned_shapes(2, 32, rng=15, kinds=("single",))[0])
between = np.stack([slerp(*ends, share) for share in np.linspace(0, 1, 3 if FAST else 9)]).astype(np.float32)
assert np.allclose(np.linalg.norm(between, axis=1), np.linalg.norm(ends[0]), rtol=1e-3)
noise = np.repeat(Rng(16).standard_normal((1, 32, 32, 3)), len(between), axis=0)  # the same, so that only the vector acts
denoiser = cfg(Denoiser(parts["decoder"], dalle2.SCHEDULE, "x0"), between, dalle2.GUIDANCE)
denoiser = dynamic_threshold(denoiser, dalle2.QUANTILE)
made = sample("dpmpp_2m", denoiser, noise.shape, x=noise, steps=STEPS or dalle2.STEPS)
viz.show_grid(made.clip(-1, 1), columns=len(between), title="From one picture's vector to another's")

# %% [markdown]
# ## Which is best?
#
# Prompts with one thing, of combinations that training had and of those that it never had, at two weights of guidance.

# %%
n = 2 if FAST else 40
table = {}
for name, system in systems.items():
    for held_out in (False, True):
        wanted = recipes.test_prompts(n, held_out=held_out, kinds=("single", "position"))
        for weight in (0.0, system.recipe.guidance):
            table[name, held_out, weight] = system.obeyed(wanted, weight, rng=0, steps=STEPS).mean()
    row = [f"{value:4.0%}" for key, value in table.items() if key[0] == name]
    print(f"{name:17} seen: w = 0 {row[0]}, w = {weight:g} {row[1]};   new: w = 0 {row[2]}, w = {weight:g} {row[3]}")

figure = viz.new_figure(6.4, 3.2, "tight")
axes = figure.add_subplot()
bars = [("seen, w = 0", 0, 0), ("seen, guided", 0, 1), ("new, w = 0", 1, 0), ("new, guided", 1, 1)]
for k, (label, held_out, guided) in enumerate(bars):
    values = [table[name, bool(held_out), system.recipe.guidance if guided else 0.0] for name, system in systems.items()]
    shade = {"color": viz.COLOURS[held_out], "alpha": 1 if guided else 0.45}
    axes.bar(np.arange(3) + 0.2 * (k - 1.5), values, 0.18, label=label, **shade)
axes.set_xticks(range(3), NAMES)
axes.set(ylabel="prompts obeyed", ylim=(0, 1.05), title=f"In miniature, {n} prompts each")
axes.legend(frameon=False, fontsize=8, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.12))
figure

# %% [markdown]
# With so few prompts a difference of ten per cent may be chance. `minidiff study text_to_image` counts at full size
# ([tables](../docs/studies.md#how-well-do-small-text-to-image-systems-obey)), and the cards
# beside the shipped files (`minidiff/pretrained`) say how each was trained.
#
# ## Exercises
#
# Complete each function and run its cell. The lines below the function test it. They print "right", or what is probably wrong.
# Each exercise has two folded hints, a small one and a bigger one.
#
# **Exercise 1.** An autoencoder halves height and width `halvings` times and has `channels` latent channels. How many times
# fewer numbers is that, for RGB pictures?
#
# <details><summary>Hint</summary>
#
# Two things change, the area and the number of channels. One shrinks, the other may grow.
# </details>
# <details><summary>Bigger hint</summary>
#
# Count the numbers of an image of $H \times W$ before and after, and divide. One halving leaves a quarter of the area.
# </details>

# %%
def times_fewer(halvings, channels):
    ...  # return a number


if grading.answered(times_fewer, 1, 3):
    mistakes.find(times_fewer, "12.times_fewer")
    grading.same(times_fewer(2, 4), images[0].size / latents[0].size, "of this chapter's autoencoder")
    grading.same(times_fewer(3, 4), 48, "of the real Stable Diffusion, 512 x 512 x 3 -> 64 x 64 x 4")
    print("exercise 1: right")

# %% [markdown]
# **Exercise 2.** Noise the small pictures to a level each, as the super-resolution model is trained.
#
# <details><summary>Hint</summary>
#
# It is the noisy image of chapter 3, with a `t` for each image of the batch.
# </details>
# <details><summary>Bigger hint</summary>
#
# `schedule.alpha(level)` and `schedule.sigma(level)` are $(B,)$. NumPy lines shapes up from the right, so they need three axes
# of length 1 behind $B$.
# </details>

# %%
def noise_small(small, eps, level, schedule):
    ...  # small, eps (B, h, w, 3), level (B,) -> (B, h, w, 3)


square = wild[:, :3, :3]
if grading.answered(noise_small, square, square, np.array([0, 1, 2]), imagen.SCHEDULE):
    mistakes.find(noise_small, "12.noise_small")
    print("exercise 2: right")

# %% [markdown]
# **Exercise 3.** By which factor must latents be multiplied so that their standard deviation is 1? Compute it from a batch of
# latents as the encoder gives them.
#
# <details><summary>Hint</summary>
#
# A factor multiplies the standard deviation by itself. It is one number for the whole system.
# </details>
# <details><summary>Bigger hint</summary>
#
# Take the deviation over *everything*: latents, rows, columns and channels together.
# </details>

# %%
def scaling_factor(latents):
    ...  # (B, h, w, L) -> a number


raw = latents / autoencoder.config["scaling_factor"]
if grading.answered(scaling_factor, raw):
    mistakes.find(scaling_factor, "12.scaling_factor")
    print(f"exercise 3: right; from these pictures {scaling_factor(raw):.3f}, "
          f"kept with the model {autoencoder.config['scaling_factor']:.3f}")  # fmt: skip

# %% [markdown]
# **Exercise 4.** DALL-E 2 edits pictures by language: move a picture's vector in the direction in which one text differs from
# another (a *text diff*), and keep its length. Return the moved vectors.
#
# <details><summary>Hint</summary>
#
# First move, then repair the length. Each row has its own length.
# </details>
# <details><summary>Bigger hint</summary>
#
# The direction is `to` minus `frm`, and `strength` says how far. `np.linalg.norm(..., axis=1, keepdims=True)` is a column of
# lengths. Take it before and after the move.
# </details>

# %%
def text_diff(vectors, frm, to, strength):
    ...  # vectors (B, D), frm, to (D,) -> (B, D)


if grading.answered(text_diff, of_images[:1], of_texts[0], of_texts[1], 1.0):
    mistakes.find(text_diff, "12.text_diff")
    moved = text_diff(of_images[:3], of_texts[0], of_texts[1], 0.7)
    towards = of_texts[1] - of_texts[0]
    assert (moved @ towards > of_images[:3] @ towards).all(), "the vectors do not come nearer to the new text"
    print("exercise 4: right")

# %% [markdown]
# ### Build it: a latent pipeline
#
# Now the real thing, all that stands between a prompt and an image, in three steps. Each can pass without the others, since
# the parts are handed over as functions.
#
# **Exercise 5.** To the latent. `encode(images)` returns $(B, h, w, 2L)$: $L$ means, then $L$ log-variances. Clip these to the
# range from -30 to 20. Draw a latent with `rng.standard_normal`, in the shape of the means, and multiply it by `factor`. Where
# `rng` is None, the mean takes the place of a draw.
#
# <details><summary>Hint</summary>
#
# A draw is mean + deviation times noise. The encoder gives the logarithm of the *variance*.
# </details>
# <details><summary>Bigger hint</summary>
#
# The deviation is the root of the variance. In the exponent a root is a factor 1/2. `np.split(..., 2, axis=-1)` cuts the
# channels.
# </details>

# %%
def encode_latents(encode, images, factor, rng):
    ...  # images (B, H, W, 3) -> (B, h, w, L)


if grading.answered(encode_latents, lambda images: np.zeros((1, 1, 1, 2)), np.zeros((1, 2, 2, 3)), 1.0, None):
    mistakes.find(encode_latents, "12.encode_latents")
    ours = encode_latents(lambda x: autoencoder.encode(x)[0], images[:4], autoencoder.config["scaling_factor"], None)
    grading.same(ours, autoencoder.to_latent(images[:4]), "the latents of this chapter's autoencoder", rtol=1e-4, atol=1e-5)
    print("exercise 5: right")

# %% [markdown]
# **Exercise 6.** The loop. `model(z, t, context)` predicts $v$, so that $\hat x_0 = \alpha z - \sigma v$ and $\hat\epsilon =
# \sigma z + \alpha v$, with `schedule.alpha(t)` and `schedule.sigma(t)`. At each of `times`, which fall, guide $v$ from the
# empty text to the text with weight $w$, and take DDIM's step to the next time. After the last time comes the clean latent,
# $\alpha = 1$ and $\sigma = 0$.
#
# <details><summary>Hint</summary>
#
# Guidance mixes two predictions of $v$ as it mixes two of $\epsilon$. DDIM's step is
# $\alpha' \hat x_0 + \sigma' \hat\epsilon$.
# </details>
# <details><summary>Bigger hint</summary>
#
# Pair each time with the one after it, and the last with nothing. With $\alpha' = 1$ and $\sigma' = 0$ only one of the two
# terms is left. Both guesses come from the $z$ of *before* the step.
# </details>

# %%
def denoise_latents(model, z, schedule, times, text, empty, w):
    ...  # z (B, h, w, L) at times[0] -> the clean latents


if grading.answered(denoise_latents, lambda z, t, c: z, np.ones((1, 1)), stable_diffusion.SCHEDULE, [5], None, None, 1.0):
    mistakes.find(denoise_latents, "12.denoise_latents")
    print("exercise 6: right")

# %% [markdown]
# **Exercise 7.** From prompts to images. `encode_text(texts)` takes a list of texts, and guidance needs an empty text for each
# prompt as well. `denoise(z, text, empty)` is the whole loop; it begins with pure noise, drawn by `rng.standard_normal`,
# `shape` for each prompt. `decode(z)` takes latents as the encoder gave them, before `factor`. Images have numbers from -1 to
# 1.
#
# <details><summary>Hint</summary>
#
# It is `stable_diffusion_by_hand` with the parts handed over. What did `from_latent` do besides decoding?
# </details>
# <details><summary>Bigger hint</summary>
#
# The encoder's latents were multiplied by `factor` before the model learned from them. The empty text is `""`. Clip at the
# end.
# </details>

# %%
def draw_images(encode_text, denoise, decode, prompts, factor, shape, rng):
    ...  # prompts: list of B texts   shape: of one latent   -> (B, H, W, 3)


def same_z(z, text, empty):
    return z


if grading.answered(draw_images, lambda texts: np.zeros((1, 1)), same_z, lambda z: z, ["a"], 1.0, (1, 1, 3), Rng(0)):
    mistakes.find(draw_images, "12.draw_images")
    print("exercise 7: right")

# %% [markdown]
# The answers are in [docs/answers/12.py](../docs/answers/12.py), together with the hidden tests for graded assignments.
