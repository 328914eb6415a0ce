"""Chapter 16: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import itertools

import numpy as np

from minidiff import grading

WITHOUT = {  # what an answer may not call
    "which": ["minidiff.diffusion.Denoiser"],
}

# ---- 1


def conv_for_torch(weight):
    return weight.transpose(3, 2, 0, 1)


def check_every_axis():
    """square and long windows, one channel, square weights, in float32: every number in its place"""
    for shape in ((1, 1, 2, 2), (3, 3, 4, 4), (5, 1, 1, 3), (2, 4, 3, 1)):
        w = np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)
        got = conv_for_torch(w)
        right = np.zeros((shape[3], shape[2], shape[0], shape[1]), np.float32)
        for i, j, c, o in itertools.product(*map(range, shape)):
            right[o, c, i, j] = w[i, j, c, o]
        grading.same(got, right, f"the weight, from {shape}", rtol=0, atol=0)
        if got.dtype != np.float32:
            raise grading.WrongAnswer(f"the weight of float32 became {got.dtype}")


# ---- 2


def from_bfloat16(array):
    return (array.astype(np.uint32) << 16).view(np.float32)


def check_other_numbers():
    """tables, both zeros, tiny, huge and infinite numbers; the result is float32"""
    bits = np.array([[0x0000, 0x8000, 0x3F80, 0xBFC0], [0x0080, 0x7F7F, 0x7F80, 0xFF80]], np.uint16)
    right = np.array([[0.0, -0.0, 1.0, -1.5], [2.0**-126, 255 * 2.0**120, np.inf, -np.inf]])
    got = from_bfloat16(bits)
    if getattr(got, "dtype", None) != np.float32:
        raise grading.WrongAnswer(f"the numbers are {getattr(got, 'dtype', type(got).__name__)}, expected float32")
    if got.shape != right.shape or not np.array_equal(np.asarray(got), right):
        raise grading.WrongAnswer(f"of the bits {bits.tolist()} came {np.asarray(got).tolist()}, expected {right.tolist()}")
    grading.same(np.signbit(np.asarray(got)), np.signbit(right), "the signs, that of -0 too")
    grading.same(from_bfloat16(np.full((2, 1, 3), 0x4049, np.uint16)), np.full((2, 1, 3), 3.140625), "a cube", rtol=0, atol=0)


# ---- 3


def compare(ours, theirs):
    other_shape = [name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]]
    return sorted(ours.keys() - theirs.keys()), sorted(theirs.keys() - ours.keys()), sorted(other_shape)


def check_more_names():
    """nothing on one side, ten names of each kind, and shapes that differ in rank alone"""
    def expect(ours, theirs, *right):
        names = "missing", "unexpected", "other_shape"
        for got, wanted, what in zip(grading.parts(compare(ours, theirs), *names), right, names, strict=True):
            if not isinstance(got, (list, tuple)) or list(got) != wanted:
                raise grading.WrongAnswer(f"{what}: {got}, expected {wanted}, for {ours} and {theirs}")

    some, none = {"b.w": (1, 2), "a.w": (3,), "c": ()}, {}
    expect(some, none, ["a.w", "b.w", "c"], [], [])
    expect(none, some, [], ["a.w", "b.w", "c"], [])
    expect(some, dict(reversed(some.items())), [], [], [])
    expect({"x": (4,), "y": (4,), "w": ()}, {"y": (1, 4), "x": (4, 1), "w": (1,)}, [], [], ["w", "x", "y"])
    layers = [f"layer{k}.weight" for k in (7, 3, 11, 0, 9, 2, 10, 5, 8, 1)]
    ours = {**{f"our.{name}": (2, 2) for name in layers}, **{name: (2, 3) for name in layers}, "same": (5, 5)}
    theirs = {**{name: (3, 2) for name in layers}, "same": (5, 5), **{f"their.{name}": (2, 2) for name in layers}}
    listed = sorted(layers)
    expect(ours, theirs, [f"our.{name}" for name in listed], [f"their.{name}" for name in listed], listed)


# ---- 4


def which(net, x0, eps, t):
    a, sigma = schedule.alpha(t), schedule.sigma(t)
    output = net.predict(a * x0 + sigma * eps, t)
    targets = {"eps": eps, "v": a * eps - sigma * x0}
    return min(targets, key=lambda name: ((output - targets[name]) ** 2).mean())


def check_early_and_late():
    """networks that are nearly right or wrong in one place, at the first and the last t, of one image and of many"""
    bars = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))

    class Network:
        def __init__(self, right, offset, x, t):
            self.right, self.offset, self.x, self.t = right, offset, x, t

        def predict(self, x, t):
            grading.same(x, self.x, "the images that the network was shown")
            grading.same(t, self.t, "the t that the network gets")
            return self.right + self.offset

    for t, count in ((40, 5), (333, 1), (700, 3), (999, 4)):
        rng = np.random.default_rng(t)
        x0, eps = rng.standard_normal((2, count, 5, 3, 2))
        a, s = np.sqrt(bars[t]), np.sqrt(1 - bars[t])
        v = a * eps - s * x0
        for name, target, other in (("eps", eps, v), ("v", v, eps)):
            for offset in (0.0, 0.4 * (other - target), 0.05 * rng.standard_normal(x0.shape), 0.05):
                got = which(Network(target, offset, a * x0 + s * eps, t), x0, eps, t)
                if got != name:
                    raise grading.WrongAnswer(f"{got!r} at t = {t} for a network that is near to {name}")
