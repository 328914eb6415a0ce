"""Where Winograd's convolution overtakes the direct one, on one core: python -m benchmarks.cpu.crossover

Prints time of Winograd's over time of the direct one, forward and backward, and whether `winograd.pays` chooses it.
"""

import statistics
import time

from minidiff import ops, threads
from minidiff.cpu import winograd
from minidiff.rng import Rng

SIZES, BATCHES, CHANNELS = (4, 8, 16), (1, 4, 8, 16, 32, 64), (32, 64, 128, 256)
LARGEST = 1 << 19  # numbers in a batch of pictures: beyond, Winograd's is far ahead
ROUNDS = 9


def main():
    print("size  batch  channels  tiles  forward  backward  chosen")
    with threads(1):
        for size in SIZES:
            for batch in BATCHES:
                for C in CHANNELS:
                    if batch * size * size * C <= LARGEST:
                        forward, backward = ratios(batch, size, C)
                        chosen = winograd.pays(batch, size, size, 3, 3, C, C, 1)
                        wrong = "" if chosen == (forward + 2 * backward < 3) else "  wrong"
                        tiles = batch * (size // 4) ** 2
                        print(f"{size:4} {batch:6} {C:9} {tiles:6} {forward:8.2f} {backward:9.2f}  {chosen}{wrong}", flush=True)


def ratios(batch, size, C):
    """(forward, backward): medians of times over ROUNDS rounds, Winograd's over the direct one's."""
    x, w, b = (Rng(i).standard_normal(shape) for i, shape in enumerate([(batch, size, size, C), (3, 3, C, C), (C,)]))
    times, pays = {(way, step): [] for way in (True, False) for step in ("forward", "backward")}, winograd.pays
    try:
        for _ in range(ROUNDS):
            for way in (True, False):
                winograd.pays = lambda *sizes, way=way: way
                start = time.perf_counter()
                y, back = ops.conv2d(x, w, b, padding=1)
                middle = time.perf_counter()
                back(y)
                times[way, "forward"].append(middle - start)
                times[way, "backward"].append(time.perf_counter() - middle)
    finally:
        winograd.pays = pays
    return [statistics.median(times[True, step]) / statistics.median(times[False, step]) for step in ("forward", "backward")]


if __name__ == "__main__":
    main()
