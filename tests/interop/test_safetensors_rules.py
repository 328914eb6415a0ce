"""tensor_file accepts and rejects what the safetensors library does, and NaN in weights is rejected by name."""

import json
import random

import numpy as np
import pytest

from minidiff.interop import load_model, tensor_file
from minidiff.interop.model_folder import save_model
from minidiff.models import UNet

VALUES = (None, True, -1, 0, 1, 4, 24, 2**63, 2**64, 1.5, "x", "F32", "F16", [], [2], [2, 3], {}, [0, 24], [24, 0], [0, 2**64])


def encode(text, body):
    text = text if isinstance(text, bytes) else text.encode()
    return len(text).to_bytes(8, "little") + text + body


def mutate(rng):
    """A small file changed in one to three ways: its table, its bytes, its end."""
    table = {"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "b": {"dtype": "I64", "shape": [1],
             "data_offsets": [24, 32]}, "c": {"dtype": "F16", "shape": [0], "data_offsets": [32, 32]}}  # fmt: skip
    body, text = bytes(range(32)), None
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        entry = table[rng.choice(sorted(table))]
        way = rng.randrange(9)
        if way == 0 and isinstance(entry, dict):
            entry[rng.choice(("dtype", "shape", "data_offsets", "extra"))] = rng.choice(VALUES)
        elif way == 1 and isinstance(entry, dict):
            entry.pop(rng.choice(sorted(entry)), None)
        elif way == 2:
            body += bytes(rng.choice((1, 8)))
        elif way == 3:
            body = body[: rng.randrange(33)]
        elif way == 4:
            table["__metadata__"] = rng.choice((None, {}, {"a": "b"}, {"a": 1}, [], "x"))
        elif way == 5 and isinstance(entry, dict) and isinstance(entry.get("data_offsets"), list):
            entry["data_offsets"] = [n + rng.choice((-8, 4, 8)) for n in entry["data_offsets"] if isinstance(n, int)]
        elif way == 6:
            table["d"] = {"dtype": "U8", "shape": [4], "data_offsets": rng.choice(([0, 4], [28, 32], [32, 36], [40, 44]))}
            body += bytes(rng.choice((0, 4)))
        elif way == 7:
            text = rng.choice(("[]", "{}", "null", '{"a": 1}', json.dumps(table)[:-5], json.dumps(table) + "  "))
        else:
            one = json.dumps({"a": {"dtype": "U8", "shape": [32], "data_offsets": [0, 32]}})[:-1]
            text = one + ", " + one[1:] + "}"  # a name twice
    data = encode(json.dumps(table) if text is None else text, body)
    if rng.random() < 0.2:
        data = bytearray(data)
        data[rng.randrange(len(data) - 32 if len(data) > 40 else len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def test_as_strict_as_the_library_on_seeded_mutations(tmp_path):
    """Reference: safetensors.numpy.load of the same bytes.

    One difference: the format forbids a name that appears twice, and the library's current version takes the last one.
    """
    safetensors = pytest.importorskip("safetensors.numpy")
    rng, counts = random.Random(0), [0, 0]
    for _ in range(3000):
        data = mutate(rng)
        (tmp_path / "x").write_bytes(data)
        try:
            theirs = safetensors.load(data)
        except Exception:
            theirs = None
        try:
            ours = {name: stored.raw() for name, stored in tensor_file.read(tmp_path / "x").items()}
        except ValueError as error:
            assert str(tmp_path / "x") in str(error)
            ours = None
            theirs = None if "appears twice" in str(error) else theirs
        assert (ours is None) == (theirs is None), data
        counts[ours is None] += 1
        if ours is not None:
            assert set(ours) == set(theirs) and all(np.array_equal(ours[name], theirs[name]) for name in ours)
    assert min(counts) > 300


@pytest.mark.parametrize("frugal", [False, True])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(value, frugal, tmp_path):
    net = UNet(8, 1, 1, (8, 8), 1, norm_num_groups=4, rng=0)
    net.conv_out.weight.value[0, 0, 0, 0] = value
    save_model(net, tmp_path)
    with pytest.raises(ValueError, match=r"conv_out.weight holds NaN or infinity in 1 of 72 numbers, expected finite weights"):
        load_model(tmp_path, frugal=frugal)


def test_pickles_are_not_opened(tmp_path):
    save_model(UNet(8, 1, 1, (8, 8), 1, norm_num_groups=4, rng=0), tmp_path)
    (tmp_path / "diffusion_pytorch_model.safetensors").unlink()
    mark = tmp_path / "mark"
    (tmp_path / "diffusion_pytorch_model.bin").write_bytes(f"cos\nsystem\n(S'touch {mark}'\ntR.".encode())
    with pytest.raises(ValueError, match="a pickle file"):
        load_model(tmp_path)
    assert not mark.exists()
