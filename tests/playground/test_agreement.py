"""In headless Chromium the page's models and samplers end where minidiff's do, for the same seed."""

import threading

import chrome
import numpy as np
import pytest

from minidiff import playground
from minidiff.diffusion import Denoiser, cfg
from minidiff.playground.models import PREDICTS
from minidiff.rng import Rng
from minidiff.samplers.run import walk

COUNT, NULL = 24, {"moons": 2, "checkerboard": 8, "swiss_roll": 3, "gaussians": 8}
DISCRETE = ("ddpm", "ddpm_subset", "ddim", "heun", "dpmpp_2m", "flow_euler", "flow_heun")
CONTINUOUS = ("ddpm", "ddim", "dpmpp_2m", "flow_euler", "flow_heun")
DIGITS = dict(view="digits", digits="2026")


def of_model(name, **more):
    """Settings of the page for a model in the plane."""
    return dict(zip(("data", "process", "predicts"), name.split("-"), strict=True), view="plane") | more


def cases():
    every = [of_model(name, sampler=sampler, steps=11, seed=3)
             for name in playground.names() if name != "digits"
             for sampler in (CONTINUOUS if "flow" in name else DISCRETE)]  # fmt: skip
    moons, eight = "moons-linear-eps", "gaussians-cosine-v"
    every += [
        *(of_model(moons, sampler=sampler, steps=steps) for sampler in ("ddim", "heun", "dpmpp_2m") for steps in (1, 2, 333)),
        *(of_model(moons, sampler=sampler, steps=1000) for sampler in ("ddpm", "ddpm_subset", "dpmpp_2m")),
        *(of_model("moons-flow-velocity", sampler=sampler, steps=steps) for sampler in CONTINUOUS for steps in (1, 40)),
        *(of_model(eight, sampler="ddim", steps=20, eta=eta, seed=4294967295) for eta in (0.3, 1)),
        *(of_model(eight, sampler="dpmpp_2m", steps=20, guidance=w, **{"class": c}) for w in (-1, 2.5) for c in ("all", "3")),
        of_model(eight, sampler="dpmpp_2m", steps=20, guidance=2, **{"class": "none"}),
        of_model(eight, sampler="ddim", steps=20, time=0, held=400, guidance=1),
        of_model("moons-flow-velocity", sampler="flow_euler", steps=20, time=0, held=400),
        *(DIGITS | dict(sampler=sampler, steps=6) for sampler in DISCRETE),
        DIGITS | dict(sampler="ddim", steps=6, guidance=2, eta=0.5),
    ]
    return [{"settings": settings, "count": COUNT} for settings in every]


@pytest.fixture(scope="module")
def compared():
    """[(settings, what the page found)]"""
    listed = cases()
    with chrome.Server(listed) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found, _ = chrome.report(server, "check/agree.html")
        server.shutdown()
    assert isinstance(found, list), found
    return [(case["settings"], ends) for case, ends in zip(listed, found, strict=True)]


def by_minidiff(s, dtype=np.float64):
    """The last Step of the run that the page's settings stand for."""
    digits = s["view"] == "digits"
    name = "digits" if digits else f"{s['data']}-{s['process']}-{s['predicts']}"
    denoiser, rng = playground.denoiser(name, dtype), Rng(s.get("seed", 0))
    if digits:
        cond, none, shape = np.array([int(c) for c in s["digits"]]), 10, (4, 8, 8, 1)
    else:
        none, shape, which = NULL[s["data"]], (COUNT, 2), s.get("class", "all")
        cond = np.arange(COUNT) % none if which == "all" else np.full(COUNT, none if which == "none" else int(which))
    model = denoiser.model
    if not s.get("time", 1):
        denoiser = Denoiser(lambda x, t, cond: model.predict(x, s["held"], cond), denoiser.schedule, denoiser.predicts)
    given = dict(cond=cond)
    if s.get("guidance") and s.get("class") != "none":
        denoiser, given = cfg(denoiser, cond, s["guidance"], null=np.full(len(cond), none)), {}
    x, eta = rng.standard_normal(shape, np.float64).astype(dtype), {"eta": s["eta"]} if "eta" in s else {}
    *_, last = walk(s["sampler"], denoiser, x, s["steps"], rng=rng, **given, **eta)
    return last


def test_every_model_and_sampler_ends_where_minidiffs_does(compared):
    assert {name for names in PREDICTS.values() for name in names} <= {s.get("predicts") for s, _ in compared}
    for settings, found in compared:
        last = by_minidiff(settings)
        for key, wanted in (("end", last.x), ("x0", last.x0)):
            off = np.abs(np.array(found[key]) - wanted.ravel()).max()
            assert off < 1e-6, (settings, key, off)
        assert found["walked"] == settings["steps"]


def test_the_noise_is_that_of_minidiff(compared):
    for settings, found in compared[:5]:
        wanted = Rng(settings["seed"]).standard_normal((COUNT, 2), np.float64)
        assert np.abs(np.array(found["start"]) - wanted.ravel()).max() < 1e-12


def test_the_copied_lines_make_the_same_samples(compared, tmp_path, monkeypatch):
    """They are for 2,000 particles: shortened to as many as the page ran here."""
    monkeypatch.chdir(tmp_path)
    chosen = [pair for pair in compared if pair[0]["steps"] in (20, 6)]
    assert len(chosen) > 10
    for settings, found in chosen:
        space = {}
        exec(found["python"].replace("2000", str(COUNT)), space)
        x = space["rows"][0] if "rows" in space else space["x"]
        assert np.abs(np.array(found["end"]) - x.ravel()).max() < 1e-6, (settings, found["python"])
