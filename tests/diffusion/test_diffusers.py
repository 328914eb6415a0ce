"""The stored numbers are what the installed diffusers computes."""

import numpy as np
import pytest


def walk(a, b, path=""):
    assert type(a) is type(b), path
    if isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for key in a:
            walk(a[key], b[key], f"{path}.{key}")
    elif isinstance(a, list):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            walk(x, y, f"{path}[{i}]")
    elif not isinstance(a, str):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7, err_msg=path)


@pytest.mark.slow
def test_stored_numbers_are_those_of_the_installed_diffusers(diffusers_numbers):
    pytest.importorskip("diffusers")
    import diffusers_reference

    fresh = diffusers_reference.numbers()
    fresh["source"] = diffusers_numbers["source"]
    walk(fresh, diffusers_numbers)
