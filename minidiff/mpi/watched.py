"""Starts the guard of a rank and sends it messages."""

import atexit
import contextlib
import os
import secrets
import socket
import subprocess
import sys
from pathlib import Path

GUARD = Path(__file__).with_name("guard.py")


class NoGuard:
    """A rank without a guard: its launcher alone reports how it ended."""

    def say(self, line):
        """Send one line to the guard."""

    def quiet(self):
        """Make the guards report nothing more about this job, because a message about its end is printed already."""


NO_GUARD = NoGuard()


class Guard(NoGuard):
    """The guard process of this rank. All ranks start their guards together.

    comm   the communicator of all ranks; machines: on how many machines they run
    """

    def __init__(self, comm, machines):
        listener, address = None, None
        if comm.rank == 0:
            listener = socket.create_server(("localhost" if machines == 1 else "", 0))
            host = "localhost" if machines == 1 else socket.gethostname()
            address = host, listener.getsockname()[1], secrets.token_hex(16)
        host, port, secret = comm.bcast(address)
        name = f"process {os.getpid()} on {socket.gethostname()}"
        number = -1 if listener is None else listener.fileno()
        passed = [] if listener is None else [number]
        if os.environ.get("PMI_FD", "").isdigit():
            passed.append(int(os.environ["PMI_FD"]))
        command = [sys.executable, "-I", "-S", str(GUARD), str(comm.rank), name, secret, str(number), host, str(port)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=passed, bufsize=0)
        if listener is not None:
            listener.close()
        atexit.register(self.say, "bye")

    def say(self, line):
        with contextlib.suppress(OSError):  # a guard that has ended is no reason to end the rank
            self.process.stdin.write(f"{line}\n".encode())

    def quiet(self):
        self.say("quiet")
        self.process.stdout.readline()
