"""Every chapter runs in fast mode, its exercises can be solved, and its cells can be run again: each twice in a row, and
those of a section once more in reverse order.

The right value is what the cell printed the first time. `run_twice.py` says what is compared, and what of cells with a clock.
The chapters of the site that runs in a browser run as they would there, `bare_python.py`; grading, in tests/assignments, runs
every chapter once in a plain process.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import build_lite
import pytest
import run_twice

ROOT = Path(__file__).parent.parent.parent
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py"))
RUNNER, BARE = (Path(__file__).parent / name for name in ("run_twice.py", "bare_python.py"))
SECONDS = 15  # of one core's work, for a chapter in fast mode


def run(chapter, solutions, folder, runner=RUNNER):
    path = os.pathsep.join(map(str, (ROOT, ROOT / "scripts")))
    environment = {**os.environ, "MINIDIFF_FAST": "1", "MPLBACKEND": "agg", "TQDM_DISABLE": "1", "PYTHONPATH": path}
    command = [sys.executable, str(runner), str(chapter), str(solutions)]
    (folder / "matplotlibrc").write_text("savefig.dpi: 40\n")  # all is drawn, with fewer pixels
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900)


@pytest.mark.slow
@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_runs_and_its_cells_print_the_same_when_they_run_again(chapter, tmp_path):
    """Each chapter runs in a new process and folder, the reader's part done by docs/answers/NN.py."""
    in_browser = chapter.with_suffix(".ipynb") in build_lite.chapters()
    solutions = ROOT / "docs" / "answers" / f"{chapter.stem[:2]}.py"
    done = run(chapter, solutions, tmp_path, BARE if in_browser else RUNNER)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-3000:]
    exercises = chapter.read_text(encoding="utf-8").count("**Exercise ")
    assert [f"exercise {n}: right" in done.stdout for n in range(1, exercises + 1)] == [True] * exercises
    last = done.stdout.splitlines()[-1]
    exactly, roughly, seconds = re.fullmatch(r"the same: (\d+) exactly, (\d+) without digits, ([\d.]+) s", last).groups()
    assert int(exactly) >= 5 and int(roughly) <= 2  # no chapter passes because nothing of it was compared
    assert float(seconds) < SECONDS


@pytest.mark.parametrize("cells, words", [
    ("# %%\nn = 0\n\n# %%\nn += 1\nprint(n)\n", "cell 1: differs the second time"),
    ("# %%\nn = 1\n\n# %%\nprint(1 // n)\nn = 0\n", "cell 1: fails the second time"),
    ("# %%\nn = 1\nprint(n)\n\n# %%\nm = n\n\n# %%\nprint(m)\n\n# %%\nm = 5\n", "cell 2: differs in reverse order"),
    ("# %%\nn = 0\n\n# %%\nn += 1\n'abc'[:n]  # time.perf_counter()\n", "cell 1: differs the second time"),
])  # fmt: skip
def test_the_runner_sees_a_cell_that_is_not_the_same(cells, words, tmp_path):
    path = tmp_path / "00_x.py"
    path.write_text(cells)
    solutions = tmp_path / "solutions.py"
    solutions.write_text("")
    done = run(path, solutions, tmp_path)
    assert done.returncode == 1 and words in done.stdout, done.stdout + done.stderr


def test_the_next_section_starts_from_the_names_that_a_reader_has(tmp_path):
    path, solutions = tmp_path / "00_x.py", tmp_path / "solutions.py"
    one, two = "# %%\nn = 1\nf = lambda: n\n\n# %%\nn = 2\n\n", "# %% [markdown]\n# ## Next\n\n# %%\nprint('n is', n, f())\n"
    path.write_text(one + two)
    solutions.write_text("")
    done = run(path, solutions, tmp_path)
    assert done.returncode == 0 and "n is 2 2" in done.stdout, done.stdout + done.stderr


def test_digits_of_a_duration_may_differ_and_its_words_may_not():
    assert run_twice.without_digits("12.5 ms in 3 steps\n  conv 1 ms") == run_twice.without_digits(
        "0.9 ms in 3 steps\n  norm 2 ms"
    )
    assert run_twice.without_digits("12 ms") != run_twice.without_digits("12 s")
