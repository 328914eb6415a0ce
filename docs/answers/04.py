"""Chapter 4: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import numpy as np

from minidiff import grading

WITHOUT = {  # what an answer may not call
    "v_loss": ["minidiff.ops.*"],
}

# ---- 1


def eps_of_v(v, xt, t):
    return schedule.sigma(t) * xt + schedule.alpha(t) * v


def check_at_both_ends():
    """the noise that was added, early and late"""
    rng = np.random.default_rng(1)
    x0, eps = rng.standard_normal((2, 4, 3))
    for t in (20, 500, 950):
        a, s = schedule.alpha(t), schedule.sigma(t)
        xt, v = a * x0 + s * eps, a * eps - s * x0
        grading.same(eps_of_v(v, xt, t), eps, f"the noise at t = {t}", {
            "this is x0: alpha x_t - sigma v": x0,
            "alpha and sigma have changed places": a * xt + s * v,
            "a sign: the noise is sigma x_t + alpha v": s * xt - a * v,
            "x_t is not used; v is a mixture of the noise and the picture": (v + 0 * xt) / a,
            "alpha_bar and 1 - alpha_bar are squares; the mixture uses their roots": s**2 * xt + a**2 * v,
            "this takes v for the noise": v,
        })


# ---- 2


def v_loss(output, x0, eps, t):
    error = output - (schedule.alpha(t) * eps - schedule.sigma(t) * x0)

    def back(dloss):
        return dloss * 2 * error / error.size

    return np.asarray((error**2).mean()), back


def check_target_and_mean():
    """the loss: the right target, a mean over all numbers"""
    rng = np.random.default_rng(2)
    output, x0, eps = rng.standard_normal((3, 5, 2))
    a, s = schedule.alpha(300), schedule.sigma(300)
    error = output - (a * eps - s * x0)
    loss, _ = grading.parts(v_loss(output, x0, eps, 300), "loss", "back")
    grading.same(loss, (error**2).mean(), "loss", {
        "a sum; it is a mean over all numbers": (error**2).sum(),
        "a sum over each row; it is a mean over all numbers": (error**2).sum(axis=1).mean(),
        "half of it: there is no 1/2 in this loss": (error**2).mean() / 2,
        "this is the loss on eps: the target is alpha eps - sigma x0": ((output - eps) ** 2).mean(),
        "this is the loss on x0: the target is alpha eps - sigma x0": ((output - x0) ** 2).mean(),
        "eps and x0 have changed places in the target": ((output - (a * x0 - s * eps)) ** 2).mean(),
        "a sign: the target is alpha eps - sigma x0; with a plus it is x_t's formula turned round": (
            (output - (a * eps + s * x0)) ** 2).mean(),
        "the target is x_t; it should be alpha eps - sigma x0": ((output - (a * x0 + s * eps)) ** 2).mean(),
        "not squared": np.abs(error).mean(),
    })


def check_back():
    """the gradient, for a dloss that is not 1"""
    rng = np.random.default_rng(3)
    output, x0, eps = rng.standard_normal((3, 5, 2))
    error = output - (schedule.alpha(300) * eps - schedule.sigma(300) * x0)
    _, back = grading.parts(v_loss(output, x0, eps, 300), "loss", "back")
    grading.same(back(3.0), 6 * error / error.size, "back(3)", {
        "dloss is not used: whatever comes after the loss scales its gradient": 2 * error / error.size,
        "the mean divides the gradient too, by the number of all numbers": 6 * error,
        "divided by the batch size; the mean runs over all numbers": 6 * error / len(error),
        "the 2 of the square is missing": 3 * error / error.size,
        "this is the gradient by the target: a sign": -6 * error / error.size,
    })


# ---- 3


def min_snr_weight(snr):
    return np.minimum(snr, 5) / snr


def check_below_and_above():
    """1 where the SNR is below 5, less above"""
    snr = np.array([0.01, 1.0, 4.0, 6.0, 20.0])
    capped = np.minimum(snr, 5)
    grading.same(min_snr_weight(snr), capped / snr, "the weight", {
        "this is the weight of an error in x0; an eps loss has the factor SNR already: divide by it": capped,
        "min and max have changed places": np.maximum(snr, 5) / snr,
        "this is the weight for a network that predicts v: there the loss has SNR + 1": capped / (snr + 1),
        "divided by 5, not by the SNR": capped / 5,
        "upside down": snr / capped,
    })
