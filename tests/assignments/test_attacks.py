"""What a hand-in tries against scripts/grade.py: no point is forged, and whatever breaks costs that student alone."""

import csv
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import course
import grade
import pytest
from grader import lockdown

ROOT = Path(__file__).parent.parent.parent
CHAPTER = course.chapter("01")
RIGHT = CHAPTER.exercises["tanh"].answer
locked = pytest.mark.skipif(not lockdown.landlock_version(), reason="this system has no Landlock")

FORGED = {  # each earns nothing for `tanh`
    "writes into inherited pipes": """
        import os, struct
        def tanh(x):
            for file in range(3, 64):
                for text in (b'{"message": ""}', struct.pack("<Q", 4) + b"null"):
                    try:
                        os.write(file, text)
                    except OSError:
                        pass
            os._exit(0)
        """,
    "patches the comparison": """
        import builtins, json
        import numpy as np
        from minidiff import grading, gradcheck
        grading.same = gradcheck.check = lambda *a, **k: None
        np.allclose = np.isclose = np.array_equal = lambda *a, **k: True
        json.dumps = lambda *a, **k: '{"message": ""}'
        builtins.compile = lambda *a, **k: None
        def tanh(x):
            return x, lambda dy: dy
        """,
    "is equal to everything": """
        class Anything(float):
            def __eq__(self, other): return True
            __ne__ = __lt__ = __gt__ = lambda self, other: False
            __hash__ = None
            def __array_ufunc__(self, *a, **k): return Anything()
            __array_priority__ = 1e9
            def __sub__(self, other): return Anything()
            __rsub__ = __mul__ = __rmul__ = __sub__
        def tanh(x):
            return Anything(), lambda dy: Anything()
        """,
    "an array that reads its caller": """
        import sys
        class Reads:
            def __array__(self, dtype=None, copy=None):
                frame = sys._getframe()
                while frame:
                    for name in ("right", "expected", "y"):
                        if name in frame.f_locals and hasattr(frame.f_locals[name], "shape"):
                            return frame.f_locals[name]
                    frame = frame.f_back
                raise ValueError("nothing to read")
        def tanh(x):
            return Reads(), lambda dy: Reads()
        """,
    "looks for the answer in memory": """
        import gc, linecache, sys
        gc.unfreeze()
        def everything():
            yield from (line for entry in linecache.cache.values() for line in entry[2])
            frame = sys._getframe()
            while frame:
                yield from (v for v in [*frame.f_locals.values(), *frame.f_globals.values()] if isinstance(v, str))
                frame = frame.f_back
            for thing in gc.get_objects():
                if isinstance(thing, dict):
                    yield from [v for v in list(thing.values()) if isinstance(v, str)]
                elif isinstance(thing, list):
                    yield from [v for v in thing if isinstance(v, str)]
        def tanh(x):
            words = "dy * (1 - " + "y * y)"
            if any(words in text and len(text) > 40 for text in everything()):
                import numpy as np
                y = np.tanh(x)
                return y, lambda dy: dy * (1 - y**2)
            raise ValueError("not found")
        """,
    "takes the tests' own gradient": """
        import minidiff.ops
        def tanh(x):
            import course
            space = {}
            exec(course.chapter("01").exercises["tanh"].answer, {"np": minidiff.ops.np}, space)
            return space["tanh"](x)
        """,
}
LOCKED = {  # held by Landlock
    "opens the answers' file": f"""
        def tanh(x):
            space = {{}}
            exec(open({str(course.ANSWERS / "01.py")!r}).read().split("def check")[0], space)
            return space["tanh"](x)
        """,
    "asks a shell": f"""
        import subprocess
        def tanh(x):
            space = {{}}
            text = subprocess.run(["cat", {str(course.ANSWERS / "01.py")!r}], capture_output=True, text=True)
            exec(text.stdout.split("def check")[0], space)
            return space["tanh"](x)
        """,
    "kills its parent": """
        import os, signal
        def tanh(x):
            os.kill(os.getppid(), signal.SIGKILL)
        """,
    "stops its parent": """
        import os, signal
        def tanh(x):
            os.kill(os.getppid(), signal.SIGSTOP)
        """,
    "leaves a file": f"""
        def tanh(x):
            open({str(ROOT / "left-by-an-answer")!r}, "w").write("x")
            import numpy as np
            y = np.tanh(x)
            return y, lambda dy: dy * (1 - y * y)
        """,
}
HEAVY = {  # costs its own points
    "50 MB of output": """
        def tanh(x):
            for _ in range(50):
                print("x" * 2**20)
            raise ValueError("so much to say")
        """,
    "a value of 100 MB": """
        import numpy as np
        def tanh(x):
            return np.zeros(2**24 + 2**20), lambda dy: dy
        """,
    "100 children": """
        import os, time
        def tanh(x):
            for _ in range(100):
                if os.fork() == 0:
                    os.setsid()
                    time.sleep(600)
        """,
    "memory without end": """
        import numpy as np
        def tanh(x):
            kept = [np.empty(15 * 2**28, np.uint8)]  # most of what it may have, not yet written, which would take seconds
            while True:
                kept.append(bytearray(2**26))
        """,
    "nests its answer": """
        def tanh(x):
            deep = []
            for _ in range(100_000):
                deep = [deep]
            return deep, lambda dy: dy
        """,
    "contains itself": """
        def tanh(x):
            deep = []
            deep.append(deep)
            return deep, deep
        """,
    "ends at once": """
        import os
        os._exit(0)
        def tanh(x): return 1
        """,
    "recurses": """
        def tanh(x):
            return tanh(x)
        """,
    "nests its source": "def tanh(x): return " + "(" * 10_000 + ")" * 10_000,
}


