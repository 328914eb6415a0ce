"""Chapter 15: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import numpy as np

from minidiff import grading

# ---- 1


def mean_loss(losses):
    total = losses[0]
    for loss in losses[1:]:
        total = total + loss
    return float(total) / len(losses)


def check_one_wait():
    """one loss, two and many, in float32 and in float64: a Python float, and one wait"""
    for kind, values in ((np.float64, [-2.5]), (np.float32, [3.0, -3.0]), (np.float64, [k**2 / 7 for k in range(20)])):
        losses, got = [Far(kind(value)) for value in values], []
        waits = count(lambda losses=losses, got=got: got.append(mean_loss(losses)))[2]
        if not isinstance(got[0], float):
            raise grading.WrongAnswer(f"the mean is a {type(got[0]).__name__}, expected a Python float")
        grading.same(got[0], np.mean(values), f"the mean of {len(values)}")
        grading.same(waits, 1, f"how often it waits for the mean of {len(values)}")
        grading.same([float(loss) for loss in losses], values, "the losses afterwards")


# ---- 2


def add_bias(block, thread, threads, shared, x, bias, y):
    i = block * threads + thread
    if i < len(x):
        y[i] = x[i] + bias[i % len(bias)]
    yield


def check_other_launches():
    """one number, one channel, blocks of one thread, blocks too many, too few, and in another order"""
    for size, channels, blocks, threads in ((1, 1, 1, 1), (9, 1, 3, 3), (10, 5, 10, 1), (6, 3, 5, 4), (20, 4, 3, 6)):
        rng = np.random.default_rng(size)
        x, bias, y = rng.standard_normal(size), rng.standard_normal(channels), np.full(size, 50.0)
        launch(add_bias, blocks, threads, x, bias, y)
        right = (x.reshape(-1, channels) + bias).reshape(-1)
        right[blocks * threads :] = 50.0
        grading.same(y, right, f"y, {blocks} blocks of {threads} threads for {size} numbers")
    y = np.zeros(8)
    for block in (1, 0):
        for thread in (2, 0, 1):
            list(add_bias(block, thread, 3, None, np.arange(8.0), np.array([10.0, 20.0]), y))
    grading.same(y, [10.0, 21, 12, 23, 14, 25, 0, 0], "y, where block 1 runs first, of 3 threads, and block 2 does not")


# ---- 3


def at_best(moved, operations, bandwidth, peak):
    return max(moved / bandwidth, operations / peak)


def check_both_sides():
    """where memory decides, where arithmetic does, where they are even, and where there is nothing to do"""
    for job, right in (
        ((2e9, 8e9, 1e12, 4e12), 0.002), ((3e9, 0.0, 1.5e12, 1e13), 0.002), ((0.0, 5e12, 1e12, 2e13), 0.25), ((0, 0, 1, 1), 0),
        ((1, 100, 4, 1000), 0.25), ((1, 300, 4, 1000), 0.3), ((7, 3, 2, 4), 3.5), ((3, 7, 4, 2), 3.5),
    ):  # fmt: skip
        grading.same(at_best(*job), right, "seconds of {} bytes and {} operations, at {} and {} a second".format(*job), atol=0)


# ---- 4


def record_noise(x, normals):
    record = Recorder()
    noise = record(normals, out=np.empty(x.shape))
    record(np.add, x, noise)
    return record


def check_each_replay():
    """a table: each replay draws once and adds to x as it then is, and x stays what it was"""
    drawn, x = [], np.arange(6.0).reshape(2, 3)

    def normals(out):
        drawn.append(out.shape)
        out[...] = np.cos(len(drawn) * np.arange(1.0, 7)).reshape(2, 3)
        return out

    record = record_noise(x, normals)
    for number in range(5):
        x[...] = number * np.arange(6.0).reshape(2, 3)  # a new batch, in the old place
        before = len(drawn)
        record.replay()
        grading.same(len(drawn) - before, 1, f"draws in replay {number + 1}")
        right = x + np.cos(len(drawn) * np.arange(1.0, 7)).reshape(2, 3)
        grading.same(record.jobs[-1][2], right, f"the last job's result in replay {number + 1}")
        grading.same(x, number * np.arange(6.0).reshape(2, 3), "x after it")
    grading.same(drawn, [(2, 3)] * len(drawn), "the shapes that were drawn")
