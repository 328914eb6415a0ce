"""The array decides the library; a device that is not there is said in one line."""

import sys
import types

import numpy as np
import pytest

from minidiff.backend import Constant, device_of, module_of, to_device, to_numpy, xp_of


class Foreign:
    """An array of another library, as far as its module's name tells."""

    def get(self):
        return np.ones(2)


@pytest.fixture
def foreign(monkeypatch):
    monkeypatch.setitem(sys.modules, "elsewhere", types.ModuleType("elsewhere"))
    monkeypatch.setattr(Foreign, "__module__", "elsewhere.core")
    return Foreign()


def test_the_array_decides(foreign):
    assert xp_of(np.ones(3), None, 2.0) is np and xp_of() is np
    assert xp_of(foreign, 1.5) is sys.modules["elsewhere"]
    with pytest.raises(TypeError, match=r"numpy and of elsewhere in one call|elsewhere and of numpy"):
        xp_of(np.ones(3), foreign)


def test_to_numpy(foreign):
    x = np.ones(3)
    assert to_numpy(x) is x and to_device(x, "cpu") is x
    np.testing.assert_array_equal(to_numpy(foreign), np.ones(2))


def test_devices_that_are_not_there(monkeypatch):
    with pytest.raises(ValueError, match="device: got 'tpu', expected 'cpu' or 'cuda'"):
        module_of("tpu")
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(RuntimeError, match="needs CuPy: pip install"):
        module_of("cuda")
    without_driver = types.ModuleType("cupy")
    without_driver.is_available = lambda: False
    monkeypatch.setitem(sys.modules, "cupy", without_driver)
    with pytest.raises(RuntimeError, match="no usable NVIDIA GPU"):
        module_of("cuda")


def _broken(name, error):
    """A cupy whose import, or first use, ends in this error."""
    fake = types.ModuleType("cupy")

    def fail(*_):
        raise error

    if name == "first use":
        fake.is_available, fake.zeros = lambda: True, fail
    else:
        fake.is_available = fail
    return fake


CUPYS_OWN = """
================================================================
Failed to import CuPy.

If you installed CuPy via wheels (cupy-cudaXXX or cupy-rocm-X-X), make sure that the package matches with your CUDA version.

Original error:
  ImportError: libnvrtc.so.12: cannot open shared object file: No such file or directory
================================================================
"""


@pytest.mark.parametrize("when", ["first use", "asking"])
def test_an_unusable_gpu_is_reported_in_one_line(monkeypatch, when):
    error = RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient\nfor CUDA runtime version")
    monkeypatch.setitem(sys.modules, "cupy", _broken(when, error))
    with pytest.raises(RuntimeError, match=r"^device 'cuda': .*cudaErrorInsufficientDriver[^\n]*$"):
        module_of("cuda")


@pytest.mark.parametrize(
    "error", [ImportError(CUPYS_OWN), AttributeError("module 'numpy' has no attribute 'bool8'"), OSError()]
)
def test_a_broken_installation_is_reported_in_one_line(monkeypatch, tmp_path, error):
    (tmp_path / "cupy.py").write_text(f"raise {type(error).__name__}({str(error)!r})")
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RuntimeError, match=r"^device 'cuda': CuPy is installed but does not import: [^\n]+$") as told:
        module_of("cuda")
    if "libnvrtc" in str(error):
        assert "libnvrtc.so.12: cannot open" in str(told.value)


def test_a_constant_goes_to_each_device_once(foreign):
    table, there = Constant(np.arange(3.0)), sys.modules["elsewhere"]
    there.asarray, there.__name__ = lambda a: uploads.append(a) or foreign, "elsewhere"
    uploads = []
    assert table.beside(foreign) is foreign and table.beside(foreign) is foreign and len(uploads) == 1
    assert table.beside(np.ones(2)).dtype == np.float64 and table.beside(np.ones(2), np.float32).dtype == np.float32
    assert device_of(np.ones(2)) == "cpu" and device_of(foreign) == "cuda"
