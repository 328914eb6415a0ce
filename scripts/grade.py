"""Grade answers without Jupyter or nbgrader:   python scripts/grade.py CHAPTER FILE ... [--csv GRADES]

    python scripts/grade.py 03 hand_ins/*.ipynb --csv grades.csv

A FILE is a notebook, of the chapter or of the assignment made from it, or a .py file with the functions. A notebook means
here what it means in Jupyter: its own cells run from top to bottom, after the chapter's. The chapter runs once, in its fast
mode. For each point the answer runs in a process that has neither the tests nor the answers, and another process compares
what it returns; docs/teachers.md lists what that protects from, and what it does not.

Linux, macOS or WSL.
"""

import argparse
import csv
import io
import itertools
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import course
from grader import cells, lockdown, pipes

from minidiff.files import write_whole

ROOT = Path(__file__).resolve().parent.parent
WORKER = ROOT / "scripts" / "grader" / "worker.py"
SECONDS = 20  # of a processor's time, for one point; ten times as much on the clock, for answers that sleep
START = 600  # seconds on the clock, for the chapter itself


class Grader:
    """A chapter that has been run, ready to try answers:   with Grader(chapter) as grader: ..."""

    def __init__(self, chapter, seconds=SECONDS):
        self.chapter, self.seconds, self.process = chapter, seconds, None

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        try:
            self.start()
        except BaseException:
            self.folder.cleanup()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        self.folder.cleanup()

    def start(self):
        quiet = {"MINIDIFF_FAST": "1", "MPLBACKEND": "agg", "TQDM_DISABLE": "1", "PYTHONWARNINGS": "ignore"}
        one_thread = dict.fromkeys(("MINIDIFF_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), str(course.ANSWERS)],
            cwd=self.folder.name, env={**os.environ, **quiet, **one_thread, "PYTHONPATH": path}, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, bufsize=0,
        )  # fmt: skip
        code = [(number, text) for number, (kind, text, _) in enumerate(self.chapter.cells) if kind == "code"]
        try:
            self.send({"cells": code, "without": sorted({w for e in self.chapter.exercises.values() for w in e.without})})
            self.receive(START)
        except (EOFError, OSError, pipes.Late):
            self.errors.seek(0)
            message = self.errors.read().decode(errors="replace")[-2000:]
            self.stop()
            raise RuntimeError(f"chapter {self.chapter.number} did not run:\n{message}") from None

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for file in (self.process.stdin, self.process.stdout, self.errors):
                file.close()
            self.process = None

    def send(self, message):
        pipes.write(self.process.stdin.fileno(), message)

    def receive(self, seconds):
        return pipes.read(self.process.stdout.fileno(), time.monotonic() + seconds)

    def point(self, name, texts, point):
        """Try one point.   name: of the exercise   texts: the student's cells   -> None, or what went wrong"""
        if self.process is None:
            self.start()
        try:
            without = self.chapter.exercises[name].without
            self.send({"exercise": name, "cells": texts, "without": without, "seconds": self.seconds})
            self.receive(30)  # it asks for the tests when the answer's process has parted
            self.send(point.code)
            return self.receive(10 * self.seconds + 30)
        except (EOFError, OSError, pipes.Late):
            self.stop()  # and the next point starts a new one
            return "the grader's own process was killed or stopped"

    def exercise(self, name, texts):
        """-> {name of the point: None, or what went wrong}"""
        return {point.name: self.point(name, texts, point) for point in self.chapter.exercises[name].points}


def grade(chapter, jobs, seconds=SECONDS):
    """Try every point of some exercises.   jobs [(exercise's name, what the student wrote for it)]

    -> [{name of the point: None, or what went wrong}], one for each job
    """
    with Grader(chapter, seconds) as grader:
        return [grader.exercise(name, [source] if source else []) for name, source in jobs]


def written(chapter, path):
    """The cells of a hand-in that are the student's own.   -> [text]; raises ValueError or OSError for what cannot be read"""
    return cells.of_the_student(cells.read(Path(path), course.cells), chapter)


def grade_file(chapter, path, seconds=SECONDS):
    """-> {exercise's name: {name of the point: None, or what went wrong}}"""
    texts = written(chapter, path)
    with Grader(chapter, seconds) as grader:
        return {name: grader.exercise(name, texts) for name in chapter.exercises}


def student(path, chapter):
    """Who handed a file in, by its place: ADA/ch03/FILE, ADA_03_adding_noise.ipynb, ADA/03_adding_noise.ipynb or ADA.py."""
    path = Path(path).absolute()
    if path.parent.name == f"ch{chapter.number}":
        return path.parent.parent.name
    named = re.fullmatch(rf"(?:(.+)_)?{chapter.path.stem}", path.stem)
    return path.stem if named is None else named[1] or path.parent.name


# ---- the command ---------------------------------------------------------------------------------------------------------


def main(arguments):
    about = __doc__.split(":   ")[0]
    parser = argparse.ArgumentParser(prog="grade.py", description=about, epilog="docs/teachers.md says what protects you.")
    parser.add_argument("chapter", choices=course.numbers())
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a notebook or a .py file")
    parser.add_argument("--csv", type=Path, help="write a row for each file and exercise")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for one point (default %(default)s)")
    given = parser.parse_args(arguments)
    chapter = course.chapter(given.chapter)
    grade_all(given.files, lambda path: chapter, given.csv, given.seconds)


def grade_all(files, chapter_of, csv_file=None, seconds=SECONDS):
    """Grade files, print what came out and write the table.   chapter_of: path -> course.Chapter"""
    if not lockdown.landlock_version():
        print("This system cannot lock an answer's process in: answers can read your files. Grade in a container.")
    rows = []
    try:
        for chapter, paths in itertools.groupby(files, key=chapter_of):  # a chapter runs once for all of its files in a row
            with Grader(chapter, seconds) as grader:
                for path in paths:
                    rows += hand_in(grader, path)
    finally:
        if csv_file:
            write_table(csv_file, rows)


def hand_in(grader, path):
    """Grade one file and print what came out.   -> [row of the table]"""
    chapter = grader.chapter
    try:
        texts = written(chapter, path)
    except Exception as error:
        print(f"{path}: cannot be read: {type(error).__name__}: {error}", flush=True)
        texts = None
    rows, lines = [], []
    for name, exercise in chapter.exercises.items():
        found = {} if texts is None else grader.exercise(name, texts)
        got = sum(message is None for message in found.values())
        rows.append([student(path, chapter), path.name, chapter.number, name, got, len(exercise.points)])
        lines.append(f"  {name}: {got} of {len(exercise.points)}")
        lines += ["    {}: {}".format(point, told.replace("\n", "\n      ")) for point, told in found.items() if told]
    if texts is not None:
        print(f"{path}: {sum(row[4] for row in rows)} of {chapter.points} points", *lines, sep="\n", flush=True)
    return rows


def write_table(path, rows):
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["student", "file", "chapter", "exercise", "points", "of"], *rows])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, [text.getvalue().encode()])


if __name__ == "__main__":
    main(sys.argv[1:])
