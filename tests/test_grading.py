"""minidiff.grading: right answers pass, wrong ones are named."""

import numpy as np
import pytest

from minidiff import gradcheck, grading, ops
from minidiff.diffusion import Schedule
from minidiff.ops.activation import softmax as by_another_name

RIGHT = np.array([[0.2, 0.5, 0.9], [0.1, 0.7, 0.3]])


def told(got, right=RIGHT, **options):
    with pytest.raises(grading.WrongAnswer) as error:
        grading.same(got, right, "x", **options)
    assert str(error.value).startswith("x: ")
    return str(error.value)


@pytest.mark.parametrize("got", [RIGHT, RIGHT.tolist(), RIGHT + 1e-9, RIGHT * (1 + 1e-8)])
def test_the_right_answer_passes(got):
    grading.same(got, RIGHT)


def test_numbers_of_any_kind_pass():
    for got in (3, 3.0, np.float32(3), np.array(3), np.int64(3)):
        grading.same(got, 3)
    grading.same(True, 1)


MISTAKES = [
    (-RIGHT, "exactly the negative"),
    (2 * RIGHT, "twice"),
    (RIGHT / 2, "half"),
    (RIGHT**2, "the square of"),
    (np.sqrt(RIGHT), "the square root of"),
    (1 / RIGHT, "upside down"),
    (1 - RIGHT, "1 minus"),
    (np.exp(RIGHT), "a logarithm is missing"),
    (np.log(RIGHT), "a logarithm too many"),
    (RIGHT / np.log(10), "base 10"),
    (RIGHT / np.log(2), "base 2"),
    (3.5 * RIGHT, "it is 3.5 times"),
    (RIGHT + 0.25, "off by +0.25 everywhere"),
    (np.full(RIGHT.shape, 0.4), "every entry is 0.4"),
    (np.zeros(RIGHT.shape), "every entry is 0"),
    (RIGHT.T, "its shape is (3, 2), expected (2, 3)"),
    (RIGHT.ravel(), "the numbers are right"),
    (RIGHT.sum(), "a sum or mean too many"),
    (np.where(RIGHT == 0.9, 5.0, RIGHT), "1 of 6 entries are wrong, the worst is 5 at (0, 2), expected 0.9; most are right"),
    (RIGHT * np.nan, "NaN or infinity"),
    (np.where(RIGHT == 0.9, np.inf, RIGHT), "NaN or infinity"),
    (None, "nothing came back"),
    (lambda: None, "expected numbers, not a function"),
    ("a", "expected numbers"),
    ([[1, 2], [3]], "different shapes"),
]


@pytest.mark.parametrize(("got", "words"), MISTAKES, ids=[words for _, words in MISTAKES])
def test_usual_mistakes_are_named(got, words):
    assert words in told(got)


def test_mistakes_along_an_axis_are_named():
    right = np.array([1.0, 4.0, 2.0, 7.0])
    assert "too late" in told(np.roll(right, 1), right) and "too early" in told(np.roll(right, -1), right)
    assert "turned round" in told(right[::-1], right)
    assert "one entry too few" in told(right[1:], right) and "one entry too many" in told(np.append(0, right), right)
    square = np.array([[1.0, 2.0], [5.0, 3.0]])
    assert "a transpose" in told(square.T, square)


def test_known_mistakes_come_first():
    assert told(-RIGHT, mistakes={"you walked backwards": -RIGHT}) == "x: you walked backwards"
    assert told(RIGHT[0], mistakes={"only the first row": RIGHT[0]}) == "x: only the first row"  # of another shape
    assert told(RIGHT * np.nan, mistakes={"0 / 0": RIGHT * np.nan}) == "x: 0 / 0"
    assert "exactly the negative" in told(-RIGHT, mistakes={"something else": RIGHT + 1})


def test_a_mistake_without_effect_is_not_reported():
    grading.same(RIGHT, RIGHT, mistakes={"not this one": RIGHT})
    assert "square" not in told(np.array([0.0, 1.0, 3.0]), np.array([0.0, 1.0, 1.0]))  # there, right ** 2 is right


def test_tolerance():
    grading.same(1.0005, 1.0, rtol=1e-3)
    assert "expected 1" in told(1.002, 1.0, rtol=1e-3)


