"""Chapter 13, distillation: known mistakes in the target, its loss, and the steps of the teacher."""

import numpy as np

from ..diffusion import Schedule
from ..grading import parts, same

TIMES = np.array([9, 8, 6, 5, 4, 1])  # of the teacher; the student's are 9, 6, 4
ALPHA, SIGMA = (np.append(f(0.15 * TIMES), end) for f, end in ((np.cos, 1.0), (np.sin, 0.0)))  # the clean end last
STEP = np.array([1, 0, 2, 1])  # which of the student's three steps each sample practises


def v_target(answer):
    schedule, t = Schedule.cosine(1000), 300
    a, s = schedule.alpha(t), schedule.sigma(t)
    goal, z = np.array([[1.0, -2.0], [0.5, 3.0]]), np.array([[0.3, 1.5], [-2.0, 1.0]])
    same(answer(goal, z, t), (a * z - goal) / s, "the target", {
        "a sign: v = (alpha z - x) / sigma": (goal - a * z) / s,
        "alpha is missing: x = alpha z - sigma v": (z - goal) / s,
        "divided by alpha: x = alpha z - sigma v is to be solved for v": (a * z - goal) / a,
        "multiplied by sigma: to solve for v, divide": (a * z - goal) * s,
        "the division by sigma is missing": a * z - goal,
        "this is eps, (z - alpha x) / sigma": (z - a * goal) / s,
        "alpha and sigma have changed places": (s * z - goal) / a,
        "x and z have changed places": (a * goal - z) / s,
    })


def calls(answer):
    same(answer(64, 700), 12600, "calls(64, 700)", {
        "two calls in each training step are counted: the teacher is asked twice, the student once": 8400,
        "only one call in each training step is counted: the teacher twice, the student once": 4200,
        "one stage too many: from start to 1 there are log2(start) halvings": 14700,
        "one stage too few: from start to 1 there are log2(start) halvings": 10500,
        "it is halved, not counted down: log2(start) stages": 3 * 700 * 63,
        "start itself is no number of stages: there are log2(start) halvings": 3 * 700 * 64,
        "only one stage is counted": 2100,
        "the number of training steps is not used": 18,
    })
    same(answer(2, 10), 30, "calls(2, 10)")


def weighted_loss(answer):
    v, goal = _random((4, 3), (4, 3))
    weight, error = np.array([[1.0], [0.1], [5.0], [2.0]]), v - goal
    loss, back = parts(answer(v, goal, weight), "loss", "back")
    same(loss, (weight * error**2).mean(), "loss", {
        "the weight is squared: it stands on the squared error, not in it": ((weight * error) ** 2).mean(),
        "a sum; it is a mean over all numbers": (weight * error**2).sum(),
        "divided by the sum of the weights; it is a plain mean": (weight * error**2).sum() / weight.sum() / 3,
        "divided by the sum of the weights; it is a plain mean over all numbers": (weight * error**2).sum() / weight.sum(),
        "the weight is missing": (error**2).mean(),
        "divided by the batch size; it is a mean over all numbers": (weight * error**2).sum() / 4,
        "half of it: there is no 1/2 in this loss": (weight * error**2).mean() / 2,
    })
    _gradient(back, 2 * weight * error / 12, {
        "the weight is missing": 6 * error / 12,
        "the weight is squared": 6 * weight**2 * error / 12,
        "the mean divides the gradient too, by the number of all numbers": 6 * weight * error,
        "divided by the batch size; the mean runs over all numbers": 6 * weight * error / 4,
    })


def guided_target(answer):
    def denoiser(x, t, cond=None):
        return np.cos(x) + 50, np.sin(x + t) + np.asarray(cond, float)[:, None]

    z, cond, null, w = np.array([[0.5], [-1.0]]), np.array([3, 1]), np.array([10, 10]), 1.5
    a, b = denoiser(z, 30, cond)[1], denoiser(z, 30, null)[1]
    same(answer(denoiser, z, 30, cond, null, w), (1 + w) * a - w * b, "the noise", {
        "condition and null have changed places": (1 + w) * b - w * a,
        "this is Stable Diffusion's scale, w = scale - 1": b + w * (a - b),
        "the null answer is added; it is taken away": (1 + w) * a + w * b,
        "the weights have to add up to 1: (1 + w) and -w": w * a - w * b,
        "the guess of x0 is guided; asked is the noise, the second of the two": np.cos(z) + 50,
        "only the condition is asked": a,
    })


# ---- build it: the steps of the teacher, the student's target, the loss


