"""A batch shared among processes gives what the net alone gives: answers, gradients, dropout; and survives what befalls it."""

import copy
import gc
import os
import signal
import subprocess
import sys
import time
import weakref
from typing import Any, NamedTuple

import numpy as np
import pytest

import minidiff
from minidiff import models, ops, settings
from minidiff.diffusion import Schedule, SimpleLoss
from minidiff.nn import Layer, Linear, training
from minidiff.rng import Rng
from minidiff.samplers import sample
from minidiff.training import Arena, DataParallel, Trainer
from minidiff.training.parallel.workers import can_fork

pytestmark = pytest.mark.skipif(not can_fork(), reason="processes are copied on Linux alone")
SHAPE = (6, 5, 2)  # odd, H != W


@pytest.fixture(autouse=True)
def two_threads():
    with minidiff.threads(2):
        yield


@pytest.fixture
def shared():
    """shared(module, processes=2) -> a DataParallel that is closed after the test"""
    made = []

    def make(module, processes=2):
        made.append(DataParallel(module, processes))
        return made[-1]

    yield make
    for model in made:
        model.close()


def unet(dtype=np.float64, **options):
    options = {"in_channels": 2, "out_channels": 2, "block_out_channels": (8, 16), "norm_num_groups": 4, **options}
    return models.UNet(layers_per_block=1, attention_head_dim=8, rng=3, **options).astype(dtype)


def draw(seed, *shape, dtype=np.float64):
    return Rng(seed).standard_normal(shape, dtype=dtype)


def step(model, x, t, cond=None, dy=None, dropout=None):
    """Answer, dx, and every gradient."""
    model.zero_grad()
    with training(None if dropout is None else Rng(dropout)):
        y, back = model(x, t, cond)
    return y, back(draw(9, *y.shape) if dy is None else dy), {name: p.grad.copy() for name, p in model.parameters().items()}


def close(got, want, eps=1e-12):
    assert got.keys() == want.keys()
    largest = max(np.abs(w).max() for w in want.values())
    assert max(np.abs(got[name] - want[name]).max() for name in want) <= eps * largest


@pytest.mark.parametrize(("processes", "rows"), [(2, 4), (2, 7), (3, 7), (3, 6), (4, 9)])
@pytest.mark.parametrize("dropout", [None, 5])
def test_outputs_and_gradients_equal_the_models(shared, processes, rows, dropout):
    alone = unet(dropout=0.3, num_class_embeds=4)
    model = shared(copy.deepcopy(alone), processes)
    x, t, cond = draw(1, rows, *SHAPE), np.arange(rows) * 100, np.arange(rows) % 4
    for at in (t, 7):  # a time for each row, and one for all
        y, dx, grads = step(model, x, at, cond, dropout=dropout)
        y1, dx1, grads1 = step(alone, x, at, cond, dropout=dropout)
        assert np.abs(y - y1).max() < 1e-12 and np.abs(dx - dx1).max() < 1e-12
        close(grads, grads1)
    assert len(model._workers.processes) == processes - 1
    assert np.abs(model.predict(x, t, cond) - alone.predict(x, t, cond)).max() < 1e-12


def test_dropout_continues_its_random_stream(shared):
    """The generator has drawn as much as without processes, so what follows it is the same."""
    model, rng, alone = shared(unet(dropout=0.3)), Rng(5), Rng(5)
    for own, net in ((rng, model), (alone, model.module)):
        with training(own):
            net(draw(1, 5, *SHAPE), 3)
    assert rng.call == alone.call > 0


def test_numpys_generator_too(shared):
    model = shared(unet(dropout=0.3))
    x, answers = draw(1, 5, *SHAPE), []
    for net in (model, model.module):
        with training(np.random.default_rng(0)):
            answers.append(net(x, 3)[0])
    assert np.abs(answers[0] - answers[1]).max() < 1e-12


class Told(NamedTuple):
    scale: Any
    more: Any
    name: str = "told"


class Scaled(Layer):
    """y = W x scale + more["shift"]: conditions in a named tuple and a dict, gradients in a tuple."""

    def __init__(self):
        self.linear = Linear(3, 3, rng=0)
        self.astype(np.float64)

    def forward(self, x, t, cond=None):
        assert cond.name == "told"
        h, back_linear = self.linear(x)

        def back(dy):
            return back_linear(dy * cond.scale), Told(dy * h, {"shift": dy})

        return (h * cond.scale + cond.more["shift"], {"t": t}), lambda dy, dmore: back(dy)


