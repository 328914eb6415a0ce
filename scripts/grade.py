"""Grade answers without Jupyter or nbgrader:   python scripts/grade.py CHAPTER FILE ... [--csv GRADES]

    python scripts/grade.py 03 hand_ins/*.ipynb --csv grades.csv

A FILE is a notebook, of the chapter or of the assignment made from it, or a .py file with the functions. Each point is tried
in a process of its own, on a copy of the chapter as it was after its last cell, so that an endless loop or a crash costs that
point and no more. What the chapter defines itself is taken from the chapter, whatever the file did to it. Answers are
programs, and they run with your rights: grade strangers' work on a machine or in a container that holds nothing else.

Points are tried in forked processes: Linux, macOS or WSL.
"""

import argparse
import ast
import csv
import json
import linecache
import math
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import course

ROOT = Path(__file__).parent.parent
SECONDS = 20  # of a processor's time, for one point; ten times as much on the clock, for answers that sleep


def grade(chapter, jobs, seconds=SECONDS):
    """Try every point of some exercises.   jobs [(exercise's name, what the student wrote for it)]

    -> [{name of the point: None, or what went wrong}], one for each job. Runs the chapter once, in fast mode.
    """
    with tempfile.TemporaryDirectory() as folder:
        work, found = Path(folder) / "work.json", Path(folder) / "found.json"
        work.write_text(json.dumps({"chapter": chapter.number, "jobs": jobs, "seconds": seconds}), encoding="utf-8")
        quiet = {"MINIDIFF_FAST": "1", "MPLBACKEND": "agg", "TQDM_DISABLE": "1", "PYTHONWARNINGS": "ignore"}
        one_thread = dict.fromkeys(("MINIDIFF_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        done = subprocess.run(
            [sys.executable, str(Path(__file__).resolve()), "--work", str(work), str(found)],
            cwd=folder, env={**os.environ, **quiet, **one_thread, "PYTHONPATH": path}, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"chapter {chapter.number} did not run:\n{done.stderr[-2000:]}")
        return json.loads(found.read_text(encoding="utf-8"))


def answers(chapter, path):
    """What a student wrote, by exercise.   path .ipynb or .py   -> {name: source}, "" where there is nothing

    Taken are the functions, classes and imports that the chapter does not have itself, and the plain assignments that stand
    in the cell of an answer.
    """
    text = Path(path).read_text(encoding="utf-8")
    if str(path).endswith(".ipynb"):
        texts = ["".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    else:
        texts = [cell for kind, cell in course.cells(text if text.startswith("# %%") else "# %%\n" + text) if kind == "code"]
    own, of_chapter = {}, set()
    for kind, cell, exercise in chapter.cells:
        for node in ast.parse(cell).body if kind == "code" else ():
            of_chapter.add(ast.dump(node))
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not exercise:
                own[node.name] = node
    helpers, written = [], dict.fromkeys(chapter.exercises, "")
    for cell in texts:
        cell = "\n".join("pass" if line.startswith(("%", "!")) else line for line in cell.splitlines())
        try:
            body = ast.parse(cell).body
        except SyntaxError as error:
            for name in written:
                if f"def {name}(" in cell:
                    written[name] = f"raise SyntaxError({f'{error.msg}, line {error.lineno} of the cell'!r})"
            continue
        here = [node.name for node in body if isinstance(node, ast.FunctionDef) and node.name in written]
        for node in body:
            mine = ast.get_source_segment(cell, node)
            if getattr(node, "decorator_list", None):
                mine = "\n".join(cell.splitlines()[node.decorator_list[0].lineno - 1 : node.end_lineno])
            if isinstance(node, ast.FunctionDef) and node.name in written:
                written[node.name] = "" if course.is_left_to_the_reader(node) else mine
            elif ast.dump(node) in of_chapter or getattr(node, "name", None) in own:
                continue
            elif isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)):
                helpers.append(mine)
            elif here and isinstance(node, (ast.Assign, ast.AnnAssign)):
                helpers.append(mine)
    return {name: "\n\n\n".join([*helpers, source]) if source else "" for name, source in written.items()}


