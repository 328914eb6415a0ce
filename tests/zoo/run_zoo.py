"""The bug zoo: plants each mistake of mistakes.toml in a copy of the package and prints which test killed it.

    python tests/zoo/run_zoo.py                 all of them
    python tests/zoo/run_zoo.py guidance v      those whose name or file contains one of these words
    python tests/zoo/run_zoo.py --list          what there is

Exit code 0 when every mistake was killed; 1 when one survived, or when the zoo itself is out of date: a line that is no
longer there or there twice, a test that does not exist or that fails on healthy code.
"""

import argparse
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LIMIT = 300  # seconds for one mistake: a mutant that hangs counts as not killed


class Mistake(NamedTuple):
    """A row of mistakes.toml, which says what each field is."""

    name: str
    file: str
    old: str
    new: str
    seen: str
    tests: list


MISTAKES = [Mistake(**row) for row in tomllib.loads((HERE / "mistakes.toml").read_text(encoding="utf-8"))["mistake"]]


class Copy:
    """A copy of package and tests in a folder of its own, in which one line at a time may be wrong."""

    def __init__(self, folder):
        self.folder, self.clock = Path(folder), int(time.time())
        ignore = shutil.ignore_patterns("__pycache__", ".hypothesis")
        for name in ("minidiff", "tests"):
            shutil.copytree(ROOT / name, self.folder / name, ignore=ignore)
        shutil.copy(ROOT / "pyproject.toml", self.folder)

    def write(self, name, text):
        self.clock += 2  # Python compiles a file anew when its time of writing, in seconds, has changed
        (self.folder / name).write_text(text, encoding="utf-8")
        os.utime(self.folder / name, (self.clock, self.clock))

    def pytest(self, tests, *options):
        """(exit code, output) of these tests on the copy as it is."""
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "pytest", "-q", "--no-header", "--tb=no", "-rfE", "-p", "no:cacheprovider",
                   *options, *tests]  # fmt: skip
        try:
            done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=LIMIT)
        except subprocess.TimeoutExpired:
            return None, f"not done after {LIMIT} seconds"
        return done.returncode, done.stdout + done.stderr

    def kill(self, mistake):
        """The name of the first test that fails with the mistake in place. Raises SystemError when none does."""
        healthy = (self.folder / mistake.file).read_text(encoding="utf-8")
        self.write(mistake.file, planted(healthy, mistake))
        try:
            code, output = self.pytest(mistake.tests, "-x")
        finally:
            self.write(mistake.file, healthy)
        killed_by = re.search(r"^FAILED (.+?)(?: - .*)?$", output, re.MULTILINE)
        if code == 0:
            raise SystemError("survived " + ", ".join(mistake.tests))
        if code != 1 or not killed_by:
            raise SystemError(f"pytest ended with {code}: {output.strip()[-400:]}")
        return killed_by[1]


def planted(text, mistake):
    """The file's text with the mistake in it. Raises SystemError unless `old` is in exactly one of its lines."""
    lines = [line for line in text.splitlines() if mistake.old in line]
    if len(lines) != 1 or text.count(mistake.old) != 1:
        raise SystemError(f"{mistake.file}: {len(lines)} lines hold {mistake.old!r}, expected exactly one")
    return text.replace(mistake.old, mistake.new)


def run(mistakes=MISTAKES, jobs=1, say=print):
    """Plant them one by one.   -> {name: the test that killed it, or None}"""
    start, killers = time.perf_counter(), {}
    with tempfile.TemporaryDirectory(prefix="minidiff-zoo-") as folder:
        copies = queue.Queue()
        for i in range(jobs):
            copies.put(Copy(Path(folder) / str(i)))
        first = copies.get()
        code, output = first.pytest(sorted({test for mistake in mistakes for test in mistake.tests}))
        copies.put(first)
        if code != 0:
            raise SystemError(f"the tests do not pass on healthy code:\n{output.strip()[-2000:]}")
        say(f"{len(mistakes)} mistakes; their tests pass on healthy code ({time.perf_counter() - start:.0f} s)")

        def one(mistake):
            copy = copies.get()
            try:
                return copy.kill(mistake), None
            except SystemError as error:
                return None, str(error)
            finally:
                copies.put(copy)

        with ThreadPoolExecutor(jobs) as pool:
            for mistake, (killer, why) in zip(mistakes, pool.map(one, mistakes), strict=True):
                killers[mistake.name] = killer
                say(f"{'killed' if killer else 'ALIVE '}  {mistake.name:52} {killer or why}")
    dead = sum(killer is not None for killer in killers.values())
    say(f"{dead} of {len(mistakes)} mistakes killed, in {time.perf_counter() - start:.0f} seconds")
    return killers


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="WORD", help="only mistakes whose name or file contains one of these")
    parser.add_argument("--list", action="store_true", help="print the mistakes and where they were seen; run nothing")
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1), metavar="N", help="so many at a time")
    arguments = parser.parse_args(argv)
    chosen = [m for m in MISTAKES if not arguments.words or any(w in f"{m.name} {m.file}" for w in arguments.words)]
    if arguments.list:
        for m in chosen:
            print(f"{m.name}\n    {m.file}\n  - {m.old}\n  + {m.new}\n    seen: {m.seen}\n")
        return 0
    if not chosen:
        parser.error(f"no mistake's name or file contains {' or '.join(arguments.words)}")
    try:
        killers = run(chosen, arguments.jobs)
    except SystemError as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if all(killers.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
