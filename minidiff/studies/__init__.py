"""Studies: measurements that answer common questions about diffusion models, each with a table and a plot.

    minidiff study samplers                 or      python -c "from minidiff import studies; studies.carry_out('samplers')"

A study is a file with
    run(options)    a generator of rows, dicts of plain values, each yielded as soon as it is measured
    draw(rows)      the plot of a finished table, from its rows alone   -> matplotlib Figure
The first line of its docstring is the question.
"""

import importlib
from dataclasses import dataclass
from pathlib import Path

from ..mpi import world
from ..names import check_choice
from .plot import save
from .table import full, read_table, write_table

STUDIES = {  # name: file
    "T": "noising_steps",
    "samplers": "samplers",
    "subset": "subset",
    "time": "knowing_t",
    "predictions": "predictions",
    "guidance": "guidance",
    "schedules": "schedules",
    "noise_level": "noise_level",
    "distillation": "distillation",
    "inversion": "inversion",
    "likelihood": "likelihood",
    "orders": "orders",
    "text_to_image": "text_to_image",
    "conditioning": "conditioning",
    "dit": "dit",
}
HOME = Path("runs/studies")  # cache for models that several studies, or a repeated study, use


@dataclass(frozen=True)
class Options:
    """The options of every study.

    out      output folder for NAME.csv, NAME.png and further figures
    quick    seconds instead of minutes: the same code with tiny models and few samples; its numbers are meaningless
    seeds    one measurement for each; error bars are standard errors over them. They are seeds of the noise; the studies that
             train a model for each seed (T, subset, time, predictions, schedules, noise_level, dit) also use them for training
    run      run folder of a trained digits model; None trains one on first use and caches it in `home`
    home     cache folder of trained models
    progress show progress bars
    """

    out: Path = HOME
    quick: bool = False
    seeds: tuple = (0, 1, 2)
    run: Path | None = None
    home: Path = HOME
    progress: bool = False

    def size(self, full, quick):
        """One of two, by `quick`."""
        return quick if self.quick else full


def find(name):
    """The module of a study. Raises ValueError, with the nearest names, for one that does not exist."""
    check_choice("study", name, STUDIES)
    return importlib.import_module(f".{STUDIES[name]}", __name__)


def question(name):
    """The question that a study answers, in one line."""
    return (find(name).__doc__ or name).splitlines()[0]  # python -OO drops the docstrings


def carry_out(name, options=None, say=None):
    """Run a study: write each row to out/NAME.csv as soon as it is measured, then plot the table.   -> rows

    say   called with each row as soon as it is measured

    The ranks of an MPI job carry it out together: they share the batches of training and sampling, and rank 0 writes.
    """
    options = options or Options()
    study, rows = find(name), []
    for row in study.run(options):
        rows.append(row)
        if world().is_first:
            write_table(rows, options.out / f"{name}.csv")
        if say:
            say(row)
    if world().is_first:
        save(study.draw(full(rows)), _made(options.out) / f"{name}.png")
    return rows


def redraw(name, out):
    """Plot a study again from its table.   -> path of the figure"""
    study, path = find(name), Path(out) / f"{name}.png"
    save(study.draw(read_table(path.with_suffix(".csv"))), path)
    return path


def _made(folder):
    folder.mkdir(parents=True, exist_ok=True)
    return folder
