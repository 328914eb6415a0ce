"""tokenizer.json as transformers 5 saves it: the same numbers as transformers gives, for CLIP (BPE) and T5 (unigram).

The folders are made here: vocabularies trained by the `tokenizers` library, saved by transformers.
"""

import base64
import json

import numpy as np
import pytest
from clip_texts import TEXT, strings

from minidiff import interop
from minidiff.interop.added_tokens import AddedToken
from minidiff.interop.charsmap import CharsMap, clusters

START, END = "<|startoftext|>", "<|endoftext|>"


@pytest.fixture(scope="module")
def transformers():
    found = pytest.importorskip("transformers")
    found.logging.set_verbosity_error()
    return found


@pytest.fixture(scope="module")
def byte_pairs(transformers):
    """A vocabulary and merges that the `tokenizers` library trained by CLIP's rules. It lacks most bytes at a word's end."""
    tokenizers = pytest.importorskip("tokenizers")
    backend = transformers.CLIPTokenizer()._tokenizer
    backend.model = tokenizers.models.BPE(unk_token=END, end_of_word_suffix="</w>")
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, end_of_word_suffix="</w>",
                                             show_progress=False, special_tokens=[START, END])  # fmt: skip
    backend.train_from_iterator([TEXT] * 2, trainer)
    model = json.loads(backend.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]


def clip_folder(transformers, byte_pairs, folder, added=(), **options):
    """(their tokenizer, opened again from the folder; ours)."""
    vocab, merges = byte_pairs
    made = transformers.CLIPTokenizer(vocab=vocab, merges=merges, **{"model_max_length": 77} | options)
    made.add_tokens(list(added))
    made.save_pretrained(folder)
    assert not (folder / "vocab.json").exists() and (folder / "tokenizer.json").exists()
    return transformers.CLIPTokenizer.from_pretrained(folder), interop.CLIPTokenizer.from_folder(folder)


@pytest.mark.parametrize("pad", (END, "!"))
def test_clip_from_tokenizer_json_alone(pad, transformers, byte_pairs, tmp_path, count):
    theirs, ours = clip_folder(transformers, byte_pairs, tmp_path, pad_token=pad)
    texts = ["", " ", "\n\t", "!", "a !! b", *strings(2000, seed=11), *(text * 9 for text in strings(100, seed=12))]
    expected = theirs(texts, padding="max_length", truncation=True, max_length=77)
    ids, mask = ours(texts)
    np.testing.assert_array_equal(ids, expected["input_ids"])
    np.testing.assert_array_equal(mask, np.array(expected["attention_mask"], bool))
    count("outside", len(texts))


def test_clip_length_is_the_files(transformers, byte_pairs, tmp_path):
    theirs, ours = clip_folder(transformers, byte_pairs, tmp_path, model_max_length=9)
    texts = ["the cat sat on the mat, the cat and the hat", "a cat"]
    expected = theirs(texts, padding="max_length", truncation=True)["input_ids"]
    assert ours.length == 9
    np.testing.assert_array_equal(ours(texts)[0], expected)


def test_clip_tokens_of_a_textual_inversion(transformers, byte_pairs, tmp_path, count):
    """Numbers beyond the vocabulary; in the normalized text or the raw one, with white space, as whole words."""
    added = [transformers.AddedToken("<Cat-Toy>", normalized=True), transformers.AddedToken("<cat", normalized=False),
             transformers.AddedToken("<cat-toy>_1", normalized=False), transformers.AddedToken("hat", single_word=True),
             transformers.AddedToken("[L]", lstrip=True), transformers.AddedToken("[R]", rstrip=True, normalized=False),
             transformers.AddedToken("caf\u00e9  x", normalized=True)]  # fmt: skip
    theirs, ours = clip_folder(transformers, byte_pairs, tmp_path, added)
    assert theirs.convert_tokens_to_ids("<Cat-Toy>") >= len(byte_pairs[0])
    texts = ["a <Cat-Toy>!", "a <cat-toy> on a mat", "<CAT-TOY>", "<cat-toy>_1", "x<cat-toy>_1x", "that hat chat hat.",
             "hat_ hat-",
             "a [l]  [L]b", "a   [L] [R]   b", "[R]", "cafe\u0301 \u3000 x", "CAF\u00c9 x", "<cat-", "hat\u0301",
             "hat\u200d hat"]  # fmt: skip
    texts += [" ".join([a, b, c]) for a in texts for b in ("<Cat-Toy>", " [L]") for c in texts[:5]]
    for text in texts:
        assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"], repr(text)
    count("outside", len(texts))


