"""Masked language modelling: hide some words of a text, and predict them from the others.

Devlin et al. 2018 (arXiv:1810.04805), section 3.1; T5 (arXiv:1910.10683) is trained on the same idea.
"""

import numpy as np

from ... import ops
from ...backend import xp_of
from ...finite import checked


class MaskedWordLoss:
    """The loss as an objective:   loss, back = objective(model, ids, rng)   with a MaskedLanguageModel and ids (B, N).

    hide        share of the words to predict. Of them 80 % are replaced by the mask, 10 % by a random word, and 10 % stay
                unchanged, so that the encoder also learns to represent the words it gets
    mask_id     id of the mask; words have ids from `first_word` on, lower ids are special tokens that are never hidden
    """

    recordable = False  # how many words are hidden, hence an array's shape, changes from step to step

    def __init__(self, mask_id=3, first_word=4, hide=0.3):
        if not 0 < hide <= 1:
            raise ValueError(f"hide: got {hide}, expected a share above 0, at most 1")
        self.mask_id, self.first_word, self.hide = mask_id, first_word, hide

    def __call__(self, model, x0, rng, cond=None):
        hidden, chosen = self.hide_words(x0, rng, model.encoder.config["vocab_size"])
        logits, back_model = model(hidden)
        guesses, back_pick = pick_rows(logits, chosen)  # (n, V), n words of the whole batch
        loss, back_loss = ops.cross_entropy(guesses, x0[chosen])

        def back(dloss=1.0):
            back_model(back_pick(back_loss(dloss)))

        return checked(loss, type(self).__name__), back

    def hide_words(self, ids, rng, vocab_size):
        """(ids with words hidden, bool (B, N) which are to be predicted: at least one of the batch)."""
        xp = xp_of(ids)
        u, how = (xp.asarray(rng.random(ids.shape, dtype=np.float64)) for _ in range(2))
        any_word = xp.asarray(rng.integers(self.first_word, vocab_size, size=ids.shape))
        u = xp.where(ids >= self.first_word, u, 2.0)
        chosen = u <= max(self.hide, float(u.min()))
        hidden = xp.where(how < 0.8, self.mask_id, xp.where(how < 0.9, any_word, ids))
        return xp.where(chosen, hidden, ids), chosen


def pick_rows(x, chosen):
    """The rows of x at the chosen places.   x (B, N, D), chosen bool (B, N)   ->   (n, D), back(dy) -> dx"""

    def back(dy):
        dx = xp_of(x).zeros_like(x)
        dx[chosen] = dy
        return dx

    return x[chosen], back
