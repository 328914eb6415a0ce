"""Chapter 4: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import numpy as np

from minidiff import grading

WITHOUT = {  # what an answer may not call
    "eps_of_v": ["x0_and_eps", "minidiff.diffusion.Denoiser.__call__"],
    "v_loss": ["minidiff.ops.*"],
    "eps_objective": ["noise_loss", "minidiff.ops.mse", "minidiff.diffusion.SimpleLoss.compare"],
    "v_objective": ["noise_loss", "minidiff.ops.mse", "minidiff.diffusion.SimpleLoss.compare"],
}

# ---- 1


def eps_of_v(v, xt, t):
    return schedule.sigma(t) * xt + schedule.alpha(t) * v


def check_at_both_ends():
    """the noise that was added to images, at the first and the last step"""
    rng = np.random.default_rng(4)
    x0, eps = rng.standard_normal((2, 2, 3, 3, 1))
    for t in (0, 333, 999):
        a = np.sqrt(np.prod(1 - np.linspace(1e-4, 0.02, 1000)[: t + 1]))
        s = np.sqrt(1 - a**2)
        got = eps_of_v(a * eps - s * x0, a * x0 + s * eps, t)
        grading.same(got, eps, f"the noise at t = {t}")


# ---- 2


def v_loss(output, x0, eps, t):
    error = output - (schedule.alpha(t) * eps - schedule.sigma(t) * x0)

    def back(dloss):
        return dloss * 2 * error / error.size

    return np.asarray((error**2).mean()), back


def check_target_and_mean():
    """the loss of images, at t of 0, 700 and 999"""
    for t in (0, 700, 999):
        output, x0, eps = np.random.default_rng(t).standard_normal((3, 2, 3, 4, 1))
        loss, _ = grading.parts(v_loss(output, x0, eps, t), "loss", "back")
        kept = np.prod(1 - np.linspace(1e-4, 0.02, 1000)[: t + 1])
        numbers = zip(output.ravel(), x0.ravel(), eps.ravel(), strict=True)
        right = sum((o - kept**0.5 * e + (1 - kept) ** 0.5 * x) ** 2 for o, x, e in numbers) / 24
        grading.same(loss, right, f"loss, at t = {t}")


def check_back():
    """the gradient is the slope of dloss times the loss, for images and for a single number"""
    for shape, t, dloss in (((2, 3, 1, 2), 50, -0.5), ((1, 1), 900, 7.0), ((6,), 400, 0.0)):
        output, x0, eps = np.random.default_rng(t).standard_normal((3, *shape))
        _, back = grading.parts(v_loss(output, x0, eps, t), "loss", "back")
        slope = np.zeros(shape)
        for at in np.ndindex(shape):  # the loss is a parabola: its difference quotient is exact
            step = np.zeros(shape)
            step[at] = 0.5
            slope[at] = v_loss(output + step, x0, eps, t)[0] - v_loss(output - step, x0, eps, t)[0]
        kept = np.prod(1 - np.linspace(1e-4, 0.02, 1000)[: t + 1])
        grading.same(slope, 2 / slope.size * (output - kept**0.5 * eps + (1 - kept) ** 0.5 * x0), f"the slope at t = {t}")
        grading.same(back(dloss), dloss * slope, f"back({dloss:g}), of shape {shape}")


# ---- 3


def min_snr_weight(snr):
    return np.minimum(snr, 5) / snr


def check_below_and_above():
    """1 where the SNR is below 5, less above, in a table too, and far out"""
    grading.same(min_snr_weight(np.array([[1e-8, 4.999], [5.0, 10.0]])), [[1.0, 1.0], [1.0, 0.5]], "the weight")
    grading.same(min_snr_weight(np.array([1e8, 50.0, 2.5, 1e4])), [5e-8, 0.1, 1.0, 5e-4], "the weight", atol=1e-12)


# ---- 4


def eps_objective(model, x0, t, eps, alpha_bar):
    kept = alpha_bar[t].reshape(-1, *[1] * (x0.ndim - 1))
    output, back_model = model(np.sqrt(kept) * x0 + np.sqrt(1 - kept) * eps, t)
    error = output - eps

    def back(dloss):
        return back_model(dloss * 2 * error / error.size)

    return (error**2).mean(), back


def check_any_rank():
    """x_t, t and the loss: rows, images and films, with as many samples as columns too"""
    alpha_bar = np.array([0.98, 0.75, 0.5, 0.04])
    for shape in ((4, 4), (2, 3), (3, 2, 3, 1), (2, 1, 3, 2, 2)):
        rng = np.random.default_rng(len(shape))
        (x0, eps, output), t, shown = rng.standard_normal((3, *shape)), rng.integers(0, 4, shape[0]), []

        def model(x, t, output=output, shown=shown):
            shown.append((np.array(x), np.array(t)))
            return output, lambda dy: dy

        loss, _ = grading.parts(eps_objective(model, x0, t, eps, alpha_bar), "loss", "back")
        about = f", for x0 of shape {shape}"
        grading.same(len(shown), 1, "the number of times that the model is asked")
        xt = np.stack([alpha_bar[k] ** 0.5 * x0[n] + (1 - alpha_bar[k]) ** 0.5 * eps[n] for n, k in enumerate(t)])
        grading.same(shown[0][0], xt, "what the model is shown" + about)
        grading.same(shown[0][1], t, "the t that the model gets" + about)
        grading.same(loss, np.vdot(output - eps, output - eps) / eps.size, "loss" + about)


def check_gradient():
    """back goes on through the model: its weight gets the slope of dloss times the loss"""
    for shape, dloss in (((3, 2), 1.0), ((2, 2, 1, 3), -0.25)):
        rng = np.random.default_rng(len(shape))
        (x0, eps), t, alpha_bar, w = rng.standard_normal((2, *shape)), np.arange(shape[0]), np.array([0.9, 0.5, 0.2]), 0.7

        def linear_in(w):
            return lambda x, t: (w * x, lambda dy: (dy * x).sum())

        _, back = grading.parts(eps_objective(linear_in(w), x0, t, eps, alpha_bar), "loss", "back")
        up, down = (eps_objective(linear_in(w + step), x0, t, eps, alpha_bar)[0] for step in (0.5, -0.5))
        kept = alpha_bar[t].reshape(-1, *[1] * (len(shape) - 1))
        xt = kept**0.5 * x0 + (1 - kept) ** 0.5 * eps
        grading.same(up - down, 2 * (xt * (w * xt - eps)).mean(), "the slope of the loss by the weight")
        grading.same(back(dloss), dloss * (up - down), f"the weight's gradient, by back({dloss:g})")


# ---- 5


def v_objective(model, x0, t, eps, alpha_bar, weight):
    kept = alpha_bar[t].reshape(-1, *[1] * (x0.ndim - 1))
    a, s, w = np.sqrt(kept), np.sqrt(1 - kept), weight.reshape(kept.shape)
    output, back_model = model(a * x0 + s * eps, t)
    error = output - (a * eps - s * x0)

    def back(dloss):
        return back_model(dloss * 2 * w * error / error.size)

    return (w * error**2).mean(), back


def check_any_rank_and_weight():
    """rows, images and films; weights of 0 and above 1; pure noise, where v is -x0"""
    alpha_bar = np.array([0.98, 0.75, 0.5, 0.0])
    for shape in ((4, 4), (2, 3), (4, 2, 3, 1), (2, 1, 3, 2, 2)):
        rng = np.random.default_rng(len(shape))
        x0, eps, output = rng.standard_normal((3, *shape))
        t, weight = 3 - np.arange(shape[0]), np.array([2.0, 0.0, 0.5, 7.0])[: shape[0]]
        got = v_objective(lambda x, t, y=output: (y + (x.T * t).T, None), x0, t, eps, alpha_bar, weight)
        loss, _ = grading.parts(got, "loss", "back")
        right = 0.0
        for n, k in enumerate(t):
            a, s = alpha_bar[k] ** 0.5, (1 - alpha_bar[k]) ** 0.5
            error = output[n] + k * (a * x0[n] + s * eps[n]) - (a * eps[n] - s * x0[n])
            right += weight[n] * np.vdot(error, error) / x0.size
        grading.same(loss, right, f"loss, for x0 of shape {shape}")


def check_gradient_with_weights():
    """back goes on through the model: its weight gets the slope of dloss times the loss"""
    for shape, dloss in (((3, 3), 1.0), ((2, 2, 1, 3), -0.25)):
        rng = np.random.default_rng(len(shape))
        (x0, eps), t, alpha_bar, w = rng.standard_normal((2, *shape)), np.arange(shape[0]), np.array([0.9, 0.5, 0.0]), 0.7
        weight = np.array([3.0, 0.5, 1.0])[: shape[0]]

        def linear_in(w):
            return lambda x, t: (w * x, lambda dy: (dy * x).sum())

        _, back = grading.parts(v_objective(linear_in(w), x0, t, eps, alpha_bar, weight), "loss", "back")
        up, down = (v_objective(linear_in(w + step), x0, t, eps, alpha_bar, weight)[0] for step in (0.5, -0.5))
        kept = alpha_bar[t].reshape(-1, *[1] * (len(shape) - 1))
        a, s = kept**0.5, (1 - kept) ** 0.5
        xt, v = a * x0 + s * eps, a * eps - s * x0
        right = 2 * (weight.reshape(kept.shape) * xt * (w * xt - v)).mean()
        grading.same(up - down, right, "the slope of the loss by the model's weight")
        grading.same(back(dloss), dloss * right, f"the gradient of the model's weight, by back({dloss:g})")
