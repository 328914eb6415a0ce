"""Everything worth knowing about minidiff on this machine's NVIDIA card, in one run: make gpu-report, or

    python3 scripts/gpu_report.py --out FOLDER                           every stage, at most --minutes
    python3 scripts/gpu_report.py --out FOLDER --stages bench profile    only these
    python3 scripts/gpu_report.py --out FOLDER --emulate                 a rehearsal without a card, at small sizes

Each stage (scripts/gpu_stages.py) runs in a process with its own time limit; after a failure the next one runs. Neither make
nor a network nor an installed minidiff is needed. FOLDER gets report.json and report.txt, rewritten after every stage: one
line a stage with its outcome and seconds, and the first error whole; also report.log (what the stages printed), gpu.json from
the benchmark and the sample sheets. At most eight files and no folders.
Exit code 1 if any stage failed.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gpu_stages import ROOT, SKIPPED, STAGES

SCRIPT = ROOT / "scripts" / "gpu_stages.py"
SECONDS = {"facts": 60, "kernels": 240, "train": 120, "replay": 120, "tests": 420, "strict": 300, "memory": 120, "bench": 420,
           "demo": 240, "profile": 180, "sanitize": 420}  # fmt: skip
LEAST = 5  # seconds with which a stage is worth starting


def main(argv=None):
    """Run the stages.   -> exit code"""
    names = [stage.__name__ for stage in STAGES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu-report"), help="output folder [gpu-report]; created if missing")
    parser.add_argument("--stages", nargs="+", default=names, metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--minutes", type=float, default=60.0, help="time for all stages together [60]")
    parser.add_argument("--limit", type=float, help="seconds for each stage, in place of its own limit")
    parser.add_argument("--emulate", action="store_true", help="rehearse on the emulators of the tests")
    arguments = parser.parse_args(argv)
    if not arguments.minutes > 0:
        parser.error(f"--minutes: got {arguments.minutes}, expected a number above 0")
    if arguments.limit is not None and not arguments.limit >= LEAST:
        parser.error(f"--limit: got {arguments.limit}, expected at least {LEAST} seconds")
    chosen = [name for word in arguments.stages for name in word.split(",") if name]
    if not chosen or set(chosen) - set(names):
        parser.error(f"--stages: got {', '.join(chosen) or 'none'}, expected some of {', '.join(names)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by way of run(), which stops the stage's processes
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.log").write_bytes(b"")
    end, report = time.monotonic() + 60 * arguments.minutes, {}
    for name in names:
        if name not in chosen:
            continue
        limit = min(arguments.limit or SECONDS[name], end - time.monotonic())
        report[name] = run(name, out, limit, arguments.emulate)
        print(line(name, report[name]), flush=True)
        write(out, report)
    return int(any(row["outcome"] == "failed" for row in report.values()))


def run(name, out, limit, emulate):
    """One stage in its own process.   -> {outcome, seconds, found | reason | error}"""
    if limit < LEAST:
        return {"outcome": "skipped", "seconds": 0.0, "reason": "no time left of --minutes"}
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, open(out / "report.log", "a+b") as log:
        result = Path(folder) / "found.json"
        log.write(f"==== {name}\n".encode())
        log.flush()
        begin = log.tell()
        command = [sys.executable, str(SCRIPT), name, "--out", str(out), "--result", str(result)] + ["--emulate"] * emulate
        code = finish(command, log, limit)
        log.seek(begin)
        text = log.read().decode(errors="replace").strip()
        found = {"found": json.loads(result.read_text())} if result.exists() else {}
    row = {"seconds": round(time.monotonic() - start, 1)}
    if code == 0 and found:
        return {"outcome": "passed"} | row | found
    if code == SKIPPED:
        return {"outcome": "skipped"} | row | {"reason": text.rpartition("\n")[2]}
    why = f"stopped after {limit:.0f} seconds" if code is None else f"exit code {code}"
    return {"outcome": "failed"} | row | {"error": f"{why}\n{first_error(text)}"} | found


def finish(command, log, limit):
    """Run a command for at most `limit` seconds.   -> its exit code, None where it had to be stopped"""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, env=environment, start_new_session=True)
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:  # the stage's children too: a compiler, a profiler
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def first_error(text):
    """The first traceback of a log, whole; without one, its last 40 lines."""
    at = text.find("Traceback (most recent call last)")
    return text[at:] if at >= 0 else "\n".join(text.splitlines()[-40:])


def line(name, row):
    """One line of report.txt."""
    said = row.get("reason") or short(row.get("error", "")) or summary(row.get("found"))
    return f"{row['outcome']:8} {name:9} {row['seconds']:7.1f} s  {said}"


def short(error):
    """How a stage ended and its exception's first line, or the first line that it printed."""
    how, *rest = error.strip().splitlines() or [""]
    if rest and rest[0].startswith("Traceback"):
        rest = [line for line in rest[1:] if line and not line[0].isspace()]
    return ": ".join([how, *rest[:1]])[:300]


def summary(found):
    """The numbers at the top of a stage's findings, on one line."""
    if not found:
        return ""
    if all(isinstance(value, dict) and "held" in value for value in found.values()):  # the aims of the benchmark
        return f"{sum(value['held'] for value in found.values())} of {len(found)} aims held"
    plain = {key: value for key, value in found.items() if isinstance(value, (int, float, str))}
    return ", ".join(f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in plain.items())[
        :150
    ]


def write(out, report):
    """report.json and report.txt, each whole or not at all."""
    rows = [line(name, row) for name, row in report.items()]
    failed = next(((name, row["error"]) for name, row in report.items() if row["outcome"] == "failed"), None)
    if failed:
        rows += ["", f"The first error, in {failed[0]}:", failed[1]]
    for name, text in (("report.json", json.dumps(report, indent=1)), ("report.txt", "\n".join(rows))):
        temporary = out / f".{name}.tmp"
        temporary.write_text(text + "\n")
        temporary.replace(out / name)


if __name__ == "__main__":
    sys.exit(main())
