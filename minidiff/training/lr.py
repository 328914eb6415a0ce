"""The learning rate as a pure function of the step: nothing to save, nothing to restore."""

import math

from ..names import check_choice

CURVES = ("cosine", "constant")


def learning_rate(step, *, lr, steps, warmup=0, curve="cosine"):
    """The learning rate of step 0, 1, 2, ...: a linear rise from 0 over `warmup` steps, then `curve`.

    "cosine" falls from lr to 0 along half a cosine (Loshchilov and Hutter 2016, arXiv:1608.03983, without restarts),
    reaching 0 at `steps`; "constant" stays. The numbers are those of get_cosine_schedule_with_warmup and
    get_constant_schedule_with_warmup in Hugging Face's libraries.
    """
    check_choice("curve", curve, CURVES)
    if step < warmup:
        return lr * step / warmup
    if curve == "constant":
        return float(lr)
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return lr * 0.5 * (1 + math.cos(math.pi * progress))
