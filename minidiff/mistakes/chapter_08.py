"""Chapter 8, skipping steps: known mistakes in respaced DDPM and in DDIM."""

import numpy as np

from ..diffusion import Schedule
from ..grading import WrongAnswer, same


def noise_left(answer):
    schedule = Schedule.linear(60, scale_to_T=True)
    for t, s in ((50, 30), (20, 4)):
        real, given, now = schedule.sigma(t - 1), schedule.sigma(s), schedule.sigma(t)
        same(answer(schedule, t, s), real - given, f"from {t}, next {s}", {
            "after the move x is at t - 1, not at t": now - given,
            "the other way round: first the level that x really has": given - real,
            "the noise level is a standard deviation, sigma; this is its square": real**2 - given**2,
            "alpha is what is left of the image; the noise level is sigma": schedule.alpha(t - 1) - schedule.alpha(s),
            "this is the ratio; asked is the difference": real / given,
            "the next t is where the denoiser is asked, not one before it": real - schedule.sigma(s - 1),
        })
    same(answer(schedule, 50, 49), 0.0, "from 50, next 49, where nothing is left")


def kept(answer):
    for t, s, eta in ((50, 40, 0.5), (20, 3, 0.3), (30, 12, 1.0), (30, 12, 0.0)):
        (a_t, sigma_t), (a_s, sigma_s) = _level(t), _level(s)
        full = sigma_s / sigma_t * (1 - (a_t / a_s) ** 2) ** 0.5
        added = eta * full
        same(answer(_level(t), _level(s), eta), (sigma_s**2 - added**2) ** 0.5, f"kept from {t} to {s}, eta {eta}", {
            "variances add up, not deviations: kept^2 + added^2 = sigma_s^2": sigma_s - added,
            "this is kept^2: take the root": sigma_s**2 - added**2,
            "this is what is added; kept is the rest": added,
            "eta is part of what is added, so it is squared with it": (sigma_s**2 - eta * full**2) ** 0.5,
            "eta is missing": (sigma_s**2 - full**2) ** 0.5,
            "sigma_t for sigma_s: the level that has to come out is that of s": (sigma_t**2 - added**2) ** 0.5,
            "what is left of 1; it has to be what is left of sigma_s^2": (1 - added**2) ** 0.5,
            "sigma_s / sigma_t is missing from what is added": max(sigma_s**2 - eta**2 * (1 - (a_t / a_s) ** 2), 0) ** 0.5,
            "a square is missing in what is added: 1 - a_t^2 / a_s^2": (
                sigma_s**2 - (eta * sigma_s / sigma_t) ** 2 * (1 - a_t / a_s)) ** 0.5,
        })


def ddim_minus(answer):
    x, moves = np.array([[1.0, -2.0], [0.5, 0.3]]), [(50, 30), (30, 8)]

    def denoiser(x, t, cond=None):
        return np.cos(x) + t / 60, np.sin(x) - t / 60

    def walk(sign, swap=False, asked_at_s=False, moves=moves):
        z = x
        for t, s in moves:
            (a, sigma), (x0, eps) = _level(t if swap else s), denoiser(z, s if asked_at_s else t)
            z = a * x0 + sign * sigma * eps
        return z

    same(answer(denoiser, x, moves, _level), walk(-1), "x", {
        "this is DDIM as it should be; the exercise asks for the minus": walk(1),
        "both signs are turned; only the one of eps": _both_signs(denoiser, x, moves),
        "the levels are those of s, where the move goes, not of t": walk(-1, swap=True),
        "the denoiser is asked at t, where x is, not at s": walk(-1, asked_at_s=True),
        "only the first move was made: return after the loop": walk(-1, moves=moves[:1]),
        "every move starts from the first x; it starts where the last one ended": walk(-1, moves=moves[1:]),
    })


def _both_signs(denoiser, x, moves):
    for t, s in moves:
        x0, eps = denoiser(x, t)
        x = -_level(s)[0] * x0 - _level(s)[1] * eps
    return x


# ---- build it: betas of a shorter chain, and the two samplers as loops


def respaced_betas(answer):
    bar = _ALPHA_BAR
    for times in ([50, 31, 12, 3], [40, 0]):
        now, after = bar[times], np.append(bar[times[1:]], 1.0)
        right = 1 - now / after
        same(answer(bar, times), right, f"the betas of the times {times}", {
            "these are the betas of the long chain, from t to t - 1": [1 - bar[t] / (bar[t - 1] if t else 1) for t in times],
            "from clean to t; each goes from the next time in the list to t": 1 - now,
            "the last one leads to clean, where alpha_bar is 1, not to the end of the list": np.append(
                right[:-1], 1 - now[-1] / bar[-1]),
            "the last one leads to clean; it is missing": right[:-1],
            "upside down: 1 - alpha_bar(t) / alpha_bar(next)": 1 - after / now,
            "alpha_bar is a square already; no root": 1 - np.sqrt(now / after),
            "these are the alphas, 1 - beta": now / after,
            "the difference; beta is 1 minus the quotient": after - now,
        })


