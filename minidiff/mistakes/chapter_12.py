"""Chapter 12, three systems: known mistakes in latents, noise levels and vectors, and in a latent pipeline."""

import numpy as np

from ..diffusion import Schedule
from ..grading import parts, same


def times_fewer(answer):
    for halvings, channels in ((2, 5), (3, 4)):
        area = 4**halvings
        same(answer(halvings, channels), area * 3 / channels, f"times_fewer({halvings}, {channels})", {
            "height and width are both halved: 4, not 2, for each halving": 2**halvings * 3 / channels,
            "the 3 channels of the image are missing": area / channels,
            "channels is in the wrong place: more of them are more numbers": area * channels / 3,
            "upside down: how many times fewer, not which share is left": channels / (3 * area),
            "the channels are missing": area,
            "channels of RGB and latent were multiplied; the one becomes the other": area * 3 * channels,
            "a power: each halving divides by 4 again": 4 * halvings * 3 / channels,
            "times fewer is a ratio, not rounded down": area * 3 // channels,
        })


class AlphaAndSigma:
    """A schedule's two functions, without those that do more."""

    def __init__(self, schedule):
        self.alpha, self.sigma = schedule.alpha, schedule.sigma


def noise_small(answer):
    rng, schedule = np.random.default_rng(1), Schedule.linear(100)
    x, eps, level = rng.standard_normal((4, 4, 4, 3)), rng.standard_normal((4, 4, 4, 3)), np.array([0, 20, 60, 99])
    a, s = (f(level)[:, None, None, None] for f in (schedule.alpha, schedule.sigma))
    same(answer(x, eps, level, AlphaAndSigma(schedule)), a * x + s * eps, "the noisy images", {
        "the level went to the columns of pixels: shape it (B, 1, 1, 1)": a[:, 0, 0] * x + s[:, 0, 0] * eps,
        "the level went to the rows of pixels: shape it (B, 1, 1, 1)": a[:, 0] * x + s[:, 0] * eps,
        "alpha and sigma are roots; these are their squares": a**2 * x + s**2 * eps,
        "the image has to shrink: alpha is missing": x + s * eps,
        "the whole noise was added; it is multiplied by sigma": a * x + eps,
        "image and noise have changed places": a * eps + s * x,
        "one level for all: each image has its own": schedule.alpha(0) * x + schedule.sigma(0) * eps,
        "this is v: alpha eps - sigma x": a * eps - s * x,
        "a sign: the noise is added": a * x - s * eps,
    })


def scaling_factor(answer):
    z = np.random.default_rng(2).standard_normal((5, 3, 3, 2)) * np.array([1.0, 8.0]) + 4
    same(answer(z), 1 / z.std(), "the factor", {
        "this is the deviation; the factor is 1 over it": z.std(),
        "divided by the variance": 1 / z.var(),
        "the root of the mean square: the mean is taken away first": 1 / np.sqrt((z**2).mean()),
        "one number, not one for each channel": 1 / z.std(axis=(0, 1, 2)),
        "one number, not one for each latent": 1 / z.std(axis=(1, 2, 3)),
        "the mean of the channels' own factors; it is one deviation over everything": (1 / z.std(axis=(0, 1, 2))).mean(),
        "1 over the mean of the channels' deviations; it is one deviation over everything": 1 / z.std(axis=(0, 1, 2)).mean(),
        "1 over the largest latent; it is the deviation that shall be 1": 1 / np.abs(z).max(),
        "1 over the mean size; it is the deviation that shall be 1": 1 / np.abs(z).mean(),
    })


