"""Export and import of every kind of run, there and back: no setting is lost, and diffusers samples the same numbers.

The reference values are diffusers' own: its UNet2DModel and its DDIM and DDPM schedulers, from the same noise.
"""

import contextlib
import functools
import io
import itertools
import json
import re

import numpy as np
import pytest

from minidiff import interop, runs
from minidiff.cli import main
from minidiff.diffusion import Schedule
from minidiff.rng import Rng
from minidiff.samplers import sample
from minidiff.training import RunConfig, checkpoint

PREDICTS = ("eps", "x0", "v")
SCHEDULES = {
    "linear": {"schedule": "linear", "T": 1000},
    "linear, its own betas": {"schedule": "linear", "T": 1000, "beta_start": 1e-3, "beta_end": 0.01},
    "linear, short": {"schedule": "linear", "T": 12},  # scaled to T: ends in betas that no straight line has
    "scaled_linear": {"schedule": "scaled_linear", "T": 1000, "beta_start": 0.00085, "beta_end": 0.012},
    "quadratic": {"schedule": "quadratic", "T": 1000},
    "cosine": {"schedule": "cosine", "T": 1000},
    "cosine, short": {"schedule": "cosine", "T": 10},
    "sigmoid": {"schedule": "sigmoid", "T": 1000},
    "from_betas": {"schedule": "from_betas", "T": 20, "betas": np.linspace(0.01, 0.3, 20).tolist()},
}
CLASSES = {"no classes": (None, None), "null class": (4, 3), "no null class": (3, None)}
SHAPES = ((8, 8, 1), (4, 8, 3))
NET = {"name": "unet", "block_out_channels": [4, 8], "norm_num_groups": 2, "layers_per_block": 1, "attention_head_dim": 4}
OBJECTIVES = itertools.cycle([("simple", 0.1, "uniform"), ("min_snr", 0.25, "stratified"), ("p2", 0.0, "loss")])
COMBINATIONS = [(*combination, next(OBJECTIVES), learned, clip)
                for i, combination in enumerate(itertools.product(PREDICTS, SCHEDULES, CLASSES, SHAPES))
                for learned, clip in [((i // 2) % 4 == 3, None if i % 3 else 1.0)]]  # fmt: skip


@functools.cache
def stirred(options):
    """The model of these options, in JSON, fresh but for a little noise: its last layer starts at zero."""
    net, rng = runs.build_model(json.loads(options)), Rng(1)
    for param in net.parameters().values():
        param.value[...] += 0.1 * rng.standard_normal(param.shape)
    return net


def make_run(folder, predicts, schedule, classes, shape, objective, learned, clip):
    """A run's folder as `minidiff train` leaves it, its weights fresh but for the last layer, which starts at random."""
    (embeds, null), (weighting, dropout, t_sampler) = CLASSES[classes], objective
    H, W, C = shape
    model = {**NET, "num_class_embeds": embeds, "null_class": null, "sample_size": H if H == W else [H, W], "in_channels": C,
             "out_channels": C * (1 + learned)}  # fmt: skip
    diffusion = {**SCHEDULES[schedule], "predicts": predicts, "weighting": "simple" if learned else weighting,
                 "cond_dropout": dropout if null is not None else 0.0, "t_sampler": t_sampler, "learned_variance": learned,
                 "clip": clip}  # fmt: skip
    config = RunConfig.from_dict({"model": model, "diffusion": diffusion})
    net = stirred(json.dumps(config.model))
    known = null if null is not None else embeds
    names = None if known is None else [f"kind {i}" for i in range(known)]
    kept = {**config.to_dict(), "shape": list(shape), "classes": known, "class_names": names}
    checkpoint.save(folder / "checkpoint.safetensors", net, config={"run": kept})
    return kept


def close(ours, theirs, share):
    """Equal within a share of the largest number; NaN never is."""
    assert ours.shape == theirs.shape and np.abs(ours - theirs).max() <= share * np.abs(theirs).max()


def as_minidiff_samples(saved, x, labels, sampler, steps, **options):
    """What `minidiff sample` does with a run that was opened."""
    clip = saved.kept["diffusion"]["clip"]
    return sample(sampler, saved.denoiser, x.shape, steps, x=x, cond=labels, clip=clip, **options)


@pytest.mark.parametrize("case", COMBINATIONS, ids=lambda case: ", ".join(map(str, case[:4])))
def test_there_and_back_every_setting_is_the_same(case, tmp_path):
    kept = make_run(tmp_path / "run", *case)
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["export", str(tmp_path / "run"), str(tmp_path / "there")]) == 0
        assert main(["import", str(tmp_path / "there"), "--out", str(tmp_path / "back")]) == 0
    assert sorted(f.name for f in tmp_path.iterdir()) == ["back", "run", "there"]  # nothing temporary is left
    before, after = runs.open_run(tmp_path / "run"), runs.open_run(tmp_path / "back")
    for key in ("shape", "classes", "class_names"):
        assert after.kept[key] == kept[key], key
    for key in ("predicts", "T", "weighting", "cond_dropout", "t_sampler", "learned_variance", "clip"):
        assert after.kept["diffusion"][key] == kept["diffusion"][key], key
    for key, value in kept["model"].items():
        assert after.kept["model"][key] == value, key
    assert np.abs(after.denoiser.schedule.betas - before.denoiser.schedule.betas).max() < 1e-15
    weights, back = before.denoiser.model.state(), after.denoiser.model.state()
    assert weights.keys() == back.keys() and all(np.array_equal(weights[name], back[name]) for name in weights)
    x = Rng(0).standard_normal((3, *kept["shape"]))
    labels = None if kept["classes"] is None else np.arange(3)
    sampler, rng = ("ddpm_respaced", {"variance": "learned", "rng": 5}) if case[5] else ("ddim", {})
    ours = as_minidiff_samples(before, x, labels, sampler, 2, **rng)
    close(as_minidiff_samples(after, x, labels, sampler, 2, **rng), ours, 1e-6)
    if not case[5]:  # the folder itself says how it is sampled
        close(interop.load(tmp_path / "there").sample(3, 2, cond=labels, x=x), ours, 1e-6)


@pytest.mark.parametrize("case", COMBINATIONS[::5], ids=lambda case: ", ".join(map(str, case[:4])))
def test_diffusers_samples_the_same_numbers(case, tmp_path, outside):
    torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    kept = make_run(tmp_path / "run", *case)
    interop.export(tmp_path / "run", tmp_path / "there")
    index = json.loads((tmp_path / "there" / "model_index.json").read_text())
    unet = diffusers.UNet2DModel.from_pretrained(tmp_path / "there" / "unet").eval()
    scheduler = getattr(diffusers, index["scheduler"][1]).from_pretrained(tmp_path / "there" / "scheduler")
    steps, labels = 5, None if kept["classes"] is None else np.arange(3)
    generator, drawn = torch.Generator().manual_seed(0), []

    def noise(*shape, **_):
        drawn.append(torch.randn(shape, generator=generator))
        return drawn[-1]

    x = start = noise(3, *np.array(kept["shape"])[[2, 0, 1]].tolist())
    scheduler.set_timesteps(steps)
    extra = {} if index["scheduler"][1] == "DDIMScheduler" else {"generator": generator}
    with torch.no_grad():
        for t in scheduler.timesteps:
            output = unet(x, t, class_labels=None if labels is None else torch.tensor(labels)).sample
            x = scheduler.step(output, t, x, **extra).prev_sample
    start, expected = np.ascontiguousarray(start.numpy().transpose(0, 2, 3, 1)), x.numpy().transpose(0, 2, 3, 1)
    if extra:  # DDPM draws as it goes: from the same generator
        ours = interop.load(tmp_path / "there").sample(3, steps, cond=labels, x=start, rng=SameNoise(torch, generator, start))
    else:
        ours = as_minidiff_samples(runs.open_run(tmp_path / "run"), start, labels, "ddim", steps)
    outside(ours / np.abs(expected).max(), expected / np.abs(expected).max(), 1e-3)


class SameNoise:
    """Torch's numbers, channels first, as DDPM's scheduler draws them after the first noise."""

    def __init__(self, torch, _, start):
        self.torch, self.generator = torch, torch.Generator().manual_seed(0)
        n, h, w, c = start.shape
        torch.randn((n, c, h, w), generator=self.generator)

    def standard_normal(self, size, dtype=np.float32):
        n, h, w, c = size
        return np.ascontiguousarray(self.torch.randn((n, c, h, w), generator=self.generator).numpy().transpose(0, 2, 3, 1))


def test_the_readme_of_a_class_conditional_run_is_code_that_samples_it(tmp_path, monkeypatch, outside):
    torch, _ = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    make_run(tmp_path / "run", "v", "cosine", "null class", (4, 8, 3), ("simple", 0.1, "uniform"), False, None)
    interop.export(tmp_path / "run", tmp_path / "there")
    text = (tmp_path / "there" / "README.md").read_text()
    assert "0 kind 0, 1 kind 1, 2 kind 2" in text and 'Class 3 means "no class"' in text
    code, guided = re.findall(r"```python\n(.*?)```", text, re.S)
    monkeypatch.chdir(tmp_path)
    first = {}
    exec(code.replace("set_timesteps(50)", "set_timesteps(10)"), first)
    noise = torch.randn(3, 3, 4, 8, generator=torch.Generator().manual_seed(0)).numpy().transpose(0, 2, 3, 1)
    ours = as_minidiff_samples(runs.open_run(tmp_path / "run"), np.ascontiguousarray(noise), np.arange(3), "ddim", 10)
    outside(np.clip(ours / 2 + 0.5, 0, 1), first["images"].numpy().transpose(0, 2, 3, 1), 1e-4)

    line = "        output = unet(x, t, class_labels=labels).sample\n"
    assert line in code  # the line that guidance replaces
    second = {"s": 3.0}
    exec(code.replace("set_timesteps(50)", "set_timesteps(10)").replace(line, guided), second)
    from minidiff.diffusion import cfg

    saved = runs.open_run(tmp_path / "run")
    denoiser = cfg(saved.denoiser, np.arange(3), 2.0)  # w = s - 1
    ours = sample("ddim", denoiser, noise.shape, 10, x=np.ascontiguousarray(noise))
    outside(np.clip(ours / 2 + 0.5, 0, 1), second["images"].numpy().transpose(0, 2, 3, 1), 1e-4)


def test_the_readme_of_an_unconditional_run_is_code_that_runs(tmp_path, monkeypatch):
    torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    diffusers.utils.logging.disable_progress_bar()
    make_run(tmp_path / "run", "eps", "linear", "no classes", (4, 8, 3), ("simple", 0.0, "uniform"), False, None)
    interop.export(tmp_path / "run", tmp_path / "there")
    (code,) = re.findall(r"```python\n(.*?)```", (tmp_path / "there" / "README.md").read_text(), re.S)
    monkeypatch.chdir(tmp_path)
    found = {}
    torch.manual_seed(0)
    exec(code.replace("num_inference_steps=50", "num_inference_steps=4"), found)
    assert [image.size for image in found["images"]] == [(8, 4)] * 4  # Pillow: width, height


REFUSED = {
    "score": ({"predicts": "score"}, {}, "predicts: got 'score'"),
    "points": ({}, {"name": "mlp", "features": 2, "width": 8, "depth": 1}, "expected UNet"),
    "odd size": ({}, {"sample_size": [9, 8]}, "9 x 8, expected multiples of 2"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("there_before", (False, True))
def test_what_diffusers_cannot_hold_is_one_line_and_no_folder(kind, there_before, tmp_path, capsys):
    diffusion, model, words = REFUSED[kind]
    options = model if "name" in model else {**NET, "sample_size": 8, "in_channels": 1, "out_channels": 1, **model}
    config = RunConfig.from_dict({"model": options, "diffusion": diffusion})
    shape = [2] if options["name"] == "mlp" else [9 if kind == "odd size" else 8, 8, 1]
    kept = {**config.to_dict(), "shape": shape, "classes": None, "class_names": None}
    checkpoint.save(tmp_path / "run" / "checkpoint.safetensors", runs.build_model(options), config={"run": kept})
    if there_before:
        (tmp_path / "there").mkdir()
        (tmp_path / "there" / "notes.txt").write_text("mine")
    assert main(["export", str(tmp_path / "run"), str(tmp_path / "there")]) == 2
    said = capsys.readouterr()
    assert words in said.err and said.err.count("\n") == 1 and said.out == ""
    assert sorted(f.name for f in tmp_path.iterdir()) == ["run"] + ["there"] * there_before
    assert not there_before or [f.name for f in (tmp_path / "there").iterdir()] == ["notes.txt"]


def test_an_export_that_fails_half_way_leaves_what_was_there(tmp_path, monkeypatch):
    make_run(tmp_path / "run", "eps", "linear", "no classes", (8, 8, 1), ("simple", 0.0, "uniform"), False, None)
    interop.export(tmp_path / "run", tmp_path / "there")
    before = {f: f.read_bytes() for f in (tmp_path / "there").rglob("*") if f.is_file()}
    from minidiff.interop import exchange

    def full(path, value):
        raise OSError(28, "the disk is full")

    monkeypatch.setattr(exchange, "write_json", full)
    for place in ("there", "new"):
        with pytest.raises(OSError, match="disk is full"):
            interop.export(tmp_path / "run", tmp_path / place, dtype="float16")
    assert before == {f: f.read_bytes() for f in (tmp_path / "there").rglob("*") if f.is_file()}
    assert sorted(f.name for f in tmp_path.iterdir()) == ["run", "there"]


def test_the_size_on_paper_of_an_older_run_is_the_size_of_its_images(tmp_path):
    """Runs on images of 4 x 8 used to write down sample_size = 4."""
    make_run(tmp_path / "run", "eps", "linear", "no classes", (4, 8, 3), ("simple", 0.0, "uniform"), False, None)
    found = checkpoint.load(tmp_path / "run" / "checkpoint.safetensors")
    kept = found.config["run"]
    kept["model"]["sample_size"] = 4
    checkpoint.save(tmp_path / "run" / "checkpoint.safetensors", found.weights, config={"run": kept})
    interop.export(tmp_path / "run", tmp_path / "there")
    assert json.loads((tmp_path / "there" / "unet" / "config.json").read_text())["sample_size"] == [4, 8]
    assert interop.load(tmp_path / "there").shape(2) == (2, 4, 8, 3)


def test_betas_that_no_name_fits_come_back_one_by_one(tmp_path):
    make_run(tmp_path / "run", "v", "from_betas", "no classes", (8, 8, 1), ("simple", 0.0, "uniform"), False, None)
    schedule = Schedule.linear(20, 1e-3, 0.2).rescale_zero_terminal_snr()
    saved = runs.open_run(tmp_path / "run")
    interop.save_pipeline(saved.denoiser.model, schedule, tmp_path / "there", "v", None)
    _, kept = interop.from_pipeline(interop.load(tmp_path / "there"))
    assert kept["diffusion"]["schedule"] == "from_betas" and kept["diffusion"]["betas"] == schedule.betas.tolist()
    assert runs.build_schedule(RunConfig.from_dict({"diffusion": kept["diffusion"]}).diffusion).alpha_bar[-1] == 0
