"""Distances that are known in closed form, and a judge that can judge."""

import json

import numpy as np
import pytest

from minidiff import data, metrics
from minidiff.cli import main
from minidiff.commands import demo
from minidiff.rng import Rng


def test_frechet_distance_of_normal_distributions_with_known_moments():
    """Diagonal covariances: |m1 - m2|^2 + sum (s1 - s2)^2. The samples are corrected to have their moments exactly."""
    rng = Rng(0)

    def exactly(mean, std):
        z = rng.standard_normal((500, len(mean)), dtype=np.float64)
        z -= z.mean(axis=0)
        z = z @ np.linalg.inv(np.linalg.cholesky(np.cov(z, rowvar=False))).T  # covariance 1
        return z * std + mean

    m1, m2, s1, s2 = np.array([0.0, 1, 2]), np.array([1.0, 1, 0]), np.array([1.0, 2, 0.5]), np.array([2.0, 2, 0.1])
    expected = ((m1 - m2) ** 2).sum() + ((s1 - s2) ** 2).sum()
    assert metrics.frechet_distance(exactly(m1, s1), exactly(m2, s2)) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_of_rotated_gaussians():
    """Two covariances that do not commute: trace((A B)^(1/2)) from the eigenvalues of A B, by another route."""
    rng = Rng(1)
    a = rng.standard_normal((400, 4), dtype=np.float64) @ rng.standard_normal((4, 4), dtype=np.float64)
    b = rng.standard_normal((300, 4), dtype=np.float64) @ rng.standard_normal((4, 4), dtype=np.float64) + 1
    A, B = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.sqrt(np.linalg.eigvals(A @ B).real.clip(0)).sum()
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(A + B) - 2 * root
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert metrics.frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("a, b", [((5, 3), (5, 4)), ((1, 3), (5, 3)), ((5,), (5, 3))])
def test_frechet_distance_refuses_what_it_cannot_compare(a, b):
    with pytest.raises(ValueError, match="frechet_distance: got"):
        metrics.frechet_distance(np.zeros(a), np.zeros(b))


def test_nearest_distances():
    reference = Rng(2).standard_normal((7, 3, 3, 1))
    images = np.concatenate([reference[2:3], reference[4:5] + 0.5])
    by_hand = [min(np.sqrt(((x - y) ** 2).mean()) for y in reference) for x in images]
    np.testing.assert_allclose(metrics.nearest_distances(images, reference), by_hand, atol=1e-6)
    assert metrics.nearest_distances(images, reference)[0] == pytest.approx(0, abs=1e-6)


@pytest.fixture(scope="module")
def judge():
    images, labels = data.load("digits")
    return metrics.train_classifier(images, labels)


@pytest.mark.slow
def test_the_classifier_recognises_held_out_digits_and_reports_its_accuracy(judge):
    images, labels = data.load("digits")
    held_out, truth = data.load("digits", split="test")
    assert metrics.accuracy(judge, held_out, truth) >= 0.97
    real = metrics.report(judge, held_out, truth, images, held_out, truth)
    assert real["frechet_distance"] == pytest.approx(0, abs=1e-6) and real["class_accuracy"] >= 0.97
    copies = metrics.report(judge, images, labels, images, held_out, truth)
    assert copies["nearest_neighbour_samples_to_train"] < 1e-3 < copies["nearest_neighbour_held_out_to_train"]
    noise = metrics.report(judge, Rng(0).standard_normal(images.shape), labels, images, held_out, truth)
    assert noise["class_accuracy"] < 0.3 and noise["frechet_distance"] > 5 * real["frechet_distance_train_to_held_out"]


@pytest.mark.slow
def test_demo_with_few_steps_leaves_everything(judge, tmp_path, monkeypatch):
    """The demo trains the same judge on the same digits: here it takes the one above, and samples in 4 steps, not 20."""

    def train_classifier(images, labels):
        for given, digits in zip((images, labels), data.load("digits"), strict=True):
            np.testing.assert_array_equal(given, digits)
        return judge

    monkeypatch.setattr(metrics, "train_classifier", train_classifier)
    monkeypatch.setattr(demo, "STEPS", 4)
    assert main(["demo", "--steps", "2", "--samples", "50", "--out", str(tmp_path / "demo"), "--no-progress"]) == 0
    made = {f.name for f in (tmp_path / "demo").iterdir()}
    assert {"samples.png", "denoising.gif", "loss.png", "checkpoint.safetensors", "metrics.json"} <= made
    figures = json.loads((tmp_path / "demo" / "metrics.json").read_text())
    assert figures["classifier_accuracy_held_out"] >= 0.97  # the judge itself does not depend on the two steps
    assert {"seconds", "steps", "parameters", "class_accuracy", "frechet_distance"} <= figures.keys()


def test_the_classifier_is_the_same_for_the_same_seed():
    images, labels = data.load("digits")
    nets = [metrics.train_classifier(images[:64], labels[:64], epochs=1, width=4) for _ in range(2)]
    np.testing.assert_array_equal(*(net.predict(images[:8]) for net in nets))
