"""The page in headless Chromium: it plays, keeps to its width, loads nothing from elsewhere, and logs no error."""

import re
import threading
from pathlib import Path

import chrome
import pytest

from minidiff.playground.models import PAGE, names
from minidiff.playground.reading import text_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def seen():
    """(what the check page saw, Chromium's log, the paths that were asked for)"""
    with chrome.Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found, log = chrome.report(server, "check/page.html", 180, "--window-size=1400,1000")
        server.shutdown()
    assert isinstance(found, dict), found
    return found, log, server.asked


@pytest.mark.slow
def test_it_plays_and_scrubs(seen):
    plane = seen[0]["plane"]
    assert plane["rate"] >= 30, plane  # frames a second
    assert (plane["back"], plane["seek"]) == (49, 10)
    assert re.match(r"particle 1 at \(.*\), predicted x0 \(", plane["touched"])
    assert "sampler=heun" in plane["address"]


@pytest.mark.slow
def test_the_samples_are_near_the_data_and_those_without_the_time_are_not(seen):
    assert seen[0]["plane"]["distance"] < 0.01 < 10 * seen[0]["plane"]["distance"] < seen[0]["off"], seen[0]


@pytest.mark.slow
def test_a_step_of_four_digits_takes_at_most_100_ms(seen):
    """The median of the slowest sampler's steps: Heun's, which calls the network twice."""
    digits = seen[0]["digits"]
    assert digits["ms"] <= 100, digits
    assert digits["cells"] == [6] * 6


@pytest.mark.slow
def test_it_keeps_to_390_and_1280_pixels(seen):
    assert [seen[0]["plane"]["wide"], seen[0]["narrow"], seen[0]["digits"]["wide"], seen[0]["narrowDigits"]] == [0] * 4


@pytest.mark.slow
def test_no_request_leaves_the_machine_and_no_error_is_logged(seen):
    """The policy that the server sends forbids other hosts, and the browser would log what breaks it."""
    found, log, asked = seen
    assert found["plane"]["elsewhere"] == [] and found["plane"]["loaded"] > 15
    assert any(path.endswith("digits.safetensors") for path in asked)
    assert not re.findall(r"CONSOLE.*", log)


@pytest.mark.slow
def test_every_control_has_a_label_and_a_link_to_a_page_that_is_there(seen):
    plane = seen[0]["plane"]
    assert plane["unlabelled"] == [] and plane["unlinked"] == 0
    for link in plane["links"]:
        path = link.partition("#")[0].removeprefix("..")
        assert text_of(path), link  # offline
        page = path.removeprefix("/").removesuffix(".html")
        source = (
            ROOT / "notebooks" / f"{Path(page).name}.ipynb" if page.startswith("chapters") else ROOT / "docs" / f"{page}.md"
        )
        assert source.is_file(), link  # on the site


def test_the_page_is_small_and_whole():
    files = [path for path in PAGE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 3e6
    assert {path.stem for path in files if path.suffix == ".safetensors"} == {*names(), "points"}


def test_the_files_name_no_other_host():
    for path in PAGE.rglob("*.[hcj]*"):
        addresses = (
            re.findall(r"https?://[^\s\"')]+", path.read_text(encoding="utf-8")) if path.suffix != ".safetensors" else []
        )
        assert addresses == [], path.name


def test_every_module_stays_short():
    for path in [*PAGE.rglob("*.js"), *chrome.HERE.glob("*.js")]:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 250 and max(map(len, lines)) <= 128, path.name
