"""Open the playground in the browser: samplers, models and guidance to play with, without a network.

examples:
  minidiff playground
  minidiff playground --chapter 08              the setting that shows what chapter 8 explains
  minidiff playground --port 8000 --no-browser

The page is served to this machine alone, until Ctrl-C.
"""

import json
import webbrowser

from ..names import check_choice
from ..playground import Server
from ..playground.models import PAGE
from .values import whole


def add_arguments(parser):
    parser.add_argument("--chapter", metavar="NN", help="open the first setting of a chapter, such as 08")
    parser.add_argument("--port", type=whole, default=0, metavar="N", help="port on 127.0.0.1 (default: one that is free)")
    parser.add_argument("--no-browser", action="store_true", help="print the address without opening a browser")


def run(arguments):
    if not 0 <= arguments.port < 65536:
        raise ValueError(f"--port: got {arguments.port}, expected a number from 0 to 65535")
    settings = setting_of(arguments.chapter) if arguments.chapter is not None else ""
    with Server(arguments.port) as server:
        print(f"{server.url(settings)}\nCtrl-C ends it")
        if not arguments.no_browser:
            webbrowser.open(server.url(settings))
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


def setting_of(chapter):
    """The first setting that the page lists for a chapter. Raises ValueError for a chapter without one."""
    listed = {}
    for preset in json.loads((PAGE / "presets.json").read_text(encoding="utf-8")):
        listed.setdefault(preset["chapter"], preset["settings"])
    check_choice("--chapter", chapter, listed)
    return listed[chapter]
