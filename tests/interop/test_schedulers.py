"""Settings of diffusers' schedulers, drawn at random: a folder with them gives the image that diffusers gives.

Every setting has one of two outcomes: the same sample from the same noise, or a ValueError that names an option. diffusers
computes in float32; here its modules are run in float64, so that a difference in method is not mistaken for rounding. The
drawn settings, the model and the noise are seeded. Where diffusers fails or returns numbers that are not finite, nothing
is asked of us but a finite sample or a ValueError.
"""

import contextlib
import functools
import importlib
import inspect
from collections import Counter

import numpy as np
import pytest

from minidiff.interop.scheduler_options import DEFAULTS, SAMPLER_OF
from minidiff.interop.schedulers import sampling_from_config
from minidiff.samplers import find

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
pytest.importorskip("scipy")  # theirs needs it for LMS and for beta levels
diffusers.utils.logging.set_verbosity_error()
pytestmark = pytest.mark.filterwarnings("ignore")  # theirs, about what it will remove

MODULES = ("ddpm", "ddim", "pndm", "dpmsolver_multistep", "dpmsolver_singlestep", "unipc_multistep", "euler_discrete",
           "euler_ancestral_discrete", "lms_discrete", "heun_discrete")  # fmt: skip
LEVELS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas")
VALUES = dict(
    beta_schedule=("linear", "scaled_linear", "squaredcos_cap_v2"), prediction_type=("epsilon", "v_prediction", "sample"),
    timestep_spacing=("leading", "linspace", "trailing"), steps_offset=(0, 1, 2), clip_sample=(True, False),
    clip_sample_range=(1.0, 0.5), thresholding=(True, False), dynamic_thresholding_ratio=(0.995, 0.8),
    sample_max_value=(1.0, 1.5), rescale_betas_zero_snr=(True, False), set_alpha_to_one=(True, False),
    variance_type=(None, "fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned", "learned_range"),
    skip_prk_steps=(True, False), solver_order=(1, 2, 3), solver_type=("midpoint", "heun", "logrho", "bh1", "bh2"),
    algorithm_type=("dpmsolver++", "dpmsolver++", "sde-dpmsolver++", "dpmsolver", "sde-dpmsolver", "deis"),
    lower_order_final=(True, False), euler_at_final=(True, False), final_sigmas_type=("zero", "sigma_min"),
    lambda_min_clipped=(-float("inf"), -5.1, -2.0), predict_x0=(True, True, False), disable_corrector=([], [0], [0, 2]),
    sigma_min=(None, 0.05), sigma_max=(None, 5.0), interpolation_type=("linear", "log_linear"), flow_shift=(1.0, 3.0),
    timestep_type=("discrete", "continuous"), use_dynamic_shifting=(False, False, True), beta_start=(1e-4, 0.00085),
    beta_end=(0.02, 0.012), use_flow_sigmas=(False,) * 9 + (True,),
)  # fmt: skip
SETTINGS = 240  # in the fast test
REFUSED = {"variance_type", "algorithm_type", "solver_order", "use_flow_sigmas", "use_dynamic_shifting", "final_sigmas_type",
           "steps_offset", "steps", "sigma_min", "rescale_betas_zero_snr"}  # fmt: skip


class Double:
    """A module whose float32 is float64."""

    def __init__(self, module):
        self.module, self.float32 = module, module.float64

    def __getattr__(self, name):
        return getattr(self.module, name)


