import gzip
import hashlib

import numpy as np
import pytest

from minidiff import data
from minidiff.data import download, idx, loader

pytest.importorskip("pooch")


@pytest.fixture
def served(web, fake_mnist, monkeypatch, tmp_path):
    """A web server with a small 'mnist', the package told to fetch it there, and an empty cache."""
    folder, url = web
    hashes, contents = {}, {}
    for name, content in fake_mnist.items():
        packed = gzip.compress(content)
        (folder / f"{name}.gz").write_bytes(packed)
        hashes[f"{name}.gz"] = "sha256:" + hashlib.sha256(packed).hexdigest()
        part, what, _, _ = name.split("-")
        contents["train" if part == "train" else "test", what] = hashlib.sha256(content).hexdigest()
    monkeypatch.setitem(download.HASHES, "mnist", hashes)
    monkeypatch.setitem(download.URLS, "mnist", (url,))
    monkeypatch.setattr(loader, "MNIST_SHA256", contents)
    monkeypatch.setenv("MINIDIFF_DATA", str(tmp_path / "cache"))
    return folder, url


def test_downloads_once(served, fake_mnist, tmp_path):
    folder, _ = served
    images, _labels = data.load("mnist")
    raw = idx.parse_idx(fake_mnist["train-images-idx3-ubyte"])
    np.testing.assert_array_equal(images[..., 0], (raw / 127.5 - 1).astype(np.float32))
    assert sorted(p.name for p in (tmp_path / "cache" / "mnist").iterdir()) == sorted(download.HASHES["mnist"])
    for file in folder.iterdir():
        file.unlink()
    assert data.load("mnist", "test").images.shape == (8, 6, 5, 1)  # from the cache: the server has nothing left


def test_second_address_is_tried(served, monkeypatch):
    _, url = served
    monkeypatch.setitem(download.URLS, "mnist", (url + "nothing/here/", "http://127.0.0.1:9/", url))
    assert data.load("mnist").images.shape == (20, 6, 5, 1)


def test_damaged_download_is_not_kept(served, tmp_path, monkeypatch):
    folder, url = served
    name = "train-labels-idx1-ubyte.gz"
    good = (folder / name).read_bytes()
    (folder / name).write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(RuntimeError, match=f"could not download {name}:\n.*hash(.|\n)*data.load.'mnist', root=FOLDER"):
        data.load("mnist")
    assert not (tmp_path / "cache" / "mnist" / name).exists()
    (folder / "mirror").mkdir()
    for file in download.HASHES["mnist"]:
        (folder / "mirror" / file).write_bytes(good if file == name else (folder / file).read_bytes())
    monkeypatch.setitem(download.URLS, "mnist", (url, url + "mirror/"))
    assert data.load("mnist").labels.shape == (20,)


def test_without_a_network_the_error_names_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setitem(download.URLS, "mnist", ("http://127.0.0.1:9/", "http://no-such-host.invalid/"))
    with pytest.raises(RuntimeError) as caught:
        data.load("mnist", root=tmp_path)
    text = str(caught.value)
    assert "http://127.0.0.1:9/train-images-idx3-ubyte.gz: ConnectionError" in text and "no-such-host.invalid" in text
    assert "--data FOLDER" in text and "t10k-labels-idx1-ubyte.gz" in text


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("MINIDIFF_DATA", str(tmp_path / "here"))
    assert download.cache_folder() == tmp_path / "here"
    assert download.cache_folder(tmp_path) == tmp_path
    monkeypatch.delenv("MINIDIFF_DATA")
    assert download.cache_folder().name == "minidiff"


def test_addresses_are_the_known_good_ones():
    assert all(url.startswith("http") and url.endswith("/") for urls in download.URLS.values() for url in urls)
    assert not any("yann.lecun" in url for url in download.URLS["mnist"])  # answers 403
    assert all(len(h.partition(":")[2]) == 64 for files in download.HASHES.values() for h in files.values())
