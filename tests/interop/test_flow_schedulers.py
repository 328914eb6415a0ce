"""Flow-matching schedulers of diffusers: settings drawn at random give the sample that diffusers gives; folders there and back.

diffusers computes its times in float32, which moves a sample by some 1e-6; the sweep runs its module in float64.
"""

import importlib
import json

import numpy as np
import pytest

from minidiff import interop, runs
from minidiff.cli import main
from minidiff.diffusion import Flow
from minidiff.interop import flow_schedulers, sampling_from_config
from minidiff.samplers import find

SETTINGS = 120
VALUES = dict(
    shift=(1.0, 3.0, 0.5, 1.7), shift_terminal=(None, 0.1, 0.02), base_shift=(0.5, 0.7), max_shift=(1.15, 2.0),
    time_shift_type=("exponential", "linear"), base_image_seq_len=(256, 64),
)  # fmt: skip
LEVELS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")


def model(x, t):
    """Not linear, of size about 1, different at every t; for arrays of NumPy and of torch."""
    sin = np.sin if isinstance(x, np.ndarray) else importlib.import_module("torch").sin
    return x * (0.9 * (t + 10) / (t + 20)) + 0.2 * sin(2 * x + t / 50)


def ours(sampling, x, steps):
    sampling = sampling.at(steps)
    denoiser = sampling.denoiser(lambda x, t, cond: model(x, t))
    *_, step = find(sampling.sampler).function(denoiser, x, **({"steps": steps} | sampling.options))
    return step.x


@pytest.fixture
def theirs(monkeypatch):
    """theirs(config, x, steps): a run of diffusers' class in float64."""
    torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    pytest.importorskip("scipy")  # for its beta levels

    class Double:
        def __init__(self, module):
            self.module, self.float32 = module, module.float64

        def __getattr__(self, name):
            return getattr(self.module, name)

    for name in ("euler", "heun"):
        module = importlib.import_module(f"diffusers.schedulers.scheduling_flow_match_{name}_discrete")
        monkeypatch.setattr(module, "np", Double(np))
        monkeypatch.setattr(module, "torch", Double(torch))

    def run(config, x, steps):
        scheduler = getattr(diffusers, config["_class_name"]).from_config(config)
        scheduler.sigma_min = float(scheduler.sigmas[-1])
        scheduler.set_timesteps(steps)
        x = torch.from_numpy(x)
        for t in scheduler.timesteps:
            x = scheduler.step(model(x, float(t)), t, x).prev_sample
        return x.numpy()

    return run


def draw(rng):
    name = str(rng.choice(list(flow_schedulers.DEFAULTS)))
    config = {"_class_name": name, "num_train_timesteps": int(rng.choice([1000, 100, 37]))}
    for option in flow_schedulers.DEFAULTS[name]:
        if option in VALUES and rng.random() < 0.5:
            config[option] = VALUES[option][rng.integers(len(VALUES[option]))]
    if "use_beta_sigmas" in flow_schedulers.DEFAULTS[name] and rng.random() < 0.6:
        config[LEVELS[rng.integers(3)]] = True
    return config, int(rng.choice([2, 3, 5, 8, 15, 28]))


def test_random_settings(theirs, count):
    for seed in range(SETTINGS):
        rng = np.random.default_rng(seed)
        config, steps = draw(rng)
        x = rng.standard_normal((2, 4, 4, 3))
        expected, made = theirs(config, x, steps), ours(sampling_from_config(config), x, steps)
        off = np.abs(made - expected).max() / np.abs(expected).max()
        assert off < 1e-9, f"{config}, {steps} steps: off by {off:.2e}"
    count("outside", SETTINGS)


@pytest.mark.parametrize("options, times", [  # printed by set_timesteps(4) of diffusers 0.42.1, in float32
    ({}, [1000.0, 667.0, 334.0, 1.0]),
    ({"shift": 3.0}, [1000.0, 857.6923217773438, 602.1505737304688, 8.928571701049805]),
    ({"shift": 3.0, "use_karras_sigmas": True}, [1000.0, 286.6939392089844, 62.58863067626953, 8.928571701049805]),
])  # fmt: skip
def test_the_times_as_printed(options, times, outside):
    """The shift is applied twice: 1 / 1000 becomes 0.002994 and then 0.008929."""
    full = flow_schedulers.check_flow_options("FlowMatchEulerDiscreteScheduler", options, "here")
    outside(flow_schedulers.flow_times(full, 4) * 1000, times, atol=1e-4)


