"""Answers to the exercises of chapter 4, so that a test can tell that they have one."""

import numpy as np


def eps_of_v(v, xt, t):
    return schedule.sigma(t) * xt + schedule.alpha(t) * v  # noqa: F821 - the chapter's own


def v_loss(output, x0, eps, t):
    error = output - (schedule.alpha(t) * eps - schedule.sigma(t) * x0)  # noqa: F821

    def back(dloss):
        return dloss * 2 * error / error.size

    return np.asarray((error**2).mean()), back


def min_snr_weight(snr):
    return np.minimum(snr, 5) / snr
