"""JSON, TOML and foreign configurations that are malformed: each is rejected by file and field, or read as it was meant."""

import json

import pytest

from minidiff.interop import load
from minidiff.interop.kinds import KINDS
from minidiff.interop.model_folder import read_index
from minidiff.interop.schedulers import sampling_from_config
from minidiff.json_file import about, read_field, read_object
from minidiff.training.config import RunConfig

UNET = {"_class_name": "UNet2DModel", "sample_size": 8, "in_channels": 1, "out_channels": 1, "block_out_channels": [8, 8],
        "layers_per_block": 1, "norm_num_groups": 4, "down_block_types": ["DownBlock2D"] * 2,
        "up_block_types": ["UpBlock2D"] * 2}  # fmt: skip


@pytest.mark.parametrize("content, message", [
    (b"[1]", "a list, expected an object"), (b"null", "null, expected an object"), (b"", "not readable JSON"),
    (b"{", "not readable JSON"), (b'{"a": 1, "a": 2}', "'a' appears twice"), (b'{"a": NaN}', "NaN is not a JSON number"),
    (b'{"a":' * 100_000, "nested too deeply"), (b"\xff\xfe{}", "not readable JSON"), (b'{"a": ' + b"1" * 5000 + b"}", "digits"),
])  # fmt: skip
def test_what_is_not_an_object(content, message, tmp_path):
    path = tmp_path / "some.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        read_object(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_size_is_looked_at_before_reading(tmp_path):
    with open(tmp_path / "large.json", "wb") as file:
        file.truncate(1 << 40)  # sparse: reading it would take a terabyte
    with pytest.raises(ValueError, match=r"large.json: got 1,099,511,627,776 bytes, expected at most"):
        read_object(tmp_path / "large.json")


def test_a_byte_order_mark_changes_nothing(tmp_path):
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": -Infinity}')
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbf[train]\nsteps = 7\n")
    assert read_object(tmp_path / "a.json") == {"a": float("-inf")}
    assert RunConfig.from_toml(tmp_path / "a.toml").train.steps == 7


@pytest.mark.parametrize("value, kind, limits, message", [
    ("3", int, {}, "got '3', expected a whole number"), (True, int, {}, "got True"), (-1, int, {"least": 0}, "at least 0"),
    (float("inf"), float, {}, "got inf, expected a number"), (10**400, float, {}, "expected a number"),
    (9, int, {"least": 0, "most": 8}, "from 0 to 8"), ([], dict, {}, "got \\[\\], expected an object"),
])  # fmt: skip
def test_fields_name_file_and_field(value, kind, limits, message):
    with pytest.raises(ValueError, match=message) as error:
        read_field({"size": value}, "size", kind, "x.json", **limits)
    assert str(error.value).startswith("x.json: size: ")


def test_fields_that_fit():
    table = {"a": 3, "b": None, "c": 0.5}
    assert [read_field(table, name, float, "x", 7.0) for name in "abcd"] == [3, 7.0, 0.5, 7.0]


def test_about_names_the_file_once():
    for error in (TypeError("bad"), KeyError("bad"), ZeroDivisionError("bad"), ValueError("bad")):
        with pytest.raises(ValueError, match=r"^file: (missing )?'?bad'?$"), about("file"):
            raise error
    with pytest.raises(ValueError, match=r"^file is bad$"), about("file"):
        raise ValueError("file is bad")
    with pytest.raises(FileNotFoundError), about("file"):
        raise FileNotFoundError("gone")


@pytest.mark.parametrize("change, message", [
    ({"block_out_channels": [10**9, 10**9]}, "block_out_channels: got .* from 1 to 131,072"),
    ({"block_out_channels": []}, "block_out_channels: got \\[\\], expected a list that is not empty"),
    ({"block_out_channels": 8}, "block_out_channels: got 8"), ({"block_out_channels": ["8", 8]}, "block_out_channels"),
    ({"layers_per_block": 10**6}, "layers_per_block: got 1000000, .* from 1 to 512"),
    ({"layers_per_block": True}, "layers_per_block: got True"), ({"norm_eps": float("nan")}, "norm_eps: got nan"),
    ({"norm_eps": "1e-5"}, "norm_eps: got '1e-5', expected a finite number"), ({"dropout": 2}, "dropout: got 2"),
    ({"act_fn": {}}, "act_fn: got {}, expected a string"), ({"down_block_types": [{}, {}]}, "down_block_types"),
    ({"num_class_embeds": 10**12}, "num_class_embeds"), ({"flip_sin_to_cos": 1}, "flip_sin_to_cos: got 1, expected true"),
    ({"_minidiff": []}, "_minidiff: got \\[\\], expected an object"), ({"_minidiff": {"rng": 1}}, "_minidiff: got 'rng'"),
    ({"in_channels": None}, "in_channels: got None"), ({"architectures": 3}, "architectures: got 3, expected a list"),
    ({"sample_size": "8"}, "sample_size: got '8'"),
])  # fmt: skip
def test_a_models_options(change, message, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(UNET | change))
    (tmp_path / "diffusion_pytorch_model.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
    with pytest.raises(ValueError, match=message if "nan" not in message else "config.json is not readable JSON: NaN") as error:
        load(tmp_path)
    assert "config.json" in str(error.value)


def test_the_defaults_of_every_class_have_their_own_types():
    for kind in KINDS.values():
        config = json.loads(json.dumps(kind.defaults))
        assert kind.arguments(config).keys() <= kind.arguments({}).keys()


@pytest.mark.parametrize("change, message", [
    ({"num_train_timesteps": 10**12}, "num_train_timesteps"), ({"num_train_timesteps": 9.5}, "num_train_timesteps: got 9.5"),
    ({"beta_start": "a"}, "beta_start: got 'a', expected a finite number from 0 to 1"), ({"beta_end": {}}, "beta_end"),
    ({"trained_betas": [0.1, "x"]}, "trained_betas"), ({"trained_betas": {}}, "trained_betas"),
    ({"clip_sample": "yes"}, "clip_sample: got 'yes', expected true or false"), ({"beta_schedule": []}, "beta_schedule"),
    ({"clip_sample_range": -1}, "clip_sample_range"), ({"_class_name": {}}, "_class_name: got {}, expected a string"),
])  # fmt: skip
def test_a_schedulers_options(change, message):
    with pytest.raises(ValueError, match=message) as error:
        sampling_from_config({"_class_name": "DDIMScheduler"} | change, "scheduler_config.json")
    assert str(error.value).startswith("scheduler_config.json")


@pytest.mark.parametrize("part", [[], {}, "x", 1, [1, 2], ["a"], ["a", None], [[], []], None])
def test_parts_of_a_pipeline(part, tmp_path):
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "DDPMPipeline", "unet": part}))
    with pytest.raises(ValueError, match=r"model_index.json: unet: got .*, expected \[library, class\]"):
        read_index(tmp_path)


def test_a_pipeline_without_its_network(tmp_path):
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "DDPMPipeline", "unet": [None, None]}))
    with pytest.raises(ValueError, match=r"model_index.json: unet: got none"):
        load(tmp_path)
