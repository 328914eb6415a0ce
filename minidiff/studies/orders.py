"""How fast does each sampler near the truth as it takes more steps?

Data N(m, s^2), where the truth is known: error against steps, on the grid that is uniform in log sigma from 80 to 0.002.
The slope over the last two points is the sampler's order.
"""

from ..samplers import convergence


def run(options):
    """Rows: sampler, order, steps, error, and the slope from the number of steps before."""
    steps = options.size(convergence.STEPS, (16, 64))
    for measured in convergence.measure(steps=steps):
        for i, (n, error) in enumerate(zip(measured.steps, measured.errors, strict=True)):
            slope = measured.slopes[i - 1] if i else None
            yield {"sampler": measured.name, "order": measured.order, "steps": n, "error": error, "slope": slope}


def draw(rows):
    names = dict.fromkeys((row["sampler"], row["order"]) for row in rows)
    measured = []
    for name, order in names:
        own = [row for row in rows if row["sampler"] == name]
        columns = (tuple(row[key] for row in own) for key in ("steps", "error", "slope"))
        n, errors, slopes = columns
        measured.append(convergence.Convergence(name, order, n, errors, slopes[1:]))
    return convergence.draw(measured)
