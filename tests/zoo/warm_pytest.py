"""Runs pytest again and again, each time in a fork of a process that has imported NumPy and pytest but nothing of minidiff:

    python warm_pytest.py SECONDS       reads lines of JSON, {"arguments": [...], "output": FILE}; answers with exit codes

A run that takes longer than SECONDS is ended. A code below 0 is the signal that ended a run.
"""

import gc
import importlib
import json
import os
import signal
import subprocess
import sys

import hypothesis
import pytest

PRELOADED = ("numpy.testing", "PIL.Image", "safetensors.numpy", "multiprocessing.connection")


def run(arguments, output, seconds):
    """Run pytest in a fork (a new process where there are none), its output into the file `output`.   -> exit code"""
    if not hasattr(os, "fork"):
        with open(output, "wb") as file:
            command = [sys.executable, "-m", "pytest", *arguments]
            return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file).returncode
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    signal.alarm(seconds)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.exit(pytest.main(arguments))


if __name__ == "__main__":
    for name in PRELOADED:
        importlib.import_module(name)
    without = hypothesis.settings(phases=set(hypothesis.Phase) - {hypothesis.Phase.shrink, hypothesis.Phase.explain})
    hypothesis.settings.register_profile("zoo", without)
    hypothesis.settings.load_profile("zoo")  # the first example that fails will do; no search for the smallest
    gc.freeze()  # what pytest collects at its end
    while line := sys.stdin.buffer.raw.readline():  # not buffered: a fork inherits what was read ahead
        request = json.loads(line)
        print(run(request["arguments"], request["output"], int(sys.argv[1])), flush=True)