def text_diff(answer):
    z = np.array([[3.0, 4.0, 0.0], [0.0, 1.0, 0.0], [2.0, -2.0, 1.0]])
    frm, to, k = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 2.0]), 0.5
    moved, back = z + k * (to - frm), z - k * (to - frm)

    def length(v):
        return np.linalg.norm(v, axis=1, keepdims=True)

    same(answer(z, frm, to, k), moved * length(z) / length(moved), "the moved vectors", {
        "the length is not put back": moved,
        "scaled to length 1; each row keeps the length it had": moved / length(moved),
        "moved the other way: to minus frm": back * length(z) / length(back),
        "strength is not used": (z + to - frm) * length(z) / length(z + to - frm),
        "one length for the whole batch: each row has its own": moved * np.linalg.norm(z) / np.linalg.norm(moved),
        "upside down: the old length over the new one": moved * length(moved) / length(z),
        "squares of lengths: the root is missing": moved * (length(z) / length(moved)) ** 2,
        "only `to` is added: the difference of the texts is the direction": (z + k * to) * length(z) / length(z + k * to),
    })


# ---- build it: a latent pipeline


def encode_latents(answer):
    images = np.linspace(-1, 1, 32).reshape(2, 4, 4, 1)
    mean, logvar = np.linspace(-2, 2, 24).reshape(2, 2, 2, 3), np.linspace(-3, 1, 24).reshape(2, 2, 2, 3)
    seen, factor = [], 0.5

    def encode(x):
        seen.append(x)
        return np.concatenate([mean, logvar], axis=3)

    eps = np.random.default_rng(4).standard_normal(mean.shape)
    std = np.exp(logvar / 2)
    same(answer(encode, images, factor, np.random.default_rng(4)), factor * (mean + std * eps), "the latents", {
        "this is the mean; with an rng it is a draw": factor * mean,
        "exp(log-variance) is the variance; the noise is multiplied by its root": factor * (mean + std**2 * eps),
        "the log-variance itself was taken for the deviation": factor * (mean + logvar * eps),
        "the factor is missing": mean + std * eps,
        "divided by the factor; to the latent it multiplies": (mean + std * eps) / factor,
        "only the mean was scaled; mean and noise are": factor * mean + std * eps,
        "mean and log-variance have changed places: the first half is the mean": factor * (logvar + np.exp(mean / 2) * eps),
        "every second channel was taken for the mean; it is the first half of them": factor * (
            encode(0)[..., ::2] + np.exp(encode(0)[..., 1::2] / 2) * eps),
        "one number for all entries: draw noise of the latents' shape": factor * (
            mean + std * np.random.default_rng(4).standard_normal()),
        "a whole encoding's worth of noise, with the mean's and the variance's halves; draw it in the mean's shape": factor * (
            mean + std * np.random.default_rng(4).standard_normal((2, 2, 2, 6))[..., :3]),
    })
    same(seen[0], images, "what was encoded")
    same(answer(encode, images, factor, None), factor * mean, "the latents without an rng")


