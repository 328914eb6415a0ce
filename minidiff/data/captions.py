"""The caption language for images of shapes: writing, parsing, and comparison with the objects of an image.

caption   =  phrase  |  phrase position  |  phrase relation phrase  |  count things
phrase    =  a [size] [colour] shape                "a small red circle", "a square"
count     =  two | three                            "two green triangles"
position  =  at the top | on the left | at the top left | in the middle | ...
relation  =  above | below | left of | right of
"""

from dataclasses import dataclass
from itertools import permutations, product

from ..names import nearest
from .shapes import COLOURS, MOST, SHAPES, SIZES

COUNTS = ("a", "two", "three")
RELATIONS = ("above", "below", "left of", "right of")
POSITIONS = {  # phrase -> (row, column); None leaves it open
    "at the top left": (0, 0),
    "at the top right": (0, 2),
    "at the top": (0, None),
    "at the bottom left": (2, 0),
    "at the bottom right": (2, 2),
    "at the bottom": (2, None),
    "on the left": (None, 0),
    "on the right": (None, 2),
    "in the middle": (1, 1),
}
PLURALS = {"circle": "circles", "square": "squares", "triangle": "triangles", "cross": "crosses"}
THIRDS = (0.415, 0.585)  # limits of the middle; objects in the data set keep away from both

# Pairs excluded from the training split, to test combinations a model has never seen.
HELD_OUT = (("red", "triangle"), ("green", "cross"), ("blue", "circle"), ("yellow", "square"))

_SINGULARS = {many: one for one, many in PLURALS.items()}
VOCABULARY = tuple(sorted({*COUNTS, *SIZES, *COLOURS, *SHAPES, *PLURALS.values(), *" ".join([*RELATIONS, *POSITIONS]).split()}))


@dataclass(frozen=True)
class Phrase:
    """A kind of object; None as colour or size matches any."""

    shape: str
    colour: str | None = None
    size: str | None = None

    def matches(self, thing):
        """Whether an object (with shape, colour and size) is of this kind."""
        return self.shape == thing.shape and self.colour in (None, thing.colour) and self.size in (None, thing.size)

    def words(self, plural=False):
        noun = PLURALS[self.shape] if plural else self.shape
        return " ".join(word for word in (self.size, self.colour, noun) if word)


@dataclass(frozen=True)
class Caption:
    """A parsed caption. str(caption) is its text, and parse(text) the inverse.

    count     1 to 3 objects, all of kind `first` unless there is a `second`
    position  one of POSITIONS, for a single object
    relation  one of RELATIONS, how `first` stands to `second`
    """

    first: Phrase
    count: int = 1
    position: str | None = None
    relation: str | None = None
    second: Phrase | None = None

    def __str__(self):
        text = f"{COUNTS[self.count - 1]} {self.first.words(plural=self.count > 1)}"
        if self.position:
            text += f" {self.position}"
        if self.relation:
            text += f" {self.relation} a {self.second.words()}"
        return text

    def holds(self, things):
        """Whether an image with exactly these objects satisfies the caption: none missing, none extra."""
        if self.relation:
            return len(things) == 2 and any(
                self.first.matches(a) and self.second.matches(b) and relation(a, b) == self.relation
                for a, b in permutations(things)
            )
        if len(things) != self.count or not all(self.first.matches(thing) for thing in things):
            return False
        if self.position is None:
            return True
        return all(want in (None, have) for want, have in zip(POSITIONS[self.position], cell(things[0]), strict=True))


def cell(thing):
    """(row, column) of an object in a 3 x 3 grid: 0, 1 or 2 each, from the top left."""
    return tuple(sum(at > edge for edge in THIRDS) for at in (thing.y, thing.x))


def relation(a, b):
    """The relation of a to b, one of RELATIONS, along the axis with the larger distance."""
    dx, dy = b.x - a.x, b.y - a.y
    if abs(dy) >= abs(dx):
        return "above" if dy > 0 else "below"
    return "left of" if dx > 0 else "right of"


