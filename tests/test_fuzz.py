"""A short run of scripts/fuzz.py: damaged files of every kind end in one message that names the file, or are read right."""

import os

import pytest


@pytest.fixture(scope="module")
def fuzz():
    pytest.importorskip("resource")
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    import fuzz

    return fuzz


@pytest.mark.slow
def test_three_hundred_damaged_files(fuzz):
    found = fuzz.fuzz(300, seed=20)
    bad = [row for row in found if row[0] in fuzz.BAD]
    assert len(found) == 300 and not bad, bad[:5]
    assert sum(row[0] == "rejected" for row in found) > 150


def test_undamaged_files_are_accepted(fuzz, tmp_path):
    fuzz.make_all(tmp_path)
    unread = set()
    for kind, (source, function, _) in fuzz.OPENERS.items():
        try:
            function(tmp_path / source)
        except ValueError as error:
            assert str(tmp_path) in str(error)
            unread.add(kind)
    assert unread == {"idx_xz", "idx_bz2", "images_gif", "images_bmp"}  # formats that data.load names as not read


def test_the_fuzz_detects_bad_behaviour(fuzz, tmp_path, monkeypatch):
    """Openers with an injected bug each end in the class that is theirs."""

    def broken(place):
        raise AttributeError("x")

    def unnamed(place):
        raise ValueError("unhashable type: 'dict'")

    def large(place):
        bytearray(1 << 40)

    def hang(place):
        while True:
            pass

    def blind(place):
        return 1 + len(os.listdir(place.parent))  # another value in another place

    (tmp_path / "valid" / "run").mkdir(parents=True)
    (tmp_path / "valid" / "run" / "checkpoint.safetensors").write_bytes(bytes(64))
    monkeypatch.setattr(fuzz, "SECONDS", 0.5)
    monkeypatch.setattr(fuzz, "damage", fuzz_flip)
    for function, expected in (
        (broken, "TRACEBACK"),
        (unnamed, "UNNAMED"),
        (large, "MEMORY"),
        (hang, "HANG"),
        (blind, "SILENT"),
    ):
        monkeypatch.setitem(fuzz.OPENERS, "checkpoint", ("run", function, True))
        (tmp_path / "valid" / str(expected)).touch()
        assert fuzz.in_child(tmp_path / "valid", "checkpoint", 0)[0] == expected


def fuzz_flip(path, rng, others):
    path.write_bytes(b"x" * 64)
    return "flip"
