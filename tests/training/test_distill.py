import numpy as np
import pytest

from minidiff import models
from minidiff.diffusion import Denoiser, Schedule
from minidiff.diffusion.denoiser import from_x0_eps
from minidiff.nn import Layer, Param
from minidiff.rng import Rng
from minidiff.samplers import ddim
from minidiff.training.distill import TwoStepLoss, progressive_distillation

SCHEDULE = Schedule.cosine(64)


class Shrink(Layer):
    """The best denoiser of Gaussian data, x0 = c[t] x: one number for each time, begun at the truth for N(0, s^2)."""

    def __init__(self, schedule, s):
        alpha, sigma = schedule.alpha(np.arange(schedule.T)), schedule.sigma(np.arange(schedule.T))
        self.c = Param(alpha * s**2 / (alpha**2 * s**2 + sigma**2))

    def forward(self, x, t, cond=None):
        t = np.broadcast_to(t, len(x))
        c = self.c.value[t][:, None]  # (B, 1)

        def back(dy):
            np.add.at(self.c.grad, t, (dy * x).sum(axis=1))
            return dy * c

        return c * x, back


def curved(x, t, cond=None):
    """A made-up prediction, as far from linear as any."""
    return np.sin(3 * x) * (1 + np.reshape(t, (-1, 1)) / 64) + 0.3 * x


def last(steps):
    return list(steps)[-1].x


@pytest.mark.parametrize("predicts", ["v", "x0"])
@pytest.mark.parametrize("times", [[63, 40, 20, 3], [60, 33], list(range(63, -1, -1)), [50.5, 20.25]])
def test_one_step_of_a_student_that_hits_the_target_lands_where_two_of_the_teacher_land(predicts, times):
    """The target, as the loss hands it to a model, is what ddim needs to go in one step where ddim goes in two."""
    teacher = Denoiser(curved, SCHEDULE, predicts)
    loss = TwoStepLoss(teacher, times, weighting="simple")
    x0, eps = Rng(0).standard_normal((5, 2), np.float64), Rng(1).standard_normal((5, 2), np.float64)
    for i in range(len(times) // 2):
        seen = {}

        def spy(xt, t, cond=None, seen=seen):
            seen.update(xt=xt, t=t)
            return np.zeros_like(xt), None

        losses, dlosses, _ = loss.compare(spy, x0, eps, np.full(5, i), None)
        target = -dlosses * x0[0].size / 2  # of the squared error of zero
        xt = seen["xt"]
        alpha, sigma = SCHEDULE.alpha(times[2 * i]), SCHEDULE.sigma(times[2 * i])
        assert (seen["t"] == times[2 * i]).all() and np.allclose(xt, alpha * x0 + sigma * eps, rtol=1e-15)
        pair, rest = times[2 * i : 2 * i + 2], times[2 * i + 2 :]
        student = Denoiser(lambda x, t, cond, target=target: target, SCHEDULE, predicts)
        if rest:  # compare where the step ends, not what comes after
            two = next(s.x for k, s in enumerate(ddim(teacher, xt, steps=pair + rest)) if k == 1)
            one = next(s.x for s in ddim(student, xt, steps=[pair[0], *rest]))
        else:
            two, one = last(ddim(teacher, xt, steps=pair)), last(ddim(student, xt, steps=pair[:1]))
        scale = abs(two).max()
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-12 * scale)
        np.testing.assert_allclose(losses, (target**2).mean(axis=1), rtol=1e-13)


def test_target_as_the_paper_writes_it():
    """Algorithm 2: x = (z'' - (s''/s) z) / (a'' - (s''/s) a), each point of the way computed as written there."""
    times, teacher = [48, 30, 11, 2], Denoiser(curved, SCHEDULE, "x0")
    loss = TwoStepLoss(teacher, times, weighting="simple")
    x0, eps = Rng(0).standard_normal((1, 3), np.float64), Rng(1).standard_normal((1, 3), np.float64)
    a, s = SCHEDULE.alpha(np.array(times)), SCHEDULE.sigma(np.array(times))
    z = a[0] * x0 + s[0] * eps
    x = curved(z, times[0])
    z1 = a[1] * x + s[1] / s[0] * (z - a[0] * x)
    x = curved(z1, times[1])
    z2 = a[2] * x + s[2] / s[1] * (z1 - a[1] * x)
    target = (z2 - s[2] / s[0] * z) / (a[2] - s[2] / s[0] * a[0])
    _, dlosses, _ = loss.compare(lambda x, t, cond: (np.zeros_like(x), None), x0, eps, np.array([0]), None)
    np.testing.assert_allclose(-dlosses * 3 / 2, target, rtol=1e-12)


