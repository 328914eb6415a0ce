"""The animation of the playground in the README, docs/images/playground.gif:   python scripts/playground_film.py

Opens the page in headless Chromium, moves through a run step by step, and takes what its canvases show. Needs Chromium.
"""

import argparse
import base64
import importlib
import io
import sys
import threading
from pathlib import Path

from PIL import Image

from minidiff.files import write_whole

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = "view=plane&data=gaussians&process=linear&predicts=eps&sampler=ddim&steps=20&field=0&trails=1"
SIDE, SMALL, GAP = 364, 178, 8  # pixels of the particles, of a density, between them


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default=ROOT / "docs" / "images" / "playground.gif", help="GIF file")
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests" / "playground"))
    chrome = importlib.import_module("chrome")  # the tests' way to drive the browser
    with chrome.Server({"settings": SETTINGS, "side": SIDE}) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found, _ = chrome.report(server, "check/film.html", 120)
        server.shutdown()
    if not isinstance(found, list):
        raise SystemExit(found)
    frames = [sheet([picture(part) for part in parts]) for parts in found]
    palette = colours(frames[-1])
    frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    made, held = io.BytesIO(), [120] * (len(frames) - 1) + [2500]
    frames[0].save(made, "GIF", save_all=True, append_images=frames[1:], duration=held, loop=0, optimize=True)
    write_whole(Path(arguments.out), [made.getvalue()])
    print(f"{arguments.out}: {len(frames)} frames, {len(made.getvalue()) / 1e3:.0f} kB")


def colours(frame):
    """A palette of 64 colours, those of rare pixels among them: the classes cover few."""
    counted = sorted(frame.getcolors(frame.width * frame.height), reverse=True)
    strip = Image.new("RGB", (len(counted), 1))
    strip.putdata([colour for _, colour in counted])
    return strip.quantize(64)


def picture(address):
    """An image from a data: address."""
    return Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGBA")


def sheet(parts):
    """The particles, and beside them the density of the data above that of the particles."""
    made = Image.new("RGBA", (SIDE + GAP + SMALL, SIDE), "white")
    places = ((0, 0), (SIDE + GAP, 0), (SIDE + GAP, SIDE - SMALL))
    for part, size, place in zip(parts, (SIDE, SMALL, SMALL), places, strict=True):
        made.alpha_composite(part.resize((size, size), Image.Resampling.LANCZOS), place)
    return made.convert("RGB")


if __name__ == "__main__":
    main()