def denoise_latents(answer):
    schedule, times, w = Schedule.cosine(100), [90, 50, 10], 1.5
    z = np.linspace(-1, 1, 16).reshape(2, 2, 2, 2)
    text, empty, asked = np.array([[1.0, 2.0], [0.5, 0.0]]), np.zeros((2, 2)), []

    def v_of(z, t, context):
        return np.tanh(z + t / 50) + np.asarray(context).sum(axis=1)[:, None, None, None]

    def model(z, t, context):
        asked.append(float(np.ravel(t)[0]))
        return v_of(z, t, context)

    def walk(
        mix=lambda given, none: (1 + w) * given - w * none, ends=(*times[1:], None),
        x0_of=lambda a, s, z, v: a * z - s * v, eps_of=lambda a, s, z, v: s * z + a * v,
        step=lambda a, s, x0, eps: a * x0 + s * eps,
    ):  # fmt: skip
        at = z
        for t, after in zip(times, ends, strict=False):
            a, s = schedule.alpha(t), schedule.sigma(t)
            v = mix(v_of(at, t, text), v_of(at, t, empty))
            a_next, s_next = (1.0, 0.0) if after is None else (schedule.alpha(after), schedule.sigma(after))
            at = step(a_next, s_next, x0_of(a, s, at, v), eps_of(a, s, at, v))
        return at

    got = answer(model, z, schedule, times, text, empty, w)
    same(got, walk(), "the latents", {
        "text and empty have changed places": walk(lambda given, none: (1 + w) * none - w * given),
        "not guided: only the text was asked": walk(lambda given, none: given),
        "the weights have to add up to 1: (1 + w) and -w": walk(lambda given, none: w * (given - none)),
        "w was taken for the scale; the scale is 1 + w": walk(lambda given, none: w * given + (1 - w) * none),
        "v was taken for eps; x0 is alpha z - sigma v and eps is sigma z + alpha v": walk(
            x0_of=lambda a, s, z, v: (z - s * v) / a, eps_of=lambda a, s, z, v: v),
        "v was taken for x0; x0 is alpha z - sigma v": walk(
            x0_of=lambda a, s, z, v: v, eps_of=lambda a, s, z, v: (z - a * v) / s),
        "a sign: x0 is alpha z - sigma v": walk(x0_of=lambda a, s, z, v: a * z + s * v),
        "a sign: eps is sigma z + alpha v": walk(eps_of=lambda a, s, z, v: s * z - a * v),
        "alpha and sigma have changed places in v's formulas": walk(
            x0_of=lambda a, s, z, v: s * z - a * v, eps_of=lambda a, s, z, v: a * z + s * v),
        "the last step is missing: from the last time to the clean latent, alpha = 1 and sigma = 0": walk(ends=times[1:]),
        "the noise is never put back: each step goes to alpha' x0 + sigma' eps": walk(step=lambda a, s, x0, eps: x0),
        "the noise is missing in the step: alpha' x0 + sigma' eps": walk(step=lambda a, s, x0, eps: a * x0),
        "the last step goes to t = 0, where a little noise is left; it goes to alpha = 1 and sigma = 0": walk(
            ends=(*times[1:], 0)),
    })
    same(sorted(set(asked), reverse=True), times, "the times at which the model was asked")


def draw_images(answer):
    prompts, shape, factor, seen = ["red", "a blue one"], (2, 2, 3), 0.25, {}

    def encode_text(texts):
        return np.array([[len(text), 1.0] for text in texts])

    def denoise(z, text, empty):
        seen.update(z=z, text=text, empty=empty)
        return z / 4

    def decode(z):
        seen["latents"] = z
        return z * 0.9

    noise = np.random.default_rng(6).standard_normal((2, *shape))
    got = answer(encode_text, denoise, decode, prompts, factor, shape, np.random.default_rng(6))
    for name, right, wrong in (
        ("z", noise, {"one latent's noise for all prompts; each has its own": np.broadcast_to(noise[:1], noise.shape),
                      "it is pure noise where the loop begins; the factor belongs to its end": noise * factor}),
        ("text", encode_text(prompts), {}),
        ("empty", encode_text([""] * 2), {
            "one empty text; one for each prompt": encode_text([""]),
            "the prompts again; guidance leads away from empty texts": encode_text(prompts),
            "a text of one space is not empty": encode_text([" "] * 2)}),
    ):  # fmt: skip
        same(parts([seen.get(name)], name)[0], right, f"what the loop is given as {name}", wrong)
    same(seen["latents"], noise / 4 / factor, "what is decoded", {
        "the factor is missing: before it decodes, the latent is divided by it": noise / 4,
        "multiplied by the factor; on the way back it divides": noise / 4 * factor,
        "this is the noise; the loop's answer is decoded": noise / factor,
    })
    same(got, (0.9 * noise / 4 / factor).clip(-1, 1), "the images", {
        "not clipped: an image has numbers from -1 to 1": 0.9 * noise / 4 / factor,
        "these are the latents; decode them": (noise / 4 / factor).clip(-1, 1),
        "clipped to 0 and 1; black is -1": (0.9 * noise / 4 / factor).clip(0, 1),
    })
