"""Worker processes: memory that comes back, the same bits from any thread, limits on waiting.

The right values: answers and gradients are those of the same DataParallel asked by one thread; memory is counted in the
kernel's own list of mappings (/proc/self/maps).
"""

import os
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from minidiff import nn
from minidiff.training import DataParallel
from minidiff.training.parallel.workers import can_fork

forks = pytest.mark.skipif(not can_fork(), reason="processes are copied on Linux alone")


@pytest.fixture
def shared():
    made = []

    def make(features=64, **options):
        made.append(DataParallel(nn.Linear(features, features, rng=0), 2, **options))
        return made[-1]

    yield make
    for model in made:
        model.close()


def batch(rows=8, features=64):
    return np.random.default_rng(1).standard_normal((rows, features), dtype=np.float32)


def shared_mappings():
    """(how many anonymous shared mappings this process has, their bytes)"""
    with open("/proc/self/maps") as file:
        spans = [line.split()[0].split("-") for line in file if "/dev/zero" in line]
    return len(spans), sum(int(end, 16) - int(start, 16) for start, end in spans)


@forks
def test_closed_and_reopened_it_holds_no_more_memory_than_opened_once(shared):
    model, x = shared(512), batch(8, 512)
    model(x)
    model.close()
    closed = shared_mappings()
    for _ in range(5):
        y, back = model(x)
        back(y)
        del y, back
        opened = shared_mappings()
        model.close()
        assert shared_mappings() == closed
    assert opened[1] - closed[1] >= model.arena.size * 4  # one gradient buffer, while it is open


@forks
def test_a_killed_worker_s_memory_comes_back_too(shared):
    model, x = shared(512), batch(8, 512)
    model(x)
    opened = shared_mappings()
    for _ in range(3):
        os.kill(model._workers.processes[0].pid, signal.SIGKILL)
        with pytest.raises(RuntimeError):
            model(x)
        model(x)
        assert shared_mappings() == opened


@forks
def test_four_threads_get_the_bits_that_one_gets():
    """The rounding of a sum depends on how rows are shared, so a thread may not go alone while another one asks."""
    x = [np.random.default_rng(i).standard_normal((8, 33, 33, 3), dtype=np.float32) for i in range(4)]
    model = DataParallel(nn.Conv2d(3, 4, 3, padding=1, rng=0), 2)
    asked, module = [], model.module

    class Watched(nn.Layer):
        def forward(self, x):
            asked.append(len(x))
            return module(x)

    model.module = Watched()
    try:
        right = [model(part)[0] for part in x]
        asked.clear()
        with ThreadPoolExecutor(4) as pool:
            for _ in range(5):
                for got, one in zip(pool.map(lambda part: model(part)[0], x), right, strict=True):
                    assert np.array_equal(got, one)
        assert asked == [4] * 20  # this process always took its half, never the whole batch
    finally:
        model.close()


@forks
@pytest.mark.parametrize("rows", [8, 20_000])  # the second fills the socket, so that sending waits too
@pytest.mark.parametrize("what", ["forward", "back"])
def test_a_stopped_worker_is_named_within_the_time_limit_and_replaced(shared, what, rows):
    model, x = shared(timeout=0.5), batch(rows)
    right, back = model(x)
    pid = model._workers.processes[0].pid
    os.kill(pid, signal.SIGSTOP)
    start = time.perf_counter()
    message = rf"^worker process {pid}: no answer within timeout=0.5 seconds, because it is stopped \(SIGSTOP, or a debugger\)$"
    with pytest.raises(RuntimeError, match=message):
        model(x) if what == "forward" else back(x)
    assert time.perf_counter() - start < 20
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)  # not left behind
    assert np.array_equal(model(x)[0], right)


@forks
def test_a_slow_worker_is_waited_for_within_the_limit(shared):
    model, x = shared(timeout=30), batch()
    right = model(x)[0]
    pid = model._workers.processes[0].pid
    os.kill(pid, signal.SIGSTOP)
    threading.Timer(0.3, os.kill, (pid, signal.SIGCONT)).start()
    assert np.array_equal(model(x)[0], right) and model._workers.processes[0].pid == pid


@forks
def test_closing_does_not_wait_for_a_stopped_worker(shared):
    model = shared()
    model(batch())
    pid = model._workers.processes[0].pid
    os.kill(pid, signal.SIGSTOP)
    start = time.perf_counter()
    model.close()
    assert time.perf_counter() - start < 20
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@forks
def test_a_killed_worker_is_named_with_its_signal(shared):
    model, x = shared(), batch()
    model(x)
    pid = model._workers.processes[0].pid
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match=rf"^worker process {pid}: it was ended by SIGKILL"):
        model(x)


@pytest.mark.parametrize("timeout", [0, -1, "5", float("nan"), float("inf")])
def test_a_timeout_that_is_no_number_of_seconds(timeout):
    with pytest.raises(ValueError, match=re.escape(f"timeout: got {timeout!r}, expected a number of seconds above 0")):
        DataParallel(nn.Linear(2, 2), timeout=timeout)
