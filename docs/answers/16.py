"""Chapter 16: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import numpy as np

from minidiff import grading

# ---- 1


def conv_for_torch(weight):
    return weight.transpose(3, 2, 0, 1)


def check_every_axis():
    """a weight whose four axes all differ"""
    w = np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    grading.same(conv_for_torch(w), w.transpose(3, 2, 0, 1), "the weight", {
        "this is the way from PyTorch to ours": w.transpose(2, 3, 1, 0),
        "every axis is reversed: height comes before width in both": w.transpose(3, 2, 1, 0),
        "inputs and outputs have changed places: PyTorch has outputs first": w.transpose(2, 3, 0, 1),
        "only inputs and outputs were swapped; they also move to the front": w.transpose(0, 1, 3, 2),
        "reshaped: the numbers stay in their old order; transpose moves them": w.reshape(5, 4, 2, 3),
        "nothing has moved": w,
    })


# ---- 2


def from_bfloat16(array):
    return (array.astype(np.uint32) << 16).view(np.float32)


def check_other_numbers():
    """tables, negative, tiny and infinite numbers; the result is float32"""
    numbers = np.array([[0.0, -1.5, 256.0], [2.0**-120, np.inf, -(2.0**100)]], np.float32)
    upper = (numbers.view(np.uint32) >> 16).astype(np.uint16)
    got = from_bfloat16(upper)
    if getattr(got, "dtype", None) != np.float32:
        raise grading.WrongAnswer(f"the numbers: they are {getattr(got, 'dtype', type(got).__name__)}, expected float32")
    if np.array_equal(np.asarray(got), numbers):
        return
    grading.same(np.asarray(got)[0], numbers[0], "the first row", {
        "the bits were read as a number: .view keeps them, .astype does not": (
            upper.astype(np.uint32) << 16).astype(np.float32)[0],
        "the bits were not moved up: bfloat16 is the upper half": upper.astype(np.uint32).view(np.float32)[0],
        "read as float16: that has fewer bits for the exponent": upper.view(np.float16).astype(np.float32)[0],
        "the number of the bits: .view keeps them, .astype does not": upper.astype(np.float32)[0],
        "moved up before there was room: first .astype(np.uint32)": np.zeros(3),
    }, atol=0)
    grading.same(np.isinf(got[1, 1]), True, "infinity")
    raise grading.WrongAnswer(f"the second row is {got[1]}, expected {numbers[1]}")


# ---- 3


def compare(ours, theirs):
    other_shape = [name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]]
    return sorted(ours.keys() - theirs.keys()), sorted(theirs.keys() - ours.keys()), sorted(other_shape)


def check_more_names():
    """several names of each kind, and none"""
    ours = {"z": (1,), "a": (2, 3), "m": (4,), "k": (3, 3), "b": (1,)}
    theirs = {"m": (4,), "k": (9,), "y": (5,), "a": (3, 2), "c": (0,)}
    right = ["b", "z"], ["c", "y"], ["a", "k"]
    names = "missing", "unexpected", "other_shape"
    for got, wanted, what in zip(grading.parts(compare(ours, theirs), *names), right, names, strict=True):
        if not isinstance(got, (list, tuple)):
            raise grading.WrongAnswer(f"{what}: a {type(got).__name__}, expected a sorted list")
        if list(got) != wanted:
            told = "; right, but not sorted" if sorted(got) == wanted else ""
            if what == "other_shape" and set(got) - set(wanted):
                told = "; names that only one of the two has are missing or unexpected, and a shape that agrees is no fault"
            elif list(got) in right:
                told = f"; that is {names[right.index(list(got))]}: missing in the file is what ours has and theirs has not"
            raise grading.WrongAnswer(f"{what}: {list(got)}, expected {wanted}{told}")
    if tuple(map(list, compare({"a": (1,)}, {"a": (1,)}))) != ([], [], []):
        raise grading.WrongAnswer(f"where all agrees: {compare({'a': (1,)}, {'a': (1,)})}, expected three empty lists")


# ---- 4


def which(net, x0, eps, t):
    a, sigma = schedule.alpha(t), schedule.sigma(t)
    output = net.predict(a * x0 + sigma * eps, t)
    targets = {"eps": eps, "v": a * eps - sigma * x0}
    return min(targets, key=lambda name: ((output - targets[name]) ** 2).mean())


def check_early_and_late():
    """nets that are nearly right, at small t and at large"""
    rng = np.random.default_rng(1)
    x0, eps, off = rng.standard_normal((3, 8, 8, 8, 1))
    asked = []

    class Says:
        def __init__(self, target):
            self.target = target

        def predict(self, x, t):
            asked.append((x, t))
            return self.target + 0.3 * off

    for t in (150, 500, 850):
        a, s = schedule.alpha(t), schedule.sigma(t)
        for name, target in (("eps", eps), ("v", a * eps - s * x0)):
            got = which(Says(target), x0, eps, t)
            if got is None:
                raise grading.WrongAnswer('nothing came back: expected "eps" or "v"')
            if got not in ("eps", "v"):
                raise grading.WrongAnswer(f'{got!r} came back: expected "eps" or "v"')
            x, told = asked[-1]
            grading.same(x, a * x0 + s * eps, "what the network was shown", {
                "the clean picture; show it the noisy one": x0,
                "the noise; show it the noisy picture": eps,
                "alpha and sigma have changed places": s * x0 + a * eps,
            })
            grading.same(told, t, "the t that the network was told")
            if got != name:
                raise grading.WrongAnswer(
                    f"which: {got!r} at t = {t} for a network that says {name}: the targets are eps and "
                    "v = alpha eps - sigma x0, and the nearer one has the smaller mean squared error"
                )
