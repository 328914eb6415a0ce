"""Chapter 10, classes and guidance: known mistakes in mixing two predictions, and in dropping labels."""

import numpy as np

from ..diffusion import Schedule
from ..grading import WrongAnswer, parts, same


def by_scale(answer):
    without, given, scale = np.array([1.0, -2.0, 0.5]), np.array([0.0, 3.0, 0.7]), 3.0
    same(answer(without, given, scale), without + scale * (given - without), "the guided eps at scale 3", {
        "this takes scale for w, or begins at the conditional answer: scale = 1 + w": (1 + scale) * given - scale * without,
        "the two answers have changed places": given + scale * (without - given),
        "the unconditional answer is forgotten at the beginning": scale * (given - without),
        "a weighted sum of both with a plus: guidance goes away from the unconditional one": without + scale * given,
        "a weighted mean lies between the two; guidance goes beyond": (without + scale * given) / (1 + scale),
        "a sign: the way goes towards the condition": without - scale * (given - without),
    })
    same(answer(without, given, 1.0), given, "the guided eps at scale 1")


def towards_and_away(answer):
    asked = []

    def denoiser(x, t, cond=None):
        asked.append((t, None if cond is None else tuple(np.ravel(cond))))
        shift = 0.0 if cond is None else np.asarray(cond, float)[:, None]
        return np.cos(x) + 100 + shift, np.sin(x) + shift

    x, c, away, w = np.array([[0.5], [-1.0]]), np.array([3, 1]), np.array([0, 2]), 2.0
    a, b, none = np.sin(x) + c[:, None], np.sin(x) + away[:, None], np.sin(x)
    same(answer(denoiser, x, 40, c, away, w), (1 + w) * a - w * b, "the guided eps", {
        "c and away have changed places": (1 + w) * b - w * a,
        "this is ordinary guidance: the class to avoid takes the place of no class": (1 + w) * a - w * none,
        "the weights have to add up to 1: (1 + w) and -w": w * a - w * b,
        "the class to avoid is added; it is taken away": (1 + w) * a + w * b,
        "(1 - w) and w go between the two; guidance goes beyond": (1 - w) * b + w * a,
        "the guess of x0 is guided; asked is eps, the second of the two": np.cos(x) + 100 + (1 + w) * c[:, None]
        - w * away[:, None],
        "only the class to go towards is asked": a,
    })
    if sorted(asked) != sorted([(40, (3, 1)), (40, (0, 2))]):
        raise WrongAnswer(f"asked was {asked}: once with c and once with away, both at t")


def same_contrast(answer):
    rng = np.random.default_rng(1)
    guided = rng.standard_normal((3, 4, 4, 2)) * np.array([1.0, 5.0, 9.0])[:, None, None, None] * np.array([1.0, 3.0]) + 0.5
    plain = rng.standard_normal((3, 4, 4, 2)) * np.array([2.0, 1.0, 0.5])[:, None, None, None]

    def std(z, axes):
        return z.std(axis=axes, keepdims=True)

    axes = (1, 2, 3)
    mean = guided.mean(axis=axes, keepdims=True)
    same(answer(guided, plain), guided * std(plain, axes) / std(guided, axes), "the answer", {
        "one factor for the whole batch: each image has its own": guided * plain.std() / guided.std(),
        "a factor for each channel: it is one for each image": guided * std(plain, (1, 2)) / std(guided, (1, 2)),
        "a factor for each pixel, from the batch: it is one for each image": guided * std(plain, 0) / std(guided, 0),
        "upside down: divide by the guided deviation": guided * std(guided, axes) / std(plain, axes),
        "variances for deviations": guided * std(plain, axes) ** 2 / std(guided, axes) ** 2,
        "only divided: then multiply by the conditional deviation": guided / std(guided, axes),
        "the conditional image was scaled, not the guided one": plain * std(guided, axes) / std(plain, axes),
        "the mean was moved; only a factor is asked for": (guided - mean) * std(plain, axes) / std(guided, axes) + mean,
        "the mean was taken away; only a factor is asked for": (guided - mean) * std(plain, axes) / std(guided, axes),
    })


def log_sure(answer):
    x = np.array([-3.0, -0.5, 0.0, 2.0])
    same(answer(x), -np.log(1 + np.exp(-2 * x)), "log p(1 | x)", {
        "this is class 0: a sign of x": -np.log(1 + np.exp(2 * x)),
        "the 2 is missing: the blobs are 2 apart": -np.log(1 + np.exp(-x)),
        "a sign: a log-probability is never above 0": np.log(1 + np.exp(-2 * x)),
        "this is the probability, not its logarithm": 1 / (1 + np.exp(-2 * x)),
        "this is the log-odds, log p(1 | x) - log p(0 | x)": 2 * x,
    })


# ---- build it: labels that are dropped, the loss with them, one call for both predictions


