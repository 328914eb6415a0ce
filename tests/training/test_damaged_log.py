"""log.csv after damage: what can be read is kept, the rest is kept beside it, and only an unfinished line is dropped unsaid."""

import warnings

import pytest

from minidiff.training import History


def log(tmp_path, n=60):
    history = History(tmp_path / "log.csv")
    for i in range(1, n + 1):
        history.add(step=i, loss=1 / i, lr=1e-3, grad_norm=2.0 / 3, seconds=i / 4)
    history.close()
    return tmp_path / "log.csv"


def test_one_damaged_byte_costs_one_line(tmp_path):
    path = log(tmp_path)
    whole = path.read_bytes()
    for at in range(0, len(whole), 61):
        path.write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])
        history = History(path)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            history.resume(60)
        lost = 60 - len(history)
        # an end of line that is gone damages both lines; the one at the very end looks like an unfinished line
        assert lost <= (2 if whole[at : at + 1] == b"\n" else 1), (at, lost)
        assert history.loss == [1 / step for step in history.step]
        if lost and at < len(whole) - 1:
            assert len(said) == 1 and "log.csv.damaged" in str(said[0].message) and "\n" not in str(said[0].message)
            assert (tmp_path / "log.csv.damaged").read_bytes() == whole[:at] + b"\xff" + whole[at + 1 :]


def test_a_digit_of_a_step_that_changed_costs_its_line_only(tmp_path):
    path = log(tmp_path)
    path.write_text(path.read_text().replace("\n20,", "\n90,"))
    history = History(path)
    with pytest.warns(UserWarning, match="line 21 is damaged"):
        history.resume(60)
    assert history.step == [step for step in range(1, 61) if step != 20]


@pytest.mark.parametrize("end", ["61,0.5", "61,0.1,0.001,0.6,3.5", "\0\0\0"])
def test_an_unfinished_line_is_dropped_silently(tmp_path, end):
    path = log(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole + end.encode())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        History(path).resume(61)
    assert path.read_bytes() == whole and not (tmp_path / "log.csv.damaged").exists()


@pytest.mark.parametrize(
    "junk", ["x" * 200_000, '"' + "x" * 200_000, "," * 200_000, "61," + "9" * 5000 + ",1,1,1", "1,1,1,1,1"]
)
def test_a_line_of_any_length(tmp_path, junk):
    path = log(tmp_path)
    path.write_text(path.read_text() + junk + "\n")
    history = History(path)
    with pytest.warns(UserWarning, match="line 62 is damaged"):
        history.resume(70)
    assert history.step == list(range(1, 61))
