"""Where the time of a training step and of a sampling step goes, by op, forward and backward.

examples:
  minidiff profile                           the U-Net of the digits, batch 64
  minidiff profile --threads 1               on one thread
  minidiff profile --plain                   with the plain references of all ops: what the fast versions are worth
  minidiff profile --set model.block_out_channels=[64,128] --batch-size 16

A row is the time from entering an op to leaving it, work on other threads included. "elsewhere" is what happens between
ops: adding skips and gradients, drawing noise, and Python itself. Measuring costs a little; both totals are printed.
All of it is in one process; `minidiff train` shares a batch among several, each with such a profile of its own rows.
"""

import cProfile
import statistics
import time
from pathlib import Path

from .. import ops
from ..runs import build, preset
from ..training import Trainer

ROOM = Path(__file__).parents[1]
OPS = tuple(str(ROOM / room) for room in ("ops", "cpu"))
BETWEEN = tuple(str(ROOM / "ops" / name) for name in ("dispatch.py", "norm_silu.py"))  # they call ops and are none
UPDATES = {"clip_grad_norm": "clipping", "AdamW.step": "AdamW", "EMA.update": "average of weights"}


def add_arguments(parser):
    parser.add_argument("--data", default="digits", metavar="NAME", help="data set, and with it the net (default: digits)")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="examples a step (default: 64)")
    parser.add_argument("--steps", type=int, default=20, metavar="N", help="steps to take the mean of (default: 20)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads (default: as many as cores)")
    parser.add_argument("--plain", action="store_true", help="run the plain reference of every op")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="assignments",
                        help="any key of the configuration, such as model.dropout=0.1; may be given often")  # fmt: skip


def run(arguments):
    if arguments.steps < 1:
        raise ValueError(f"--steps: got {arguments.steps}, expected at least 1")
    from ..thread_team import get_threads, set_threads

    if arguments.threads is not None:
        set_threads(arguments.threads)
    made = build(preset(arguments.data).override([f"train.batch_size={arguments.batch_size}", *arguments.assignments]))
    trainer = Trainer(made.model, made.objective, made.images, made.labels, steps=10**6, batch_size=arguments.batch_size)
    images, labels = trainer.batch(0)
    print(f"{made.model.size():,} parameters, batch {arguments.batch_size} of {images.shape[1:]}, {get_threads()} threads"
          + (", plain references" if arguments.plain else ""))  # fmt: skip

    def sampling():
        denoiser = made.objective.denoiser(made.model)
        denoiser(images, 500, labels)

    for name, step in (("training step", trainer.step), ("sampling step", sampling)):
        if arguments.plain:
            with ops.plain():
                table, profiled, alone = measure(step, arguments.steps)
        else:
            table, profiled, alone = measure(step, arguments.steps)
        show(name, table, profiled, alone)


def measure(step, steps, warm=3):
    """Times of ops in `steps` calls of step().   -> {op: [forward, backward, calls]} in ms a step, ms measured, ms without"""
    for _ in range(warm):
        step()
    alone = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        alone.append(1e3 * (time.perf_counter() - start))
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(steps):
        step()
    profiler.disable()
    entries = profiler.getstats()
    total = next(1e3 * e.totaltime / steps for e in entries if getattr(e.code, "co_qualname", "") == _name(step))
    return by_op(entries, steps), total, statistics.median(alone)


def by_op(entries, steps):
    """What the profiler saw, summed over ops that were entered from outside any op."""
    table = {}
    for entry in entries:
        if _is_op(entry.code):
            continue
        for call in entry.calls or ():
            name = getattr(call.code, "co_qualname", "")
            if _is_op(call.code) or name in UPDATES:
                op, backward = UPDATES.get(name) or _op_name(name), name.endswith(".back")
                if op is None:  # a small part that ops share; its time counts as "elsewhere"
                    continue
                row = table.setdefault(op, [0.0, 0.0, 0])
                row[backward] += 1e3 * call.totaltime / steps
                row[2] += (not backward) * call.callcount / steps
    return table


def show(name, table, profiled, alone):
    """Print the rows, the longest first, and what lies between them."""
    print(f"\n{name}: {alone:.1f} ms ({profiled:.1f} ms while measuring)")
    print(f"  {'op':24} {'forward':>10} {'backward':>10} {'share':>7} {'calls':>6}")
    rows = sorted(table.items(), key=lambda row: -row[1][0] - row[1][1])
    inside = sum(forward + backward for _, (forward, backward, _) in rows)
    for op, (forward, backward, calls) in [*rows, ("elsewhere", (profiled - inside, 0.0, 0))]:
        share = 100 * (forward + backward) / profiled
        if share >= 0.05:
            counted = f"{calls:6.0f}" if calls else ""
            print(f"  {op:24} {forward:8.2f}ms {backward:8.2f}ms {share:6.1f}% {counted}")


def _op_name(name):
    """The public op that a function, or the `back` that it made, belongs to."""
    op = name.partition(".<locals>.")[0].lstrip("_")
    if op.startswith("group_norm"):
        return "group_norm (silu)"  # with or without the silu they are one function
    return op if op in ops.__all__ else None


def _is_op(code):
    file = getattr(code, "co_filename", "")
    return file.startswith(OPS) and not file.startswith(BETWEEN)


def _name(step):
    return getattr(step, "__func__", step).__code__.co_qualname
