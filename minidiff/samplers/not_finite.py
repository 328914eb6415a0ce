"""What stops a sampling run: a sample that is NaN or infinite is never handed on in silence."""

import numpy as np

from ..backend import xp_of


class NotFinite(FloatingPointError):
    """A sample is NaN or infinite.   sampler: its name   step, t: as in `Step`, the move after which it was seen

    On a CPU every step is looked at, on a GPU the last one alone, so that the host waits for the device once a run.
    """

    def __init__(self, sampler, step, t, bad, size):
        self.sampler, self.step, self.t = sampler, step, t
        where = "its end" if step is None else f"step {step}, t = {t}"
        super().__init__(
            f"{sampler} stopped at {where}: {bad} of {size} values of the sample are NaN or infinite. "
            "Usual causes: NaN in the model's weights, the noise or the condition; guidance too large for the dtype"
        )


def watched(run, sampler, x, graph=True):
    """The steps of a run that starts from x. Raises NotFinite for a sample that is not finite.

    graph   None on a device: the caller records the run, and nothing may wait for the device
    """
    step, on_device = None, not isinstance(x, np.ndarray)
    for step in run:
        if not on_device:
            check(step, sampler)
        yield step
    if on_device and graph is not None and step is not None:
        check(step, sampler)


def check(step, sampler):
    """Raises NotFinite unless every value of the step's sample is finite. Waits for the device once."""
    finite = xp_of(step.x).isfinite(step.x)
    if not finite.all():
        raise NotFinite(sampler, step.i, step.t, int((~finite).sum()), finite.size)
