"""Tests that teach: is this answer right, and if not, which mistake is it probably?

    answered(f, *args)                  whether there is an answer yet: f returns something
    same(got, right, what, mistakes)    an answer equals the right one, or WrongAnswer names the likeliest mistake
    parts(got, "y", "back")             an answer of several parts has just those, or WrongAnswer says what it is instead
    guarded(f, without=[...])           f, which only reads the arrays that it is given, and does without these functions

The course's hidden tests are written with these. They serve any exercise whose answer is a number or an array.
"""

import numpy as np

from .guarded import WrongAnswer, guarded

__all__ = ["WrongAnswer", "answered", "diagnose", "guarded", "parts", "same"]


def answered(f, *args):
    """Whether f(*args) returns something. f may not write into args: it raises WrongAnswer, and the arrays stay as they are."""
    return guarded(f)(*args) is not None


def same(got, right, what="the answer", mistakes=None, rtol=1e-6, atol=1e-9):
    """Nothing if got equals right, |got - right| <= atol + rtol |right|; else WrongAnswer, with the likeliest reason.

    got: whatever the answer is   right: a number or an array   what: its name, for the message
    mistakes: {sentence: what an answer with that mistake gives}, tried first; then come the mistakes of every formula: a
    sign, a factor, a square root, an index that is off by one, an axis.
    """
    right = np.asarray(right)
    got = _array(got, what)
    if got.shape == right.shape and np.allclose(got, right, rtol, atol):
        return
    for sentence, value in (mistakes or {}).items():
        value = np.asarray(value)
        if got.shape == value.shape and np.allclose(got, value, rtol, atol, equal_nan=True):
            raise WrongAnswer(f"{what}: {sentence}")
    raise WrongAnswer(f"{what}: {diagnose(got, right, rtol, atol)}")


def parts(got, *names):
    """got itself, if it is a tuple or list with one entry for each name; else WrongAnswer."""
    wanted = f"expected `return {', '.join(names)}`"
    if got is None:
        raise WrongAnswer(f"nothing came back: {wanted}")
    if not isinstance(got, (tuple, list)):
        raise WrongAnswer(f"one {_kind(got)} came back: {wanted}")
    if len(got) != len(names):
        raise WrongAnswer(f"{len(got)} things came back: {wanted}")
    return got


def diagnose(got, right, rtol=1e-6, atol=1e-9):
    """What a wrong answer usually means.   got, right: arrays that are not equal   -> one sentence, the likeliest"""
    if got.shape != right.shape:
        return _shape(got, right, rtol, atol)
    if not np.isfinite(got).all():
        return "NaN or infinity came out: a division by 0, a logarithm or a root of something that is not positive"

    def near(value):
        return bool(np.allclose(got, value, rtol, atol))

    with np.errstate(all="ignore"):
        for value, sentence in _known(right):
            if value.shape == right.shape and np.isfinite(value).all() and not np.allclose(value, right) and near(value):
                return sentence
        if got.size > 1:
            factor = float((got * right).sum() / (right * right).sum()) if right.any() else 0.0
            if factor and near(factor * right):
                return f"it is {factor:.6g} times the right answer, everywhere: a constant factor"
            offset = float((got - right).mean())
            if near(right + offset):
                return f"it is off by {offset:+.6g} everywhere: a term that is the same for every entry"
            if right.std() > 0 and not (got - got.flat[0]).any():
                return f"every entry is {got.flat[0]:.6g}: something is not used that should be"
    gap = np.abs(got - right)
    wrong = gap > atol + rtol * np.abs(right)
    worst = tuple(int(i) for i in np.unravel_index(gap.argmax(), gap.shape))
    at = f" at {worst if len(worst) > 1 else worst[0]}" if worst else ""
    share = f"{wrong.sum()} of {wrong.size} entries are wrong, the worst" if wrong.size > 1 else "it"
    sentence = f"{share} is {got[worst]:.9g}{at}, expected {right[worst]:.9g}"
    if wrong.size > 4 and wrong.mean() < 0.5:
        sentence += "; most are right: an edge, the first or the last step, or an index"
    return sentence


def _known(right):
    """(the result of a common mistake, the sentence that names it)"""
    yield -right, "a sign: it is exactly the negative of the right answer"
    yield 2 * right, "it is twice the right answer"
    yield right / 2, "it is half the right answer"
    yield right**2, "it is the square of the right answer: a square root is missing, or a variance stands for a deviation"
    yield np.sqrt(right), "it is the square root of the right answer: a deviation stands for a variance"
    yield 1 / right, "it is upside down: 1 divided by the right answer"
    yield 1 - right, "it is 1 minus the right answer"
    yield np.exp(right), "a logarithm is missing"
    yield np.log(right), "there is a logarithm too many"
    yield right / np.log(10), "the logarithm has base 10, not e"
    yield right / np.log(2), "the logarithm has base 2, not e"
    if right.ndim and right.shape[0] > 2:
        yield right[::-1], "the order is turned round: first and last change places"
        yield np.roll(right, 1, axis=0), "every entry is one place too late"
        yield np.roll(right, -1, axis=0), "every entry is one place too early"
    if right.ndim >= 2:
        yield np.swapaxes(right, -1, -2), "the last two axes are swapped: a transpose"


def _shape(got, right, rtol, atol):
    text = f"its shape is {got.shape}, expected {right.shape}"
    if got.size == right.size:
        same_numbers = np.allclose(got.reshape(right.shape), right, rtol, atol)
        return text + ("; the numbers are right" if same_numbers else "")
    if got.ndim == right.ndim == 1 and abs(len(got) - len(right)) == 1:
        return text + ": one entry too " + ("many" if len(got) > len(right) else "few")
    if got.ndim == 0:
        return text + ": a sum or mean too many"
    return text


def _array(got, what):
    """Numbers, of whatever came."""
    if got is None:
        raise WrongAnswer(f"{what}: nothing came back; is there a `return`?")
    if hasattr(got, "get") and not isinstance(got, (dict, np.ndarray)):
        got = got.get()  # an array on a device
    try:
        got = np.asarray(got)
    except ValueError:
        raise WrongAnswer(f"{what}: its parts have different shapes, expected one array") from None
    if got.dtype.kind not in "fiub":
        raise WrongAnswer(f"{what}: expected numbers, not {_kind(got)}")
    return got


def _kind(got):
    if isinstance(got, np.ndarray) and got.dtype == object:
        return f"a {type(got.item()).__name__}" if got.ndim == 0 else "an array of objects"
    return type(got).__name__
