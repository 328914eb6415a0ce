"""Reading only regular files; writing so that a kill, a power cut or a full disk leaves the old file or the new one, whole."""

import contextlib
import errno
import os
import shutil
import stat
from pathlib import Path

_KINDS = {
    stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip


def regular_file(path, name="file"):
    """`path` as a Path, provided that it leads to a regular file; to be called before the file is opened.

    Opening a pipe waits for a writer, and a device may never end. `name` is what the message calls the path, such as the
    option that gave it. Raises ValueError for a folder, pipe, socket or device, and FileNotFoundError or another OSError
    where there is nothing to open.
    """
    path = Path(path)
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise type(error)(f"{name}: got {path}, expected a file: {error.strerror}") from None
    except ValueError as error:  # a null character in the path
        raise ValueError(f"{name}: got {str(path)!r}, expected a path: {error}") from None
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise ValueError(f"{name}: got {path}, {kind}, expected a regular file")
    return path


def read_bytes(path, largest, name="file"):
    """The bytes of a regular file. Raises as `regular_file` does, and ValueError for one of more than `largest` bytes."""
    path = regular_file(path, name)
    size = path.stat().st_size
    if size > largest:
        raise ValueError(f"{path}: got {size:,} bytes, expected at most {largest:,}")
    return path.read_bytes()


def read_text(path, largest, name="file"):
    """The UTF-8 text of a regular file, without a byte-order mark. Raises as `read_bytes` does."""
    try:
        return read_bytes(path, largest, name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: {error}") from None


def free_name(path):
    """`path`, or where there is something already the first of NAME-2.png, NAME-3.png, ... that is free."""
    path, number = Path(path), 2
    free = path
    while free.exists() or free.is_symlink():
        free, number = path.with_stem(f"{path.stem}-{number}"), number + 1
    return free


def write_whole(path, pieces, check=None):
    """Write bytes-like `pieces` to `path`, all or nothing; what stood there before stands until the new file is complete.

    A symbolic link stays: the file it leads to is replaced. A file that is replaced keeps its permissions.

    The bytes go to a temporary file in the same folder, which is flushed to the disk, handed to `check(temporary)` (it
    raises if the file is not good) and then renamed. What a killed writer of the same path left behind is cleared away.
    Of two processes that write the same path at once the later one's file stands. Raises OSError that says how much was
    to be written and how much room there is.
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        clear_stale(path)
        with open(temporary, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        if path.is_file():
            shutil.copymode(path, temporary)
        if check is not None:
            check(temporary)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise explained(error, path, sum(memoryview(piece).nbytes for piece in pieces)) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(folder):
    """Inside, a temporary folder to write into; at the end its files go to `folder`, which is created if missing.

    A folder that is new or empty comes into being whole. Into one that holds files already each file goes whole, replacing
    that of its name. If anything fails inside, `folder` is left as it was.
    """
    folder = Path(os.path.abspath(folder))
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file, expected a folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        with contextlib.suppress(OSError):  # not empty
            folder.rmdir()
        if not folder.exists():
            os.rename(temporary, folder)
        else:
            for file in sorted(path for path in temporary.rglob("*") if path.is_file()):
                place = folder / file.relative_to(temporary)
                place.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def clear_stale(path):
    """Remove the temporary files that a killed writer of `path` left behind; a living process keeps its own."""
    path = Path(path)
    start, end = f".{path.name}.", ".tmp"
    for name in os.listdir(path.parent):
        number = name[len(start) : -len(end)]
        if name.startswith(start) and name.endswith(end) and number.isdigit() and not _is_alive(int(number)):
            with contextlib.suppress(PermissionError):  # on Windows, while a living process has it open
                (path.parent / name).unlink(missing_ok=True)


def _is_alive(process):
    """Whether another process of this number runs. Windows is not asked: there an open file cannot be removed anyway."""
    if os.name == "nt" or process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another process's
        return True
    return True


def _sync_folder(folder):
    """The rename itself lives in the folder, which Windows neither needs nor lets us flush."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def explained(error, path, size):
    """The OSError once more, saying which file of how many bytes could not be written, and what stands."""
    reasons = {errno.ENOSPC: "the disk is full", errno.EFBIG: "the limit on file size is reached"}
    try:
        room = f", {shutil.disk_usage(path.parent).free / 2**20:.2f} MiB free"
    except OSError:
        room = ""
    earlier = "; the file that stood there stands" if path.exists() else ""
    reason = reasons.get(error.errno, error.strerror or str(error))
    return OSError(error.errno, f"cannot write {path} ({size / 2**20:.2f} MiB to write{room}): {reason}{earlier}")
