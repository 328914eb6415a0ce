"""The server of `minidiff playground`: this machine alone, the page's files alone, the right types."""

import http.client
import json
import re
import threading

import numpy as np
import pytest

from minidiff import cli, playground
from minidiff.commands import playground as command
from minidiff.playground.models import PAGE

PRESETS = json.loads((PAGE / "presets.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def server():
    with playground.Server() as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


def get(server, path, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    return answer, answer.read()


def test_it_listens_on_this_machine_alone(server):
    assert server.server_address[0] == "127.0.0.1"
    assert server.url("view=digits") == f"http://127.0.0.1:{server.server_port}/playground/#view=digits"


@pytest.mark.parametrize(
    "path, kind",
    [("", "text/html"), ("style.css", "text/css"), ("js/main.js", "text/javascript"), ("presets.json", "application/json"),
     ("models/digits.safetensors", "application/octet-stream"), ("icon.svg", "image/svg+xml")],
)  # fmt: skip
def test_the_files_have_their_types(server, path, kind):
    answer, body = get(server, f"/playground/{path}")
    assert answer.status == 200 and answer.getheader("Content-Type") == kind and len(body) > 100
    assert answer.getheader("Content-Security-Policy") == "default-src 'self'"


@pytest.mark.parametrize(
    "path",
    ["/playground/../models.py", "/playground/%2e%2e/models.py", "/models.py", "/playground/js/", "/chapters/99_x.html",
     "/derivations/no_such_op.html", "/api/training.html", "/etc/passwd"],
)  # fmt: skip
def test_nothing_else_is_served(server, path):
    assert get(server, path)[0].status == 404


def test_the_front_leads_to_the_page(server):
    answer, _ = get(server, "/")
    assert answer.status == 302 and answer.getheader("Location") == "/playground/"


def test_what_it_links_to_is_there_as_text(server):
    assert b"# 8. Skipping steps" in get(server, "/chapters/08_skipping_steps.html")[1]
    assert b"def group_norm" in get(server, "/derivations/group_norm.html")[1]
    assert b"Denoising diffusion implicit models" in get(server, "/api/samplers.html")[1]
    answer, body = get(server, "/api/samplers.html", "HEAD")
    assert answer.status == 200 and body == b""


def test_the_denoiser_of_a_name():
    denoiser = playground.denoiser("gaussians-linear-eps")
    x0, eps = denoiser(np.zeros((3, 2)), 400, np.array([0, 5, 8]))
    assert x0.dtype == eps.dtype == np.float64 and denoiser.predicts == "eps" and len(playground.names()) == 33
    with pytest.raises(ValueError, match="moons-linear-epz"):
        playground.denoiser("moons-linear-epz")


# ---- the command ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments, message", [(["--chapter", "99"], "--chapter"), (["--port", "70000"], "--port: got 70000")])
def test_the_command_rejects_what_it_cannot_take(arguments, message, capsys):
    assert cli.main(["playground", "--no-browser", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_the_command_opens_the_setting_of_a_chapter(monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(command.webbrowser, "open", opened.append)

    def stop(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(playground.Server, "serve_forever", stop)
    assert cli.main(["playground", "--chapter", "08"]) == 0
    assert "sampler=ddpm_subset" in opened[0] and opened[0] in capsys.readouterr().out


def test_the_settings_of_a_preset_exist():
    known = set(re.findall(r"(\w+):", (PAGE / "js" / "settings.js").read_text(encoding="utf-8").partition("};")[0]))
    for preset in PRESETS:
        for part in preset["settings"].split("&"):
            assert part.partition("=")[0] in known, part
