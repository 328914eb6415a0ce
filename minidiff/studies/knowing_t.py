"""What if the network is not told t? The same net with and without, trained as long; and how well t can be read off a picture.

The net that is not told is given t = 0 at all times: the same layers, the same number of weights. Once predicting eps and
once v, whose meaning changes more with t.
"""

import numpy as np

from ..backend import xp_of
from ..models import Classifier
from ..nn import Layer
from ..rng import Rng, Stream
from ..runs import build, build_objective
from . import digits
from .plot import curves, finish, panels
from .table import over_seeds

STEPS = 800  # of training
TIMES = (0, 20, 50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 950, 990)
NAMES = {"told": "told t", "not told": "not told t"}


class Timeless(Layer):
    """A net that hears t = 0 whatever t is."""

    def __init__(self, net):
        self.net = net

    def forward(self, x, t, cond=None):
        return self.net(x, 0 * t, cond)

    def null_cond(self, cond):
        return self.net.null_cond(cond)


class GuessT:
    """A loss for a net that reads t off x_t: mean squared error of t / T. It says what there is to be read."""

    def __init__(self, schedule):
        self.schedule = schedule

    def __call__(self, net, x0, rng, cond):
        t = xp_of(x0).asarray(rng.integers(0, self.schedule.T, size=len(x0)))
        xt = self.schedule.add_noise(x0, rng.standard_normal(x0.shape, dtype=x0.dtype), t)
        guess, back_net = net(xt)
        error = guess - (t / self.schedule.T).astype(x0.dtype)[:, None]  # (B, 1)
        return (error * error).mean(), lambda dloss=1.0: back_net(error * (2.0 * dloss / len(x0)))


def run(options):
    """Rows of three kinds (column "what"): loss by t, samples, and the error of t read off the picture."""
    judge, n = digits.judge(options), options.size(250, 20)
    for predicts in ("eps", "v"):
        for told in NAMES:
            denoiser = _net(options, predicts, told)
            for t, eps_mse, x0_mse in digits.loss_by_t(denoiser, options.size(TIMES, (0, 500)), options):
                yield {"what": "loss", "predicts": predicts, "net": NAMES[told], "t": t, "eps_mse": eps_mse, "x0_mse": x0_mse}
            for sampler, steps in options.size((("ddpm", 100), ("ddim", 20)), (("ddim", 5),)):
                fixed = {"steps": steps, "spacing": "trailing", "clip": 1.0}
                measured = over_seeds(options.seeds, lambda seed, s=sampler, f=fixed, d=denoiser: judge.look(
                    digits.draw_samples(s, d, n, seed, **f), digits.asked_classes(n)))  # fmt: skip
                yield {"what": "samples", "predicts": predicts, "net": NAMES[told], "sampler": f"{sampler}, {steps} steps",
                       "samples": n, **measured}  # fmt: skip
    yield from _reading(options)


def _net(options, predicts, told):
    if told == "told":
        return digits.train(options, STEPS, f"predictions/{predicts}", f"diffusion.predicts={predicts}")
    config = digits.configuration(options, STEPS, f"diffusion.predicts={predicts}")
    made = build(config)
    model = digits.fit(Timeless(made.model), made.objective, options, digits.place(options, f"time/{predicts}"), config)
    return digits.denoiser_of(model, config)


def _reading(options):
    config = digits.configuration(options, STEPS)
    schedule = build_objective(config).schedule
    net = Classifier(digits.SHAPE, 1, width=options.size(32, 4), rng=0)
    net = digits.fit(net, GuessT(schedule), options, digits.place(options, "time/guess"), config)
    images, _ = digits.held_out(options.size(360, 20))
    for t in options.size(TIMES, (0, 500)):
        xt = schedule.add_noise(images, Rng(0, Stream.STUDY_KNOWING_T, t).standard_normal(images.shape), t)
        guess = np.clip(net.predict(xt)[:, 0] * schedule.T, 0, schedule.T - 1)
        yield {"what": "reading t", "t": t, "t_guessed": float(guess.mean()), "t_away": float(abs(guess - t).mean())}


def draw(rows):
    figure, axes = panels(13, 8, 3, 2)
    lost = [row | {"line": row["net"]} for row in rows if row["what"] == "loss"]
    for ax, predicts in zip(axes[:2], ("eps", "v"), strict=True):
        curves(ax, [row for row in lost if row["predicts"] == predicts], "t", "x0_mse", "line")
        finish(ax, "t", "mean squared error of x0", f"The net predicts {predicts}", legend=True, log="y")
    read = [row for row in rows if row["what"] == "reading t"]
    curves(axes[2], read, "t", "t_away")
    finish(axes[2], "t", "mean error of the guess, of 1000", "How well t can be read off a picture")
    for ax, predicts in zip(axes[3:5], ("eps", "v"), strict=True):
        told, not_told = ([row for row in lost if row["predicts"] == predicts and row["net"] == net] for net in NAMES.values())
        ratio = [a | {"ratio": b["x0_mse"] / a["x0_mse"]} for a, b in zip(told, not_told, strict=True)]
        curves(ax, ratio, "t", "ratio")
        ax.axhline(1, color="#868e96", linewidth=0.8, linestyle=(0, (1, 1)))
        finish(ax, "t", "error without t / error with t", f"Where not knowing t costs ({predicts})")
    bars(axes[5], [row for row in rows if row["what"] == "samples"])
    return figure


def bars(ax, rows):
    """Fréchet distances side by side."""
    samplers = list(dict.fromkeys(row["sampler"] for row in rows))
    for i, row in enumerate(rows):
        shade = {"told t": "#1f6feb", "not told t": "#d9480f"}[row["net"]]
        ax.barh(i, row["frechet"], xerr=row["frechet_error"] or 0, color=shade, alpha=1 - 0.4 * samplers.index(row["sampler"]))
    ax.set_yticks(range(len(rows)), [f"{row['predicts']}, {row['net']}, {row['sampler']}" for row in rows], fontsize=8)
    ax.invert_yaxis()
    finish(ax, "Fréchet distance", None, "Samples")