def test_clip_older_files_name_added_tokens_too(transformers, byte_pairs, tmp_path):
    """vocab.json, merges.txt and added_tokens.json, as transformers 4 saved a textual inversion. The added token has the
    number that the file gives it, and not those of its letters."""
    vocab, merges = byte_pairs
    (tmp_path / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(map(" ".join, merges)), encoding="utf-8")
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<cat-toy>": len(vocab)}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 77}))
    ours = interop.CLIPTokenizer.from_folder(tmp_path)
    a, mat = vocab["a</w>"], vocab["mat</w>"]
    assert ours.encode("a <Cat-toy> mat") == [a, len(vocab), mat]
    theirs = transformers.CLIPTokenizer.from_pretrained(tmp_path)
    for text in ("a <cat-toy> mat", "<CAT-TOY>s", "<cat-toy"):
        assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"]


def test_the_same_from_old_files_and_new(transformers, byte_pairs, tmp_path):
    vocab, merges = byte_pairs
    _, new = clip_folder(transformers, byte_pairs, tmp_path)
    (tmp_path / "old").mkdir()
    (tmp_path / "old/vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    (tmp_path / "old/merges.txt").write_text("#version: 0.2\n" + "\n".join(map(" ".join, merges)), encoding="utf-8")
    old = interop.CLIPTokenizer.from_folder(tmp_path / "old")
    texts = list(strings(200, seed=13))
    np.testing.assert_array_equal(old(texts)[0], new(texts)[0])
    data = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    data["model"]["merges"] = [" ".join(pair) for pair in data["model"]["merges"]]  # as transformers 4.44 and before saved them
    (tmp_path / "tokenizer.json").write_text(json.dumps(data), encoding="utf-8")
    np.testing.assert_array_equal(interop.CLIPTokenizer.from_folder(tmp_path)(texts)[0], new(texts)[0])


# ---- T5 --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pieces(transformers):
    """A unigram vocabulary that the `tokenizers` library trained."""
    tokenizers = pytest.importorskip("tokenizers")
    backend = tokenizers.Tokenizer(tokenizers.models.Unigram())
    split, meta = tokenizers.pre_tokenizers.WhitespaceSplit(), tokenizers.pre_tokenizers.Metaspace()
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([split, meta])
    special = ["<pad>", "</s>", "<unk>"]
    trainer = tokenizers.trainers.UnigramTrainer(vocab_size=250, special_tokens=special, unk_token="<unk>", show_progress=False)
    backend.train_from_iterator([TEXT] * 3, trainer)
    return [tuple(row) for row in json.loads(backend.to_str())["model"]["vocab"]]


def charsmap(forms):
    """A precompiled character map: the trie as a double array, as darts-clone packs it. -> bytes

    A unit: byte that leads to it, bit 8 where a key ends below, offset to its children from bit 10. A value has bit 31.
    """
    texts, tree = b"", {}
    for key, form in forms.items():
        node = tree
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[0] = len(texts)
        texts += form.encode() + b"\0"
    units, used = [0] * 4096, {0}

    def place(node, at):
        base = next(b for b in range(1, 4096) if not any(b ^ byte in used for byte in node))
        used.update(base ^ byte for byte in node)
        units[at] |= (base ^ at) << 10 | ((0 in node) << 8)
        for byte, child in node.items():
            if byte == 0:
                units[base] = child | 1 << 31
            else:
                units[base ^ byte] = byte
                place(child, base ^ byte)

    place(tree, 0)
    raw = b"".join(unit.to_bytes(4, "little") for unit in units)
    return len(raw).to_bytes(4, "little") + raw + texts


FORMS = {"e\u0301": "\xe9", "\ufb01": "fi", "\r": " ", "\t": " ", "\u3000": " ", "\xad": "", "\u2460": "1", "\uff21": "A",
         "\u1100\u1161": "\uac00", "\u0627\u0653": "\u0622", "\u2003": " ", "\xbd": "1\u20442", "\u212b": "\xc5"}  # fmt: skip
PIECES_OF_TEXT = ["e\u0301", "\ufb01\u0301", "\r\n", "\ufb01", "\u2460\u0301\u0302", "\u0600\u0627\u0653", "\u1100\u1161",
                  "A\u030a",
                  "\u212b", "\xad", "x\u200dy", "\u0e33\ufb01", "\xbd\u20e3", "</s>", "<extra_id_1>", " <unk>x"]  # fmt: skip


@pytest.mark.parametrize("normalizer", (False, True))
def test_t5(normalizer, transformers, pieces, tmp_path, count):
    options = {"_spm_precompiled_charsmap": charsmap(FORMS)} if normalizer else {}
    transformers.T5Tokenizer(vocab=pieces, extra_ids=3, model_max_length=40, **options).save_pretrained(tmp_path)
    assert ("Precompiled" in (tmp_path / "tokenizer.json").read_text(encoding="utf-8")) == normalizer
    theirs, ours = transformers.T5Tokenizer.from_pretrained(tmp_path), interop.T5Tokenizer.from_folder(tmp_path)
    texts = ["", " ", "\u2581", "a\u2581 \u2581\u2581b", *strings(1500, seed=21)]
    texts += [a + b + c for a in PIECES_OF_TEXT for b in PIECES_OF_TEXT for c in ("", " the cat", *PIECES_OF_TEXT[:3])]
    for text in texts:
        assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"], ascii(text)
    expected = theirs(texts, padding="max_length", truncation=True)
    ids, mask = ours(texts)
    np.testing.assert_array_equal(ids, expected["input_ids"])
    np.testing.assert_array_equal(mask, np.array(expected["attention_mask"], bool))
    count("outside", len(texts))


def test_the_best_cut_by_hand():
    """Of "ab": pieces a + b score -3, ab scores -2.5, so ab wins; of "abc", ab + c = -4.5 against a + bc = -3.5.

    An unknown letter costs 10 more than the rarest piece, and a run of them is one unknown token (`fuse_unk`).
    """
    pieces = [
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", 0.0),
        ("\u2581", -1.0),
        ("a", -1.0),
        ("b", -2.0),
        ("ab", -2.5),
        ("c", -2.0),
        ("bc", -2.5),
    ]
    ours = interop.T5Tokenizer(pieces)
    assert ours.encode("ab") == [3, 6] and ours.encode("abc") == [3, 4, 8]
    assert ours.encode("azzb z") == [3, 4, 2, 5, 3, 2]
    ids, mask = ours(["ab", "abc ab"])
    assert ids.tolist() == [[3, 6, 1, 0, 0, 0], [3, 4, 8, 3, 6, 1]] and mask.sum(axis=1).tolist() == [3, 6]
    assert ours.decode(ids[1]) == "abc ab"


def test_charsmap_against_tokenizers(count):
    tokenizers = pytest.importorskip("tokenizers")
    table = charsmap(FORMS)
    theirs, ours = tokenizers.normalizers.Precompiled(table), CharsMap(base64.b64encode(table).decode())
    texts = [a + b + c for a in PIECES_OF_TEXT for b in PIECES_OF_TEXT for c in PIECES_OF_TEXT] + list(strings(1500, seed=5))
    for text in texts:
        assert ours(text) == theirs.normalize_str(text), ascii(text)
    count("outside", len(texts))


def test_clusters_by_the_standard():
    """Examples of Unicode UAX 29, table 1a to 1c and GraphemeBreakTest.txt, of the rules that are followed here."""
    assert list(clusters("g\u0308a\r\n\u0e01\u0e33\u0300")) == ["g\u0308", "a", "\r\n", "\u0e01\u0e33\u0300"]
    assert list(clusters("\u0600\u0020\u0915\u093f\u200b\u0308")) == ["\u0600 ", "\u0915\u093f", "\u200b", "\u0308"]
    assert list(clusters("")) == []


# ---- files that are not what they should be ---------------------------------------------------------------------------


@pytest.fixture
def good(byte_pairs):
    """A tokenizer.json as a table."""
    vocab, merges = byte_pairs
    return {"added_tokens": [{"id": vocab[END], "content": END, "normalized": False}],
            "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Replace"}, {"type": "Lowercase"}]},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split"}, {"type": "ByteLevel"}]},
            "model": {"type": "BPE", "end_of_word_suffix": "</w>", "vocab": vocab,
                      "merges": [list(m) for m in merges]}}  # fmt: skip


