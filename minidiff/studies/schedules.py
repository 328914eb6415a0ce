"""Which noise schedule? The same network, training budget and samplers for each.

The study trains an MLP for each schedule and training seed. All predict x0, so that the schedule whose last step is pure noise
can be trained too.
"""

from ..diffusion import Schedule
from . import digits, small
from .plot import colour, finish, panels
from .table import over_seeds

NAMES = ("linear", "linear, zero terminal SNR", "scaled_linear", "quadratic", "sigmoid", "cosine")
SAMPLERS = (("ddim", 5), ("ddim", 10), ("ddim", 50), ("ddpm", 50))


def run(options):
    """Rows: schedule, share of signal left at the last step, sampler, steps, frechet, accuracy."""
    judge, n = digits.judge(options), options.size(250, 20)
    for name in options.size(NAMES, NAMES[:2]):
        schedule, folder = schedule_named(name, 1000), f"schedules/{name.replace(', ', '_').replace(' ', '_')}"
        trained = {seed: small.mlp(options, seed, folder, schedule) for seed in options.seeds}
        for sampler, steps in options.size(SAMPLERS, SAMPLERS[:1]):
            measured = over_seeds(options.seeds, lambda seed, s=sampler, k=steps, d=trained: judge.look(
                digits.draw_samples(s, d[seed], n, seed, steps=k, spacing="trailing"), digits.asked_classes(n)))  # fmt: skip
            yield {"schedule": name, "last_alpha_bar": float(schedule.alpha_bar[-1]), "sampler": sampler, "steps": steps,
                   "samples": n, **measured}  # fmt: skip


def schedule_named(name, T):
    """The Schedule of one of NAMES."""
    kind = name.partition(",")[0]
    schedule = Schedule.cosine(T) if kind == "cosine" else Schedule.named(kind, T, scale_to_T=True)
    return schedule.rescale_zero_terminal_snr() if "zero" in name else schedule


def draw(rows):
    figure, (left, right) = panels(13, 4.4, 2)
    names = list(dict.fromkeys(row["schedule"] for row in rows))
    for i, name in enumerate(names):
        schedule = schedule_named(name, 1000)
        left.plot(range(1000), schedule.alpha_bar, color=colour(i), linewidth=1.8, label=name)
    finish(left, "timestep t", r"$\bar\alpha_t$, share of signal", "Noise schedules", legend=True)
    kinds = list(dict.fromkeys((row["sampler"], row["steps"]) for row in rows))
    width = 0.8 / len(names)
    for i, name in enumerate(names):
        for j, kind in enumerate(kinds):
            (row,) = [row for row in rows if row["schedule"] == name and (row["sampler"], row["steps"]) == kind]
            right.bar(j + (i - (len(names) - 1) / 2) * width, row["frechet"], width, yerr=row.get("frechet_error") or 0,
                      color=colour(i), capsize=2)  # fmt: skip
    right.set_xticks(range(len(kinds)), [f"{sampler}, {steps} steps" for sampler, steps in kinds])
    finish(right, None, "Fréchet distance", "Samples")
    return figure
