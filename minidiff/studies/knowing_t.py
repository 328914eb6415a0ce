"""What if the network does not get t? The same network with and without t, trained alike; and t estimated from x_t.

All networks of a training seed see the same batches and the same noise. The linear schedule, no classes. Each row is a mean
over training seeds; a ratio is taken within each seed, and its error is that of the ratios.
"""

import numpy as np

from ..backend import xp_of
from ..diffusion import Denoiser, Schedule, SimpleLoss
from ..models import Classifier
from ..rng import Rng, Stream
from . import digits
from .plot import curves, finish, panels, side_by_side
from .table import over_seeds
from .timed import BLOCKS, TellLogSNR, unet

STEPS = 400  # of training
TIMES = (0, 20, 50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 950, 990)
LATE = 600  # at and beyond: x_t is mostly noise
INSIDE = (20, 900)  # where noise of the cosine schedule has levels that the linear one has too
NETS = {"given t": range(BLOCKS), "without t": (), "given t in the first block": (0,)}
MOVED = ("cosine noise, given t", "cosine noise, given the log-SNR")
WALK = 40  # steps of each sampler


class GuessT:
    """The loss of a network that estimates t from x_t: the mean squared error of t / T."""

    def __init__(self, schedule):
        self.schedule = schedule

    def __call__(self, net, x0, rng, cond):
        t = xp_of(x0).asarray(rng.integers(0, self.schedule.T, size=len(x0)))
        xt = self.schedule.add_noise(x0, rng.standard_normal(x0.shape, dtype=x0.dtype), t)
        guess, back_net = net(xt)
        error = guess - (t / self.schedule.T).astype(x0.dtype)[:, None]  # (B, 1)
        return (error * error).mean(), lambda dloss=1.0: back_net(error * (2.0 * dloss / len(x0)))


def run(options):
    """Rows of four kinds (column "what"): error by t, mean error, samples, and how far the estimate of t from x_t is from t."""
    schedule = Schedule.linear(1000)
    errors = {seed: all_errors(options, seed, schedule) for seed in options.seeds}  # {seed: {(predicts, name): (times,)}}
    times = np.array(options.size(TIMES, (0, 20, 700)))
    means = {"all t": times >= 0, f"t >= {LATE}": times >= LATE, "t from {} to {}".format(*INSIDE): inside(times)}
    for predicts, net in errors[options.seeds[0]]:
        for where, chosen in {**{int(t): times == t for t in times}, **means}.items():
            measured = over_seeds(options.seeds, lambda seed, key=(predicts, net), i=chosen: compared(errors[seed], key, i))
            what = "other schedule" if net in MOVED else "error" if isinstance(where, int) else "mean error"
            at = {"t": where} if isinstance(where, int) else {"where": where}
            yield {"what": what, "predicts": predicts, "network": net, **at, **measured}
    yield from samples(options, schedule)
    read = {seed: reading(options, seed, schedule) for seed in options.seeds}
    for i, t in enumerate(times):
        yield {"what": "estimated t", "t": int(t), **over_seeds(options.seeds, lambda seed, i=i: {"t_away": read[seed][i]})}


def inside(times):
    return (times >= INSIDE[0]) & (times <= INSIDE[1])


def compared(errors, key, chosen):
    """{eps_mse: of a network, ratio: to that of the network given t, on the same noise}, at the chosen times of one seed"""
    predicts, net = key
    own, given = errors[key][chosen].mean(), errors[predicts, MOVED[0] if net in MOVED else "given t"][chosen].mean()
    return {"eps_mse": own, "ratio": own / given}


def all_errors(options, seed, schedule):
    """The error of eps at each of the times, of every network of a training seed.   -> {(predicts, name): (times,)}"""
    cosine = Schedule.cosine(schedule.T)
    found = {(predicts, net): error_by_t(options, seed, trained(options, seed, predicts, net, schedule), schedule, predicts)
             for predicts in ("eps", "v") for net in (NETS if predicts == "eps" else list(NETS)[:2])}  # fmt: skip
    given, guesser = trained(options, seed, "eps", "given t", schedule), guesser_of(options, seed, schedule)
    found["eps", "given the estimate"] = error_by_t(options, seed, lambda x, t: given.predict(x, guess(guesser, x)), schedule)
    found["eps", "always given 500"] = error_by_t(options, seed, lambda x, t: given.predict(x, 500), schedule)
    by_snr = trained(options, seed, "eps", "given the log-SNR", schedule)
    found["eps", "given the log-SNR"] = error_by_t(options, seed, by_snr.predict, schedule)
    moved = TellLogSNR(by_snr.net, cosine, like=schedule)
    found["eps", MOVED[0]] = error_by_t(options, seed, given.predict, cosine)
    found["eps", MOVED[1]] = error_by_t(options, seed, moved.predict, cosine)
    return found


def trained(options, seed, predicts, net, schedule):
    """The network of this name, trained with this seed on first use."""
    channels = options.size(16, 8)
    model = unet(seed, NETS[net], channels) if net in NETS else TellLogSNR(unet(seed, channels=channels), schedule)
    return fit(options, seed, model, SimpleLoss(schedule, predicts), f"{predicts}_{net.replace(' ', '_')}")


def fit(options, seed, model, objective, name):
    small = ("train.batch_size=8", "train.steps=3") if options.quick else ("train.batch_size=32", "train.warmup=10")
    config = digits.configuration(options, STEPS, *small, "train.lr=0.003", "train.ema_decay=null", f"train.seed={seed}")
    return digits.fit(model, objective, options, digits.place(options, f"time/{name}_{seed}"), config, labelled=False)


