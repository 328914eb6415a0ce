"""How tables of named arrays differ, as every "does not fit" message lists it."""

import numpy as np

from minidiff.names import LISTED, differences


def test_missing_unexpected_and_of_another_shape():
    expected = {"a": np.ones(2), "b": np.ones((2, 1)), "c": np.ones(3)}
    found = {"a": np.zeros(2), "c": np.ones((3, 1)), "d": np.ones(4)}
    assert differences(found, expected) == "\n  missing b (2, 1)\n  unexpected d (4,)\n  c is (3, 1), expected (3,)"
    assert differences(expected, expected) == "" == differences({}, {})
    assert (
        differences({"a": ["float32", [2]]}, {"a": ["float64", [2]]}) == "\n  a is ['float32', [2]], expected ['float64', [2]]"
    )


def test_a_long_list_is_cut_and_counted():
    lines = differences({}, {f"w{i}": np.ones(1) for i in range(LISTED + 3)}).split("\n  ")
    assert len(lines) == 1 + LISTED + 1 and lines[-1] == "... and 3 more"
