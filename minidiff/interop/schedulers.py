"""Scheduler configurations of diffusers: what schedule a net was trained on, and how that library would sample it.

A scheduler there is three things in one: the noise schedule, what the net predicts, and a sampler with its settings. Here
they come apart again: `Sampling` holds a Schedule, "eps", "v" or "x0", and the name and options of one of our samplers,
chosen so that a run from the same noise gives the same picture.
"""

import math
from dataclasses import dataclass, field
from typing import Any

from ..diffusion import Denoiser, Schedule, clip_x0, dynamic_threshold
from ..diffusion.sigmas import schedule_sigmas, sigma_of_t
from ..diffusion.spacing import spaced_steps
from ..json_file import about
from .scheduler_options import SAMPLER_OF, SHARED, SIGMA_SPACE, check_options, options_for

PREDICTS = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}


@dataclass
class Sampling:
    """How to sample a net: `denoiser(model)` and `run(...)` do it.

    schedule, predicts   what the net was trained on
    sampler, options     one of `samplers.SAMPLERS` and what it is called with
    config               the configuration that this came from, for another sampler's sake
    starts_below         the first noise is a little less than unit (see `first`)
    threshold            (quantile, largest) of dynamic thresholding, or None
    clip                 bound of the predicted x0, or None
    round_t              "round" or "floor": the net is told whole times only
    learned_variance     the net puts out twice the channels
    """

    schedule: Any
    predicts: str
    sampler: str
    options: dict
    config: dict = field(default_factory=dict)
    threshold: tuple | None = None
    clip: float | None = None
    round_t: str | None = None
    learned_variance: bool = False
    starts_below: bool = False

    def denoiser(self, model):
        """model: a Layer or a function (x, t, cond) -> array.   -> a denoiser for our samplers"""
        if self.round_t:
            model = _Rounded(model, {"round": round, "floor": lambda t: math.floor(t + 1e-4)}[self.round_t])
        schedule = LinearInSigma(self.schedule) if self.options.get("whole") is False else self.schedule
        denoiser = Denoiser(model, schedule, self.predicts, self.learned_variance)
        if self.threshold:
            return dynamic_threshold(denoiser, *self.threshold)
        return denoiser if self.clip is None else clip_x0(denoiser, self.clip)

    def first(self, noise, steps):
        """Where a run of so many steps starts, from standard normal noise.   -> x, the noise's shape"""
        if not self.starts_below:
            return noise
        # that library multiplies by the first sigma itself, without the 1 that comes with unit data; kept for its pictures
        spacing = self.options["spacing"]
        if spacing in ("karras", "exponential"):
            sigma = schedule_sigmas(self.schedule)[-1]
        else:
            t = spaced_steps(self.schedule, steps, spacing, self.options.get("offset", 0), whole=False)[0]
            sigma = sigma_of_t(self.schedule, float(t), "linear")
        return noise * float(sigma / math.sqrt(1 + sigma * sigma))

    def change(self, sampler):
        """The same net under another of our samplers, with the settings that diffusers' own class would take over."""
        if sampler == self.sampler:
            return self
        name = SAMPLER_OF.get(sampler)
        if name is None:  # a sampler that library does not have: our own settings
            return Sampling(self.schedule, self.predicts, sampler, {}, self.config, self.threshold, self.clip)
        kept = {k: v for k, v in self.config.items() if k in SHARED}
        return sampling_from_config({**kept, "_class_name": name[0], **name[1]})


