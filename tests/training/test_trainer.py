import os
import signal
import threading

import numpy as np
import pytest

from minidiff.data.batches import batch_indices
from minidiff.diffusion import Schedule, SimpleLoss
from minidiff.models import TextCondition, UNet2DConditionModel
from minidiff.nn import training_rng
from minidiff.rng import Rng
from minidiff.training import CheckpointError, DataParallel, NotFinite, Trainer, load
from minidiff.training.parallel.workers import can_fork


def test_it_learns(trainer, net):
    history = trainer(net(width=32), steps=300, batch_size=32).run(progress=False)
    assert len(history) == 300 and np.mean(history.loss[-50:]) < 0.7 * history.loss[0]


def test_step_by_step_is_the_same_as_run(trainer, same):
    a, b = trainer(), trainer()
    losses = [a.step() for _ in range(20)]
    b.run(7, progress=False)
    assert b.done == 7
    b.run(progress=False)
    assert b.done == 20 and b.history.loss == losses and all(isinstance(loss, float) for loss in losses)
    assert same(a.arena.values, b.arena.values) and same(a.ema.average, b.ema.average)
    assert b.run(progress=False) is b.history and b.done == 20  # nothing is left to do


def test_another_seed_is_another_run(trainer):
    assert trainer(seed=0).run(progress=False).loss != trainer(seed=1).run(progress=False).loss


def test_step_k_is_a_function_of_seed_and_k_alone(trainer, points, objective):
    seen = {}

    def spy(model, x0, rng, cond=None):
        noise, dropout = rng.at(rng.step).standard_normal(4), training_rng().standard_normal(4)
        assert not np.array_equal(noise, dropout)
        seen.setdefault(rng.step, []).append(np.concatenate([x0.ravel(), noise, dropout]))
        return objective(model, x0, rng, cond)

    first = trainer(objective=spy)
    first.run(5, progress=False)
    np.random.default_rng(0).standard_normal(100)
    other = trainer(objective=spy, lr=0.3)
    other.done = 3
    other.run(2, progress=False)
    assert sorted(seen) == [0, 1, 2, 3, 4] and len(seen[3]) == 2 and np.array_equal(*seen[3]) and np.array_equal(*seen[4])
    assert np.array_equal(seen[3][0][:16].reshape(8, 2), points[batch_indices(50, 8, 3, 0)])
    assert training_rng() is None
    assert len({tuple(rows[0][16:]) for rows in seen.values()}) == 5


def test_labels_travel_with_their_images(trainer, points, objective):
    def check(model, x0, rng, cond=None):
        assert cond.dtype == np.int64 and np.array_equal(points[cond], x0)
        return objective(model, x0, rng)

    trainer(objective=check, labels=np.arange(50)).run(10, progress=False)


def test_labels_may_be_a_tuple_or_a_dict_of_arrays(trainer, points, objective):
    def check(model, x0, rng, cond=None):
        first, second = cond.values() if isinstance(cond, dict) else cond
        assert np.array_equal(points[first], x0) and second.shape == (8, 3) and np.array_equal(second[:, 1], first)
        return objective(model, x0, rng)

    index, table = np.arange(50), np.arange(50)[:, None].repeat(3, 1)
    trainer(objective=check, labels=(index, table)).run(3, progress=False)
    trainer(objective=check, labels={"a": index, "b": table}).run(3, progress=False)


def test_labels_may_be_a_list_of_numbers(trainer, points, objective):
    def check(model, x0, rng, cond=None):
        assert np.array_equal(points[cond], x0)
        return objective(model, x0, rng)

    trainer(objective=check, labels=list(range(50))).run(3, progress=False)


