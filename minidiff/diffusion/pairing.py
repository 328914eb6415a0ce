"""Which noise each clean sample of a batch is paired with: for straighter flows, the noise that lies nearest.

    sum over the batch of |x0 - eps|^2 is smallest

Tong et al. 2024 (arXiv:2302.00482), Pooladian et al. 2023 (arXiv:2304.14772): optimal transport within a minibatch.
"""

import numpy as np

from ..backend import to_numpy, xp_of
from ..names import check_choice

PAIRINGS = ("random", "optimal")


def check_pairing(pairing):
    """Raises ValueError, with the nearest names, for an unknown pairing, and ImportError where scipy is missing."""
    check_choice("pairing", pairing, PAIRINGS)
    if pairing == "optimal":
        _solver()


def optimal_pairs(x0, eps):
    """The order of the noise that pairs it best with the clean samples.   x0, eps (B, ...)   ->   int64 (B,): eps[order]

    Takes B^3 steps on the host, where the arrays are copied: about a millisecond at B = 128. Raises ImportError without scipy.
    With conditions the noise of a class is no longer normal, which guidance does not expect: pair within each class, or train
    without conditions.
    """
    a, b = (to_numpy(x).reshape(len(x), -1).astype(np.float64) for x in (x0, eps))
    cost = (a * a).sum(axis=1)[:, None] - 2 * a @ b.T + (b * b).sum(axis=1)  # (B, B)
    _, order = _solver()(cost)
    return xp_of(x0).asarray(order.astype(np.int64))


def _solver():
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError:
        raise ImportError("pairing: 'optimal' needs scipy: pip install scipy") from None
    return linear_sum_assignment
