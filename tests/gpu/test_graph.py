"""Whole steps under the rules of a recording, on the stand-in; replays equal to ordinary steps, on a card."""

import numpy as np
import pytest

from minidiff.backend import to_numpy
from minidiff.diffusion import Denoiser, Schedule, SimpleLoss
from minidiff.gpu import matmul
from minidiff.gpu.graph import WARM_UPS, CudaRecorder, SamplingStep, TrainingStep
from minidiff.models import UNet
from minidiff.rng import Rng
from minidiff.samplers import sample
from minidiff.training import Trainer

SMALL = dict(in_channels=1, out_channels=1, block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=2,
             attention_head_dim=4, num_class_embeds=3, null_class=2)  # fmt: skip


one_order = pytest.mark.parametrize("xp", ["forwards", pytest.param("cupy", marks=pytest.mark.gpu)], indirect=True)


class StandInRecorder:
    """Runs every "replay" as the step itself, under what a recording forbids: no upload, no waiting, no CuPy cuBLAS."""

    def __init__(self, xp, blas):
        self.xp, self.blas, self.records = xp, blas, 0

    def run(self, step):
        with matmul.using(self.blas):
            return step()

    def record(self, step):
        self.records += 1
        result = []

        def replay():
            with matmul.using(self.blas), self.xp.capturing():
                result[:] = [step()]

        return replay, Latest(result)


class Latest:
    """What the last replay gave: on a card, the same arrays with new contents."""

    def __init__(self, result):
        self.result = result

    def __iter__(self):
        return iter(self.result[0])

    def copy(self):
        return self.result[0].copy()


@pytest.fixture
def recorder(xp, blas):
    return StandInRecorder(xp, blas) if hasattr(xp, "capturing") else CudaRecorder(xp)


def _trainer(xp, steps=5, objective=None, **options):
    net = UNet(**SMALL, rng=0)
    images = Rng(1).standard_normal((12, 8, 8, 1), np.float32)
    labels = np.arange(12) % 2
    if xp is not np:
        net, images, labels = net.to("cuda"), xp.asarray(images), xp.asarray(labels)
    objective = objective or SimpleLoss(Schedule.linear(20))
    return Trainer(net, objective, images, labels, steps=steps, batch_size=4, lr=3e-3, warmup=2, **options)


@one_order
@pytest.mark.slow
def test_training_step(xp, recorder):
    ours, numpys = _trainer(xp), _trainer(np)
    step = TrainingStep(ours, recorder)
    for _ in range(5):
        loss, norm = step()
        expected = numpys.step()
        np.testing.assert_allclose(to_numpy(loss), expected, rtol=1e-4)
        numpys.look()
        np.testing.assert_allclose(to_numpy(norm)[0], numpys.history.grad_norm[-1], rtol=1e-3)
    step.finish()
    assert step.recorded.runs == 5 > WARM_UPS and (ours.done, ours.optimizer.t, ours.ema.n) == (5, 5, 5)
    for a, b in ((ours.arena.values, numpys.arena.values), (ours.ema.average, numpys.ema.average)):
        # not each by itself: where a gradient is nearly nought, Adam makes a whole step of its rounding
        assert np.linalg.norm(to_numpy(a) - b) < 4e-5 * np.linalg.norm(b)
    with pytest.raises(RuntimeError, match="learning rates"):
        step()


@one_order
@pytest.mark.slow
def test_a_replay_is_the_step_to_the_bit(xp, recorder):
    """Four steps of which two are replays, and four that run as they are."""
    graph, plain_steps = _trainer(xp), _trainer(xp)
    step, eager = TrainingStep(graph, recorder), TrainingStep(plain_steps, recorder)
    eager.recorded.runs = -10  # still warming up after four
    for _ in range(4):
        step(), eager()
    assert step.recorded.replay is not None and eager.recorded.replay is None
    np.testing.assert_array_equal(to_numpy(graph.arena.values), to_numpy(plain_steps.arena.values))


@one_order
def test_sampling_step(xp, recorder):
    net = UNet(**SMALL, rng=0).to("cuda")
    cond, noise = xp.asarray(np.array([0, 1])), xp.asarray(Rng(2).standard_normal((2, 8, 8, 1), np.float32))
    fast = SamplingStep(net, (2, 8, 8, 1), cond, xp, recorder)
    pictures = [
        to_numpy(sample("ddim", Denoiser(model, Schedule.linear(20)), noise.shape, steps=6, cond=cond, x=noise, rng=0))
        for model in (net, fast)
    ]
    assert fast.recorded.runs == 6
    np.testing.assert_allclose(*pictures, rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match="recorded for"):
        fast(noise[:1], 3, cond)


def test_a_host_model_is_refused():
    with pytest.raises(TypeError, match="float32 model on a GPU"):
        TrainingStep(_trainer(np))
