"""Nested arrays: a map keeps their arrangement."""

from typing import Any, NamedTuple

import numpy as np
import pytest

from minidiff.tree import tree_map


class Two(NamedTuple):
    a: Any
    b: Any = None


def test_containers_keep_their_type_and_none_stays_none():
    tree = {"x": Two(1, (2, None)), "y": [3, Two(4)]}
    assert tree_map(lambda a: 10 * a, tree) == {"x": Two(10, (20, None)), "y": [30, Two(40)]}
    assert type(tree_map(str, tree)["y"][1]) is Two and tree_map(str, None) is None


def test_several_trees_are_walked_together_and_dicts_by_name():
    assert tree_map(max, {"a": 1, "b": (2, 3)}, {"b": (3, 2), "a": 0}) == {"a": 1, "b": (3, 3)}
    with pytest.raises(ValueError, match="shorter"):
        tree_map(max, (1, 2), (1,))


def test_containers_that_are_taken_whole():
    found = tree_map(np.asarray, ([1, 2], [[3], [4]]), leaf=list)
    assert [a.shape for a in found] == [(2,), (2, 1)]
