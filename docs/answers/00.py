"""Chapter 0: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import numpy as np

from minidiff import grading

# ---- 1


def sigma_of(alpha):
    return np.sqrt(1 - alpha**2)


def check_many_at_once():
    """an array of amounts, from none to all"""
    alpha = np.array([0.0, 0.28, 0.5, 0.8, 1.0])
    grading.same(sigma_of(alpha), np.sqrt(1 - alpha**2), "sigma", {
        "the squares add up to 1, not the amounts themselves": 1 - alpha,
        "the square root is missing": 1 - alpha**2,
        "alpha is not squared": np.sqrt(1 - alpha),
        "this is alpha itself": alpha,
    })


# ---- 2


def unmix(mixture, noise, t):
    return (mixture - schedule.sigma(t) * noise) / schedule.alpha(t)


def check_other_times():
    """early and late"""
    rng = np.random.default_rng(1)
    x, noise = rng.standard_normal((2, 3, 8, 8, 1))
    for t in (50, 400, 900):
        a, s = schedule.alpha(t), schedule.sigma(t)
        z = a * x + s * noise
        grading.same(unmix(z, noise, t), x, f"the picture, t = {t}", {
            "not yet divided by the picture's share, alpha": z - s * noise,
            "the noise's share, sigma, is missing: not all of the noise is in the mixture": (z - noise) / a,
            "alpha and sigma have changed places": (z - a * noise) / s,
            "the noise is added; it has to be taken away": (z + s * noise) / a,
            "multiplied by alpha: mix multiplied, so divide": (z - s * noise) * a,
            "first the noise is taken away, then all of it is divided by alpha": z / a - s * noise,
        }, rtol=1e-4, atol=1e-5)


# ---- 3


def my_year(noise):
    return draw(noise, np.array([1, 9, 9, 9]))[-1]


def check_from_the_noise_given():
    """the last state that `draw` makes from the noise that is given"""
    global draw
    kept, asked, noise = draw, [], np.random.default_rng(1).standard_normal((4, 8, 8, 1)).astype(np.float32)

    def noted(x, labels, *rest, **options):
        asked.append((np.array(x), np.array(labels)))
        return [np.full(np.shape(x), float(state)) for state in range(25)]

    draw = noted
    try:
        got = my_year(noise)
    finally:
        draw = kept
    if len(asked) != 1:
        raise grading.WrongAnswer(f"draw was called {len(asked)} times, expected once")
    grading.same(asked[0][0], noise, "the noise that draw begins from")
    if asked[0][1].shape != (4,) or not np.isin(asked[0][1], range(10)).all():
        raise grading.WrongAnswer(f"the digits are {asked[0][1]}, expected four from 0 to 9")
    grading.same(got, np.full((4, 8, 8, 1), 24.0), "the year", {
        "these are all the states; the picture is the last": [np.full((4, 8, 8, 1), float(state)) for state in range(25)],
        "this is the first state; the picture is the last": np.zeros((4, 8, 8, 1)),
    })
