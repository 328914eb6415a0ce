"""A run that is completed: from its checkpoint where there is one, with the averaged weights at the end."""

from minidiff.training import load
from minidiff.training.complete import complete


def test_a_stopped_run_ends_as_one_that_was_not(trainer, net, tmp_path, same):
    whole, began = trainer(), []
    whole.run(progress=False)
    trainer(folder=tmp_path).run(7, progress=False)
    again = trainer(net(seed=99), folder=tmp_path)
    assert complete(again, progress=False, begin=lambda t: began.append(t.done)) is again.model
    assert began == [7] and again.done == 20
    assert same(again.model.state(), whole.ema.state())  # the average is in the model
    assert same(load(tmp_path / "checkpoint.safetensors").weights, whole.model.state())  # and not in the file


def test_a_finished_run_is_not_trained_again(trainer, tmp_path, same):
    complete(trainer(folder=tmp_path), progress=False)
    before = (tmp_path / "checkpoint.safetensors").stat().st_mtime_ns
    model = complete(trainer(folder=tmp_path), progress=False)
    assert (tmp_path / "checkpoint.safetensors").stat().st_mtime_ns == before
    assert same(model.state(), load(tmp_path / "checkpoint.safetensors").ema)


def test_without_a_folder_or_an_average(trainer, same):
    whole = trainer(ema_decay=None)
    whole.run(progress=False)
    assert same(complete(trainer(ema_decay=None), progress=False).state(), whole.model.state())