def test_weighting_is_truncated_snr_on_x0():
    times = [60, 50, 20, 5]
    x0, eps = Rng(0).standard_normal((2, 3), np.float64), Rng(1).standard_normal((2, 3), np.float64)

    def loss_of(predicts):  # the same wrong answer, in each model's own terms
        def off(x, t, cond=None):
            alpha, sigma = SCHEDULE.alpha(t)[:, None], SCHEDULE.sigma(t)[:, None]
            return from_x0_eps(0 * x, x / sigma, alpha, sigma, predicts)

        def good(x, t, cond=None):
            alpha, sigma = SCHEDULE.alpha(t)[:, None], SCHEDULE.sigma(t)[:, None]
            return from_x0_eps(0 * x + 1, (x - alpha) / sigma, alpha, sigma, predicts)

        loss = TwoStepLoss(Denoiser(good, SCHEDULE, predicts), times)
        return loss.compare(lambda *args: (off(*args), None), x0, eps, np.array([0, 1]), None)[0]

    snr = (SCHEDULE.alpha(np.array([60, 20])) / SCHEDULE.sigma(np.array([60, 20]))) ** 2
    assert snr[0] < 1 < snr[1]
    for predicts in ("x0", "v"):
        np.testing.assert_allclose(loss_of(predicts), np.maximum(snr, 1), rtol=1e-10)


def test_eight_steps_become_one_on_gaussian_data():
    """There a DDIM step is a factor, so the student's one step has an exact answer: the product of the teacher's eight."""
    model = Shrink(SCHEDULE, 0.5)
    begun = model.c.value.copy()
    data = 0.5 * Rng(3).standard_normal((512, 2), np.float64)
    z = Rng(4).standard_normal((6, 2), np.float64)
    options = dict(train_steps=400, lr=0.03, weight_decay=0.0, batch_size=64, progress=False)
    stages = progressive_distillation(Denoiser(model, SCHEDULE, "x0"), data, start=8, **options)
    wanted = last(ddim(Denoiser(model, SCHEDULE, "x0"), z, steps=8, spacing="trailing"))
    plain = last(ddim(Denoiser(model, SCHEDULE, "x0"), z, steps=1, spacing="trailing"))
    seen = []
    for stage in stages:
        seen.append(stage.steps)
        np.testing.assert_allclose(last(ddim(stage.denoiser, z, steps=stage.times)), wanted, rtol=2e-3)
    assert seen == [4, 2, 1] and stage.times.tolist() == [63]
    assert abs(plain / wanted).max() < 0.5  # without distillation one step is far off
    assert np.array_equal(begun, model.c.value)  # the teacher is left as it was


def test_halvings_nest_and_resume_from_their_folder(tmp_path, points, same):
    def run(folder, stages=9):
        teacher = Denoiser(models.MLP(width=16, depth=1, rng=Rng(0)), SCHEDULE, "v")
        options = dict(start=8, stop=2, train_steps=6, batch_size=8, folder=folder, progress=False, ema_decay=0.5)
        return [s for s, _ in zip(progressive_distillation(teacher, points, **options), range(stages), strict=False)]

    whole = run(tmp_path / "whole")
    assert [s.times.tolist() for s in whole] == [[63, 47, 31, 15], [63, 31]]
    assert [len(s.history) for s in whole] == [6, 6]
    run(tmp_path / "part", stages=1)
    again = run(tmp_path / "part")
    for a, b in zip(whole, again, strict=True):
        assert same(a.denoiser.model.state(), b.denoiser.model.state())
    files = [(tmp_path / name / "steps_2" / "checkpoint.safetensors").read_bytes() for name in ("whole", "part")]
    assert files[0] == files[1]


def test_conditions_reach_teacher_and_student(points):
    model = models.MLP(width=16, depth=1, num_class_embeds=4, null_class=3, rng=Rng(0))
    loss = TwoStepLoss(Denoiser(model, SCHEDULE, "v"), [60, 40, 20, 0], cond_dropout=0.5)
    asked = []

    class Spy(Layer):
        def forward(self, x, t, cond=None):
            asked.append(cond)
            return model(x, t, cond)

        null_cond = staticmethod(model.null_cond)

    loss.teacher = Denoiser(Spy(), SCHEDULE, "v")
    value, back = loss(Spy(), points[:32], Rng(0), np.arange(32) % 3)
    back()
    assert np.isfinite(value) and len(asked) == 3 and all(np.array_equal(asked[0], cond) for cond in asked)
    assert 0 < (asked[0] == 3).sum() < 32


@pytest.mark.parametrize(
    "change, message",
    [
        ({"start": 12}, "start: got 12, expected stop = 1 times a power of two"),
        ({"start": 8, "stop": 8}, "start, stop: got 8, 8"),
        ({"start": 8, "stop": 0}, "start, stop: got 8, 0"),
        ({"start": 128}, "steps"),
    ],
)
def test_bad_arguments_before_any_work(points, change, message):
    with pytest.raises(ValueError, match=message):
        progressive_distillation(Denoiser(curved, SCHEDULE, "v"), points, **change)


def test_bad_teachers_and_times():
    with pytest.raises(ValueError, match="predicts 'eps', expected 'v' or 'x0'"):
        TwoStepLoss(Denoiser(curved, SCHEDULE, "eps"), [3, 1])
    for times in ([3], [3, 2, 1], [1, 3], [[3, 1]]):
        with pytest.raises(ValueError, match="times: got"):
            TwoStepLoss(Denoiser(curved, SCHEDULE, "v"), times)
