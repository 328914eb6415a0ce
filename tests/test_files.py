"""All or nothing: what stands on the disk when writing goes wrong."""

import errno
import os
import subprocess
import sys

import pytest

from minidiff import files
from minidiff.files import free_name, write_whole
from minidiff.training import CheckpointError, load, save


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    return path


def left(path):
    return sorted(os.listdir(path.parent)), path.read_bytes()


def test_writes_and_leaves_nothing_beside(old):
    write_whole(old, [b"ne", memoryview(b"w")])
    assert left(old) == (["file"], b"new")


def test_makes_the_folder(tmp_path):
    write_whole(tmp_path / "a" / "b" / "file", [b"x"])
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"x"


@pytest.mark.parametrize("where", ["write", "fsync", "replace"])
def test_a_full_disk_at_any_point(old, monkeypatch, where):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if where == "write":

        class Full:
            def __init__(self, path, mode):
                self.file = open(path, mode)

            def __enter__(self):
                return self

            def __exit__(self, *_):
                self.file.close()

            write = full

        monkeypatch.setattr(files, "open", Full, raising=False)
    else:
        monkeypatch.setattr(files.os, where, full)
    with pytest.raises(OSError, match="the disk is full; the file that stood there stands") as error:
        write_whole(old, [b"new"])
    assert error.value.errno == errno.ENOSPC and str(old) in str(error.value)
    assert left(old) == (["file"], b"old")


def test_a_file_that_fails_its_check_is_not_put_in_place(old):
    def check(path):
        assert path.read_bytes() == b"new" and old.read_bytes() == b"old"
        raise CheckpointError("bad")

    with pytest.raises(CheckpointError):
        write_whole(old, [b"new"], check)
    assert left(old) == (["file"], b"old")


def test_clears_what_a_killed_writer_left_and_nothing_else(old):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for name in (f".file.{gone.pid}.tmp", f".file.{2**22 + 1}.tmp", ".other.123.tmp", ".file.mine.tmp", "file.123.tmp"):
        (old.parent / name).write_bytes(b"half")
    write_whole(old, [b"new"])
    assert left(old) == ([".file.mine.tmp", ".other.123.tmp", "file", "file.123.tmp"], b"new")


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be removed there")
def test_leaves_the_temporary_file_of_a_living_process_alone(old):
    """Two `minidiff sample` into one samples.png: neither takes the other's half-written file away."""
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    half = old.parent / f".file.{other.pid}.tmp"
    half.write_bytes(b"half")
    write_whole(old, [b"new"])
    assert half.read_bytes() == b"half" and old.read_bytes() == b"new"
    other.kill()
    other.wait()
    write_whole(old, [b"newer"])
    assert left(old) == (["file"], b"newer")


LIMITED = """
import resource, sys
import numpy as np
from minidiff.training import save
save(sys.argv[1], {"w": np.zeros(1000)}, step=1)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    save(sys.argv[1], {"w": np.zeros(100_000)}, step=2)
except OSError as error:
    print(error)
    sys.exit(7)
"""


@pytest.mark.skipif(os.name == "nt", reason="no resource limits there")
def test_a_real_limit_on_file_size(tmp_path):
    path = tmp_path / "x"
    done = subprocess.run([sys.executable, "-c", LIMITED, path], capture_output=True, text=True)
    assert done.returncode == 7, done.stderr
    assert "0.76 MiB to write" in done.stdout and "limit on file size" in done.stdout and "stands" in done.stdout
    assert load(path).step == 1 and os.listdir(tmp_path) == ["x"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may mount")
def test_a_really_full_disk(tmp_path):
    import numpy as np

    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        save(disk / "x", {"w": np.zeros(10_000)}, step=1)
        with pytest.raises(OSError, match="the disk is full; the file that stood there stands"):
            save(disk / "x", {"w": np.zeros(100_000)}, step=2)
        assert load(disk / "x").step == 1 and os.listdir(disk) == ["x"]
        save(disk / "x", {"w": np.ones(10_000)}, step=3)  # and there is room again for what fits
        assert load(disk / "x").step == 3
    finally:
        subprocess.run(["umount", disk], check=True)


def test_only_regular_files_are_opened(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    assert files.regular_file(str(tmp_path / "link")) == tmp_path / "link"
    for path, kind in ((tmp_path / "pipe", "a pipe"), (tmp_path, "a folder"), ("/dev/zero", "a device")):
        with pytest.raises(ValueError, match=f"--config: got {path}, {kind}, expected a regular file"):
            files.regular_file(path, "--config")
    with pytest.raises(FileNotFoundError, match=r"^file: got .*absent, expected a file: No such file or directory$"):
        files.regular_file(tmp_path / "absent")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(OSError, match="loop, expected a file: "):
        files.regular_file(tmp_path / "loop")
    with pytest.raises(ValueError, match=r"^file: got 'a.x00b', expected a path: embedded null"):
        files.regular_file("a\0b")


def test_a_free_name_leaves_what_is_there(tmp_path):
    path = tmp_path / "samples.png"
    assert free_name(path) == path
    path.touch()
    assert free_name(path) == tmp_path / "samples-2.png"
    (tmp_path / "samples-2.png").symlink_to("nowhere")
    assert free_name(path) == tmp_path / "samples-3.png"
