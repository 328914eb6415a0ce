"""Chapter 4, the loss: known mistakes in what is predicted, in losses and in their gradients."""

import numpy as np

from ..diffusion import Schedule
from ..grading import WrongAnswer, parts, same

SCHEDULE = Schedule.linear(1000)  # the chapter's


def eps_of_v(answer):
    x0, eps = np.random.default_rng(1).standard_normal((2, 4, 3))
    for t in (20, 500):
        a, s = SCHEDULE.alpha(t), SCHEDULE.sigma(t)
        xt, v = a * x0 + s * eps, a * eps - s * x0
        same(answer(v, xt, t), eps, f"the noise at t = {t}", {
            "this is x0: alpha x_t - sigma v": x0,
            "alpha and sigma have changed places": a * xt + s * v,
            "a sign: the noise is sigma x_t + alpha v": s * xt - a * v,
            "x_t is not used; v is a mixture of the noise and the image": v / a,
            "alpha_bar and 1 - alpha_bar are squares; the mixture uses their roots": s**2 * xt + a**2 * v,
            "this takes v for the noise": v,
        })


def v_loss(answer):
    output, x0, eps = np.random.default_rng(2).standard_normal((3, 5, 2))
    a, s = SCHEDULE.alpha(300), SCHEDULE.sigma(300)
    loss, back = parts(answer(output, x0, eps, 300), "loss", "back")
    error = output - (a * eps - s * x0)
    same(loss, (error**2).mean(), "loss", {
        **_wrong_means(error),
        "this is the loss on eps: the target is alpha eps - sigma x0": ((output - eps) ** 2).mean(),
        "this is the loss on x0: the target is alpha eps - sigma x0": ((output - x0) ** 2).mean(),
        "eps and x0 have changed places in the target": ((output - (a * x0 - s * eps)) ** 2).mean(),
        "a sign: the target is alpha eps - sigma x0": ((output - (a * eps + s * x0)) ** 2).mean(),
        "the target is x_t; it should be alpha eps - sigma x0": ((output - (a * x0 + s * eps)) ** 2).mean(),
    })
    same(back(3.0), 6 * error / error.size, "back(3)", _wrong_gradients(error, 3.0))


def min_snr_weight(answer):
    snr = np.array([0.01, 1.0, 4.0, 6.0, 20.0])
    capped = np.minimum(snr, 5)
    same(answer(snr), capped / snr, "the weight", {
        "this is the weight of an error in x0; an eps loss has the factor SNR already: divide by it": capped,
        "min and max have changed places": np.maximum(snr, 5) / snr,
        "this is the weight for a network that predicts v: there the loss has SNR + 1": capped / (snr + 1),
        "divided by 5, not by the SNR": capped / 5,
        "upside down": snr / capped,
        "5 / SNR is right where the SNR is above 5; below, the weight is 1": 5 / snr,
        "one smallest number for all; the minimum is taken of each SNR and 5": np.full(5, 0.01) / snr,
    })


# ---- build it: the losses that a model is trained with


def eps_objective(answer):
    x0, eps, a, s, column, alpha_bar, t = _batch()
    received = []
    loss, back = parts(answer(_model(received), x0, t, eps, alpha_bar), "loss", "back")

    def of(xt, told=t, target=eps):
        return ((_output(xt, told) - target) ** 2).mean()

    error = _output(a * x0 + s * eps, t) - eps
    same(loss, (error**2).mean(), "loss", {
        **_wrong_means(error),
        "the model is shown the clean image; show it x_t": of(x0),
        "the model is compared with x0; it predicts the noise": of(a * x0 + s * eps, target=x0),
        "the t of a sample went to a column: it needs an axis of length 1 behind": of(column[0] * x0 + column[1] * eps),
        "all samples have the first one's alpha and sigma; one t for each sample": of(a[0] * x0 + s[0] * eps),
        "alpha and sigma are the roots of alpha_bar and 1 - alpha_bar": of(a**2 * x0 + s**2 * eps),
        "alpha and sigma have changed places in x_t": of(s * x0 + a * eps),
        "the noise is subtracted in x_t": of(a * x0 - s * eps),
        "the model gets alpha_bar; it expects t": of(a * x0 + s * eps, told=alpha_bar[t]),
    })
    _gradient(back, received, error, 1.0)


