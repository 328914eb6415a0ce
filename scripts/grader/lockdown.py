"""What the process of an answer may do: compute, read Python and minidiff, and nothing else, as far as the system can say so.

On Linux 5.13 and newer, Landlock keeps it from other files, from the network (6.7) and from signals to other processes (6.12).
Elsewhere only memory and time are limited: `is_locked` tells, and scripts/grade.py prints it.
"""

import ctypes
import math
import os
import resource
import struct
import sys
from pathlib import Path

MEMORY = 4 * 2**30  # bytes that an answer may take
CREATE, ADD, RESTRICT = 444, 445, 446  # Landlock's system calls, the same on all architectures
READ_FILE, READ_FOLDER, EXECUTE, WRITE_FILE = 1 << 2, 1 << 3, 1 << 0, 1 << 1
FILES = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # how many kinds of access to files each version of Landlock knows
NO_NEW_PRIVILEGES = 38


def landlock_version():
    """0 where there is none."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(0, ctypes.CDLL(None, use_errno=True).syscall(CREATE, None, ctypes.c_size_t(0), 1))


def readable(hidden):
    """The folders that Python needs; not one that `hidden` lies in, unless Python itself lives there.   -> [Path]"""
    places = {sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64", "/bin", "/etc", *sys.path}
    found = [Path(place).resolve() for place in places if place and Path(place).is_dir()]
    return [place for place in found if not Path(hidden).resolve().is_relative_to(place)]


def limit(seconds):
    """Time of a processor, and memory."""
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), math.ceil(seconds) + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    except (OSError, ValueError):  # macOS has neither
        pass


def close_files(kept):
    """Every open file but `kept`; standard input and output lead nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    os.closerange(3, kept)
    os.closerange(kept + 1, 65536)


def lock(folders):
    """From here on, this process and its children read these folders, and open, send and signal nothing else.   -> bool"""
    version = landlock_version()
    if not version:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    files = (1 << FILES.get(version, 16)) - 1
    network, scopes = (3 if version >= 4 else 0), (3 if version >= 6 else 0)
    rules = struct.pack("<QQQ", files, network, scopes)
    rules = rules[: 24 if version >= 6 else 16 if version >= 4 else 8]
    ruleset = libc.syscall(CREATE, rules, ctypes.c_size_t(len(rules)), 0)
    if ruleset < 0:
        return False
    for path, access in [(folder, READ_FILE | READ_FOLDER | EXECUTE) for folder in folders] + [
        (Path(os.devnull), READ_FILE | WRITE_FILE), (Path("/dev/urandom"), READ_FILE)
    ]:  # fmt: skip
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        libc.syscall(ADD, ruleset, 1, struct.pack("<Qi", access, place), 0)
        os.close(place)
    done = libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0 and libc.syscall(RESTRICT, ruleset, 0) == 0
    os.close(ruleset)
    return done