def refused(call, *parts):
    with pytest.raises(ValueError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text and all(part in text for part in parts), text


@pytest.mark.parametrize(("path", "value", "field"), [
    ("model", [], "model: got list"), ("model.type", "WordPiece", "model.type: got 'WordPiece'"),
    ("model.vocab", ["a"], "model.vocab: got list"), ("model.vocab", {"a": -1}, "model.vocab['a']: got -1"),
    ("model.vocab", {"a": True}, "model.vocab['a']: got True"), ("model.merges", {}, "model.merges: got dict"),
    ("model.merges", [["a"]], "model.merges[0]: got ['a']"), ("model.merges", ["a b c"], "model.merges[0]"),
    ("model.merges", [["a", "nowhere"]], "model.merges[0]: 'nowhere'"),
    ("model.end_of_word_suffix", "", "model.end_of_word_suffix: got ''"),
    ("added_tokens", {"a": 1}, "added_tokens: got dict"), ("added_tokens", [{"id": 3}], "added_tokens[0]"),
    ("added_tokens", [{"id": "3", "content": "x"}], "added_tokens[0]"), ("normalizer", None, "normalizer: got []"),
    ("normalizer", [], "normalizer"), ("pre_tokenizer", {"type": "ByteLevel"}, "pre_tokenizer: got ['ByteLevel']"),
])  # fmt: skip
def test_a_malformed_tokenizer_json_names_file_and_field(path, value, field, good, tmp_path):
    table = good
    *way, last = path.split(".")
    for name in way:
        table = table[name]
    table[last] = value
    (tmp_path / "tokenizer.json").write_text(json.dumps(good))
    refused(lambda: interop.CLIPTokenizer.from_folder(tmp_path), "tokenizer.json", field)


@pytest.mark.parametrize(("value", "field"), [
    ([], "tokenizer_config.json: got JSON that is a list, expected an object"), ({"pad_token": {"lstrip": True}}, "pad_token"),
    ({"pad_token": 3}, "pad_token: got 3"),
    ({"pad_token": "<nowhere>"}, "pad_token: got '<nowhere>'"), ({"padding_side": "left"}, "padding_side: got 'left'"),
    ({"model_max_length": "77"}, "model_max_length: got '77'"), ({"model_max_length": 1}, "model_max_length: got 1"),
    ({"bos_token": "<s>"}, "bos_token: got '<s>'"), ({"added_tokens_decoder": {"x": {}}}, "added_tokens_decoder['x']"),
    ({"added_tokens_decoder": []}, "added_tokens_decoder: got list"),
])  # fmt: skip
def test_a_malformed_tokenizer_config_names_file_and_field(value, field, good, tmp_path):
    (tmp_path / "tokenizer.json").write_text(json.dumps(good))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(value))
    refused(lambda: interop.CLIPTokenizer.from_folder(tmp_path), field)


