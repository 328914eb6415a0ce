"""Put a run of `minidiff study dit` into the package: float16 weights, and a card that says what they can.

    python scripts/ship_run.py runs/studies/dit/dit/0

The card's figures are measured here, with the model as it ships: opened from the float16 file.
"""

import argparse

import numpy as np

from minidiff import runs
from minidiff.files import write_whole
from minidiff.studies import Options, digits, dit
from minidiff.training import checkpoint


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="the folder of a trained run")
    parser.add_argument("--samples", type=int, default=1000, help="samples to measure for each weight (default: 1000)")
    arguments = parser.parse_args()
    path = runs.SHIPPED / "checkpoint.safetensors"
    found = checkpoint.load(runs.find_checkpoint(arguments.run))
    narrow = {name: value.astype(np.float16) for name, value in (found.ema or found.weights).items()}
    checkpoint.save(path, narrow, step=found.step, random=found.random, config={"run": found.config["run"]})
    text = card(path, arguments.samples)
    write_whole(runs.SHIPPED / "README.md", [text.encode()])
    print(text)


def card(path, n):
    """The text of the card."""
    saved, judge = runs.open_run(path, processes=None), dit.Judge(Options())
    lines = [
        "# mnist", "", "A diffusion transformer that draws the digits of MNIST, 28 x 28, by class.", "",
        f"Made by `minidiff study dit` (training seed {saved.kept['train']['seed']}, {saved.checkpoint.step:,} steps, "
        f"{saved.denoiser.model.size():,} parameters) and `python scripts/ship_run.py runs/studies/dit/dit/0`: "
        f"{path.stat().st_size / 1e6:.2f} MB. `minidiff sample` uses it when no run is given.", "",
        f"{n:,} samples by DPM-Solver++(2M), at most {dit.EVALUATIONS} evaluations of the network for each image:", "",
        "| guidance weight | steps | read as the class asked for | Fréchet distance to the test set |", "|--:|--:|--:|--:|",
    ]  # fmt: skip
    for weight in dit.WEIGHTS:
        seen = judge.look(dit.draw_samples(saved.denoiser, saved.kept["shape"], n, weight, 0), digits.asked_classes(n))
        lines.append(f"| {weight:g} | {dit.steps_at(weight)} | {seen['accuracy']:.1%} | {seen['frechet']:.2f} |")
    real = judge.real(n)
    lines += ["", f"The classifier reads {real['accuracy']:.1%} of the test set correctly. The Fréchet distance between the "
              f"training digits and the test set is {real['frechet']:.2f}.", ""]  # fmt: skip
    return "\n".join(lines)


if __name__ == "__main__":
    main()
