"""Chapter 17: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import itertools
import math

import numpy as np

from minidiff import gradcheck, grading

WITHOUT = {  # what an answer may not call
    "velocity_from_eps": ["minidiff.diffusion.Denoiser", "minidiff.diffusion.denoiser.to_x0_eps"],
    "shift_time": ["minidiff.diffusion.Flow.shifted"],
    "flow_loss": ["minidiff.diffusion.SimpleLoss", "minidiff.diffusion.ReflowLoss"],
    "heun_flow": ["euler", "minidiff.samplers.*"],
    "best_pairs": ["swapped", "minidiff.diffusion.optimal_pairs"],
}

# ---- 1


def velocity_from_eps(xt, eps, t):
    return (eps - xt) / (1 - t)


def check_early_and_late():
    """images, from t = 0, where x_t is clean, to nearly pure noise"""
    x0, eps = np.random.default_rng(40).standard_normal((2, 3, 4, 4, 1))
    for t in (0.0, 0.25, 0.5, 0.9, 0.999):
        grading.same(velocity_from_eps((1 - t) * x0 + t * eps, eps, t), eps - x0, f"the velocity at t = {t}")


# ---- 2


def shift_time(t, pixels, base):
    s = math.sqrt(pixels / base)
    return s * t / (1 + (s - 1) * t)


def check_noise_to_signal():
    """the ratio of noise to signal grows by the root of the pixels; both ends stay; smaller images; there and back"""
    t = np.array([0.0, 0.05, 0.3, 0.5, 0.99])
    for pixels, base, s in ((4 * 64, 64, 2.0), (9 * 64, 64, 3.0), (16, 64, 0.5), (100, 100, 1.0)):
        got = shift_time(t, pixels, base)
        grading.same(got / (1 - got), s * t / (1 - t), f"t' / (1 - t') from {base} to {pixels} pixels")
        grading.same(shift_time(1.0, pixels, base), 1.0, "t' for t = 1")
        grading.same(shift_time(got, base, pixels), t, "t shifted there and back")
    grading.same(shift_time(0.2, 64 * 9, 64), 3 / 7, "t' for t = 0.2 and nine times the pixels")


# ---- 3


def detour(path):
    length = np.sqrt((np.diff(path, axis=0) ** 2).sum(axis=2)).sum(axis=0)
    return length / np.sqrt(((path[-1] - path[0]) ** 2).sum(axis=1))


def check_known_paths():
    """a right angle, a half circle, a straight line with steps of different length, in three dimensions too"""
    corner = np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]])
    straight = np.array([[1.0, 1.0], [1.5, 2.0], [4.0, 7.0]])
    grading.same(detour(np.stack([corner, straight], axis=1)), [7 / 5, 1.0], "the detours of a corner and a straight path")
    turn = np.pi * np.arange(401) / 400
    circle = 2.5 * np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)[:, None]  # (401, 1, 3)
    grading.same(detour(circle), [np.pi / 2], "the detour of a half circle in space", rtol=1e-4)


# ---- 4


def flow_loss(model, x0, rng):
    t = rng.random(len(x0))
    eps = rng.standard_normal(x0.shape)
    share = t.reshape((-1,) + (1,) * (x0.ndim - 1))
    y, back_model = model((1 - share) * x0 + share * eps, t)
    error = y - (eps - x0)

    def back(dloss=1.0):
        return back_model(dloss * 2 * error / y.size)

    return (error**2).mean(), back


def check_images_and_gradient():
    """images and points, each at its own time; the loss of the perfect velocity; the gradient of a weight for each pixel"""
    x0, seen = np.random.default_rng(41).standard_normal((6, 3, 2, 1)), []

    def watching(x, t):
        seen.append((np.asarray(x), np.asarray(t)))
        return 0 * np.asarray(x), lambda dy: dy

    grading.parts(flow_loss(watching, x0, np.random.default_rng(42)), "loss", "back")
    (x, t), rng = seen[-1], np.random.default_rng(42)
    t_right = rng.random(6)
    eps = rng.standard_normal(x0.shape)
    grading.same(t, t_right, "the t that the model gets")
    column = t_right[:, None, None, None]
    grading.same(x, x0 + column * (eps - x0), "x_t")
    loss, _ = flow_loss(lambda x, t: (eps - x0, lambda dy: dy), x0, np.random.default_rng(42))
    grading.same(loss, 0.0, "the loss of the right velocity")

    def of(weight):
        def model(x, t):
            return weight * x + t[:, None, None, None], lambda dy: (dy * x).sum(axis=0)

        return flow_loss(model, x0, np.random.default_rng(42))

    points = np.random.default_rng(45).standard_normal((5, 2))
    loss, _ = flow_loss(lambda x, t: (x, lambda dy: dy), points, np.random.default_rng(46))
    rng = np.random.default_rng(46)
    t, eps_of_points = rng.random(5)[:, None], rng.standard_normal((5, 2))
    right = ((points + t * (eps_of_points - points) - eps_of_points + points) ** 2).mean()
    grading.same(loss, right, "the loss of points (5, 2) whose predicted velocity is x_t")
    weight = np.random.default_rng(43).standard_normal((3, 2, 1))
    grading.same(of(weight)[0], ((weight * x + column - eps + x0) ** 2).mean(), "the loss")
    gradcheck.check(of, weight)


# ---- 5


def heun_flow(velocity, x, times):
    for t, after in zip(times[:-1], times[1:], strict=True):
        h = after - t
        first = velocity(x, t)
        x = x + h * (first + velocity(x + h * first, after)) / 2
    return x


def check_order_and_back():
    """a Gaussian's flow, whose end is known: order 2, downwards and upwards, for images, with two calls a step"""
    m, c, calls = 0.3, 0.5, []

    def deviation(t):
        return np.sqrt((1 - t) ** 2 * c**2 + t**2)

    def velocity(x, t):
        calls.append(t)
        return (t - (1 - t) * c**2) / deviation(t) ** 2 * (x - (1 - t) * m) - m

    z, errors = np.linspace(-2, 2, 12).reshape(2, 3, 2, 1), {}
    for name, ends in (("data from noise", (1.0, 0.0)), ("noise from data", (0.0, 1.0))):
        start, end = ((1 - t) * m + deviation(t) * z for t in ends)
        for steps in (40, 80):
            calls.clear()
            got = heun_flow(velocity, start, np.linspace(*ends, steps + 1))
            grading.same(len(calls), 2 * steps, f"calls of the velocity in {steps} steps")
            errors[steps] = np.abs(np.asarray(got) - end).max()
        order = math.log2(errors[40] / errors[80])
        if not (abs(order - 2) < 0.2 and errors[80] < 1e-3):
            raise grading.WrongAnswer(f"{name}: the error falls with order {order:.2f}, expected 2; it is {errors[80]:.1e}")
    got = heun_flow(lambda x, t: x * t, np.array([2.0]), [1.0, 0.5, 0.25])
    grading.same(got, [1.25146484375], "x after two steps of different length")


