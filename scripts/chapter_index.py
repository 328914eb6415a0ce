"""The table of chapters in the README, and its small pictures: docs/chapters.toml and the executed notebooks.

python scripts/chapter_index.py             write docs/images/chapters and the README's table anew
python scripts/chapter_index.py --check     exit code 1 when the table is out of date
"""

import base64
import io
import json
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "images" / "chapters"
BLOCK = re.compile(r"(<!-- chapters: made by scripts/chapter_index.py -->\n)(?:\|.*\n)*")
WIDTH, HEIGHT = 360, 200  # of a small picture at most; shown at half of it


def chapters():
    """The entries of docs/chapters.toml whose notebooks are there, with `path` added."""
    found = {path.name[:2]: path for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))}
    listed = tomllib.loads((ROOT / "docs" / "chapters.toml").read_text(encoding="utf-8"))["chapter"]
    unlisted = set(found) - {entry["number"] for entry in listed}
    if unlisted:
        raise ValueError(f"docs/chapters.toml has no entry for chapter {', '.join(sorted(unlisted))}")
    return [entry | {"path": found[entry["number"]]} for entry in listed if entry["number"] in found]


def pictures(notebook):
    """The PNG files that a notebook stores, in their order."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return [base64.b64decode(o["data"]["image/png"]) for o in outputs if "image/png" in o.get("data", {})]


def shrink(png):
    """A small copy of a picture.   PNG bytes -> PNG bytes"""
    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGB")
    image.thumbnail((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    # the method keeps a colour that few pixels have
    image.quantize(64, method=Image.Quantize.MAXCOVERAGE).save(out, "PNG", optimize=True)
    return out.getvalue()


def rows():
    lines = ["| | chapter | asks | minutes to run |", "|---|---|---|---|"]
    for entry in chapters():
        number, path = entry["number"], entry["path"]
        picture = f'<img src="docs/images/chapters/{number}.png" width="150" alt="">'
        minutes = entry["minutes"] or "-"
        lines.append(f"| {picture} | [{int(number)} {entry['name']}](notebooks/{path.name}) | {entry['asks']} | {minutes} |")
    return "".join(line + "\n" for line in lines)


def main(arguments):
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    new = BLOCK.sub(lambda block: block[1] + rows(), text)
    if "--check" in arguments:
        print("up to date" if new == text else "README.md: the chapters are out of date; run python scripts/chapter_index.py")
        return int(new != text)
    readme.write_text(new, encoding="utf-8")
    PICTURES.mkdir(parents=True, exist_ok=True)
    for entry in chapters():
        (PICTURES / f"{entry['number']}.png").write_bytes(shrink(pictures(entry["path"])[entry["picture"]]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
