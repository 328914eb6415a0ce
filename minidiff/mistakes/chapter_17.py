"""Chapter 17, flow matching: known mistakes in velocities, times, paths, the loss, Heun's method and pairs."""

import itertools

import numpy as np

from ..grading import WrongAnswer, parts, same


def velocity_from_eps(answer):
    x, eps, t = np.array([[0.5, -1.0], [2.0, 0.3]]), np.array([[1.5, 0.2], [-0.7, 0.9]]), 0.2
    x0 = (x - t * eps) / (1 - t)
    same(answer(x, eps, t), (eps - x) / (1 - t), "the velocity", {
        "a sign: the velocity is eps - x0, from the data to the noise": (x - eps) / (1 - t),
        "t and 1 - t have changed places: x_t = (1 - t) x0 + t eps": (eps - x) / t,
        "this is x0; the velocity is eps - x0": x0,
        "this is eps - x_t: x_t is not x0, divide by 1 - t": eps - x,
        "multiplied by 1 - t; to solve for x0, divide": (eps - x) * (1 - t),
        "x0 is (x_t - t eps) / (1 - t); t is missing in front of eps": eps - (x - eps) / (1 - t),
        "x0 is (x_t - t eps) / (1 - t); the division is missing": eps - (x - t * eps),
        "x0 is (x_t - t eps) / (1 - t): here t and 1 - t have changed places": eps - (x - (1 - t) * eps) / t,
        "this is v = alpha eps - sigma x0 of chapter 4; the velocity is eps - x0": (1 - t) * eps - t * x0,
        "a factor t too many: the velocity is (eps - x_t) / (1 - t)": t * (eps - x) / (1 - t),
    })


def shift_time(answer):
    t, pixels, base = np.array([0.1, 0.5, 0.8]), 1600, 100
    n, s = 16.0, 4.0

    def shifted(s):
        return s * t / (1 + (s - 1) * t)

    same(answer(t, pixels, base), shifted(s), "the times", {
        "the root is missing: s = sqrt(pixels / base)": shifted(n),
        "upside down: s is the root of pixels / base, larger images get later times": shifted(1 / s),
        "upside down, and the root is missing: s = sqrt(pixels / base)": shifted(1 / n),
        "the denominator is missing: t' stays between 0 and 1": s * t,
        "the denominator is 1 + (s - 1) t; this is 1 + s t": s * t / (1 + s * t),
        "the denominator is 1 + (s - 1) t; this is 1 + (s + 1) t": s * t / (1 + (s + 1) * t),
        "a sign in the denominator: 1 + (s - 1) t": s * t / (1 - (s - 1) * t),
        "this is the noise-to-signal ratio s t / (1 - t); t' is asked for": s * t / (1 - t),
        "the time runs from noise to data here; t = 1 is noise": 1 - shifted(s),
    })
    same(answer(0.5, pixels, base), 0.8, "t' for the number t = 0.5")


def detour(answer):
    rng = np.random.default_rng(17)
    path = rng.standard_normal((5, 3, 2)).cumsum(axis=0)
    steps, whole = np.diff(path, axis=0), path[-1] - path[0]
    length, far = np.sqrt((steps**2).sum(axis=2)), np.sqrt((whole**2).sum(axis=1))
    corners = np.abs(steps).sum(axis=(0, 2)) / np.abs(whole).sum(axis=1)
    same(answer(path), length.sum(axis=0) / far, "the detour", {
        "upside down: the length of the path stands above": far / length.sum(axis=0),
        "the mean of the steps; their sum is the length of the path": length.mean(axis=0) / far,
        "the root comes after the sum: the length of each step first": np.sqrt((steps**2).sum(axis=(0, 2))) / far,
        "the roots are missing: lengths, not their squares": (steps**2).sum(axis=(0, 2)) / far**2,
        "the root of the distance is missing": length.sum(axis=0) / far**2,
        "the roots of the steps are missing": (steps**2).sum(axis=(0, 2)) / far,
        "coordinates are not lengths: this adds their absolute values": corners,
        "this is the length of the path; divide by the distance of its ends": length.sum(axis=0),
        "one number for the batch: each path has its own detour": length.sum() / far.sum(),
        "the mean over the batch: each path has its own detour": (length.sum(axis=0) / far).mean(),
        "divided by the distance of the last state from 0; the path starts at path[0]": length.sum(axis=0)
        / np.sqrt((path[-1] ** 2).sum(axis=1)),
        "the last step is missing": length[:-1].sum(axis=0) / far,
    })


# ---- build it: the loss, Heun's method, the best pairs


