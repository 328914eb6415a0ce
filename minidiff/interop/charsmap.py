"""SentencePiece's precompiled character map: a trie from strings to their normal forms, packed as a double array.

Format: 4 bytes with the size of the trie, its 32-bit units (as in darts-clone), then the normal forms, each ended by a
zero byte. It is applied as in `tokenizers`: a grapheme cluster (Unicode UAX 29) of fewer than 6 bytes is replaced as a
whole by the form of its shortest known prefix; in any other cluster each character is looked up by itself.
"""

import base64
import binascii
import unicodedata

import numpy as np


class CharsMap:
    """charsmap(text) -> the normalized text.   table: base64. Raises ValueError for a damaged table."""

    def __init__(self, table):
        try:
            raw = base64.b64decode(table, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("precompiled_charsmap: got a string that is not base64") from None
        size = int.from_bytes(raw[:4], "little")
        if size % 4 or not 4 <= size <= len(raw) - 4:
            raise ValueError(f"precompiled_charsmap: got a trie of {size} bytes in a table of {len(raw)}")
        self._units = np.frombuffer(raw, dtype="<u4", count=size // 4, offset=4).tolist()
        self._forms = raw[4 + size :]

    def __call__(self, text):
        out = []
        for cluster in clusters(text):
            form = self.find(cluster) if len(cluster.encode()) < 6 else None
            if form is None:
                form = "".join(letter if (own := self.find(letter)) is None else own for letter in cluster)
            out.append(form)
        return "".join(out)

    def find(self, text):
        """The normal form of the shortest prefix of text that the map has, or None."""
        units, at = self._units, _offset(self._units[0])
        for byte in text.encode():
            at ^= byte
            if at >= len(units) or units[at] & 0x800000FF != byte:  # not a child of the unit before
                return None
            unit = units[at]
            at ^= _offset(unit)
            if unit >> 8 & 1:  # a key ends here: the unit that byte 0 leads to holds its value
                start = units[at] & 0x7FFFFFFF if at < len(units) else len(self._forms)
                return self._forms[start:].split(b"\0", 1)[0].decode("utf-8", errors="replace")
        return None


def _offset(unit):
    return (unit >> 10) << ((unit & 0x200) >> 6)


def clusters(text):
    """The grapheme clusters of a text, of UAX 29 the rules GB3 to GB5 and GB9 to GB9b.

    The other rules join characters that are 6 bytes or more together (Hangul, emoji, flags, Indic conjuncts), and those
    are looked up one by one in any case.
    """
    start = 0
    for i in range(1, len(text)):
        before, after = text[i - 1], text[i]
        joined = before + after == "\r\n"
        if not joined and not _control(before) and not _control(after):
            joined = _extends(after) or before in _PREPENDED
        if not joined:
            yield text[start:i]
            start = i
    if text:
        yield text[start:]


def _range(*spans):
    return frozenset(chr(c) for first, last in spans for c in range(first, last + 1))


# Grapheme_Cluster_Break = Prepend; spacing marks that do not extend; and what extends without being a mark.
_PREPENDED = _range((0x600, 0x605), (0x6DD, 0x6DD), (0x70F, 0x70F), (0x890, 0x891), (0x8E2, 0x8E2), (0xD4E, 0xD4E),
                    (0x110BD, 0x110BD), (0x110CD, 0x110CD), (0x111C2, 0x111C3), (0x1193F, 0x1193F), (0x11941, 0x11941),
                    (0x11A3A, 0x11A3A), (0x11A84, 0x11A89), (0x11D46, 0x11D46), (0x11F02, 0x11F02))  # fmt: skip
_APART = _range((0x102B, 0x102C), (0x1038, 0x1038), (0x1062, 0x1064), (0x1067, 0x106D), (0x1083, 0x1083), (0x1087, 0x108C),
                (0x108F, 0x108F), (0x109A, 0x109C), (0x1A61, 0x1A61), (0x1A63, 0x1A64), (0xAA7B, 0xAA7B), (0xAA7D, 0xAA7D),
                (0x11720, 0x11721))  # fmt: skip
_EXTENDING = _range((0x200C, 0x200D), (0xE33, 0xE33), (0xEB3, 0xEB3), (0xFF9E, 0xFF9F), (0x1F3FB, 0x1F3FF),
                    (0xE0020, 0xE007F))  # fmt: skip


def _extends(letter):
    return letter in _EXTENDING or (unicodedata.category(letter) in ("Mn", "Me", "Mc") and letter not in _APART)


def _control(letter):
    return unicodedata.category(letter) in ("Cc", "Cf", "Zl", "Zp") and letter not in _EXTENDING and letter not in _PREPENDED
