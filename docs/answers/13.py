"""Chapter 13: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import numpy as np

from minidiff import grading

WITHOUT = {  # what an answer may not call
    "guided_target": ["minidiff.diffusion.cfg"],
    "weighted_loss": ["minidiff.ops.*"],
}

# ---- 1


def v_target(goal, z, t):
    a, sigma = level(t)
    return (a * z - goal) / sigma


def check_other_times():
    """early and late, where alpha and sigma differ"""
    rng = np.random.default_rng(1)
    goal, z = rng.standard_normal((2, 4, 3))
    for t in (60, 500, 930):
        a, s = level(t)
        grading.same(v_target(goal, z, t), (a * z - goal) / s, f"the target at t = {t}", {
            "a sign: v = (alpha z - x) / sigma": (goal - a * z) / s,
            "alpha is missing: x = alpha z - sigma v": (z - goal) / s,
            "divided by alpha: x = alpha z - sigma v is to be solved for v": (a * z - goal) / a,
            "multiplied by sigma: to solve for v, divide": (a * z - goal) * s,
            "this is eps, (z - alpha x) / sigma": (z - a * goal) / s,
            "alpha and sigma have changed places": (s * z - goal) / a,
            "x and z have changed places": (a * goal - z) / s,
        })


# ---- 2


def calls(start, train_steps):
    return 3 * train_steps * (start.bit_length() - 1)


def check_counts():
    """other beginnings"""
    for start, steps in ((16, 7), (4, 100), (512, 1000)):
        halvings = start.bit_length() - 1
        grading.same(calls(start, steps), 3 * steps * halvings, f"calls({start}, {steps})", {
            "two calls in each training step are counted: the teacher is asked twice, the student once": 2 * steps * halvings,
            "only one call in each training step is counted: the teacher twice, the student once": steps * halvings,
            "one stage too many: from start to 1 there are log2(start) halvings": 3 * steps * (halvings + 1),
            "it is halved, not counted down: log2(start) stages": 3 * steps * (start - 1),
            "start itself is no number of stages: there are log2(start) halvings": 3 * steps * start,
            "only one stage is counted": 3 * steps,
        })


# ---- 3


def weighted_loss(v, goal, weight):
    error = v - goal

    def back(dloss=1.0):
        return dloss * 2 * weight * error / v.size

    return (weight * error**2).mean(), back


def check_weights():
    """weights that differ, and a dloss that is not 1"""
    rng = np.random.default_rng(2)
    v, goal = rng.standard_normal((2, 4, 3))
    weight = np.array([[1.0], [0.1], [5.0], [2.0]])
    error = v - goal
    loss, back = grading.parts(weighted_loss(v, goal, weight), "loss", "back")
    grading.same(loss, (weight * error**2).mean(), "loss", {
        "the weight is squared: it stands on the squared error, not in it": ((weight * error) ** 2).mean(),
        "a sum; it is a mean over all numbers": (weight * error**2).sum(),
        "divided by the sum of the weights; it is a plain mean": (weight * error**2).sum() / weight.sum() / 3,
        "divided by the sum of the weights; it is a plain mean over all numbers": (weight * error**2).sum() / weight.sum(),
        "the weight is missing": (error**2).mean(),
        "divided by the batch size; it is a mean over all numbers": (weight * error**2).sum() / 4,
        "half of it: there is no 1/2 in this loss": (weight * error**2).mean() / 2,
    })
    grading.same(back(3.0), 6 * weight * error / 12, "back(3)", {
        "dloss is not used": 2 * weight * error / 12,
        "the weight is missing": 6 * error / 12,
        "the weight is squared": 6 * weight**2 * error / 12,
        "the mean divides the gradient too, by the number of all numbers": 6 * weight * error,
        "divided by the batch size; the mean runs over all numbers": 6 * weight * error / 4,
        "the 2 of the square is missing": 3 * weight * error / 12,
        "a sign: the error is v - goal": -6 * weight * error / 12,
    })


# ---- 4


def guided_target(denoiser, z, t, cond, null, w):
    _, with_cond = denoiser(z, t, cond)
    _, without = denoiser(z, t, null)
    return (1 + w) * with_cond - w * without


def check_mixture():
    """weights that you do not see, and 0"""
    def denoiser(x, t, cond=None):
        return np.cos(x) + 50, np.sin(x + t) + np.asarray(cond, float)[:, None]

    z, cond, null = np.array([[0.5], [-1.0]]), np.array([3, 1]), np.array([10, 10])
    for w in (4.0, 0.5, 0.0):
        a, b = denoiser(z, 30, cond)[1], denoiser(z, 30, null)[1]
        grading.same(guided_target(denoiser, z, 30, cond, null, w), (1 + w) * a - w * b, f"the noise, w = {w}", {
            "condition and null have changed places": (1 + w) * b - w * a,
            "this is Stable Diffusion's scale, w = scale - 1": b + w * (a - b),
            "the null answer is added; it is taken away": (1 + w) * a + w * b,
            "the weights have to add up to 1: (1 + w) and -w": w * a - w * b,
            "the guess of x0 is guided; asked is the noise, the second of the two": np.cos(z) + 50,
            "only the condition is asked": a,
        })
