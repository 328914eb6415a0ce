# %% [markdown]
# # 12. Three systems in miniature
#
# A denoiser that is conditioned on a text (chapter 11) is not yet Stable Diffusion. Diffusion on all pixels of a large image is
# expensive, and each of the famous systems avoids it in another way. **Stable Diffusion** denoises a compressed image, a
# *latent*. **Imagen** makes a small image first and enlarges it, in a *cascade*. **DALL-E 2** first makes a vector that
# describes the content of the image. minidiff ships a small version of all three, a few megabytes in all, trained from scratch
# on its captioned shapes. We take them apart and look at what passes between the parts. A program then counts how often each
# draws what the prompt asks for.
#
# {{install}}
# The code below needs neither the internet nor a GPU.
#
# **What you should know already.** Predicting $v$ (chapter 4), samplers (chapters 8 and 9), guidance with weight $w$ (chapter
# 10), text encoders and cross-attention (chapter 11).

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
STEPS = 2 if FAST else None  # of the samplers; None: each system's default

# %% [markdown]
# ## What are Stable Diffusion, Imagen and DALL-E 2 made of?
#
# The usual answer is: latents and CLIP; T5 and a cascade; a prior and a decoder. The cell below lists the parts under their
# papers' names.

# %%
systems = {name: recipes.load(name) for name in ("stable_diffusion", "imagen", "dalle2")}
ROLES = {
    "clip": "CLIP: text encoder, trained against an image encoder", "language": "language-only text encoder (in place of T5)",
    "autoencoder": "KL autoencoder: image <-> latent", "unet": "denoises latents, with cross-attention to the text",
    "base": "denoises 16 x 16 pixels, with cross-attention to the text", "upsampler": "super-resolution, 16 x 16 -> 32 x 32",
    "prior": "denoises image embeddings, conditioned on the text",
    "decoder": "denoises pixels, conditioned on an image embedding",
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
print("prompts obeyed, by the checker:", ", ".join(f"{name} {ok.sum()} of {len(ok)}" for name, ok in holds.items()))
NAMES = ["Stable Diffusion", "Imagen", "DALL-E 2"]
titles = prompts + [""] * (2 * len(prompts))
viz.show_grid(np.concatenate(list(drawn.values())), columns=len(prompts), titles=titles, rows=NAMES)

# %% [markdown]
# ## Stable Diffusion
#
# ### Why not denoise the pixels themselves?
#
# Most pixels carry little information. An *autoencoder* is a pair of networks. The encoder compresses the image into a
# **latent**, and the decoder turns the latent back into an image. The diffusion happens in between, on far fewer numbers
# (Rombach and others, 2022).

# %%
autoencoder = systems["stable_diffusion"].parts["autoencoder"]
images, captions = captioned_shapes(4 if FAST else 100, 32, rng=0)
latents = autoencoder.to_latent(images)
back = autoencoder.from_latent(latents)
print(f"{images[0].size} numbers per image -> {latents[0].size} per latent: {images[0].size // latents[0].size} times fewer")
psnr = 10 * np.log10(4 / ((back - images) ** 2).mean())
readable = checker.check(back.clip(-1, 1), captions).mean()
print(f"decoded latents: PSNR {psnr:.1f} dB, and {readable:.1%} of the images still satisfy their captions")
print(f"standard deviation of the latents: {latents.std():.2f}")
assert images[0].size == 12 * latents[0].size and abs(latents.std() - 1) < 0.2
assert FAST or readable > 0.8

# %% [markdown]
# Diffusion cannot restore what the autoencoder loses, so the autoencoder sets a *ceiling* on the quality of the system. The
# noise schedule expects data of standard deviation 1. Therefore the latents are multiplied by a `scaling_factor` (0.18215 in
# the real Stable Diffusion).
#
# "KL" stands for the Kullback-Leibler term in the training loss. The encoder of a KL autoencoder outputs a mean and a variance
# for each number. The decoder is trained on a random draw from them, so it learns to tolerate a little noise. This is why
# latents close to a good one also decode to good images:

# %%
moments, _ = autoencoder.encode(images[:1])
spread = np.exp(0.5 * moments[..., latents.shape[-1] :]) * autoencoder.config["scaling_factor"]
print(f"mean standard deviation that the encoder outputs for a number of one latent: {spread.mean():.3f}")
shift = Rng(1).standard_normal(latents[:1].shape)
noisy = np.concatenate([autoencoder.from_latent(latents[:1] + s * shift) for s in (0, 0.1, 0.3, 0.6, 1.0)])
planes = np.moveaxis(latents[0], -1, 0)[..., None].repeat(4, axis=1).repeat(4, axis=2) / 3
planes = np.repeat(planes, 3, axis=3)  # grey, as large as the image
viz.show_grid(np.concatenate([images[:1], planes, noisy]), columns=5,
              titles=["image", *(f"latent, channel {i + 1}" for i in range(4)), "decoded",
                      *(f"latent + {s} x noise" for s in (0.1, 0.3, 0.6, 1.0))])  # fmt: skip

# %% [markdown]
# ### The whole system by hand
#
# The text becomes tokens, any sampler turns noise into a latent, and the decoder turns the latent into an image. One thing
# differs from the paper: minidiff's models attend to the tokens *before* the layers of the text encoder mix them. With so few
# words there is little to mix. A pair of words that training never showed ("a red triangle") then consists of two known words.

# %%
def stable_diffusion_by_hand(parts, prompts, weight, rng, steps):
    text = stable_diffusion.encode_text(parts, prompts)  # the CLIP text encoder's tokens
    denoiser = cfg(Denoiser(parts["unet"], stable_diffusion.SCHEDULE, stable_diffusion.PREDICTS), text, weight)
    latents = sample("dpmpp_2m", denoiser, (len(prompts), 8, 8, 4), steps=steps, rng=rng)
    return parts["autoencoder"].from_latent(latents).clip(-1, 1)


system = systems["stable_diffusion"]
ours = stable_diffusion_by_hand(system.parts, prompts, system.recipe.guidance, Rng(2), STEPS or stable_diffusion.STEPS)
assert np.allclose(ours, drawn["stable_diffusion"], atol=1e-4)
print("the images are equal to those of the library")

# %% [markdown]
# We can also decode the predicted clean latent at each step:

# %%
text = stable_diffusion.encode_text(system.parts, prompts[:2])
denoiser = cfg(Denoiser(system.parts["unet"], stable_diffusion.SCHEDULE, "v"), text, system.recipe.guidance)
walk = list(samplers.dpmpp_2m(denoiser, Rng(2).standard_normal((2, 8, 8, 4)), steps=STEPS or 20))
films = [autoencoder.from_latent(step.x0).clip(-1, 1) for step in walk]
viz.denoising_strip(films, times=[step.t for step in walk], samples=2, columns=8, title="Predicted clean latents, decoded")

# %% [markdown]
# ## Imagen
#
# ### Small first, then large
#
# Imagen (Saharia and others, 2022) works on pixels, but makes only 64 x 64 of them first. Two further models enlarge the image
# (a *cascade*). The content of an image is decided while it is small and cheap. minidiff's version makes 16 x 16 pixels, then
# 32 x 32.

# %%
parts = systems["imagen"].parts
small = imagen.draw_small(parts, prompts, imagen.GUIDANCE, Rng(3), STEPS)
large = imagen.enlarge(parts, small, prompts, Rng(4), STEPS)
stretched = small.repeat(2, axis=1).repeat(2, axis=2).clip(-1, 1)
titles = prompts + [""] * len(prompts)
rows = ["base model", "super-resolution"]
viz.show_grid(np.concatenate([stretched, large]), columns=len(prompts), titles=titles, rows=rows)

# %% [markdown]
# How good is the enlargement alone? We take real images, shrink them, and enlarge them again: by repeating pixels, and by the
# model.

# %%
real, captions = captioned_shapes(2 if FAST else 40, 32, rng=5)
shrunk, _ = ops.avg_pool(real, 2)
repeated, enlarged = shrunk.repeat(2, axis=1).repeat(2, axis=2), imagen.enlarge(parts, shrunk, captions, Rng(6), STEPS)
ways = {"pixels repeated": repeated, "the model": enlarged}
for name, made in ways.items():
    print(f"{name:16} PSNR {10 * np.log10(4 / ((made - real) ** 2).mean()):.1f} dB")

# %% [markdown]
# ### Why add noise to the small image?
#
# In training, the super-resolution model gets *real* small images. In sampling it gets the base model's images, which contain
# mistakes, and it would copy each of them faithfully. So a little noise is added to the small image: a random amount in
# training, a fixed amount in sampling. The model gets this noise level as an input. This is **noise-conditioning
# augmentation**. The model learns how far it can trust the small image.

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
levels = (0, 50, imagen.LEVEL, 200, 300)[:: 2 if FAST else 1]
print(f"{'timestep of the added noise, of 1000':40}", *(f"{level:6}" for level in levels))
for name, given in (("undamaged small images", shrunk), ("damaged small images", damaged)):
    made = [enlarge_by_hand(parts, given, captions, level, Rng(8)) for level in levels]
    print(f"{name + ', PSNR in dB':40}", *(f"{10 * np.log10(4 / ((m - real) ** 2).mean()):6.1f}" for m in made))
    print(f"{name + ', captions obeyed':40}", *(f"{checker.check(m, captions).mean():6.0%}" for m in made))

# %% [markdown]
# That is the usual explanation. In this miniature it hardly helps: more noise takes the images further from the real ones, even
# when the small image is damaged.
#
# ### What does dynamic thresholding do?
#
# Guidance drives the predicted image beyond white and black. Clipping it to $[-1, 1]$ at each step piles up pixels at the ends
# of the range. Imagen uses *dynamic thresholding* instead. Take the $s$ below which 99.5 % of the image's absolute values lie.
# If it is above 1, clip to $[-s, s]$ and *divide by $s$*. All values move inwards, and contrast is kept. (That share is for
# photographs. minidiff's images are mostly white paper, which would turn grey; the miniature takes 90 %.)

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
ways = {"no thresholding": guided, "clipping": clip_x0(guided),
        "dynamic thresholding": dynamic_threshold(guided, imagen.QUANTILE)}  # fmt: skip
results = {}
for name, denoiser in ways.items():
    results[name] = sample("dpmpp_2m", denoiser, (len(prompts), 16, 16, 3), steps=STEPS or imagen.STEPS, rng=10)
    print(f"w = 8, {name:21} {(np.abs(results[name]) > 1.02).mean():5.1%} of the values out of range, "
          f"obeyed {checker.check(results[name].clip(-1, 1), prompts).sum()} of {len(prompts)}")  # fmt: skip

# %%
titles = prompts + [""] * (2 * len(prompts))
viz.show_grid(np.concatenate(list(results.values())), columns=len(prompts), titles=titles, rows=list(ways), scale=0.85,
              title="Imagen's base model at guidance weight 8")  # fmt: skip

# %% [markdown]
# Clipping and dynamic thresholding both remove the values out of range. By the checker's count, with so few prompts, neither is
# better than the other. The rows show what each does to the colours.
#
# ## DALL-E 2
#
# ### First an embedding, then the image
#
# CLIP maps every text and every image to a vector, its *embedding*. The two embeddings of a pair have similar directions.
# DALL-E 2 (Ramesh and others, 2022) uses this in reverse. From a text, a **prior** generates the embedding that an *image* of
# it could have. A **decoder** generates an image from that embedding. It never gets the text.

# %%
parts = systems["dalle2"].parts
images, captions = captioned_shapes(8 if FAST else 200, 32, rng=11, kinds=("single", "position"))
of_images = dalle2.encode_images(parts, images)
of_texts = dalle2.encode_text(parts, captions).labels
imagined = dalle2.imagine(parts, captions, dalle2.GUIDANCE, Rng(12), STEPS)


def cosine(a, b):
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


near = {"text embedding": cosine(of_texts, of_images).mean(), "the prior": cosine(imagined, of_images).mean(),
        "another image": cosine(of_images[1:], of_images[:-1]).mean()}  # fmt: skip
found = ", ".join(f"{name} {c:.2f}" for name, c in near.items())
print("cosine similarity with the embedding of the caption's real image:", found)

# %% [markdown]
# The plot shows all the embeddings, along the two directions in which they differ most:

# %%
everything = np.concatenate([of_images, of_texts, imagined])
everything = everything / np.linalg.norm(everything, axis=1, keepdims=True)
everything = everything - everything.mean(axis=0)
flat = everything @ np.linalg.svd(everything, full_matrices=False)[2][:2].T
figure = viz.new_figure(5.6, 4.4, "tight")
axes = figure.add_subplot()
n = len(images)
for name, part, colour in zip(("of images", "of their captions", "from the prior"), range(3), viz.COLOURS, strict=False):
    axes.scatter(*flat[part * n : (part + 1) * n].T, s=9, color=colour, alpha=0.5, linewidths=0, label=name)
axes.set(title="CLIP embeddings", xticks=[], yticks=[])
axes.legend(frameon=False, fontsize=9)
figure

# %% [markdown]
# ### Is the prior needed?
#
# If both kinds of embeddings had exactly the same direction, the text's embedding could be the decoder's input. We try it, and
# count:

# %%
wanted = recipes.test_prompts(2 if FAST else 80, kinds=("single", "position"))
sources = {
    "text embedding": dalle2.encode_text(parts, wanted).labels,
    "embedding from the prior": dalle2.imagine(parts, wanted, dalle2.GUIDANCE, Rng(13), STEPS),
}
counts = {}
for name, vectors in sources.items():
    made = dalle2.decode(parts, vectors, dalle2.GUIDANCE, Rng(14), STEPS)
    counts[name] = checker.check(made, wanted).mean()
    print(f"decoder given the {name:25} {counts[name]:4.0%} of {len(wanted)} prompts obeyed")

# %% [markdown]
# The texts' embeddings are near their images' to begin with, and the prior's are a little nearer. The decoder was only ever
# trained on embeddings of images, so this small difference seems to matter to it. But 80 prompts are not enough to be sure.
#
# ### Variations
#
# The decoder needs no text at all. Given the embedding of an *image*, it draws others with the same embedding. What CLIP has
# kept stays the same, and the decoder draws everything else differently. So variations show what CLIP keeps.

# %%
few = images[:1 if FAST else 3]
again = [dalle2.variations(parts, few, dalle2.GUIDANCE, Rng(seed), STEPS) for seed in range(2 if FAST else 6)]
rows = np.stack([few, *again], axis=1).reshape(-1, 32, 32, 3)
titles = ["original"] + ["variation"] * len(again)
viz.show_grid(rows, columns=len(titles), titles=titles + [""] * (len(rows) - len(titles)))

# %% [markdown]
# We can also move between two embeddings. Since all have the same length, we move along the sphere (*slerp*, spherical linear
# interpolation):

# %%
def slerp(a, b, share):
    """From a to b along the sphere.   a, b (D,) of the same length, share from 0 to 1"""
    angle = np.arccos(np.clip((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b), -1, 1))
    return (np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle)


ends = dalle2.encode_images(parts, captioned_shapes(2, 32, rng=15, kinds=("single",))[0])
between = np.stack([slerp(*ends, share) for share in np.linspace(0, 1, 3 if FAST else 9)]).astype(np.float32)
assert np.allclose(np.linalg.norm(between, axis=1), np.linalg.norm(ends[0]), rtol=1e-3)
noise = np.repeat(Rng(16).standard_normal((1, 32, 32, 3)), len(between), axis=0)  # so only the embedding differs
denoiser = cfg(Denoiser(parts["decoder"], dalle2.SCHEDULE, "x0"), between, dalle2.GUIDANCE)
denoiser = dynamic_threshold(denoiser, dalle2.QUANTILE)
made = sample("dpmpp_2m", denoiser, noise.shape, x=noise, steps=STEPS or dalle2.STEPS)
viz.show_grid(made.clip(-1, 1), columns=len(between), title="From one image embedding to another")

# %% [markdown]
# ## Which system is best?
#
# Each prompt has one object. Some combine words as the training captions did, others are held-out combinations. We use two
# guidance weights.

# %%
n = 1 if FAST else 40
table = {}
for name, system in systems.items():
    for held_out in (False, True):
        wanted = recipes.test_prompts(n, held_out=held_out, kinds=("single", "position"))
        for weight in (0.0, system.recipe.guidance):
            table[name, held_out, weight] = system.obeyed(wanted, weight, rng=0, steps=STEPS).mean()
    row = [f"{value:4.0%}" for key, value in table.items() if key[0] == name]
    print(f"{name:17} seen pairs: w = 0 {row[0]}, w = {weight:g} {row[1]};   held out: w = 0 {row[2]}, w = {weight:g} {row[3]}")

figure = viz.new_figure(6.4, 3.2, "tight")
axes = figure.add_subplot()
bars = [("seen, w = 0", 0, 0), ("seen, guided", 0, 1), ("held out, w = 0", 1, 0), ("held out, guided", 1, 1)]
for k, (label, held_out, guided) in enumerate(bars):
    values = [table[name, bool(held_out), system.recipe.guidance if guided else 0.0] for name, system in systems.items()]
    shade = {"color": viz.COLOURS[held_out], "alpha": 1 if guided else 0.45}
    axes.bar(np.arange(3) + 0.2 * (k - 1.5), values, 0.18, label=label, **shade)
axes.set_xticks(range(3), NAMES)
axes.set(ylabel="share of prompts obeyed", ylim=(0, 1.05), title=f"Prompts obeyed, of {n} for each bar")
axes.legend(frameon=False, fontsize=8, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.12))
figure

