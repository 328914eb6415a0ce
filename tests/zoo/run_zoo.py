"""The bug zoo: plants each mistake of mistakes.toml in a copy of the package and prints which test killed it.

    python tests/zoo/run_zoo.py                 all of them
    python tests/zoo/run_zoo.py guidance v      those whose name or file contains one of these words
    python tests/zoo/run_zoo.py --list          what there is

Exit code 0 when every mistake was killed; 1 when one survived, or when the zoo itself is out of date: a line that is no
longer there or there twice, a test that does not exist or that fails on healthy code.
"""

import argparse
import contextlib
import json
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
OPTIONS = ("-q", "--no-header", "--tb=no", "-rfE", "--assert=plain", "-p", "no:cacheprovider")


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
        environment = {
            **os.environ, "PYTHONPATH": str(self.folder), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # those of other packages take longer to load than most of the tests to run
        }  # fmt: skip
        self.warm = subprocess.Popen(
            [sys.executable, HERE / "warm_pytest.py", str(LIMIT)],
            cwd=self.folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def write(self, name, text):
        self.clock += 2  # Python compiles a file anew when its time of writing, in seconds, has changed
        (self.folder / name).write_text(text, encoding="utf-8")
        os.utime(self.folder / name, (self.clock, self.clock))

    def pytest(self, tests, *options):
        """(exit code, output) of these tests on the copy as it is; -14, that of SIGALRM, where they are not done in time."""
        output = self.folder / "output.txt"
        request = {"arguments": [*OPTIONS, *options, *tests], "output": str(output)}
        self.warm.stdin.write(json.dumps(request) + "\n")
        self.warm.stdin.flush()
        return int(self.warm.stdout.readline()), output.read_text(encoding="utf-8")

    def close(self):
        """End the process that runs the tests."""
        self.warm.stdin.close()
        self.warm.stdout.close()
        self.warm.wait()

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
    with tempfile.TemporaryDirectory(prefix="minidiff-zoo-") as folder, contextlib.ExitStack() as closing:
        copies = queue.Queue()
        for i in range(jobs):
            copies.put(closing.enter_context(contextlib.closing(Copy(Path(folder) / str(i)))))

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
        killed_by = sorted({killer for killer in killers.values() if killer})
        code, output = copies.get().pytest(killed_by) if killed_by else (0, "")
        if code != 0:
            raise SystemError(f"the tests that killed do not pass on healthy code:\n{output.strip()[-2000:]}")
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
