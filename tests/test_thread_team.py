"""Threads: what the setting means, that nothing depends on it, that nothing is left running or waiting."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import minidiff
from minidiff import models, ops, thread_team
from minidiff.nn import Layer, Param
from minidiff.nn.layer import LONE_WEIGHTS
from minidiff.rng import Rng
from minidiff.settings import is_lone, setting
from minidiff.thread_team import share


@pytest.fixture(autouse=True)
def default_again():
    yield
    minidiff.set_threads(None)


def child(program, **environment):
    """What a fresh Python prints."""
    done = subprocess.run([sys.executable, "-c", program], env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_setting():
    minidiff.set_threads(3)
    assert minidiff.get_threads() == 3
    with minidiff.threads(2):
        assert minidiff.get_threads() == 2
    assert minidiff.get_threads() == 3
    minidiff.set_threads(None)
    assert 1 <= minidiff.get_threads() <= 16


def test_the_setting_is_put_back_after_an_error():
    minidiff.set_threads(3)
    with pytest.raises(KeyError), minidiff.threads(1):
        raise KeyError
    assert minidiff.get_threads() == 3


@pytest.mark.parametrize("wrong", [0, -1, 2.0, "many"])
def test_a_wrong_number_is_named(wrong):
    with pytest.raises(ValueError, match="whole number of threads"):
        minidiff.set_threads(wrong)


def test_the_environment_variable_is_read():
    program = "import minidiff; print(minidiff.get_threads())"
    assert child(program, MINIDIFF_THREADS="5") == "5"


def test_an_import_starts_no_thread_and_leaves_blas_alone():
    program = "import sys, threading, minidiff.models, minidiff.training as t; "
    program += "print(threading.active_count(), 'threadpoolctl' in sys.modules)"
    assert child(program) == "1 False"


def net_and_gradients(n):
    """Answer and all gradients of a U-Net, with n threads."""
    with minidiff.threads(n):
        net = models.UNet(
            in_channels=3, out_channels=3, block_out_channels=(32, 64), layers_per_block=1, norm_num_groups=8, rng=0
        )
        x = Rng(1).standard_normal((8, 16, 16, 3), dtype=np.float32)
        y, back = net(x, np.arange(8))
        dx = back(y)
        return [y, dx, *(p.grad for p in net.parameters().values())]


def test_every_bit_is_the_same_on_any_number_of_threads():
    once = net_and_gradients(1)
    for n in (1, 2, 2, 4):
        assert all(np.array_equal(a, b) for a, b in zip(once, net_and_gradients(n), strict=True))


def test_pieces_are_all_done_once_and_errors_come_out():
    minidiff.set_threads(4)
    counts = np.zeros(1000, int)

    def work(i):
        counts[i] += 1

    share(work, 1000)
    assert (counts == 1).all()

    def fails(i):
        if i == 3:
            raise ZeroDivisionError("piece 3")

    for _ in range(3):
        with pytest.raises(ZeroDivisionError, match="piece 3"):
            share(fails, 8)
    share(work, 1000)  # and the team works on
    assert (counts == 2).all()


def test_a_piece_may_share_again():
    minidiff.set_threads(3)
    done = []
    share(lambda i: share(lambda j: done.append((i, j)), 4), 5)
    assert sorted(done) == [(i, j) for i in range(5) for j in range(4)]


def test_two_threads_of_a_program_may_both_compute():
    minidiff.set_threads(2)
    x, w = np.ones((16, 16, 16, 32), np.float32), np.ones((3, 3, 32, 32), np.float32)
    wanted, answers = ops.conv2d(x, w, None, 1, 1)[0], []

    def compute():
        for _ in range(10):
            answers.append(ops.conv2d(x, w, None, 1, 1)[0])

    both = [threading.Thread(target=compute) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(timeout=60)
    assert len(answers) == 20 and all(np.array_equal(y, wanted) for y in answers)


def blas_threads():
    """Of NumPy's OpenBLAS: another package may have loaded a second one since."""
    from threadpoolctl import threadpool_info

    found = [library for library in threadpool_info() if library["internal_api"] == "openblas"]
    return {library["num_threads"] for library in found if "numpy" in library["filepath"]}


