"""Serves the page of the playground to this machine alone, with what it links to and without a network."""

import http
import http.server
import urllib.parse

from .models import PAGE
from .reading import text_of

FRONT = "/playground/"
KINDS = {".js": "text/javascript", ".json": "application/json", ".svg": "image/svg+xml", ".css": "text/css",
         ".html": "text/html", ".safetensors": "application/octet-stream"}  # fmt: skip


class Server(http.server.ThreadingHTTPServer):
    """The server of the page on 127.0.0.1.   with Server() as server: server.serve_forever()

    port   0 for one that is free; raises OSError for one that is taken
    """

    daemon_threads = True

    def __init__(self, port=0):
        super().__init__(("127.0.0.1", port), Handler)

    def url(self, settings=""):
        """The address of the page.   settings: such as "data=moons&sampler=heun", as the page's own address has them"""
        return f"http://127.0.0.1:{self.server_port}{FRONT}" + (f"#{settings}" if settings else "")


class Handler(http.server.SimpleHTTPRequestHandler):
    """The page's files, below /playground/; at the places that the site has for other pages, their text."""

    extensions_map = KINDS  # those of the system may be wrong: without the right one a browser runs no module

    def __init__(self, *args, **options):
        super().__init__(*args, directory=PAGE, **options)

    def do_GET(self):
        self._answer(super().do_GET)

    def do_HEAD(self):
        self._answer(super().do_HEAD)

    def _answer(self, send_file):
        path = urllib.parse.urlsplit(self.path).path
        if path.startswith(FRONT):
            self.path = self.path.removeprefix(FRONT.rstrip("/"))
            return send_file()
        if path in ("/", FRONT.rstrip("/")):
            self.send_response(http.HTTPStatus.FOUND)
            self.send_header("Location", FRONT)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        text = text_of(path)
        if text is None:
            return self.send_error(http.HTTPStatus.NOT_FOUND)
        body = text.encode()
        self.send_response(http.HTTPStatus.OK)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def end_headers(self):
        self.send_header("Content-Security-Policy", "default-src 'self'")  # nothing is loaded from another host
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def list_directory(self, path):
        self.send_error(http.HTTPStatus.NOT_FOUND)

    def log_message(self, format, *args):
        """Prints nothing: a page asks for forty files."""
