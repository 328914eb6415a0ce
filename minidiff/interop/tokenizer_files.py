"""The files of a tokenizer's folder: tokenizer.json alone, as transformers 5 saves it, or vocab.json and merges.txt.

Padding, length and special tokens are in tokenizer_config.json, or in special_tokens_map.json of older folders. Every
value that is read is checked here, so a malformed file fails with one line that names the file and the field.
"""

from pathlib import Path

from .added_tokens import AddedToken
from .charsmap import CharsMap
from .model_folder import read_json

START, END = "<|startoftext|>", "<|endoftext|>"
LENGTH_UNSET = 10**6  # transformers writes 1e30 for "no limit"
ROLES = ("bos_token", "eos_token", "unk_token", "pad_token")


def read_clip(folder):
    """The arguments of CLIPTokenizer from a folder. Raises FileNotFoundError, and ValueError that names file and field."""
    folder = Path(folder)
    if (folder / "tokenizer.json").is_file():
        vocab, merges, added = _clip_json(folder / "tokenizer.json")
    else:
        vocab, merges = _clip_pair(folder)
        added = []
    settings = _settings(folder)
    for role, expected in (("bos_token", START), ("eos_token", END)):
        if settings[role] not in (None, expected):
            raise ValueError(f"{folder}: {role}: got {settings[role]!r}, expected {expected!r} for a CLIP tokenizer")
    usual = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    names, added = _with_roles(folder, settings, usual, vocab, added)
    return {"vocab": vocab, "merges": merges, "pad": names["pad_token"], "length": settings["length"] or 77,
            "unknown": names["unk_token"], "added": added}  # fmt: skip


def read_t5(folder):
    """The arguments of T5Tokenizer from a folder with tokenizer.json. Raises as `read_clip` does."""
    file = Path(folder) / "tokenizer.json"
    table, model = _tokenizer_json(file, "Unigram", "a T5 tokenizer")
    pieces = _field(file, model, "model.vocab", list)
    for i, row in enumerate(pieces):
        good = isinstance(row, list) and len(row) == 2 and isinstance(row[0], str) and _is_number(row[1])
        if not good:
            raise ValueError(f"{file}: model.vocab[{i}]: got {row!r}, expected [token, log-probability]")
    unknown = model.get("unk_id")
    if not _is_index(unknown) or unknown >= len(pieces):
        raise ValueError(f"{file}: model.unk_id: got {unknown!r}, expected a number below {len(pieces)}")
    if model.get("byte_fallback"):
        raise ValueError(f"{file}: model.byte_fallback: got True, expected False for a T5 tokenizer")
    charsmap = None
    for i, each in enumerate(_steps(file, table, "normalizer", "normalizers")):
        if each.get("type") != "Precompiled" or not isinstance(each.get("precompiled_charsmap"), str):
            raise ValueError(f"{file}: normalizer step {i}: got {each.get('type')!r}, expected 'Precompiled' with its table")
        charsmap = each["precompiled_charsmap"]
        try:
            CharsMap(charsmap)
        except ValueError as error:
            raise ValueError(f"{file}: normalizer: {error}") from None
    kinds = [each.get("type") for each in _steps(file, table, "pre_tokenizer", "pretokenizers")]
    if kinds not in (["WhitespaceSplit", "Metaspace"], ["Metaspace"]):
        raise ValueError(f"{file}: pre_tokenizer: got {kinds}, expected WhitespaceSplit and Metaspace")
    settings, numbers = _settings(folder), {token: i for i, (token, _) in enumerate(pieces)}
    usual = {"eos_token": "</s>", "unk_token": pieces[unknown][0], "pad_token": "<pad>"}
    names, added = _with_roles(folder, settings, usual, numbers, _added(file, table))
    return {"pieces": [tuple(row) for row in pieces], "unknown": unknown, "charsmap": charsmap, "length": settings["length"],
            "end": names["eos_token"], "pad": names["pad_token"], "added": added}  # fmt: skip


