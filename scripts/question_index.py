"""Which chapter answers which question: docs/questions.toml for the site's page, and as a table in the README.

python scripts/question_index.py             write the README's table anew
python scripts/question_index.py --check     exit code 1 when it is out of date
"""

import re
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(<!-- questions: made by scripts/question_index.py -->\n)(?:\|.*\n)*")


class Place(NamedTuple):
    """A heading of a chapter; `path` is the notebook's name without its ending, `title` the chapter's."""

    path: str
    title: str
    heading: str


def questions(readme=False, file=ROOT / "docs" / "questions.toml"):
    """[(question, [Place, ...])], with `readme` those of the README. Raises ValueError for a place that is not there."""
    listed = tomllib.loads(file.read_text(encoding="utf-8"))["question"]
    chosen = [entry for entry in listed if entry.get("readme", True) or not readme]
    return [(entry["asks"], [place(where) for where in entry["in"]]) for entry in chosen]


def place(where):
    number, _, heading = where.partition(": ")
    sources = sorted((ROOT / "notebooks").glob(f"{number}_*.py"))
    if len(sources) != 1:
        raise ValueError(f"questions.toml: {where!r}: there is no chapter {number}")
    found = headings(sources[0])
    if heading not in found:
        raise ValueError(f"questions.toml: {sources[0].name} has no heading {heading!r}; it has {found}")
    return Place(sources[0].stem, found[0], heading)


def headings(source):
    """The headings of a chapter in percent format, its title first."""
    return re.findall(r"^# #{1,6} (.+?)\s*$", source.read_text(encoding="utf-8"), re.M)


def plain(text):
    r"""A heading in the words of somebody who cannot write formulas:   "what is $\alpha_t$?"   ->   "what is alpha_t?" """
    return re.sub(r"[$\\{}`*]", "", text)


def slug(heading):
    """The anchor that the site gives to a heading: formulas have none."""
    words = re.sub(r"\$[^$]*\$", "", heading).replace("`", "").strip().lower().replace(" ", "-")
    return re.sub(r"[^\w\- ]", "", words)


def made(places):
    """Those whose notebooks have been made of their sources: what a link can lead to."""
    return [place for place in places if (ROOT / "notebooks" / f"{place.path}.ipynb").exists()]


def for_site():
    lines = ["| question | answered in |", "| --- | --- |"]
    for question, places in questions():
        links = [f"[{p.title}: {p.heading}](chapters/{p.path}.ipynb#{slug(p.heading)})" for p in made(places)]
        lines.append(f"| {question.replace('_', chr(92) + '_')} | {'<br>'.join(links) or 'a chapter that is being written'} |")
    return lines


def for_readme():
    lines = ["| question | chapter |", "|---|---|"]
    for question, places in questions(readme=True):
        links = {}  # one a chapter, to the first of its places
        for path, _, heading in made(places):
            anchor = quote(heading.replace(" ", "-"))
            links.setdefault(path, f"[{int(path[:2])}](notebooks/{path}.ipynb#{anchor})")
        lines.append(f"| {question} | {', '.join(links.values()) or 'being written'} |")
    return "".join(line + "\n" for line in lines)


def main(arguments):
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    new = BLOCK.sub(lambda block: block[1] + for_readme(), text)
    if "--check" in arguments:
        print("up to date" if new == text else "README.md: the questions are out of date; run python scripts/question_index.py")
        return int(new != text)
    readme.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
