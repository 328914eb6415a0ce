"""The course in a browser: a JupyterLite site with minidiff's own wheel, into build/lite.   make lite

    python scripts/build_lite.py [--out FOLDER] [--pyodide ARCHIVE]

It holds the chapters that need nothing beyond NumPy and matplotlib. Serve the folder with any web server:
    python -m http.server --directory build/lite

Python itself, NumPy and matplotlib are Pyodide's. With a full distribution (pyodide-VERSION.tar.bz2 of Pyodide's releases) in
build/, or named by --pyodide, they become part of the site, which then needs no other host. Without one the browser fetches
them from jsDelivr; where it cannot, the page says so.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = range(11)  # 00 to 10
# the wheel of this site; NumPy and matplotlib come with Pyodide, and what else minidiff uses is not needed there
INSTALL = ["# minidiff, from this site\n", "import piplite\n", "\n", 'await piplite.install("minidiff", deps=False)']


def chapters():
    """The executed notebooks that the site holds."""
    return [path for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")) if int(path.name[:2]) in CHAPTERS]


def build_wheel(folder):
    """minidiff as a wheel.   -> its path. Raises SystemExit for one that is not pure Python."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.whl"):
        old.unlink()
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = folder.glob("minidiff-*.whl")
    compiled = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith((".so", ".pyd", ".dll", ".dylib"))]
    if compiled or not wheel.name.endswith("-py3-none-any.whl"):
        sys.exit(f"{wheel.name} is not pure Python, a browser cannot run it: {compiled}")
    return wheel


def copy_chapters(folder):
    """The notebooks, with a first cell that installs the wheel."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in chapters():
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cell = {"cell_type": "code", "execution_count": None, "id": "install", "metadata": {}, "outputs": []}
        notebook["cells"].insert(0, {**cell, "source": INSTALL})
        notebook["metadata"]["kernelspec"] = {"name": "python", "display_name": "Python (Pyodide)", "language": "python"}
        (folder / path.name).write_text(json.dumps(notebook), encoding="utf-8")


def pyodide_archive():
    """A full Pyodide distribution that lies in build/, or None."""
    return max((ROOT / "build").glob("pyodide-[0-9]*.tar.bz2"), default=None)


def add_message(site, kernel):
    """Let every page say so where it cannot load Python.   kernel: the folder of the kernel's extension"""
    settings = json.loads((site / "jupyter-lite.json").read_text(encoding="utf-8"))["jupyter-config-data"]
    plugin = settings.get("litePluginSettings", {}).get("@jupyterlite/pyodide-kernel-extension:kernel", {})
    scripts = "\n".join(path.read_text(encoding="utf-8") for path in kernel.glob("static/*.js"))
    python = plugin.get("pyodideUrl") or re.search(r"https://[\w./-]+/pyodide\.m?js", scripts)[0]
    text = (ROOT / "scripts" / "lite_message.js").read_text(encoding="utf-8")
    (site / "message.js").write_text(text.replace("{{python}}", python), encoding="utf-8")
    for page in site.rglob("index.html"):
        html, root = page.read_text(encoding="utf-8"), os.path.relpath(site, page.parent)
        script = f'<script defer src="{root}/message.js"></script>\n</head>'
        page.write_text(html.replace("</head>", script, 1), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "lite", help="where the site goes")
    parser.add_argument(
        "--pyodide",
        metavar="ARCHIVE",
        help="a full Pyodide distribution to be part of the site (default: build/pyodide-*.tar.bz2, if there)",
    )
    arguments = parser.parse_args()
    work = arguments.out.with_name(arguments.out.name + "-work")
    wheel = build_wheel(work / "wheel")
    copy_chapters(work / "chapters")
    shutil.rmtree(arguments.out, ignore_errors=True)
    options = ["--lite-dir", work, "--contents", work / "chapters", "--piplite-wheels", wheel, "--output-dir", arguments.out]
    # the kernel alone, and not whatever else of Jupyter's is installed beside it
    kernel = Path(sys.prefix, "share", "jupyter", "labextensions", "@jupyterlite", "pyodide-kernel-extension")
    options += ["--ignore-sys-prefix", f"--LiteBuildConfig.federated_extensions={kernel}"]
    archive = arguments.pyodide or pyodide_archive()
    if archive:
        options += ["--pyodide", archive]
    command = [sys.executable, "-m", "jupyterlite_core", "build", *map(str, options), "--no-sourcemaps"]
    subprocess.run(command, check=True, cwd=work)
    add_message(arguments.out, kernel)
    where = archive or "jsDelivr, which readers need to reach"
    print(f"{arguments.out}: {len(chapters())} chapters, {wheel.name}; Python from {where}")
    print(
        f"Serve it:  {Path(sys.executable).name} -m http.server --directory {arguments.out}    and open http://127.0.0.1:8000"
    )


if __name__ == "__main__":
    main()
