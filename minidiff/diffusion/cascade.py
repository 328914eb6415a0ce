"""Noise conditioning augmentation: makes the upsampler of a cascade robust to errors of the base model.

Ho et al. 2021 (arXiv:2106.15282); Imagen (arXiv:2205.11487), section 2.4.
"""

import numpy as np

from ..backend import xp_of
from .losses import SimpleLoss


def noised_low(cond, level, schedule, rng):
    """The condition with its small images noised to these timesteps, and with the timesteps.

    cond    a NamedTuple with fields `low` (B, ...) and `level`, such as models.LowResolution
    level   a step, or (B,) steps, of `schedule`; 0 is nearly clean
    """
    xp = xp_of(cond.low)
    level = xp.broadcast_to(xp.asarray(level), (len(cond.low),))
    eps = xp.asarray(rng.standard_normal(cond.low.shape, dtype=cond.low.dtype))
    return cond._replace(low=schedule.add_noise(cond.low, eps, level), level=level)


class CascadeLoss(SimpleLoss):
    """SimpleLoss of an upsampler: noises each small image to a random timestep and passes that timestep to the model.

    highest   largest noise of the small images in training, as a fraction of the schedule
    The other arguments are SimpleLoss's; the schedule noises both images.
    """

    each_row_alone = True

    def __init__(self, schedule, predicts="eps", highest=0.6, **options):
        super().__init__(schedule, predicts, **options)
        if not 0 < highest <= 1:
            raise ValueError(f"highest: got {highest}, expected a share above 0, at most 1")
        self.highest = highest

    def __call__(self, model, x0, rng, cond=None):
        steps = max(1, round(self.highest * self.schedule.T))
        level = xp_of(x0).asarray(rng.integers(steps, size=len(x0))).astype(np.int64)
        return super().__call__(model, x0, rng, noised_low(cond, level, self.schedule, rng))
