"""Mistakes that people make in the course's exercises, and the sentence that names each of them.

    mistakes.find(tanh, "01.tanh")     nothing, or WrongAnswer("dx: dy is missing: the chain rule multiplies the slope by it")

chapter_NN.py holds one function for each exercise of a chapter. It calls the answer with small numbers and compares what comes
back with the right values and with those of known mistakes. The visible tests in the chapters call it; hidden tests, which
use other sizes, dtypes and edge values, stand beside the answers in docs/answers.
"""

import importlib

from ..grading import guarded

__all__ = ["find"]


def find(answer, exercise):
    """Nothing if answer is right for small numbers, else WrongAnswer, which names the mistake where it is a known one.

    answer: the function of a reader   exercise: "01.tanh", chapter and name

    An answer that writes into its arguments raises WrongAnswer too. Raises ValueError where there is no such exercise.
    """
    chapter, _, name = exercise.partition(".")
    try:
        tests = importlib.import_module(f".chapter_{chapter}", __name__)
        test = getattr(tests, name)
    except (ImportError, AttributeError):
        raise ValueError(f'exercise: got {exercise!r}, expected chapter and name such as "01.tanh"') from None
    test(guarded(answer, name=name))
