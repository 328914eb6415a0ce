"""Chapter 12: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import numpy as np

from minidiff import grading
from minidiff.diffusion import Schedule

WITHOUT = {  # what an answer may not call
    "encode_latents": ["minidiff.models.autoencoder_kl.sample_posterior"],
    "denoise_latents": ["minidiff.samplers.*", "minidiff.diffusion.cfg", "minidiff.diffusion.Denoiser"],
    "draw_images": ["stable_diffusion_by_hand"],
}

# ---- 1


def times_fewer(halvings, channels):
    return 4**halvings * 3 / channels


def check_other_autoencoders():
    """no halving, many channels, and sizes that do not divide"""
    for halvings, channels, right in ((0, 3, 1.0), (0, 12, 0.25), (1, 5, 2.4), (3, 16, 12.0), (5, 7, 438.85714285714283)):
        grading.same(times_fewer(halvings, channels), right, f"times_fewer({halvings}, {channels})")


# ---- 2


def noise_small(small, eps, level, schedule):
    a, sigma = (c[:, None, None, None].astype(small.dtype) for c in (schedule.alpha(level), schedule.sigma(level)))
    return a * small + sigma * eps


def check_levels():
    """one image, and a batch that is no square, image by image, at the ends of another schedule"""
    class AlphaAndSigma:
        def __init__(self, schedule):
            self.alpha, self.sigma, self.alpha_bar = schedule.alpha, schedule.sigma, schedule.alpha_bar

    schedule = AlphaAndSigma(Schedule.cosine(50))
    for shape, level in (((1, 2, 5, 3), [49]), ((3, 2, 5, 3), [0, 49, 7]), ((2, 3, 2, 3), [25, 25])):
        rng = np.random.default_rng(shape[0])
        x, eps = rng.standard_normal(shape), rng.standard_normal(shape)
        bar = [schedule.alpha_bar[t] for t in level]
        right = [np.sqrt(b) * image + np.sqrt(1 - b) * noise for b, image, noise in zip(bar, x, eps, strict=True)]
        grading.same(noise_small(x, eps, np.array(level), schedule), right, f"the noisy images of shape {shape}")


# ---- 3


def scaling_factor(latents):
    return 1 / latents.std()


def check_channels_that_differ():
    """channels and latents that differ in mean and size, worked out by hand"""
    z = np.array([[1.0, 1.0], [5.0, 5.0]]).reshape(2, 1, 1, 2)
    grading.same(scaling_factor(z), 0.5, "the factor")
    grading.same(scaling_factor(z.swapaxes(0, 3)), 0.5, "the factor, where the channels differ")
    z = np.arange(1.0, 25).reshape(2, 2, 3, 2) * 3 - 100
    grading.same(scaling_factor(z), 1 / (3 * np.sqrt((24**2 - 1) / 12)), "the factor of 24 even steps")


# ---- 4


def text_diff(vectors, frm, to, strength):
    moved = vectors + strength * (to - frm)
    length = [((z**2).sum(axis=1, keepdims=True)) ** 0.5 for z in (vectors, moved)]
    return moved * (length[0] / length[1])


def check_each_row():
    """vectors of different lengths, no strength, the way back, and whole turns"""
    z, frm, to = np.array([[3.0, 4.0], [0.0, 5.0], [10.0, 0.0]]), np.array([1.0, -1.0]), np.array([-2.0, 3.0])
    kept = z.copy()
    grading.same(text_diff(z, frm, to, 0.0), z, "the vectors, moved with strength 0")
    grading.same(text_diff(z, frm, to, 1.0), [[0.0, 5.0], [-15 / 90**0.5, 45 / 90**0.5], [70 / 65**0.5, 40 / 65**0.5]], "moved")
    grading.same(text_diff(z, frm, to, -2.0)[0], 5 * np.array([9.0, -4.0]) / 97**0.5, "moved with strength -2")
    there = text_diff(z[:1], frm, to, 1.0)
    grading.same(there / there[0, 1], [[0.0, 1.0]], "the direction of one vector")
    grading.same(z, kept, "the vectors that were given", {"they were written into": text_diff(kept, frm, to, 1.0)})


# ---- 5


def encode_latents(encode, images, factor, rng):
    mean, logvar = np.split(encode(images), 2, axis=-1)
    if rng is None:
        return factor * mean
    return factor * (mean + np.exp(logvar.clip(-30, 20) / 2) * rng.standard_normal(mean.shape))


def check_spread_and_limits():
    """mean and deviation over many draws, one channel and four, and log-variances out of range"""
    for L, factor in ((1, 0.18215), (4, 2.0)):
        mean, std = np.arange(1.0, L + 1), np.arange(1.0, L + 1) / 4
        moments = np.broadcast_to(np.concatenate([mean, 2 * np.log(std)]), (2, 100, 100, 2 * L))

        def encode(images, moments=moments):
            return moments

        z = encode_latents(encode, np.zeros((2, 200, 200, 3)), factor, np.random.default_rng(1))
        grading.same(z.shape, (2, 100, 100, L), "the shape of the latents")
        grading.same(z.mean(axis=(0, 1, 2)), factor * mean, "the mean of each channel", rtol=0.02)
        grading.same(z.std(axis=(0, 1, 2)), factor * std, "the deviation of each channel", rtol=0.05)
        exact = encode_latents(encode, np.zeros((2, 200, 200, 3)), factor, None)
        grading.same(exact, np.broadcast_to(factor * mean, (2, 100, 100, L)), "the latents without an rng")
    moments, draw = np.array([[[[0.0, 0.0, -1000.0, 900.0]]]]), np.random.default_rng(2).standard_normal((1, 1, 1, 2))
    z = encode_latents(lambda images: moments, np.zeros((1, 2, 2, 3)), 1.0, np.random.default_rng(2))
    grading.same(z / draw, [[[[np.exp(-15.0), np.exp(10.0)]]]], "the deviation where the log-variance is out of range", atol=0)


# ---- 6


def denoise_latents(model, z, schedule, times, text, empty, w):
    for t, after in zip(times, [*times[1:], None], strict=True):
        a, s = schedule.alpha(t), schedule.sigma(t)
        v = (1 + w) * model(z, t, text) - w * model(z, t, empty)
        x0, eps = a * z - s * v, s * z + a * v
        z = x0 if after is None else schedule.alpha(after) * x0 + schedule.sigma(after) * eps
    return z


def check_gaussian_latents():
    """Gaussian latents, whose end is known, one single step, and Euler's steps in y = z / alpha"""
    schedule, c, m = Schedule.cosine(1000), 0.5, 0.3

    def exact(z, t, context):
        a, s = schedule.alpha(t), schedule.sigma(t)
        x0 = m + a * c**2 / (a**2 * c**2 + s**2) * (z - a * m)
        return a * (z - a * x0) / s - s * x0

    start, times = np.linspace(-2, 2, 8).reshape(2, 2, 2, 1), list(range(999, 0, -4))
    a, s = schedule.alpha(999), schedule.sigma(999)
    z = a * m + np.sqrt(a**2 * c**2 + s**2) * start
    got = denoise_latents(exact, z, schedule, times, np.zeros((2, 1)), np.zeros((2, 1)), 3.0)
    grading.same(got, m + c * start, "the latents after 250 steps", rtol=0.01, atol=0.01)

    def other(z, t, context):
        return np.cos(z) * np.asarray(context)[:, 0][:, None, None] + t / 500

    text, empty, z = np.array([[1.0], [2.0]]), np.array([[0.5], [-1.0]]), np.linspace(-1, 1, 8).reshape(2, 2, 2)
    for w in (0.0, 2.5, -1.0):
        context, times = (1 + w) * text - w * empty, [700, 400, 100]
        ratio = [schedule.sigma(t) / schedule.alpha(t) for t in times] + [0.0]
        y = z / schedule.alpha(700)
        for t, now, after in zip(times, ratio, ratio[1:], strict=False):
            a = schedule.alpha(t)
            y = y + (after - now) * (schedule.sigma(t) * a * y + a * (np.cos(a * y) * context[:, :, None] + t / 500))
        grading.same(denoise_latents(other, z, schedule, times, text, empty, w), y, f"the latents after three steps, w = {w}")
    a, s = schedule.alpha(300), schedule.sigma(300)
    right = a * z - s * (np.cos(z) * text[:, :, None] + 0.6)
    grading.same(denoise_latents(other, z, schedule, [300], text, empty, 0.0), right, "the latents after one step")


