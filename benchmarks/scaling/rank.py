"""One measurement, run by every rank of a job:   python -m benchmarks.scaling.rank MODEL BATCH SECONDS FILE

Rank 0 writes what the fastest of the training steps took, and of which parts, into FILE. All numbers are seconds.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from minidiff.model_options import build_model, complete
from minidiff.mpi import world
from minidiff.rng import Rng
from minidiff.runs import build_objective, preset
from minidiff.training import Trainer
from minidiff.training.parallel import among_ranks

MODELS = {  # name: the preset, and the shape of its images
    "digits": ("digits", (8, 8, 1)),
    "mnist": ("mnist", (28, 28, 1)),
    "cifar10": ("cifar10", (32, 32, 3)),
}
EXAMPLES, CLASSES = 256, 10
WARM_UP, LEAST = 2, 3  # steps


def trainer(name, batch):
    """A Trainer of random images, as `minidiff train` makes it for this preset without its schedule of samples."""
    data, shape = MODELS[name]
    config = preset(data)
    options = {key: value for key, value in vars(config.train).items() if not key.endswith("_every")}
    net = build_model(complete(config.model, shape, CLASSES))
    images = Rng(0).standard_normal((EXAMPLES, *shape)).clip(-1, 1)
    labels, options = np.arange(EXAMPLES) % CLASSES, options | {"batch_size": batch}
    return Trainer(among_ranks(net), build_objective(config), images, labels, **options)


def measured(name, batch, seconds):
    """What the fastest step took, and its allreduces: other programs only make a step slower."""
    t, travel = trainer(name, batch), {"add": 0.0}
    if t.ranks.size > 1:
        messages = t.model.engine_of_ranks().messages
        messages.add = timed_into(travel, "add", messages.add)
    for _ in range(WARM_UP):
        t.step()
    steps, end = [], time.perf_counter() + seconds
    while t.ranks.first(lambda: len(steps) < LEAST or time.perf_counter() < end):
        travel["add"], start = 0.0, time.perf_counter()
        t.step()
        steps.append({"step": time.perf_counter() - start, **travel})
    row = {"model": name, "ranks": t.ranks.size, "batch": batch, "steps": len(steps), "parameters": t.model.size(),
           "allreduce_bytes": 4 * t.arena.size}  # fmt: skip
    if t.ranks.size == 1:
        row["checkpoint"] = seconds_of_a_checkpoint(t)
    return row | min(steps, key=lambda step: step["step"])


def seconds_of_a_checkpoint(t):
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        t.save(Path(folder) / "checkpoint.safetensors")
        return time.perf_counter() - start


def timed_into(found, what, function):
    """The function, which adds the seconds of each call to found[what]."""

    def call(*arguments):
        start = time.perf_counter()
        result = function(*arguments)
        found[what] += time.perf_counter() - start
        return result

    return call


def allreduce(sizes=(1 << 10, 1 << 14, 1 << 17, 1 << 20, 1 << 22, 1 << 24, 1 << 26)):
    """[(bytes, seconds of an allreduce)], the fastest of several, which no other program disturbed."""
    from mpi4py import MPI

    rows = []
    for size in sizes:
        flat, best = np.ones(size // 4, np.float32), []
        for _ in range(12):
            world().comm.Barrier()
            start = time.perf_counter()
            world().comm.Allreduce(MPI.IN_PLACE, flat)
            best.append(time.perf_counter() - start)
            flat.fill(1)
        rows.append((size, min(best)))
    return rows


def main(name, batch, seconds, file):
    row = {"allreduce": allreduce()} if name == "allreduce" else measured(name, int(batch), float(seconds))
    if world().is_first:
        Path(file).write_text(json.dumps(row))


if __name__ == "__main__":
    main(*sys.argv[1:])
