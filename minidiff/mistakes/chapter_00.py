"""Chapter 0, the tour: known mistakes in mixing noise and in asking for digits."""

import numpy as np

from ..diffusion import Schedule
from ..grading import WrongAnswer, same

SCHEDULE = Schedule.cosine(1000)  # the chapter's


def sigma_of(answer):
    for alpha in (0.6, np.array([0.6, 0.28, 0.8])):
        same(answer(alpha), np.sqrt(1 - alpha**2), "sigma", {
            "the squares add up to 1, not the amounts themselves": 1 - alpha,
            "the square root is missing": 1 - alpha**2,
            "alpha is not squared": np.sqrt(1 - alpha),
            "the squares add up to 1; this is a plus": np.sqrt(1 + alpha**2),
            "this is alpha itself": alpha,
        })


def unmix(answer):
    x, noise = np.random.default_rng(1).standard_normal((2, 3, 8, 8, 1))
    for t in (50, 500):
        a, s = SCHEDULE.alpha(t), SCHEDULE.sigma(t)
        z = a * x + s * noise
        same(answer(z, noise, t), x, f"the image, t = {t}", {
            "not yet divided by the image's share, alpha": z - s * noise,
            "the noise's share, sigma, is missing: not all of the noise is in the mixture": (z - noise) / a,
            "alpha and sigma have changed places": (z - a * noise) / s,
            "the noise is added; it has to be taken away": (z + s * noise) / a,
            "multiplied by alpha: mix multiplied, so divide": (z - s * noise) * a,
            "first the noise is taken away, then all of it is divided by alpha": z / a - s * noise,
            "divided by alpha's square": (z - s * noise) / a**2,
            "the noise is still in it": z / a,
            "these are the amounts of t = 500; ask the schedule for those of t": (z - SCHEDULE.sigma(500) * noise) / (
                SCHEDULE.alpha(500)),
        })


def my_year(answer):
    first, second = np.random.default_rng(1).standard_normal((2, 4, 8, 8, 1)).astype(np.float32)
    year = np.asarray(answer(first))
    if year.shape != (4, 8, 8, 1):
        raise WrongAnswer("the year: " + {
            (25, 4, 8, 8, 1): "these are all the states that draw returns; the last one is the four digits",
            (8, 8, 1): "this is one image; four digits are asked for",
            (1, 8, 8, 1): "this is one image; four digits are asked for",
        }.get(year.shape, f"its shape is {year.shape}, expected (4, 8, 8, 1)"))
    if not np.allclose(answer(first), year, atol=1e-3):
        raise WrongAnswer("the year: it is another one each time; draw it only from the noise that is given")
    if np.allclose(answer(second), year, atol=1e-3):
        raise WrongAnswer("the year: it is the same for any noise; hand draw the noise that is given")
    if np.allclose(year, first):
        raise WrongAnswer("the year: this is the noise that was given; let draw make digits of it")
