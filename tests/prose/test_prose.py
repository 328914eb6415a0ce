"""No prose uses words that the style rules out, nor sentences over 40 words, but for what allowed.toml still holds."""

import tomllib
from pathlib import Path

import prose
import pytest

ALLOWED = Path(__file__).parent / "allowed.toml"


def test_prose_keeps_the_rules_and_the_list_of_exceptions_only_shrinks():
    allowed, found = tomllib.loads(ALLOWED.read_text(encoding="utf-8")), prose.counts(prose.files())
    wrong = []
    for name in sorted(allowed.keys() | found.keys()):
        for rule in sorted(allowed.get(name, {}).keys() | found.get(name, {}).keys()):
            before, now = allowed.get(name, {}).get(rule, 0), found.get(name, {}).get(rule, 0)
            if now > before:
                wrong.append(f"{name}: {rule}: {now}, allowed {before};  python scripts/prose.py {name}")
            elif now < before:
                wrong.append(f"{name}: {rule}: {now}, allowed {before}: lower it in {ALLOWED.name}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("text, rule", [
    ("The checker complains.", "complain"),
    ("It starts from nothing.", "from nothing"),
    ("A picture of `net`.", "picture"),
    ("Training goes on.", "go on"),
    (" ".join(["word"] * 41) + ".", prose.LONG),
])  # fmt: skip
def test_the_rules_find_these_faults(text, rule, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(text)
    assert [name for name, *_ in prose.faults(page)] == [rule]


@pytest.mark.parametrize("text", [
    "`the net complains`", "```\npictures\n```\n", "A subnet.", "| picture |\n|---|\n", " ".join(["word"] * 40) + ". Next one.",
    "See [here](https://x.org/pictures).", "$net$ is a symbol.",
])  # fmt: skip
def test_code_formulas_and_tables_are_not_prose(text, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(text)
    assert prose.faults(page) == []
