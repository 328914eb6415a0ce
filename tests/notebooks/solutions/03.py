"""Answers to the exercises of chapter 3, so that a test can tell that they have one."""

import numpy as np


def log_snr(betas):
    alpha_bar = np.cumprod(1 - betas)
    return np.log(alpha_bar / (1 - alpha_bar))


def jump(alpha_bar, s, t):
    a = np.sqrt(alpha_bar[t] / alpha_bar[s])
    return a, np.sqrt(1 - a**2)


def betas_of(alpha_bar):
    return 1 - alpha_bar / np.append(1, alpha_bar[:-1])


def end_in_pure_noise(alpha_bar):
    a = np.sqrt(alpha_bar)
    return ((a - a[-1]) * a[0] / (a[0] - a[-1])) ** 2
