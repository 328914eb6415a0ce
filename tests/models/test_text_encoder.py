"""The text encoder: which tokens see which, and the embeddings before any attention."""

import numpy as np
import pytest

from minidiff import models

IDS = np.array([[1, 5, 3, 2, 0], [1, 7, 8, 4, 2]])


def text_encoder(causal=True):
    return models.TextEncoder(vocab_size=9, length=5, features=8, layers=1, heads=2, causal=causal, rng=0)


def test_a_causal_encoder_never_looks_ahead_and_the_other_never_at_padding():
    changed = IDS.copy()
    changed[1, 3] = 6
    for causal in (True, False):
        encoder = text_encoder(causal)
        (before, pooled), (after, _) = encoder.predict(IDS), encoder.predict(changed)
        np.testing.assert_array_equal(before[0], after[0])
        assert np.array_equal(before[1, :3], after[1, :3]) == causal
        assert pooled.shape == (2, 8)
        short = encoder.predict(IDS[:1, :4])
        np.testing.assert_allclose(short[0][0], before[0, :4], atol=1e-5)
        np.testing.assert_allclose(short[1][0], pooled[0], atol=1e-5)
    with pytest.raises(ValueError, match=r"ids has shape \(2, 6\), expected \(B, N\), N <= 5"):
        encoder.predict(np.zeros((2, 6), int))


def test_words_before_they_are_mixed():
    encoder, changed = text_encoder(), IDS.copy()
    changed[1, 1] = 6
    before, after = encoder.words(IDS), encoder.words(changed)
    assert before.shape == (2, 5, 8)
    assert ((before != after).any(axis=2) == (IDS != changed)).all()  # a word says nothing of its neighbours
    assert (before[1, 1] != encoder.words(IDS[:, [0, 2, 1, 3, 4]])[1, 2]).any()  # but where it stands
    np.testing.assert_allclose(before.mean(axis=2), 0, atol=1e-6)
    np.testing.assert_allclose((before**2).mean(axis=2), 1, atol=1e-2)
