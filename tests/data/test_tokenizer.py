import numpy as np
import pytest

from minidiff.data import captions, tokenizer
from minidiff.data.captioned import draw_scenes
from minidiff.data.tokenizer import END, LENGTH, PAD, START, WORDS


def test_there_and_back():
    _, drawn = draw_scenes(500, 0, "all")
    texts = [str(caption) for caption in drawn] + ["a small red circle left of a large blue square", ""]
    ids = tokenizer.encode(texts)
    assert ids.shape == (502, LENGTH) and ids.dtype == np.int64
    assert tokenizer.decode(ids) == texts
    assert (ids[:, 0] == START).all() and ((ids == END).sum(axis=1) == 1).all()
    words = np.array([len(text.split()) for text in texts])
    assert np.array_equal((ids == PAD).sum(axis=1), LENGTH - 2 - words)
    assert words.max() == LENGTH - 2  # the longest caption fits, with nothing to spare


def test_the_numbers_are_fixed():
    """Shipped nets know words by these numbers: a word more, and every one of them has to be trained again."""
    assert len(WORDS) == 4 + len(captions.VOCABULARY) == 35
    assert tokenizer.encode(["a red circle"])[0].tolist() == [1, 4, 23, 11, 2, 0, 0, 0, 0, 0, 0, 0]


def test_refused():
    with pytest.raises(ValueError, match=r"unknown words .bleu., .oval. in .* .did you mean .blue..*; the words are: a,"):
        tokenizer.encode(["a circle", "a bleu oval"])
    with pytest.raises(ValueError, match="11 words, expected at most 10"):
        tokenizer.encode(["a " * 11])
    with pytest.raises(TypeError, match="expected a list of strings"):
        tokenizer.encode("a circle")
