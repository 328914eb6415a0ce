"""The model of a run: chosen by --model, completed from the data, and the same wherever a run goes on.

Reference values: the shapes of the data, and a run that was not interrupted.
"""

import numpy as np
import pytest

from minidiff import runs
from minidiff.cli import main
from minidiff.model_options import MODELS, check_fit, complete
from minidiff.training import load
from minidiff.viz import save_png

SMALL = ["--set", "model.num_layers=1", "--set", "model.attention_head_dim=4"]
FEW = ["--batch-size", "8", "--no-progress"]


def weights_of(folder):
    return load(folder / "checkpoint.safetensors").weights


@pytest.mark.parametrize(("shape", "patch"), [((28, 28, 1), 4), ((32, 32, 3), 4), ((8, 8, 1), 2), ((16, 24, 1), 4),
                                              ((18, 16, 1), 2), ((9, 9, 1), 1), ((4, 4, 3), 1)])  # fmt: skip
def test_patches_follow_from_the_images(shape, patch):
    """The largest of 4, 2 and 1 that divides both sides and leaves four patches along each."""
    options = complete({"name": "dit"}, shape, 10)
    assert options["patch_size"] == patch and options["num_embeds_ada_norm"] == 10 and options["out_channels"] == shape[2]
    assert complete({"name": "dit", "patch_size": 1}, shape, None)["patch_size"] == 1


def test_what_follows_from_the_data_of_every_model():
    expected = {
        "name": "unet", "num_class_embeds": None, "null_class": None, "sample_size": [8, 6], "in_channels": 3,
        "out_channels": 6,
    }  # fmt: skip
    assert complete({"name": "unet"}, (8, 6, 3), None, True) == expected
    assert complete({"name": "mlp"}, (2,), 4) == {"name": "mlp", "num_class_embeds": 5, "null_class": 4, "features": 2}
    assert complete({"name": "dit"}, (8, 8, 1), None)["num_embeds_ada_norm"] == 0


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_other_data_is_rejected(name):
    other = (2,) if MODELS[name].takes == "images" else (8, 8, 1)
    fits = "mlp" if MODELS[name].takes == "images" else "unet or dit"
    with pytest.raises(ValueError, match=f"model.name: got {name} for examples of shape .*, expected {fits}: {name} takes"):
        complete({"name": name}, other, None)


def test_a_dit_that_does_not_fit_is_rejected():
    options = complete({"name": "dit", "patch_size": 4}, (8, 8, 1), 3)
    for shape, classes, words in (((8, 8, 3), 3, "3 channels, expected model.in_channels = 1"),
                                  ((8, 10, 1), 3, "data: got photos of 8 x 10, expected multiples of model.patch_size = 4"),
                                  ((8, 8, 1), None, "without classes, expected classes for model.num_embeds_ada_norm = 3"),
                                  ((8, 8, 1), 4, "4 classes, expected at most those of the model")):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            check_fit(options, "photos", shape, classes)
    check_fit(options, "photos", (4, 8, 1), 3)


def test_model_by_flag_by_set_and_by_file_is_the_same(tmp_path):
    (tmp_path / "c.toml").write_text('[model]\nname = "dit"\nnum_layers = 1\nattention_head_dim = 4\n')
    ways = (["--model", "dit", *SMALL], ["--set", "model.name=dit", *SMALL], ["--config", str(tmp_path / "c.toml")])
    states = []
    for i, way in enumerate(ways):
        assert main(["train", "--data", "digits", "--steps", "2", "--out", str(tmp_path / str(i)), *FEW, *way]) == 0
        states.append(weights_of(tmp_path / str(i)))
    for state in states[1:]:
        assert all(np.array_equal(value, state[name]) for name, value in states[0].items())


def test_dit_resumes_to_the_bit_and_is_sampled(tmp_path, capsys):
    command = ["train", "--data", "digits", "--model", "dit", "--schedule", "flow", *SMALL, *FEW]
    assert main([*command, "--steps", "6", "--out", str(tmp_path / "whole"), "--set", "train.curve=constant"]) == 0
    assert main([*command, "--steps", "3", "--out", str(tmp_path / "two"), "--set", "train.curve=constant",
                 "--set", "train.warmup=0"]) == 0  # fmt: skip
    assert main(["train", "--out", str(tmp_path / "two"), "--resume", "--steps", "6", "--no-progress"]) == 0
    whole, two = weights_of(tmp_path / "whole"), weights_of(tmp_path / "two")
    assert all(np.array_equal(value, two[name]) for name, value in whole.items())
    assert main(["train", "--out", str(tmp_path / "two"), "--resume", "--steps", "7", "--model", "unet", "--no-progress"]) == 2
    assert "model.name: got unet, expected dit as in the checkpoint" in capsys.readouterr().err
    assert main(["sample", str(tmp_path / "two"), "--sampler", "flow_heun", "--steps", "2", "--guidance", "1", "-n", "10",
                 "--no-progress"]) == 0  # fmt: skip
    assert main(["info", str(tmp_path / "two")]) == 0 and "model.name = dit" in capsys.readouterr().out


def test_dit_without_classes(tmp_path):
    for i in range(4):
        save_png(np.random.default_rng(i).uniform(-1, 1, (8, 12, 3)), tmp_path / "photos" / f"{i}.png", scale=1)
    command = ["train", "--data", str(tmp_path / "photos"), "--model", "dit", "--steps", "2", *SMALL, "--batch-size", "2"]
    assert main([*command, "--out", str(tmp_path / "run"), "--no-progress"]) == 0
    saved = runs.open_run(tmp_path / "run")
    assert saved.kept["classes"] is None and saved.kept["diffusion"]["cond_dropout"] == 0
    assert main(["sample", str(tmp_path / "run"), "--steps", "2", "-n", "2", "--no-progress"]) == 0


@pytest.mark.parametrize("schedule", ["cosine", "flow"])
def test_dit_is_profiled(schedule, capsys):
    options = [
        "--set",
        f"diffusion.schedule={schedule}",
        "--set",
        f"diffusion.predicts={'v' if schedule == 'cosine' else 'velocity'}",
    ]
    assert main(["profile", "--model", "dit", "--batch-size", "4", "--steps", "1", *SMALL, *options]) == 0
    said = capsys.readouterr().out
    assert "modulate" in said and "sampling step" in said


def test_the_shipped_run_is_sampled_where_none_is_given(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["sample", "--class", "7", "--guidance", "0.5", "--steps", "2", "-n", "2", "--no-progress"]) == 0
    assert "samples.png: 2 samples by ddim, seed 0, class 7" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["samples.png"]
    path = runs.SHIPPED / "checkpoint.safetensors"
    assert path.stat().st_size < 2e6 and {str(a.dtype) for a in load(path).weights.values()} == {"float16"}


def test_the_card_of_the_shipped_run_says_what_is_in_its_file():
    saved, card = runs.open_run(runs.SHIPPED), (runs.SHIPPED / "README.md").read_text(encoding="utf-8")
    config = saved.kept["train"]
    assert (
        f"training seed {config['seed']}, {saved.checkpoint.step:,} steps, {saved.denoiser.model.size():,} parameters" in card
    )
    assert (
        f"{(runs.SHIPPED / 'checkpoint.safetensors').stat().st_size / 1e6:.2f} MB" in card
        and config["steps"] == saved.checkpoint.step
    )
