"""The whole zoo, as part of the suite: every planted mistake is noticed by a test."""

import pytest
from run_zoo import MISTAKES, ROOT, planted, run


def test_each_mistake_is_one_line_that_is_there():
    for mistake in MISTAKES:
        text = (ROOT / mistake.file).read_text(encoding="utf-8")
        wrong = planted(text, mistake)
        compile(wrong, mistake.file, "exec")
        assert len(wrong.splitlines()) == len(text.splitlines()) and wrong != text


def test_the_zoo_is_large_and_its_names_are_distinct():
    assert len(MISTAKES) >= 25
    assert len({m.name for m in MISTAKES}) == len({(m.file, m.old, m.new) for m in MISTAKES}) == len(MISTAKES)


@pytest.mark.parametrize("old, found", [("no such line", 0), ("import", 2)])
def test_a_missing_or_repeated_line_is_reported(old, found):
    mistake = MISTAKES[0]._replace(old=old)
    with pytest.raises(SystemError, match=f"{found} lines hold"):
        planted("import numpy\nimport math\n", mistake)


@pytest.mark.slow
def test_every_mistake_is_killed(count):
    killers = run()
    alive = [name for name, killer in killers.items() if killer is None]
    assert not alive, alive
    count("planted", len(killers))
