"""What diffusers 0.42 and k-diffusion 0.1.1 compute, kept in diffusers_numbers.json so that no test needs either.

python tests/diffusion/diffusers_reference.py       writes the file again
pytest tests/diffusion/test_diffusers.py            holds it against a diffusers that is installed
"""

import json
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("diffusers_numbers.json")
AT = [0, 1, 10, 250, 500, 998, 999]
SPACED = {"leading": (1, 3, 7, 10, 50, 999), "linspace": (1, 3, 7, 10, 50, 999), "trailing": (1, 3, 7, 10, 48, 50, 999)}


def picture():
    """The fixture of the diffusers scheduler tests, float64, (4, 3, 8, 8) channels first."""
    return (np.arange(768, dtype=np.float64).reshape(3, 8, 8, 4) / 768).transpose(3, 0, 1, 2)


def numbers():
    """Everything that the file holds, from the installed diffusers."""
    import torch
    from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg
    from diffusers.training_utils import compute_snr

    found = {"source": "diffusers 0.42.1 (Apache-2.0), run on torch 2.13", "at": AT}
    schedules = {
        "linear": dict(beta_schedule="linear", beta_start=1e-4, beta_end=0.02),
        "scaled_linear": dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012),
        "cosine": dict(beta_schedule="squaredcos_cap_v2"),
        "sigmoid": dict(beta_schedule="sigmoid", beta_start=1e-4, beta_end=0.02),
    }
    for name, options in schedules.items():
        s = DDPMScheduler(num_train_timesteps=1000, **options)
        found[name] = {"betas": s.betas[AT].tolist(), "alpha_bar": s.alphas_cumprod[AT].tolist()}
    zero = DDPMScheduler(rescale_betas_zero_snr=True, beta_schedule="linear")
    found["zero_terminal_snr"] = zero.alphas_cumprod[AT].tolist()
    small = DDPMScheduler(variance_type="fixed_small")
    found["posterior_variance"] = [float(small._get_variance(t)) for t in AT]

    s, x = DDIMScheduler(), torch.from_numpy(picture().copy())
    noise, t = x.flatten().flip(0).reshape(x.shape), torch.tensor([0, 10, 500, 999])
    found["add_noise"] = _sums(s.add_noise(x, noise, t))
    found["velocity"] = _sums(s.get_velocity(x, noise, t))
    found["snr"] = compute_snr(s, t).tolist()

    found["spacing"], found["spacing_skip_last"] = {}, {}
    for spacing, many in SPACED.items():
        for steps in many:
            s = DDIMScheduler(timestep_spacing=spacing)
            s.set_timesteps(steps)
            found["spacing"][f"{spacing} {steps}"] = _digest(s.timesteps.numpy()[:steps])
        s = DPMSolverMultistepScheduler(timestep_spacing=spacing)
        s.set_timesteps(10)
        found["spacing_skip_last"][spacing] = s.timesteps.tolist()
    offset = DDIMScheduler(timestep_spacing="leading", steps_offset=1)
    offset.set_timesteps(10)
    found["spacing_offset"] = offset.timesteps.tolist()

    s = EulerDiscreteScheduler(num_train_timesteps=1100, timestep_spacing="linspace")
    s.set_timesteps(10)
    found["euler_t"], found["euler_sigmas"] = s.timesteps.tolist(), s.sigmas[:-1].tolist()
    for rule in ("karras", "exponential"):
        s = EulerDiscreteScheduler(timestep_spacing="linspace", **{f"use_{rule}_sigmas": True})
        s.set_timesteps(10)
        found[rule] = {"sigmas": s.sigmas[:-1].tolist(), "t": s.timesteps.tolist()}

    found["threshold"] = []
    for quantile, top in ((0.995, 1.0), (0.9, 1.5), (0.995, 10.0)):
        s = DDPMScheduler(thresholding=True, dynamic_thresholding_ratio=quantile, sample_max_value=top)
        found["threshold"].append([quantile, top, *_sums(s._threshold_sample(4 * x - 1))])
    found["rescale_cfg"] = _sums(rescale_noise_cfg(3 * x - noise**2, x, guidance_rescale=0.7))
    return found


def _sums(x):
    x = x.double()
    weights = np.cos(np.arange(x.numel()))  # a plain sum is blind to the order
    return [float(x.abs().sum()), float((x.flatten().numpy() * weights).sum())]


def _digest(t):
    return [len(t), int(t[0]), int(t[-1]), int(t.sum()), int((t * np.arange(1, len(t) + 1)).sum())]


if __name__ == "__main__":
    FILE.write_text(json.dumps(numbers(), indent=1) + "\n")
