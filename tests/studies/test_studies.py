import shutil

import numpy as np
import pytest

from minidiff import cli, studies
from minidiff.studies.table import read_table


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Where quick models are kept: trained once for all studies that share them."""
    return tmp_path_factory.mktemp("studies")


@pytest.mark.slow
@pytest.mark.parametrize("name", studies.STUDIES)
def test_every_study_runs_and_writes_a_table_and_a_plot(name, home, tmp_path):
    options = studies.Options(out=tmp_path / "out", quick=True, seeds=(0, 1), home=home)
    said = []
    rows = studies.carry_out(name, options, said.append)
    assert rows and said == rows
    table = read_table(tmp_path / "out" / f"{name}.csv")
    assert len(table) == len(rows)
    for row, read in zip(rows, table, strict=True):
        for key, value in row.items():
            assert read[key] == (pytest.approx(value, rel=1e-5, nan_ok=True) if isinstance(value, float) else value)
    picture = tmp_path / "out" / f"{name}.png"
    drawn = picture.stat().st_size
    assert drawn > 10_000
    picture.unlink()
    assert studies.redraw(name, tmp_path / "out") == picture and picture.stat().st_size > 10_000


@pytest.mark.slow
def test_models_are_trained_once(home, tmp_path, monkeypatch):
    options = studies.Options(out=tmp_path, quick=True, seeds=(0,), home=home)
    first = studies.carry_out("inversion", options)
    from minidiff.studies import digits

    monkeypatch.setattr(digits, "fit", lambda *args: pytest.fail("trained again"))
    assert studies.carry_out("inversion", options) == first  # and it is reproducible
    given = shutil.copytree(home / "quick" / "digits", tmp_path / "mine")
    assert studies.carry_out("inversion", studies.Options(out=tmp_path, quick=True, seeds=(0,), run=given)) == first


def test_the_list(capsys):
    assert cli.main(["study"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(studies.STUDIES)
    assert all(line.rstrip().endswith((".", "?")) for line in lines)


@pytest.mark.parametrize("arguments, message", [
    (["smaplers"], "did you mean samplers"),
    (["orders", "--seeds", "0"], "--seeds: got 0"),
    (["inversion", "--run", "no/such/run"], "no checkpoint"),
])  # fmt: skip
def test_mistakes(arguments, message, capsys, tmp_path):
    assert cli.main(["study", *arguments, "--out", str(tmp_path)]) != 0
    assert message in capsys.readouterr().err


def test_a_run_on_other_data_is_refused(tmp_path):
    assert cli.main(["train", "--data", "moons", "--steps", "1", "--out", str(tmp_path / "moons"), "--no-progress"]) == 0
    with pytest.raises(ValueError, match="was trained on moons, expected the digits"):
        studies.carry_out("inversion", studies.Options(out=tmp_path, run=tmp_path / "moons"))


def test_the_orders_study_plots_every_sampler(tmp_path):
    rows = studies.carry_out("orders", studies.Options(out=tmp_path, quick=True))
    (axes,) = studies.orders.draw(rows).axes
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert len(axes.lines) == len({row["sampler"] for row in rows})
    assert (tmp_path / "orders.png").stat().st_size > 10_000
    assert {row["sampler"] for row in rows} >= {"ddim", "heun", "dpmpp_2m", "rk4"}
    assert all(np.isfinite(row["error"]) for row in rows)
