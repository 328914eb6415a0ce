"""The options of diffusers' schedulers, class by class, and the equivalent minidiff options."""

import math

from ..json_file import read_field
from ..names import did_you_mean
from .option_types import check_types

_BETAS = dict(num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, beta_schedule="linear", trained_betas=None,
              prediction_type="epsilon", timestep_spacing="leading", steps_offset=0)  # fmt: skip
_CLIP = dict(clip_sample=True, clip_sample_range=1.0)
_DYNAMIC = dict(thresholding=False, dynamic_thresholding_ratio=0.995, sample_max_value=1.0)
_LEVELS = dict(use_karras_sigmas=False, use_exponential_sigmas=False, use_beta_sigmas=False)
_FLOW = dict(use_flow_sigmas=False, flow_shift=1.0, use_dynamic_shifting=False, time_shift_type="exponential")
_SNR = dict(rescale_betas_zero_snr=False)
_LINSPACE = _BETAS | dict(timestep_spacing="linspace")
_NO_SPACING = {k: v for k, v in _BETAS.items() if k not in ("timestep_spacing", "steps_offset")}

DEFAULTS = {
    "DDPMScheduler": _BETAS | _CLIP | _DYNAMIC | _SNR | dict(variance_type="fixed_small"),
    "DDIMScheduler": _BETAS | _CLIP | _DYNAMIC | _SNR | dict(set_alpha_to_one=True),
    "PNDMScheduler": _BETAS | dict(skip_prk_steps=False, set_alpha_to_one=False),
    "DPMSolverMultistepScheduler": _LINSPACE | _DYNAMIC | _LEVELS | _FLOW | _SNR | dict(
        solver_order=2, algorithm_type="dpmsolver++", solver_type="midpoint", lower_order_final=True, euler_at_final=False,
        use_lu_lambdas=False, final_sigmas_type="zero", lambda_min_clipped=-math.inf, variance_type=None),
    "DPMSolverSinglestepScheduler": _NO_SPACING | _DYNAMIC | _LEVELS | _FLOW | dict(
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
# Options that only one value of is supported.
_FIXED = ("use_flow_sigmas", "shift_terminal", "solver_p")
_OLD = ("predict_epsilon", "tensor_format", "timestep_values")  # of the first versions, and without effect
SIGMA_SPACE = ("EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "LMSDiscreteScheduler", "HeunDiscreteScheduler")
_ALL = {option: value for options in DEFAULTS.values() for option, value in options.items()}
SHARED = frozenset(option for options in DEFAULTS.values() for option in options)
# Options that choose noise levels, in order of precedence, and the equivalent minidiff spacing.
RULES = {"use_karras_sigmas": "karras", "use_lu_lambdas": "lu", "use_exponential_sigmas": "exponential",
         "use_beta_sigmas": "beta"}  # fmt: skip
_CHOOSE_LEVELS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
LEARNED = ("learned", "learned_range")  # values of variance_type
# One of our samplers: the class of diffusers that is nearest, and what the sampler's name says.
_PP, _SDE = {"algorithm_type": "dpmsolver++"}, {"algorithm_type": "sde-dpmsolver++"}
SAMPLER_OF = {
    "ddpm": ("DDPMScheduler", {}), "ddim": ("DDIMScheduler", {}), "plms": ("PNDMScheduler", {}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {"solver_order": 2, **_PP}),
    "dpmpp_3m": ("DPMSolverMultistepScheduler", {"solver_order": 3, **_PP}),
    "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", {"solver_order": 2, **_SDE}),
    "dpmpp_2s": ("DPMSolverSinglestepScheduler", {"solver_order": 2, **_PP}),
    "dpmpp_3s": ("DPMSolverSinglestepScheduler", {"solver_order": 3, **_PP}),
    "unipc": ("UniPCMultistepScheduler", {}), "euler": ("EulerDiscreteScheduler", {}),
    "euler_ancestral": ("EulerAncestralDiscreteScheduler", {}), "lms": ("LMSDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
}  # fmt: skip
# What one class writes and another reads as its own.
_READ_AS = {
    ("DPM", "solver_type"): dict.fromkeys(("logrho", "bh1", "bh2"), "midpoint"),
    ("DPM", "algorithm_type"): {"deis": "dpmsolver++"},
    ("Uni", "solver_type"): dict.fromkeys(("midpoint", "heun", "logrho"), "bh2"),
}


def check_options(config, where):
    """(class name, all its options). Raises ValueError for an unknown class or option and for a value not supported."""
    name = read_field(config, "_class_name", str, where)
    name = {"EulerScheduler": "EulerDiscreteScheduler", "LMSScheduler": "LMSDiscreteScheduler"}.get(name, name)
    if name not in DEFAULTS:
        hint = did_you_mean(name, DEFAULTS, 1)
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
    for option in ("sigma_min", "sigma_max"):  # read there by every class that chooses levels, its own option or not
        full.setdefault(option, given.get(option))
    for (kind, option), table in _READ_AS.items():
        if name.startswith(kind):
            full[option] = table.get(full[option], full[option])
    for option in (*_FIXED, *(["use_dynamic_shifting"] if name.startswith("Uni") else [])):
        if option in full and full[option] != defaults[option]:
            raise ValueError(f"{where}: {option} is {full[option]!r}; only {defaults[option]!r} is supported here")
    chosen = [option for option in _CHOOSE_LEVELS if full.get(option)]
    if len(chosen) > 1:
        raise ValueError(f"{where}: {' and '.join(chosen)} cannot be combined; set one of them")
    return name, full


def options_for(name, full, predicts, where):
    """The minidiff (sampler, options) for a diffusers class."""
    spacing, offset = full.get("timestep_spacing", "linspace"), full.get("steps_offset", 0)
    if spacing not in ("leading", "linspace", "trailing"):
        raise ValueError(f"{where}: timestep_spacing is {spacing!r}, expected leading, linspace or trailing")
    steps = {"spacing": spacing} | ({"offset": offset} if spacing == "leading" else {})
    chosen = next((ours for theirs, ours in RULES.items() if full.get(theirs)), None)

    def choice(option, table):
        if full[option] not in table:
            raise ValueError(f"{where}: {option} is {full[option]!r}, expected one of {', '.join(map(repr, table))}")
        return table[full[option]]

    if name == "DDPMScheduler":
        small = dict.fromkeys(("fixed_small", "fixed_small_log"), "fixed_small")
        kinds = small | {"fixed_large": "fixed_large", "learned_range": "learned"}
        return "ddpm", steps | {"variance": choice("variance_type", kinds), "noisy_end": True}
    if name == "DDIMScheduler":
        return "ddim", steps | {"final": "zero" if full["set_alpha_to_one"] else "sigma_min"}
    if name == "PNDMScheduler":
        warm_up = "none" if full["skip_prk_steps"] else "runge-kutta"
        final = "zero" if full["set_alpha_to_one"] else "sigma_min"
        return "plms", steps | {"warm_up": warm_up, "mix": "v" if predicts == "v" else "eps", "final": final}
    if name in SIGMA_SPACE:
        choice("interpolation_type", {"linear": 0, "log_linear": 0}) if "interpolation_type" in full else None
        sampler = {"Euler": "euler", "EulerAncestral": "euler_ancestral", "LMS": "lms", "Heun": "heun"}
        options = {"spacing": chosen} if chosen else steps | {"whole": False}
        if full.get("final_sigmas_type"):
            options["final"] = choice("final_sigmas_type", {"zero": "zero", "sigma_min": "sigma_min"})
        return sampler[name.removesuffix("DiscreteScheduler")], options
    options = {"spacing": chosen} if chosen else steps | ({"skip_last": True} if spacing != "trailing" else {})
    options |= {"final": choice("final_sigmas_type", {"zero": "zero", "sigma_min": "sigma_min"}),
                "lower_order_final": full["lower_order_final"]}  # fmt: skip
    order = choice("solver_order", {1: 1, 2: 2, 3: 3})
    if name == "UniPCMultistepScheduler":
        return "unipc", options | {"order": order, "solver": choice("solver_type", {"bh1": "bh1", "bh2": "bh2"}),
                                   "interpolates": "x0" if full["predict_x0"] else "eps",
                                   "uncorrected": tuple(full["disable_corrector"])}  # fmt: skip
    options["solver"] = choice("solver_type", {"midpoint": "midpoint", "heun": "heun"})
    algorithm = full["algorithm_type"]
    if algorithm == "dpmsolver" and full["final_sigmas_type"] == "zero":
        raise ValueError(f"{where}: final_sigmas_type is 'zero'; with algorithm_type 'dpmsolver' only 'sigma_min' is supported")
    if name == "DPMSolverSinglestepScheduler":
        sampler = choice("algorithm_type", {"dpmsolver++": "dpmpp_2s", "dpmsolver": "dpm_solver"})
        return ("dpmpp_3s" if (sampler, order) == ("dpmpp_2s", 3) else sampler), options | {"order": order}
    kinds = {"dpmsolver++": "dpmpp_2m", "sde-dpmsolver++": "dpmpp_2m_sde", "dpmsolver": "dpmpp_2m"}
    sampler = choice("algorithm_type", kinds)
    options |= {"order": order, "euler_at_final": bool(full["euler_at_final"])}
    if sampler == "dpmpp_2m_sde":
        if order == 3:
            raise ValueError(f"{where}: solver_order is 3; with algorithm_type {algorithm!r} only 1 and 2 are supported")
        return sampler, options
    options |= {"interpolates": "eps" if algorithm == "dpmsolver" else "x0"} | ({"bend": "halved"} if order == 3 else {})
    return ("dpmpp_3m" if order == 3 and algorithm != "dpmsolver" else "dpmpp_2m"), options