# %% [markdown]
# With so few prompts a difference of ten per cent may be chance. `minidiff study text_to_image` counts at full size
# ([tables](../docs/studies.md#how-well-do-small-text-to-image-systems-obey)). The model cards beside the shipped files
# (`minidiff/pretrained`) describe how each was trained.
#
# ## Exercises
#
# Complete each function and run its cell. The lines below the function test it. They print "right", or what is probably wrong.
# Each exercise has two folded hints, a small one and a bigger one.
#
# **Exercise 1.** An autoencoder halves height and width `halvings` times and has `channels` latent channels. By which factor
# does it reduce the number of values of an RGB image?
#
# <details><summary>Hint</summary>
#
# Two things change: the area and the number of channels. The area shrinks, and the number of channels may grow.
# </details>
# <details><summary>Bigger hint</summary>
#
# Count the values of an image of $H \times W$ before and after, and divide. One halving leaves a quarter of the area.
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
# **Exercise 2.** Add noise to the small images, each at the noise level given for it, as in the training of the
# super-resolution model.
#
# <details><summary>Hint</summary>
#
# It is the noisy image of chapter 3, with a `t` for each image of the batch.
# </details>
# <details><summary>Bigger hint</summary>
#
# `schedule.alpha(level)` and `schedule.sigma(level)` are $(B,)$. NumPy aligns shapes from the right, so they need three axes of
# length 1 after $B$.
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
# A factor multiplies the standard deviation by itself. It is a single number for the whole system.
# </details>
# <details><summary>Bigger hint</summary>
#
# Take the standard deviation over *everything*: latents, rows, columns and channels together.
# </details>

