"""The plan as a plot: efficiency, and what takes the time, up to 1,024 ranks."""

from minidiff.studies.plot import colour, finish, panels, save

from . import model


def draw(costs, net, rows, most, path):
    """Two panels into a PNG.   costs: {name: Costs}; rows: of each rank"""
    ranks = sorted({min(most, round(2 ** (i / 8))) for i in range(8 * most.bit_length())})
    figure, axes = panels(11, 4, 2)
    for i, (name, c) in enumerate(costs.items()):
        alone = model.seconds(c, net, 1, rows)
        parts = [model.step(c, net, n, n * rows) for n in ranks]
        axes[0].plot(ranks, [alone / sum(part.values()) for part in parts], color=colour(i), label=name)
        axes[1].plot(ranks, [100 * part["allreduce"] / sum(part.values()) for part in parts], color=colour(i), label=name)
        if (point := model.overlap_from(c, net, rows)) and point <= most:
            axes[1].plot([point], [100 * model.MUCH], "o", color=colour(i))
    finish(axes[0], "ranks", "rate per rank, relative to one rank", f"{rows} images a rank", legend=True, log="x")
    finish(axes[1], "ranks", "share of a step, %", "allreduce; the dots mark where overlap would pay", legend=True, log="x")
    axes[0].set_ylim(0, 1.05)
    save(figure, path)