def drop_labels(answer):
    labels, captions = np.arange(1, 9), np.arange(1, 17).reshape(8, 2)
    draws, each = np.random.default_rng(3).random(8), np.random.default_rng(3).random((8, 2))
    same(answer(labels, 10, 0.4, np.random.default_rng(3)), np.where(draws < 0.4, 10, labels), "the labels", {
        "turned round: these are the ones to be kept": np.where(draws < 0.4, labels, 10),
        "rate is the share that is dropped, not the share that is kept": np.where(draws < 0.6, 10, labels),
        "null is what `null` says; this is 0": np.where(draws < 0.4, 0, labels),
        "the dropped ones are gone; they are to be replaced by null": labels[draws >= 0.4],
        "nothing is dropped": labels,
        "one draw decides for the whole batch; each label has its own": np.where(draws[0] < 0.4, 10, labels),
        "drawn with `rng.integers` or `choice`; it is `rng.random(len(labels)) < rate`": np.where(
            np.random.default_rng(3).choice([True, False], 8, p=[0.4, 0.6]), 10, labels),
    })
    same(answer(captions, 0, 0.4, np.random.default_rng(3)), np.where(draws[:, None] < 0.4, 0, captions), "captions (8, 2)", {
        "single words are dropped; a caption is dropped as a whole, by one draw": np.where(each < 0.4, 0, captions),
    })
    got = answer(captions, np.array([20, 30]), 0.4, np.random.default_rng(3))
    same(got, np.where(draws[:, None] < 0.4, [20, 30], captions), "captions (8, 2), with a null caption [20, 30]")


def conditional_loss(answer):
    schedule, x0, labels = Schedule.linear(50), np.linspace(-1, 1, 24).reshape(6, 2, 2, 1), np.arange(1, 7)
    given, handed = [], []

    def model(x, t, cond):
        given.append((x, t, cond))

        def back(dy):
            handed.append(dy)
            return 2 * dy

        return 0.5 * x + np.asarray(cond)[:, None, None, None] / 10, back

    rng = np.random.default_rng(7)
    t, eps = rng.integers(50, size=6), rng.standard_normal(x0.shape)
    cond = np.where(rng.random(6) < 0.5, 10, labels)
    a, s = (level[:, None, None, None] for level in (schedule.alpha(t), schedule.sigma(t)))
    loss, back = parts(answer(model, schedule, x0, labels, 10, 0.5, np.random.default_rng(7)), "loss", "back")
    same(len(given), 1, "how often the model was called")
    xt, t_given, cond_given = given[0]
    same(t_given, t, "the t that the model was given", {
        "one t for the whole batch; each sample has its own": np.full(6, t[0]),
        "one t, a number, for the whole batch; each sample has its own": t[0],
        "drawn from 1; steps count from 0": np.random.default_rng(7).integers(1, 50, size=6),
        "steps count from 0, to T - 1": t + 1,
    })
    same(cond_given, cond, "the labels that the model was given", {
        "nothing was dropped": labels,
        "turned round: these are the ones to be kept": np.where(cond == 10, labels, 10),
    })
    same(xt, a * x0 + s * eps, "the noisy images", {
        "alpha and sigma are roots; these are their squares": a**2 * x0 + s**2 * eps,
        "the image has to shrink: alpha is missing": x0 + s * eps,
        "images and noise have changed places": s * x0 + a * eps,
        "the model was given the clean images": x0,
    })
    y = 0.5 * xt + cond[:, None, None, None] / 10
    same(loss, ((y - eps) ** 2).mean(), "the loss", {
        "a sum of squares; the loss is their mean": ((y - eps) ** 2).sum(),
        "summed over each image; the loss is the mean over all entries": ((y - eps) ** 2).sum() / 6,
        "compared with the clean images; the model predicts eps": ((y - x0) ** 2).mean(),
        "the loss of each sample; it is one number, their mean": ((y - eps) ** 2).mean(axis=(1, 2, 3)),
    })
    dx = back(3.0)
    right = 2 * (y - eps) / 24
    same(handed[-1] if handed else None, 3 * right, "what back(3.0) hands to the model's back", {
        "dloss is not used": right,
        "the square has the slope 2 (y - eps); the 2 is missing": 1.5 * right,
        "a mean over all entries: the gradient is divided by their number, not by the batch": 12 * right,
        "a mean over all entries: the division by their number is missing": 72 * right,
        "a sign: y minus eps": -3 * right,
    })
    same(dx, 6 * right, "what back(3.0) returns", {
        "this is what was handed to the model's back; return what that returns": 3 * right,
    })


def guided_eps(answer):
    calls = []

    def model(x, t, cond):
        rows = [len(np.atleast_1d(z)) for z in (x, t, cond)]
        calls.append(rows)
        if rows[0] != rows[2] or rows[1] not in (1, rows[0]):
            raise WrongAnswer(f"the model was given x, t, cond with {rows} rows: each has to be doubled")
        shift = np.asarray(cond, float).reshape(len(x), -1).sum(axis=1) * (1 + np.asarray(t) / 10)
        return np.sin(x) + shift.reshape(-1, 1, 1)

    x, t, cond, w = np.linspace(-1, 1, 18).reshape(3, 3, 2), np.array([1, 5, 9]), np.array([2, 3, 7]), np.array([0.0, 1.0, 4.0])
    given, none = (np.sin(x) + (c * (1 + t / 10))[:, None, None] for c in (cond, np.full(3, 10)))
    same(answer(model, x, t, cond, 10, 2.0), 3 * given - 2 * none, "the guided eps", {
        "the two halves have changed places": 3 * none - 2 * given,
        "the weights have to add up to 1: (1 + w) and -w": 2 * (given - none),
        "this takes w for the scale; the scale is 1 + w": none + 2 * (given - none),
        "the unconditional answer is added; it is taken away": 3 * given + 2 * none,
        "the conditional answer alone": given,
    })
    if calls != [[6, 6, 6]]:
        raise WrongAnswer(f"the model was called with x, t, cond of {calls} rows: call it once, with 6 rows of each")
    column, row = w[:, None, None], w[:, None]
    same(answer(model, x, t, cond, 10, w), (1 + column) * given - column * none, "the guided eps, w (3,)", {
        "w went to another axis: shape it (B, 1, ..., 1)": (1 + row) * given - row * none,
        "the first w for all; each sample has its own": given,
    })
