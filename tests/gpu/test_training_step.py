"""The trainer's step on the device: as a graph it is the step launch by launch to the bit, and NumPy's step to rounding."""

import warnings

import numpy as np
import pytest
from steps import trainer

from minidiff.backend import to_numpy
from minidiff.diffusion import Schedule, SimpleLoss
from minidiff.gpu.recorder import WARM_UPS
from minidiff.settings import plain

one_order = pytest.mark.parametrize("xp", ["forwards", pytest.param("cupy", marks=pytest.mark.gpu)], indirect=True)


def _state(t):
    return {name: to_numpy(a) for name, a in dict(values=t.arena.values, m=t.optimizer.m, v=t.optimizer.v,
                                                  average=t.ema.average).items()}  # fmt: skip


@one_order
def test_a_replay_is_the_eager_step_to_the_bit(xp):
    graph, eager = trainer(xp), trainer(xp, graph=False)
    for _ in range(6):
        assert float(graph.step()) == float(eager.step())
    assert graph._device_step.recorded.graph is not None and eager._device_step.recorded.graph is None
    for name, array in _state(graph).items():
        np.testing.assert_array_equal(array, _state(eager)[name], err_msg=name)
    for t in (graph, eager):
        t.look()
    assert graph.history.loss == eager.history.loss and graph.history.grad_norm == eager.history.grad_norm
    assert (graph.done, graph.optimizer.t, graph.ema.n) == (6, 6, 6)


@one_order
def test_the_step_is_numpys(xp):
    ours, numpys = trainer(xp), trainer(np)
    for t in (ours, numpys):
        for _ in range(5):
            t.step()
        t.look()
    np.testing.assert_allclose(ours.history.loss, numpys.history.loss, rtol=1e-4)
    np.testing.assert_allclose(ours.history.grad_norm, numpys.history.grad_norm, rtol=1e-3)
    for name in ("values", "average"):  # not each by itself: where a gradient is nearly nought, Adam makes a whole step of it
        a, b = _state(ours)[name], _state(numpys)[name]
        assert np.linalg.norm(a - b) < 4e-5 * np.linalg.norm(b)


@pytest.mark.parametrize("xp", ["forwards"], indirect=True)
@pytest.mark.parametrize("graph", [True, False])
def test_a_step_waits_for_nothing_uploads_the_indices_and_takes_no_memory(xp, graph):
    t = trainer(xp, graph=graph)
    for _ in range(WARM_UPS + 2):
        t.step()
    for key in xp.STATS:
        xp.STATS[key] = 0
    with xp.no_sync(), xp.no_allocation():
        for _ in range(4):
            t.step()
    assert xp.STATS == dict(syncs=0, uploads=4, downloads=0, allocations=0)


@one_order
def test_checkpoints_are_the_same_file_and_a_resumed_run_is_bit_identical(xp, tmp_path):
    whole, eager = trainer(xp), trainer(xp, graph=False)
    for t, name in ((whole, "graph"), (eager, "eager")):
        for _ in range(4):
            t.step()
        t.save(tmp_path / name)
    assert (tmp_path / "graph").read_bytes() == (tmp_path / "eager").read_bytes()
    resumed, at_home = trainer(xp).resume(tmp_path / "graph"), trainer(np).resume(tmp_path / "graph")
    for t in (whole, resumed, at_home):
        for _ in range(4):
            t.step()
    for name, array in _state(whole).items():
        np.testing.assert_array_equal(array, _state(resumed)[name], err_msg=name)
    assert np.linalg.norm(_state(whole)["values"] - at_home.arena.values) < 4e-5 * np.linalg.norm(at_home.arena.values)


@one_order
def test_a_running_graph_takes_over_a_checkpoint(xp, tmp_path):
    t = trainer(xp)
    for _ in range(4):
        t.step()
    t.save(tmp_path / "four")
    then = [float(t.step()) for _ in range(4)]
    t.resume(tmp_path / "four")
    assert [float(t.step()) for _ in range(4)] == then


@one_order
def test_settings_may_change_on_the_way(xp):
    graph, eager = trainer(xp), trainer(xp, graph=False)
    for k in range(8):
        if k == 4:
            for t in (graph, eager):
                t.lr, t.objective = 1e-2, SimpleLoss(Schedule.linear(20), "v")
        assert float(graph.step()) == float(eager.step())
    assert graph._device_step.recorded.runs == 4 and graph._device_step.recorded.graph is not None


@one_order
def test_steps_past_the_end_of_the_run_work(xp):
    t = trainer(xp, steps=2)
    for _ in range(4):
        t.step()
    assert t.done == 4 and t.rate(3) == 0


@one_order
def test_a_loss_that_waits_is_not_recorded(xp):
    t, numpys = (trainer(m, SimpleLoss(Schedule.linear(20), t_sampler="loss")) for m in (xp, np))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = [float(t.step()) for _ in range(4)]
    assert t._device_step.recorded.graph is None
    np.testing.assert_allclose(ours, [numpys.step() for _ in range(4)], rtol=1e-4)


@one_order
def test_a_step_that_cannot_be_recorded_runs_with_one_warning(xp):
    class Curious(SimpleLoss):
        def compare(self, *args):
            found = super().compare(*args)
            self.seen = float(found[0].sum())
            return found

    t, calm = trainer(xp, Curious(Schedule.linear(20))), trainer(xp)
    with pytest.warns(UserWarning, match="launch by launch") as said:
        ours = [float(t.step()) for _ in range(5)]
    assert len(said) == 1
    assert ours == [float(calm.step()) for _ in range(5)]


@one_order
def test_plain_and_float64_take_the_plain_step(xp):
    t = trainer(xp, dtype=np.float64)
    t.step()
    single = trainer(xp)
    with plain():
        single.step()
    assert not any("_device_step" in vars(made) for made in (t, single))


@one_order
def test_training_under_the_average_or_in_an_old_arena_is_refused(xp):
    t = trainer(xp)
    t.step()
    with t.ema.applied(), pytest.raises(RuntimeError, match="holds the average"):
        t.step()


@one_order
def test_a_bad_loss_is_found_at_the_next_check(xp):
    from minidiff.training import NotFinite

    t = trainer(xp)
    t.step()
    t.arena.values.fill(np.nan)
    t.step()
    with pytest.raises(NotFinite, match="step 2"):
        t.look()
