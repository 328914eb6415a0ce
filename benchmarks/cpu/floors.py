"""What the machine itself needs: the bare matrix products of an op, or its bytes at the speed of memory."""

import numpy as np

from minidiff.thread_team import get_threads, share

CACHED = 256  # rows: with these the operands of one product stay in a core's cache


def product_floor(M, K, N):
    """A function that does the products of an (M, K) by (K, N) and nothing else, a cached block at a time, on all threads."""
    a, b = np.ones((CACHED, K), np.float32), np.ones((K, N), np.float32)
    blocks, lanes = max(1, M // CACHED), get_threads()
    outs = [np.empty((CACHED, N), np.float32) for _ in range(lanes)]

    def lane(i):
        for _ in range(i, blocks, lanes):
            np.matmul(a, b, out=outs[i])

    return lambda: share(lane, min(lanes, blocks))


def bytes_floor(read, written):
    """A function that copies half of so many bytes, so that as many go over the memory bus, on all threads."""
    lanes = get_threads()
    half = (read + written) // 2 // lanes
    a, b = np.ones((lanes, half), np.uint8), np.empty((lanes, half), np.uint8)

    def lane(i):
        np.copyto(b[i], a[i])

    return lambda: share(lane, lanes)
