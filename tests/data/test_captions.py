import pytest

from minidiff.data import captions
from minidiff.data.captions import Caption, Phrase, parse
from minidiff.data.shapes import COLOURS, SHAPES, SIZES, Thing

RED_CIRCLE = Thing("circle", "red", "small", 0.2, 0.2)
BLUE_SQUARE = Thing("square", "blue", "large", 0.3, 0.75)


@pytest.mark.parametrize(
    "text, caption",
    [
        ("a small red circle", Caption(Phrase("circle", "red", "small"))),
        ("a square", Caption(Phrase("square"))),
        ("two green triangles", Caption(Phrase("triangle", "green"), count=2)),
        ("three large crosses", Caption(Phrase("cross", size="large"), count=3)),
        ("a red circle at the top left", Caption(Phrase("circle", "red"), position="at the top left")),
        (
            "a large green triangle left of a small red circle",
            Caption(Phrase("triangle", "green", "large"), relation="left of", second=Phrase("circle", "red", "small")),
        ),
    ],
)
def test_there_and_back(text, caption):
    assert parse(text) == caption and str(caption) == text
    assert parse(f"  {text.capitalize()}. ") == caption


def test_every_caption_is_parsed_to_itself():
    phrases = [Phrase(s, c, z) for s in SHAPES for c in (None, *COLOURS) for z in (None, *SIZES)]
    every = [Caption(p, n) for p in phrases for n in (1, 2, 3)]
    every += [Caption(p, position=q) for p in phrases for q in captions.POSITIONS]
    every += [Caption(p, relation=r, second=q) for p in phrases for q in phrases[::7] for r in captions.RELATIONS]
    assert len({str(c) for c in every}) == len(every)
    for caption in every:
        assert parse(str(caption)) == caption
        assert set(str(caption).split()) <= set(captions.VOCABULARY)


@pytest.mark.parametrize(
    "text, message",
    [
        ("a red pentagon", "unknown word 'pentagon' in 'a red pentagon'; the words are: a, above, at, below, black"),
        ("a tringle", "unknown word 'tringle' .*did you mean 'triangle'"),
        ("", "it begins with 'a', 'two' or 'three'"),
        ("red circle", "it begins with 'a', 'two' or 'three'"),
        ("a circle red", "after the first thing comes nothing or one of: .*; here came 'red'"),
        ("a red small circle", "a thing is .size. .colour. and one of circle, .*; here came 'small'"),
        ("two circle", "one of circles, squares, triangles, crosses; here came 'circle'"),
        ("a", "here the text ends"),
        ("a circle above", "here came 'above'"),
        ("a circle above a", "here came 'above a'"),
        ("a circle above a square on the left", "here came 'above a square on the left'"),
        ("two circles on the left", "nothing comes after the circles, here came 'on the left'"),
    ],
)
def test_unreadable(text, message):
    with pytest.raises(ValueError, match=message):
        parse(text)


@pytest.mark.parametrize(
    "text, things, holds",
    [
        ("a red circle", [RED_CIRCLE], True),
        ("a circle", [RED_CIRCLE], True),
        ("a large red circle", [RED_CIRCLE], False),
        ("a blue circle", [RED_CIRCLE], False),
        ("a red circle", [RED_CIRCLE, BLUE_SQUARE], False),  # one too many
        ("a red circle", [], False),
        ("a circle at the top", [RED_CIRCLE], True),
        ("a circle at the top left", [RED_CIRCLE], True),
        ("a circle at the top right", [RED_CIRCLE], False),
        ("a circle in the middle", [RED_CIRCLE], False),
        ("a circle in the middle", [RED_CIRCLE._replace(x=0.5, y=0.45)], True),
        ("two circles", [RED_CIRCLE, RED_CIRCLE._replace(colour="blue", x=0.8)], True),
        ("two red circles", [RED_CIRCLE, RED_CIRCLE._replace(colour="blue", x=0.8)], False),
        ("two red circles", [RED_CIRCLE], False),
        ("a red circle above a blue square", [RED_CIRCLE, BLUE_SQUARE], True),
        ("a red circle above a blue square", [BLUE_SQUARE, RED_CIRCLE], True),
        ("a blue square below a circle", [RED_CIRCLE, BLUE_SQUARE], True),
        ("a blue square above a red circle", [RED_CIRCLE, BLUE_SQUARE], False),
        ("a red circle left of a blue square", [RED_CIRCLE, BLUE_SQUARE], False),  # nearer to above
    ],
)
def test_holds(text, things, holds):
    assert parse(text).holds(things) is holds


def test_true_captions_are_all_that_hold():
    phrases = [Phrase(s, c, z) for s in SHAPES for c in (None, *COLOURS) for z in (None, *SIZES)]
    every = {Caption(p, n) for p in phrases for n in (1, 2, 3)}
    every |= {Caption(p, position=q) for p in phrases for q in captions.POSITIONS}
    every |= {Caption(p, relation=r, second=q) for p in phrases for q in phrases for r in captions.RELATIONS}
    twins = [RED_CIRCLE, RED_CIRCLE._replace(size="large", x=0.8)]
    for things in ([RED_CIRCLE], [RED_CIRCLE, BLUE_SQUARE], twins, [*twins, RED_CIRCLE], [*twins, BLUE_SQUARE], []):
        found = captions.true_captions(things)
        assert len(found) == len(set(found)) and set(found) == {c for c in every if c.holds(things)}
    assert str(captions.true_captions([RED_CIRCLE])[0]) == "a small red circle"


def test_held_out():
    assert captions.is_held_out(parse("a large red triangle"))
    assert captions.is_held_out(parse("a circle above a green cross"))
    assert not captions.is_held_out(parse("a triangle above a red circle"))
    assert len({c for c, _ in captions.HELD_OUT}) == len({s for _, s in captions.HELD_OUT}) == 4
