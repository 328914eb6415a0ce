"""The engine of threads, forced by name where fork would be taken: outputs, gradients and dropout of the module alone.

The right values are the module's, and those of the engine of processes, which divides the rows in the same way.
"""

import copy
import threading

import numpy as np
import pytest

import minidiff
from minidiff import models, settings
from minidiff.diffusion import Schedule, SimpleLoss
from minidiff.nn import Layer, Linear, training
from minidiff.rng import Rng
from minidiff.training import DataParallel, Trainer
from minidiff.training.parallel.workers import can_fork

SHAPE = (6, 5, 2)


@pytest.fixture(autouse=True)
def two_threads():
    with minidiff.threads(2):
        yield


@pytest.fixture
def shared():
    made = []

    def make(module, count=2, engine="threads"):
        made.append(DataParallel(module, count, engine=engine))
        return made[-1]

    yield make
    for model in made:
        model.close()


def unet(dtype=np.float64, **options):
    options = {"in_channels": 2, "out_channels": 2, "block_out_channels": (8, 16), "norm_num_groups": 4, **options}
    return models.UNet(layers_per_block=1, attention_head_dim=8, rng=3, **options).astype(dtype)


def step(model, rows, dropout=None, rng=Rng):
    """Output, dx, every gradient, and the next number of the generator of dropout."""
    x = Rng(1).standard_normal((rows, *SHAPE), dtype=np.float64)
    model.zero_grad()
    drawn = None if dropout is None else rng(dropout)
    with training(drawn):
        y, back = model(x, np.arange(rows) * 100, np.arange(rows) % 4)
    dx = back(Rng(9).standard_normal(y.shape, dtype=np.float64))
    grads = np.concatenate([p.grad.reshape(-1) for p in model.parameters().values()])
    return y, dx, grads, None if drawn is None else drawn.random(3)


@pytest.mark.parametrize(("count", "rows"), [(2, 4), (2, 7), (3, 7), (4, 9)])
@pytest.mark.parametrize("rng", [None, Rng, np.random.default_rng])
def test_outputs_gradients_and_dropout_equal_the_modules(shared, count, rows, rng):
    alone = unet(dropout=0.3, num_class_embeds=4)
    model = shared(copy.deepcopy(alone), count)
    for got, want in zip(step(model, rows, 5 if rng else None, rng), step(alone, rows, 5 if rng else None, rng), strict=True):
        assert (got is want is None) or np.abs(got - want).max() < 1e-12 * max(1, np.abs(want).max())
    assert model._workers.count == count and model.engine == "threads"


def test_every_part_runs_in_a_thread_with_the_settings_of_the_caller(shared):
    class Asks(Layer):
        def __init__(self):
            self.linear = Linear(1, 1, rng=0)

        def forward(self, x):
            told = [settings.is_plain(), settings.is_no_grad(), minidiff.get_threads(), threading.get_ident() == caller]
            return np.array([told] * len(x)), lambda dy: dy

    caller, model, x = threading.get_ident(), shared(Asks()), np.zeros((4, 1), np.float32)
    assert model(x)[0].tolist() == [[0, 0, 1, 1]] * 2 + [[0, 0, 1, 0]] * 2
    with settings.plain():
        assert model.predict(x)[:, :3].tolist() == [[1, 1, 1]] * 4
    with minidiff.threads(4):
        assert (model(x)[0][:, 2] == 2).all()


def test_training_gives_the_bits_of_every_run_and_of_processes(shared):
    images, labels = Rng(1).standard_normal((40, *SHAPE)).clip(-1, 1), np.arange(40) % 3
    weights = []
    for engine in ("threads", "threads", *["processes"] * can_fork()):
        model = shared(unet(np.float32, num_class_embeds=4, null_class=3, dropout=0.1), 2, engine)
        trainer = Trainer(model, SimpleLoss(Schedule.cosine(100), "v"), images, labels, steps=8, batch_size=9)
        for _ in range(8):
            trainer.step()
        weights.append(trainer.arena.values.copy())
    assert all(np.array_equal(weights[0], other) for other in weights[1:])


def test_backward_twice_in_any_order_adds_up(shared):
    model = shared(unet())
    x = Rng(1).standard_normal((6, *SHAPE), dtype=np.float64)
    (y, back1), (_, back2) = model(x, 3), model(2 * x, 8)
    grads = []
    for backs in ((back1, back2, back1), (back2, back1, back1)):
        model.zero_grad()
        for back in backs:
            back(y)
        grads.append(model.arena.grads.copy())
    assert np.abs(grads[0] - grads[1]).max() < 1e-12 * np.abs(grads[0]).max()


@pytest.mark.parametrize("row", [0, 5])
def test_an_error_is_raised_as_it_is_and_leaves_nothing_behind(shared, failing, row):
    model, x = shared(failing), np.ones((6, 1), np.float32)
    bad = x.copy()
    bad[row] = 11
    with pytest.raises(ValueError, match="more than 10"):
        model(bad)
    with pytest.raises(KeyError, match="no way back"):
        model(bad, "back")[1](x)
    model.zero_grad()
    model(x)[1](x)
    assert model.module.linear.weight.grad == 6 and model.module.linear.bias.grad == 6


def test_a_closed_model_starts_again_and_has_no_way_back(shared, failing):
    model, x = shared(failing), np.ones((6, 1), np.float32)
    y, back = model(x)
    model.close()
    with pytest.raises(RuntimeError, match="no longer possible"):
        back(y)
    assert np.array_equal(model(x)[0], y)


def test_threads_are_taken_where_fork_is_not_safe(monkeypatch, failing):
    monkeypatch.setattr("minidiff.training.parallel.data_parallel.can_fork", lambda: False)
    model = DataParallel(failing)
    assert model.engine == "threads" and not model.arena.shared


def test_an_engine_that_is_not_there(failing):
    message = r"engine: got 'thread', expected one of mpi, processes, threads; did you mean threads\?"
    with pytest.raises(ValueError, match=message):
        DataParallel(failing, engine="thread")
    with pytest.raises(ValueError, match="engine: got 'mpi', which needs a job that mpiexec started with several ranks"):
        DataParallel(failing, engine="mpi")
