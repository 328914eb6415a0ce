"""Makes minidiff/data/digits.npz, the digits that ship in the package, from scikit-learn's copy.

    pip install -e . scikit-learn
    python scripts/make_digits.py [OUT.npz]

The held-out part is 36 images of each class (360 of 1,797, about a fifth), drawn once with seed 0 and written into the
file, so that everybody's test set is the same. Writers are not told apart in this data: one person's digits may lie on
both sides. Running it again gives the same arrays.
"""

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from minidiff.rng import Rng

PER_CLASS = 36


def main(out):
    bunch = load_digits()
    images = bunch.images.astype(np.uint8)  # (1797, 8, 8), whole numbers 0 .. 16
    labels = bunch.target.astype(np.uint8)  # (1797,)
    assert (images == bunch.images).all()
    held_out = np.zeros(len(labels), dtype=bool)
    for digit in range(10):
        mine = np.flatnonzero(labels == digit)
        held_out[mine[Rng(seed=0, step=digit).permutation(len(mine))[:PER_CLASS]]] = True
    np.savez_compressed(out, images=images, labels=labels, held_out=held_out)
    print(f"{out}: {len(labels)} digits, {held_out.sum()} held out, {out.stat().st_size / 1e3:.1f} KB")


if __name__ == "__main__":
    default = Path(__file__).resolve().parent.parent / "minidiff" / "data" / "digits.npz"
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
