"""What each of NumPy's passes over an array in cache costs: python -m benchmarks.cpu.passes

GroupNorm with SiLU is ten such passes. They say what a cheaper exponential, or fewer passes, could save.
"""

import time

import numpy as np

COUNT, REPEATS = 1 << 14, 300  # numbers of an array, 64 KiB; calls of a reading


def passes():
    """{name: function of no arguments}, each one pass over float32 arrays."""
    x = np.random.default_rng(0).standard_normal(COUNT, dtype=np.float32)
    y, z, column = np.empty_like(x), np.ones_like(x), np.ones(COUNT // 64, np.float32)
    where = (np.abs(x) * 1000).astype(np.intp)
    return {
        "add, subtract, multiply": lambda: np.multiply(x, z, out=y),
        "divide": lambda: np.divide(x, z, out=y),
        "minimum of two arrays": lambda: np.minimum(x, z, out=y),
        "minimum with a number": lambda: np.minimum(x, 1.0, out=y),
        "sum over pixels, as a product": lambda: column @ x.reshape(-1, 64),
        "exp": lambda: np.exp(x, out=y),
        "exp2": lambda: np.exp2(x, out=y),
        "tanh": lambda: np.tanh(x, out=y),
        "look up in a table": lambda: np.take(z, where, out=y, mode="clip"),
    }


def seconds(program):
    """Of one call: the least of several readings."""
    readings = []
    for _ in range(9):
        start = time.process_time()
        for _ in range(REPEATS):
            program()
        readings.append((time.process_time() - start) / REPEATS)
    return min(readings)


if __name__ == "__main__":
    for name, program in passes().items():
        print(f"{name:32} {1e9 * seconds(program) / COUNT:5.2f} ns a number")