def grade_file(chapter, path, seconds=SECONDS):
    """-> {exercise's name: {name of the point: None, or what went wrong}}"""
    written = answers(chapter, path)
    return dict(zip(written, grade(chapter, list(written.items()), seconds), strict=True))


# ---- in the other process ------------------------------------------------------------------------------------------------


def work(job, found):
    """Run the chapter, then each point of each job in a fork of this process."""
    job = json.loads(Path(job).read_text(encoding="utf-8"))
    chapter = course.chapter(job["chapter"])
    names = {"__name__": "__main__"}
    for number, (kind, text, _) in enumerate(chapter.cells):
        if kind == "code":
            _run(text, f"<{chapter.path.name}, cell {number}>", names)
    results = []
    for name, answer in job["jobs"]:
        exercise = chapter.exercises[name]
        results.append({point.name: _try(exercise, answer, point, names, job["seconds"]) for point in exercise.points})
    Path(found).write_text(json.dumps(results), encoding="utf-8")


def _run(text, name, names):
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)  # tracebacks show the line
    exec(compile(text, name, "exec"), names)


def _try(exercise, answer, point, names, seconds):
    """One point, in a fork.   -> None, or what went wrong"""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        message = "the process ended"
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), math.ceil(seconds) + 1))
            names.pop(exercise.name, None)
            _run(answer or exercise.stub, "<the answer>", names)
            _run(point.code, "<the tests>", names)
            message = ""
        except BaseException as error:  # SystemExit too: an answer that leaves is no answer
            message = _message(error)
        finally:
            os.write(theirs, json.dumps({"message": message}).encode())
            os._exit(0)
    os.close(theirs)
    told, deadline, late = b"", time.monotonic() + 10 * seconds, False
    while not late and (piece := _read(ours, deadline)) != b"":
        told, late = told + (piece or b""), piece is None
    if late:
        os.kill(child, signal.SIGKILL)
    os.close(ours)
    _, status = os.waitpid(child, 0)
    if late or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
        return f"stopped after {seconds:g} s: an endless loop?"
    return (json.loads(told)["message"] or None) if told else "the process died"


def _read(pipe, deadline):
    """What has come, b"" at its end, None after the deadline."""
    ready = select.select([pipe], [], [], max(0, deadline - time.monotonic()))[0]
    return os.read(pipe, 65536) if ready else None


def _message(error):
    """The exception as a student should read it; a bare assert has no words, so its line is shown."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith("<the")]
    if frames and (not str(error) or frames[-1].filename == "<the answer>"):
        text += f"   in   {frames[-1].line}"
    return text[:4000]


# ---- the command ---------------------------------------------------------------------------------------------------------


def main(arguments):
    if arguments[:1] == ["--work"]:
        return work(*arguments[1:])
    about = __doc__.split(":   ")[0]
    parser = argparse.ArgumentParser(prog="grade.py", description=about, epilog="Answers run with your rights.")
    parser.add_argument("chapter", choices=course.numbers())
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a notebook or a .py file")
    parser.add_argument("--csv", type=Path, help="write a row for each file and exercise")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for one point (default %(default)s)")
    given = parser.parse_args(arguments)
    chapter, rows = course.chapter(given.chapter), []
    for path in given.files:
        try:
            found = grade_file(chapter, path, given.seconds)
        except (OSError, ValueError, KeyError) as error:
            print(f"{path}: cannot be read: {type(error).__name__}: {error}")
            continue
        got = {name: sum(message is None for message in points.values()) for name, points in found.items()}
        print(f"{path}: {sum(got.values())} of {chapter.points} points")
        for name, points in found.items():
            rows.append([path.stem, chapter.number, name, got[name], len(points)])
            print(f"  {name}: {got[name]} of {len(points)}")
            for point, message in points.items():
                if message is not None:
                    print(f"    {point}: " + message.replace("\n", "\n      "))
    if given.csv:
        with given.csv.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["file", "chapter", "exercise", "points", "of"], *rows])


if __name__ == "__main__":
    main(sys.argv[1:])
