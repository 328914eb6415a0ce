"""The process that runs a chapter once, and for each point two copies of it: one runs the tests, one the answer.

Requests come on standard input, from scripts/grade.py: the chapter's cells, then for each point the student's cells and,
when this process asks for them, the tests. The answer's copy is made before the tests are read, so that their text and what
they expect are nowhere in its memory. It is locked (`lockdown`), and all that it can say is what the answer returns
(`remote`). Whether that is right is found in the other copy.
"""

import contextlib
import ctypes
import gc
import linecache
import os
import pipes
import signal
import socket
import sys
import time
import traceback
from pathlib import Path

import cells
import lockdown
import numpy as np
import numpy.random  # NumPy loads it at first use, which would be in each point's processes
import remote

import minidiff
from minidiff import guarded
from minidiff.settings import all_settings, setting

SUBREAPER = 36
TESTS, CELL = "<the tests>", "<cell {}>"
VALUES = (bool, int, float, complex, str, bytes, list, tuple, dict, set, type(None), np.ndarray, np.generic)


def main(hidden):
    requests, replies = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)  # what answers leave running becomes this process's, to be killed
    names, first = {"__name__": "__main__"}, pipes.read(requests)
    for number, text in first["cells"]:
        run(text, f"<the chapter, cell {number}>", names)
    for name in first["without"]:
        guarded.resolve(name, names)  # imports the modules that an answer does without
    readable = [*lockdown.readable(hidden), Path(minidiff.__file__).parent]
    both = names, remote.Shared(value for name, value in names.items() if is_shared(name, value))
    gc.collect()
    gc.freeze()  # a collection in a copy of this process would write to, and so copy, all of its memory
    pipes.write(replies, "ready")
    refused = {}  # by exercise: looking through the package touches, and so copies, the memory that all processes share
    with contextlib.suppress(EOFError):
        while True:
            request = pipes.read(requests)
            name = request["exercise"]
            if name not in refused:
                refused[name] = guarded.refusals(name, request["without"], names)
            pipes.write(replies, point(request, refused[name], both, requests, replies, readable))


def run(text, name, names):
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)  # tracebacks show the line
    exec(compile(text, name, "exec"), names)


def point(request, refused, both, requests, replies, readable):
    """One point.   request {exercise, cells, seconds}   refused: what the answer does without, of `guarded.refusals`
    both (names, shared), as both processes have them

    -> None, or what went wrong
    """
    seconds = request["seconds"]
    for_tests, for_answer = socket.socketpair()
    cells.definition_of(request["exercise"])  # compiled here, once for all its points
    with guarded.replaced(refused):
        answer = os.fork()
        if answer == 0:
            with contextlib.suppress(BaseException):
                be_the_answer(request, both, for_answer, readable)
            os._exit(0)
    for_answer.close()
    found, result = os.pipe()
    tests = os.fork()
    if tests == 0:
        message = "the process of the tests ended"
        try:
            pipes.write(replies, "tests")
            message = be_the_tests(request, pipes.read(requests), both, for_tests)
        finally:
            pipes.write(result, message)
            os._exit(0)
    os.close(result)
    for_tests.close()
    try:
        message = pipes.read(found, time.monotonic() + 10 * seconds)
    except pipes.Late:
        message = pipes.Late
    except EOFError:
        message = "the tests died"
    os.close(found)
    for child in (tests, answer):
        os.kill(child, signal.SIGKILL)  # of one that has ended by itself, the status stays what it is
    os.waitpid(tests, 0)
    _, status = os.waitpid(answer, 0)
    end_the_rest()
    if message is pipes.Late or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
        return f"stopped after {seconds:g} s: an endless loop?"
    return message


