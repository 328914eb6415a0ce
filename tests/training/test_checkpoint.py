import json
import os

import numpy as np
import pytest

from minidiff.training import EMA, AdamW, CheckpointError, load, save


@pytest.fixture
def saved(tmp_path, net):
    """A small but complete checkpoint: (path, model, ema, optimizer)."""
    model = net(width=4)
    optimizer, ema = AdamW(model), EMA(model)
    for _ in range(3):
        optimizer.arena.grads[...] = 0.5
        optimizer.step()
        ema.update()
    path = tmp_path / "run" / "checkpoint.safetensors"
    config = {"model": {"width": 4}, "note": "höher"}
    save(path, model, ema=ema, optimizer=optimizer, step=3, random={"seed": 2**63, "step": 3}, config=config)
    return path, model, ema, optimizer


def test_everything_comes_back_to_the_bit(saved, same):
    path, model, ema, optimizer = saved
    found = load(path)
    assert same(found.weights, model.state()) and same(found.ema, ema.state())
    assert same(found.m, optimizer.state()["m"]) and same(found.v, optimizer.state()["v"])
    assert found.step == 3 and found.random == {"seed": 2**63, "step": 3} and found.counts == {"adamw": 3, "ema": 3}
    assert found.config == {"model": {"width": 4}, "note": "höher"}
    assert os.listdir(path.parent) == [path.name]


def test_other_programs_read_it_as_plain_safetensors(saved):
    from safetensors import safe_open

    path, model, *_ = saved
    with safe_open(path, "np") as file:
        metadata = json.loads(file.metadata()["minidiff"])
        assert "weights/hidden.0.weight" in file.keys() and "ema/hidden.0.weight" in file.keys()
        assert np.array_equal(file.get_tensor("weights/hidden.0.weight"), model.hidden[0].weight.value)
    assert metadata["step"] == 3 and len(metadata["sha256"]) == 64


def test_equal_runs_leave_equal_files(saved, tmp_path):
    path, model, ema, optimizer = saved
    state = load(path)
    again = tmp_path / "again"
    save(again, model, ema=ema, optimizer=optimizer, step=3, random=state.random, config=state.config)
    assert again.read_bytes() == path.read_bytes()


def test_weights_alone(tmp_path, net, same):
    model = net()
    save(tmp_path / "w", model)
    found = load(tmp_path / "w")
    assert same(found.weights, model.state()) and found.ema == found.m == found.v == {} and found.step == 0


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64, np.uint8, np.bool_])
def test_arrays_of_any_shape_and_stride(tmp_path, dtype, same):
    base = np.random.default_rng(0).integers(0, 2, (4, 6)).astype(dtype)
    arrays = {
        "transposed": base.T,
        "reversed": base[::-1],
        "strided": base[:, ::2],
        "broadcast": np.broadcast_to(base[:1], (3, 6)),
        "zero-d": base[0, 0],
        "zero-d array": np.array(base[0, 1]),
        "empty": base[:0],
        "fortran": np.asfortranarray(base),
    }
    save(tmp_path / "x", arrays)
    assert same(load(tmp_path / "x").weights, {name: np.asarray(a) for name, a in arrays.items()})


@pytest.fixture
def tiny(tmp_path):
    """The bytes of a complete checkpoint of six numbers, and a path to write changed ones to."""
    save(tmp_path / "tiny", {"w": np.ones((2, 3), np.float32)}, ema={"w": np.zeros((2, 3), np.float32)}, config={"lr": 3e-4})
    return (tmp_path / "tiny").read_bytes(), tmp_path / "broken"


def test_any_single_changed_byte_is_noticed(tiny):
    whole, broken = tiny
    rng = np.random.default_rng(0)
    for i in range(len(whole)):  # the header's own spaces too: a tab would read the same, and is noticed all the same
        for byte in {whole[i] ^ 1, whole[i] ^ int(rng.integers(1, 256)), 0x09} - {whole[i]}:
            broken.write_bytes(whole[:i] + bytes([byte]) + whole[i + 1 :])
            with pytest.raises(CheckpointError):
                load(broken)


def test_any_truncation_and_any_addition_is_noticed(tiny):
    whole, broken = tiny
    for n in range(len(whole)):
        broken.write_bytes(whole[:n])
        with pytest.raises(CheckpointError):
            load(broken)
    broken.write_bytes(whole + b"\0")
    with pytest.raises(CheckpointError):
        load(broken)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not a safetensors file"),
        (b"hello", "not a safetensors file"),
        (b"\xff" * 7 + b"\x7f{", "cut short"),
        (b"\x04\0\0\0\0\0\0\0{]}}", "header is not readable"),
    ],
)
def test_files_that_are_no_checkpoints(tmp_path, content, message):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path / "x")


def test_a_safetensors_file_of_another_program(tmp_path):
    from safetensors.numpy import save_file

    save_file({"conv.weight": np.ones(3, np.float32)}, tmp_path / "x")
    with pytest.raises(CheckpointError, match="1 tensors, but not a checkpoint of minidiff"):
        load(tmp_path / "x")


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t.pop("weights/input.bias"), r"missing weights/input.bias \['float32', \[4\]\]"),
        (lambda t: t.update({"ema/extra": np.zeros(2)}), r"unexpected ema/extra \['float64', \[2\]\]"),
        (lambda t: t.update({"weights/input.bias": np.zeros(3, np.float32)}), r"input.bias is \['float32', \[3\]\], expected"),
        (lambda t: t.update({"weights/input.bias": np.zeros(4)}), r"is \['float64', \[4\]\], expected \['float32', \[4\]\]"),
        (lambda t: t.update({"weights/input.bias": np.zeros(4, np.float32)}), "has changed since it was written"),
    ],
)
def test_rewritten_with_other_tensors(saved, change, message):
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    path = saved[0]
    with safe_open(path, "np") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata)
    with pytest.raises(CheckpointError, match=message):
        load(path)


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        load(tmp_path / "x")
    with pytest.raises(CheckpointError, match="is a folder"):
        load(tmp_path)


def test_a_config_that_json_cannot_hold(tmp_path, net):
    for bad in ({"x": object()}, {"x": float("nan")}):
        with pytest.raises(ValueError, match="config: it must be made of"):
            save(tmp_path / "x", net(), config=bad)
    assert os.listdir(tmp_path) == []


def test_never_saves_the_average_for_the_weights(tmp_path, net):
    model = net()
    ema = EMA(model)
    with ema.applied(), pytest.raises(RuntimeError, match="leave"):
        save(tmp_path / "x", model, ema=ema)