def words_of(text):
    """The words of a text, in lower case and without the full stop.   -> list of VOCABULARY's words

    Raises ValueError that names every word outside of it, the nearest known one, and the whole vocabulary.
    """
    words = text.lower().rstrip(" .").split()
    unknown = [word for word in dict.fromkeys(words) if word not in VOCABULARY]
    if unknown:
        near = [nearest(word, VOCABULARY, 1) for word in unknown]
        guesses = " or ".join(repr(words[0]) for words in near if words)
        hint = f" (did you mean {guesses}?)" if guesses else ""
        plural = "s" if len(unknown) > 1 else ""
        raise ValueError(
            f"unknown word{plural} {', '.join(map(repr, unknown))} in {text!r}{hint}; the words are: {', '.join(VOCABULARY)}"
        )
    return words


def parse(text):
    """Parse a text into a Caption.   Raises ValueError for a word outside VOCABULARY, with the vocabulary, and for
    an invalid word order."""
    rest = words_of(text)
    if not rest or rest[0] not in COUNTS:
        raise _unreadable(text, "it begins with 'a', 'two' or 'three'")
    count = COUNTS.index(rest.pop(0)) + 1
    first = _read_phrase(rest, text, count > 1)
    if not rest:
        return Caption(first, count)
    tail = " ".join(rest)
    if count > 1:
        raise _unreadable(text, f"nothing comes after the {PLURALS[first.shape]}, here came {tail!r}")
    if tail in POSITIONS:
        return Caption(first, position=tail)
    for name in RELATIONS:
        if tail.startswith(f"{name} a "):
            rest = tail.removeprefix(f"{name} a ").split()
            second = _read_phrase(rest, text)
            if not rest:
                return Caption(first, relation=name, second=second)
    known = ", ".join([*POSITIONS, *(f"{name} a ..." for name in RELATIONS)])
    raise _unreadable(text, f"after the first thing comes nothing or one of: {known}; here came {tail!r}")


def true_captions(things):
    """Every Caption that is true of an image with these objects, as a list; empty if the language cannot describe it."""
    if len(things) == 1:
        positions = [None] + [p for p in POSITIONS if Caption(Phrase(things[0].shape), position=p).holds(things)]
        return [Caption(phrase, position=p) for phrase, p in product(_phrases(things[0]), positions)]
    found = []
    if 1 < len(things) <= MOST:
        found += [Caption(p, len(things)) for p in _phrases(things[0]) if all(p.matches(thing) for thing in things)]
    if len(things) == 2:
        for a, b in permutations(things):
            found += [Caption(p, relation=relation(a, b), second=q) for p, q in product(_phrases(a), _phrases(b))]
    return list(dict.fromkeys(found))


def is_held_out(caption):
    """Whether a caption contains a pair of colour and shape that the training split excludes."""
    return any(p is not None and (p.colour, p.shape) in HELD_OUT for p in (caption.first, caption.second))


def _phrases(thing):
    """The four phrases that match an object, the most specific first."""
    return [Phrase(thing.shape, c, s) for s, c in product((thing.size, None), (thing.colour, None))]


def _read_phrase(rest, text, plural=False):
    """Parse a phrase at the front of a list of words."""
    size = rest.pop(0) if rest and rest[0] in SIZES else None
    colour = rest.pop(0) if rest and rest[0] in COLOURS else None
    nouns = _SINGULARS if plural else {shape: shape for shape in SHAPES}
    if not rest or rest[0] not in nouns:
        came = f"here came {rest[0]!r}" if rest else "here the text ends"
        raise _unreadable(text, f"a thing is [size] [colour] and one of {', '.join(nouns)}; {came}")
    return Phrase(nouns[rest.pop(0)], colour, size)


def _unreadable(text, why):
    return ValueError(f"cannot read {text!r}: {why}")
