"""Train the models of the playground with `minidiff train` and put them into the package, in float16.

    python scripts/ship_playground.py --runs runs/playground              about 20 minutes on one core
    python scripts/ship_playground.py --runs runs/playground digits       one model; a run that is complete is not repeated

Also writes the points that the page draws beside the samples.
"""

import argparse
from pathlib import Path

import numpy as np
from safetensors.numpy import save as to_bytes

from minidiff import cli, data, runs
from minidiff.files import write_whole
from minidiff.playground.models import PAGE, POINTS, names, path_of
from minidiff.training import checkpoint

PLANE = "--steps 12000 --set model.width=64 --set data.n=50000"
DIGITS = "--steps 4000 --set model.block_out_channels=[24,48] --set model.attention_head_dim=24"
DRAWN = 4000  # points of each data set: half are compared with samples, half say how far two draws are apart


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="models to train (default: all)")
    parser.add_argument("--runs", default="runs/playground", help="folder of the runs (default: runs/playground)")
    arguments = parser.parse_args()
    for name in arguments.names or names():
        folder = Path(arguments.runs) / name
        if not (folder / "loss.png").exists():  # written last
            train(name, folder)
        ship(name, folder)
    write_whole(PAGE / "models" / "points.safetensors", [to_bytes(points())])


def train(name, folder):
    """The run of one model."""
    words = DIGITS.split() if name == "digits" else PLANE.split()
    if name == "digits":
        kind, options = "digits", []
    else:
        kind, process, predicts = name.split("-")
        options = ["--schedule", process, "--predicts", predicts]
    command = ["train", "--data", kind, *options, *words, "--out", str(folder), "--overwrite", "--no-progress"]
    print("minidiff", *command)
    if cli.main(command):
        raise SystemExit(1)


def ship(name, folder):
    """The averaged weights of a run as float16, with the run's configuration."""
    found = checkpoint.load(runs.find_checkpoint(folder))
    narrow = {key: value.astype(np.float16) for key, value in (found.ema or found.weights).items()}
    checkpoint.save(path_of(name), narrow, step=found.step, random=found.random, config={"run": found.config["run"]})


def points():
    """{data set: points (DRAWN, 2) float16, data set + ".labels": uint8 (DRAWN,)}, none of them trained on."""
    drawn = {}
    for name in POINTS:
        where, labels = data.load(name, split="test", n=DRAWN)
        drawn |= {name: where.astype(np.float16), f"{name}.labels": labels.astype(np.uint8)}
    return drawn


if __name__ == "__main__":
    main()