def v_objective(answer):
    x0, eps, a, s, column, alpha_bar, t = _batch()
    received, weight = [], np.array([0.5, 2.0, 3.0])
    loss, back = parts(answer(_model(received), x0, t, eps, alpha_bar, weight), "loss", "back")
    output, w = _output(a * x0 + s * eps, t), weight[:, None]

    def to(target):
        return (w * (output - target) ** 2).mean()

    error = output - (a * eps - s * x0)
    same(loss, (w * error**2).mean(), "loss", {
        **_wrong_means(error, w),
        "the weights are not used": (error**2).mean(),
        "the weight of a sample went to a column: it needs an axis of length 1 behind": (weight * error**2).mean(),
        "the weight is inside the square": ((w * error) ** 2).mean(),
        "divided by the sum of the weights; it is the mean over all numbers": (w * error**2).sum() / (w.sum() * 3),
        "this is the loss on eps: the target is alpha eps - sigma x0": to(eps),
        "this is the loss on x0: the target is alpha eps - sigma x0": to(x0),
        "a sign: the target is alpha eps - sigma x0": to(a * eps + s * x0),
        "eps and x0 have changed places in the target": to(a * x0 - s * eps),
        "the model gets alpha_bar; it expects t": (
            w * (_output(a * x0 + s * eps, alpha_bar[t]) - a * eps + s * x0) ** 2).mean(),
        "the t of a sample went to a column: it needs an axis of length 1 behind": (
            w * (_output(column[0] * x0 + column[1] * eps, t) - column[0] * eps + column[1] * x0) ** 2).mean(),
    })
    _gradient(back, received, error, w)


def _batch():
    """Three samples of three numbers, so that rows and columns can be taken for each other."""
    x0, eps = np.random.default_rng(5).standard_normal((2, 3, 3))
    alpha_bar, t = np.array([0.9, 0.7, 0.4, 0.1]), np.array([3, 0, 2])
    a, s = np.sqrt(alpha_bar[t]), np.sqrt(1 - alpha_bar[t])
    return x0, eps, a[:, None], s[:, None], (a, s), alpha_bar, t


def _output(xt, t):
    return np.sin(xt) + np.asarray(t)[:, None] / 10


def _model(received):
    """A model that notes down the gradient which it is handed."""
    def model(x, t):
        def back(dy):
            received.append(np.array(dy))
            return dy * np.cos(x)

        return _output(x, t), back

    return model


def _gradient(back, received, error, w):
    came = back(3.0)
    if len(received) != 1:
        raise WrongAnswer(f"back(3): the model's own backward pass ran {len(received)} times, expected once")
    same(received[0], 6 * w * error / error.size, "what the model's backward pass is handed by back(3)", {
        **_wrong_gradients(error * w, 3.0),
        "the weights are not used in the gradient": 6 * error / error.size,
    })
    if came is None:
        raise WrongAnswer("back(3): nothing came back: return what the model's backward pass returns")


def _wrong_means(error, w=1.0):
    square = w * error**2
    return {
        "a sum; it is a mean over all numbers": square.sum(),
        "a sum over each row; it is a mean over all numbers": square.sum(axis=1).mean(),
        "one loss for each sample; it is the mean over all numbers": square.mean(axis=1),
        "half of it: there is no 1/2 in this loss": square.mean() / 2,
        "not squared": np.abs(w * error).mean(),
        "the root of the mean; it is the mean of the squares": np.sqrt(square.mean()),
    }


def _wrong_gradients(error, dloss):
    return {
        "dloss is not used: whatever comes after the loss scales its gradient": 2 * error / error.size,
        "the mean divides the gradient too, by the number of all numbers": 2 * dloss * error,
        "divided by the batch size; the mean runs over all numbers": 2 * dloss * error / len(error),
        "the 2 of the square is missing": dloss * error / error.size,
        "this is the gradient by the target: a sign": -2 * dloss * error / error.size,
    }