def count_tokens(folder):
    """How many tokens the tokenizer of a folder has."""
    file = Path(folder) / "tokenizer.json"
    if not file.is_file():
        return len(_vocab(Path(folder) / "vocab.json", read_json(Path(folder) / "vocab.json"), "vocabulary"))
    table, model = _tokenizer_json(file)
    rows = _field(file, model, "model.vocab", (dict, list))
    pieces = {str(row[0] if isinstance(row, list) and row else row) for row in rows}
    return len(pieces | {token.content for token in _added(file, table)})


def _with_roles(folder, settings, usual, vocab, added):
    """({role: token}, all added tokens): the tokens with a role are searched for like those listed.

    `usual` has the token of a role that no file specifies. One token may have several roles; the last decides.
    """
    listed = {token.content: token for token in [*settings["added"], *added]}
    names = {role: settings[role] or content for role, content in usual.items()}
    roles = {}
    for role, content in names.items():
        if content in listed:
            continue
        if content not in vocab:
            raise ValueError(f"{folder}: {role}: got {content!r}, which is not in the vocabulary")
        roles[content] = AddedToken(content, vocab[content], normalized=role in settings["late"])
    return names, (*listed.values(), *roles.values())


def _clip_json(file):
    table, model = _tokenizer_json(file, "BPE", "a CLIP tokenizer")
    if model.get("end_of_word_suffix") != "</w>":
        got = model.get("end_of_word_suffix")
        raise ValueError(f"{file}: model.end_of_word_suffix: got {got!r}, expected '</w>' for a CLIP tokenizer")
    kinds = [each.get("type") for each in _steps(file, table, "normalizer", "normalizers")]
    if kinds != ["NFC", "Replace", "Lowercase"]:
        raise ValueError(f"{file}: normalizer: got {kinds}, expected NFC, Replace and Lowercase for a CLIP tokenizer")
    kinds = [each.get("type") for each in _steps(file, table, "pre_tokenizer", "pretokenizers")]
    if kinds != ["Split", "ByteLevel"]:
        raise ValueError(f"{file}: pre_tokenizer: got {kinds}, expected Split and ByteLevel for a CLIP tokenizer")
    vocab = _vocab(file, model.get("vocab"), "model.vocab")
    merges = []
    for i, pair in enumerate(_field(file, model, "model.merges", list)):
        pair = pair.split(" ") if isinstance(pair, str) else pair
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):
            raise ValueError(f"{file}: model.merges[{i}]: got {pair!r}, expected two tokens")
        _check_merge(file, f"model.merges[{i}]", pair, vocab)
        merges.append(tuple(pair))
    return vocab, merges, _added(file, table)


def _clip_pair(folder):
    missing = [name for name in ("vocab.json", "merges.txt") if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder} has no tokenizer.json, and no {' and no '.join(missing)}: not the folder of a CLIP tokenizer"
        )
    vocab = _vocab(folder / "vocab.json", read_json(folder / "vocab.json"), "vocabulary")
    try:
        lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{folder / 'merges.txt'} is not UTF-8 text: {error}") from None
    lines = lines[1:] if lines[0].startswith("#version") else lines
    merges = [tuple(line.split()) for line in lines if len(line.split()) == 2]
    for i, pair in enumerate(merges):
        _check_merge(folder / "merges.txt", f"merge {i}", pair, vocab)
    return vocab, merges