def respaced_sampler(answer):
    model, asked = _model()
    times = [50, 31, 12, 3]

    def walk(clip=None, std="small", hack=False, last=0.0, clip_x=False, count=4):
        z, draws = _X, _Draws()
        for t, s in list(zip(times, [*times[1:], -1], strict=True))[:count]:
            (a_t, sigma_t), (a_s, sigma_s) = _level(t), _level(t - 1 if hack else s)
            x0 = _guess(z, t, None if clip_x else clip)
            beta = 1 - (a_t / a_s) ** 2
            z = a_s * beta / sigma_t**2 * x0 + a_t / a_s * sigma_s**2 / sigma_t**2 * z
            z = z.clip(-clip, clip) if clip_x else z
            small = beta * sigma_s**2 / sigma_t**2
            scale = {"small": small**0.5, "variance": small, "large": beta**0.5, "none": 0.0}[std] if s >= 0 else last
            z = z + scale * draws.standard_normal(_X.shape) if scale else z
        return z

    drawn = _Draws()
    got = answer(model, _X, _ALPHA_BAR, times, drawn)
    _asked(asked, times)
    same(got, walk(), "x", {
        "this is the hack: each step has to go to the next time in the list, not to t - 1": walk(hack=True),
        "no noise is added on the way": walk(std="none"),
        "step noise of variance beta; it is beta (1 - alpha_bar(next)) / (1 - alpha_bar(t))": walk(std="large"),
        "noise is multiplied by the root of its variance": walk(std="variance"),
        "noise is added after the last step too: the image is finished there": walk(last=1.0),
        "the last step, to clean, is missing": walk(count=3),
    })
    _draws(drawn, 3)
    same(answer(model, _X, _ALPHA_BAR, times, _Draws(), clip=0.4), walk(clip=0.4), "x with clip 0.4", {
        "clip is not used": walk(),
        "x is clipped; clip the guess of x0": walk(clip=0.4, clip_x=True),
    })


def ddim_sampler(answer):
    model, asked = _model()
    times = [50, 31, 12, 3]

    def walk(eta, clip=None, again=True, sign=1.0, on_top=False, square=False, count=4, at_t=False, root=True):
        z, draws = _X, _Draws()
        for t, s in list(zip(times, [*times[1:], -1], strict=True))[:count]:
            (a_t, sigma_t), (a_s, sigma_s) = _level(t), _level(t if at_t else s)
            x0 = _guess(z, t, clip)
            eps = (z - a_t * x0) / sigma_t if again else _eps(z, t)
            noise = sigma_s / sigma_t * (1 - (a_t / a_s) ** 2) ** 0.5
            noise = eta**0.5 * noise if square else eta * noise
            kept = sigma_s if on_top else (sigma_s**2 - noise**2) ** 0.5 if root else sigma_s - noise
            z = a_s * x0 + sign * kept * eps
            z = z + noise * draws.standard_normal(_X.shape) if noise else z
        return z

    drawn = _Draws()
    got = answer(model, _X, _ALPHA_BAR, times, 0.0, drawn)
    _asked(asked, times)
    same(got, walk(0.0), "x with eta 0", {
        "eps is subtracted; the two guesses are mixed with a plus": walk(0.0, sign=-1.0),
        "the levels are those of the next time, not of t": walk(0.0, at_t=True),
        "the last step, to clean, is missing": walk(0.0, count=3),
        "there is noise: with eta 0 none is added": walk(1.0),
    })
    if drawn.count:
        raise WrongAnswer(f"noise was drawn {drawn.count} times with eta 0, expected 0")
    same(answer(model, _X, _ALPHA_BAR, times, 0.6, _Draws()), walk(0.6), "x with eta 0.6", {
        "eta is not used: no noise is added": walk(0.0),
        "eta is not used: this is eta 1": walk(1.0),
        "eps keeps the whole noise level, and noise is added on top": walk(0.6, on_top=True),
        "eta multiplies the deviation of the noise, not its variance": walk(0.6, square=True),
        "variances add up, not deviations: kept^2 + added^2 = 1 - alpha_bar(next)": walk(0.6, root=False),
    })
    same(answer(model, _X, _ALPHA_BAR, times, 0.0, _Draws(), clip=0.4), walk(0.0, clip=0.4), "x with clip 0.4", {
        "clip is not used": walk(0.0),
        "eps is the model's; it has to fit the clipped guess of x0": walk(0.0, clip=0.4, again=False),
    })


_ALPHA_BAR = Schedule.linear(60, scale_to_T=True).alpha_bar
_X = np.array([[1.0, -2.0], [0.5, 0.3], [-0.7, 1.5]])


def _level(t):
    return (_ALPHA_BAR[t] ** 0.5, (1 - _ALPHA_BAR[t]) ** 0.5) if t >= 0 else (1.0, 0.0)


def _eps(x, t):
    return np.tanh(x) - t / 200


def _guess(x, t, clip):
    a, sigma = _level(t)
    x0 = (x - sigma * _eps(x, t)) / a
    return x0 if clip is None else x0.clip(-clip, clip)


def _model():
    """A model that predicts eps, and the list of times at which it is called."""
    asked = []

    def model(x, t):
        asked.append(int(t))
        return _eps(x, int(t))

    return model, asked


class _Draws:
    """A generator whose numbers are known."""

    count = 0

    def standard_normal(self, size=None, dtype=np.float64, **_):
        self.count += 1
        return np.cos(3.0 * self.count + np.arange(np.prod(size, dtype=int))).reshape(size).astype(dtype)


def _asked(asked, right):
    if asked != right:
        reason = "the noisiest time is the first" if asked == right[::-1] else "each time of the list is asked once"
        raise WrongAnswer(f"the model was called at t = {asked[:9]}, expected {right}: {reason}")


def _draws(drawn, right):
    if drawn.count != right:
        raise WrongAnswer(f"noise was drawn {drawn.count} times, expected {right}: none after the last step")