# ---- 6


def best_pairs(x0, eps):
    B = len(x0)
    table = ((x0[:, None] - eps[None]) ** 2).reshape(B, B, -1).sum(axis=2)
    best = min(itertools.permutations(range(B)), key=lambda order: sum(table[i, j] for i, j in enumerate(order)))
    return np.array(best)


def check_every_order():
    """one sample, points on a line and in space, images, and a batch in which one noise is the nearest of all samples"""
    grading.same(best_pairs(np.ones((1, 2)), np.zeros((1, 2))), [0], "the order of one pair")
    rng = np.random.default_rng(44)
    for B in (3, 7):  # on a line the best pairs have the same rank
        x0, eps = rng.standard_normal((2, B, 1))
        right = np.empty(B, int)
        right[np.argsort(x0[:, 0])] = np.argsort(eps[:, 0])
        grading.same(best_pairs(x0, eps), right, f"the order of {B} points on a line")
    x0, moved = rng.standard_normal((6, 4, 4, 1)), np.array([2, 0, 5, 1, 3, 4])
    got = best_pairs(x0, x0[moved] + 0.1 * rng.standard_normal(x0.shape))
    grading.same(got, np.argsort(moved), "the order of images whose noises are near in another order")
    x0 = np.array([[3.0, 1.0, 0.0], [-2.0, -2.0, -4.0], [-4.0, -4.0, -3.0], [3.0, 1.0, 4.0]])
    eps = np.array([[0.0, 1.0, 4.0], [2.0, 1.0, 0.0], [1.0, 4.0, -2.0], [3.0, 2.0, -4.0]])
    grading.same(best_pairs(x0, eps), [2, 3, 1, 0], "the order of points in space")
    crowd, far = np.array([[0.1, 0.0], [0.0, 0.0], [0.0, 0.2]]), np.array([[0.0, 0.1], [6.0, 0.0], [0.0, 8.0]])
    grading.same(best_pairs(crowd, far), [1, 0, 2], "the order where one noise is the nearest of all samples")
