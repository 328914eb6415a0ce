"""Captions as rows of token ids, one per word, for the text encoders.

    ids = tokenizer.encode(["a small red circle", ""])        int64 (2, 12)

A row is START, the words, END, and PAD up to LENGTH. The empty text is START and END alone: it means "no condition"
in classifier-free guidance.
"""

import numpy as np

from .captions import VOCABULARY, words_of

PAD, START, END, MASK = range(4)  # MASK replaces a word that is to be predicted
WORDS = ("<pad>", "<start>", "<end>", "<mask>", *VOCABULARY)
LENGTH = 12  # START, END, and the ten words of "a small red circle left of a large blue square"

_NUMBER = {word: number for number, word in enumerate(WORDS)}


def encode(texts):
    """n texts as rows of numbers.   texts: a list of strings   ->   int64 (n, LENGTH)

    Raises TypeError for a single string, ValueError for a word outside the vocabulary (see `captions.words_of`) and for a
    text of more than LENGTH - 2 words.
    """
    if isinstance(texts, str):
        raise TypeError(f"texts: got the string {texts!r}, expected a list of strings")
    ids = np.full((len(texts), LENGTH), PAD, dtype=np.int64)
    for row, text in zip(ids, texts, strict=True):
        words = words_of(text)
        if len(words) > LENGTH - 2:
            raise ValueError(f"texts: {text!r} has {len(words)} words, expected at most {LENGTH - 2}")
        row[: len(words) + 2] = [START, *(_NUMBER[word] for word in words), END]
    return ids


def decode(ids):
    """The texts of rows of numbers, without START, END and PAD.   int (n, LENGTH)   ->   list of n strings"""
    return [" ".join(WORDS[i] for i in row if i not in (PAD, START, END)) for row in np.asarray(ids).tolist()]