def test_parts():
    assert grading.parts((1, 2), "y", "back") == (1, 2) and grading.parts([1], "y") == [1]
    for got, words in ((None, "nothing came back"), (3.0, "one float came back"), ((1, 2, 3), "3 things came back")):
        with pytest.raises(grading.WrongAnswer, match=words) as error:
            grading.parts(got, "y", "back")
        assert "expected `return y, back`" in str(error.value)


def test_a_guarded_answer_reads_its_arrays_and_cannot_write_into_them():
    def doubled(x, out=None):
        if out is not None:
            out *= 2
        return 2 * x

    x = np.ones(3)
    f = grading.guarded(doubled)
    grading.same(f(x), [2, 2, 2])
    with pytest.raises(grading.WrongAnswer, match="doubled writes into an array that it is given"):
        f(x, out=x)
    grading.same(x, [1, 1, 1])
    assert x.flags.writeable and grading.guarded(f) is f and f.__name__ == "doubled"
    frozen = np.ones(3)
    frozen.flags.writeable = False
    f(frozen)
    assert not frozen.flags.writeable


def test_a_guarded_answer_raises_what_it_raises_and_is_a_function():
    def fails(x):
        raise ValueError("other")

    with pytest.raises(ValueError, match="other"):
        grading.guarded(fails)(np.ones(2))
    for thing, words in ((None, "tanh is None"), (3, "tanh is an int, expected a function"), ([], "tanh is a list")):
        with pytest.raises(grading.WrongAnswer, match=words):
            grading.guarded(thing, name="tanh")


def test_what_an_answer_raises_is_shown_as_a_sentence_and_the_lines_of_the_answer():
    """As Jupyter shows it: no frame of the tests, none of the library."""

    def mine(x):
        def back(dy):
            return dy + (1, 2)  # noqa: RUF005  (NumPy cannot add these shapes)

        return np.tnh(x) if x.ndim == 1 else x, back

    f = grading.guarded(mine, ["minidiff.ops.silu"])
    with pytest.raises(AttributeError) as caught:
        f(np.ones(2))
    first, _, *frames = caught.value._render_traceback_()
    assert first == "mine raises AttributeError: module 'numpy' has no attribute 'tnh'"
    assert len(frames) >= 1 and "in mine" in frames[0] and __file__ in frames[0] and "guarded.py" not in "".join(frames)
    with pytest.raises(ValueError, match="broadcast") as caught:
        f(np.ones((2, 1)))[1](np.ones(3))
    assert caught.value._render_traceback_()[0].startswith("mine: back raises ValueError: operands could not be broadcast")


def test_a_guarded_answer_cannot_call_the_function_it_implements():
    x, schedule = np.ones((2, 3)), Schedule.linear(10)
    without = ["minidiff.ops.softmax", "minidiff.diffusion.Schedule.log_snr"]
    answers = [
        lambda x: ops.softmax(x),
        lambda x: by_another_name(x),
        lambda x: schedule.log_snr(3),
        lambda x: gradcheck.jvp(np.tanh, [x], [x]),
        lambda x: (x, lambda dy: ops.softmax(dy)),
    ]
    for answer, name in zip(
        answers, ("ops.softmax", "ops.softmax", "Schedule.log_snr", "gradcheck.jvp", "ops.softmax"), strict=True
    ):
        with pytest.raises(grading.WrongAnswer, match=f"mine calls {name}, which does the work"):
            got = grading.guarded(answer, without, "mine")(x)
            got[1](x)
    f = grading.guarded(lambda x: ops.silu(x), without)
    grading.same(f(x)[0], ops.silu(x)[0])
    grading.same(ops.softmax(x)[0], by_another_name(x)[0])  # all is back where it was
    assert np.isfinite(schedule.log_snr(3))


@pytest.mark.parametrize("kind", [grading.WrongAnswer, gradcheck.GradientError])
def test_jupyter_shows_the_message_alone(kind, capsys):
    shell = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell()
    shell.user_ns["kind"] = kind
    shell.run_cell("def deep(n):\n    if n == 0:\n        raise kind('y: a sign')\n    deep(n - 1)\n\ndeep(5)")
    assert capsys.readouterr().out.strip() == f"{kind.__name__}: y: a sign"
