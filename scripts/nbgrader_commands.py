"""nbgrader's commands, one after the other, without its start-up of seconds for each.

with Nbgrader(folder) as nbgrader:
    code, output = nbgrader("autograde", "ch01")

Each runs in a fork of a process that has imported nbgrader, or in a new process on a system without fork.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path


class Nbgrader:
    """folder: of the course   environment: variables for the commands, as well as those of this process"""

    def __init__(self, folder, **environment):
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # it calls alembic by name
        self.process = subprocess.Popen(
            [sys.executable, __file__], cwd=folder, env={**os.environ, "PATH": path, **environment}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def __call__(self, *arguments):
        """-> exit code, what the command has written"""
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "output.txt"
            self.process.stdin.write(json.dumps({"arguments": arguments, "output": str(output)}) + "\n")
            self.process.stdin.flush()
            return int(self.process.stdout.readline()), output.read_text(encoding="utf-8", errors="replace")


def run(arguments, output):
    """One command, its output into the file `output`.   -> exit code"""
    if not hasattr(os, "fork"):
        with open(output, "wb") as file:
            command = [sys.executable, "-m", "nbgrader", *arguments]
            return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file).returncode
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv = ["nbgrader", *arguments]
    sys.exit(NbGraderApp.launch_instance())


if __name__ == "__main__":
    from nbgrader.apps import NbGraderApp

    while line := sys.stdin.buffer.raw.readline():  # not buffered: a fork inherits what was read ahead
        print(run(**json.loads(line)), flush=True)
