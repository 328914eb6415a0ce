"""The safetensors format: against its own library, and against files that are damaged."""

import json

import numpy as np
import pytest

from minidiff.interop import tensor_file

ODD = {
    "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T, "backwards": np.arange(5, dtype=np.float16)[::-1],
    "number": np.array(3.5), "nothing": np.zeros((0, 3), np.float32), "whole": np.arange(4)[None],
    "truth": np.array([True, False]), "spread": np.broadcast_to(np.float32(2), (2, 2)),
}  # fmt: skip


def test_strided_empty_and_small_arrays(tmp_path):
    from safetensors.numpy import load_file

    tensor_file.write(tmp_path / "a", ODD)
    theirs, ours = load_file(tmp_path / "a"), tensor_file.read(tmp_path / "a")
    assert set(theirs) == set(ours) == set(ODD)
    for name, array in ODD.items():
        np.testing.assert_array_equal(theirs[name], array)
        np.testing.assert_array_equal(ours[name].raw(), array)
        assert ours[name].shape == array.shape and theirs[name].dtype == array.dtype
        assert ours[name].read().dtype == (np.float32 if array.dtype.kind == "f" else array.dtype)


def test_files_of_the_library_itself(tmp_path):
    from safetensors.numpy import save_file

    arrays = {name: np.asarray(array, order="C").copy() for name, array in ODD.items()}
    save_file(arrays, tmp_path / "a", metadata={"format": "np"})
    for name, stored in tensor_file.read(tmp_path / "a").items():
        np.testing.assert_array_equal(stored.raw(), arrays[name])


def test_bfloat16_is_the_upper_half_of_a_float32():
    exact = np.array([1.0, -2.5, 0.0, 3.0e38, 2.0**-130, np.inf, -np.inf], np.float32)
    upper = (exact.view(np.uint32) >> 16).astype(np.uint16)
    np.testing.assert_array_equal(tensor_file.widen(upper, "BF16"), (upper.astype(np.uint32) << 16).view(np.float32))
    np.testing.assert_array_equal(tensor_file.widen(upper, "BF16")[[0, 1, 2, 5, 6]], exact[[0, 1, 2, 5, 6]])
    assert np.isnan(tensor_file.widen(np.array([0x7FC0], np.uint16), "BF16")[0])


def _header(table, body=b""):
    text = table if isinstance(table, bytes) else json.dumps(table).encode()
    return len(text).to_bytes(8, "little") + text + body


@pytest.mark.parametrize(("data", "message"), [
    (b"", "holds 0 bytes"),
    (b"PK\x03\x04 a zip file, as pickles come", "not a safetensors file"),
    ((1 << 40).to_bytes(8, "little") + b"{}", "not a safetensors file"),
    ((1000).to_bytes(8, "little") + b"{}", "cut short"),
    (_header(b"{broken"), "not readable JSON"),
    (_header({"a": 3}), "entry of a"),
    (_header({"a": {"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]}}, b"1"), "dtype F8_E4M3"),
    (_header({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"1234"), "cut short"),
    (_header({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"1234"), "should be 8 bytes"),
    (_header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}, b"1234"), "damaged"),
])  # fmt: skip
def test_damaged_files(data, message, tmp_path):
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        tensor_file.read(tmp_path / "a")


def test_what_the_format_does_not_know(tmp_path):
    with pytest.raises(TypeError, match="complex"):
        tensor_file.write(tmp_path / "a", {"z": np.zeros(2, np.complex64)})
    assert not (tmp_path / "a").exists()