@pytest.mark.parametrize("options, message", [
    ({"use_dynamic_shifting": True}, "here: use_dynamic_shifting is True; only False is supported here"),
    ({"stochastic_sampling": True}, "here: stochastic_sampling is True"),
    ({"use_karras_sigmas": True, "use_beta_sigmas": True}, "use_karras_sigmas and use_beta_sigmas cannot be combined"),
    ({"shift": 0.0}, "here: shift: got 0.0, expected"),
    ({"shfit": 2.0}, "option 'shfit' of FlowMatchEulerDiscreteScheduler is not known here; did you mean shift"),
])  # fmt: skip
def test_options_that_are_not_supported(options, message):
    with pytest.raises(ValueError) as caught:
        sampling_from_config({"_class_name": "FlowMatchEulerDiscreteScheduler", **options}, "here")
    assert message in str(caught.value)
    sampling = sampling_from_config({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift_terminal": 0.1})
    with pytest.raises(ValueError, match="steps: got 1, expected at least 2 with shift_terminal"):
        sampling.at(1)


def test_another_sampler_on_the_same_flow():
    sampling = sampling_from_config({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0})
    assert sampling.change("flow_euler") is sampling
    heun = sampling.change("flow_heun")
    assert (heun.sampler, heun.config["_class_name"], heun.schedule.shift) == (
        "flow_heun",
        "FlowMatchHeunDiscreteScheduler",
        3.0,
    )
    ddim = sampling.change("ddim")
    assert (ddim.sampler, ddim.options, ddim.time_scale) == ("ddim", {}, 1000.0) and isinstance(ddim.schedule, Flow)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A run of one step with a flow and its folder for diffusers."""
    home = tmp_path_factory.mktemp("flow")
    tiny = [
        "--set",
        "model.block_out_channels=[8,8]",
        "--set",
        "model.norm_num_groups=4",
        "--set",
        "model.attention_head_dim=8",
    ]
    assert main(["train", "--data", "digits", "--schedule", "flow", "--set", "diffusion.shift=2", "--T", "500", *tiny,
                 "--steps", "1", "--batch-size", "8", "--no-progress", "--out", str(home / "run")]) == 0  # fmt: skip
    assert main(["export", str(home / "run"), str(home / "there")]) == 0
    return home


def test_a_flow_there_and_back(exported, tmp_path):
    config = json.loads((exported / "there" / "scheduler" / "scheduler_config.json").read_text())
    known = {name: config[name] for name in ("_class_name", "shift", "num_train_timesteps")}
    assert known == {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 2.0, "num_train_timesteps": 500}
    assert main(["import", str(exported / "there"), "--out", str(tmp_path / "back")]) == 0
    before, after = (runs.open_run(folder).kept["diffusion"] for folder in (exported / "run", tmp_path / "back"))
    assert before == after and before["schedule"] == "flow" and before["predicts"] == "velocity"
    pipeline = interop.load(exported / "there")
    images = pipeline.sample(2, steps=3, rng=0, cond=np.array([1, 2]))
    assert images.shape == (2, 8, 8, 1) and np.isfinite(images).all()


def test_diffusers_samples_the_same_numbers_from_the_folder(exported, outside):
    torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    unet = diffusers.UNet2DModel.from_pretrained(exported / "there", subfolder="unet").eval()
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler.from_pretrained(exported / "there", subfolder="scheduler")
    noise, labels = np.random.default_rng(0).standard_normal((2, 8, 8, 1)).astype(np.float32), np.array([3, 7])
    scheduler.set_timesteps(4)
    x = torch.from_numpy(np.moveaxis(noise, -1, 1).copy())
    with torch.no_grad():
        for t in scheduler.timesteps:
            x = scheduler.step(unet(x, t, class_labels=torch.from_numpy(labels)).sample, t, x).prev_sample
    made = interop.load(exported / "there").sample(2, steps=4, x=noise, cond=labels)
    outside(made, np.moveaxis(x.numpy(), 1, -1), atol=2e-5)


@pytest.mark.parametrize("diffusion, message", [
    ({"predicts": "v"}, "predicts: got 'v', expected 'velocity'"), ({"clip": 1.0}, "clip: got 1.0, expected None"),
])  # fmt: skip
def test_what_the_class_does_not_do_is_not_exported(diffusion, message, exported, tmp_path):
    saved = runs.open_run(exported / "run")
    options = {"predicts": "velocity", "clip": None} | diffusion
    with pytest.raises(ValueError) as caught:
        interop.save_pipeline(saved.denoiser.model, Flow(), tmp_path / "no", **options)
    assert message in str(caught.value) and not (tmp_path / "no").exists()
