"""In a browser: a pure wheel, no thread, nothing but NumPy, matplotlib and Pillow. tests/notebooks runs the chapters so."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from minidiff import runs

ROOT = Path(__file__).parents[2]
BARE = ROOT / "tests" / "notebooks" / "bare_python.py"
FAST = {"MINIDIFF_FAST": "1", "MPLBACKEND": "agg", "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "scripts")))}


def run(folder, *words):
    return subprocess.run(
        [sys.executable, *map(str, words)], cwd=folder, env={**os.environ, **FAST}, capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize("name", ["tqdm", "safetensors", "pooch", "threadpoolctl"])
def test_the_bare_python_is_bare(tmp_path, name):
    (tmp_path / "chapter.py").write_text(f"# %%\nimport {name}\n")
    done = run(tmp_path, BARE, "chapter.py")
    assert done.returncode == 1 and f"No module named {name!r}" in done.stderr


def test_the_bare_python_has_no_threads(tmp_path):
    (tmp_path / "chapter.py").write_text("# %%\nimport threading\nthreading.Thread(target=print).start()\n")
    assert "can't start new thread" in run(tmp_path, BARE, "chapter.py").stderr


def test_training_and_sampling_run_there_with_bars_asked_for_and_threads_set(tmp_path):
    """What a reader may do beyond the chapters: bars are left out, threads are one whatever is asked for."""
    (tmp_path / "chapter.py").write_text(
        """# %%
import numpy as np
import minidiff
from minidiff import data, sample, viz
from minidiff.diffusion import Schedule, SimpleLoss
from minidiff.models import UNet
from minidiff.training import Trainer

minidiff.set_threads(4)
images, labels = data.load("digits")
net = UNet(in_channels=1, out_channels=1, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, rng=0)
trainer = Trainer(net, SimpleLoss(Schedule.cosine(100)), images, steps=2, batch_size=64)
trainer.run(progress=True)
samples = sample("ddim", trainer.objective.denoiser(net), (4, 8, 8, 1), steps=3, rng=0, progress=True)
assert np.isfinite(samples).all()
viz.save_png(samples, "x.png")
viz.save_gif([samples, samples], "x.gif")
print("done")
"""
    )
    done = run(tmp_path, BARE, "chapter.py")
    assert done.returncode == 0 and "done" in done.stdout, done.stderr[-3000:]


@pytest.fixture(scope="module")
def build_lite():
    import build_lite

    return build_lite


def test_the_wheel_is_pure_python(build_lite, tmp_path):
    pytest.importorskip("build", reason="the extra `lite` is not installed")
    pytest.importorskip("hatchling", reason="the extra `lite` is not installed")
    wheel = build_lite.build_wheel(tmp_path)
    entries = zipfile.ZipFile(wheel).infolist()
    held = [entry.filename for entry in entries]
    transformer = runs.SHIPPED / "checkpoint.safetensors"  # of MNIST; its own test holds it below 2 MB
    page = sum(e.compress_size for e in entries if e.filename.startswith("minidiff/playground/page/"))  # its own: below 3 MB
    assert wheel.name.endswith("-py3-none-any.whl") and wheel.stat().st_size - transformer.stat().st_size - page < 10e6
    chapters = [name for name in held if name.startswith("minidiff/course/")]
    assert len(chapters) == len(list((ROOT / "notebooks").glob("[0-9][0-9]_*.py"))) and not any(
        "answers" in name for name in held
    )
    assert {"minidiff/__init__.py", "minidiff/data/digits.npz"} <= set(held)
    assert not [name for name in held if name.startswith(("tests", "notebooks", "docs"))]


@pytest.mark.slow
def test_the_site_holds_the_wheel_and_the_chapters(build_lite, tmp_path):
    pytest.importorskip("jupyterlite_core", reason="the extra `lite` is not installed")
    pytest.importorskip("jupyterlite_pyodide_kernel", reason="the extra `lite` is not installed")
    done = run(tmp_path, ROOT / "scripts" / "build_lite.py", "--out", tmp_path / "lite")
    assert done.returncode == 0, done.stderr[-3000:]
    site = tmp_path / "lite"
    assert {path.stem for path in (site / "files").glob("*.ipynb")} == {path.stem for path in build_lite.chapters()}
    first = json.loads(next(iter(sorted((site / "files").glob("*.ipynb")))).read_text(encoding="utf-8"))
    assert "piplite.install" in "".join(first["cells"][0]["source"]) and first["metadata"]["kernelspec"]["name"] == "python"
    listed = json.loads((site / "pypi" / "all.json").read_text(encoding="utf-8"))
    (release,) = listed["minidiff"]["releases"].values()
    assert (site / "pypi" / release[0]["filename"]).is_file()
    message = (site / "message.js").read_text(encoding="utf-8")
    assert 'new URL("https://cdn.jsdelivr.net/pyodide/v' in message and "{{" not in message
    for page in ("index.html", "lab/index.html", "notebooks/index.html"):
        (script,) = re.findall(r'src="([^"]*message\.js)"', (site / page).read_text(encoding="utf-8"))
        assert (site / page).parent.joinpath(script).resolve() == site / "message.js"
    assert f"http.server --directory {site}" in done.stdout and "jsDelivr, which readers need to reach" in done.stdout


def test_a_pyodide_distribution_in_build_is_found(build_lite, tmp_path, monkeypatch):
    monkeypatch.setattr(build_lite, "ROOT", tmp_path)
    assert build_lite.pyodide_archive() is None
    archive = tmp_path / "build" / "pyodide-314.0.6.tar.bz2"
    archive.parent.mkdir()
    for name in (archive.name, "pyodide-core-314.0.6.tar.bz2"):
        (archive.parent / name).touch()
    assert build_lite.pyodide_archive() == archive
