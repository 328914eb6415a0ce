"""What the tokenizers of CLIP and T5 share: texts become rows of one length, each cut into added tokens and words."""

import functools

import numpy as np

from .added_tokens import AddedToken, AddedTokens


class Tokenizer:
    """tokenizer(texts) -> (ids, mask), both (B, length). A subclass has `_encode_word(word)` -> the numbers of a word.

    vocab       {token: number}, to which the tokens of `added` belong too
    roles       the tokens (start, end, padding), or without a start (end, padding); always found as a whole, as `added` are
    normalize   function of the text between added tokens; words: function that cuts it up
    """

    def __init__(self, vocab, added, roles, length, normalize, words):
        self.vocab = vocab | {token.content: token.id for token in added}
        *self.start, self.end, self.pad = roles
        self.length, self._words = length, words
        self._check(roles)
        self.names = {number: token for token, number in self.vocab.items()}
        special = {name: AddedToken(name, self.vocab[name]) for name in roles}
        self._added = AddedTokens((special | {token.content: token for token in added}).values(), normalize)
        self._word = functools.lru_cache(maxsize=1 << 16)(self._encode_word)

    def _check(self, names):
        for name in names:
            if name not in self.vocab:
                kind = type(self).__name__.removesuffix("Tokenizer")
                raise ValueError(f"{self.source}: {name!r} is missing, expected the vocabulary of a {kind} tokenizer")

    def __call__(self, texts, length=None, padding=True):
        """texts: a string or a list   ->   ids (B, length) int64, mask (B, length) bool, False on the padding.

        padding False: only as long as the longest text needs.
        """
        texts, length = [texts] if isinstance(texts, str) else list(texts), length or self.length
        start, end = [self.vocab[name] for name in self.start], self.vocab[self.end]
        room = None if length is None else length - len(start) - 1
        rows = [[*start, *self.encode(text)[:room], end] for text in texts]
        wide = length if padding and length is not None else max(map(len, rows))
        ids = np.full((len(rows), wide), self.vocab[self.pad], dtype=np.int64)
        mask = np.zeros(ids.shape, dtype=bool)
        for i, row in enumerate(rows):
            ids[i, : len(row)], mask[i, : len(row)] = row, True
        return ids, mask

    def encode(self, text):
        """The numbers of a text, without start, end and padding.   -> list of int"""
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"text: half of a surrogate pair at {error.start}, which no file can hold") from None
        ids = []
        for part in self._added.split(text):  # padding is an added token, so Stable Diffusion 2 takes "!" for padding
            ids += [part] if isinstance(part, int) else (number for word in self._words(part) for number in self._word(word))
        return ids
