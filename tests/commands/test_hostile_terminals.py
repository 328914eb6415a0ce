"""The command among hostile terminals: full disks, narrow encodings, Ctrl-C at bad moments, optimised Python, odd errors."""

import os
import signal
import subprocess
import sys
import time

import pytest

from minidiff import cli
from minidiff.console import Output

SMALL = ["--data", "digits", "--steps", "2", "--batch-size", "4", "--set", "model.block_out_channels=[8,8]",
         "--set", "model.norm_num_groups=4", "--set", "model.attention_head_dim=8"]  # fmt: skip
posix = pytest.mark.skipif(os.name == "nt", reason="signals and /dev/full")


def start(*words, python=(), stdout=subprocess.PIPE, **environment):
    return subprocess.Popen([sys.executable, *python, "-m", "minidiff", *map(str, words)], stdout=stdout,
                            stderr=subprocess.PIPE, env={**os.environ, "MINIDIFF_THREADS": "1", **environment})  # fmt: skip


@posix
def test_training_continues_when_its_output_cannot_be_written(tmp_path):
    with open("/dev/full", "w") as full:
        process = start("train", *SMALL, "--out", tmp_path / "run", "--no-progress", stdout=full)
        err = process.communicate(timeout=120)[1].decode()
    assert (tmp_path / "run" / "checkpoint.safetensors").is_file() and (tmp_path / "run" / "loss.png").is_file()
    assert process.returncode == 1
    assert err == "minidiff: error: the output could not be written: No space left on device\n"


@posix
def test_unwritable_output_is_dropped_once_and_the_first_error_kept():
    with open("/dev/full", "w") as full:
        output = Output(full)
        assert output.write("x" * 100_000) == 100_000 and output.failed.errno == 28
        output.write("more")
        output.flush()


@pytest.mark.parametrize("error, line", [
    (KeyError("x"), "KeyError: 'x' (MINIDIFF_TRACEBACK=1 shows the traceback)"),
    (AttributeError("no attribute"), "AttributeError: no attribute (MINIDIFF_TRACEBACK=1 shows the traceback)"),
    (AssertionError(), "AssertionError (MINIDIFF_TRACEBACK=1 shows the traceback)"), (MemoryError(), "MemoryError (MINIDIFF"),
    (EOFError("ends"), "EOFError: ends (MINIDIFF_TRACEBACK=1 shows the traceback)"), (ValueError("x: got 1"), "x: got 1"),
])  # fmt: skip
def test_any_exception_is_one_line(error, line, monkeypatch, capsys):
    def run(arguments):
        raise error

    monkeypatch.setattr(cli.samplers, "run", run)
    assert cli.main(["samplers"]) == (2 if isinstance(error, ValueError) else 1)
    err = capsys.readouterr().err
    assert err.startswith(f"minidiff samplers: error: {line}") and err.count("\n") == 1
    monkeypatch.setenv("MINIDIFF_TRACEBACK", "1")
    with pytest.raises(type(error)):
        cli.main(["samplers"])


@posix
@pytest.mark.parametrize("delay", [0.15, 0.4, 0.8])
def test_ctrl_c_twice_at_any_moment(delay, tmp_path):
    process = start("train", *SMALL[:2], "--steps", "100000", "--out", tmp_path / "run", "--no-progress")
    time.sleep(delay)  # mostly during the imports
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    _, err = process.communicate(timeout=60)
    # before minidiff's first line the interpreter itself is interrupted
    assert process.returncode in (130, -signal.SIGINT)
    if b"minidiff" in err:
        assert b"Traceback" not in err


@posix
def test_ctrl_c_during_the_imports():
    """numpy is replaced by a module that interrupts the process while it is being imported."""
    code = "import os, signal, sys, minidiff.__main__ as m\n" \
           "class Finder:\n" \
           "    def find_spec(self, name, path=None, target=None):\n" \
           "        if name == 'minidiff.cli': os.kill(os.getpid(), signal.SIGINT); sum(range(10**6))\n" \
           "sys.meta_path.insert(0, Finder()); sys.exit(m.main())"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert done.returncode == 130 and done.stderr == b""


def test_without_docstrings():
    process = start("--help", python=("-OO",))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and err == b"" and b"train" in out
    process = start("study", python=("-OO",))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and b"orders" in out


@pytest.mark.parametrize("environment", [
    {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
])  # fmt: skip
def test_a_narrow_console_and_a_folder_named_in_chinese(environment, tmp_path):
    folder = tmp_path / "\u4e2d\u6587"
    process = start("train", *SMALL, "--out", folder, **environment)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0 and b"\\u4e2d\\u6587" in out and b"Traceback" not in err, err
    assert (folder / "checkpoint.safetensors").is_file()
    process = start("info", folder / "not there", **environment)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1 and b"\\u4e2d\\u6587" in err and err.count(b"\n") == 1
