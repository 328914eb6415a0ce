"""Chapter 16, a pretrained model: known mistakes in axes, bits, names of tensors and the meaning of an output."""

import numpy as np

from ..diffusion import Schedule
from ..grading import WrongAnswer, parts, same


def conv_for_torch(answer):
    w = np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    same(answer(w), w.transpose(3, 2, 0, 1), "the weight", {
        "this is the way from PyTorch to minidiff": w.transpose(2, 3, 1, 0),
        "every axis is reversed: height comes before width in both": w.transpose(3, 2, 1, 0),
        "inputs and outputs have changed places: PyTorch has outputs first": w.transpose(2, 3, 0, 1),
        "only inputs and outputs were swapped; they also move to the front": w.transpose(0, 1, 3, 2),
        "inputs and outputs are at the end; they move to the front": w.transpose(1, 0, 3, 2),
        "reshaped: the numbers stay in their old order; transpose moves them": w.reshape(5, 4, 2, 3),
        "outputs moved to the front, inputs did not": w.transpose(3, 0, 1, 2),
        "first and last axis have changed places, and nothing else": w.transpose(3, 1, 2, 0),
        "the window is turned by half a turn; both libraries slide it unturned": w[::-1, ::-1].transpose(3, 2, 0, 1),
        "nothing has moved": w,
    })


def from_bfloat16(answer):
    numbers = np.array([1.0, -2.5, 3.140625, 2.0**-100], np.float32)
    upper = (numbers.view(np.uint32) >> 16).astype(np.uint16)
    wide = upper.astype(np.uint32)
    got = answer(upper)
    same(got, numbers, "the numbers", {
        "the bits were read as a number: .view keeps them, .astype does not": (wide << 16).astype(np.float32),
        "the bits were not moved up: bfloat16 is the upper half": wide.view(np.float32),
        "moved up by 8; the upper half begins at bit 16": (wide << 8).view(np.float32),
        "read as float16: that has fewer bits for the exponent": upper.view(np.float16).astype(np.float32),
        "the number of the bits: .view keeps them, .astype does not": upper.astype(np.float32),
        "moved up before there was room: first .astype(np.uint32)": np.zeros(4),
        "the sign is lost: its bit is the highest of the 16": np.abs(numbers),
        "bits of a float64: a float32 has 32": (upper.astype(np.uint64) << 16).view(np.float64),
    }, atol=0)
    if np.asarray(got).dtype != np.float32:
        raise WrongAnswer(f"the numbers are {np.asarray(got).dtype}, expected float32")


def compare(answer):
    ours = {"z": (1,), "a": (2, 3), "m": (4,), "k": (3, 3), "b": (1,)}
    theirs = {"m": (4,), "k": (9,), "y": (5,), "a": (3, 2), "c": (0,)}
    right = ["b", "z"], ["c", "y"], ["a", "k"]
    names = "missing", "unexpected", "other_shape"
    for got, wanted, what in zip(parts(answer(ours, theirs), *names), right, names, strict=True):
        if not isinstance(got, (list, tuple)):
            raise WrongAnswer(f"{what}: a {type(got).__name__}, expected a sorted list")
        if list(got) != wanted:
            told = ""
            if sorted(got) == wanted:
                told = "; right, but not sorted"
            elif list(got) in right:
                told = f"; that is {names[right.index(list(got))]}: missing is what `ours` has and `theirs` does not have"
            elif what == "other_shape" and set(got) - set(wanted):
                told = "; names that only one of the two has are missing or unexpected, and a shape that agrees is no fault"
            elif what == "other_shape" and list(got) in ([], ["k"]):
                told = "; the order of the axes counts, and as many numbers may have another shape"
            elif sorted(got) == sorted(right[0] + right[1]):
                told = "; names of either side: each list is of one side alone"
            raise WrongAnswer(f"{what}: {list(got)}, expected {wanted}{told}")
    if (got := answer({"a": (1,)}, {"a": (1,)})) is None or tuple(map(list, got)) != ([], [], []):
        raise WrongAnswer(f"where all agrees: {got}, expected three empty lists")


class Predicts:
    """A network that predicts the same, whatever it is asked, and takes down what that was."""

    def __init__(self, output, asked):
        self.output, self.asked = output, asked

    def predict(self, x, t):
        self.asked.append((x, t))
        return self.output


def which(answer):
    rng, schedule = np.random.default_rng(1), Schedule.linear(1000)
    x0, eps, off = rng.standard_normal((3, 8, 4, 4, 1))
    for t in (150, 500, 850):
        a, s = schedule.alpha(t), schedule.sigma(t)
        targets, asked = {"eps": eps, "v": a * eps - s * x0}, []
        for name, target in targets.items():
            got = answer(Predicts(target + 0.3 * off, asked), x0, eps, t)
            if not isinstance(got, str) or got not in targets:
                raise WrongAnswer(f'{got!r} came back: expected "eps" or "v"')
            if not asked:
                raise WrongAnswer("the network was not asked: call its `predict(noisy images, t)`")
            x, given = asked[-1]
            same(x, a * x0 + s * eps, "what the network was shown", {
                "the clean images; show it the noisy ones": x0,
                "the noise; show it the noisy images": eps,
                "alpha and sigma have changed places": s * x0 + a * eps,
                "the whole noise was added; it is multiplied by sigma": a * x0 + eps,
                "the image has to shrink: alpha is missing": x0 + s * eps,
                "alpha and sigma are roots; these are their squares": a**2 * x0 + s**2 * eps,
                "image and noise without their factors": x0 + eps,
            })
            same(given, t, "the t that the network was given", {"one step too early": t - 1, "one step too late": t + 1})
            if got != name:
                raise WrongAnswer(
                    f"{got!r} at t = {t} for a network that predicts {name}: the targets are eps and v = alpha eps - sigma x0, "
                    "and the nearer one has the smaller mean squared error"
                )
