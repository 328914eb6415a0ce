"""A small process beside each rank that reports how the rank ended. It runs as a script and imports nothing from minidiff.

A killed rank cannot report anything, and the launcher kills the other ranks at once. Each guard waits for the end of a pipe
that its rank holds. Guards of other ranks send their reports to the guard of rank 0, which prints the earliest one only:
the later ranks were ended by the launcher. A guard also holds its rank's connection to the launcher of MPICH open, so that
this launcher acts only after the report.

From the rank, line by line: `step 57`; `bye` before it ends normally; `quiet` before it ends the job with a message.
"""

import os
import select
import signal
import socket
import sys
import time

COLLECT = 0.3  # seconds for reports to arrive
PATIENCE = 5.0  # seconds after which the guard of rank 0 ends its rank, for a launcher that does not
LINGER = 1.0  # seconds for which it still receives reports, so that no other guard prints


def main(rank, name, secret, listener, host, port):
    """Wait for the end of the rank, and report it.

    listener   descriptor of the listening socket in the guard of rank 0, -1 in the others, which connect to host and port
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.setsid()  # a signal to the group of the ranks does not reach the guard
    server = socket.socket(fileno=listener) if listener >= 0 else None
    reports, step, rest = [], 0, b""
    while not reports:
        ready = select.select([0] + ([server] if server else []), [], [])[0]
        if server in ready:
            reports += received(server, secret)
        if 0 in ready:
            data = os.read(0, 65536)
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if line == b"bye":
                    return
                if line == b"quiet":
                    reports.append((time.time(), ""))
                    break
                step = int(line.split()[1])
            if not data:
                during = f"during step {step}" if step else "before the first step"
                reports.append((time.time(), f"rank {rank} ({name}) was killed {during}"))
    if server is None:
        if not sent(host, port, secret, *reports[0]):
            print_error(reports[0][1])
        answer()
        return
    answer()
    reports += collected(server, secret, COLLECT)
    print_error(min(reports)[1])
    collected(server, secret, PATIENCE, until_end=True)
    collected(server, secret, LINGER)


def collected(server, secret, seconds, until_end=False):
    """The reports that arrive within this time, or until this guard's rank has ended.   -> [(time, text)]"""
    reports, end = [], time.time() + seconds
    while (left := end - time.time()) > 0:
        ready = select.select([server] + [0] * until_end, [], [], left)[0]
        if server in ready:
            reports += received(server, secret)
        if 0 in ready and not os.read(0, 65536):
            return reports
    if until_end:
        os.kill(os.getppid(), signal.SIGKILL)
    return reports


def received(server, secret):
    """The report of another guard as a list, empty for a stranger's.   -> [(time, text)]"""
    connection, _ = server.accept()
    with connection:
        connection.settimeout(1.0)
        try:
            data = connection.makefile("rb").read(4096)
            connection.sendall(b"ok")
        except OSError:
            return []
    given, _, rest = data.decode(errors="replace").partition(" ")
    when, _, text = rest.partition(" ")
    return [(float(when), text)] if given == secret else []


def sent(host, port, secret, when, text):
    """Whether the guard of rank 0 received the report."""
    try:
        with socket.create_connection((host, port), timeout=1.0) as connection:
            connection.sendall(f"{secret} {when} {text}".encode())
            connection.shutdown(socket.SHUT_WR)
            return connection.recv(2) == b"ok"
    except OSError:
        return False


def answer():
    """Tell the rank, if it waits, that its message was passed on."""
    try:
        os.write(1, b"ok\n")
    except OSError:
        pass


def print_error(text):
    """Print the report, unless it is empty: then a rank has printed a message already."""
    if text:
        resume = "the job ends; the last checkpoint is whole: resume from it, on any number of ranks"
        os.write(2, f"minidiff: error: {text}; {resume}\n".encode())


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5], int(sys.argv[6]))
