"""The array decides the library; a device that is not there is said in one line."""

import sys
import types

import numpy as np
import pytest

from minidiff.backend import module_of, to_device, to_numpy, xp_of


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
    with pytest.raises(TypeError, match="numpy and of elsewhere in one call|elsewhere and of numpy"):
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
