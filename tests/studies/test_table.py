"""The tables of studies: means with standard errors, and CSV files that are read back."""

import numpy as np
import pytest

from minidiff.studies.table import full, line, mean_and_error, over_seeds, read_table, write_table


def test_standard_error_of_the_mean():
    assert mean_and_error([1.0, 2.0, 3.0, 6.0]) == (3.0, pytest.approx(np.std([1, 2, 3, 6], ddof=1) / 2))
    assert mean_and_error([5]) == (5.0, None)
    row = over_seeds((3, 4), lambda seed: {"a": seed, "b": 1.0})
    assert row == {"a": 3.5, "a_error": 0.5, "b": 1.0, "b_error": 0.0, "seeds": 2}


def test_a_table_goes_out_and_comes_back(tmp_path):
    rows = [{"name": "a, b", "n": 3, "x": 0.1}, {"name": "c", "x": 2e-7, "y": None}]
    write_table(rows, tmp_path / "t.csv")
    assert read_table(tmp_path / "t.csv") == full(rows)
    assert full(rows)[0] == {"name": "a, b", "n": 3, "x": 0.1, "y": None}
    assert line({"a": 1, "x": 0.5, "x_error": 0.01, "none": None}) == "a 1   x 0.5 ± 0.01"
