"""`minidiff course`: the chapters as notebooks, for whoever has installed the wheel alone."""

import json
from pathlib import Path

import pytest

from minidiff import chapters, cli

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def test_all_chapters_are_listed(capsys):
    assert cli.main(["course", "--list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert len(listed) == len(list(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))) and listed[3] == "3. Adding noise"


def test_the_notebooks_are_the_chapters_without_outputs(tmp_path, capsys):
    assert cli.main(["course", str(tmp_path / "course")]) == 0
    written = sorted((tmp_path / "course").iterdir())
    assert [path.name for path in written] == sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
    for path in written:
        made, built = (json.loads((folder / path.name).read_text()) for folder in (path.parent, NOTEBOOKS))
        assert [cell["cell_type"] for cell in made["cells"]] == [cell["cell_type"] for cell in built["cells"]]
        assert ["".join(c["source"]) for c in made["cells"]] == ["".join(c["source"]) for c in built["cells"]]
        assert not any(cell.get("outputs") for cell in made["cells"])


def test_they_are_valid_notebooks(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    for source in chapters.sources().values():
        nbformat.validate(nbformat.from_dict(chapters.notebook(source)))


def test_existing_work_is_not_overwritten(tmp_path, capsys):
    mine = tmp_path / "03_adding_noise.ipynb"
    mine.write_text("my answers")
    assert cli.main(["course", str(tmp_path), "03", "04"]) == 0
    assert mine.read_text() == "my answers" and (tmp_path / "04_the_loss.ipynb").exists()
    assert "1 notebooks written, 03_adding_noise.ipynb kept" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"), [([], "FOLDER: got none"), (["x", "99"], "CHAPTER: got '99', expected one of 00,")]
)
def test_bad_arguments_are_named(arguments, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["course", *arguments]) == 2
    assert words in capsys.readouterr().err and not list(tmp_path.iterdir())
