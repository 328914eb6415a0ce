"""The table of error messages holds every `raise` of the command line, and each message keeps the form."""

import ast
import re

import error_messages
import pytest

from minidiff import cli

FORM = re.compile(r"[^:]+(: \{name\})?: (got .*, expected |cannot be combined with |only valid with )")
PASSED_ON = "{path}: {error}"  # another message, with the file in front
MESSAGES = error_messages.raised()


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.template[:40])
def test_a_message_names_the_argument_what_it_got_and_what_it_expects(message):
    assert message.template == PASSED_ON or FORM.match(message.template), message


def test_no_raise_is_missing_from_the_table():
    """Counted in another way: by the text of the files."""
    for path in error_messages.files():
        text = path.read_text(encoding="utf-8")
        errors = "|".join(error_messages.EXCEPTIONS)
        texts = len(re.findall(rf"\braise (?:{errors})\(\s*\[?f?[\"'_]", text))
        name = path.relative_to(error_messages.ROOT).as_posix()
        assert texts == sum(message.file == name for message in MESSAGES), name


def test_what_a_command_prints_is_in_the_table(capsys):
    assert cli.main(["sample", "runs/x", "--strength", "0.5"]) == 2
    printed = capsys.readouterr().err.partition("error: ")[2].strip()
    patterns = [re.sub(r"\\\{\w+\\\}", ".+", re.escape(message.template)) for message in MESSAGES]
    assert printed == "--strength: only valid with --image"
    assert any(re.fullmatch(pattern, printed) for pattern in patterns)


def test_argparse_is_in_the_table_with_the_options_that_it_checks(capsys):
    rows = {message.template: message.argument for message in error_messages.parsed()}
    assert all(FORM.match(template) for template in rows)
    assert "--seed" in rows["argument {name}: got {value}, expected a whole number"].split(", ")
    assert rows["argument {name}: got {value}, expected one of cpu, cuda"] == "--device"
    with pytest.raises(SystemExit):
        cli.main(["demo", "--seed", "x"])
    assert "argument --seed: got 'x', expected a whole number" in capsys.readouterr().err


def test_a_form_that_a_message_breaks_is_found():
    (template,) = error_messages.templates(ast.parse('f"{folder} is a file, use another"', mode="eval").body, {})
    assert template == "{folder} is a file, use another" and not FORM.match(template)
