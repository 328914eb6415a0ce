"""Progressive distillation: a student learns to reach in one DDIM step what its teacher reaches in two; then it becomes
the teacher. 64 steps become 32, 16, ... 1. Salimans and Ho 2022 (arXiv:2202.00512), algorithm 2.
"""

import copy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..backend import Constant, xp_of
from ..diffusion import Denoiser
from ..diffusion.denoiser import from_x0_eps, model_time
from ..diffusion.losses import Objective, mean_square
from ..diffusion.schedule import per_sample
from ..diffusion.spacing import spaced_steps
from ..diffusion.timesteps import Uniform
from ..diffusion.weighting import check_finite, check_weighting, weight
from .complete import complete
from .trainer import Trainer


class TwoStepLoss(Objective):
    """The loss of one halving.

    teacher     a Denoiser that predicts v or x0; eps determines x0 too poorly where a step begins in almost pure noise
    times       the teacher's 2 N timesteps, descending; the student's are times[::2], and both end at the clean image
    weighting   as in SimpleLoss; the paper's is "truncated_snr", max(SNR, 1) on the error of x0
    """

    each_row_alone = True

    def __init__(self, teacher, times, weighting="truncated_snr", cond_dropout=0.1):
        if teacher.predicts not in ("v", "x0"):
            raise ValueError(f"teacher: predicts {teacher.predicts!r}, expected 'v' or 'x0': few steps need one of them")
        times = np.asarray(times)
        if times.ndim != 1 or len(times) < 2 or len(times) % 2 or not (times[:-1] > times[1:]).all():
            raise ValueError(f"times: got {times}, expected an even number of them, descending")
        check_weighting(weighting)
        check_finite(teacher.schedule, teacher.predicts, weighting)
        steps, scale = StudentSteps(len(times) // 2), getattr(teacher, "time_scale", 1.0)
        super().__init__(teacher.schedule, teacher.predicts, cond_dropout, steps, time_scale=scale)
        self.teacher, self.times, self.weighting = teacher, times, weighting
        alpha, sigma = np.append(self.schedule.alpha(times), 1.0), np.append(self.schedule.sigma(times), 0.0)  # ... then clean
        tables = {"t": times, "alpha": alpha, "sigma": sigma, "share": first_share(alpha, sigma)}
        self._tables = {name: Constant(table) for name, table in tables.items()}

    def compare(self, model, x0, eps, i, cond):
        """Student step i goes from times[2 i] past times[2 i + 1] to times[2 i + 2].   i (B,)"""
        t, alpha, sigma = self._point(2 * i, x0)
        t_half, alpha_half, sigma_half = self._point(2 * i + 1, x0)
        xt = alpha * x0 + sigma * eps
        first, _ = self.teacher(xt, t, cond)
        x_half = alpha_half * first + sigma_half / sigma * (xt - alpha * first)  # one DDIM step
        second, _ = self.teacher(x_half, t_half, cond)
        share = per_sample(self._table("share", i), x0)
        aim = share * first + (1 - share) * second
        target = from_x0_eps(aim, (xt - alpha * aim) / sigma, alpha, sigma, self.predicts)
        output, back_model = model(xt, model_time(t, self.time_scale), cond)
        output, share = self.teacher.split(output, xt)
        losses, dlosses = mean_square(output, target, weight(self.schedule, t, self.predicts, self.weighting))
        if share is not None:  # the two steps do not determine the variance: its channels keep what the teacher learned
            dlosses = xp_of(xt).concatenate([dlosses, 0.0 * share], axis=-1)
        return losses, dlosses, back_model

    def denoiser(self, model):
        learned = getattr(self.teacher, "learned_variance", False)
        return Denoiser(model, self.schedule, self.predicts, learned, self.time_scale)

    def _point(self, k, x):
        """t (B,), and alpha and sigma as they multiply x, at the k-th of the times.   k (B,)"""
        return self._table("t", k), per_sample(self._table("alpha", k), x), per_sample(self._table("sigma", k), x)

    def _table(self, what, index):
        return self._tables[what].beside(index)[index]


class StudentSteps(Uniform):
    """Samples which of its n steps the student trains on, uniformly; 0 is the noisiest."""

    each_row_alone = True

    def __init__(self, n):
        self.low, self.high, self.real = 0, n - 1, False


def first_share(alpha, sigma):
    """The weight of the teacher's first x0 in the student's target, for steps 0, 2, 4, ... of a path.   -> float64 (N,)

    alpha, sigma (2 N + 1,), the clean end included. Two DDIM steps z -> z' -> z'' with predictions x', x'' end at
        z'' = (a'' - r'' a') x'' + r'' (a' - r' a) x' + r'' r' z,     r' = s' / s,  r'' = s'' / s',
    and one step with the prediction x at (a'' - r'' r' a) x + r'' r' z. The two ends are equal for an x that is a weighted
    mean of x' and x'': the paper's appendix G solved for its target, without a difference of nearly equal images.
    """
    a, s = (alpha[:-1:2], alpha[1::2], alpha[2::2]), (sigma[:-1:2], sigma[1::2], sigma[2::2])
    r_half, r_end = s[1] / s[0], s[2] / s[1]
    first, second = r_end * (a[1] - r_half * a[0]), a[2] - r_end * a[1]
    return first / (first + second)


class Stage(NamedTuple):
    """One halving.

    steps      of the student        times    its timesteps, descending: ddim(denoiser, x, steps=times)
    denoiser   the student           history  of its training
    """

    steps: int
    times: np.ndarray
    denoiser: Any
    history: Any


def progressive_distillation(
    denoiser, images, labels=None, *, start=64, stop=1, train_steps=1000, spacing="trailing", weighting="truncated_snr",
    cond_dropout=0.1, seed=0, ema_decay=None, folder=None, progress=True, **options,
):  # fmt: skip
    """Halve a model's sampling steps from `start` down to `stop`, training `train_steps` each time.   -> yields Stage

    denoiser      a trained Denoiser over a Layer, predicting v or x0; its model is not changed
    start, stop   start is stop times a power of two; spacing: how the start's steps are spaced, "trailing" begins at pure noise
    weighting, cond_dropout   see TwoStepLoss
    folder        each stage saves its checkpoint in folder/steps_N, and resumes from it when called again
    options       any others of the Trainer: batch_size, lr, warmup, ...
    Raises ValueError for a start that cannot be halved to stop, and for a model that predicts eps.
    """
    if not (isinstance(start, int) and isinstance(stop, int) and 1 <= stop < start):
        raise ValueError(f"start, stop: got {start!r}, {stop!r}, expected whole numbers, 1 <= stop < start")
    if start % stop or (start // stop) & (start // stop - 1):
        raise ValueError(f"start: got {start}, expected stop = {stop} times a power of two")
    times = spaced_steps(denoiser.schedule, start, spacing)
    return _stages(
        denoiser, images, labels, times, stop, weighting, cond_dropout, None if folder is None else Path(folder), progress,
        {"steps": train_steps, "seed": seed, "ema_decay": ema_decay, **options},
    )  # fmt: skip


def _stages(teacher, images, labels, times, stop, weighting, cond_dropout, folder, progress, options):
    while len(times) > stop:
        loss = TwoStepLoss(teacher, times, weighting, cond_dropout)
        times = times[::2]
        student = copy.deepcopy(teacher.model)  # starts from the teacher's weights
        place = None if folder is None else folder / f"steps_{len(times)}"
        trainer = Trainer(student, loss, images, labels, folder=place, **options)
        student = complete(trainer, progress)
        teacher = loss.denoiser(copy.deepcopy(student))  # outside the trainer's arena
        yield Stage(len(times), times, teacher, trainer.history)
