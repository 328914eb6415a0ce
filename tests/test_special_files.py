"""What a file is: links and permissions survive writing, pipes and devices are not read, marks and sizes are looked at."""

import os
import threading

import pytest

from minidiff.files import read_bytes, read_text, regular_file, write_whole
from minidiff.interop import tensor_file
from minidiff.json_file import read_object
from minidiff.studies.table import read_table
from minidiff.training import History, load
from minidiff.training.config import RunConfig

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX permissions, links and pipes")


@posix
@pytest.mark.parametrize("mode", [0o640, 0o600, 0o664])
def test_permissions_stay(tmp_path, mode):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(mode)
    write_whole(path, [b"new"])
    assert path.read_bytes() == b"new" and path.stat().st_mode & 0o777 == mode


@posix
def test_a_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "disk").mkdir()
    target, link, second = tmp_path / "disk" / "real", tmp_path / "link", tmp_path / "second"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to("disk/real")
    second.symlink_to(link)
    write_whole(second, [b"new"])
    assert second.is_symlink() and link.is_symlink() and target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(tmp_path)) == ["disk", "link", "second"] and os.listdir(tmp_path / "disk") == ["real"]


@posix
@pytest.mark.parametrize("reader", [read_bytes, read_text, read_object, tensor_file.read, load, read_table,
                                    RunConfig.from_toml, lambda path: History(path).resume(1)])  # fmt: skip
@pytest.mark.parametrize("kind", ["pipe", "device", "loop"])
def test_only_regular_files_are_opened(tmp_path, reader, kind):
    path = tmp_path / "odd"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero" if kind == "device" else "odd")
    told = []

    def read():
        try:
            reader(path) if reader not in (read_bytes, read_text) else reader(path, 10)
        except (ValueError, OSError) as error:
            told.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(10)
    if kind == "loop" and not thread.is_alive() and not told:
        return  # a log that leads nowhere is a log that is not there
    assert not thread.is_alive() and str(path) in str(told[0])


def test_text(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbfa\xc3\xa9")
    assert read_text(path, 10) == "aé"
    with pytest.raises(ValueError, match="text: got 6 bytes, expected at most 5"):
        read_text(path, 5)
    path.write_bytes(b"\xff")
    with pytest.raises(ValueError, match="text is not UTF-8 text"):
        read_text(path, 5)
    assert regular_file(path) == path
