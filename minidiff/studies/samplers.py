"""How many steps does each sampler need? Fréchet distance and accuracy from 1 to 1000 steps, on one trained model.

The study repeats the usual table of samplers on the digits. Every sampler starts from the same noise, and the reference is DDPM
with all its 1000 steps. With few steps, their spacing matters as much as the sampler:

    trailing   whole steps, the first at T - 1. "leading", the usual choice, starts far below it (see "ddim leading")
    leading    for samplers that step with eps alone: at T - 1 of the cosine schedule alpha is 5e-5, and eps / alpha is noise
    linspace   the choice of the DPM-Solver++ family
    from 80    Karras levels from sigma / alpha = 80, as in EDM: this schedule reaches 20,000, which wastes half the steps
"""

from ..diffusion import karras_sigmas
from ..samplers import SAMPLERS
from . import digits
from .plot import colour, finish, panels
from .table import over_seeds

STEPS = (1, 2, 3, 5, 10, 20, 50, 100, 250, 1000)
TOLERANCES = (0.1, 0.01, 1e-3, 1e-5)  # for the sampler that chooses its own steps
LINES = {  # name: sampler, where its steps lie, options
    "ddpm": ("ddpm", "trailing", {}),
    "ddpm fixed_large": ("ddpm", "trailing", {"variance": "fixed_large"}),
    "ddpm_subset": ("ddpm_subset", "trailing", {}),
    "ddim": ("ddim", "trailing", {}),
    "ddim leading": ("ddim", "leading", {}),
    "ddim eta 1": ("ddim", "trailing", {"eta": 1.0}),
    "plms": ("plms", "leading", {}),
    "dpm_solver": ("dpm_solver", "leading", {}),
    "dpm_solver_2": ("dpm_solver_2", "leading", {}),
    "reverse_diffusion": ("reverse_diffusion", "trailing", {}),
    "predictor_corrector": ("predictor_corrector", "trailing", {}),
    **{name: (name, "from 80", {}) for name in ("euler", "euler_ancestral", "heun", "lms", "rk4", "dpmpp_sde")},
}
LONG = ("ddpm", "ddpm fixed_large", "ddpm_subset", "ddim")  # are taken beyond 100 evaluations
SAME = ("ddpm_respaced", "dpm_solver_1")  # are ddpm with fewer steps and, but for rounding, ddim


def run(options):
    """Rows: sampler, grid, steps, calls: network evaluations, frechet, accuracy. Long runs have one seed, but for ddpm."""
    denoiser, judge = digits.trained(options), digits.judge(options)
    n = options.size(250, 10)
    asked = digits.asked_classes(n)

    yield {"sampler": "real digits", "grid": "held out", "samples": n, **judge.look(*digits.held_out(n))}

    def row(name, sampler, grid, steps, seeds, fixed):
        counted = digits.Counted(denoiser)
        measured = over_seeds(seeds, lambda seed: judge.look(digits.draw_samples(sampler, counted, n, seed, **fixed), asked))
        return {"sampler": name, "grid": grid, "steps": steps, "calls": counted.calls / len(seeds), "samples": n, **measured}

    for name, (sampler, grid, fixed) in _lines().items():
        calls = SAMPLERS[sampler].calls if isinstance(SAMPLERS[sampler].calls, int) else 2
        for steps in options.size(STEPS, (3,)):
            if steps * calls > 100 and name not in LONG:
                continue
            seeds = options.seeds if steps <= 20 or name == "ddpm" else options.seeds[:1]
            yield row(name, sampler, grid, steps, seeds, fixed | _grid(denoiser.schedule, grid, steps))
    ends = [80.0, _lowest(denoiser.schedule), 0.0]
    for tolerance in options.size(TOLERANCES, (0.1,)):
        fixed = {"sigmas": ends, "rtol": tolerance, "atol": tolerance}
        yield row("probability_flow", "probability_flow", f"tolerance {tolerance:g}", None, options.seeds, fixed)


def _lines():
    plain = [name for name, row in SAMPLERS.items() if row.steps is not None and name not in SAME]
    known = {sampler for sampler, _, _ in LINES.values()}
    return LINES | {name: (name, "linspace", {}) for name in plain if name not in known}


def _grid(schedule, grid, steps):
    if grid == "from 80":
        return {"sigmas": [*karras_sigmas(_lowest(schedule), 80.0, steps), 0.0]}
    if grid != "trailing":  # these lay out one step more and leave the last off
        steps = min(steps, schedule.T - 1)
    return {"steps": steps, "spacing": grid}


def _lowest(schedule):
    return schedule.sigma(0) / schedule.alpha(0)


def draw(rows):
    figure, axes = panels(13, 9.5, 2, 2)
    (real,) = (row for row in rows if row["sampler"] == "real digits")
    rows = [row for row in rows if row is not real]
    chosen = list(dict.fromkeys(row["sampler"] for row in rows))
    noisy = {name for name in chosen if not SAMPLERS[name.split()[0]].deterministic or "eta" in name}
    for column in (0, 1):
        for i, name in enumerate(name for name in chosen if (name in noisy) == (column == 0)):
            points = sorted((row for row in rows if row["sampler"] == name), key=lambda row: row["calls"])
            for axis, key in ((axes[column], "frechet"), (axes[2 + column], "accuracy")):
                known = [row for row in points if row[key] is not None]
                axis.errorbar([row["calls"] for row in known], [row[key] for row in known],
                              [row.get(f"{key}_error") or 0 for row in known], color=colour(i),
                              linestyle=("-", "--", ":")[i // 8 % 3], marker="osD"[i // 8 % 3], markersize=3.5, linewidth=1.3,
                              capsize=2, label=name)  # fmt: skip
        ticks = [1, 2, 5, 10, 20, 50, 100, 250, 1000]
        axes[column].axhline(real["frechet"], color="#868e96", linewidth=1, linestyle=(0, (1, 1)))
        axes[column].text(1, real["frechet"], "real digits", fontsize=8, color="#868e96", va="bottom")
        title = ("Stochastic samplers", "Deterministic samplers")[column]
        finish(axes[column], None, "Fréchet distance to real digits", title, log="xy", ticks=ticks)
        finish(axes[2 + column], "network evaluations", "share with the requested digit", log="x", ticks=ticks,
               legend={"ncols": 2, "loc": ("center", "lower right")[column]})  # fmt: skip
    return figure