# %%
def scaling_factor(latents):
    ...  # (B, h, w, L) -> a number


raw = latents / autoencoder.config["scaling_factor"]
if grading.answered(scaling_factor, raw):
    mistakes.find(scaling_factor, "12.scaling_factor")
    print(f"exercise 3: right; from these images {scaling_factor(raw):.3f}, "
          f"stored with the model {autoencoder.config['scaling_factor']:.3f}")  # fmt: skip

# %% [markdown]
# **Exercise 4.** DALL-E 2 edits images by language, with a *text diff*: the direction in which one text's embedding differs
# from another's. Move an image's embedding in this direction, and keep its length. Return the moved embeddings.
#
# <details><summary>Hint</summary>
#
# First move, then restore the length. Each row has a different length.
# </details>
# <details><summary>Bigger hint</summary>
#
# The direction is `to` minus `frm`, and `strength` is the length of the move in units of it.
# `np.linalg.norm(..., axis=1, keepdims=True)` is a column of lengths. Compute it before and after the move.
# </details>

# %%
def text_diff(vectors, frm, to, strength):
    ...  # vectors (B, D), frm, to (D,) -> (B, D)


if grading.answered(text_diff, of_images[:1], of_texts[0], of_texts[1], 1.0):
    mistakes.find(text_diff, "12.text_diff")
    moved = text_diff(of_images[:3], of_texts[0], of_texts[1], 0.7)
    towards = of_texts[1] - of_texts[0]
    assert (moved @ towards > of_images[:3] @ towards).all(), "the result is not nearer to the new text than the vectors were"
    print("exercise 4: right")

