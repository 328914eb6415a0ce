"""Answers to the exercises of chapter 7, so that a test can tell that they have one."""

import numpy as np


def mean_from_eps(x, eps, t):
    return (x - beta[t] / np.sqrt(1 - alpha_bar[t]) * eps) / np.sqrt(1 - beta[t])  # noqa: F821 - the chapter's own


def too_much(alpha_bar, t):
    return 1 - (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t])


def walk_from(denoiser, x, t, rng):
    for s in range(t, -1, -1):
        x0, _ = denoiser(x, s)
        x = c_x0[s] * x0 + c_xt[s] * x  # noqa: F821
        if s > 0:
            x = x + np.sqrt(beta_tilde[s]) * rng.standard_normal(x.shape)  # noqa: F821
    return x
