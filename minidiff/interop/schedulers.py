"""Scheduler configurations of diffusers: the training schedule of a model, and how diffusers would sample it.

A diffusers scheduler combines a noise schedule, a prediction type and a sampler. `Sampling` separates them: a Schedule; "eps",
"v", "x0" or "velocity"; and the name and options of a minidiff sampler, chosen so that the same noise gives the same image.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..backend import xp_of
from ..diffusion import Denoiser, Flow, Schedule, clip_x0, dynamic_threshold
from ..diffusion.spacing import spaced_steps
from ..json_file import about, read_field
from . import flow_schedulers
from .levels import WHOLE_STEPS, levels_of
from .scheduler_options import LEARNED, SAMPLER_OF, SHARED, check_options, options_for

PREDICTS = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}
STEPPING = ("spacing", "offset", "skip_last", "whole", "rho", "sigmas", "final", "stride")  # of our own API


@dataclass
class Sampling:
    """The sampling settings of a model: `at(steps)`, then `denoiser(model)`, `first(noise)` and `last(x)`.

    schedule, predicts   schedule and prediction type of training
    sampler, options     one of `samplers.SAMPLERS` and its options
    config               the original configuration, needed to switch samplers
    threshold            (quantile, largest) of dynamic thresholding, or None
    clip                 bound of the predicted x0, or None
    learned_variance     the model outputs twice the channels
    model_t              time input of the model for each integer t; None: t itself
    unit                 standard deviation of the first noise
    end                  factor for the last sample
    time_scale           factor of the model's time input
    """

    schedule: Any
    predicts: str
    sampler: str
    options: dict
    config: dict = field(default_factory=dict)
    threshold: tuple | None = None
    clip: float | None = None
    learned_variance: bool = False
    model_t: Any = None
    unit: float = 1.0
    end: float = 1.0
    time_scale: float = 1.0

    def at(self, steps, options=()):
        """The same for one run of so many steps, on the very noise levels that diffusers visits.

        options   what the run is called with besides; where it chooses its own steps, this Sampling is returned as it is
        """
        chooses = np.ndim(steps) or any(dict(options).get(option) is not None for option in STEPPING)
        if not self.config.get("_class_name") or not self.options or chooses:
            return self
        if self.config["_class_name"] in flow_schedulers.DEFAULTS:
            full = flow_schedulers.check_flow_options(self.config["_class_name"], self.config, "scheduler_config.json")
            return replace(self, options={"steps": flow_schedulers.flow_times(full, steps), "final": "zero"})
        name, full = check_options(self.config, "scheduler_config.json")
        if name in WHOLE_STEPS:
            self._check_first(name, full, steps)
            if self.sampler == "ddpm":
                return self
            return replace(self, options=self.options | {"stride": self.schedule.T // steps})
        levels = levels_of(name, full, self.schedule, steps, name)
        schedule, positions = levels.schedule()
        kept = {option: value for option, value in self.options.items() if option not in STEPPING}
        kept |= {"steps": positions, "final": "sigma_min" if levels.last else "zero"}
        return replace(self, schedule=schedule, options=kept, model_t=levels.times(), unit=levels.unit, end=levels.end)

    def _check_first(self, name, full, steps):
        first = spaced_steps(self.schedule.T, steps, full["timestep_spacing"], self.options.get("offset", 0))[0]
        if self.schedule.alpha(int(first)) == 0 and self.predicts == "eps":
            raise ValueError(
                f"rescale_betas_zero_snr is True; with prediction_type 'epsilon' {name} must not visit the last step, which is "
                "pure noise: use timestep_spacing 'leading', or a model that predicts v_prediction or sample"
            )

    def denoiser(self, model):
        """model: a Layer or a function (x, t, cond) -> array.   -> a denoiser for our samplers"""
        if self.model_t is not None:
            model = _Told(model, self.model_t)
        denoiser = Denoiser(model, self.schedule, self.predicts, self.learned_variance, self.time_scale)
        if self.threshold:
            return dynamic_threshold(denoiser, *self.threshold)
        return denoiser if self.clip is None else clip_x0(denoiser, self.clip)

    def first(self, noise, steps=None):
        """Where a run of so many steps starts, from standard normal noise.   -> x, the noise's shape"""
        unit = self.unit if steps is None or self.model_t is not None else self.at(steps).unit
        return noise if unit == 1 else noise * unit

    def last(self, x):
        """The image that a run hands over, from its last sample."""
        return x if self.end == 1 else x * self.end

    def change(self, sampler):
        """The same model with another sampler, with the settings that the diffusers class would take over.

        This matches `from_config`: options in the configuration that the class knows are kept, all others take the class's
        defaults. The sampler's name has precedence for order and algorithm.
        """
        if isinstance(self.schedule, Flow):
            return self._change_on_flow(sampler)
        name, forced = SAMPLER_OF.get(sampler, (None, {}))
        full = check_options(self.config, "scheduler_config.json")[1] if self.config else {}
        if sampler == self.sampler and all(full.get(option, value) == value for option, value in forced.items()):
            return self
        if name is None:  # a sampler that library does not have: our own settings
            return replace(self, sampler=sampler, options={})
        kept = {option: full.get(option, value) for option, value in self.config.items() if option in SHARED}
        found = sampling_from_config({**kept, "_class_name": name, **forced})
        return replace(found, learned_variance=found.learned_variance or self.learned_variance)

    def _change_on_flow(self, sampler):
        name = flow_schedulers.SAMPLER_OF.get(sampler)
        if name is None or name == self.config.get("_class_name"):
            return self if sampler == self.sampler else replace(self, sampler=sampler, options={})
        defaults = flow_schedulers.DEFAULTS[name]
        kept = {option: value for option, value in self.config.items() if option in defaults}
        return sampling_from_config({**kept, "_class_name": name})


