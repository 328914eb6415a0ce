"""Folders of images as people have them: numbered classes, training runs and hidden files among them, old checkpoints.

Expected values are the grey level that each image was written with, and orders and counts written by hand.
"""

import os
import shutil
import warnings

import limits
import numpy as np
import pytest

from minidiff import data
from minidiff.cli import main
from minidiff.commands.classes import class_number, class_title, classes_line
from minidiff.data import folder as folder_module
from minidiff.runs import build, open_run
from minidiff.training import checkpoint
from minidiff.training.config import RunConfig

Image = pytest.importorskip("PIL.Image")

SMALL = ["--set", "model.block_out_channels=[8,8]", "--set", "model.norm_num_groups=4", "--set", "model.attention_head_dim=8",
         "--batch-size", "4", "--no-progress", "--sample-every", "2"]  # fmt: skip


def grey(path, level, size=8):
    """An image of one grey level."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (size, size), level).save(path, format="PNG")


def levels(images):
    """The grey level 0 to 255 of each image."""
    return np.rint((images[:, 0, 0, 0] + 1) * 127.5).astype(int).tolist()


@pytest.fixture
def numbered(tmp_path):
    """Folders 0 to 11; the image in folder k is 20 k bright."""
    for k in range(12):
        grey(tmp_path / "photos" / str(k) / "a.png", 20 * k)
    return tmp_path / "photos"


@pytest.fixture
def time_limit():
    with limits.time_limit(10):
        yield


def test_numbered_classes_have_their_own_number(numbered):
    assert data.info(numbered).class_names == tuple(str(k) for k in range(12))
    images, labels = data.load(numbered)
    assert levels(images) == [20 * label for label in labels] and labels.tolist() == list(range(12))


def test_natural_order():
    names = ["img10", "b", "2", "img2", "10", "02", "1.5", "img2b", "B", "1.25"]
    assert sorted(names, key=folder_module.natural) == ["1.5", "1.25", "02", "2", "10", "B", "b", "img2", "img2b", "img10"]


@pytest.mark.slow
def test_a_run_inside_the_data_is_not_data(tmp_path, monkeypatch, capsys):
    for name in ("ape", "newt"):
        for i in range(3):
            grey(tmp_path / name / f"{i}.png", 50)
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--data", ".", "--steps", "2", *SMALL]) == 0
    made = next(path.parent for path in (tmp_path / "runs").rglob("loss.png"))
    assert (made / "samples_000002.png").exists() and made.is_relative_to(tmp_path / "runs")
    assert main(["train", "--data", ".", "--steps", "2", "--out", "runs/second", *SMALL]) == 0
    assert capsys.readouterr().out.count(" on 6 examples of ") == 2
    assert open_run("runs/second").kept["class_names"] == ["ape", "newt"]


@pytest.mark.parametrize("left, content", [("checkpoint.safetensors", ""), ("log.csv", "step,loss,lr\n1,0.5,0.1\n")])
def test_where_a_run_lies(tmp_path, left, content):
    for i in range(2):
        grey(tmp_path / f"{i}.png", 70)
    for run in (tmp_path, tmp_path / "runs" / "first"):  # the run of a folder of loose images may be in that very folder
        for name in ("loss.png", "samples.png", "samples_000500.png"):
            grey(run / name, 200)
        (run / left).write_text(content)
    assert levels(data.load(tmp_path).images) == [70, 70]


def test_a_foreign_log_file_is_not_a_run(tmp_path):
    grey(tmp_path / "photos" / "a.png", 70)
    (tmp_path / "photos" / "log.csv").write_text("file,camera\n")
    assert data.load(tmp_path).labels.tolist() == [0]


def test_hidden_and_system_files_are_not_data(tmp_path):
    grey(tmp_path / "cat" / "a.png", 10)
    grey(tmp_path / "dog" / "deeper" / "b.png", 20)
    for hidden in (".git/x.png", ".ipynb_checkpoints/x.png", "__MACOSX/cat/x.png", "cat/.ipynb_checkpoints/a-checkpoint.png",
                   "cat/._a.png", "dog/deeper/@eaDir/b.png", "$RECYCLE.BIN/x.png", ".x.png"):  # fmt: skip
        grey(tmp_path / hidden, 250)
    for system in (".DS_Store", "Thumbs.db", "cat/Thumbs.db", "desktop.ini"):
        (tmp_path / system).write_bytes(b"system")
    images, labels = data.load(tmp_path)
    assert data.info(tmp_path).class_names == ("cat", "dog") and levels(images) == [10, 20] and labels.tolist() == [0, 1]


@pytest.mark.slow
def test_an_old_run_keeps_its_classes(numbered, tmp_path, monkeypatch, capsys):
    """Earlier versions sorted 0, 1, 10, 11, 2, ... as text: what such a run learned as class 2 is the folder "10"."""
    as_text = sorted(str(k) for k in range(12))
    then, now = tmp_path / "then", tmp_path / "now"
    monkeypatch.setattr(folder_module, "natural", lambda name: name)
    assert main(["train", "--data", str(numbered), "--steps", "2", "--out", str(now), *SMALL]) == 0
    shutil.copytree(now, then)
    assert main(["train", "--resume", "--out", str(then), "--steps", "4", "--no-progress"]) == 0
    monkeypatch.undo()
    assert open_run(now).kept["class_names"] == as_text and as_text[2] == "10"
    assert main(["train", "--resume", "--out", str(now), "--steps", "4", "--no-progress"]) == 0
    one, other = (checkpoint.load(out / "checkpoint.safetensors") for out in (then, now))
    assert all(np.array_equal(one.weights[name], other.weights[name]) for name in one.weights)  # to the bit
    assert open_run(now).kept["class_names"] == as_text

    config = RunConfig.from_dict({key: one.config["run"][key] for key in ("data", "model", "diffusion", "train")})
    made = build(config, class_names=as_text)
    assert [as_text[label] for label in made.labels] == [str(level // 20) for level in levels(made.images)]
    capsys.readouterr()
    assert main(["sample", str(now), "--class", "10", "--count", "1", "--steps", "2", "--no-progress"]) == 0
    assert "class 10 (number 2)" in capsys.readouterr().out
    grey(numbered / "12" / "a.png", 240)
    assert main(["train", "--resume", "--out", str(now), "--steps", "6", "--no-progress"]) == 2
    assert "got the class '12', expected one of the run's classes: 0, 1, 10" in capsys.readouterr().err


@pytest.mark.slow
def test_starting_from_an_old_run_keeps_its_classes(numbered, tmp_path, monkeypatch):
    train = ["train", "--data", str(numbered), "--steps", "2", *SMALL]
    monkeypatch.setattr(folder_module, "natural", lambda name: name)
    assert main([*train, "--out", str(tmp_path / "old")]) == 0
    monkeypatch.undo()
    assert main(["train", "--data", str(numbered), "--steps", "2", "--batch-size", "4", "--no-progress",
                 "--from", str(tmp_path / "old"), "--out", str(tmp_path / "new")]) == 0  # fmt: skip
    assert open_run(tmp_path / "new").kept["class_names"] == sorted(str(k) for k in range(12))


def test_classes_by_name(tmp_path, capsys):
    for level, name in ((0, "ape"), (90, "Newt"), (180, "white bear")):
        grey(tmp_path / "zoo" / name / "a.png", level)
    run = tmp_path / "run"
    assert main(["train", "--data", str(tmp_path / "zoo"), "--steps", "2", "--out", str(run), *SMALL]) == 0
    options = ["--count", "2", "--steps", "2", "--no-progress", "--out"]
    pictures = {}
    for given in ("Newt", "newt", "0", "1"):  # capitals sort before small letters: Newt is 0
        capsys.readouterr()
        assert main(["sample", str(run), "--class", given, *options, str(tmp_path / f"{given}.png")]) == 0
        title = "class ape (number 1)" if given == "1" else "class Newt (number 0)"
        assert title in capsys.readouterr().out
        pictures[given] = (tmp_path / f"{given}.png").read_bytes()
    assert pictures["newt"] == pictures["0"] == pictures["Newt"] != pictures["1"]
    assert main(["sample", str(run), "--class", "wite bear", *options, str(tmp_path / "x.png")]) == 2
    expected = "got wite bear, expected a class from 0 to 2 or one of Newt, ape, white bear; did you mean white bear?"
    assert f"--class: {expected}" in capsys.readouterr().err
    assert main(["sample", str(run), "--count", "6", "--steps", "2", "--no-progress"]) == 0
    assert "a row each of Newt, ape, white bear" in capsys.readouterr().out
    assert main(["info", str(run)]) == 0
    assert "classes 3: 0 Newt, 1 ape, 2 white bear" in capsys.readouterr().out


def test_a_name_comes_before_a_number():
    from_one = ["1", "2", "3"]
    assert class_number("3", 3, from_one) == 2 and class_title(2, from_one) == "3 (number 2)"
    assert class_number("0", 3, from_one) == 0  # no class is called so
    assert class_number("7", 10, None) == 7 and class_number("07", 10, [str(k) for k in range(10)]) == 7
    assert class_number("B", 2, ["b", "B"]) == 1 and classes_line(2, ["b", "B"]) == "2: 0 b, 1 B"
    assert class_number("1", 2, ["a", "b", "only in test"]) == 1 and classes_line(None, None) == "none"
    with pytest.raises(ValueError, match=r"^--class: got only in test, expected a class from 0 to 1 or one of a, b$"):
        class_number("only in test", 2, ["a", "b", "only in test"])
    with pytest.raises(ValueError, match="--class: got 'cat', expected the number of a class"):
        class_number("cat", None)


def test_skipped_images_are_warned_of(tmp_path):
    for part in ("train", "test", "val"):
        grey(tmp_path / "split" / part / "a.png", 60)
    with pytest.warns(UserWarning, match="with train/ or test/ only these are read; val left out"):
        assert len(data.load(tmp_path / "split", "all").images) == 2
    grey(tmp_path / "mixed" / "a.png", 60)
    (tmp_path / "mixed" / "b.tif").write_bytes(b"II*\0")
    with pytest.warns(UserWarning, match="left out, not PNG or JPEG: 1 image, such as .*b.tif"):
        assert len(data.load(tmp_path / "mixed").images) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.load(tmp_path / "split" / "train")


def test_the_message_lists_what_the_folder_contains(tmp_path):
    with pytest.raises(ValueError, match=r"no image for split 'train': expected .*, and the folder is empty"):
        data.load(tmp_path)
    for name in ("b.tif", "a.tif", "photos.zip"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ValueError, match=r"; it holds 2 .tif .a.tif, .*, 1 .zip .photos.zip.; unpack archives first"):
        data.load(tmp_path)


@pytest.mark.parametrize("kind, message", [("pipe", "a pipe, expected a regular file"), ("link", "No such file")])
def test_only_regular_files(tmp_path, time_limit, kind, message):
    grey(tmp_path / "a.png", 60)
    os.mkfifo(tmp_path / "b.png") if kind == "pipe" else (tmp_path / "b.png").symlink_to(tmp_path / "gone")
    with pytest.raises((ValueError, OSError), match=f"image: got .*b.png, .*{message}"):
        data.load(tmp_path)


def test_sizes_are_compared_as_they_come(tmp_path):
    """The second of many images differs: the rest is not decoded first."""
    grey(tmp_path / "a.png", 60)
    grey(tmp_path / "b.png", 60, size=9)
    (tmp_path / "c.png").write_bytes(b"never read")
    with pytest.raises(ValueError, match=r"a.png is 8 x 8, .*b.png is 9 x 9"):
        data.load(tmp_path)
