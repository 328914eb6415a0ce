"""What a training step takes on so many ranks, from measurements on one rank and the latency and bandwidth of a network.

    step = compute(rows of a rank) + repeated(batch) + allreduce + gathers + checkpoint / steps between two

compute     forward and backward pass: a fixed part, and one for each row
repeated    what every rank does for the whole batch: its noise and loss, and the optimizer
allreduce   a ring: 2 (n - 1) messages one after another, 2 (n - 1) / n times the bytes of the gradients through each link
gathers     the output, and the gradient of the input, of all rows: two rings of n - 1 messages, (n - 1) / n times the bytes

Thakur, Rabenseifner and Gropp 2005, "Optimization of collective communication operations in MPICH", sections 4.1 and 4.5.
"""

from typing import NamedTuple

CHECKPOINT_EVERY = 250  # steps
MUCH = 0.1  # share of a step from which on an allreduce should overlap with the backward pass


class Network(NamedTuple):
    """latency of a message in seconds, bandwidth of a link in bytes a second."""

    latency: float
    bandwidth: float


class Costs(NamedTuple):
    """What one rank takes: seconds, seconds a row of its part, seconds, seconds a row of the batch, and what is sent."""

    compute: float
    compute_row: float
    repeated: float
    repeated_row: float
    checkpoint: float
    gradient_bytes: int
    row_bytes: int


def costs(large, small):
    """Costs from two measurements of one rank, of batches of different sizes (dicts of `rank.measured`)."""
    row, batch = (large["compute"] - small["compute"]) / (large["batch"] - small["batch"]), large["batch"]
    repeated = large["step"] - large["compute"] - large["repeated_row"] * batch
    return Costs(max(0.0, large["compute"] - row * batch), row, max(0.0, repeated), large["repeated_row"], large["checkpoint"],
                 large["allreduce_bytes"], 4 * large["pixels"])  # fmt: skip


def network(pairs):
    """The Network between two ranks, from [(bytes, seconds)] of an allreduce: two messages, and the bytes once each way."""
    latency = min(seconds for _, seconds in pairs) / 2
    return Network(latency, max(size / (seconds - 2 * latency) for size, seconds in pairs if size >= 1 << 20))


def step(c, net, ranks, batch):
    """Seconds of a step by part.   -> {"compute", "repeated", "allreduce", "gathers", "checkpoint"}"""
    rows, others = -(-batch // ranks), ranks - 1
    share = others / ranks
    return {
        "compute": c.compute + c.compute_row * rows,
        "repeated": c.repeated + c.repeated_row * batch,
        "allreduce": 2 * others * net.latency + 2 * share * c.gradient_bytes / net.bandwidth,
        "gathers": 2 * (others * net.latency + share * batch * c.row_bytes / net.bandwidth),
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