def test_lone_pieces_run_here_in_order_while_blas_has_the_threads():
    minidiff.set_threads(3)
    seen = []
    share(lambda i: seen.append((i, threading.get_ident(), blas_threads())), 4, lone=True)
    assert [(i, ident) for i, ident, _ in seen] == [(i, threading.get_ident()) for i in range(4)]
    assert all(inside <= {3} for *_, inside in seen) and blas_threads() <= {1}
    with minidiff.threads(1):
        share(lambda i: seen.append(blas_threads()), 1, lone=True)
    assert seen[-1] <= {1}


def test_blas_is_back_on_one_thread_after_an_error_in_a_lone_piece():
    minidiff.set_threads(2)
    with pytest.raises(ZeroDivisionError):
        share(lambda i: 1 / 0, 1, lone=True)
    assert blas_threads() <= {1}
    done = []
    share(done.append, 8)
    assert sorted(done) == list(range(8))


def test_only_one_small_image_for_a_small_network_is_lone():
    seen = []

    class Network(Layer):
        def __init__(self, weights):
            self.weight = Param(np.zeros(weights, np.float32))

        def forward(self, x):
            seen.append(is_lone())
            return x, lambda dy: dy

    small, large = Network(10), Network(LONE_WEIGHTS + 1)
    one, two, wide = np.zeros((1, 8, 8, 3)), np.zeros((2, 8, 8, 3)), np.zeros((1, 64, 64, 3))
    for model, x in ((small, one), (small, two), (small, wide), (large, one), (small, np.float32(1)), (small, [one])):
        model.predict(x)
        model(x)
    assert seen == [True] + 11 * [False]
    minidiff.set_threads(3)
    idents = set()
    with setting(lone=True):
        share(lambda i: (idents.add(threading.get_ident()), time.sleep(0.001)), 20)  # the team rests
    assert idents == {threading.get_ident()}


def test_the_ops_of_a_lone_image_give_their_products_to_blas_and_those_of_a_training_step_do_not(monkeypatch):
    model, t = models.UNet(block_out_channels=(32, 64), attention_head_dim=32, rng=0), np.array([7])
    x, given, run = Rng(1).standard_normal((1, 16, 16, 3)), [], thread_team._share_products
    monkeypatch.setattr(thread_team, "_share_products", lambda work, pieces, n: (given.append(n), run(work, pieces, n)))
    minidiff.set_threads(2)
    model(x, t)
    assert not given
    model.predict(x, t)
    assert len(given) > 10 and set(given) == {2}


def test_a_single_image_is_the_same_on_any_number_of_threads_up_to_rounding():
    """Sampled, it may differ in the last bits; with a backward pass to come, not in one bit."""
    model, x, t = models.UNet(block_out_channels=(32, 64), attention_head_dim=32, rng=0), Rng(1), np.array([7])
    x = x.standard_normal((1, 16, 16, 3))
    answers = []
    for n in (1, 2, 4):
        minidiff.set_threads(n)
        answers.append((model.predict(x, t), model(x, t)[0]))
    for sampled, trained in answers:
        assert np.array_equal(trained, answers[0][1])
        assert np.abs(sampled - trained).max() <= 1e-5 * np.abs(trained).max()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_computes():
    program = """
import os, warnings
import numpy as np
import minidiff
from minidiff import ops
warnings.simplefilter("ignore")
minidiff.set_threads(2)
x, w = np.ones((64, 16, 16, 32), np.float32), np.ones((3, 3, 32, 32), np.float32)
y = ops.conv2d(x, w, None, 1, 1)[0]
pid = os.fork()
if pid == 0:
    os._exit(0 if np.array_equal(y, ops.conv2d(x, w, None, 1, 1)[0]) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert child(program) == "0"


@pytest.mark.skipif(not thread_team.PINS, reason="this system does not pin threads to cores")
def test_threads_of_an_op_have_separate_cores_and_the_caller_gets_its_cores_back():
    before, seen = os.sched_getaffinity(0), {}

    def work(i):
        seen[threading.get_ident()] = frozenset(os.sched_getaffinity(0))
        time.sleep(0.01)

    with thread_team.threads(2):
        for _ in range(3):
            thread_team.share(work, 8)
    assert os.sched_getaffinity(0) == before and len(seen) == 2
    mine, other = seen.values()
    assert mine | other == before
    assert not mine & other or len(before) < 2


def test_groups_of_cores_cover_what_is_allowed():
    assert thread_team._groups(frozenset({3, 1, 7, 5, 9}), 2) == [frozenset({1, 3}), frozenset({5, 7, 9})]
    assert thread_team._groups(frozenset({4}), 2) == [frozenset({4})] * 2
    assert thread_team._groups(None, 3) == [None] * 3
