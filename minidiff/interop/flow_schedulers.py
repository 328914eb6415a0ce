"""diffusers' two flow-matching schedulers: their options, the times that they visit, and the Sampling that does the same."""

import numpy as np

from ..diffusion import Flow
from ..diffusion.sigmas import LEVEL_RULES
from ..names import did_you_mean
from .option_types import check_types

_DYNAMIC = dict(use_dynamic_shifting=False, base_shift=0.5, max_shift=1.15, base_image_seq_len=256, max_image_seq_len=4096,
                time_shift_type="exponential")  # fmt: skip
DEFAULTS = {
    "FlowMatchEulerDiscreteScheduler": dict(
        num_train_timesteps=1000, shift=1.0, invert_sigmas=False, shift_terminal=None, use_karras_sigmas=False,
        use_exponential_sigmas=False, use_beta_sigmas=False, stochastic_sampling=False) | _DYNAMIC,
    "FlowMatchHeunDiscreteScheduler": dict(num_train_timesteps=1000, shift=1.0),
}  # fmt: skip
SAMPLER_OF = {"flow_euler": "FlowMatchEulerDiscreteScheduler", "flow_heun": "FlowMatchHeunDiscreteScheduler"}
_FIXED = ("use_dynamic_shifting", "invert_sigmas", "stochastic_sampling")  # options that only one value of is supported
_RULES = {"use_karras_sigmas": "karras", "use_exponential_sigmas": "exponential", "use_beta_sigmas": "beta"}


def check_flow_options(name, config, where):
    """All options of a flow-matching class. Raises ValueError for an unknown option and for a value not supported."""
    defaults, known = DEFAULTS[name], {option: value for row in DEFAULTS.values() for option, value in row.items()}
    given = {option: value for option, value in config.items() if not option.startswith("_")}
    for option in given:
        if option not in known:
            raise ValueError(f"{where}: option {option!r} of {name} is not known here{did_you_mean(option, known)}")
    check_types(given, known, where)
    full = defaults | {option: value for option, value in given.items() if option in defaults}
    for option in _FIXED:
        if full.get(option, False):
            raise ValueError(f"{where}: {option} is {full[option]!r}; only {defaults[option]!r} is supported here")
    chosen = [option for option in _RULES if full.get(option)]
    if len(chosen) > 1:
        raise ValueError(f"{where}: {' and '.join(chosen)} cannot be combined; set one of them")
    return full


def flow_times(full, steps):
    """The times t that a run of so many steps visits, from 1 down.   -> float64 (steps,). A last step leads to t = 0.

    The shift is applied twice, as diffusers does: to the ends of the times of training, and to what lies between them.
    """
    flow, T = Flow(full["shift"]), full["num_train_timesteps"]
    t = flow.shifted(np.linspace(flow.shifted(1.0), flow.shifted(1 / T), steps))
    if full.get("shift_terminal"):
        if steps < 2:
            raise ValueError(f"steps: got {steps}, expected at least 2 with shift_terminal")
        t = 1 - (1 - t) * ((1 - full["shift_terminal"]) / (1 - t[-1]))  # stretched to end there
    rule = next((ours for theirs, ours in _RULES.items() if full.get(theirs)), None)
    return t if rule is None else LEVEL_RULES[rule](t[-1], t[0], steps)


def flow_config(flow, predicts, clip, T):
    """The scheduler_config.json of a Flow, whose model is given T t. Raises ValueError for what that class does not do."""
    if predicts != "velocity":
        raise ValueError(
            f"predicts: got {predicts!r}, expected 'velocity': diffusers has no flow whose model predicts otherwise"
        )
    if clip is not None:
        raise ValueError(f"clip: got {clip}, expected None: diffusers' flow-matching scheduler does not clip")
    return {
        "_class_name": "FlowMatchEulerDiscreteScheduler",
        "_diffusers_version": "0.30.0",
        "num_train_timesteps": T,
        "shift": flow.shift,
    }