def test_conditions_and_gradients_of_any_structure(shared):
    alone = Scaled()
    model = shared(copy.deepcopy(alone))
    x, cond = draw(1, 5, 3), Told(draw(2, 5, 3), {"shift": draw(3, 5, 3)})
    (y, more), back = model(x, np.arange(5), cond)
    (y1, _), back1 = alone(x, np.arange(5), cond)
    assert np.abs(y - y1).max() < 1e-14 and more["t"].tolist() == [0, 1, 2, 3, 4]
    (dx, dcond), (dx1, dcond1) = (b(draw(4, 5, 3), None) for b in (back, back1))
    assert np.abs(dx - dx1).max() < 1e-14 and np.abs(dcond.scale - dcond1.scale).max() < 1e-14
    assert np.array_equal(dcond.more["shift"], dcond1.more["shift"]) and dcond.name == "told"


def test_training_is_the_same_run_after_run_and_as_without(shared):
    images, labels = draw(1, 40, *SHAPE, dtype=np.float32).clip(-1, 1), np.arange(40) % 3
    weights = []
    for made in (shared, shared, lambda module: module):
        model = made(unet(np.float32, num_class_embeds=4, null_class=3))
        trainer = Trainer(model, SimpleLoss(Schedule.named("cosine", 100), "v"), images, labels, steps=12, batch_size=9)
        for _ in range(12):
            trainer.step()
        weights.append({name: value.copy() for name, value in model.state().items()})
        with trainer.ema.applied():  # another process must see these weights too
            y, y1 = (net.predict(images[:6], 50, labels[:6]) for net in (model, getattr(model, "module", model)))
        assert np.abs(y - y1).max() < 1e-5
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])
    close(weights[0], weights[2], 1e-4)


def test_samples_are_the_same(shared):
    net, schedule = unet(np.float32), Schedule.named("cosine", 100)
    loss = SimpleLoss(schedule, "v")
    pictures = [sample("ddim", loss.denoiser(m), (6, *SHAPE), steps=5, rng=0) for m in (copy.deepcopy(net), shared(net))]
    assert np.abs(pictures[0] - pictures[1]).max() < 1e-4


class Plus(Layer):
    """y = W x + shift, a shift for all rows."""

    def __init__(self):
        self.linear = Linear(1, 1, rng=0)

    def forward(self, x, shift):
        y, back = self.linear(x)
        return y + shift, back


def test_few_rows_and_arrays_that_are_not_by_rows_go_through_the_module(shared):
    model, x, shift = shared(Plus()), np.ones((6, 1), np.float32), np.ones(1, np.float32)
    assert np.array_equal(model(x[:3], 1.0)[0], model.module(x[:3], 1.0)[0]) and model._workers is None
    assert np.array_equal(model(x, shift)[0], model.module(x, shift)[0])
    with minidiff.threads(1):
        alone = shared(Plus(), None)
        alone(x, 1.0)
        assert alone._workers is None


def test_settings_of_the_thread_hold_in_every_process(shared):
    class Asks(Layer):
        def __init__(self):
            self.linear = Linear(1, 1, rng=0)

        def forward(self, x):
            told = [settings.is_plain(), settings.is_no_grad(), minidiff.get_threads()]
            return np.array([told] * len(x)), lambda dy: dy

    model, x = shared(Asks()), np.zeros((4, 1), np.float32)
    assert (model(x)[0] == [0, 0, 1]).all()
    with ops.plain():
        assert (model.predict(x) == [1, 1, 1]).all()
    with minidiff.threads(4):
        assert (model(x)[0] == [0, 0, 2]).all()


@pytest.mark.skipif(os.cpu_count() < 2, reason="one core")
def test_each_process_keeps_to_cores_of_its_own(shared):
    class Where(Layer):
        def __init__(self):
            self.linear = Linear(1, 1, rng=0)

        def forward(self, x):
            mine = [core in os.sched_getaffinity(0) for core in range(os.cpu_count())]
            return np.array([mine] * len(x)), lambda dy: dy

    cores = shared(Where())(np.zeros((4, 1), np.float32))[0]
    assert cores[0].any() and cores[3].any() and not (cores[0] & cores[3]).any()


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core")
def test_only_cores_of_this_process_are_shared_out(shared):
    """A process that was pinned to one core, by taskset say, must not spread over the others."""

    class Where(Layer):
        def __init__(self):
            self.linear = Linear(1, 1, rng=0)

        def forward(self, x):
            return np.array([sorted(os.sched_getaffinity(0))] * len(x)), lambda dy: dy

    before = os.sched_getaffinity(0)
    only = max(before)
    try:
        os.sched_setaffinity(0, {only})
        assert (shared(Where())(np.zeros((4, 1), np.float32))[0] == [[only]] * 4).all()
    finally:
        os.sched_setaffinity(0, before)


def test_backward_twice_and_in_any_order(shared):
    model, x = shared(unet()), draw(1, 6, *SHAPE)
    (y1, back1), (_, back2) = model(x, 3), model(2 * x, 8)
    dy = draw(2, *y1.shape)
    grads = []
    for backs in ((back1, back2, back1), (back2, back1, back1)):
        model.zero_grad()
        dxs = [back(dy) for back in backs]
        grads.append({name: p.grad.copy() for name, p in model.parameters().items()})
    assert np.array_equal(dxs[1], dxs[2])
    close(grads[0], grads[1])
    with pytest.raises(RuntimeError, match="no_grad"), ops.no_grad():
        model(x, 3)[1](dy)