@pytest.fixture
def double(monkeypatch):
    """diffusers' schedulers in float64, drawing their noise from `double.noise`."""

    class Noise:
        rng = None

        @staticmethod
        @contextlib.contextmanager
        def single():
            """Inside, diffusers computes in float32 again."""
            with monkeypatch.context() as patch:
                for name in MODULES:
                    module = importlib.import_module(f"diffusers.schedulers.scheduling_{name}")
                    patch.setattr(module, "np", np)
                    patch.setattr(module, "torch", torch)
                torch.set_default_dtype(torch.float32)
                try:
                    yield
                finally:
                    torch.set_default_dtype(torch.float64)

    def randn_tensor(shape, **_):
        return torch.from_numpy(Noise.rng.standard_normal(tuple(shape)))

    for name in MODULES:
        module = importlib.import_module(f"diffusers.schedulers.scheduling_{name}")
        monkeypatch.setattr(module, "np", Double(np))
        monkeypatch.setattr(module, "torch", Double(torch))
        monkeypatch.setattr(module, "randn_tensor", randn_tensor, raising=False)
    options = functools.cache(diffusers.ConfigMixin._get_init_keys)  # of a class; it inspects each signature again and again
    monkeypatch.setattr(diffusers.ConfigMixin, "_get_init_keys", staticmethod(lambda kind: set(options(kind))))
    torch.set_default_dtype(torch.float64)
    yield Noise
    torch.set_default_dtype(torch.float32)


