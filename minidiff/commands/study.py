"""Run a study, which answers a common question by measurement; without a name, list the studies.

examples:
  minidiff study                              list the studies
  minidiff study orders                       error against steps, for every deterministic sampler
  minidiff study samplers --run runs/digits   with your model, trained by: minidiff train --data digits
  minidiff study T --quick                    the same code in seconds, without meaningful numbers

Writes NAME.csv, NAME.png and, for some studies, further figures. Studies of a trained digits model train one on first
use (a few minutes) and cache it in runs/studies/digits.
"""

from pathlib import Path

from ..studies import HOME, STUDIES, Options, carry_out, find, question, redraw
from ..studies.table import line
from .values import whole


def add_arguments(parser):
    parser.add_argument("name", nargs="?", metavar="NAME", help="name of the study (default: list all)")
    parser.add_argument(
        "--out", default=str(HOME), metavar="FOLDER", help=f"output folder for tables and figures (default: {HOME})"
    )
    parser.add_argument(
        "--quick", action="store_true", help="tiny models and few samples: runs in seconds, numbers without meaning"
    )
    parser.add_argument("--seeds", type=whole, default=3, metavar="N", help="seeds for each error bar (default: 3)")
    parser.add_argument("--run", dest="run_folder", metavar="RUN", help="digits run to examine (default: trains one)")
    parser.add_argument("--redraw", action="store_true", help="redraw the figure from the table in --out")
    parser.add_argument("--no-progress", action="store_true", help="no progress bars")


def run(arguments):
    if arguments.name is None:
        width = max(map(len, STUDIES))
        print("\n".join(f"{name:{width}}  {question(name)}" for name in STUDIES))
        return
    find(arguments.name)
    if arguments.seeds < 1:
        raise ValueError(f"--seeds: got {arguments.seeds}, expected at least 1")
    out = Path(arguments.out)
    if arguments.redraw:
        print(redraw(arguments.name, out))
        return
    options = Options(out, arguments.quick, tuple(range(arguments.seeds)), arguments.run_folder and Path(arguments.run_folder),
                      progress=not arguments.no_progress)  # fmt: skip
    print(question(arguments.name))
    carry_out(arguments.name, options, say=lambda row: print("  " + line(row), flush=True))
    print(f"{out / arguments.name}.csv, {arguments.name}.png")
