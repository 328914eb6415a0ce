"""Squared error and cross-entropy. Weighted losses of diffusion are in `diffusion`."""

from ..backend import xp_of
from . import check


def mse(y, target):
    """loss = mean((y - target)^2), a 0-d array.   y, target (...)   back(dloss=1) -> (dy, dtarget)"""
    check.floats("mse", y=y, target=target)
    check.shape("mse", "target", target, f"{y.shape}, as y", y.shape == target.shape)
    difference = y - target
    loss = (difference * difference).mean()

    def back(dloss=1.0):
        dy = difference * (dloss * (2.0 / difference.size))
        return dy, -dy

    return loss, back


def cross_entropy(logits, labels):
    """loss = mean(-log softmax(logits)[label]), a 0-d array.   logits (B, K)   labels integers (B,)

    back(dloss=1) -> dlogits
    """
    check.floats("cross_entropy", logits=logits)
    check.shape("cross_entropy", "labels", labels, f"({logits.shape[0]},) to fit logits {logits.shape}",
                labels.shape == logits.shape[:1])  # fmt: skip
    xp = xp_of(logits, labels)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - xp.log(xp.exp(shifted).sum(axis=1, keepdims=True))
    wanted = (labels[:, None] == xp.arange(logits.shape[1])).astype(logits.dtype)  # (B, K), one 1 a row

    def back(dloss=1.0):
        return (xp.exp(log_p) - wanted) * (dloss * (1.0 / len(logits)))

    return -(log_p * wanted).sum() * (1.0 / len(logits)), back