def sampling_from_config(config, where="scheduler_config.json"):
    """The Sampling of a scheduler's configuration. Raises ValueError that names a class or an option not supported."""
    if read_field(config, "_class_name", str, where) in flow_schedulers.DEFAULTS:
        return _flow_sampling(config, where)
    name, full = check_options(config, where)
    with about(where):
        schedule = schedule_from_config(full, where)
    if full["prediction_type"] not in PREDICTS:
        raise ValueError(f"{where}: prediction_type is {full['prediction_type']!r}, expected one of {', '.join(PREDICTS)}")
    predicts = PREDICTS[full["prediction_type"]]
    sampler, options = options_for(name, full, predicts, where)
    thresholds = full.get("thresholding") and full.get("predict_x0", True)
    return Sampling(
        schedule, predicts, sampler, options, dict(config),
        (full["dynamic_thresholding_ratio"], full["sample_max_value"]) if thresholds else None,
        full["clip_sample_range"] if full.get("clip_sample") and not full.get("thresholding") else None,
        full.get("variance_type") in LEARNED,
    )  # fmt: skip


def _flow_sampling(config, where):
    name = config["_class_name"]
    full = flow_schedulers.check_flow_options(name, config, where)
    sampler = next(ours for ours, theirs in flow_schedulers.SAMPLER_OF.items() if theirs == name)
    return Sampling(Flow(full["shift"]), "velocity", sampler, {"final": "zero"}, dict(config),
                    time_scale=float(full["num_train_timesteps"]))  # fmt: skip


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
    """The scheduler_config.json for a minidiff schedule. Raises ValueError for predicts="score"."""
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


class _Told:
    """A model that gets its times from a table.   times (T,)   t: whole or real-valued, a number or an array"""

    def __init__(self, model, times):
        self.model, self.times, self._tables = model, times, {}

    def predict(self, x, t, cond=None):
        return getattr(self.model, "predict", self.model)(x, self.time(t), cond)

    def time(self, t):
        """The time that stands for t; between whole ones on a straight line."""
        if np.ndim(t) == 0:
            whole = float(t).is_integer()
            return self.times[int(t)].item() if whole else float(np.interp(t, np.arange(len(self.times)), self.times))
        xp = xp_of(t)
        if xp not in self._tables:  # uploaded once
            self._tables[xp] = xp.asarray(self.times), xp.arange(len(self.times), dtype=np.float64)
        times, positions = self._tables[xp]
        return times[t] if t.dtype.kind in "iu" else xp.interp(t, positions, times.astype(np.float64))

    @property
    def each_row_alone(self):
        """Whether the model treats each sample without regard to the others, as layers do."""
        return hasattr(self.model, "parameters")

    def null_cond(self, cond):
        return self.model.null_cond(cond) if hasattr(self.model, "null_cond") else None
