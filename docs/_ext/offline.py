"""The build fails where a page would load a script, font, style or picture from another host. Links to click are fine."""

import re
from html.parser import HTMLParser
from pathlib import Path

from sphinx.errors import ExtensionError

ELSEWHERE = re.compile(r"\s*(https?:)?//", re.I)
IN_STYLE = re.compile(r"""(?:url\(|@import)\s*["']?\s*((?:https?:)?//[^"')\s]+)""", re.I)
IN_SCRIPT = re.compile(r"""(?:https?:)?//[\w.-]*(?:cdn|unpkg|jsdelivr|cloudflare|googleapis|gstatic)[\w.-]*/[^"'`\s]*""", re.I)
PLAIN = re.compile(r"""</?(?:a|code|div|em|li|p|span|td|ul)(?: (?:class|href|id|title)="(?:(?!//)[^"<>])*")*>""")
LOADED = {("link", "href"), ("object", "data")}  # besides every src, srcset and poster; a link's rel decides
NOT_LOADED = {"next", "prev", "search", "index", "author", "license", "canonical", "alternate", "top", "up"}


class Page(HTMLParser):
    """Collects what a browser would fetch of other hosts for one page."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.found, self.inside = [], None
        self.feed(PLAIN.sub(" ", text))  # most tags: the parser is slow, and they load nothing

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.inside = tag if tag in ("script", "style") else None
        for name, value in given.items():
            fetched = name in ("src", "srcset", "poster") or (tag, name) in LOADED
            if tag == "link" and set((given.get("rel") or "").split()) <= NOT_LOADED:
                fetched = False
            if fetched and value and ELSEWHERE.match(value):
                self.found.append(value)
            if name == "style" and value:
                self.found += IN_STYLE.findall(value)

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, text):
        if self.inside == "script":
            self.found += IN_SCRIPT.findall(text)
        elif self.inside == "style":
            self.found += IN_STYLE.findall(text)


def foreign(folder):
    """[(file, address)] of everything in a built site that would be loaded from another host."""
    found = []
    for file in sorted(Path(folder).rglob("*")):
        read = {".html": lambda text: Page(text).found, ".css": IN_STYLE.findall, ".js": IN_SCRIPT.findall}.get(file.suffix)
        if read and file.is_file():
            found += [(file.relative_to(folder).as_posix(), address) for address in read(file.read_text(encoding="utf-8"))]
    return found


def check(app, error):
    if error is None and app.builder.format == "html":
        found = foreign(app.outdir)
        if found:
            raise ExtensionError("loaded from another host:\n" + "\n".join(f"  {file}: {address}" for file, address in found))


def setup(app):
    app.connect("build-finished", check, priority=900)
    return {"parallel_read_safe": True}
