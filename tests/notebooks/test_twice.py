"""Every chapter's cells can be run again: each twice in a row, and those of a section once more in reverse order.

The right value is what the cell printed the first time. `run_twice.py` says what is compared, and what of cells with a clock.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import run_twice

ROOT = Path(__file__).parent.parent.parent
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py"))
RUNNER = Path(__file__).parent / "run_twice.py"


def run(chapter, solutions, folder):
    path = os.pathsep.join(map(str, (ROOT, ROOT / "scripts")))
    environment = {**os.environ, "MINIDIFF_FAST": "1", "MPLBACKEND": "agg", "TQDM_DISABLE": "1", "PYTHONPATH": path}
    command = [sys.executable, str(RUNNER), str(chapter), str(solutions)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900)


@pytest.mark.slow
@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_cells_print_the_same_when_they_run_again(chapter, tmp_path):
    done = run(chapter, ROOT / "notebooks" / "exercises" / f"{chapter.stem[:2]}.py", tmp_path)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-3000:]
    exactly, roughly = map(int, re.fullmatch(r"the same: (\d+) exactly, (\d+) without digits\n", done.stdout).groups())
    assert exactly >= 5 and roughly <= 2  # no chapter passes because nothing of it was compared


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


def test_digits_of_a_duration_may_differ_and_its_words_may_not():
    assert run_twice.without_digits("12.5 ms in 3 steps\n  conv 1 ms") == run_twice.without_digits(
        "0.9 ms in 3 steps\n  norm 2 ms"
    )
    assert run_twice.without_digits("12 ms") != run_twice.without_digits("12 s")