class Channels:
    """Noise for our samplers: the same numbers, drawn channels first."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def standard_normal(self, shape, dtype=np.float64):
        n, h, w, c = shape
        return np.moveaxis(self.rng.standard_normal((n, c, h, w)), 1, -1).astype(dtype)


def model(x, t, twice, axis):
    """Not linear, of size about 1, different at every t; with `twice`, a learned variance in further channels."""
    sin, cat = (np.sin, np.concatenate) if isinstance(x, np.ndarray) else (torch.sin, torch.cat)
    output = x * (0.9 * (t + 10) / (t + 20)) + 0.2 * sin(2 * x + t / 50)
    return cat([output, sin(3 * x)], axis) if twice else output


def draw(rng, classes=tuple(DEFAULTS)):
    """(configuration, steps) of one setting."""
    name = str(rng.choice(classes))
    config = {"_class_name": name, "num_train_timesteps": int(rng.choice([1000, 1000, 100, 37, 17]))}
    for option in DEFAULTS[name]:
        if option in VALUES and rng.random() < 0.4:
            config[option] = VALUES[option][rng.integers(len(VALUES[option]))]
    levels = [option for option in LEVELS if option in DEFAULTS[name]]
    if levels and rng.random() < 0.5:
        config[levels[rng.integers(len(levels))]] = True
    if rng.random() < 0.1:
        config["trained_betas"] = (np.linspace(0.1, 12, config["num_train_timesteps"]) / config["num_train_timesteps"]).tolist()
    steps = int(rng.choice([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 15, 16, 20, 25, 30]))
    return config, steps


def ours(config, steps, seed, eta, change=None):
    sampling = sampling_from_config(config)
    if change:
        sampling = sampling.change(change)
    sampling = sampling.at(steps)
    rng, row = Channels(seed), find(sampling.sampler)
    net = lambda x, t, cond: model(x, t, sampling.learned_variance, -1)  # noqa: E731
    x = sampling.first(rng.standard_normal((2, 4, 4, 3)))
    extra = {"eta": eta} if row.name == "ddim" else {}
    for step in row.function(sampling.denoiser(net), x, rng=rng, **({"steps": steps} | sampling.options | extra)):
        x = step.x
    x = sampling.last(x)
    return np.moveaxis(x, -1, 1), sampling


def theirs(scheduler, steps, noise, seed, eta, twice, told):
    """The loop that all of its pipelines share. None where it fails or gives something that is not finite.

    told   our times, worked out in float32. A class of its that cuts its times to whole steps takes them from here, as
           float64 would cut some of them to another step; so does one that finds them from noise levels.
           test_solver_options holds them to those printed in float32
    """
    noise.rng = np.random.default_rng(seed)
    try:
        scheduler.set_timesteps(steps)
        its, of_levels = scheduler.timesteps, any(scheduler.config.get(option) for option in LEVELS)
        whole = not its.dtype.is_floating_point
        of_sigma = isinstance(scheduler, diffusers.EulerDiscreteScheduler) and not whole and (
            scheduler.config.timestep_type == "continuous" and scheduler.config.prediction_type == "v_prediction")  # fmt: skip
        if told is not None and (whole or of_levels) and not of_sigma:
            if of_levels:  # it works these times out in float32, which differ by more than one where alpha_bar ends near 0
                with noise.single():
                    single = type(scheduler).from_config(scheduler.config)
                    single.set_timesteps(steps)
                    its = single.timesteps
            scheduler.timesteps = torch.from_numpy(told[::-1][: len(its)].copy())
            bound = of_levels if whole else 0.05  # its float32 levels: at most 0.044 of a step in 442 runs
            if (scheduler.timesteps - its).abs().max() > bound:
                pytest.fail(f"{scheduler.config}: told {scheduler.timesteps}, not {its}")
        T = scheduler.config.num_train_timesteps
        if scheduler.config.get("timestep_spacing") == "trailing" and len(np.arange(T, 0, -T / steps)) > steps:
            return None  # rounding gives it one step too many, at t = -1
        x = torch.from_numpy(noise.rng.standard_normal((2, 3, 4, 4))) * scheduler.init_noise_sigma
        extra = {"eta": eta} if "eta" in inspect.signature(scheduler.step).parameters else {}
        for t in scheduler.timesteps:
            output = model(scheduler.scale_model_input(x, t), float(t), twice, 1)
            x = scheduler.step(output, t, x, **extra).prev_sample
    except Exception:  # whatever it fails with
        return None
    x = x.numpy()
    return x if np.isfinite(x).all() else None


def outcome(config, steps, seed, noise, change=None):
    """ "same", "refused: OPTION" or "fails there". Raises AssertionError for anything else."""
    name, forced = SAMPLER_OF[change] if change else (config["_class_name"], {})
    eta, made, sampling, why = (0.0, 0.5, 1.0)[seed % 3], None, None, ""
    try:
        made, sampling = ours(config, steps, seed, eta, change)
    except ValueError as error:
        why = str(error)
    try:
        scheduler = getattr(diffusers, config["_class_name"]).from_config(config)
        if change:
            scheduler = getattr(diffusers, name).from_config(scheduler.config, **forced)
    except Exception:
        expected = None
    else:
        twice = sampling is not None and sampling.learned_variance
        expected = theirs(scheduler, steps, noise, seed, eta, twice, sampling.model_t if sampling else None)
    if made is None:
        named = sorted((option for option in (*config, "steps") if option in why), key=why.index)
        assert named or expected is None, f"{config} {steps}: refused without naming an option: {why}"
        assert expected is None or named[0] in REFUSED, f"{config} {steps}: {why}"
        return f"refused: {named[0]}" if expected is not None else "fails there"
    assert np.isfinite(made).all(), f"{config}, {steps} steps, change {change}: not finite"
    if expected is None:
        return "fails there"
    off = np.abs(made - expected).max() / np.abs(expected).max()
    assert off < 1e-7, f"{config}, {steps} steps, change {change}: off by {off:.2e}"
    return "same"


def sweep(count, first, noise, changed=False):
    found = Counter()
    for seed in range(first, first + count):
        rng = np.random.default_rng(seed)
        config, steps = draw(rng)
        change = str(rng.choice(list(SAMPLER_OF))) if changed else None
        found[outcome(config, steps, seed, noise, change)] += 1
    return found


def test_settings(double, count):
    """Each scheduler class as its folder has it."""
    found = sweep(SETTINGS, 0, double)
    assert found["same"] >= 0.6 * SETTINGS, found
    count("outside", found["same"])


def test_settings_under_another_sampler(double, count):
    """`Sampling.change` against `Class.from_config` there."""
    found = sweep(SETTINGS, 10_000, double, changed=True)
    assert found["same"] >= 0.6 * SETTINGS, found
    count("outside", found["same"])


@pytest.mark.slow
@pytest.mark.parametrize("changed", (False, True))
def test_many_settings(double, changed, count):
    found = sweep(3000, 20_000, double, changed)
    assert found["same"] >= 1800, found
    count("outside", found["same"])
