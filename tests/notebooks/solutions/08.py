"""Answers to the exercises of chapter 8, so that a test can tell that they have one."""


def noise_left(t, next_t):
    return schedule.sigma(t - 1) - schedule.sigma(next_t)  # noqa: F821 - the chapter's own


def kept(t, s, eta):
    (a_t, sigma_t), (a_s, sigma_s) = level(t), level(s)  # noqa: F821
    added = eta * sigma_s / sigma_t * (1 - (a_t / a_s) ** 2) ** 0.5
    return (sigma_s**2 - added**2) ** 0.5


def ddim_minus(denoiser, x, moves):
    for t, s in moves:
        a_s, sigma_s = level(s)  # noqa: F821
        x0, eps = denoiser(x, t)
        x = a_s * x0 - sigma_s * eps
    return x
