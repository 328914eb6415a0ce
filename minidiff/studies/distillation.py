"""Does progressive distillation keep the quality? Steps halved from 64 to 1, each student measured against its teacher.

The study compares each student with the teacher at the same number of steps; the gain is the distance between the two.
"""

from .. import data
from ..diffusion.spacing import spaced_steps
from ..training import progressive_distillation
from . import digits
from .plot import curves, finish, panels, side_by_side
from .table import over_seeds


def run(options):
    """Rows: who ("teacher" or "distilled"), steps, frechet, accuracy."""
    teacher, judge, pictures = digits.trained(options), digits.judge(options), []
    n, start = options.size(300, 20), options.size(64, 4)
    asked = digits.asked_classes(n)

    def row(who, denoiser, times):
        kept = {}

        def measure(seed):
            kept[seed] = digits.draw_samples("ddim", denoiser, n, seed, steps=times)
            return judge.look(kept[seed], asked)

        measured = over_seeds(options.seeds, measure)
        pictures.append((f"{who}, {len(times)} steps", kept[options.seeds[0]][:20]))
        return {"who": who, "steps": len(times), "samples": n, **measured}

    stages = progressive_distillation(teacher, *data.load("digits"), start=start, stop=1, train_steps=options.size(300, 4),
                                      lr=1e-3, warmup=options.size(20, 1), batch_size=options.size(64, 8),
                                      folder=digits.place(options, "distillation"), progress=options.progress)  # fmt: skip
    for stage in stages:
        if not pictures:
            yield row("teacher", teacher, spaced_steps(teacher.schedule, start, "trailing"))
        yield row("teacher", teacher, stage.times)
        yield row("distilled", stage.denoiser, stage.times)
    side_by_side(pictures, options.out / "distillation_samples.png")


def draw(rows):
    figure, (left, right) = panels(10, 4.2, 2)
    best = max((row for row in rows if row["who"] == "teacher"), key=lambda row: row["steps"])
    ticks = sorted({row["steps"] for row in rows})
    for ax, key, label in ((left, "frechet", "Fréchet distance"), (right, "accuracy", "share with the requested class")):
        curves(ax, rows, "steps", key, "who")
        finish(ax, "steps", label, None, legend=ax is left, log="xy" if ax is left else "x", ticks=ticks)
    left.axhline(1.5 * best["frechet"], color="#868e96", linewidth=0.8, linestyle=(0, (1, 1)))
    figure.suptitle(f"Progressive distillation (dotted: 1.5 times the teacher at {best['steps']} steps)", fontsize=11)
    return figure
