"""NaN and infinity in losses: found on the CPU at once; on a GPU the Trainer looks, every few steps."""

import numpy as np

from .backend import xp_of


class NotFiniteLoss(FloatingPointError):
    """A loss is NaN or infinite.   value: which of them"""

    def __init__(self, message, value):
        self.value = value
        super().__init__(message)


def checked(loss, name, losses=None, t=None):
    """The loss, a 0-d array. Raises NotFiniteLoss where it is NaN or infinite; on a device it is not looked at.

    name: of the objective   losses, t (B,): each sample's loss and timestep, for the message
    """
    if xp_of(loss) is not np or np.isfinite(loss):
        return loss
    where = ""
    if losses is not None and not np.isfinite(losses).all():
        bad = np.flatnonzero(~np.isfinite(losses))
        where = f", in {len(bad)} of {len(losses)} samples" + (f", first at t = {t[bad[0]]}" if t is not None else "")
    raise NotFiniteLoss(
        f"{name}: the loss is {float(np.real(loss))}{where}, expected a finite number. Usual causes: NaN in the data or the "
        "weights, a learning rate that is too high, a weighting that is infinite at this noise level",
        float(np.real(loss)),
    )
