"""Runs a page of the playground in headless Chromium: a server that also has the tests' own pages, and takes their reports."""

import http
import json
import queue
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from minidiff.playground import serve

HERE = Path(__file__).parent / "check"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --disable-extensions --disable-default-apps --enable-logging=stderr""".split()


class Handler(serve.Handler):
    """The playground, with the files of `check` below /playground/check/, cases.json there, and POST for a report."""

    def do_GET(self):
        self.server.asked.append(self.path)
        name = self.path.partition("?")[0].removeprefix("/playground/check/")
        if name == "cases.json":
            return self.reply(json.dumps(self.server.cases), ".json")
        if (HERE / name).is_file():
            return self.reply((HERE / name).read_text(encoding="utf-8"), (HERE / name).suffix)
        super().do_GET()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.reports.put(json.loads(body))
        self.reply("", ".json")

    def reply(self, text, suffix):
        body = text.encode()
        self.send_response(http.HTTPStatus.OK)
        self.send_header("Content-Type", serve.KINDS[suffix])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(serve.Server):
    """A playground for tests.   cases: what a check page asks for; asked: the paths of all requests; reports: what it sent"""

    def __init__(self, cases=None):
        super().__init__()
        self.RequestHandlerClass = Handler
        self.cases, self.asked, self.reports = cases, [], queue.Queue()


def report(server, page, seconds=120, *more):
    """What a page sends back, and what Chromium wrote to its log.   page: a path such as "check/agree.html"
    ->   (report, log).   more: further options of Chromium. Skips the test where there is no Chromium."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, open(Path(profile) / "log", "w+") as log:
        command = [CHROMIUM, *QUIET, f"--user-data-dir={profile}/profile", *more, server.url() + page]
        browser = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            found = server.reports.get(timeout=seconds)
        except queue.Empty:
            log.seek(0)
            pytest.fail(f"{page} sent no report in {seconds} s; Chromium wrote:\n{log.read()[-3000:]}")
        finally:
            browser.terminate()
            browser.wait(timeout=30)
        log.seek(0)
        return found, log.read()
