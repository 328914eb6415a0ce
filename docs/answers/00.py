"""Chapter 0: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import numpy as np

from minidiff import grading

# ---- 1


def sigma_of(alpha):
    return np.sqrt(1 - alpha**2)


def check_many_at_once():
    """a table of amounts, from none to all, and none below 0"""
    got = sigma_of(np.array([[0.0, 5 / 13, 8 / 17], [0.96, 1.0, 0.5]]))
    grading.same(got, [[1.0, 12 / 13, 15 / 17], [0.28, 0.0, 0.8660254037844386]], "sigma")


# ---- 2


def unmix(mixture, noise, t):
    return (mixture - schedule.sigma(t) * noise) / schedule.alpha(t)


def check_other_times():
    """first and late, for one image and for many, by the chapter's mix"""
    for t, shape in ((0, (1, 2, 2, 1)), (300, (5, 8, 8, 1)), (950, (8, 8, 1))):
        x, noise = np.random.default_rng(t).standard_normal((2, *shape))
        kept = np.cos((t + 1 + 8) / 1008 * np.pi / 2) ** 2 / np.cos(8 / 1008 * np.pi / 2) ** 2
        grading.same(unmix(kept**0.5 * x + (1 - kept) ** 0.5 * noise, noise, t), x, f"the image, t = {t}", rtol=1e-4, atol=1e-5)


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