# ---- 7


def draw_images(encode_text, denoise, decode, prompts, factor, shape, rng):
    text, empty = encode_text(prompts), encode_text([""] * len(prompts))
    z = denoise(rng.standard_normal((len(prompts), *shape)), text, empty)
    return np.clip(decode(z / factor), -1, 1)


def check_whole_pipeline():
    """one prompt and three, through a loop that uses text and empty text, and a decoder that enlarges"""
    def encode_text(texts):
        return np.array([[float(len(text)), text.count("a")] for text in texts])

    def denoise(z, text, empty):
        grading.same(np.shape(empty), np.shape(text), "the shape of the empty texts")
        shift = np.asarray(text).sum(axis=1) - 2 * np.asarray(empty)[:, 0]
        return np.asarray(z) * 0.18215 + shift[:, None, None, None] / 50

    def decode(z):
        return np.asarray(z).repeat(2, axis=1).repeat(2, axis=2)[..., :3] / 2

    for prompts, shape in ((["a cat"], (3, 2, 4)), (["banana", "", "a red car"], (1, 2, 3))):
        noise = np.random.default_rng(len(prompts)).standard_normal((len(prompts), *shape))
        shift = np.array([len(text) + text.count("a") for text in prompts])[:, None, None, None] / 50 / 0.18215
        right = (noise[..., :3] + shift).clip(-2, 2).repeat(2, axis=1).repeat(2, axis=2) / 2
        got = draw_images(encode_text, denoise, decode, prompts, 0.18215, shape, np.random.default_rng(len(prompts)))
        grading.same(got, right, f"the images of {len(prompts)} prompts")