@pytest.mark.parametrize(("path", "value", "field"), [
    ("model.type", "BPE", "model.type: got 'BPE'"), ("model.vocab", [["a"]], "model.vocab[0]: got ['a']"),
    ("model.vocab", {}, "model.vocab"),
    ("model.unk_id", 9, "model.unk_id: got 9"), ("model.unk_id", None, "model.unk_id"),
    ("model.byte_fallback", True, "model.byte_fallback"),
    ("normalizer", {"type": "Lowercase"}, "normalizer step 0: got 'Lowercase'"),
    ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "%"}, "precompiled_charsmap"),
    ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "AAAAAAA="}, "precompiled_charsmap"),
    ("pre_tokenizer", None, "pre_tokenizer: got []"),
])  # fmt: skip
def test_a_malformed_t5_file_names_the_field(path, value, field, tmp_path):
    table = good = {"model": {"type": "Unigram", "unk_id": 2, "vocab": [["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0],
                    ["\u2581", -1.0]]},
                    "normalizer": None, "pre_tokenizer": {"type": "Metaspace"}}  # fmt: skip
    *way, last = path.split(".")
    for name in way:
        table = table[name]
    table[last] = value
    (tmp_path / "tokenizer.json").write_text(json.dumps(good))
    refused(lambda: interop.T5Tokenizer.from_folder(tmp_path), "tokenizer.json", field)


def test_describe_counts_the_tokens_of_tokenizer_json(transformers, byte_pairs, tmp_path):
    clip_folder(transformers, byte_pairs, tmp_path / "tokenizer", [transformers.AddedToken("<cat-toy>")])
    assert interop.describe(tmp_path / "tokenizer") == f"tokenizer of {len(byte_pairs[0]) + 1:,} tokens"


def test_an_added_token_by_hand():
    vocab = {START: 0, END: 1, "a</w>": 2}
    ours = interop.CLIPTokenizer(vocab, [], added=[AddedToken("<x>", 7)])
    assert ours.encode("a <x>a") == [2, 7, 2] and ours.decode([2, 7, 2]) is not None
