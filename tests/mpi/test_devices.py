"""Ranks on GPUs: one device each, gradients through host memory on the emulator; and which way of sending is chosen.

The right values are those of the emulator in one process, and of NumPy. NCCL and device memory are stand-ins here, which
compute what the libraries document.
"""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minidiff.training.parallel.messages import Nccl, messages_for

PROGRAM = Path(__file__).with_name("program.py")


def read(path):
    with np.load(path) as found:
        return dict(found)


def test_two_ranks_on_two_devices_train_and_sample_as_one(mpirun, tmp_path):
    for ranks in (1, 2):
        (tmp_path / str(ranks)).mkdir()
        end = mpirun(ranks, PROGRAM, "device", tmp_path / str(ranks), timeout=120)
        if "g++ is not installed" in end.stderr:
            pytest.skip("g++ is not installed")
        assert end.returncode == 0, end.stderr
    one, first, second = (read(tmp_path / name) for name in ("1/rank0.npz", "2/rank0.npz", "2/rank1.npz"))
    assert one["recorded"] and not first["recorded"]  # messages cannot be part of a CUDA graph
    assert (first["used"], second["used"]) == (0, 1)
    assert first["messages"] == "MPI, through host memory"
    for name in ("loss", "weights", "drawn"):
        assert np.array_equal(first[name], second[name]), name
        # as tests/gpu/test_training_step.py bounds this run on another library
        assert np.linalg.norm(first[name] - one[name]) < 4e-5 * np.linalg.norm(one[name]), name


class Ranks(SimpleNamespace):
    """A world of one process that answers for its ranks: any(flag) is what the others say too."""

    def any(self, flag):
        return flag


def library(devices=2, nccl=True):
    """An array module as `messages_for` looks at it."""
    return SimpleNamespace(cuda=SimpleNamespace(runtime=SimpleNamespace(getDeviceCount=lambda: devices),
                                                nccl=SimpleNamespace(available=nccl)))  # fmt: skip


@pytest.mark.parametrize(
    ("devices", "nccl", "env", "name"),
    [
        (2, True, {}, "NCCL"),
        (1, True, {}, "MPI, through host memory"),  # two ranks on one card
        (1, True, {"MPICH_GPU_SUPPORT_ENABLED": "1"}, "MPI, on device memory"),
        (2, False, {"OMPI_MCA_opal_cuda_support": "true"}, "MPI, on device memory"),
        (2, False, {}, "MPI, through host memory"),
        (2, True, {"MINIDIFF_MESSAGES": "host"}, "MPI, through host memory"),
        (2, False, {"MINIDIFF_MESSAGES": "device"}, "MPI, on device memory"),
    ],
)
def test_the_fastest_way_that_is_there_is_chosen(monkeypatch, devices, nccl, env, name):
    monkeypatch.setattr(Nccl, "__init__", lambda self, world, xp: None)
    for variable, value in env.items():
        monkeypatch.setenv(variable, value)
    assert messages_for(Ranks(rank=0, size=2, local_size=2, comm=None), library(devices, nccl)).name == name


def test_an_unknown_way_is_named(monkeypatch):
    monkeypatch.setenv("MINIDIFF_MESSAGES", "hots")
    message = r"MINIDIFF_MESSAGES: got 'hots', expected one of nccl, device, host; did you mean host\?"
    with pytest.raises(ValueError, match=message):
        messages_for(Ranks(rank=0, size=2, local_size=2, comm=None), library())


class Group:
    """A group of NCCL whose other rank holds the same array plus 10."""

    def all_reduce(self, own, out, op):
        assert op == "sum"
        out[...] = own + (own + 10)

    def all_gather(self, own, out, count):
        assert count == own.size and out.size == 2 * count
        out[0], out[1] = own, own + 10


def test_nccl_sums_in_place_and_gathers_parts_of_unequal_length():
    ways = Nccl.__new__(Nccl)
    ways.xp, ways.group = np, Group()
    flat = np.arange(3.0)
    ways.add(flat)
    assert flat.tolist() == [10, 12, 14]
    assert ways.gather(np.array([[1.0], [2.0]]), [2, 1]).tolist() == [[1], [2], [11]]
    assert ways.gather(np.array([[3.0]]), [1, 2]).tolist() == [[3], [13], [10]]