def flow_loss(answer):
    x0, given, handed = np.linspace(-1, 1, 24).reshape(6, 2, 2, 1) ** 3, [], []

    def model(x, t):
        given.append((np.array(x), np.array(t)))

        def back(dy):
            handed.append(np.array(dy))
            return dy.sum()

        return np.sin(3 * x), back

    def drawn(noise_first=False):
        rng = np.random.default_rng(18)
        if noise_first:
            eps = rng.standard_normal(x0.shape)
            return rng.random(6), eps
        return rng.random(6), rng.standard_normal(x0.shape)

    loss, back = parts(answer(model, x0, np.random.default_rng(18)), "loss", "back")
    if len(given) != 1:
        raise WrongAnswer(f"the model was called {len(given)} times, expected one call")
    (x, t), (t_right, eps) = given[0], drawn()
    late, _ = drawn(noise_first=True)
    column = t_right.reshape(6, 1, 1, 1)
    same(t, t_right, "the t that the model gets", {
        "the noise was drawn first; the order is t, then the noise": late,
        "one t for the whole batch: `rng.random(len(x0))` draws one for each sample": t_right[0],
        "the model gets 1 - t; at t = 1 there is noise": 1 - t_right,
        "the model gets t in the shape that broadcasts; call it with the t that was drawn, (B,)": column,
    })
    same(x, (1 - column) * x0 + column * eps, "x_t", {
        "t and 1 - t have changed places: x_t = (1 - t) x0 + t eps": column * x0 + (1 - column) * eps,
        "this is x0 + t eps; x0 shrinks by 1 - t": x0 + column * eps,
        "this is a diffusion's sqrt(1 - t^2) x0 + t eps": np.sqrt(1 - column**2) * x0 + column * eps,
    })
    y, u = np.sin(3 * x), eps - x0
    right = ((y - u) ** 2).mean()
    same(loss, right, "the loss", {
        "a sign: the velocity is eps - x0": ((y + u) ** 2).mean(),
        "the target is the noise; it is the velocity, eps - x0": ((y - eps) ** 2).mean(),
        "the target is x0; it is the velocity, eps - x0": ((y - x0) ** 2).mean(),
        "the target is the velocity eps - x0, not eps - x_t": ((y - eps + x) ** 2).mean(),
        "a sum; it is a mean over all entries": ((y - u) ** 2).sum(),
        "divided by the batch size; it is a mean over all entries": ((y - u) ** 2).sum() / 6,
        "half of it: there is no 1/2 in this loss": right / 2,
        "the square is missing": np.abs(y - u).mean(),
        "the mean of the difference was squared; it is the mean of the squares": (y - u).mean() ** 2,
    })
    got = back(3.0)
    if len(handed) != 1:
        raise WrongAnswer(f"back called the model's back {len(handed)} times, expected one call")
    gradient = 2 * (y - u) / y.size
    same(handed[0], 3 * gradient, "the gradient by y, for dloss = 3", {
        "dloss is not used": gradient,
        "the 2 of the square is missing": 1.5 * gradient,
        "a sign: the error is y - u": -3 * gradient,
        "not divided by the number of entries": 3 * gradient * y.size,
        "divided by the batch size; the mean runs over all entries": 3 * gradient * y.size / 6,
    })
    same(got, 3 * gradient.sum(), "what back returns", {
        "the gradient by y was returned; return what the model's back returns": 3 * gradient,
    })


