"""Text to numbers as CLIP does it: lower case, words, bytes, and the most frequent pairs of bytes glued together first.

Byte-pair encoding is Sennrich et al. 2016 (arXiv:1508.07909), on bytes as in GPT-2; the rules of CLIP are those of
Radford et al. 2021 (arXiv:2103.00020). Gives the numbers that transformers' CLIPTokenizer gives, from its files.
"""

import functools
import itertools
import unicodedata

from .added_tokens import SPACES
from .tokenizer import Tokenizer
from .tokenizer_files import END, START, read_clip

_WHOLE = (START, END, "'s", "'t", "'re", "'ve", "'m", "'ll", "'d")


class CLIPTokenizer(Tokenizer):
    """tokenizer(texts) -> (ids, mask), both (B, length): start, the text's tokens, end, and padding.

    vocab      {token: number}; it must know every byte, with and without the end of a word "</w>"
    merges     pairs of tokens, the most frequent first
    pad        the token that fills up: the end again, or "!" in Stable Diffusion 2
    length     tokens of a text, start and end included; longer ones are cut
    added      AddedToken: strings found as a whole; start, end and padding always are, as `added` lists them or by themselves
    unknown    the token for a byte that the vocabulary lacks
    """

    source = "vocab"

    def __init__(self, vocab, merges, pad=END, length=77, added=(), unknown=END):
        super().__init__(vocab, added, (START, END, pad), length, normalize, words)
        self._check([unknown])
        self.unknown, self.rank = unknown, {tuple(pair): i for i, pair in enumerate(merges)}

    @classmethod
    def from_folder(cls, folder):
        """From tokenizer.json, or vocab.json and merges.txt, with tokenizer_config.json. Raises as `read_clip` does."""
        return cls(**read_clip(folder))

    def decode(self, ids):
        """The text of numbers, as far as it survived: lower case, one space after each word."""
        tokens = [self.names[int(i)] for i in ids]
        text = "".join(token for token in tokens if token not in (START, END))
        raw = b" ".join(bytes(BYTE_OF[letter] for letter in word) for word in text.split("</w>"))
        return raw.decode("utf-8", errors="replace").strip()

    def _encode_word(self, word):
        """A word's bytes, as letters, the last marked; then the best known pair of neighbours is joined, again and again."""
        parts = [LETTER_OF[byte] for byte in word.encode()]
        parts[-1] += "</w>"
        parts = [part if part in self.vocab else None for part in parts]  # None: a byte that this vocabulary lacks
        while len(parts) > 1:
            ranks = [self.rank.get(pair, len(self.rank)) for pair in itertools.pairwise(parts)]
            best = min(ranks)
            if best == len(self.rank):
                break
            at = ranks.index(best)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        return [self.vocab[self.unknown] if part is None else self.vocab[part] for part in parts]


def normalize(text):
    """Composed characters, single spaces, lower case, letter by letter (so a final sigma stays a plain one)."""
    text = SPACES.sub(" ", unicodedata.normalize("NFC", text))
    return "".join(letter.lower() for letter in text)


def words(text):
    """A normalized text cut up: contractions, runs of letters, single digits, runs of anything else; spaces drop out."""
    i, found = 0, []
    while i < len(text):
        kind, start = _kind(text[i]), i
        whole = next((word for word in _WHOLE if text[i] in "'<" and text.startswith(word, i)), None)
        if whole:  # one word, or, of a special token in capitals, its three parts
            i += len(whole)
            found += [whole] if whole[0] == "'" else ["<|", whole[2:-2], "|>"]
            continue
        i += 1
        while kind not in "N " and i < len(text) and _kind(text[i]) == kind:
            i += 1
        if kind != " ":
            found.append(text[start:i])
    return found


@functools.lru_cache(maxsize=1 << 14)
def _kind(letter):
    """L letter, N number, space, or . for everything else."""
    if SPACES.fullmatch(letter):
        return " "
    kind = unicodedata.category(letter)[0]
    return kind if kind in "LN" else "."


def _letters():
    """A printable letter for every byte, as GPT-2 chose them: itself where it prints, else one from 256 upwards."""
    prints = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in prints]
    return {byte: chr(byte) for byte in prints} | {byte: chr(256 + i) for i, byte in enumerate(rest)}


LETTER_OF = _letters()
BYTE_OF = {letter: byte for byte, letter in LETTER_OF.items()}