def two_steps(answer):
    def teacher(x, t):
        a, s = np.cos(0.15 * t)[:, None], np.sin(0.15 * t)[:, None]
        x0 = np.sin(x + 0.3 * t[:, None])
        return x0, (x - a * x0) / s

    (z,) = _random((4, 2))

    def walk(now, half, end, second_from=None, second_at=None, second=None):
        a, s = ALPHA[:, None], SIGMA[:, None]
        x1, e1 = teacher(z, TIMES[now])
        z_half = a[half] * x1 + s[half] * e1
        x2, e2 = teacher(z_half if second_from is None else z, TIMES[half if second_at is None else second_at])
        return z_half, x1, x2, a[end] * (x1 if second else x2) + s[end] * (e1 if second else e2)

    k = 2 * STEP
    z_half, x1, x2, end = walk(k, k + 1, k + 2)
    first, second, got = parts(answer(teacher, z, STEP, TIMES, ALPHA, SIGMA), "first", "second", "end")
    same(first, x1, "first", {
        "the noise is returned; the teacher's x0 is the first of its two": teacher(z, TIMES[k])[1],
        "student step i starts at the teacher's time 2 i, not i": teacher(z, TIMES[STEP])[0],
        "each sample has its own step; this is the step of the first sample": teacher(z, TIMES[k[:1].repeat(4)])[0],
    })
    same(second, x2, "second", {
        "the teacher is asked about z_t again; the second time it is at z_s": teacher(z, TIMES[k + 1])[0],
        "the teacher is asked with the first time again; at z_s the time is 2 i + 1": teacher(z_half, TIMES[k])[0],
        "the first step ends at the teacher's time 2 i + 1, not at the student's next time": walk(k, (k + 2) % 6, k)[2],
        "this is the first prediction": x1,
    })
    same(got, end, "end", {
        "one step only: this is z_s, and the second step continues to z_u": z_half,
        "one long step with the first prediction; the second one has to be used": walk(k, k + 1, k + 2, second=True)[3],
        "the second step starts at z_s; here it starts at z_t": (
            ALPHA[k + 2, None] * x2 + SIGMA[k + 2, None] / SIGMA[k, None] * (z - ALPHA[k, None] * x2)
        ),
        "the second step ends at index 2 i + 2": walk(k, k + 1, k + 1)[3],
        "the noise is missing: alpha_u x alone": ALPHA[k + 2, None] * x2,
    })


def mixed_target(answer):
    first, second = _random((4, 3), (4, 3))
    a, s, k = ALPHA[:, None], SIGMA[:, None], 2 * STEP

    def shares(k, half, end):
        one = s[end] / s[half] * (a[half] - s[half] / s[k] * a[k])
        return one, a[end] - s[end] / s[half] * a[half]

    one, two = shares(k, k + 1, k + 2)
    c, middle = one / (one + two), a[k + 1] - s[k + 1] / s[k] * a[k]
    i1, i2 = shares(STEP, STEP + 1, STEP + 2)
    same(answer(first, second, STEP, ALPHA, SIGMA), c * first + (1 - c) * second, "the target", {
        "a plain mean of the two predictions; their weights depend on the noise levels": (first + second) / 2,
        "first and second have changed places": (1 - c) * first + c * second,
        "the weights do not add up to 1: divide by their sum": one * first + two * second,
        "the first prediction reaches the end only after the second step, which shrinks it by sigma_u / sigma_s": (
            (middle * first + two * second) / (middle + two)
        ),
        "this is the first prediction alone": first,
        "this is the second prediction alone": second,
        "student step i starts at index 2 i of alpha and sigma, not at i": (i1 * first + i2 * second) / (i1 + i2),
        "each sample has its own step; this is the step of the first sample": c[0] * first + (1 - c[0]) * second,
    })


def distillation_loss(answer):
    v, z, goal = _random((4, 3), (4, 3), (4, 3))
    a, s = ALPHA[2 * STEP][:, None], SIGMA[2 * STEP][:, None]
    weight, error = np.maximum(a**2, s**2), v - (a * z - goal) / s
    a_i, s_i = ALPHA[STEP][:, None], SIGMA[STEP][:, None]
    squares = weight * error**2
    loss, back = parts(answer(v, z, goal, STEP, ALPHA, SIGMA), "loss", "back")
    same(loss, squares.mean(), "loss", {
        "v is compared with the x0 of the target; turn the target into a v first": (weight * (v - goal) ** 2).mean(),
        "the weight is missing: max(alpha^2, sigma^2)": (error**2).mean(),
        "the weight is the smaller of the two, expected the larger": (np.minimum(a**2, s**2) * error**2).mean(),
        "the weight max(SNR, 1) belongs to an error of x0; on v it is max(alpha^2, sigma^2)": (
            np.maximum(a**2 / s**2, 1) * error**2
        ).mean(),
        "the weight lacks its squares: max(alpha^2, sigma^2)": (np.maximum(a, s) * error**2).mean(),
        "a sign: the target is v = (alpha z - x) / sigma": (weight * (v - (goal - a * z) / s) ** 2).mean(),
        "a sum; it is a mean over all numbers": squares.sum(),
        "divided by the batch size; it is a mean over all numbers": squares.sum() / 4,
        "student step i starts at index 2 i of alpha and sigma, not at i": (
            np.maximum(a_i**2, s_i**2) * (v - (a_i * z - goal) / s_i) ** 2
        ).mean(),
    })
    _gradient(back, 2 * weight * error / 12, {
        "the weight is missing": 6 * error / 12,
        "the mean divides the gradient too, by the number of all numbers": 6 * weight * error,
        "divided by the batch size; the mean runs over all numbers": 6 * weight * error / 4,
        "this is the gradient by x0 of the student; asked is that by its v": -6 * weight * error / 12 / s,
    })


def _gradient(back, right, mistakes):
    """back(3) is 3 right, or what is usual for a squared error."""
    same(back(3.0), 3 * right, "back(3)", {
        "dloss is not used": right,
        "the 2 of the square is missing": 1.5 * right,
        "a sign: the error is v - goal": -3 * right,
        **mistakes,
    })


def _random(*shapes):
    rng = np.random.default_rng(13)
    return [rng.standard_normal(shape) for shape in shapes]
