"""The cost model of docs/scaling.md: ring formulas by hand, costs that are found again, and a measurement that it predicts."""

import json
from pathlib import Path

import pytest

from benchmarks.scaling import model
from benchmarks.scaling.__main__ import CLUSTER, PLANNED

FILE = Path(__file__).parents[2] / "docs" / "scaling" / "scaling.json"
MADE = model.Costs(compute=0.002, compute_row=0.01, checkpoint=0.5, gradient_bytes=4_000_000)


def measured(c, batch):
    """What rank.py would write for these costs."""
    step = c.compute + c.compute_row * batch
    return {"batch": batch, "step": step, "checkpoint": c.checkpoint, "allreduce_bytes": c.gradient_bytes}


def test_costs_are_found_from_two_batches():
    found = model.costs(measured(MADE, 64), measured(MADE, 32))
    assert found == pytest.approx(MADE)


def test_a_network_is_found_from_the_times_of_a_ring_of_two():
    net = model.Network(2e-5, 1e9)
    pairs = [(size, 2 * net.latency + size / net.bandwidth) for size in (1 << 20, 1 << 24)]
    found = model.network([(4, 2 * net.latency), *pairs])
    assert found == pytest.approx(net)


def test_a_step_of_four_ranks_by_hand():
    parts = model.step(MADE, model.Network(1e-4, 1e9), 4, 64)
    assert parts == pytest.approx({
        "compute": 0.002 + 16 * 0.01,
        "allreduce": 6 * 1e-4 + 1.5 * 4e-3,  # 2 (n - 1) messages; 2 (n - 1) / n = 1.5 times 4 MB at 1 GB/s
        "agreement": 3 * 2 * 1e-4,  # log2(4) messages
        "checkpoint": 0.5 / 250,
    })  # fmt: skip


def test_one_rank_sends_nothing():
    parts = model.step(MADE, CLUSTER, 1, 64)
    assert parts["allreduce"] == parts["agreement"] == 0


def test_the_point_of_overlap_is_the_first_number_of_ranks_above_a_tenth():
    def share(ranks):
        parts = model.step(MADE, CLUSTER, ranks, 8 * ranks)
        return parts["allreduce"] / sum(parts.values())

    point = model.overlap_from(MADE, CLUSTER, 8)
    assert share(point) > model.MUCH >= share(point - 1)
    assert model.overlap_from(MADE._replace(compute_row=10.0), CLUSTER, 8, most=50) is None


def test_the_measurement_that_the_page_shows_is_predicted_within_20_percent():
    rows = json.loads(FILE.read_text())["rows"]
    two = [row for row in rows if row["group"] == "two ranks"]
    assert [row["net"] for row in two] == ["digits", "mnist", "cifar10"]
    assert all(abs(row["error_percent"]) < 20 for row in two)
    assert {row["ranks"] for row in rows if row["group"] == "plan"} == set(PLANNED) and max(PLANNED) == 1024
