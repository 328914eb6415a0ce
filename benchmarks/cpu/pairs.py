"""Programs timed in turns, so that whatever else the machine is doing falls on all of them alike."""

import statistics
import time
from dataclasses import asdict, dataclass, field

SHORTEST = 0.004  # seconds: what takes less is repeated within one reading
LONG = 0.05  # seconds: what takes more need not be called once before each reading
REST = 0.02  # seconds between two programs: torch's threads go on spinning for about 13 ms, on cores that the other needs
clock = time.perf_counter  # seconds; time.process_time leaves out what other programs take, for programs of one thread
wanted = ""  # rows whose name does not hold this are passed over


@dataclass
class Row:
    """One line of the table. Times in milliseconds; ratio is ours / theirs, below 1 where minidiff is faster."""

    group: str
    name: str
    ours: float
    theirs: float
    layout: str
    ratio: float
    low: float  # a quarter of the pairs lies below,
    high: float  # a quarter above
    pairs: int
    floor: float | None = None  # what the machine needs for the bare products or bytes
    compiled: float | None = None  # torch.compile's time
    ratio_compiled: float | None = None  # ours / compiled
    shape: dict = field(default_factory=dict)  # what tables are ordered by

    def dict(self):
        known = asdict(self)
        return known | known.pop("shape")


def is_wanted(*names):
    """Whether a row of one of these names is asked for."""
    return any(wanted in name for name in names)


def measure(group, name, ours, theirs, seconds=1.5, least=5, floor=None, shape=None, compiled=None):
    """Time ours() against the faster of theirs, {layout: function}.   -> Row   compiled: what torch.compile made of theirs

    Each round reads every program once, in turning order; the ratio is the median over rounds, so one disturbed reading
    is no result. Rounds go on for about `seconds`, at least `least` of them. None for a name that is not `wanted`.
    """
    if not is_wanted(name):
        return None
    programs = {"minidiff": ours, **theirs}
    if floor is not None:
        programs["floor"] = floor
    if compiled is not None:
        programs["compiled"] = compiled
    repeats, wakes = {}, {}
    for key, program in programs.items():
        program()  # first calls load code, fill caches and make scratch memory
        took = min(_read(program, 1, False) for _ in range(3))
        repeats[key], wakes[key] = max(1, round(SHORTEST / max(took, 1e-7))), took < LONG
    times, start = {key: [] for key in programs}, time.perf_counter()
    while len(times["minidiff"]) < least or time.perf_counter() - start < seconds:
        keys = list(programs) if len(times["minidiff"]) % 2 else list(programs)[::-1]
        for key in keys:
            times[key].append(_read(programs[key], repeats[key], wakes[key]))
    middle = {key: statistics.median(values) for key, values in times.items()}
    best = min(theirs, key=middle.get)

    def ratios_to(peer):
        return [a / b for a, b in zip(times["minidiff"], times[peer], strict=True)]

    low, ratio, high = statistics.quantiles(ratios_to(best), n=4)
    return Row(group, name, 1e3 * middle["minidiff"], 1e3 * middle[best], best, ratio, low, high, len(times["minidiff"]),
               1e3 * middle["floor"] if floor else None, 1e3 * middle["compiled"] if compiled else None,
               statistics.median(ratios_to("compiled")) if compiled else None, shape or {})  # fmt: skip


def _read(program, repeats, wake):
    time.sleep(REST)
    if wake:  # the threads that have gone to sleep meanwhile: in use, step follows step
        program()
    start = clock()
    for _ in range(repeats):
        program()
    return (clock() - start) / repeats


def show(row, heading=False):
    """Print a line of the table."""
    if heading:
        print(f"{'':44} {'minidiff':>10} {'torch':>10} {'':8} {'ratio':>7} {'quartiles':>13} {'floor':>9}")
    floor = f"{row.floor:8.2f}ms" if row.floor else ""
    floor += f"compiled {row.compiled:8.2f}ms {row.ratio_compiled:6.2f}" if row.compiled else ""
    print(f"{row.name:44} {row.ours:8.2f}ms {row.theirs:8.2f}ms {row.layout:8} {row.ratio:7.2f} "
          f"{row.low:6.2f}-{row.high:<6.2f} {floor}", flush=True)  # fmt: skip
