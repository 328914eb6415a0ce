"""The time of a step by op, forward and backward: where a training step or a sampling step spends it.

    table, profiled, alone = profiling.measure(trainer.step, steps=20)
    profiling.show("training step", table, profiled, alone)

A row is the time from entering an op to leaving it, work on other threads included. "elsewhere" is what happens between
ops: adding skips and gradients, drawing noise, and Python itself. Measuring costs a little, so both totals are given.
Only this process is measured, not the worker processes that share a batch.
"""

import cProfile
import statistics
import time
from pathlib import Path

from . import ops

ROOM = Path(__file__).parent
OPS = tuple(str(ROOM / room) for room in ("ops", "cpu", "thread_team.py"))
BETWEEN = tuple(str(ROOM / "ops" / name) for name in ("dispatch.py", "norm_silu.py"))  # they call ops and are none
UPDATES = {"clip_grad_norm": "clipping", "AdamW.step": "AdamW", "EMA.update": "average of weights"}


def measure(step, steps, warm=3):
    """Profile `steps` calls of step(), after `warm` calls.   -> ({op: [forward, backward, calls]}, profiled, alone)

    forward, backward: ms a step; profiled, alone: ms of a whole step with the profiler running and without it (median).
    """
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
    return _by_op(entries, steps), total, statistics.median(alone)


def _by_op(entries, steps):
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