def end_the_rest():
    """Kill what an answer has left running: on Linux all that it started is by now a child of this process."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        children = Path(f"/proc/self/task/{os.getpid()}/children")
        for child in children.read_text().split() if children.exists() else []:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


# ---- the answer's process ----------------------------------------------------------------------------------------------------


def be_the_answer(request, both, sock, readable):
    os.setsid()
    lockdown.close_files(sock.fileno())
    lockdown.limit(request["seconds"])
    lockdown.lock(readable)
    Answer(sock, *both, request["exercise"], request["cells"]).serve()


class Answer(remote.Peer):
    """The student's cells, run on the chapter's names, and the function that they define."""

    def is_open(self, thing):  # the tests are trusted
        return True

    def __init__(self, sock, names, shared, exercise, texts):
        super().__init__(sock, shared, trusting=True)
        self.names, self.exercise, self.texts, self.replaced = names, exercise, texts, {}

    def do_start(self):
        """Run the cells down to the last that defines the exercise, as a notebook does.   -> the function"""
        last = cells.last_that_defines(self.exercise, self.texts)
        stub, error = self.names.get(self.exercise), None
        for number in range(last + 1):
            try:
                run(cells.plain_python(self.texts[number]), CELL.format(number), self.names)
            except BaseException as raised:  # tests below an answer may fail and the answer be there
                error = raised
        if error is not None and self.names.get(self.exercise) is stub:
            raise error
        if self.exercise not in self.names:
            raise NameError(f"no cell defines {self.exercise}")
        return self.names[self.exercise]

    def do_call(self, thing, args, options, context):
        """A call under the settings of the tests' process, and with the chapter's names that a test has replaced."""
        settings, replaced = context
        for name in self.replaced.keys() - replaced.keys():
            self.names[name] = self.replaced.pop(name)
        for name, value in replaced.items():
            self.replaced.setdefault(name, self.names.get(name))
            self.names[name] = value
        with setting(**settings):
            return thing(*args, **options)

    def line_of(self, error):
        """The line of the student's that an exception came from."""
        if isinstance(error, SyntaxError) and error.text:
            return error.text.strip()
        return last_line(error, CELL.partition("{")[0]) or getattr(error, "line", "")


# ---- the tests' process ------------------------------------------------------------------------------------------------------


def be_the_tests(request, code, both, sock):
    """-> None, or what went wrong"""
    lockdown.limit(request["seconds"])
    names, shared = both
    peer = Tests(sock, names, shared, request["exercise"])
    try:
        names[request["exercise"]] = guarded.guarded(peer.ask("start"), name=request["exercise"])
        run(code, TESTS, names)
    except remote.Ended:
        return "the process died"
    except BaseException as error:
        return words(error)


class Tests(remote.Peer):
    def __init__(self, sock, names, shared, exercise):
        super().__init__(sock, shared, trusting=False)
        self.names, self.chapter, self.exercise = names, dict(names), exercise

    def context(self):
        """What holds while the answer is called: minidiff's settings, and names of the chapter that a test has replaced."""
        replaced = {
            name: self.names[name] for name, value in self.chapter.items()
            if name != self.exercise and self.names.get(name) is not value
        }  # fmt: skip
        return {name: value for name, value in all_settings().items() if isinstance(value, bool)}, replaced


def is_shared(name, value):
    """Whether both processes have it: one of the chapter's functions, classes and objects."""
    return name != "__builtins__" and not isinstance(value, VALUES)


def words(error):
    """The exception as a student should read it; a bare assert has no words, so its line is shown."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    line = getattr(error, "line", "") or ("" if str(error) else last_line(error, TESTS))
    return f"{text}   in   {line}"[:4000] if line else text[:4000]


def last_line(error, file):
    """The innermost line that an exception came through, of the files whose name begins with `file`; "" where there is none."""
    places = [(frame.f_code.co_filename, number) for frame, number in traceback.walk_tb(error.__traceback__)]
    found = [linecache.getline(*place) for place in places if place[0].startswith(file)]
    return found[-1].strip() if found else ""


if __name__ == "__main__":
    main(sys.argv[1])
