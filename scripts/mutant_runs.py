"""The machinery of scripts/mutants.py: a copy of the tree, test runs in forked processes, and which test reaches which line."""

import ast
import collections
import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

import coverage
import hypothesis
import numpy  # noqa: F401 - imported here once, so that each forked process starts with it
import pytest

WARM = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of modules imported before the fork
SPACE = 6 << 30  # bytes of address space of a test run; a mutated size may ask for any amount
OPTIONS = ["-q", "-x", "--no-header", "--tb=no", "-m", "not slow", "-p", "no:cacheprovider", *WARM]


class Copy:
    """A copy of the package and its tests in `folder`, in which one file at a time is mutated."""

    def __init__(self, root, folder, names=("minidiff", "tests", "scripts", "pyproject.toml")):
        self.folder, self.healthy = Path(folder), None
        for name in names:
            if (root / name).is_dir():
                ignore = shutil.ignore_patterns("__pycache__", ".hypothesis")
                shutil.copytree(root / name, self.folder / name, ignore=ignore)
            elif (root / name).exists():
                shutil.copy2(root / name, self.folder / name)

    def write(self, file, text):
        """Replace a file's text. The new time of change keeps Python from loading the file's old bytecode."""
        path = self.folder / file
        self.healthy = path, path.read_text(encoding="utf-8"), path.stat().st_mtime_ns
        path.write_text(text, encoding="utf-8")
        os.utime(path, ns=(0, self.healthy[2] + 5_000_000_000))

    def restore(self):
        """Undo the last `write`, time of change included, so that the bytecode on disk is valid again."""
        path, text, changed = self.healthy
        path.write_text(text, encoding="utf-8")
        os.utime(path, ns=(0, changed))


def fork(folder, log, limit, work):
    """Start `work() -> exit code` in a forked process inside `folder`, its output in the file `log`.   -> the process id

    limit   seconds of CPU time, after which the process is killed; None for no limit
    """
    sys.stdout.flush(), sys.stderr.flush()
    if pid := os.fork():
        return pid
    code = 70
    try:
        os.setsid()
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_CPU, (int(limit) + 1, int(limit) + 2))
            resource.setrlimit(resource.RLIMIT_AS, (SPACE, SPACE))
            sys.dont_write_bytecode = True
            os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(out, 1), os.dup2(out, 2)
        os.chdir(folder)
        os.environ["PYTHONPATH"] = str(folder)
        sys.path.insert(0, str(folder))
        hypothesis.settings.register_profile("mutants", database=None, derandomize=True, deadline=None)
        hypothesis.settings.load_profile("mutants")
        code = int(work())
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)


def end(pid):
    """Kill a process of `fork` and all that it started."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class Chosen:
    """A pytest plugin that runs only these tests, in this order, and prints the first that fails."""

    def __init__(self, tests):
        self.rank = {test: i for i, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        items[:] = sorted((item for item in items if item.nodeid in self.rank), key=lambda item: self.rank[item.nodeid])

    def pytest_runtest_logreport(self, report):
        if report.failed:
            print(f"\nkilled by {report.nodeid}")


def run_chosen(tests):
    """Run the tests until one fails.   -> pytest's exit code"""
    files = list(dict.fromkeys(test.split("::")[0] for test in tests))
    return pytest.main([*OPTIONS, *files], plugins=[Chosen(tests)])


class Recorder:
    """A pytest plugin that tells coverage which test runs, and takes each test's CPU time."""

    def __init__(self, cover):
        self.cover, self.seconds = cover, {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        self.cover.switch_context(item.nodeid)
        start = sum(os.times()[:4])
        try:
            return (yield)
        finally:
            self.seconds[item.nodeid] = sum(os.times()[:4]) - start
            self.cover.switch_context("")


def record(folder, package, tests, out):
    """Run all tests on healthy code and write to `out` their CPU times and which of them reach which line of `package`.

    A line that is reached while modules are imported or tests are collected is reached by "".   -> exit code
    """
    cover = coverage.Coverage(data_file=None, source=[str(folder / package)], config_file=False)
    recorder = Recorder(cover)
    cover.start()
    code = pytest.main([*OPTIONS, *tests], plugins=[recorder])
    cover.stop()
    data, lines = cover.get_data(), {}
    for file in data.measured_files():
        lines[str(Path(file).relative_to(folder))] = data.contexts_by_lineno(file)
    out.write_text(json.dumps({"seconds": recorder.seconds, "lines": lines}))
    return code


def rows_of(source, row):
    """(first, last, whole): the rows of the innermost statement around `row`, without its body, and the rows of the
    function or class whose header this is, or (first, last) again."""
    found = None
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.stmt, ast.ExceptHandler)):
            decorators = getattr(node, "decorator_list", [])
            first = min([node.lineno, *(d.lineno for d in decorators)])
            if first <= row <= node.end_lineno and (found is None or first >= found[0]):
                body = getattr(node, "body", None)
                last = max(node.lineno, body[0].lineno - 1) if body else node.end_lineno
                is_definition = isinstance(node, (ast.FunctionDef, ast.ClassDef))
                found = first, last, (first, node.end_lineno) if is_definition else (first, last)
    return found or (row, row, (row, row))


def tests_of(reach, file, source, row):
    """The tests that a mutant in `row` of `file` is given: those that reach it, the fastest first.

    A row that runs on import (a default, a decorator, a constant) may matter to any test of the room, so all run in the end.
    A row that none reaches may run in a worker process, where nothing is recorded: the tests that reach its file run.
    """
    lines, seconds = reach["lines"].get(file, {}), reach["seconds"]
    first, last, whole = rows_of(source, row)

    def among(start, stop):
        return {test for r in range(start, stop + 1) for test in lines.get(str(r), ())}

    groups, of_file = [among(first, last)], {test for tests in lines.values() for test in tests}
    if "" in groups[0] or whole != (first, last):
        groups = [among(*whole), of_file, set(seconds)]
    elif not groups[0]:
        groups = [of_file]
    order = collections.OrderedDict()
    for group in groups:
        for test in sorted(group & seconds.keys(), key=seconds.get):
            order[test] = None
    return list(order)


def watch(running, done):
    """Wait until one process of `running` {pid: (deadline, ...)} ends.   -> calls done(pid, exit code or None if killed)"""
    while True:
        for pid, (deadline, *_) in list(running.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                end(pid)  # what a test started may still run
                return done(pid, os.waitstatus_to_exitcode(status))
            if time.monotonic() > deadline:
                end(pid)
                os.waitpid(pid, 0)
                return done(pid, None)
        time.sleep(0.02)
