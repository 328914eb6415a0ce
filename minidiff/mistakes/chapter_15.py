"""Chapter 15, costs on a GPU: known mistakes in waits, a kernel's indices, the roofline and a recording."""

import numpy as np

from ..grading import WrongAnswer, same


def mean_loss(answer):
    """answer(values): the mean of losses far away with these values, and how often it waited"""
    for values in ([1.0, 2.0, 6.0], [4.0, 1.0, 7.0, 0.0, 3.0]):
        n, total = len(values), sum(values)
        mean, waits = answer(values)
        if not isinstance(mean, float):
            raise WrongAnswer(f"the mean is a {type(mean).__name__}, expected a Python float: float(...) comes last")
        same(mean, total / n, f"the mean of {n} losses", {
            "a sum; divide by how many there are": total,
            "divided by 3, always": total / 3,
            "the last one is missing": sum(values[:-1]) / n,
            "the first one is missing": sum(values[1:]) / n,
            "the first one counts twice": (total + values[0]) / n,
            "only the last one; add them up": values[-1],
            "only the first one; add them up": values[0],
        })
        same(waits, 1, "how often it waits", {
            "each float(...) waits: add them up far away, and fetch the sum": n,
            "one fetch too many: add all of them up far away, and fetch the sum": 2,
            "after each loss the sum was fetched, and at the end again": n + 1,
        })


def add_bias(answer):
    kernel = getattr(answer, "guarded", answer)  # it is to write into y
    for size, channels, blocks, threads in ((10, 2, 3, 4), (12, 3, 2, 8), (7, 7, 1, 16)):
        x, bias, y = np.arange(float(size)) ** 2, 100.0 * np.arange(1, channels + 1), np.full(size, -1.0)
        launch(kernel, blocks, threads, x, bias, y)
        mine = np.arange(size)
        right = x + bias[mine % channels]
        same(y, right, f"y, {blocks} blocks of {threads} threads", {
            "the channel is i % len(bias): channels are side by side": x + bias[mine * channels // size],
            "the channel is that of the thread; it is that of its number i": x + bias[(mine % threads) % channels],
            "the channel is that of the block; it is that of its number i": x + bias[(mine // threads) % channels],
            "always the first bias": x + bias[0],
            "x is missing": right - x,
            "the bias is missing": x,
            "the bias is subtracted": 2 * x - right,
            "added to what stood in y; y is to be written": right - 1,
            "nothing was written": np.full(size, -1.0),
            "only the first block's numbers were written: i = block * threads + thread": np.where(mine < threads, right, -1),
            "threads and blocks have changed places: i = block * threads + thread": np.where(
                np.isin(mine, np.add.outer(np.arange(threads) * threads, np.arange(blocks))), right, -1),
            "the last number is missing: i runs to len(x) - 1": np.where(mine < size - 1, right, -1),
        })


    x, y = np.arange(6.0), np.full(6, -1.0)
    launch(kernel, 1, 2, x, np.array([10.0]), y)
    same(y, [10.0, 11.0, -1.0, -1.0, -1.0, -1.0], "y, where 1 block of 2 threads was launched for 6 numbers", {
        "each thread writes every number; one thread does one": x + 10,
    })


def launch(kernel, blocks, threads, x, bias, y):
    """The kernel's threads, one after the other, each to its end."""
    for block in range(blocks):
        for thread in range(threads):
            at = kernel(block, thread, threads, np.full(threads, np.nan), x, bias, y)
            try:
                if not hasattr(at, "__next__"):
                    raise WrongAnswer("a thread is no generator: end the kernel with `yield`")
                for _ in at:
                    pass
            except IndexError:
                i = block * threads + thread
                raise WrongAnswer(
                    f"thread {thread} of block {block} reaches outside an array; the threads with i >= len(x) do nothing"
                    if i >= len(x)
                    else f"thread {thread} of block {block} reaches outside an array; its number is i = {i}"
                ) from None


def at_best(answer):
    jobs = np.array([[6e9, 1e12, 3e12, 6e13], [6e9, 1e10, 2e12, 1e13], [1e12, 3e13, 1e12, 1e13]])
    moved, operations, bandwidth, peak = jobs.T
    a, b = moved / bandwidth, operations / peak
    same([answer(*job) for job in jobs.tolist()], np.maximum(a, b), "seconds of three jobs", {
        "bytes and operations run at the same time: not their sum": a + b,
        "the slower of the two decides, not the faster": np.minimum(a, b),
        "memory alone: arithmetic may take longer": a,
        "arithmetic alone: memory may take longer": b,
        "upside down: seconds are bytes divided by bytes a second": np.maximum(1 / a, 1 / b),
        "upside down, and the faster: seconds are bytes divided by bytes a second": np.minimum(1 / a, 1 / b),
        "this is the mean of the two": (a + b) / 2,
        "bandwidth and peak have changed places": np.maximum(moved / peak, operations / bandwidth),
        "this is how many operations a second it does": operations / np.maximum(a, b),
        "multiplied; seconds are bytes divided by bytes a second": np.maximum(moved * bandwidth, operations * peak),
        "the root of the squares, as for lengths; the slower of the two decides": np.sqrt(a**2 + b**2),
    }, atol=0)


def record_noise(answer):
    drawn, x = [], np.array([10.0, 20.0, 30.0, 40.0])

    def normals(out):
        drawn.append(1)
        out[...] = len(drawn)
        return out

    record = answer(x, normals)
    if not hasattr(record, "replay"):
        raise WrongAnswer(f"a {type(record).__name__} came back, expected the Recorder")
    before, seen = len(drawn), []
    for _ in range(3):
        record.replay()
        if not record.jobs:
            raise WrongAnswer("the recorder has no jobs: call it, record(function, ...), in place of the function")
        seen.append(np.array(record.jobs[-1][2]))
    same(len(drawn) - before, 3, "draws in three replays", {
        "the noise was drawn while recording and never again: record normals as a job": 0,
        "it draws twice in each replay": 6,
    })
    for number, got in enumerate(seen):
        noise = before + number + 1.0
        same(got, x + noise, f"the last job's result in replay {number + 1}", {
            "the last job's result is the noise alone; then add x": np.full(4, noise),
            "the noise is one replay old: draw first, then add": x + noise - 1,
            "noise is added to noise: x must not be written into": x + sum(range(1, int(noise) + 1)),
            "the noise is subtracted": x - noise,
            "multiplied; the noise is added": x * noise,
        })
    same(x, [10.0, 20.0, 30.0, 40.0], "x after the replays", {"it was written into": x})
    x[...] = 0.0
    record.replay()
    same(record.jobs[-1][2], np.full(4, before + 4.0), "the result after x became 0, in place", {
        "x was copied while recording; a job reads x itself": np.array([10.0, 20.0, 30.0, 40.0]) + before + 4,
    })
