"""What a training step takes on so many ranks, from measurements on one rank and the latency and bandwidth of a network.

    step = compute(rows of a rank) + allreduce + agreement + checkpoint / steps between two

compute     noise, network, loss and optimizer: a fixed part, and one for each row
allreduce   of the gradients, a ring: 2 (n - 1) messages one after another, 2 (n - 1) / n times the bytes through each link
agreement   three allreduces of a few bytes (did a rank fail, the loss, Ctrl-C), each log2(n) messages one after another

Thakur, Rabenseifner and Gropp 2005, "Optimization of collective communication operations in MPICH", section 4.5.
"""

import math
from typing import NamedTuple

CHECKPOINT_EVERY = 250  # steps
MUCH = 0.1  # share of a step from which on an allreduce should overlap with the backward pass


class Network(NamedTuple):
    """latency of a message in seconds, bandwidth of a link in bytes a second."""

    latency: float
    bandwidth: float


class Costs(NamedTuple):
    """What one rank takes: seconds of a step without rows, seconds a row, seconds of a checkpoint, and what is sent."""

    compute: float
    compute_row: float
    checkpoint: float
    gradient_bytes: int


def costs(large, small):
    """Costs from two measurements of one rank, of batches of different sizes (dicts of `rank.measured`)."""
    row = (large["step"] - small["step"]) / (large["batch"] - small["batch"])
    return Costs(max(0.0, large["step"] - row * large["batch"]), row, large["checkpoint"], large["allreduce_bytes"])


def network(pairs):
    """The Network between two ranks, from [(bytes, seconds)] of an allreduce: two messages, and the bytes once each way."""
    latency = min(seconds for _, seconds in pairs) / 2
    return Network(latency, max(size / (seconds - 2 * latency) for size, seconds in pairs if size >= 1 << 20))


def step(c, net, ranks, batch):
    """Seconds of a step by part.   -> {"compute", "allreduce", "agreement", "checkpoint"}"""
    rows, others = -(-batch // ranks), ranks - 1
    return {
        "compute": c.compute + c.compute_row * rows,
        "allreduce": 2 * others * net.latency + 2 * others / ranks * c.gradient_bytes / net.bandwidth,
        "agreement": 3 * math.ceil(math.log2(ranks)) * net.latency,
        "checkpoint": c.checkpoint / CHECKPOINT_EVERY,
    }


def seconds(c, net, ranks, batch):
    """Seconds of a step."""
    return sum(step(c, net, ranks, batch).values())


def overlap_from(c, net, rows, most=1 << 20):
    """The smallest number of ranks, with so many rows each, whose allreduce takes a share of MUCH of the step; None up to
    `most`."""
    for ranks in range(2, most):
        parts = step(c, net, ranks, ranks * rows)
        if parts["allreduce"] > MUCH * sum(parts.values()):
            return ranks
    return None