@pytest.fixture(scope="module")
def grader():
    with grade.Grader(CHAPTER, seconds=2) as made:
        yield made


def children(grader):
    """How many processes the grader's process has left."""
    return subprocess.run(["pgrep", "-c", "-P", str(grader.process.pid)], capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize(
    "source",
    [
        *(pytest.param(textwrap.dedent(text), id=name) for name, text in {**FORGED, **HEAVY}.items()),
        *(pytest.param(textwrap.dedent(text), id=name, marks=locked) for name, text in LOCKED.items()),
    ],
)
def test_an_attack_gets_no_points_and_the_next_student_gets_all(grader, source):
    process = grader.process
    found = grader.exercise("tanh", [source])
    assert all(found.values()), found
    assert all(len(told) < 5000 for told in found.values())
    assert grader.process is process, "the grader had to be started again"
    assert children(grader) == "0"
    assert not (ROOT / "left-by-an-answer").exists()
    assert not any(grader.exercise("tanh", [RIGHT]).values())


def test_a_grader_that_was_killed_starts_again(grader):
    grader.process.kill()
    found = grader.exercise("tanh", [RIGHT])
    assert list(found.values()).count(None) == len(found) - 1 and "killed" in found["visible"]
    assert not any(grader.exercise("tanh", [RIGHT]).values())


BROKEN = {
    "list": "[]",
    "number": "1",
    "text": "not a notebook",
    "null": '{"cells": null}',
    "null_cells": '{"cells": [null, 3, {"cell_type": "code"}, {"cell_type": "code", "source": {"a": 1}}]}',
    "deep": "[" * 100_000 + "]" * 100_000,
    "deep_cell": json.dumps({"cells": [{"cell_type": "code", "source": "tanh = " + "-" * 50_000 + "1"}]}),
    "surrogate": json.dumps({"cells": [{"cell_type": "code", "source": "tanh = '\ud800'"}]}),
    "bytes": b"\xff\xfe\x00",
    "empty": "",
}


def test_an_unreadable_submission_gets_no_points_and_the_table_is_complete(tmp_path):
    for name, text in BROKEN.items():
        (tmp_path / f"{name}.ipynb").write_bytes(text if isinstance(text, bytes) else text.encode())
    (tmp_path / "folder.ipynb").mkdir()
    (tmp_path / "zoe.py").write_text("import numpy as np\n\n\n" + RIGHT, encoding="utf-8")
    files = [*(f"{name}.ipynb" for name in BROKEN), "folder.ipynb", "missing.ipynb", "zoe.py"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "grade.py"), "01", *files, "--csv", "grades.csv", "--seconds", "5"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with (tmp_path / "grades.csv").open() as file:
        points = {(row["student"], row["exercise"]): int(row["points"]) for row in csv.DictReader(file)}
    assert {student for student, _ in points} == {*BROKEN, "folder", "missing", "zoe"}
    assert {key for key, got in points.items() if got} == {("zoe", "tanh")}
    assert points["zoe", "tanh"] == len(CHAPTER.exercises["tanh"].points)