def error_by_t(options, seed, predict, schedule, predicts="eps"):
    """Mean squared error of eps on held-out digits, the same noise for every network of a seed.   -> (times,)"""
    images, _ = digits.held_out(options.size(180, 10))
    denoiser, errors = Denoiser(as_model(predict), schedule, predicts), []
    for t in options.size(TIMES, (0, 20, 700)):
        eps = Rng(seed, Stream.STUDY_LOSS, t).standard_normal(images.shape)
        errors.append(float(((denoiser(schedule.add_noise(images, eps, t), t)[1] - eps) ** 2).mean()))
    return np.array(errors)


def as_model(predict):
    """A model from a network or from a function of (x, t)."""
    net = getattr(predict, "predict", predict)
    return lambda x, t, cond=None: net(x, t)


def guesser_of(options, seed, schedule):
    """A small convolutional network that estimates t from x_t."""
    net = Classifier(digits.SHAPE, 1, width=options.size(16, 4), rng=Rng(seed, Stream.WEIGHTS))
    return fit(options, seed, net, GuessT(schedule), "guess")


def guess(guesser, xt):
    """The estimate of t for each x_t.   -> (B,), real numbers from 0 to 999"""
    return np.clip(guesser.predict(xt)[:, 0].astype(np.float64) * 1000, 0, 999)


def reading(options, seed, schedule):
    """Mean distance of the estimate from t, at each of the times."""
    images, _ = digits.held_out(options.size(180, 10))
    guesser, away = guesser_of(options, seed, schedule), []
    for t in options.size(TIMES, (0, 20, 700)):
        eps = Rng(seed, Stream.STUDY_KNOWING_T, t).standard_normal(images.shape)
        away.append(float(abs(guess(guesser, schedule.add_noise(images, eps, t)) - t).mean()))
    return away


def samples(options, schedule):
    judge, n, pictures = digits.judge(options), options.size(150, 20), []
    for predicts in ("eps", "v"):
        for net in list(NETS)[:2]:
            for sampler in ("ddpm", "ddim"):
                kept = {}

                def measure(seed, predicts=predicts, net=net, sampler=sampler, kept=kept):
                    denoiser = Denoiser(as_model(trained(options, seed, predicts, net, schedule)), schedule, predicts)
                    kept[seed] = digits.draw_samples(sampler, denoiser, n, seed, cond=False, steps=options.size(WALK, 2))
                    return {"frechet": judge.look(kept[seed], digits.asked_classes(n))["frechet"]}

                yield {"what": "samples", "predicts": predicts, "network": net, "sampler": sampler, "samples": n,
                       "name": f"{net}, {predicts}, {sampler.upper()}", **over_seeds(options.seeds, measure)}  # fmt: skip
                pictures.append((f"{net}, {predicts}, {sampler.upper()}", kept[options.seeds[0]][:16]))
    side_by_side(pictures, options.out / "time_samples.png")


def draw(rows):
    figure, axes = panels(13, 8, 3, 2)
    lost = [row for row in rows if row["what"] in ("error", "other schedule") and row["t"] is not None]
    eps, v = ([row for row in lost if row["predicts"] == predicts] for predicts in ("eps", "v"))
    names = ["given t", "without t", "given the estimate", "always given 500", "given t in the first block"]
    curves(axes[0], [row for row in eps if row["network"] in names[:4]], "t", "eps_mse", "network", names)
    finish(axes[0], "timestep t", "mean squared error of eps", "Predicts eps: error", legend=True, log="y")
    curves(axes[1], [row for row in eps if row["network"] in (*names[1:3], names[4])], "t", "ratio", "network", names)
    finish(axes[1], "timestep t", "error / error given t", "Predicts eps: relative error", legend=True, log="y")
    curves(axes[2], [row for row in v if row["network"] == "without t"], "t", "ratio", "network", names)
    finish(axes[2], "timestep t", "error / error given t", "Predicts v: relative error", legend=True)
    curves(axes[3], [row for row in rows if row["what"] == "estimated t"], "t", "t_away")
    finish(axes[3], "timestep t", "mean absolute error, of 1000", "Timestep estimated from x_t")
    chosen = [row for row in eps if row["network"] in MOVED and INSIDE[0] <= row["t"] <= INSIDE[1]]
    curves(axes[4], chosen, "t", "eps_mse", "network", list(MOVED))
    finish(axes[4], "timestep t", "mean squared error of eps", "Noise of another schedule", legend=True, log="y")
    for ax in axes[1:3]:
        ax.axhline(1, color="#868e96", linewidth=0.8, linestyle=(0, (1, 1)))
    bars(axes[5], [row for row in rows if row["what"] == "samples"])
    return figure


def bars(ax, rows):
    """Fréchet distances side by side."""
    for i, row in enumerate(rows):
        shade = {"given t": "#1f6feb", "without t": "#d9480f"}[row["network"]]
        ax.barh(i, row["frechet"], xerr=row["frechet_error"] or 0, color=shade, alpha=1 if row["sampler"] == "ddpm" else 0.6,
                capsize=2)  # fmt: skip
    ax.set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=8)
    ax.invert_yaxis()
    finish(ax, "Fréchet distance", None, f"Samples, {WALK} steps")