def sampling_from_config(config, where="scheduler_config.json"):
    """The Sampling of a scheduler's configuration. Raises ValueError that names a class or an option not supported."""
    name, full = check_options(config, where)
    with about(where):
        schedule = schedule_from_config(full, where)
    if full["prediction_type"] not in PREDICTS:
        raise ValueError(f"{where}: prediction_type is {full['prediction_type']!r}, expected one of {', '.join(PREDICTS)}")
    predicts = PREDICTS[full["prediction_type"]]
    sampler, options = options_for(name, full, predicts, where)
    return Sampling(
        schedule, predicts, sampler, options, dict(config),
        (full["dynamic_thresholding_ratio"], full["sample_max_value"]) if full.get("thresholding") else None,
        full["clip_sample_range"] if full.get("clip_sample") and not full.get("thresholding") else None,
        "round" if full.get("use_karras_sigmas") and name.startswith(("DPM", "UniPC")) else
        "floor" if full.get("use_exponential_sigmas") and name.startswith(("DPM", "UniPC")) else None,
        full.get("variance_type") == "learned_range",
        name in SIGMA_SPACE and full["timestep_spacing"] != "leading",
    )  # fmt: skip


def schedule_from_config(full, where):
    """The noise schedule alone."""
    T, start, end, kind = (full[k] for k in ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule"))
    if full.get("trained_betas") is not None:
        schedule = Schedule.from_betas(full["trained_betas"])
    elif kind in ("linear", "scaled_linear", "sigmoid"):
        schedule = Schedule.named(kind, T, beta_start=start, beta_end=end)
    elif kind == "squaredcos_cap_v2":
        schedule = Schedule.cosine(T)
    else:
        raise ValueError(f"{where}: beta_schedule is {kind!r}, expected linear, scaled_linear, squaredcos_cap_v2 or sigmoid")
    return schedule.rescale_zero_terminal_snr() if full.get("rescale_betas_zero_snr") else schedule


def scheduler_config(schedule, predicts="eps", clip=1.0, name="DDIMScheduler"):
    """scheduler_config.json for a schedule of ours, as that library reads it. Raises ValueError for predicts="score"."""
    prediction = {ours: theirs for theirs, ours in PREDICTS.items()}.get(predicts)
    if prediction is None:
        raise ValueError(f"predicts: got {predicts!r}, which no scheduler of diffusers knows; expected one of eps, v, x0")
    kinds = {"linear": "linear", "scaled_linear": "scaled_linear", "cosine": "squaredcos_cap_v2"}
    config = {"_class_name": name, "_diffusers_version": "0.30.0", "num_train_timesteps": schedule.T,
              "beta_schedule": kinds.get(schedule.name, "linear"), "trained_betas": None, "clip_sample": clip is not None,
              "prediction_type": prediction}  # fmt: skip
    if schedule.name in ("linear", "scaled_linear"):
        config |= {"beta_start": float(schedule.betas[0]), "beta_end": float(schedule.betas[-1])}
    if clip is not None:
        config["clip_sample_range"] = clip
    rebuilt = schedule_from_config({"beta_start": 1e-4, "beta_end": 0.02} | config, name)
    if abs(rebuilt.alpha_bar - schedule.alpha_bar).max() > 1e-12:  # any other curve is written out, number by number
        config |= {"trained_betas": schedule.betas.tolist(), "beta_schedule": "linear"}
    return config | ({"set_alpha_to_one": True, "steps_offset": 0} if name == "DDIMScheduler" else {})


class LinearInSigma:
    """A schedule that lies on straight lines in sigma / alpha between whole steps, as in their sigma-space schedulers."""

    def __init__(self, schedule):
        self.schedule, self.T, self.t_of_log_snr = schedule, schedule.T, schedule.t_of_log_snr

    def alpha(self, t):
        return 1.0 / math.sqrt(1.0 + sigma_of_t(self.schedule, t, "linear") ** 2)

    def sigma(self, t):
        return math.sqrt(1.0 - self.alpha(t) ** 2)


class _Rounded:
    """A net that is told whole times."""

    def __init__(self, model, whole):
        self.model, self.whole = model, whole

    def predict(self, x, t, cond=None):
        return getattr(self.model, "predict", self.model)(x, int(self.whole(t)), cond)

    def null_cond(self, cond):
        return self.model.null_cond(cond) if hasattr(self.model, "null_cond") else None
