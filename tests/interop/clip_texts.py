"""A small vocabulary for CLIP's tokenizer, and texts to hold it to transformers' on."""

import itertools
import random
import unicodedata
from collections import Counter

from minidiff.interop.clip_tokenizer import LETTER_OF, normalize, words

TEXT = """a photo of a cat. a photograph of an astronaut riding a horse on the moon, highly detailed; don't it's we'll they've
i'm you'd we're 1234 2024! the quick brown fox jumps over the lazy dog ... oil on canvas, 4k, trending naïve café señor 日本語の
привет мир καλημέρα κόσμε 안녕하세요 שלום the cat sat on the mat,
the cat and the hat; a small red circle above a large blue square"""


def byte_pairs(text, n):
    """A vocabulary and its merges, learned from a text as the paper says: n times the most frequent pair."""
    count = Counter(words(normalize(text)))
    parts = {word: [LETTER_OF[byte] for byte in word.encode()] for word in count}
    for letters in parts.values():
        letters[-1] += "</w>"
    merges = []
    for _ in range(n):
        pairs = Counter()
        for word, p in parts.items():
            for pair in itertools.pairwise(p):
                pairs[pair] += count[word]
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        for p in parts.values():
            i = 0
            while i < len(p) - 1:
                if (p[i], p[i + 1]) == best:
                    p[i : i + 2] = ["".join(best)]
                i += 1
    letters = [LETTER_OF[byte] for byte in range(256)]
    tokens = [*letters, *(letter + "</w>" for letter in letters), *map("".join, merges), "<|startoftext|>", "<|endoftext|>"]
    return {token: i for i, token in enumerate(dict.fromkeys(tokens))}, merges


VOCAB, MERGES = byte_pairs(TEXT, 200)


def strings(n, seed=0):
    """Sentences, letters of every script, marks, spaces of every kind, emoji, markup, the special tokens themselves."""
    r = random.Random(seed)
    assigned = [chr(c) for c in range(0x20, 0x30000) if unicodedata.category(chr(c)) not in ("Cn", "Cs")]
    spaces = list("\t\n\r\v\f \x85\xa0\u1680\u2003\u2028\u202f\u3000\x1c\x1f\u200b\ufeff")
    pieces = [*TEXT.split(), "'S", "'Ll", "''s", "<|endoftext|>", "<|startoftext|>", "<|EndOfText|>", "<|", "|>", "</w>", "_"]
    pieces += [
        "\xe9",
        "e\u0301",
        "\ufb01",
        "\u0130",
        "\xdf",
        "\u03a3",
        "\u03c2",
        "\u01c5",
        "\xbd",
        "\xb2",
        "\u2167",
        "\x00",
        "\x7f",
    ]
    pieces += ["\U0001f600" * 3, "\U0001f469\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea"]
    for i in range(n):
        kind = i % 5
        if kind == 0:
            yield " ".join(r.choice(pieces) for _ in range(r.randint(0, 12)))
        elif kind == 1:
            yield "".join(r.choice(assigned) for _ in range(r.randint(1, 30)))
        elif kind == 2:
            yield "".join(r.choice(pieces + spaces) for _ in range(r.randint(1, 20)))
        elif kind == 3:
            yield "".join(chr(r.randint(0, 0x24F)) for _ in range(r.randint(0, 60)))
        else:
            yield "".join(
                r.choice(pieces) if r.random() < 0.5 else r.choice(assigned + spaces) for _ in range(r.randint(0, 15))
            )
