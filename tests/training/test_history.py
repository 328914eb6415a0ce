import os

import pytest

from minidiff.training import History


def fill(history, first, last):
    for k in range(first, last + 1):
        history.add(step=k, loss=1 / k, lr=1e-3, grad_norm=k / 3, seconds=0.1 * k)


def test_rows_in_memory_and_in_the_file(tmp_path):
    history = History(tmp_path / "run" / "log.csv")
    fill(history, 1, 3)
    lines = (tmp_path / "run" / "log.csv").read_text().splitlines()  # readable while the run goes on
    assert lines[0] == "step,loss,lr,grad_norm,seconds" and len(lines) == 4
    assert lines[3].startswith("3,0.3333333333333333,0.001,1.0,")
    assert history.step == [1, 2, 3] and history.loss[1] == 0.5 and len(history) == 3


def test_without_a_file():
    history = History()
    fill(history, 1, 2)
    history.sync()
    history.resume(1)
    assert history.step == [1]


@pytest.mark.parametrize("torn", ["", "8,0.125,0.0", "8,0.125,0.001,2.6666", "8,0.1", "\0\0\0"])
def test_resume_forgets_later_rows_and_a_torn_last_line(tmp_path, torn):
    path = tmp_path / "log.csv"
    fill(History(path), 1, 7)
    with open(path, "a") as file:
        file.write(torn)
    history = History(path)
    history.resume(5)
    assert history.step == [1, 2, 3, 4, 5] and history.loss[2] == 1 / 3
    fill(history, 6, 9)
    whole = tmp_path / "whole.csv"
    fill(History(whole), 1, 9)
    assert path.read_bytes() == whole.read_bytes()


def test_a_row_lost_in_the_middle_costs_that_row(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("step,loss,lr,grad_norm,seconds\n1,1.0,0.1,1.0,0.1\n2,what,0.1,1.0,0.2\n3,1.0,0.1,1.0,0.3\n")
    history, text = History(path), path.read_bytes()
    with pytest.warns(UserWarning, match="log.csv: line 3 is damaged .* kept as log.csv.damaged"):
        history.resume(3)
    assert history.step == [1, 3] and path.with_name("log.csv.damaged").read_bytes() == text


def test_a_new_run_replaces_an_old_log(tmp_path):
    path = tmp_path / "log.csv"
    fill(History(path), 1, 7)
    fill(History(path), 1, 2)
    assert len(path.read_text().splitlines()) == 3


def test_close_and_continue(tmp_path):
    history = History(tmp_path / "log.csv")
    fill(history, 1, 2)
    history.close()
    fill(history, 3, 3)
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 4


def test_a_full_disk_is_named_and_what_was_written_stands(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full here")
    history = History(tmp_path / "log.csv")
    fill(history, 1, 2)
    history._file.close()
    history._file = open("/dev/full", "wb", buffering=0)
    with pytest.raises(OSError, match=r"log.csv .*the disk is full; the file that stood there stands"):
        fill(history, 3, 3)
    again = History(tmp_path / "log.csv")
    again.resume(2)
    assert again.step == [1, 2]


def test_plot(tmp_path):
    pytest.importorskip("matplotlib")
    history = History()
    fill(history, 1, 60)
    figure = history.plot(tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG") and figure.axes