# %% [markdown]
# ### Build it: a latent pipeline
#
# Now build the whole way from a prompt to an image, in three steps. Each exercise can pass without the others, since the parts
# are passed in as functions.
#
# **Exercise 5.** Encode images as latents. `encode(images)` returns $(B, h, w, 2L)$: $L$ means, then $L$ log-variances. Clip
# these to the range from -30 to 20. Draw a latent with `rng.standard_normal`, in the shape of the means, and multiply it by
# `factor`. If `rng` is None, use the mean instead of a draw.
#
# <details><summary>Hint</summary>
#
# A draw is the mean plus the standard deviation times noise. The encoder outputs the logarithm of the *variance*.
# </details>
# <details><summary>Bigger hint</summary>
#
# The standard deviation is the square root of the variance. In the exponent a square root is a factor 1/2.
# `np.split(..., 2, axis=-1)` splits the channels.
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
# **Exercise 6.** Write the sampling loop. `model(z, t, context)` predicts $v$, so that $\hat x_0 = \alpha z - \sigma v$ and
# $\hat\epsilon = \sigma z + \alpha v$, with `schedule.alpha(t)` and `schedule.sigma(t)`. The values in `times` fall. At each of
# them, guide $v$ from the empty text to the text with weight $w$, and take DDIM's step to the next time. After the last time
# comes the clean latent, with $\alpha = 1$ and $\sigma = 0$.
#
# <details><summary>Hint</summary>
#
# Guidance mixes two predictions of $v$ as it mixes two of $\epsilon$. DDIM's step is
# $\alpha' \hat x_0 + \sigma' \hat\epsilon$.
# </details>
# <details><summary>Bigger hint</summary>
#
# Pair each time with the one after it, and the last with none. With $\alpha' = 1$ and $\sigma' = 0$ only one of the two terms
# remains. Both predictions come from the $z$ *before* the step.
# </details>

# %%
def denoise_latents(model, z, schedule, times, text, empty, w):
    ...  # z (B, h, w, L) at times[0] -> the clean latents


if grading.answered(denoise_latents, lambda z, t, c: z, np.ones((1, 1)), stable_diffusion.SCHEDULE, [5], None, None, 1.0):
    mistakes.find(denoise_latents, "12.denoise_latents")
    print("exercise 6: right")

# %% [markdown]
# **Exercise 7.** Write the pipeline from prompts to images. `encode_text(texts)` takes a list of texts, and guidance needs an
# empty text for each prompt as well. `denoise(z, text, empty)` is the whole loop. It starts from pure noise, drawn by
# `rng.standard_normal`, with `shape` for each prompt. `decode(z)` takes latents as the encoder outputs them, before `factor`.
# The values of an image lie from -1 to 1.
#
# <details><summary>Hint</summary>
#
# It is `stable_diffusion_by_hand` with the parts passed in as functions. What does `from_latent` do besides decoding?
# </details>
# <details><summary>Bigger hint</summary>
#
# The encoder's latents were multiplied by `factor` before the model was trained on them. The empty text is `""`. Clip at the
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
