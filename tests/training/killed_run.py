"""A small training run for the tests to start in a process of its own, kill, and start again.

python killed_run.py FOLDER: resumes from the folder's checkpoint if there is one and trains to the end.

python killed_run.py serve: does so in a fork for each folder read from standard input. A fork prints which moment it has
reached, also inside the writing of a file, and waits at each for a line of standard input, so that a kill can be aimed
there on a machine of any speed. Its first line is "pid N"; after its end comes "ended CODE". A fork has nothing to import.
"""

import os
import sys
from pathlib import Path

import numpy as np

from minidiff import files, models
from minidiff.nn import training_rng
from minidiff.rng import Rng
from minidiff.training import Trainer


def tell(line):
    """Write a line in one call: `print` takes two, and a kill between them would join the line to the next."""
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


def say(moment):
    tell(moment)
    os.read(sys.stdin.fileno(), 1)


class SlowFile:
    def __init__(self, path, mode):
        self.file = open(path, mode, buffering=0)
        say("opened")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, piece):
        piece, half = memoryview(piece), len(piece) // 2
        self.file.write(piece[:half])
        say("half written")
        self.file.write(piece[half:])

    def flush(self):
        say("written")

    def fileno(self):
        return self.file.fileno()


class SlowOs:
    """The os module, slower where it matters."""

    def __getattr__(self, name):
        return getattr(os, name)

    def fsync(self, handle):
        os.fsync(handle)
        say("flushed")

    def replace(self, a, b):
        say("before rename")
        os.replace(a, b)
        say("renamed")


def objective(model, x0, rng, cond=None):
    """Noise prediction, with a random factor of dropout's generator in the loss: that stream must go on exactly too."""
    eps = rng.standard_normal(x0.shape, dtype=x0.dtype)
    y, back_model = model(0.6 * x0 + 0.8 * eps, 10, cond)
    error, weight = y - eps, training_rng().random(x0.shape, dtype=x0.dtype)
    return float((weight * error * error).mean()), lambda: back_model(weight * error * (2 / error.size))


def main(folder, slow):
    callbacks = []
    if slow:
        files.open, files.os = SlowFile, SlowOs()
        callbacks = [lambda trainer: say("step")]
    points = Rng(5, stream=9).standard_normal((50, 2))
    labels = np.arange(50) % 3
    model = models.MLP(width=16, depth=1, num_class_embeds=3, rng=Rng(0))
    trainer = Trainer(
        model, objective, points, labels, steps=300, batch_size=8, lr=1e-2, warmup=10, seed=7, ema_decay=0.99,
        folder=folder, checkpoint_every=4, callbacks=callbacks,
    )  # fmt: skip
    if (Path(folder) / "checkpoint.safetensors").exists():
        trainer.resume()
    trainer.run(progress=False)


def serve():
    for line in sys.stdin:
        if not line.strip():  # meant for a fork that was killed first
            continue
        child = os.fork()
        if child == 0:
            tell(f"pid {os.getpid()}")
            main(line.strip(), slow=True)
            os._exit(0)
        tell(f"ended {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}")


if __name__ == "__main__":
    serve() if sys.argv[1] == "serve" else main(sys.argv[1], slow=False)