def heun_flow(answer):
    x, times, asked = np.array([[1.0, -2.0], [0.5, 3.0]]), [1.0, 0.7, 0.2, 0.0], []

    def u(x, t):
        return np.sin(x) + t * x

    def counted(x, t):
        asked.append(float(t))
        return u(x, t)

    def walk(step, visited=times):
        at = x
        for t, after in itertools.pairwise(visited):
            at = step(at, t, after, after - t)
        return at

    right = walk(lambda x, t, r, h: x + h * (u(x, t) + u(x + h * u(x, t), r)) / 2)
    same(answer(counted, x, times), right, "x at the last time", {
        "this is Euler: the velocity at the end of the step is not used": walk(lambda x, t, r, h: x + h * u(x, t)),
        "the sum of the two velocities; Heun takes their mean": walk(
            lambda x, t, r, h: x + h * (u(x, t) + u(x + h * u(x, t), r))),
        "only the velocity at the end; Heun takes the mean of both": walk(lambda x, t, r, h: x + h * u(x + h * u(x, t), r)),
        "the weights are 1/2 and 1/2; these are 1/3 and 2/3": walk(
            lambda x, t, r, h: x + h * (u(x, t) + 2 * u(x + h * u(x, t), r)) / 3),
        "the weights are 1/2 and 1/2; these are 2/3 and 1/3": walk(
            lambda x, t, r, h: x + h * (2 * u(x, t) + u(x + h * u(x, t), r)) / 3),
        "the weights are 1/2 and 1/2; these are 1/4 and 3/4": walk(
            lambda x, t, r, h: x + h * (u(x, t) + 3 * u(x + h * u(x, t), r)) / 4),
        "this is the midpoint method; Heun evaluates the second velocity at the end of the step": walk(
            lambda x, t, r, h: x + h * u(x + h / 2 * u(x, t), (t + r) / 2)),
        "the second half starts where Euler's step ended; the step starts at x again": walk(
            lambda x, t, r, h: x + h * u(x, t) + h * (u(x, t) + u(x + h * u(x, t), r)) / 2),
        "the second velocity belongs to the time at the end of the step, not to that at its start": walk(
            lambda x, t, r, h: x + h * (u(x, t) + u(x + h * u(x, t), t)) / 2),
        "the second velocity is evaluated at x; it belongs to the end of Euler's step": walk(
            lambda x, t, r, h: x + h * (u(x, t) + u(x, r)) / 2),
        "a sign: the length of a step is after - t, below 0 when the times fall": walk(
            lambda x, t, r, h: x - h * (u(x, t) + u(x - h * u(x, t), r)) / 2),
        "a sign: the mean is added, times after - t": walk(lambda x, t, r, h: x - h * (u(x, t) + u(x + h * u(x, t), r)) / 2),
        "a sign: Euler's step to the second velocity goes the other way": walk(
            lambda x, t, r, h: x + h * (u(x, t) + u(x - h * u(x, t), r)) / 2),
        "the last step is missing": walk(lambda x, t, r, h: x + h * (u(x, t) + u(x + h * u(x, t), r)) / 2, times[:-1]),
        "only one step was taken": walk(lambda x, t, r, h: x + h * (u(x, t) + u(x + h * u(x, t), r)) / 2, times[:2]),
        "the steps have different lengths: after - t": walk(
            lambda x, t, r, h: x - (u(x, t) + u(x - u(x, t) / 3, r)) / 6),
    })
    same(asked, [1.0, 0.7, 0.7, 0.2, 0.2, 0.0], "the times at which the velocity was evaluated")
    same(answer(u, x, [0.0, 0.5]), x + 0.25 * (u(x, 0.0) + u(x + 0.5 * u(x, 0.0), 0.5)), "x after a step from 0 up to 0.5")


def best_pairs(answer):
    x0 = np.array([[0.9, 0.5], [-1.8, -1.4], [-0.3, -1.3], [1.4, 1.9], [0.2, 1.4]])  # each mistake leads to another order
    eps = np.array([[-1.0, -0.4], [-1.2, 1.3], [0.9, 0.7], [-1.4, 1.6], [-0.6, 0.9]])
    away = x0[:, None] - eps
    table = (away**2).sum(axis=2)

    def best(table, choose=min):
        return np.array(choose(itertools.permutations(range(5)), key=lambda order: table[np.arange(5), list(order)].sum()))

    taken, greedy = [], []
    for row in table:
        taken.append(next(j for j in np.argsort(row).tolist() if j not in taken))
    rest = table.copy()
    for _ in range(5):
        i, j = np.unravel_index(rest.argmin(), rest.shape)
        greedy.append((i, j))
        rest[i], rest[:, j] = np.inf, np.inf
    right = best(table)
    same(answer(x0, eps), right, "the order", {
        "each sample takes its nearest noise, and some noises are used twice: every noise is used once": table.argmin(axis=1),
        "each noise takes its nearest sample, and some samples are used twice": table.argmin(axis=0),
        "the samples choose one after the other; the sum over all of them counts": np.array(taken),
        "the nearest pair first, then the next: the sum over all pairs counts": np.array([j for _, j in sorted(greedy)]),
        "the other way round: order[i] is the noise of sample i, not the sample of noise i": np.argsort(right),
        "the distances are squared: they are to be added without a root": best(np.sqrt(table)),
        "absolute values for squares: the cost is the sum of the squared differences": best(np.abs(away).sum(axis=2)),
        "this is the worst pairing, with the largest sum": best(table, max),
        "only the first coordinate counts here; a distance has all of them": best(away[:, :, 0] ** 2),
        "nothing was reordered": np.arange(5),
    })
