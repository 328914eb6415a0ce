"""Downloads from a server on this machine that sends too much, too little, or the wrong file."""

import hashlib
import http.server
import os
import threading

import pytest

from minidiff import data
from minidiff.data import download

pytest.importorskip("pooch")
FILE = "cifar-10-binary.tar.gz"


class Server(http.server.BaseHTTPRequestHandler):
    """Answers each path in its own way; counts what it could send."""

    sent = 0

    def do_GET(self):
        self.send_response(200)
        if self.path.startswith("/good/"):
            self.send_header("Content-Length", str(len(self.server.good)))
        self.end_headers()
        if self.path.startswith("/good/"):
            self.wfile.write(self.server.good)
        elif self.path.startswith("/short/"):
            self.wfile.write(self.server.good[:-1])
        elif self.path.startswith("/wrong/"):
            self.wfile.write(self.server.good[:-1] + b"x")
        else:  # without end, and without saying how much there will be
            try:
                while self.server.sent < 2**30:
                    self.server.sent += self.wfile.write(bytes(2**16))
            except OSError:
                self.server.stopped.set()

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A server whose good file is known by its size and hash, and an empty cache."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        server.good, server.sent, server.stopped = os.urandom(100_000), 0, threading.Event()
        server.url = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setitem(download.HASHES, "cifar10", {FILE: "sha256:" + hashlib.sha256(server.good).hexdigest()})
        monkeypatch.setitem(download.SIZES, "cifar10", {FILE: len(server.good)})
        monkeypatch.setenv("MINIDIFF_DATA", str(tmp_path / "cache"))
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetch_from(server, monkeypatch, *ways):
    monkeypatch.setitem(download.URLS, "cifar10", tuple(f"{server.url}{way}/" for way in ways))
    return download.fetch("cifar10")[FILE]


def test_an_endless_download_is_stopped(server, monkeypatch, tmp_path):
    """100,000 bytes are expected of an address that would send a gigabyte: the next address is tried instead."""
    path = fetch_from(server, monkeypatch, "endless", "good")
    assert path.read_bytes() == server.good and server.stopped.wait(10)
    assert server.sent < 20 * 2**20  # what lay in the buffers of the connection
    assert [file.name for file in (tmp_path / "cache" / "cifar10").iterdir()] == [FILE]


def test_what_each_address_answered(server, monkeypatch, tmp_path):
    with pytest.raises(RuntimeError) as caught:
        fetch_from(server, monkeypatch, "endless", "short", "wrong")
    lines = str(caught.value).split("\n")
    assert lines[0] == f"cifar10: could not download {FILE}:"
    assert lines[1] == f"  {server.url}endless/{FILE}: ValueError: it sends more than the 100,000 bytes that the file has"
    assert all("hash" in line.lower() for line in lines[2:4])
    assert not list((tmp_path / "cache" / "cifar10").iterdir())


def test_every_file_has_a_size_and_a_sha256():
    """MNIST's and Fashion-MNIST's sizes are those that TensorFlow and torchvision print as they fetch them; the sha256 of
    CIFAR-10 is that of torchvision's port to Ruby, of Julia's MLDatasets and of TensorFlow Datasets."""
    assert {name: set(files) for name, files in download.HASHES.items()} == {
        name: set(files) for name, files in download.SIZES.items()
    }
    known = [known_hash for files in download.HASHES.values() for known_hash in files.values()]
    assert all(known_hash.startswith("sha256:") and len(known_hash) == 7 + 64 for known_hash in known)
    assert download.HASHES["cifar10"][FILE].endswith("c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd")
    assert download.SIZES["cifar10"][FILE] == 170_052_171 and download.SIZES["mnist"]["train-images-idx3-ubyte.gz"] == 9_912_422


def test_a_pipe_in_the_cache_is_not_opened(server, monkeypatch, tmp_path):
    (tmp_path / "cache" / "cifar10").mkdir(parents=True)
    os.mkfifo(tmp_path / "cache" / "cifar10" / FILE)
    with pytest.raises(ValueError, match=f"cifar10: got .*{FILE}, a pipe, expected a regular file"):
        fetch_from(server, monkeypatch, "good")


def test_a_file_that_lies_there_is_checked(tmp_path):
    """By its name it is held to be the original, so another one is refused; `--data FOLDER` reads whatever it is."""
    (tmp_path / FILE).write_bytes(b"another file")
    digest = hashlib.sha256(b"another file").hexdigest()
    with pytest.raises(ValueError, match=f"{FILE}: not the file it claims to be: sha256 {digest}, expected c4a38c50"):
        data.load("cifar10", root=tmp_path)
