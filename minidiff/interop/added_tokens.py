"""Added tokens: strings that a tokenizer finds in a text as a whole, before it splits the rest into words.

The special tokens are of this kind, and so is `<cat-toy>` of a textual inversion (arXiv:2208.01618). The rules are those
of the `tokenizers` library (AddedVocabulary): leftmost match first, and of several that start there the longest.
"""

import re
import unicodedata
from dataclasses import dataclass

# Unicode's White_Space. Python's \s matches four control characters more.
SPACES = re.compile("[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")


@dataclass(frozen=True)
class AddedToken:
    """content: the string; id: its number; normalized: search the normalized text for it, not the raw one;
    lstrip, rstrip: take the white space before or after along; single_word: no match inside a word."""

    content: str
    id: int
    normalized: bool = False
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False


class AddedTokens:
    """split(text, normalize) -> a list of parts: an int for each added token found, normalized strings between them."""

    def __init__(self, tokens, normalize):
        self.normalize = normalize
        self._raw = _Finder({token.content: token for token in tokens if not token.normalized})
        self._late = _Finder({normalize(token.content): token for token in tokens if token.normalized})

    def split(self, text):
        parts = []
        for part in self._raw.split(text):
            parts += [part] if isinstance(part, int) else self._late.split(self.normalize(part))
        return parts


class _Finder:
    def __init__(self, tokens):
        self.tokens = {content: token for content, token in tokens.items() if content}
        longest_first = sorted(self.tokens, key=len, reverse=True)
        self._any = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    def split(self, text):
        parts, end = [], 0
        for match in self._any.finditer(text):
            token, start, stop = self.tokens[match.group()], match.start(), match.end()
            if token.single_word and (_in_word(text[start - 1 : start]) or _in_word(text[stop : stop + 1])):
                continue
            if token.lstrip:
                while start > end and SPACES.fullmatch(text[start - 1]):
                    start -= 1
            if token.rstrip and (spaces := SPACES.match(text, stop)):
                stop = spaces.end()
            parts += [text[end:start]] if start > end else []
            parts.append(token.id)
            end = stop
        return parts + ([text[end:]] if end < len(text) else [])


def _in_word(letter):
    r"""Whether Unicode's \w matches a letter: alphabetic, mark, decimal number, connector, joiner."""
    if not letter:
        return False
    kind = unicodedata.category(letter)
    return kind[0] in "LM" or kind in ("Nd", "Nl", "Pc") or letter in "\u200c\u200d"
