"""Text to numbers as T5 does it: of all ways to cut a text into known pieces, the most probable one.

The unigram language model of Kudo 2018 (arXiv:1804.10959): each piece has a log-probability, those of a cut add up, and
Viterbi's algorithm finds the best cut. Gives the numbers that transformers' T5Tokenizer gives, from tokenizer.json.
"""

from .added_tokens import SPACES
from .charsmap import CharsMap
from .tokenizer import Tokenizer
from .tokenizer_files import read_t5

UNKNOWN_PENALTY = 10.0  # an unknown character is this much less probable than the least probable piece
_SPACE = "\u2581"  # stands for the space before a word


class T5Tokenizer(Tokenizer):
    """tokenizer(texts) -> (ids, mask), both (B, length): the text's tokens, end, and padding.

    pieces     (token, log-probability) pairs; a token's number is its place
    unknown    number of the token for characters that no piece has
    charsmap   SentencePiece's character map in base64, or None
    length     tokens of a text, end included; longer ones are cut. None: as many as the longest text of a call needs
    added      AddedToken: strings found as a whole; end and padding always are
    """

    source = "pieces"

    def __init__(self, pieces, unknown=2, charsmap=None, length=None, end="</s>", pad="<pad>", added=()):
        vocab, normalize = {token: i for i, (token, _) in enumerate(pieces)}, CharsMap(charsmap) if charsmap else str
        super().__init__(vocab, added, (end, pad), length, normalize, words)
        self.unknown, self._scores = unknown, {token: (i, score) for i, (token, score) in enumerate(pieces)}
        self._longest = max(map(len, self._scores))
        self._unknown_score = min(score for _, score in pieces) - UNKNOWN_PENALTY

    @classmethod
    def from_folder(cls, folder):
        """From tokenizer.json and tokenizer_config.json. Raises as `read_t5` does."""
        return cls(**read_t5(folder))

    def decode(self, ids):
        """Decode token ids to text, without the end token and padding."""
        tokens = [self.names[int(i)] for i in ids]
        text = "".join(token for token in tokens if token not in (self.end, self.pad))
        return text.replace(_SPACE, " ").strip()

    def _encode_word(self, word):
        """The numbers of the most probable cut of a word, by Viterbi's algorithm; neighbouring unknowns become one."""
        best = [(0.0, 0, None)] + [None] * len(word)  # score of the best cut of word[:end], where its last piece starts, number
        for start in range(len(word)):
            score = best[start][0]
            for end in range(start + 1, min(start + self._longest, len(word)) + 1):
                number, gain = self._scores.get(word[start:end], (None, None))
                if number is None and end == start + 1:
                    number, gain = self.unknown, self._unknown_score
                if number is not None and (best[end] is None or score + gain > best[end][0]):
                    best[end] = (score + gain, start, number)
        ids, end = [], len(word)
        while end > 0:
            _, end, number = best[end]
            if not (ids and number == ids[-1] == self.unknown):
                ids.append(number)
        return ids[::-1]


def words(text):
    """The words between white space, each with the mark of a space in front; a mark in the text starts a word too."""
    for word in SPACES.split(text):
        if word:
            word = word if word.startswith(_SPACE) else _SPACE + word
            yield from (_SPACE + piece for piece in word.split(_SPACE)[1:])
