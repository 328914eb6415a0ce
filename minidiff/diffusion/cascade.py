"""Small pictures first, then large ones: how the second model of a cascade learns to forgive the first its mistakes.

Noise conditioning augmentation: Ho et al. 2021 (arXiv:2106.15282); Imagen (arXiv:2205.11487), section 2.4.
"""

import numpy as np

from ..backend import xp_of
from .losses import SimpleLoss


def noised_low(cond, level, schedule, rng):
    """The condition with its small pictures noised to these steps, and told so.

    cond    a NamedTuple with fields `low` (B, ...) and `level`, such as models.LowResolution
    level   a step, or (B,) steps, of `schedule`; 0 is nearly clean
    """
    xp = xp_of(cond.low)
    level = xp.broadcast_to(xp.asarray(level), (len(cond.low),))
    eps = xp.asarray(rng.standard_normal(cond.low.shape, dtype=cond.low.dtype))
    return cond._replace(low=schedule.add_noise(cond.low, eps, level), level=level)


class CascadeLoss(SimpleLoss):
    """SimpleLoss of a model that is told of a small picture: each is noised to a random step first, and the model told which.

    highest   share of the schedule up to which the small pictures are noised in training
    The other arguments are SimpleLoss's; the schedule noises both pictures.
    """

    def __init__(self, schedule, predicts="eps", highest=0.6, **options):
        super().__init__(schedule, predicts, **options)
        if not 0 < highest <= 1:
            raise ValueError(f"highest: got {highest}, expected a share above 0, at most 1")
        self.highest = highest

    def __call__(self, model, x0, rng, cond=None):
        steps = max(1, round(self.highest * self.schedule.T))
        level = xp_of(x0).asarray(rng.integers(steps, size=len(x0))).astype(np.int64)
        return super().__call__(model, x0, rng, noised_low(cond, level, self.schedule, rng))
