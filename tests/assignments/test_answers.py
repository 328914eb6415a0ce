"""Grades one student's answers, a test for each point:   pytest -m ch03 --answers alice.ipynb

The file is a notebook (the chapter's, or the assignment's) or a .py file with the functions. Without --answers there is
nothing to grade. docs/teachers.md says more, and how to grade a whole class.
"""

import functools

import course
import grade
import pytest


def pytest_generate_tests(metafunc):
    """A test for each point; without answers, one for each chapter, which is skipped."""
    found = []
    for number in course.numbers():
        mark, exercises = getattr(pytest.mark, f"ch{number}"), course.chapter(number).exercises
        if not metafunc.config.getoption("--answers"):
            skip = pytest.mark.skip(reason="nothing to grade: give --answers FILE")
            found.append(pytest.param(number, "", "", marks=[mark, skip], id=f"ch{number}"))
            continue
        for name, exercise in exercises.items():
            for point in exercise.points:
                found.append(pytest.param(number, name, point.name, marks=mark, id=f"ch{number}-{name}-{point.name}"))
    metafunc.parametrize(("number", "exercise", "point"), found)


@functools.cache
def graded(number, path):
    """A chapter is run once for all its points."""
    return grade.grade_file(course.chapter(number), path)


def test_point(number, exercise, point, request):
    told = graded(number, request.config.getoption("--answers"))[exercise][point]
    if told:
        pytest.fail(f"{exercise}, {point}: {told}", pytrace=False)
