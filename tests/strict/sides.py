"""One piece of work for two libraries: what a case needs to be written once and run on NumPy and on the stand-in."""

import numpy as np

from minidiff.backend import to_numpy, xp_of
from minidiff.rng import Rng


class Side:
    """Where a case runs.   up(array): there   net(layer): a layer moved there   rng(seed): a generator there"""

    def __init__(self, xp):
        self.xp, self.device = xp, "cpu" if xp is np else "cuda"

    def up(self, array):
        return self.xp.asarray(array)

    def net(self, layer, dtype=np.float64):
        return layer.astype(dtype).to(self.device)

    def rng(self, seed, stream=0, step=0):
        return Rng(seed, stream, step, self.xp)

    def normal(self, *shape, seed=0):
        """The same numbers on both sides, to the bit."""
        return self.up(Rng(seed).standard_normal(shape, np.float64))


CASES = []


def case(*names, waits=False, tolerance=1e-9, host=False):
    """Decorator of case(side) -> arrays, nested in tuples, lists and dicts as they come.

    names      the public names that it covers
    waits      whether it may bring numbers to the host
    host       whether its results are on the host by nature
    """

    def decorate(function):
        function.covers, function.waits, function.tolerance, function.host = names, waits, tolerance, host
        CASES.append(function)
        return function

    return decorate


def flat(found):
    """Every array of a nest, in order."""
    if found is None:
        return []
    if isinstance(found, dict):
        found = list(found.values())
    if isinstance(found, (tuple, list)):
        return [array for item in found for array in flat(item)]
    return [found]


def grads(layer):
    """{name: gradient}."""
    return {name: param.grad for name, param in layer.parameters().items()}


def compare(ours, numpys, tolerance=1e-9, host=False):
    """Every array on the device (the emulator's or CuPy's), of the dtype and with the numbers of NumPy's."""
    ours, numpys = flat(ours), flat(numpys)
    assert len(ours) == len(numpys) > 0
    for a, b in zip(ours, numpys, strict=True):
        if not host:
            assert xp_of(a) is not np, type(a)
            assert a.dtype == np.asarray(b).dtype
        np.testing.assert_allclose(to_numpy(a), b, rtol=tolerance, atol=tolerance)
