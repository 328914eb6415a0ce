"""Every sampler, and what edits pictures with them."""

import numpy as np
from cases_diffusion import batch, points, unet
from sides import case

from minidiff import samplers
from minidiff.backend import to_numpy
from minidiff.diffusion import VP, Denoiser, Schedule, cfg
from minidiff.interop import sampling_from_config
from minidiff.samplers import SAMPLERS, sample

FEW = {"ddpm": 10, "probability_flow": 200, "ddpm_subset": 10}
OPTIONS = {"probability_flow": {"rtol": 0.1, "atol": 0.1}}


def _denoiser(side, schedule=None):
    return cfg(Denoiser(unet(side, block_out_channels=(4,)), schedule or Schedule.linear(20), "v"), batch(side)[1][:2], 1.0)


def _sampler(name):
    @case(name, "sample", waits=name == "probability_flow", tolerance=1e-6)
    def run(side):
        steps = FEW.get(name, 5)
        # graph=None: as within a recording, where nothing looks at the finished sample; test_not_finite.py is about that look
        options = dict(steps=steps, rng=4, device=side.device, dtype=np.float64, graph=None) | OPTIONS.get(name, {})
        return sample(name, _denoiser(side), (2, 4, 4, 1), **options)

    run.__name__ = f"sampler_{name}"


for _name in SAMPLERS:
    _sampler(_name)


@case("Trajectory", waits=True, tolerance=1e-6)
def ways_of_stepping(side):
    denoiser, found = _denoiser(side), []
    for options in ({"clip": 1.0}, {"clip": "dynamic"}, {"spacing": "karras", "final": "sigma_min"}, {"eta": 1.0}, {"start": 2},
                    {"sigmas": [0.4, 0.2, 0.1, 0.0]}, {"spacing": "trailing", "clip": 1.0, "rederive": True}):  # fmt: skip
        more = {} if "sigmas" in options else {"steps": 5}
        x = side.normal(2, 4, 4, 1, seed=8)
        found.append(sample("ddim", denoiser, x.shape, x=x, rng=side.rng(1), **more, **options))
    return found


VARIANTS = [
    ("dpmpp_2m", {"order": 1}), ("dpmpp_3m", {"bend": "halved"}), ("dpmpp_2m", {"interpolates": "eps", "euler_at_final": True}),
    ("dpmpp_2m_sde", {"order": 1}), ("unipc", {"uncorrected": (0, 2)}), ("ddim", {"stride": 3, "spacing": "linspace"}),
    ("plms", {"stride": 3, "spacing": "linspace"}), ("plms", {"stride": 3, "spacing": "linspace", "warm_up": "none"}),
    ("ddpm", {"noisy_end": True, "spacing": "trailing"}), ("dpmpp_2m", {"spacing": "beta"}), ("euler", {"spacing": "lu"}),
]  # fmt: skip


@case("Trajectory", tolerance=1e-6)
def variants(side):
    return [
        sample(name, _denoiser(side), (2, 4, 4, 1), steps=5, rng=4, device=side.device, dtype=np.float64, graph=None, **options)
        for name, options in VARIANTS
    ]


@case("Trajectory", tolerance=1e-6)
def levels_of_a_folder(side):
    """The noise levels of one library's scheduler, and the times that it rounds or cuts."""
    found = []
    for name, level in (("EulerDiscreteScheduler", "karras"), ("UniPCMultistepScheduler", "exponential")):
        config = {"_class_name": name, "num_train_timesteps": 20, f"use_{level}_sigmas": True}
        sampling = sampling_from_config(config | {"prediction_type": "v_prediction"}).at(5)
        net = unet(side, block_out_channels=(4,), num_class_embeds=None, null_class=None)
        x = sampling.first(side.normal(2, 4, 4, 1, seed=8))
        *_, step = SAMPLERS[sampling.sampler].function(sampling.denoiser(net), x, graph=None, **sampling.options)
        found.append(sampling.last(step.x))
    return found


@case("Trajectory", tolerance=1e-6)
def continuous_time(side):
    options = dict(steps=5, rng=4, device=side.device, dtype=np.float64, graph=None)
    return sample("dpmpp_2m", _denoiser(side, VP()), (2, 4, 4, 1), **options)


@case("sdedit", "inpaint", "repaint", waits=True, tolerance=1e-6)
def editing(side):
    denoiser, picture = _denoiser(side), batch(side)[0][:2]
    mask = np.zeros((4, 4, 1))
    mask[:2] = 1
    runs = [
        samplers.sdedit(denoiser, picture, 0.6, steps=5, rng=side.rng(0)),
        samplers.inpaint(denoiser, picture, side.up(mask), steps=5, rng=side.rng(0)),
        samplers.repaint(denoiser, picture, side.up(mask), steps=5, jump=2, resamples=2, rng=side.rng(0)),
    ]
    return [list(run)[-1].x for run in runs]


@case("ddim_invert", "interpolate", "slerp", waits=True, tolerance=1e-6)
def inversion(side):
    denoiser = Denoiser(unet(side, num_class_embeds=None, null_class=None), Schedule.linear(20), "v")
    a, b = batch(side)[0][:2]
    noise = list(samplers.ddim_invert(denoiser, batch(side)[0], steps=5))[-1].x
    mixed = samplers.interpolate(denoiser, a, b, [0.0, 0.3, 1.0], steps=4)
    return noise, mixed, samplers.slerp(points(side), points(side) + 1.0, 0.4)


@case("sample", waits=True, host=True)
def progress(side):
    x = sample("ddim", _denoiser(side), (2, 4, 4, 1), steps=3, rng=4, device=side.device, dtype=np.float64, progress=True)
    return to_numpy(x)
