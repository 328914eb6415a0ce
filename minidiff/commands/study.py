"""Run a study: a question that everybody asks, put to the test; without a name, list them.

examples:
  minidiff study                              what there is
  minidiff study orders                       error against steps, for every deterministic sampler
  minidiff study samplers --run runs/digits   on a model of yours, trained with: minidiff train --data digits
  minidiff study T --quick                    the same code in seconds; its numbers mean nothing

A study leaves NAME.csv, NAME.png and sometimes further pictures. Those that look at a trained digits model train one the
first time (some minutes) and keep it in runs/studies/digits.
"""

from pathlib import Path

from ..studies import HOME, STUDIES, Options, carry_out, find, question, redraw
from ..studies.table import line


def add_arguments(parser):
    parser.add_argument("name", nargs="?", metavar="NAME", help="which study; none: list them")
    parser.add_argument("--out", default=str(HOME), metavar="FOLDER", help=f"where tables and pictures go (default: {HOME})")
    parser.add_argument("--quick", action="store_true", help="tiny nets, few samples: seconds, and numbers that mean nothing")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="measurements for each error bar (default: 3)")
    parser.add_argument(
        "--run", dest="run_folder", metavar="RUN", help="a run on the digits to look at (default: one of its own)"
    )
    parser.add_argument("--redraw", action="store_true", help="only draw the picture again, from the table in --out")
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
