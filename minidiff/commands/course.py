"""Copy the course's notebooks into a folder, or list them.

examples:
  minidiff course --list                list the chapters
  minidiff course diffusion             copy all chapters into the folder diffusion
  minidiff course diffusion 01 03       copy two chapters

Existing notebooks are not overwritten. To work in them: pip install jupyter, then jupyter lab FOLDER.
"""

import json
from pathlib import Path

from .. import chapters
from ..files import write_whole
from ..names import check_choice


def add_arguments(parser):
    parser.add_argument("folder", nargs="?", metavar="FOLDER", help="output folder; created if missing")
    parser.add_argument("chapters", nargs="*", metavar="CHAPTER", help="such as 03 (default: all)")
    parser.add_argument("--list", action="store_true", help="list the chapters without copying")


def run(arguments):
    sources = chapters.sources()
    if arguments.list:
        print("\n".join(chapters.title(source) for source in sources.values()))
        return
    if arguments.folder is None:
        raise ValueError("FOLDER: got none, expected a folder for the notebooks; use --list to see the chapters")
    for number in arguments.chapters:
        check_choice("CHAPTER", number, sources)
    folder, kept = Path(arguments.folder), []
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [source for number, source in sources.items() if number in (arguments.chapters or sources)]
    for source in chosen:
        path = folder / f"{source.stem}.ipynb"
        if path.exists():
            kept.append(path.name)
        else:
            write_whole(path, [(json.dumps(chapters.notebook(source), indent=1, ensure_ascii=False) + "\n").encode()])
    print(f"{folder}: {len(chosen) - len(kept)} notebooks written{''.join(f', {name} kept' for name in kept)}")
    print(f"next: pip install jupyter, then jupyter lab {folder}")
