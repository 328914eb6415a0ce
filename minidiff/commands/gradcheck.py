"""Check every backward pass of the library against the slope of its forward pass: ops, layers, models, losses, guidance.

Each row is the largest relative error in float64 over all arguments and parameters, for several random cases (one case for
a whole model). A complex step through the plain reference gives the slope, exact to rounding. The gradient comes from the
version that runs on this machine.
"""

from .. import selfcheck
from .values import number, whole


def add_arguments(parser):
    parser.add_argument("--seeds", type=whole, default=3, metavar="N", help="random cases per row (default: 3)")
    parser.add_argument(
        "--tolerance", type=number, default=1e-12, metavar="X", help="largest relative error that passes (default: 1e-12)"
    )


def run(arguments):
    if arguments.seeds < 1 or not arguments.tolerance > 0:
        raise ValueError(f"--seeds, --tolerance: got {arguments.seeds}, {arguments.tolerance}, expected both above 0")
    failures, checked = [], 0
    print(f"{'':8} {'':40} {'largest error':>13}  gradients")
    for kind, name, result, n in selfcheck.table(arguments.seeds, arguments.tolerance):
        checked += n
        if isinstance(result, AssertionError):
            failures.append((name, result))
            print(f"{kind:8} {name:40} {'WRONG':>13}  {n}", flush=True)
        else:
            print(f"{kind:8} {name:40} {result:13.1e}  {n}", flush=True)
    for name, failure in failures:
        print(f"\n{name}: {failure}")
    print(f"\n{checked} gradients checked, {len(failures)} of the cases wrong")
    return 1 if failures else 0
