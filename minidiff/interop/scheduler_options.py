"""The options of diffusers' schedulers, class by class, and what each becomes among ours."""

import difflib
import math

from ..json_file import read_field
from .option_types import check_types

_BETAS = dict(num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, beta_schedule="linear", trained_betas=None,
              prediction_type="epsilon", timestep_spacing="leading", steps_offset=0)  # fmt: skip
_CLIP = dict(clip_sample=True, clip_sample_range=1.0)
_DYNAMIC = dict(thresholding=False, dynamic_thresholding_ratio=0.995, sample_max_value=1.0)
_LEVELS = dict(use_karras_sigmas=False, use_exponential_sigmas=False, use_beta_sigmas=False)
_FLOW = dict(use_flow_sigmas=False, flow_shift=1.0, use_dynamic_shifting=False, time_shift_type="exponential")
_SNR = dict(rescale_betas_zero_snr=False)
_LINSPACE = _BETAS | dict(timestep_spacing="linspace")

DEFAULTS = {
    "DDPMScheduler": _BETAS | _CLIP | _DYNAMIC | _SNR | dict(variance_type="fixed_small"),
    "DDIMScheduler": _BETAS | _CLIP | _DYNAMIC | _SNR | dict(set_alpha_to_one=True),
    "PNDMScheduler": _BETAS | dict(skip_prk_steps=False, set_alpha_to_one=False),
    "DPMSolverMultistepScheduler": _LINSPACE | _DYNAMIC | _LEVELS | _FLOW | _SNR | dict(
        solver_order=2, algorithm_type="dpmsolver++", solver_type="midpoint", lower_order_final=True, euler_at_final=False,
        use_lu_lambdas=False, final_sigmas_type="zero", lambda_min_clipped=-math.inf, variance_type=None),
    "DPMSolverSinglestepScheduler": _LINSPACE | _DYNAMIC | _LEVELS | _FLOW | dict(
        solver_order=2, algorithm_type="dpmsolver++", solver_type="midpoint", lower_order_final=False, final_sigmas_type="zero",
        lambda_min_clipped=-math.inf, variance_type=None),
    "UniPCMultistepScheduler": _LINSPACE | _DYNAMIC | _LEVELS | _FLOW | _SNR | dict(
        solver_order=2, predict_x0=True, solver_type="bh2", lower_order_final=True, disable_corrector=[], solver_p=None,
        final_sigmas_type="zero", sigma_min=None, sigma_max=None, shift_terminal=None),
    "EulerDiscreteScheduler": _LINSPACE | _LEVELS | _SNR | dict(
        interpolation_type="linear", sigma_min=None, sigma_max=None, timestep_type="discrete", final_sigmas_type="zero"),
    "EulerAncestralDiscreteScheduler": _LINSPACE | _SNR,
    "LMSDiscreteScheduler": _LINSPACE | _LEVELS,
    "HeunDiscreteScheduler": _LINSPACE | _LEVELS | dict(clip_sample=False, clip_sample_range=1.0, beta_start=0.00085,
                                                        beta_end=0.012),
}  # fmt: skip
# Options that only one value of is supported, unless `options_for` below makes something of them.
_FIXED = ("use_beta_sigmas", "use_flow_sigmas", "use_dynamic_shifting", "use_lu_lambdas", "euler_at_final", "sigma_min",
          "sigma_max", "shift_terminal", "solver_p", "interpolation_type", "timestep_type", "lambda_min_clipped")  # fmt: skip
