"""Shared by the whole suite: the counts printed at the end, and a comparison with a reference value."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: small products, and one worker on each core already
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest

from minidiff.gradcheck import identity

KINDS = {
    "gradient": "gradients checked",
    "outside": "reference values compared",
    "planted": "injected bugs caught",
    "asked": "exercises graded",
    "graded": "wrong answers that lost their points",
    "handed_in": "notebooks graded by nbgrader",
}


def pytest_addoption(parser):
    parser.addoption("--answers", metavar="FILE", help="a student's notebook or .py file, to grade with -m ch03 (chapter 3)")


def pytest_configure(config):
    for number in range(19):
        config.addinivalue_line("markers", f"ch{number:02}: the points of chapter {number}'s exercises (needs --answers)")


CHAPTER = "tests/notebooks/test_twice.py::test_chapter_runs_and_its_cells_print_the_same_when_they_run_again"
LONGEST = (  # first parts of names; what begins alike shares a fixture, or takes half a minute by itself
    "tests/zoo/test_zoo.py", "tests/assignments/test_nbgrader.py",
    "tests/interop/test_schedulers.py", f"{CHAPTER}[0",
    f"{CHAPTER}[1", "tests/studies/test_studies.py",
    "tests/samplers/test_mixture.py", "tests/docs/test_site.py",
    "tests/recipes/test_system.py", "tests/gpu/test_sanitized.py",
    "tests/gpu/test_report.py", "tests/models/test_gradients_at_real_sizes.py",
    "tests/test_fuzz.py",
)  # fmt: skip


def pytest_collection_modifyitems(config, items):
    """Each worker begins with its share of the longest: at the end of a run one core would wait for them. `--dist worksteal`
    gives the first part of the tests to the first worker, the next part to the next."""
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    groups = {name: [item for item in items if item.nodeid.startswith(name)] for name in LONGEST}
    rest = [item for item in items if not item.nodeid.startswith(LONGEST)]
    size, items[:] = len(items) // workers, []
    for i in range(workers):
        items += [item for name in LONGEST[i::workers] for item in groups[name]]
        short = size * (i + 1) - len(items) if i < workers - 1 else len(rest)
        items += rest[: max(0, short)]
        rest = rest[max(0, short) :]


@pytest.fixture(autouse=True)
def _count_gradients(request, monkeypatch):
    """Every comparison of a backward pass with a slope is counted, whoever asks for it."""
    compare, calls = identity.compare, []

    def counting(*args, **kwargs):
        error = compare(*args, **kwargs)
        calls.append(1)  # only those that held
        return error

    monkeypatch.setattr(identity, "compare", counting)
    yield
    request.node.user_properties.append(("gradient", len(calls)))


@pytest.fixture
def count(request):
    """count(kind, n=1): something of KINDS was held n times in this test."""

    def add(kind, n=1):
        assert kind in KINDS
        request.node.user_properties.append((kind, n))

    return add


@pytest.fixture
def outside(count):
    """outside(ours, theirs, atol): ours equals numbers that somebody else computed. Up to 64 numbers count one each, a
    larger array counts once: a million pixels of one comparison are not a million proofs."""

    def compare(ours, theirs, atol):
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=0, atol=atol)
        count("outside", int(np.size(theirs)) if np.size(theirs) <= 64 else 1)

    return compare


def pytest_terminal_summary(terminalreporter):
    totals = dict.fromkeys(KINDS, 0)
    passed = {report.nodeid for report in terminalreporter.stats.get("passed", [])}
    for report in terminalreporter.stats.get("", []):  # setups and teardowns that went well
        if getattr(report, "when", None) == "teardown" and report.nodeid in passed:
            for kind, n in report.user_properties:
                if kind in totals:
                    totals[kind] += n
    terminalreporter.write_line("held: " + ", ".join(f"{totals[kind]} {words}" for kind, words in KINDS.items()))
