"""Does the grading grade?  Right answers, stubs, and wrong answers that students write, in every chapter.

tests/assignments/wrong/NN.toml lists the wrong ones: what each loses, and words that must be in what the student is told.
"""

import tomllib
from pathlib import Path

import course
import grade
import pytest

from minidiff import guarded

WRONG = Path(__file__).parent / "wrong"
AT_LEAST = 6  # wrong answers for each exercise
IN_ALL = 500


def wrong_answers(number):
    return tomllib.loads((WRONG / f"{number}.toml").read_text(encoding="utf-8"))["wrong"]


def written(chapter, wrong):
    """The source of a wrong answer."""
    if "answer" in wrong:
        return wrong["answer"]
    right = chapter.exercises[wrong["of"]].answer
    assert right.count(wrong["old"]) == 1, (
        f"{wrong['name']}: {wrong['old']!r} stands {right.count(wrong['old'])} times in\n{right}"
    )
    return right.replace(wrong["old"], wrong["new"])


@pytest.mark.parametrize("number", course.numbers())
def test_the_reference_gets_all_points_and_a_wrong_answer_loses_its_own(number, count):
    """The reference all points, the stub none, and every wrong answer loses just the points it should, and is told why."""
    chapter, listed = course.chapter(number), wrong_answers(number)
    for name in chapter.exercises:
        assert sum(wrong["of"] == name for wrong in listed) >= AT_LEAST, f"{name} has too few wrong answers"
    jobs = [(name, exercise.answer) for name, exercise in chapter.exercises.items()]
    jobs += [(name, exercise.stub) for name, exercise in chapter.exercises.items()]
    jobs += [(name, "") for name in chapter.exercises]  # the cell deleted
    jobs += [(wrong["of"], written(chapter, wrong)) for wrong in listed]
    found = iter(grade.grade(chapter, jobs))
    faults = []
    for name in chapter.exercises:
        faults += [f"right {name} loses {point}: {told}" for point, told in next(found).items() if told]
    for what in ("stub", "nothing"):
        for name in chapter.exercises:
            faults += [f"{what} of {name} gets {point}" for point, told in next(found).items() if not told]
    for wrong in listed:
        if set(wrong["loses"]) <= {course.VISIBLE}:
            faults.append(f"{wrong['of']}, {wrong['name']}: no hidden test sees it")
        told = {point: message for point, message in next(found).items() if message}
        if sorted(told) != sorted(wrong["loses"]) or wrong["says"] not in "\n".join(told.values()):
            faults.append(f"{wrong['of']}, {wrong['name']}: expected {wrong['loses']} and {wrong['says']!r}, got {told}")
    assert not faults, "\n".join(faults)
    count("graded", len(listed))
    count("asked", len(chapter.exercises))


def test_there_are_enough_wrong_answers_in_all():
    assert sum(len(wrong_answers(number)) for number in course.numbers()) >= IN_ALL


def test_an_endless_loop_and_a_crash_lose_only_their_own_points(tmp_path):
    chapter = course.chapter("01")
    loop = "def tanh(x):\n    while True:\n        try:\n            pass\n        except BaseException:\n            pass\n"
    dies = "def tanh(x):\n    import os\n    os._exit(0)\n"
    leaves = "import sys\n\n\ndef tanh(x):\n    sys.exit(0)\n"
    jobs = [("tanh", loop), ("tanh", dies), ("tanh", leaves), ("softmax", chapter.exercises["softmax"].answer)]
    stopped, died, left, right = grade.grade(chapter, jobs, seconds=1)
    assert all("endless loop" in told for told in stopped.values())
    assert all("died" in told for told in died.values())
    assert all("SystemExit" in told for told in left.values())
    assert not any(right.values())


@pytest.mark.parametrize("number", course.numbers())
def test_forbidden_calls_exist(number):
    """Names of the package resolve; names without a dot are functions of the chapter."""
    chapter = course.chapter(number)
    text = "\n".join(text for kind, text, _ in chapter.cells if kind == "code")
    for exercise in chapter.exercises.values():
        for name in exercise.without:
            if "." in name:
                assert guarded.resolve(name, {}), name
            else:
                assert f"def {name}(" in text, name