@pytest.mark.parametrize("processes", [1, 3])
def test_text_conditions_are_trained_on_and_dropped(monkeypatch, processes):
    """Context and vectors travel with their images, the mask that is None stays so, and a NamedTuple stays one."""
    if processes > 1 and not can_fork():
        pytest.skip("processes are copied on Linux only")
    told = TextCondition(Rng(1).standard_normal((20, 3, 4)), None, Rng(2).standard_normal((20, 5)))
    images, seen = Rng(3).standard_normal((20, 4, 4, 1)), []
    net = UNet2DConditionModel(in_channels=1, out_channels=1, down_block_types=("CrossAttnDownBlock2D",),
                               up_block_types=("CrossAttnUpBlock2D",), block_out_channels=(4,), layers_per_block=1,
                               norm_num_groups=2, cross_attention_dim=4, attention_head_dim=2, rng=0,
                               class_embed_type="simple_projection", projection_class_embeddings_input_dim=5)  # fmt: skip
    net.null_context = np.zeros((1, 3, 4), np.float32)
    forward = net.forward
    monkeypatch.setattr(net, "forward", lambda x, t, cond: (seen.append(cond), forward(x, t, cond))[1])
    model = DataParallel(net, processes) if processes > 1 else net
    run = Trainer(model, SimpleLoss(Schedule.linear(20), cond_dropout=0.5), images, told, steps=40, batch_size=6, lr=1e-2)
    run.run(progress=False)
    assert np.mean(run.history.loss[-10:]) < np.mean(run.history.loss[:10])
    index = run.batch_indices(0)[: len(seen[0].context)]  # the rows of this process
    dropped = (seen[0].context == 0).all(axis=(1, 2))
    assert all(type(cond) is TextCondition and cond.mask is None for cond in seen)
    assert np.array_equal(seen[0].context[~dropped], told.context[index[~dropped]])
    assert np.array_equal(seen[0].labels, told.labels[index])
    assert len(seen) == 40 and 0 < sum((cond.context == 0).all(axis=(1, 2)).sum() for cond in seen) < 40 * len(index)
    if processes > 1:
        assert len(index) == 2
        model.close()


def test_images_take_the_models_dtype(trainer, net, points):
    run = trainer(net().astype(np.float64), points)
    assert run.images.dtype == np.float64 and run.arena.dtype == np.float64
    run.step()


def test_history_records_every_step(trainer):
    run = trainer(grad_clip=1e-3, ema_decay=None)
    history = run.run(progress=False)
    assert history.step == list(range(1, 21)) and run.ema is None
    assert history.lr[:5] == [0.0, 0.01 * 1 / 3, 0.01 * 2 / 3, 0.01, history.lr[4]] and history.lr[4] < 0.01
    assert min(history.grad_norm) > 1e-3  # the norm before clipping
    assert np.linalg.norm(run.arena.grads) == pytest.approx(1e-3, rel=1e-2)
    assert all(a < b for a, b in zip(history.seconds, history.seconds[1:], strict=False))


def test_progress_bar_shows_the_loss_and_can_be_silenced(trainer, capsys):
    trainer().run(progress=False)
    assert capsys.readouterr() == ("", "")
    trainer().run()
    err = capsys.readouterr().err
    assert "training" in err and "20/20" in err


def test_the_bar_of_a_resumed_run_continues(trainer, tmp_path, capsys):
    trainer(folder=tmp_path).run(13, progress=False)
    trainer(folder=tmp_path).resume().run()
    assert " 13/20" in capsys.readouterr().err


# ---- numbers that are not ------------------------------------------------------------------------------------------------


def spoiled(objective, at, what):
    """The objective, with NaN from step `at` (from 0) on: in the loss, or in one parameter's gradient."""

    def wrapped(model, x0, rng, cond=None):
        loss, back = objective(model, x0, rng, cond)
        if rng.step < at:
            return loss, back
        if what == "loss":
            return float("nan"), back

        def bad_back():
            back()
            model.hidden[0].bias.grad[3] = np.inf
            model.output.weight.grad[...] = np.nan

        return loss, bad_back

    return wrapped


@pytest.mark.parametrize("what, tensor", [("loss", "the loss"), ("gradient", "the gradient of hidden.0.bias")])
def test_stops_at_once_and_the_last_good_checkpoint_stands(trainer, objective, tmp_path, same, what, tensor):
    run = trainer(objective=spoiled(objective, 7, what), folder=tmp_path, checkpoint_every=5)
    good = trainer()
    good.run(7, progress=False)
    with pytest.raises(NotFinite) as error:
        run.run(progress=False)
    assert error.value.step == 8 and error.value.tensor == tensor
    assert "step 8" in str(error.value) and tensor in str(error.value)
    assert run.done == 7 and len(run.history) == 7
    assert same(run.arena.values, good.arena.values) and same(run.optimizer.m, good.optimizer.m)
    assert same(run.ema.average, good.ema.average)
    assert load(tmp_path / "checkpoint.safetensors").step == 5


@pytest.mark.filterwarnings("ignore:invalid value")  # a step is taken from bad gradients before anybody looks
@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_checking_only_some_steps_as_on_a_gpu(trainer, objective, tmp_path, same, what):
    plain, lazy = trainer(), trainer()
    lazy._look_every = 6
    plain.run(progress=False)
    lazy.run(progress=False)
    assert same(plain.arena.values, lazy.arena.values) and plain.history.loss == lazy.history.loss
    run = trainer(objective=spoiled(objective, 7, what), folder=tmp_path, checkpoint_every=3)
    run._look_every = 100
    with pytest.raises(NotFinite) as error:  # saving looks, whatever the habit: no checkpoint of step 9
        run.run(progress=False)
    assert error.value.step == 8 and ("loss" in error.value.tensor) == (what == "loss")
    assert load(tmp_path / "checkpoint.safetensors").step == 6 and run.history.step[-1] == 7


