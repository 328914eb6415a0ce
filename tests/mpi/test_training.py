"""Training, sampling and features on 2 and 3 ranks of a real mpiexec: the numbers of one process.

The right values are those of the same program without mpiexec. Ranks add up the gradients of other parts of the rows, so the
rounding differs; the bounds are those that docs/scaling.md states.
"""

import csv
from pathlib import Path

import numpy as np
import pytest

from minidiff.training import load

PROGRAM = Path(__file__).with_name("program.py")


def read(path):
    with np.load(path) as found:
        return dict(found)


@pytest.fixture(scope="module")
def found(mpirun, tmp_path_factory):
    """found(what, ranks) -> folder with what this many ranks found; each job runs once"""
    done = {}

    def run(what, ranks, again=0):
        if (what, ranks, again) not in done:
            folder = done[what, ranks, again] = tmp_path_factory.mktemp(f"{what}{ranks}")
            end = mpirun(ranks, PROGRAM, what, folder)
            assert end.returncode == 0, end.stderr
        return done[what, ranks, again]

    return run


def apart(got, want):
    """The relative distance of two arrays, in the Euclidean norm: where a gradient is nearly zero, Adam turns its rounding
    into a step, so single weights may differ by more."""
    return np.linalg.norm(got - want) / np.linalg.norm(want)


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-12), ("float32", 1e-5)])
def test_losses_and_weights_after_50_steps_are_those_of_one_process(found, ranks, dtype, bound):
    one, several = (read(found("train", n) / f"{dtype}.npz") for n in (1, ranks))
    assert np.abs(several["loss"] / one["loss"] - 1).max() < bound
    for name in ("weights", "average"):
        assert apart(several[name], one[name]) < bound, name


@pytest.mark.parametrize("ranks", [2, 3])
def test_other_losses_small_batches_and_students_give_the_weights_of_one_process(found, ranks):
    one, several = (read(found("ways", n) / "ways.npz") for n in (1, ranks))
    assert {name: apart(several[name], one[name]) < 1e-12 for name in one} == dict.fromkeys(one, True)


def test_nan_in_the_rows_of_one_rank_stops_all_ranks_at_that_step(found):
    told = [(found("nan", 3) / f"rank{i}.txt").read_text() for i in range(3)]
    assert told == ["3, the loss, gradients 0.0"] * 3


def test_the_same_number_of_ranks_gives_the_same_bits(found):
    for dtype in ("float64", "float32"):
        first, second = (read(found("train", 3, again) / f"{dtype}.npz") for again in (0, 1))
        assert all(np.array_equal(first[name], second[name]) for name in ("loss", "weights", "average"))


def test_a_run_resumes_on_another_number_of_ranks(mpirun, tmp_path):
    for folder, plan in (("whole", [(1, 12)]), ("parts", [(2, 5), (3, 8), (1, 12)])):
        start = 0
        for ranks, until in plan:
            end = mpirun(ranks, PROGRAM, "run", tmp_path / folder, until, 12)
            assert end.returncode == 0, end.stderr
            assert end.stderr.count(f"{start}/{until} [00:00<?") == 1  # rank 0 alone draws a bar
            start = until
    whole, parts = (load(tmp_path / name / "checkpoint.safetensors") for name in ("whole", "parts"))
    assert parts.step == whole.step == 12
    assert max(apart(parts.weights[name], whole.weights[name]) for name in whole.weights) < 1e-10
    rows = [[*csv.DictReader((tmp_path / name / "log.csv").read_text().splitlines())] for name in ("whole", "parts")]
    assert [row["step"] for row in rows[1]] == [str(i) for i in range(1, 13)]
    for one, other in zip(*rows, strict=True):
        assert float(other["loss"]) == pytest.approx(float(one["loss"]), rel=1e-12)


@pytest.mark.parametrize("ranks", [2, 3])
def test_samples_and_features_are_gathered_in_order(found, ranks):
    one, several = (read(found("draw", n) / "draw.npz") for n in (1, ranks))
    assert np.abs(several["images"] - one["images"]).max() < 1e-5 and np.abs(several["few"] - one["few"]).max() < 1e-5
    shared = read(found("draw", ranks) / "features.npz")["shared"]
    assert shared.shape == one["features"].shape and apart(shared, one["features"]) < 1e-5


@pytest.mark.parametrize("ranks", [2, 3])
def test_two_passes_through_one_model_add_up(found, ranks):
    one, several = (read(found("twice", n) / "twice.npz") for n in (1, ranks))
    assert apart(several["grads"], one["grads"]) < 1e-13 and several["call"] == one["call"] > 0


def test_an_error_in_one_part_reaches_every_rank_and_leaves_nothing_behind(found):
    told = [(found("errors", 3) / f"rank{i}.txt").read_text().splitlines() for i in range(3)]
    assert told[0] == told[1] == told[2]
    assert told[0] == [
        "raise: RuntimeError: rank 2 failed: ValueError: x: got 5",
        "sum: ValueError: the module gave an array of shape (1,) for 2 examples, expected 2 rows",
        "back: RuntimeError: rank 2 failed: KeyError: 'no way back'",
        "fine: (6, 1) 15.0",
    ]
