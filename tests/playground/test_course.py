"""The chapters and the README point to the playground."""

import json
import re
import tomllib
from pathlib import Path

from PIL import Image

from minidiff.playground.models import PAGE

ROOT = Path(__file__).parents[2]
PRESETS = json.loads((PAGE / "presets.json").read_text(encoding="utf-8"))


def test_the_chapters_of_the_presets_point_to_the_playground():
    titles = {
        entry["number"] for entry in tomllib.loads((ROOT / "docs" / "chapters.toml").read_text(encoding="utf-8"))["chapter"]
    }
    wanted = {"03", "05", "07", "08", "09", "10"}
    assert wanted <= {preset["chapter"] for preset in PRESETS} <= titles
    for number in wanted:
        (source,) = (ROOT / "notebooks").glob(f"{number}_*.py")
        text = re.sub(r"\n# ?", " ", source.read_text(encoding="utf-8"))
        assert "](../docs/playground.md)" in text and f"minidiff playground --chapter {number}" in text, number


def test_the_animation_of_the_readme_shows_it():
    readme, film = (ROOT / "README.md").read_text(encoding="utf-8"), "docs/images/playground.gif"
    assert f"({film})](docs/playground.md)" in readme.split("## Start")[0]
    with Image.open(ROOT / film) as frames:
        assert frames.n_frames == 21 and frames.info["loop"] == 0
    assert (ROOT / film).stat().st_size < 1_000_000