def test_never_saves_weights_that_are_not_finite(trainer, tmp_path):
    run = trainer(folder=tmp_path)
    run.step()
    run.model.input.weight.value[0, 0] = np.inf
    with pytest.raises(NotFinite, match=r"weight input.weight holds NaN"):
        run.save()
    assert "checkpoint.safetensors" not in os.listdir(tmp_path)


# ---- saving and resuming ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ema_decay", [0.9, None])
def test_resume_is_exact(trainer, net, tmp_path, same, ema_decay):
    whole = trainer(ema_decay=ema_decay, folder=tmp_path / "whole")
    whole.run(progress=False)
    part = trainer(ema_decay=ema_decay, folder=tmp_path / "part")
    part.run(11, progress=False)
    rest = trainer(net(seed=99), ema_decay=ema_decay, folder=tmp_path / "part").resume()  # other weights at first
    assert rest.done == 11 and len(rest.history) == 11
    rest.run(progress=False)
    assert same(rest.arena.values, whole.arena.values) and same(rest.optimizer.v, whole.optimizer.v)
    files = [tmp_path / name / "checkpoint.safetensors" for name in ("whole", "part")]
    assert files[0].read_bytes() == files[1].read_bytes()
    logs = [[line.rsplit(",", 1)[0] for line in (f.parent / "log.csv").read_text().splitlines()] for f in files]
    assert logs[0] == logs[1] and len(logs[0]) == 21


def test_the_log_is_cut_back_to_the_checkpoint(trainer, tmp_path):
    run = trainer(folder=tmp_path, checkpoint_every=5)
    for _ in range(8):
        run.step()
    again = trainer(folder=tmp_path).resume()
    assert again.done == 5 and again.history.step == [1, 2, 3, 4, 5] and again.history.loss == run.history.loss[:5]
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 6


def test_a_trainer_goes_back_to_its_own_checkpoint(trainer, tmp_path):
    run = trainer(folder=tmp_path)
    run.run(5, progress=False)
    ahead = [run.step() for _ in range(4)]
    run.resume()
    assert run.done == 5 and [run.step() for _ in range(4)] == ahead


def test_save_and_resume_by_path_without_a_folder(trainer, tmp_path, same):
    a = trainer()
    a.run(4, progress=False)
    assert a.save(tmp_path / "here") == tmp_path / "here"
    b = trainer().resume(tmp_path / "here")
    assert same(a.arena.values, b.arena.values) and b.done == 4
    for method in (a.save, a.resume):
        with pytest.raises(ValueError, match="path: got None"):
            method()


def test_other_settings_are_named(trainer, tmp_path):
    trainer(folder=tmp_path).run(4, progress=False)
    with pytest.raises(ValueError, match="batch_size: got 9, expected 8 as in the checkpoint") as error:
        trainer(folder=tmp_path, batch_size=9, seed=3).resume()
    assert "seed: got 3, expected 0 as in the checkpoint" in str(error.value)
    assert trainer(folder=tmp_path, batch_size=9).resume(strict=False).done == 4
    assert trainer(folder=tmp_path, steps=40).resume().run(progress=False).step[-1] == 40  # a longer run is fine


def test_a_checkpoint_of_another_model_changes_nothing(trainer, net, tmp_path, same):
    trainer(folder=tmp_path).run(4, progress=False)
    other = trainer(net(width=32), folder=tmp_path)
    before = other.arena.values.copy()
    with pytest.raises(ValueError, match=r"input.weight is \(2, 16\), expected \(2, 32\)"):
        other.resume()
    assert same(before, other.arena.values) and other.done == 0


