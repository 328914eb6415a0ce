import inspect
import json

import pytest

from minidiff import models
from minidiff.training import RunConfig, Trainer, check_options
from minidiff.training.config import parse_value


def test_defaults_go_out_as_json_and_come_back():
    config = RunConfig()
    text = json.dumps(config.to_dict())
    assert RunConfig.from_dict(json.loads(text)) == config
    assert RunConfig.from_dict({}) == config and config.train.betas == (0.9, 0.999)


def test_every_training_option_is_one_of_the_trainers_with_its_default():
    parameters = inspect.signature(Trainer).parameters
    for name, value in vars(RunConfig().train).items():
        assert parameters[name].default == value, name


def test_what_is_given_replaces_the_default():
    train, model = {"lr": 1, "betas": [0.5, 0.9], "grad_clip": None}, {"name": "mlp", "width": 9}
    config = RunConfig.from_dict({"train": train, "model": model})
    assert config.train.lr == 1.0 and isinstance(config.train.lr, float) and config.train.betas == (0.5, 0.9)
    assert config.train.grad_clip is None and config.train.steps == 1000 and config.model == model


def test_overrides():
    config = RunConfig().override(
        ["train.lr=3e-4", "train.steps = 20", "model.block_out_channels=[32, 64]", "train.ema_decay=none", "data.name=7",
         "data.root=/a=b", "model.name=mlp", "train.lr=1e-4"]
    )  # fmt: skip
    assert config.train.lr == 1e-4 and config.train.steps == 20 and config.train.ema_decay is None
    assert config.data.name == "7" and config.data.root == "/a=b"
    assert config.model == {"name": "mlp", "block_out_channels": [32, 64]}
    assert RunConfig().model == {"name": "unet"} and RunConfig().train.lr == 1e-3  # nothing was changed in place


@pytest.mark.parametrize(
    "text, value",
    [("3e-4", 3e-4), ("-7", -7), ("1_000", 1000), ("True", True), ("none", None), ("(1, 2)", [1, 2]), ("'1'", "1"),
     ("runs/a b", "runs/a b"), ("", ""), ("1e", "1e"), ("__import__('os')", "__import__('os')")],
)  # fmt: skip
def test_values_on_the_command_line(text, value):
    assert parse_value(text) == value and type(parse_value(text)) is type(value)


@pytest.mark.parametrize(
    "assignment, message",
    [
        (
            "train.lrr=1",
            r"key: got train.lrr, expected one of train.steps, train.batch_size.*; did you mean train.lr\?",
        ),
        ("trian.lr=1", r"key: got trian, expected one of data, model, diffusion, train; did you mean train\?"),
        ("train.zzzzzzz=1", r"key: got train.zzzzzzz, expected one of train.steps.*[^?]$"),
        ("diffusion.weightning=snr", "did you mean diffusion.weighting"),
        ("train.lr", "expected section.key=value"),
        ("lr=1", "expected section.key=value"),
        ("train.=1", "expected section.key=value"),
    ],
)
def test_misspelt_keys(assignment, message):
    with pytest.raises(ValueError, match=message):
        RunConfig().override([assignment])


@pytest.mark.parametrize(
    "assignment, message",
    [
        ("train.lr=fast", "train.lr: got 'fast', expected a number"),
        ("train.steps=1.5", "train.steps: got 1.5, expected a whole number"),
        ("train.steps=true", "train.steps: got True, expected a whole number"),
        ("train.steps=none", "train.steps: got None, expected a whole number"),
        ("train.grad_clip=x", "train.grad_clip: got 'x', expected a number or none"),
        ("train.betas=[0.9]", r"train.betas: got \[0.9\], expected a list of 2 numbers"),
        ("train.betas=[0.9,true]", "expected a list of 2 numbers"),
    ],
)
def test_values_of_the_wrong_kind(assignment, message):
    with pytest.raises(TypeError, match=message):
        RunConfig().override([assignment])


def test_sections_that_are_no_tables():
    with pytest.raises(TypeError, match="train: got 5, expected keys and values"):
        RunConfig.from_dict({"train": 5})
    with pytest.raises(TypeError, match="model: got 'unet', expected a table"):
        RunConfig.from_dict({"model": "unet"})
    with pytest.raises(TypeError, match="configuration: got None"):
        RunConfig.from_dict(None)


def test_options_of_a_model():
    check_options(models.UNet, {"sample_size": 8, "layers_per_block": 1}, "model")
    with pytest.raises(ValueError, match=r"key: got model.layers_per_blok, expected .*; did you mean model.layers_per_block\?"):
        check_options(models.UNet, {"layers_per_blok": 1}, "model")


def test_toml(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('[train]\nlr = 2e-3\nsteps = 5\n[model]\nname = "mlp"\n')
    assert RunConfig.from_toml(path) == RunConfig().override(["train.lr=2e-3", "train.steps=5", "model.name=mlp"])
    path.write_text("[train\n")
    with pytest.raises(ValueError, match=r"run.toml: got .*, expected valid TOML"):
        RunConfig.from_toml(path)


def test_frozen():
    with pytest.raises(AttributeError):
        RunConfig().train.lr = 5
