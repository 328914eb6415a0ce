"""How good are the samples?  Do they show what was asked, do they look like the data, and are they copies of it?

No single number answers all three. A model that has memorised its training set scores well on the first two; that is
what the nearest-neighbour distances are for.
"""

import numpy as np

from . import ops
from .backend import device_of, to_numpy, xp_of
from .models import Classifier
from .training import DataParallel, Trainer

BATCH = 500  # images that go through the classifier at once


def train_classifier(images, labels, epochs=20, width=24, seed=0, progress=False):
    """A judge, trained on real images.   images (N, H, W, C)   labels (N,)   ->   Classifier

    It sees its images through a little noise, so that it reads shapes and not single pixels.
    """
    net = Classifier(images.shape[1:], classes=int(labels.max()) + 1, width=width, rng=seed).to(device_of(images))
    batch = min(64, len(images))
    steps = max(1, epochs * len(images) // batch)
    trainer = Trainer(net, classify, images, labels, steps=steps, batch_size=batch, lr=2e-3, warmup=steps // 20, seed=seed)
    trainer.run(progress=progress)
    return net


def classify(net, x0, rng, cond):
    """The classifier's loss, in the form the Trainer takes."""
    noisy = x0 + 0.3 * rng.standard_normal(x0.shape, dtype=x0.dtype)
    logits, back_net = net(noisy)
    loss, back_loss = ops.cross_entropy(logits, cond)
    return loss, lambda dloss=1.0: back_net(back_loss(dloss))


def predictions(net, images):
    """The class that the judge sees in each image.   (N, H, W, C) -> int64 (N,)"""
    return np.concatenate([to_numpy(net.predict(part)).argmax(axis=1) for part in _parts(net, images)])


def accuracy(net, images, labels):
    """Share of images in which the judge sees the class `labels` names, from 0 to 1."""
    return float((predictions(net, images) == to_numpy(labels)).mean())


def features(net, images):
    """The judge's feature vectors.   (N, H, W, C) -> float64 (N, D)

    The ranks of an MPI job share the images of a judge in a DataParallel. Each receives all vectors, because means and
    covariances of parts cannot be averaged into a Fréchet distance.
    """
    shared = isinstance(net, DataParallel)
    found = (net.by_rows("features", part) if shared else net.features(part) for part in _parts(net, images))
    return np.concatenate([to_numpy(part) for part in found]).astype(np.float64)


def frechet_distance(a, b):
    """Distance between the normal distributions with the means and covariances of two sets of vectors; 0 when equal.

        |mean_a - mean_b|^2 + trace(A + B - 2 (A B)^(1/2))        Heusel et al. 2017 (arXiv:1706.08500), equation 6

    a (N, D)   b (M, D)   ->   float. More vectors than D on both sides, or the covariances are not to be trusted.
    With our own judge's features in place of Inception's: comparable between runs of this library, with nothing else.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"frechet_distance: got {a.shape} and {b.shape}, expected (N, D) and (M, D)")
    if min(len(a), len(b)) < 2:
        raise ValueError(f"frechet_distance: got {len(a)} and {len(b)} vectors, expected at least 2 of each")
    a, b = to_numpy(a), to_numpy(b)
    A, B = np.cov(a, rowvar=False).reshape(a.shape[1], -1), np.cov(b, rowvar=False).reshape(a.shape[1], -1)
    root = _root(A)
    # A B and A^(1/2) B A^(1/2) have the same eigenvalues, and the second is symmetric
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ B @ root), 0, None)).sum()
    return float(((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum() + np.trace(A) + np.trace(B) - 2 * cross)


def nearest_distances(images, reference):
    """Each image's distance to the nearest of `reference`, as root mean square over pixels.   -> float64 (N,)"""
    x, y = (to_numpy(z).reshape(len(z), -1).astype(np.float64) for z in (images, reference))
    nearest = []
    for i in range(0, len(x), BATCH):
        part = x[i : i + BATCH]
        squares = (part**2).sum(axis=1)[:, None] - 2 * part @ y.T + (y**2).sum(axis=1)
        nearest.append(np.sqrt(np.clip(squares.min(axis=1), 0, None) / x.shape[1]))
    return np.concatenate(nearest)


def report(net, samples, asked, train, held_out, held_out_labels):
    """The figures of metrics.json.   samples (N, ...), asked (N,) the classes asked for   ->   dict

    Each figure stands beside the one real images get: held-out ones against the training set.
    """
    judged, real, unseen = features(net, samples), features(net, train), features(net, held_out)
    return {
        "class_accuracy": accuracy(net, samples, asked),
        "classifier_accuracy_held_out": accuracy(net, held_out, held_out_labels),
        "frechet_distance": frechet_distance(judged, unseen),
        "frechet_distance_train_to_held_out": frechet_distance(real, unseen),
        "nearest_neighbour_samples_to_train": float(np.median(nearest_distances(samples, train))),
        "nearest_neighbour_held_out_to_train": float(np.median(nearest_distances(held_out, train))),
        "samples": len(samples),
    }


def _parts(net, images):
    """The images in batches, on the model's device."""
    xp = xp_of(next(iter(net.parameters().values())).value)
    for i in range(0, len(images), BATCH):
        part = images[i : i + BATCH]
        yield part if xp_of(part) is xp else xp.asarray(to_numpy(part))


def _root(covariance):
    """The symmetric square root of a covariance matrix."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