def test_what_cannot_be_resumed(trainer, tmp_path, net):
    from minidiff.training import save

    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        trainer(folder=tmp_path).resume()
    save(tmp_path / "weights", net())
    with pytest.raises(ValueError, match="got a checkpoint without optimizer moments"):
        trainer().resume(tmp_path / "weights")
    (tmp_path / "checkpoint.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="empty"):
        trainer(folder=tmp_path).resume()


def test_config_is_kept(trainer, tmp_path):
    trainer(folder=tmp_path, config={"model": {"width": 16}}).run(1, progress=False)
    assert load(tmp_path / "checkpoint.safetensors").config["run"] == {"model": {"width": 16}}


def test_what_the_objective_has_learned_is_saved_too(trainer, tmp_path):
    from minidiff.diffusion import Schedule, SimpleLoss

    def make(name, **options):
        loss = SimpleLoss(Schedule.linear(8, 0.01, 0.3), t_sampler="loss")
        return trainer(objective=loss, folder=tmp_path / name, steps=80, **options)

    whole, part = make("whole"), make("part")
    whole.run(progress=False)
    part.run(50, progress=False)
    assert part.objective.state()["counts"].max() > 0
    rest = make("part").resume()
    rest.run(progress=False)
    files = [(tmp_path / name / "checkpoint.safetensors").read_bytes() for name in ("whole", "part")]
    assert files[0] == files[1]


def test_ctrl_c_waits_for_the_end_of_the_step_and_saves(trainer, objective, tmp_path, same):
    def interrupted(model, x0, rng, cond=None):
        if rng.step == 7:
            signal.raise_signal(signal.SIGINT)
        return objective(model, x0, rng, cond)

    before = signal.getsignal(signal.SIGINT)
    run = trainer(objective=interrupted, folder=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run.run(progress=False)
    assert run.done == 8 and load(tmp_path / "checkpoint.safetensors").step == 8
    assert signal.getsignal(signal.SIGINT) is before
    whole = trainer()
    whole.run(progress=False)
    run.run(progress=False)
    assert same(run.arena.values, whole.arena.values)


def test_a_second_ctrl_c_is_obeyed_at_once(trainer, objective):
    def stuck(model, x0, rng, cond=None):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("should not get here")

    with pytest.raises(KeyboardInterrupt):
        trainer(objective=stuck).run(progress=False)


def test_runs_in_another_thread(trainer):
    run = trainer()
    thread = threading.Thread(target=run.run, kwargs={"progress": False})
    thread.start()
    thread.join()
    assert run.done == 20


# ---- pictures and callbacks --------------------------------------------------------------------------------------------------


def test_callbacks_see_every_step(trainer):
    seen = []
    trainer(callbacks=[lambda t: seen.append((t.done, len(t.history)))]).run(4, progress=False)
    assert seen == [(1, 1), (2, 2), (3, 3), (4, 4)]


def test_samples_come_from_the_average_and_leave_no_trace(trainer, tmp_path, same):
    def sample(t):
        assert same(t.arena.values, wanted["average"](t)) and t.ema.swapped
        return t.sampling_rng().standard_normal((4, 8, 8, 1))

    wanted = {"average": lambda t: t.arena.values}
    run = trainer(folder=tmp_path, sample=sample, sample_every=8)
    assert run.run(progress=False) and sorted(os.listdir(tmp_path)) == [
        "checkpoint.safetensors", "log.csv", "samples_000008.png", "samples_000016.png",
    ]  # fmt: skip
    average = run.ema.average.copy()
    wanted["average"] = lambda t: average
    assert run.sample_grid().shape == (4, 8, 8, 1)
    assert same(run.arena.values, trainer_without_samples(trainer))


def trainer_without_samples(trainer):
    run = trainer()
    run.run(progress=False)
    return run.arena.values


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"steps": 0}, ValueError, "steps: got 0"),
        ({"batch_size": 2.5}, ValueError, "batch_size: got 2.5"),
        ({"checkpoint_every": 0}, ValueError, "checkpoint_every: got 0, .* or None"),
        ({"warmup": -1}, ValueError, "warmup: got -1"),
        ({"curve": "linear"}, ValueError, "curve: got 'linear'"),
        ({"lr": -1.0}, ValueError, "lr: got -1.0"),
        ({"ema_decay": 2}, ValueError, "decay: got 2"),
        ({"images": np.zeros(5)}, ValueError, r"images: got \(5,\)"),
        ({"images": np.zeros((0, 2))}, ValueError, r"images: got \(0, 2\)"),
        ({"images": [[1.0, 2.0]]}, ValueError, "images: got list"),
        ({"images": np.zeros((5, 2), np.uint8)}, TypeError, "images: got uint8"),
        ({"images": np.full((5, 2), np.nan)}, ValueError, "images: 10 of 10 numbers are NaN"),
        ({"labels": np.zeros(3, int)}, ValueError, "labels: got 3 rows, expected one for each of 50"),
        ({"labels": (np.zeros(50), np.zeros(49))}, ValueError, "labels: got 50, 49 rows"),
        ({"sample": "grid"}, TypeError, "sample: got str"),
        ({"grad_clip": 0}, ValueError, "grad_clip: got 0"),
        ({"seed": -1}, ValueError, "seed: got -1"),
    ],
)
def test_bad_arguments_before_any_work(trainer, options, error, message):
    with pytest.raises(error, match=message):
        trainer(**options)


def test_the_public_signature():
    import inspect

    names = list(inspect.signature(Trainer).parameters)
    assert names[:4] == ["model", "objective", "images", "labels"]