def _settings(folder):
    """What the small files specify: the role tokens (or None), length (or None), added tokens, and `late`, the roles whose
    tokens are searched for in the normalized text."""
    folder, raw, added, late = Path(folder), {}, [], set()
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            found = read_json(folder / name)
            if not isinstance(found, dict):
                raise ValueError(f"{folder / name}: got {type(found).__name__}, expected a JSON object")
            raw |= found
    config = folder / "tokenizer_config.json"
    for side in ("padding_side", "truncation_side"):
        if raw.get(side, "right") != "right":
            raise ValueError(f"{config}: {side}: got {raw[side]!r}, expected 'right'")
    settings = {}
    for role in ROLES:
        value = raw.get(role)
        if isinstance(value, dict):
            content = value.get("content")
            late |= {role} if value.get("normalized") else set()
            value = content if content is not None else value
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{config}: {role}: got {value!r}, expected a string, or an object with 'content'")
        settings[role] = value or None
    length = raw.get("model_max_length")
    if length is not None and (not _is_number(length) or length < 2):
        raise ValueError(f"{config}: model_max_length: got {length!r}, expected a whole number, at least 2")
    settings["length"] = int(length) if length is not None and length < LENGTH_UNSET else None
    decoder = raw.get("added_tokens_decoder")
    if decoder is not None:
        rows = _field(config, raw, "added_tokens_decoder", dict)
        for number, row in rows.items():
            where = f"added_tokens_decoder[{number!r}]"
            if not number.isdecimal() or not isinstance(row, dict):
                raise ValueError(f"{config}: {where}: got {row!r}, expected a number with an object")
            added.append(_one_added(config, row | {"id": int(number)}, where))
    elif (folder / "added_tokens.json").is_file():
        special = {settings[role] for role in ROLES}
        for content, number in _vocab(folder / "added_tokens.json", read_json(folder / "added_tokens.json"), "tokens").items():
            added.append(AddedToken(content, number, normalized=content not in special))
    return settings | {"added": added, "late": late}


def _tokenizer_json(file, kind=None, what="a tokenizer"):
    """(the whole table, its model) of a tokenizer.json, whose model is of this kind (None: any)."""
    table = read_json(file)
    if not isinstance(table, dict):
        raise ValueError(f"{file}: got {type(table).__name__}, expected a JSON object")
    model = _field(file, table, "model", dict)
    if kind and model.get("type") != kind:
        raise ValueError(f"{file}: model.type: got {model.get('type')!r}, expected {kind!r} for {what}")
    return table, model


def _steps(file, table, name, inner):
    """The steps of a normalizer or pre-tokenizer as a list of objects, a Sequence opened."""
    value = table.get(name)
    steps = [] if value is None else [value]
    if isinstance(value, dict) and value.get("type") == "Sequence":
        steps = value.get(inner)
    if not isinstance(steps, list) or not all(isinstance(each, dict) for each in steps):
        raise ValueError(f"{file}: {name}: got {steps!r}, expected an object, or a Sequence of them")
    return steps


def _added(file, table):
    rows = table.get("added_tokens") or []
    if not isinstance(rows, list):
        raise ValueError(f"{file}: added_tokens: got {type(rows).__name__}, expected a list")
    return [_one_added(file, row, f"added_tokens[{i}]") for i, row in enumerate(rows)]


def _one_added(file, row, where):
    good = isinstance(row, dict) and isinstance(row.get("content"), str) and row["content"] and _is_index(row.get("id"))
    flags = ("normalized", "lstrip", "rstrip", "single_word")
    if not good or not all(isinstance(row.get(flag, False), bool) for flag in flags):
        raise ValueError(f"{file}: {where}: got {row!r}, expected an object with 'id', 'content' and flags")
    return AddedToken(row["content"], row["id"], **{flag: row.get(flag, False) for flag in flags})


def _field(file, table, path, kind):
    """table[last name of path], of this type."""
    value = table.get(path.rsplit(".", 1)[-1])
    if not isinstance(value, kind):
        expected = {dict: "an object", list: "a list"}.get(kind, "a list or an object")
        raise ValueError(f"{file}: {path}: got {type(value).__name__}, expected {expected}")
    return value


def _vocab(file, vocab, where):
    if not isinstance(vocab, dict):
        raise ValueError(f"{file}: {where}: got {type(vocab).__name__}, expected an object {{token: number}}")
    for token, number in vocab.items():
        if not _is_index(number):
            raise ValueError(f"{file}: {where}[{token!r}]: got {number!r}, expected a number, at least 0")
    return vocab


def _check_merge(file, where, pair, vocab):
    for token in (*pair, "".join(pair)):
        if token not in vocab:
            raise ValueError(f"{file}: {where}: {token!r} of {' + '.join(pair)} is not in the vocabulary")


def _is_index(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)
