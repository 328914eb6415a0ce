"""How fast does each sampler converge as it takes more steps?

On data N(m, s^2) the exact solution is known. The study measures the error against the number of
steps, on the grid that is uniform in log sigma from 80 to 0.002. The slope over the last two points is the sampler's order.
"""

from .. import viz
from ..samplers import convergence


def run(options):
    """Rows: sampler, order, steps, error, and the slope from the number of steps before."""
    steps = options.size(convergence.STEPS, (16, 64))
    for measured in convergence.measure(steps=steps):
        for i, (n, error) in enumerate(zip(measured.steps, measured.errors, strict=True)):
            slope = measured.slopes[i - 1] if i else None
            yield {"sampler": measured.name, "order": measured.order, "steps": n, "error": error, "slope": slope}


def draw(rows):
    figure = viz.new_figure(8.5, 5.5, layout="constrained")
    axes = figure.add_subplot()
    styles, names = {1: "-", 2: "--", 3: "-.", 4: ":"}, dict.fromkeys((row["sampler"], row["order"]) for row in rows)
    for i, (name, order) in enumerate(sorted(names, key=lambda name: name[1])):
        steps, errors, slopes = zip(*((r["steps"], r["error"], r["slope"]) for r in rows if r["sampler"] == name), strict=True)
        style = {"marker": "o", "markersize": 4, "color": viz.COLOURS[i % len(viz.COLOURS)]}
        axes.loglog(steps, errors, styles[order], label=f"{name}: {slopes[-1]:.2f}", **style)
    axes.set(xlabel="steps", ylabel="largest error", xticks=steps, xticklabels=steps)
    axes.set_title("Error on Gaussian data (legend: order measured over the last two points)", fontsize=11)
    axes.minorticks_off()
    axes.grid(True, linewidth=0.5, alpha=0.5)
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), handlelength=3.5)
    return figure