_OLD = ("predict_epsilon", "tensor_format", "timestep_values")  # of the first versions, and without effect
SIGMA_SPACE = ("EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "LMSDiscreteScheduler", "HeunDiscreteScheduler")
_ALL = {option: value for options in DEFAULTS.values() for option, value in options.items()}
SHARED = frozenset(option for options in DEFAULTS.values() for option in options)
# One of our samplers: the class of diffusers that is nearest, and what must be set there.
SAMPLER_OF = {
    "ddpm": ("DDPMScheduler", {}), "ddim": ("DDIMScheduler", {}), "plms": ("PNDMScheduler", {"skip_prk_steps": True}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {}), "unipc": ("UniPCMultistepScheduler", {}),
    "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "dpmpp_2s": ("DPMSolverSinglestepScheduler", {"lower_order_final": True}), "euler": ("EulerDiscreteScheduler", {}),
    "euler_ancestral": ("EulerAncestralDiscreteScheduler", {}), "lms": ("LMSDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
}  # fmt: skip


def check_options(config, where):
    """(class name, all its options). Raises ValueError for an unknown class or option and for a value not supported."""
    name = read_field(config, "_class_name", str, where)
    name = {"EulerScheduler": "EulerDiscreteScheduler", "LMSScheduler": "LMSDiscreteScheduler"}.get(name, name)
    if name not in DEFAULTS:
        near = difflib.get_close_matches(str(name), DEFAULTS, n=1)
        hint = f"; the nearest is {near[0]}" if near else ""
        raise ValueError(f"{where}: scheduler {name!r} is not supported, expected one of {', '.join(DEFAULTS)}{hint}")
    defaults = DEFAULTS[name]
    given = {option: value for option, value in config.items() if not option.startswith("_") and option not in _OLD}
    if config.get("predict_epsilon") is False:  # how it was said before prediction_type
        given.setdefault("prediction_type", "sample")
    for option in given:
        if option not in defaults and option not in SHARED:
            raise ValueError(f"{where}: option {option!r} (= {given[option]!r}) of {name} is not known here")
    check_types(given, _ALL, where)
    full = defaults | {option: value for option, value in given.items() if option in defaults}  # as that library does
    if full.get("trained_betas") is not None:
        full["num_train_timesteps"] = len(full["trained_betas"])
    for option in _FIXED:
        if option in full and full[option] != defaults[option] and not _same_infinity(full[option], defaults[option]):
            raise ValueError(f"{where}: {option} is {full[option]!r}; only {defaults[option]!r} is supported here")
    return name, full


def options_for(name, full, predicts, where):
    """(sampler, options) of ours for a class of theirs."""
    spacing, offset = full["timestep_spacing"], full["steps_offset"]
    if spacing not in ("leading", "linspace", "trailing"):
        raise ValueError(f"{where}: timestep_spacing is {spacing!r}, expected leading, linspace or trailing")
    steps = {"spacing": spacing} | ({"offset": offset} if spacing == "leading" else {})
    levels = {"use_karras_sigmas": "karras", "use_exponential_sigmas": "exponential"}
    chosen = next((ours for theirs, ours in levels.items() if full.get(theirs)), None)

    def choice(option, table):
        if full[option] not in table:
            raise ValueError(f"{where}: {option} is {full[option]!r}, expected one of {', '.join(map(repr, table))}")
        return table[full[option]]

    if name == "DDPMScheduler":
        small = dict.fromkeys(("fixed_small", "fixed_small_log"), "fixed_small")
        kinds = small | {"fixed_large": "fixed_large", "learned_range": "learned"}
        return "ddpm", steps | {"variance": choice("variance_type", kinds)}
    if name == "DDIMScheduler":
        return "ddim", steps | {"final": "zero" if full["set_alpha_to_one"] else "sigma_min"}
    if name == "PNDMScheduler":
        warm_up = "none" if full["skip_prk_steps"] else "runge-kutta"
        final = "zero" if full["set_alpha_to_one"] else "sigma_min"
        return "plms", steps | {"warm_up": warm_up, "mix": "v" if predicts == "v" else "eps", "final": final}
    if name in SIGMA_SPACE:
        if full.get("rescale_betas_zero_snr"):
            raise ValueError(f"{where}: rescale_betas_zero_snr with {name} is not supported: its first noise is infinite")
        sampler = {"Euler": "euler", "EulerAncestral": "euler_ancestral", "LMS": "lms", "Heun": "heun"}
        options = {"spacing": chosen} if chosen else steps | {"whole": False}
        if full.get("final_sigmas_type"):
            options["final"] = choice("final_sigmas_type", {"zero": "zero", "sigma_min": "sigma_min"})
        return sampler[name.removesuffix("DiscreteScheduler")], options
    options = {"spacing": chosen} if chosen else steps | ({"skip_last": True} if spacing != "trailing" else {})
    options |= {"final": choice("final_sigmas_type", {"zero": "zero", "sigma_min": "sigma_min"}),
                "lower_order_final": full["lower_order_final"]}  # fmt: skip
    if name == "UniPCMultistepScheduler":
        if full["disable_corrector"]:
            raise ValueError(f"{where}: disable_corrector is {full['disable_corrector']!r}; only [] is supported here")
        return "unipc", options | {"order": choice("solver_order", {1: 1, 2: 2, 3: 3}), "solver": full["solver_type"],
                                   "interpolates": "x0" if full["predict_x0"] else "eps"}  # fmt: skip
    if full["variance_type"] is not None:
        raise ValueError(f"{where}: variance_type is {full['variance_type']!r}; with {name} only None is supported here")
    options["solver"] = choice("solver_type", {"midpoint": "midpoint", "heun": "heun"})
    if name == "DPMSolverSinglestepScheduler":
        sampler = choice("algorithm_type", {"dpmsolver++": "dpmpp_2s", "dpmsolver": "dpm_solver"})
        return sampler, options | {"order": choice("solver_order", {1: 1, 2: 2, 3: 3})}
    choice("solver_order", {2: 2})
    return choice("algorithm_type", {"dpmsolver++": "dpmpp_2m", "sde-dpmsolver++": "dpmpp_2m_sde"}), options


def _same_infinity(a, b):
    return str(a) in ("-inf", "-Infinity", "-infinity") and b == -math.inf
