"""The command as a user meets it: what it writes, what it says, its exit codes. Never a traceback."""

import csv
import gzip
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minidiff import selfcheck
from minidiff.cli import main

SMALL = ["--set", "model.block_out_channels=[8,8]", "--set", "model.norm_num_groups=4", "--set", "model.attention_head_dim=8",
         "--batch-size", "8", "--no-progress"]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of three steps on the digits, with a schedule short enough for samplers that take all of it."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    command = ["train", "--data", "digits", "--T", "20", "--steps", "3", "--sample-every", "3", "--out", str(folder)]
    assert main([*command, *SMALL]) == 0
    return folder


def write_idx(folder, n=12, size=28):
    """A small MNIST of noise, as the four idx files."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for part in ("train", "t10k"):
        images = rng.integers(0, 256, (n, size, size), dtype=np.uint8)
        header = struct.pack(">IIII", 0x803, n, size, size)
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + images.tobytes()))
        labels = (np.arange(n) % 10).astype(np.uint8)
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(struct.pack(">II", 0x801, n) + labels.tobytes()))
    return folder


def test_train_writes_the_documented_files(run):
    assert {"checkpoint.safetensors", "log.csv", "loss.png", "samples_000003.png"} <= {f.name for f in run.iterdir()}
    rows = list(csv.DictReader((run / "log.csv").read_text().splitlines()))
    assert [int(row["step"]) for row in rows] == [1, 2, 3] and all(float(row["loss"]) > 0 for row in rows)


SAMPLE_OPTIONS = [
    [],
    ["--class", "3", "--count", "2", "--guidance", "1.5"],
    ["--weights", "raw", "--count", "3"],
    ["--sampler", "dpmpp_2m", "--clip", "1"],
    ["--eta", "1", "--spacing", "trailing"],
]


@pytest.mark.parametrize("options", SAMPLE_OPTIONS)
def test_sample_writes_an_image(run, tmp_path, options, capsys):
    out = tmp_path / "s.png"
    assert main(["sample", str(run), "--steps", "2", "--out", str(out), "--no-progress", *options]) == 0
    assert out.read_bytes()[:4] == b"\x89PNG" and str(out) in capsys.readouterr().out


def test_sample_writes_an_animation_and_is_the_same_for_the_same_seed(run, tmp_path):
    films = []
    for name in ("a.gif", "b.gif"):
        command = [
            "sample",
            str(run),
            "--steps",
            "3",
            "--count",
            "4",
            "--seed",
            "5",
            "--out",
            str(tmp_path / name),
            "--no-progress",
        ]
        assert main(command) == 0
        films.append((tmp_path / name).read_bytes())
    assert films[0][:4] == b"GIF8" and films[0] == films[1]


def test_every_sampler_samples_from_a_run(run, tmp_path):
    from minidiff.samplers import SAMPLERS

    for name in SAMPLERS:
        steps = [] if name in ("probability_flow", "ddpm") else ["--steps", "4"]  # one chooses them, one takes all of T
        out = str(tmp_path / "x.png")
        assert main(["sample", str(run), "--sampler", name, *steps, "--count", "1", "--out", out, "--no-progress"]) == 0, name


def test_info_and_samplers(run, capsys):
    assert main(["info", str(run), "--tensors"]) == 0
    text = capsys.readouterr().out
    assert "step        3" in text and "down_blocks.0.resnets.0.conv1.weight" in text and "moving average" in text
    assert main(["samplers"]) == 0
    assert "dpmpp_2m" in capsys.readouterr().out


def test_two_processes_of_one_seed_leave_the_same_bytes(tmp_path):
    """Threads and all: which thread does which piece is chance, what comes out is not."""
    files = []
    for name in ("a", "b"):
        command = [sys.executable, "-m", "minidiff", "train", "--steps", "3", "--out", name, "--no-progress"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, env={**os.environ, "MINIDIFF_THREADS": "2"})
        files.append((tmp_path / name / "checkpoint.safetensors").read_bytes())
    assert files[0] == files[1]


def test_resume_continues_the_run(run, tmp_path, capsys):
    folder = tmp_path / "r"
    assert main(["train", "--steps", "2", "--out", str(folder), *SMALL]) == 0
    assert main(["train", "--steps", "4", "--out", str(folder), "--resume", "--no-progress"]) == 0
    assert "resuming" in capsys.readouterr().out
    assert len((folder / "log.csv").read_text().splitlines()) == 5


def test_a_folder_of_idx_files_at_28_x_28(tmp_path, capsys):
    """Three levels halve 28 twice; four would not: the net pads by itself."""
    files = write_idx(tmp_path / "idx")
    four = [
        "--set",
        "model.block_out_channels=[4,4,4,4]",
        "--set",
        "model.norm_num_groups=2",
        "--set",
        "model.attention_head_dim=4",
    ]
    command = [
        "train",
        "--data",
        str(files),
        "--steps",
        "1",
        "--batch-size",
        "2",
        "--out",
        str(tmp_path / "run"),
        "--no-progress",
    ]
    assert main([*command, *four]) == 0
    assert main(["sample", str(tmp_path / "run"), "--count", "2", "--steps", "1", "--no-progress"]) == 0


def test_a_folder_of_images_without_classes(tmp_path):
    from minidiff.viz import save_png

    folder = tmp_path / "pictures"
    for i, image in enumerate(np.random.default_rng(0).uniform(-1, 1, (4, 9, 11, 3))):
        save_png(image, folder / f"{i}.png", scale=1)
    command = ["train", "--data", str(folder), "--size", "8", "--steps", "1", "--out", str(tmp_path / "run")]
    assert main([*command, *SMALL, "--batch-size", "2", "--set", "model.layers_per_block=1"]) == 0
    assert main(["sample", str(tmp_path / "run"), "--count", "2", "--steps", "1", "--no-progress"]) == 0


def test_points_in_the_plane(tmp_path):
    command = ["train", "--data", "moons", "--steps", "2", "--batch-size", "8", "--out", str(tmp_path / "run"), "--no-progress"]
    assert main([*command, "--set", "model.width=8"]) == 0
    assert main(["sample", str(tmp_path / "run"), "--steps", "2", "--no-progress"]) == 0


def test_profile_shows_where_the_time_goes(capsys):
    for plain in ([], ["--plain"]):
        assert main(["profile", "--steps", "2", "--batch-size", "4", *plain]) == 0
        said = capsys.readouterr().out
        shares = [float(share) for share in re.findall(r"([\d.]+)%", said)]
        assert "conv2d" in said and "AdamW" in said and "sampling step" in said
        assert abs(sum(shares) - 200) < 5  # two tables of all the time there is


def test_gradcheck_prints_a_table_and_fails_on_a_wrong_op(monkeypatch, capsys):
    def wrong(pick, randn):
        return lambda x: (x * x, lambda dy: dy * x), [randn(3, 2)]

    few = {"OPS": [selfcheck.ops.silu], "LAYERS": [selfcheck.layers.Linear], "MODELS": [selfcheck.models.ImageEncoder],
           "PARTS": [selfcheck.model_parts.unit_vectors], "LOSSES": [selfcheck.losses.pick_rows],
           "GUIDANCE": [selfcheck.guidance.cfg]}  # fmt: skip
    for cases, listed in few.items():
        monkeypatch.setattr(selfcheck, cases, listed)
    assert main(["gradcheck", "--seeds", "2"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:-2]]
    assert [row[:2] for row in rows] == [
        ["op", "silu"], ["layer", "Linear"], ["model", "ImageEncoder"], ["part", "unit_vectors"], ["loss", "pick_rows"],
        ["denoiser", "cfg"],
    ]  # fmt: skip
    assert all(float(row[2]) < 1e-12 for row in rows) and [row[3] for row in rows] == ["2", "6", "7", "2", "2", "2"]
    monkeypatch.setattr(selfcheck, "OPS", [wrong])
    assert main(["gradcheck", "--seeds", "1"]) == 1
    assert "WRONG" in capsys.readouterr().out


# ---- mistakes -------------------------------------------------------------------------------------------------------------

MISTAKES = [
    (["train", "--data", "didgits"], 2, "did you mean digits"),
    (["train", "--set", "train.lrr=3"], 2, "key: got train.lrr, expected one of train.steps"),
    (["train", "--set", "model.dropuot=0.1"], 2, "did you mean model.dropout?"),
    (["train", "--set", "lr"], 2, "expected section.key=value"),
    (["train", "--set", "train.steps=many"], 2, "train.steps: got 'many', expected a whole number"),
    (["train", "--steps", "0"], 2, "steps: got 0"),
    (["train", "--lr", "-1"], 2, "lr: got -1"),
    (["train", "--schedule", "cosinus"], 2, "cosine"),
    (["train", "--predicts", "epsilon"], 2, "predicts: got 'epsilon', expected one of eps, x0, v, velocity, score"),
    (["train", "--T", "0"], 2, "T: got 0"),
    (["train", "--set", "model.block_out_channels=[30,64]"], 2, "30 is not divisible"),
    (["train", "--set", "model.name=vit"], 2, "model.name: got 'vit', expected one of unet, dit, mlp"),
    (["train", "--config", "no.toml"], 1, "no.toml"),
    (["train", "--resume", "--out", "nowhere"], 1, "there is no checkpoint at nowhere"),
    (["train", "--device", "cuda"], 1, "CuPy"),
    (["sample", "nowhere"], 1, "there is no checkpoint at nowhere"),
    (["sample", "RUN", "--sampler", "ddmi"], 2, "did you mean"),
    (["sample", "RUN", "--steps", "0"], 2, "steps"),
    (["sample", "RUN", "--steps", "2000"], 2, "2000"),
    (["sample", "RUN", "--class", "10"], 2, "--class: got 10, expected a class from 0 to 9"),
    (["sample", "RUN", "--eta", "2"], 2, "eta: got 2"),
    (["sample", "RUN", "--out", "x.jpg"], 2, "ends in .png or .gif"),
    (["sample", "RUN", "--count", "0"], 2, "--count: got 0"),
    (["sample", "RUN", "--clip", "much"], 2, "--clip: got 'much'"),
    (["info", "nowhere"], 1, "there is no checkpoint"),
    (["sample", "run", "--pretrained", "folder"], 2, "RUN, --pretrained: got both, expected one of the two"),
    (["sample", "RUN", "--prompt", "a cat"], 2, "unknown word 'cat' in 'a cat'"),
    (["sample", "--pretrained", "nowhere"], 1, "there is no folder 'nowhere'"),
    (["import", "nowhere"], 1, "there is no folder 'nowhere'"),
    (["export", "nowhere", "there"], 1, "there is no checkpoint at nowhere"),
]


@pytest.mark.parametrize("command, code, words", MISTAKES, ids=[" ".join(m[0])[:50] for m in MISTAKES])
def test_mistake(run, tmp_path, monkeypatch, capsys, command, code, words):
    if "cuda" in command:
        pytest.importorskip("numpy")
        monkeypatch.setitem(sys.modules, "cupy", None)  # a machine without CuPy
    before = {f.name: f.read_bytes() for f in run.iterdir()}
    monkeypatch.chdir(tmp_path)
    assert main([str(run) if part == "RUN" else part for part in command]) == code
    said = capsys.readouterr()
    assert words in said.err and "Traceback" not in said.err
    assert before == {f.name: f.read_bytes() for f in run.iterdir()}


def _damaged(data, how):
    if how == "flipped byte":
        middle = len(data) // 2
        return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    return {"empty": b"", "cut short": data[:-1000], "another format": b"PK\x03\x04" + data}[how]


@pytest.mark.parametrize("how", ["flipped byte", "empty", "cut short", "another format"])
def test_damaged_checkpoint(run, tmp_path, capsys, how):
    file = tmp_path / "checkpoint.safetensors"
    file.write_bytes(_damaged((run / "checkpoint.safetensors").read_bytes(), how))
    for command in (["info", str(file)], ["sample", str(file)], ["train", "--resume", "--out", str(tmp_path)]):
        assert main(command) in (1, 2)
        said = capsys.readouterr().err
        assert str(file) in said and "Traceback" not in said


def test_damaged_data_file(tmp_path, capsys):
    files = write_idx(tmp_path / "idx")
    (files / "train-images-idx3-ubyte.gz").write_bytes(b"")
    assert main(["train", "--data", str(files), "--out", str(tmp_path / "run")]) in (1, 2)
    assert "train-images" in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_a_loss_that_turns_nan_stops_at_once_and_keeps_the_last_good_checkpoint(tmp_path, capsys):
    folder = tmp_path / "run"
    command = [
        "train",
        "--steps",
        "40",
        "--checkpoint-every",
        "1",
        "--out",
        str(folder),
        *SMALL,
        "--set",
        "train.grad_clip=none",
    ]
    with np.errstate(all="ignore"):
        assert main([*command, "--lr", "1e30", "--set", "train.warmup=3"]) == 1
    said = capsys.readouterr().err
    assert re.search(r"step \d+", said) and "Traceback" not in said
    assert main(["info", str(folder)]) == 0


def test_a_real_process_reports_in_one_line(tmp_path):
    command = [sys.executable, "-m", "minidiff", "sample", "nowhere"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path.cwd())}
    )
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and done.stdout == ""


def test_a_run_goes_out_as_a_diffusers_folder_and_comes_back_to_the_bit(run, tmp_path, capsys):
    from minidiff.training import load

    folder, back = tmp_path / "theirs", tmp_path / "back"
    assert main(["export", str(run), str(folder)]) == 0
    assert main(["import", str(folder), "--out", str(back)]) == 0
    assert "UNet2DModel" in capsys.readouterr().out
    before, after = load(run / "checkpoint.safetensors").ema, load(back / "checkpoint.safetensors").weights
    assert before.keys() == after.keys() and all(np.array_equal(before[name], after[name]) for name in before)
    pictures = []
    for source in ([str(run)], [str(back)]):
        out = tmp_path / "p.png"
        assert (
            main(["sample", *source, "--steps", "3", "--class", "4", "--count", "2", "--out", str(out), "--no-progress"]) == 0
        )
        pictures.append(out.read_bytes())
    assert pictures[0] == pictures[1]
    out = tmp_path / "q.png"
    command = ["sample", "--pretrained", str(folder), "--sampler", "dpmpp_2m", "--steps", "3", "--class", "4", "--no-progress"]
    assert main([*command, "--out", str(out)]) == 0 and out.exists()
    capsys.readouterr()
    for wrong, message in ((command[:7], "got none, expected a class from 0 to 9: this model needs one"),
                           ([*command[:7], "--class", "10"], "got 10, expected a class from 0 to 9")):  # fmt: skip
        assert main([*wrong, "--no-progress", "--out", str(out)]) == 2
        assert capsys.readouterr().err == f"minidiff sample: error: --class: {message}\n"


def test_fine_tuning_begins_with_the_weights_of_another_run(run, tmp_path):
    command = ["train", "--from", str(run), "--data", "digits", "--steps", "1", "--lr", "1e-30", "--no-progress"]
    assert main([*command, "--set", "train.weight_decay=0", "--batch-size", "4", "--out", str(tmp_path / "r")]) == 0
    from minidiff.training import load

    before, after = load(run / "checkpoint.safetensors").ema, load(tmp_path / "r" / "checkpoint.safetensors").weights
    assert all(np.allclose(before[name], after[name], atol=1e-6) for name in before)
