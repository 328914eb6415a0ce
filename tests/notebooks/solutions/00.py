"""Answers to the exercises of chapter 0, so that a test can tell that they have one."""

import numpy as np


def sigma_of(alpha):
    return np.sqrt(1 - alpha**2)


def unmix(mixture, noise, t):
    return (mixture - schedule.sigma(t) * noise) / schedule.alpha(t)  # noqa: F821 - the chapter's own


def my_year(noise):
    return draw(noise, np.array([1, 9, 9, 9]))[-1]  # noqa: F821
