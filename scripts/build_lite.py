"""The course in a browser: a JupyterLite site with minidiff's own wheel, into build/lite.   make lite

    python scripts/build_lite.py [--out FOLDER] [--pyodide ARCHIVE]

It holds the chapters that need nothing beyond NumPy and matplotlib. Serve the folder with any web server:
    python -m http.server --directory build/lite

Python itself, NumPy and matplotlib are Pyodide's. The browser fetches them from jsDelivr, unless --pyodide names a full
distribution (pyodide-VERSION.tar.bz2 of Pyodide's releases), which then becomes part of the site.
"""

import argparse
import json
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "lite", help="where the site goes")
    parser.add_argument("--pyodide", metavar="ARCHIVE", help="a full Pyodide distribution to be part of the site")
    arguments = parser.parse_args()
    work = arguments.out.with_name(arguments.out.name + "-work")
    wheel = build_wheel(work / "wheel")
    copy_chapters(work / "chapters")
    shutil.rmtree(arguments.out, ignore_errors=True)
    options = ["--lite-dir", work, "--contents", work / "chapters", "--piplite-wheels", wheel, "--output-dir", arguments.out]
    # the kernel alone, and not whatever else of Jupyter's is installed beside it
    kernel = Path(sys.prefix, "share", "jupyter", "labextensions", "@jupyterlite", "pyodide-kernel-extension")
    options += ["--ignore-sys-prefix", f"--LiteBuildConfig.federated_extensions={kernel}"]
    if arguments.pyodide:
        options += ["--pyodide", arguments.pyodide]
    command = [sys.executable, "-m", "jupyterlite_core", "build", *map(str, options), "--no-sourcemaps"]
    subprocess.run(command, check=True, cwd=work)
    print(f"{arguments.out}: {len(chapters())} chapters, {wheel.name}")


if __name__ == "__main__":
    main()