def test_what_a_forward_kept_goes_with_its_back(shared):
    class Held(Layer):
        """Says how many earlier calls of this process still hold something."""

        def __init__(self):
            self.linear, self.alive = Linear(1, 1, rng=0), []

        def forward(self, x):
            kept = np.zeros(3)
            self.alive = [ref for ref in self.alive if ref() is not None]
            y = np.full(len(x), len(self.alive))
            self.alive.append(weakref.ref(kept))
            return y, lambda dy: (dy, kept)[0]

    model, x = shared(Held()), np.zeros((4, 1), np.float32)
    for _ in range(4):
        y, back = model(x)
        del back
        gc.collect()
    assert (y == 0).all()
    backs = [model(x)[1] for _ in range(3)]
    assert (model(x)[0][2:] >= len(backs)).all()


@pytest.mark.parametrize("row", [0, 5])  # ours, a worker's
def test_an_error_is_reported_and_leaves_nothing_behind(shared, failing, row):
    model, x = shared(failing), np.ones((6, 1), np.float32)
    bad = x.copy()
    bad[row] = 11
    with pytest.raises(ValueError if row == 0 else RuntimeError, match="more than 10"):
        model(bad)
    _, back = model(bad, "back")
    with pytest.raises(KeyError if row == 0 else RuntimeError, match="no way back"):
        back(x)
    _, _, grads = (model.zero_grad(), model(x)[1](x), {name: p.grad.copy() for name, p in model.parameters().items()})
    assert grads["linear.weight"] == 6 and grads["linear.bias"] == 6  # of six rows of ones, and nothing of the failed pass


def test_a_killed_worker_is_reported_and_replaced(shared):
    model, x = shared(unet()), draw(1, 6, *SHAPE)
    y, back = model(x, 3)
    os.kill(model._workers.processes[0].pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match="was ended by SIGKILL"):
        model(x, 3)
    assert np.array_equal(model(x, 3)[0], y)
    with pytest.raises(RuntimeError, match="no longer possible"):
        back(y)


def test_ctrl_c_leaves_workers_alone(shared):
    model, x = shared(unet()), draw(1, 6, *SHAPE)
    y = model.predict(x, 3)
    worker = model._workers.processes[0]
    os.kill(worker.pid, signal.SIGINT)
    assert np.array_equal(model.predict(x, 3), y) and model._workers.processes[0] is worker


def test_workers_end_with_the_model_and_with_the_process(shared):
    model = DataParallel(unet(), 2)
    model.predict(draw(1, 6, *SHAPE), 3)
    worker = model._workers.processes[0]
    del model
    gc.collect()
    assert not worker.is_alive()
    code = (
        "import numpy as np, os, signal\nfrom minidiff import models\nfrom minidiff.training import DataParallel\n"
        "m = DataParallel(models.MLP(), 3)\nm.predict(np.zeros((8, 2), np.float32), 3)\n"
        "print(*[p.pid for p in m._workers.processes], flush=True)\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stdout
    pids, deadline = [int(pid) for pid in told.split()], time.monotonic() + 10
    assert len(pids) == 2
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < deadline, "a worker outlives the process that made it"
        time.sleep(0.05)


def _runs(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_cores_of_this_process_are_left_as_they_were(shared):
    before = os.sched_getaffinity(0)
    model = shared(unet())
    model.predict(draw(1, 6, *SHAPE), 3)
    assert os.sched_getaffinity(0) == before


def test_names_and_the_rest_are_the_modules(shared):
    net = unet(num_class_embeds=4, null_class=3)
    model = shared(net)
    assert [*model.parameters()] == [*net.parameters()] and model.config is net.config
    assert model.null_cond(np.arange(3)).tolist() == [3, 3, 3]
    again = copy.deepcopy(model)
    assert type(again) is DataParallel and again.module is not net and again.arena is not model.arena
    assert shared(net).arena is model.arena and Arena.of(net) is model.arena


def test_params_that_moved_away(shared):
    net = unet()
    model = shared(net)
    Arena(net)
    with pytest.raises(RuntimeError, match="moved"):
        model(draw(1, 6, *SHAPE), 3)


def test_bad_arguments():
    for processes in (0, -1, 1.5, "2", True):
        with pytest.raises(ValueError, match="processes"):
            DataParallel(unet(), processes)


class Sums(Layer):
    def __init__(self):
        self.linear = Linear(1, 1, rng=0)

    def forward(self, x):
        return x.sum(axis=0), lambda dy: dy


def test_an_answer_that_is_not_by_rows(shared):
    with pytest.raises(ValueError, match="for 3 examples"):
        shared(Sums())(np.ones((6, 1), np.float32))
