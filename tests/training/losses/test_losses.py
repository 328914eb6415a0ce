"""The losses of the encoders and of the autoencoder: known values, and that they teach."""

import numpy as np
import pytest

from minidiff import models
from minidiff.rng import Rng
from minidiff.training import AdamW, MaskedWordLoss
from minidiff.training.losses.contrastive import LARGEST_SCALE, contrastive_loss


def normal(*shape, seed=0):
    return Rng(seed).standard_normal(shape, dtype=np.float64)


def text_encoder(causal=True):
    return models.TextEncoder(vocab_size=9, length=5, features=8, layers=1, heads=2, causal=causal, rng=0)


def test_contrastive_loss_by_hand():
    eye = np.eye(3)
    loss, back = contrastive_loss(eye, eye, np.zeros(1))
    assert float(loss) == pytest.approx(-1 + np.log(np.e + 2), abs=1e-12)  # each row of logits is 1 and twice 0
    many = contrastive_loss(eye, eye, np.full(1, LARGEST_SCALE + 3))
    assert float(many[0]) == float(contrastive_loss(eye, eye, np.full(1, LARGEST_SCALE))[0])
    assert (many[1]()[2] == 0).all()  # held at the limit, it gets no gradient
    dimages, dtexts, _ = back()
    assert np.array_equal(dimages, dtexts)  # pictures and texts play the same part


def test_hidden_words():
    objective, rng = MaskedWordLoss(mask_id=3, first_word=4, hide=0.3), Rng(0)
    ids = np.concatenate([np.tile([1], (4000, 1)), rng.integers(4, 30, size=(4000, 5)), np.tile([2, 0], (4000, 1))], axis=1)
    hidden, chosen = objective.hide_words(ids, rng, 30)
    assert not chosen[:, [0, 6, 7]].any() and abs(chosen[:, 1:6].mean() - 0.3) < 0.01
    assert np.array_equal(hidden[~chosen], ids[~chosen])
    assert abs((hidden[chosen] == 3).mean() - 0.8) < 0.015
    assert abs((hidden[chosen] == ids[chosen]).mean() - 0.1 * (1 + 1 / 26)) < 0.015
    assert objective.hide_words(ids[:1], Rng(0), 30)[1].any()  # a batch always has something to guess
    with pytest.raises(ValueError, match="hide: got 0"):
        MaskedWordLoss(hide=0)


def test_words_are_learned():
    """In this language the second word follows from the first; a few steps are enough to guess it."""
    first = np.arange(4, 8).repeat(4)
    ids = np.stack([np.ones(16, int), first, 11 - first, np.full(16, 2)], axis=1)
    model = models.MaskedLanguageModel(models.TextEncoder(8, 4, 16, 1, 2, causal=False, rng=0), rng=0)
    objective, optimizer = MaskedWordLoss(hide=0.4), AdamW(model, lr=1e-2)
    losses = []
    for step in range(150):
        optimizer.zero_grad()
        loss, back = objective(model, ids, Rng(0, 1, step))
        back()
        optimizer.step()
        losses.append(float(loss))
    hidden = ids.copy()
    hidden[:, 2] = 3
    assert (model.predict(hidden)[:, 2].argmax(axis=1) == ids[:, 2]).all()
    assert np.mean(losses[-20:]) < 0.5 * losses[0]
