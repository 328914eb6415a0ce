"""A complex step for each Param, without running the layers before that Param again."""

import contextlib

import numpy as np
import pytest

from minidiff import nn
from minidiff.settings import dropped, is_complex_step

CALL = nn.Layer.__call__


@pytest.fixture
def remembered(monkeypatch):
    """From here on, while Params are moved by a complex step, a layer whose Params do not move and whose arguments are those
    of the pass without a step is not run: its output is the one of that pass. Only what a moved Param changes is computed."""
    below, rest = {}, {}  # {layer: its Params}, {layer: (arguments, output) at rest}
    moved = []  # the Params that this pass moves; [None] in the pass at rest, nothing between passes

    def call(layer, *args, **kwargs):
        if kwargs or not is_complex_step():
            return CALL(layer, *args, **kwargs)
        if not moved:
            return outermost(layer, args)
        if layer not in below:
            below[layer] = frozenset(layer.parameters().values())
        if moved == [None]:
            rest[layer] = args, CALL(layer, *args)[0]
        known = layer in rest and below[layer].isdisjoint(moved) and same(args, rest[layer][0])
        return (rest[layer][1], dropped) if known else CALL(layer, *args)

    def outermost(layer, args):
        params = [param for param in layer.parameters().values() if param.value.dtype.kind == "c"]
        if not params:
            return CALL(layer, *args)
        try:
            if layer not in rest:
                moved[:] = [None]
                with contextlib.ExitStack() as stack:
                    for param in params:
                        stack.enter_context(param.replaced(param.value.real + 0j))
                    rest[layer] = args, CALL(layer, *args)[0]
            moved[:] = [param for param in params if param.value.imag.any()]
            return CALL(layer, *args)
        finally:
            moved.clear()

    monkeypatch.setattr(nn.Layer, "__call__", call)


def same(a, b):
    """Whether two arguments, or tuples of them, are equal to the bit."""
    if a is b:
        return True
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) is np.ndarray and a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
