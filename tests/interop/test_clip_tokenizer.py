"""The tokenizer against transformers': 5,000 strings, unicode and rubbish included; and stored numbers without it."""

import json

import numpy as np
import pytest
from clip_texts import MERGES, VOCAB, strings

from minidiff.interop.clip_tokenizer import CLIPTokenizer


def test_learned_pairs_are_used():
    tokenizer = CLIPTokenizer(VOCAB, MERGES)
    assert [tokenizer.names[i] for i in tokenizer.encode("The cat")] == ["the</w>", "cat</w>"]
    assert tokenizer.decode(tokenizer.encode("  Don't  panic: 42 CAFÉS ")) == "don 't panic : 4 2 cafés"
    ids, mask = tokenizer(["a cat", "the"], length=6)
    start, end = VOCAB["<|startoftext|>"], VOCAB["<|endoftext|>"]
    np.testing.assert_array_equal(ids, [[start, VOCAB["a</w>"], VOCAB["cat</w>"], end, end, end],
                                        [start, VOCAB["the</w>"], end, end, end, end]])  # fmt: skip
    np.testing.assert_array_equal(mask.sum(axis=1), [4, 3])
    assert tokenizer(["a cat"] * 2, padding=False)[0].shape == (2, 4)
    assert tokenizer("cat " * 100)[0].shape == (1, 77) and tokenizer("cat " * 100)[0][0, -1] == end


# Printed by transformers 5.23 for this vocabulary.
STORED = {
    "an astronaut riding a horse": [704, 702, 648, 353, 687],
    "ΑΣ ὈΔΥΣΣΕΎΣ": [206, 177, 207, 387, 225, 189, 128, 206, 180, 207, 133, 207, 131, 207, 131, 206, 181, 207, 141, 207, 387],
    "l'œuvre d'été\u2003\u00a0x\x1cy": [364, 295, 197, 147, 117, 118, 525, 356, 295, 195, 169, 116, 607, 376, 284, 377],
}


@pytest.fixture
def theirs():
    return pytest.importorskip("transformers").CLIPTokenizer(vocab=VOCAB, merges=[tuple(pair) for pair in MERGES])


def test_5000_strings(theirs, count):
    ours = CLIPTokenizer(VOCAB, MERGES)
    for text in strings(5000):
        assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"], repr(text)
        count("outside")


def test_cut_and_padded(theirs, count):
    ours = CLIPTokenizer(VOCAB, MERGES)
    texts = [text * r for r, text in zip([1, 3, 9] * 100, strings(300, seed=1), strict=True)]
    expected = theirs(texts, padding="max_length", truncation=True, max_length=77)
    ids, mask = ours(texts)
    np.testing.assert_array_equal(ids, expected["input_ids"])
    np.testing.assert_array_equal(mask, np.array(expected["attention_mask"], bool))
    count("outside", ids.size)


@pytest.mark.parametrize("normalized", (False, True))
@pytest.mark.parametrize("pad", ("<|endoftext|>", "!"))
def test_from_a_folder(tmp_path, pad, normalized):
    """The files as they lie beside Stable Diffusion 1.x and 2.x."""
    transformers = pytest.importorskip("transformers")
    (tmp_path / "vocab.json").write_text(json.dumps(VOCAB, ensure_ascii=False), encoding="utf-8")
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(map(" ".join, MERGES)) + "\n", encoding="utf-8")

    def special(content):
        return {"content": content, "lstrip": False, "normalized": normalized, "rstrip": False, "single_word": False}

    (tmp_path / "special_tokens_map.json").write_text(json.dumps(
        {"bos_token": special("<|startoftext|>"), "eos_token": special("<|endoftext|>"), "pad_token": pad,
         "unk_token": special("<|endoftext|>")}))  # fmt: skip
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({
        "add_prefix_space": False, "bos_token": special("<|startoftext|>"), "do_lower_case": True, "errors": "replace",
        "eos_token": special("<|endoftext|>"), "model_max_length": 77, "pad_token": pad,
        "tokenizer_class": "CLIPTokenizer", "unk_token": special("<|endoftext|>")}))  # fmt: skip
    theirs, ours = transformers.CLIPTokenizer.from_pretrained(tmp_path), CLIPTokenizer.from_folder(tmp_path)
    texts = list(strings(300, seed=2))
    expected = theirs(texts, padding="max_length", truncation=True, max_length=77)
    ids, mask = ours(texts)
    np.testing.assert_array_equal(ids, expected["input_ids"])
    np.testing.assert_array_equal(mask, np.array(expected["attention_mask"], bool))


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no vocab.json and no merges.txt"):
        CLIPTokenizer.from_folder(tmp_path)
    with pytest.raises(ValueError, match="startoftext"):
        CLIPTokenizer({"a": 0}, [])
    with pytest.raises(ValueError, match="surrogate"):
        CLIPTokenizer(VOCAB, MERGES).encode("a\ud800b")


@pytest.mark.parametrize("text", STORED)
def test_stored_numbers(text, outside):
    outside(CLIPTokenizer(VOCAB, MERGES).encode(text), STORED[text], atol=0)
