"""One writer a folder: a lock of the operating system, which ends with the process that holds it, killed or not."""

import contextlib
import errno
import os
from pathlib import Path

NAME = ".lock"
_TAKEN = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)  # what a lock held by another process answers
_held = {}  # (process, folder) -> [file, how often this process holds it]


class FolderInUse(RuntimeError):
    """Another process is writing into this folder."""


@contextlib.contextmanager
def locked(folder):
    """Hold a folder against other processes; it is created if missing, and removed again if it stays empty.

    A process may hold a folder several times over: what its own threads do is not held apart. Where the file system or
    Python has no locks, nothing is held. Raises FolderInUse at once, with the number of the process that has it.
    """
    folder = Path(folder)
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    key = os.getpid(), str(folder.resolve())
    if key not in _held:
        _held[key] = [_take(folder), 0]
    _held[key][1] += 1
    try:
        yield
    finally:
        _held[key][1] -= 1
        if _held[key][1] == 0:
            _give_back(_held.pop(key)[0], folder / NAME)
            with contextlib.suppress(OSError):  # not empty: the usual case
                for path in made:
                    path.rmdir()


def _take(folder):
    """The open, locked file. If its last holder removed it meanwhile, it is opened again."""
    path = folder / NAME
    while True:
        try:
            file = open(path, "a+", encoding="ascii", errors="replace")
        except PermissionError:
            return None  # a folder that cannot be written to fails by itself, with a better message
        try:
            _lock(file)
        except OSError as error:
            holder = _holder(file)
            file.close()
            if error.errno not in _TAKEN:
                return None
            raise FolderInUse(
                f"{folder}: another run{holder} is writing into this folder; wait for it to end, or name another folder"
            ) from None
        if _same(file, path):
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            return file
        file.close()


def _give_back(file, path):
    if file is None:
        return
    with contextlib.suppress(OSError):  # Windows removes no open file; it may stay, a lock it is not
        path.unlink()
    file.close()


def _same(file, path):
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _holder(file):
    """ " (process 123)", where the file can be read while it is locked."""
    try:
        file.seek(0)
        number = file.read(20).strip()
    except OSError:
        return ""
    return f" (process {number})" if number.isdigit() else ""


def _lock(file):
    """Raises OSError where another process has the lock.

    A record lock, not `flock`: worker processes forked from this one would keep a `flock` after its death.
    """
    try:
        import fcntl
    except ImportError:
        try:
            import msvcrt
        except ImportError:
            return  # Python in a browser: there is no second process
        file.seek(1 << 20)  # far behind the text, which others may then read
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
