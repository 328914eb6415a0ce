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
    """the right number, a Python float, and one wait whatever their number"""
    values = [4.0, 1.0, 7.0, 0.0, 3.0]
    losses, got = [Far(np.float32(v)) for v in values], []
    waits = count(lambda: got.append(mean_loss(losses)))[2]
    if not isinstance(got[0], float):
        raise grading.WrongAnswer(f"the mean is a {type(got[0]).__name__}, expected a Python float: float(...) comes last")
    grading.same(got[0], 3.0, "the mean", {"a sum; divide by how many there are": 15.0, "divided by 3, always": 5.0})
    grading.same(waits, 1, "how often it waits", {
        "each float(...) waits: add them up far away, and fetch the sum": 5,
        "the first is fetched too: one wait, at the end": 2,
    })


# ---- 2


def add_bias(block, thread, threads, shared, x, bias, y):
    i = block * threads + thread
    if i < len(x):
        y[i] = x[i] + bias[i % len(bias)]
    yield


def check_other_launches():
    """other sizes, blocks and channels"""
    for size, channels, blocks, threads in ((12, 3, 2, 8), (6, 2, 3, 2), (7, 7, 1, 16)):
        x, bias, y = np.arange(float(size)) ** 2, 100.0 * np.arange(1, channels + 1), np.full(size, -1.0)
        launch(add_bias, blocks, threads, x, bias, y)
        mine = np.arange(size)
        grading.same(y, x + bias[mine % channels], f"y, {blocks} blocks of {threads} threads", {
            "the channel is i % len(bias): channels are side by side": x + bias[mine * channels // size],
            "the bias of the thread's number, not of its number's channel": x + bias[(mine % threads) % channels],
            "always the first bias": x + bias[0],
            "nothing was written": np.full(size, -1.0),
            "only the first block's numbers were written: i = block * threads + thread": np.where(
                mine < threads, x + bias[mine % channels], -1),
        })


# ---- 3


def at_best(moved, operations, bandwidth, peak):
    return max(moved / bandwidth, operations / peak)


def check_both_sides():
    """where memory decides, where arithmetic does, and where they are even"""
    jobs = np.array([[6e9, 1e12, 3e12, 6e13], [6e9, 1e10, 2e12, 1e13], [1e12, 1e13, 1e12, 1e13]])
    moved, operations, bandwidth, peak = jobs.T
    a, b = moved / bandwidth, operations / peak
    grading.same([at_best(*job) for job in jobs.tolist()], np.maximum(a, b), "seconds of three jobs", {
        "the two go on at the same time: not their sum": a + b,
        "the slower of the two decides, not the faster": np.minimum(a, b),
        "memory alone: arithmetic may take longer": a,
        "arithmetic alone: memory may take longer": b,
        "upside down: seconds are bytes divided by bytes a second": np.maximum(1 / a, 1 / b),
        "this is the mean of the two": (a + b) / 2,
    })


# ---- 4


def record_noise(x, normals):
    record = Recorder()
    noise = record(normals, out=np.empty(4))
    record(np.add, x, noise)
    return record


def check_each_replay():
    """each replay draws once and adds to x, and x stays what it was"""
    drawn, x = [], np.array([10.0, 20.0, 30.0, 40.0])

    def normals(out):
        drawn.append(1)
        out[...] = len(drawn)
        return out

    record = record_noise(x, normals)
    before = len(drawn)
    seen = []
    for _ in range(3):
        record.replay()
        seen.append(np.array(record.jobs[-1][2]))
    grading.same(len(drawn) - before, 3, "draws in three replays", {
        "the noise was drawn while recording and never again: record normals as a job": 0,
        "it draws twice in each replay": 6,
    })
    for number, got in enumerate(seen):
        grading.same(got, [10 + k + before + number for k in (1, 11, 21, 31)], f"replay {number + 1}", {
            "the last job's result is the noise alone; then add x": np.full(4, before + number + 1.0),
            "noise is added to noise: x must not be written into": np.array([10.0, 20, 30, 40]) + sum(
                range(1, before + number + 2)),
        })
    grading.same(x, [10.0, 20.0, 30.0, 40.0], "x", {"it was written into": x})
