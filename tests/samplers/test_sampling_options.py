"""Options of samplers: every one changes the result or is refused, and unknown ones are named before any work."""

import math

import numpy as np
import pytest

import minidiff
from minidiff import interop, samplers
from minidiff.diffusion import VP, Denoiser, GaussianMixture, Schedule, clip_x0
from minidiff.interop.schedulers import Sampling
from minidiff.models import UNet
from minidiff.samplers import SAMPLERS
from minidiff.samplers.registry import STEPPING

SCHEDULE = Schedule.linear(50, 2e-3, 0.4)
X = np.random.default_rng(0).standard_normal((4, 2))
MIXTURE = GaussianMixture([[0.5, -0.5], [-0.5, 0.5]], stds=0.4)


def untouchable(x, t, cond):
    raise AssertionError("the model was asked before the options were checked")


TRAP = Denoiser(untouchable, SCHEDULE)


def run(name, options, denoiser=None):
    """The last sample. float64, with enough noise drawn from one seed."""
    denoiser = MIXTURE.denoiser(SCHEDULE) if denoiser is None else denoiser
    steps = {} if name == "probability_flow" or "steps" in options else {"steps": 12}
    *_, last = SAMPLERS[name].function(denoiser, X, **({"rng": 0} | steps | options))
    return last.x


# A value of each option of `Trajectory` that is not its default, and what must come with it for it to matter.
CHANGES = {
    "spacing": ({"spacing": "quadratic"}, {}),
    "offset": ({"offset": 1}, {"spacing": "leading"}),
    "skip_last": ({"skip_last": True}, {"spacing": "leading"}),
    "whole": ({"whole": False}, {"spacing": "linspace"}),
    "rho": ({"rho": 3.0}, {"spacing": "karras"}),
    "sigmas": ({"sigmas": [2.0, 1.0, 0.5, 0.2]}, {}),
    "final": ({"final": "sigma_min"}, {}),
    "start": ({"start": 3}, {}),
    "from_clean": ({"from_clean": True}, {}),
    "clip": ({"clip": 0.3}, {}),
    "rederive": ({"rederive": True}, {"clip": 0.3}),
    "cond": ({"cond": 1}, {}),
}
ONLY_FOR_A_DEVICE = {"graph", "tf32"}  # documented as "on a GPU"
# Options that a sampler refuses (in words that name them), by the introspection below.
ALWAYS_RE_DERIVES = {"dpm_solver", "dpm_solver_1", "dpm_solver_2", "plms", "probability_flow", "rk4", "reverse_diffusion",
                     "predictor_corrector"}  # fmt: skip


def test_the_table_has_every_option():
    assert set(CHANGES) | ONLY_FOR_A_DEVICE | {"rng"} == set(STEPPING)


@pytest.mark.parametrize("option", CHANGES)
@pytest.mark.parametrize("name", SAMPLERS)
def test_no_option_is_accepted_and_ignored(name, option):
    """The sample differs from the one without the option, or the option is refused in a message that names it."""
    change, beside = CHANGES[option]
    if name == "probability_flow" and option != "rederive":
        beside = {}  # it has no spacing that a detail could belong to
    try:
        with_it = run(name, change | beside)
    except ValueError as error:
        assert str(error).startswith(f"{option}: ") or option in ("sigmas", "final"), error
        return
    if name in ALWAYS_RE_DERIVES and option == "rederive":
        np.testing.assert_array_equal(with_it, run(name, beside))  # honoured: it is what they do
        return
    if name == "ddpm" and option in ("offset", "skip_last", "spacing"):
        with_it, beside = run(name, change | beside | {"steps": 12}), beside | {"steps": 12}
    without = run(name, beside)
    grids = {"skip_last", "spacing"}  # where the sampler's own choice is the same, nothing can change
    if option in grids and np.array_equal(with_it, without):
        assert name in (
            "dpm_solver",
            "dpm_solver_1",
            "dpm_solver_2",
            "dpmpp_2s",
            "dpmpp_3s",
            "dpmpp_2m",
            "dpmpp_3m",
            "dpmpp_2m_sde",
            "unipc",
            "flow_euler",
            "flow_midpoint",
            "flow_heun",
            "flow_rk4",
            "flow_sde",
        )
    else:
        assert abs(with_it - without).max() > 1e-9, f"{name} ignores {option}"


OWN = {
    "eta": 0.5, "variance": "fixed_large", "solver": "heun", "lower_order_final": False, "order": 1, "r": 0.3,
    "warm_up": "none", "mix": "v", "rtol": 1e-2, "atol": 1e-2, "corrector_steps": 2, "snr": 0.3, "interpolates": "eps",
    "corrector": False, "s_churn": 5.0, "s_min": 1.0, "s_max": 0.5, "s_noise": 1.3,
    "stride": 2, "noisy_end": True, "uncorrected": (0, 1), "euler_at_final": True, "bend": "halved", "method": "heun",
}  # fmt: skip
BESIDE = {"s_min": {"s_churn": 5.0}, "s_max": {"s_churn": 5.0}, "s_noise": {"s_churn": 5.0},
          "noisy_end": {"spacing": "trailing", "variance": "fixed_large"},
          "euler_at_final": {"final": "sigma_min", "lower_order_final": False}}  # fmt: skip


def own_options():
    import inspect

    for name, row in SAMPLERS.items():
        for option in inspect.signature(row.function).parameters:
            if option not in ("denoiser", "x", "steps", "rng", "stepping"):
                yield name, option


@pytest.mark.parametrize("name, option", list(own_options()))
def test_a_samplers_own_options_matter(name, option):
    value = OWN[option]
    if option == "solver" and name == "unipc":
        value = "bh1"
    if name == "flow_heun":
        value = "rk4"
    beside = BESIDE.get(option, {}) | ({"final": "sigma_min"} if option == "lower_order_final" else {})
    try:
        with_it = run(name, {option: value} | beside)
    except ValueError as error:  # an option that is part of the name, such as the order of dpmpp_3s
        assert str(error).startswith(f"{option}: got"), error
        return
    if name == "dpm_solver_1" and option in ("solver", "lower_order_final", "order"):
        return  # a first order has no slope to weigh and no lower order
    assert abs(with_it - run(name, beside)).max() > 1e-12, f"{name} ignores {option}"


REFUSED = [
    (dict(rederive=True), "rederive: got True without clip: only a clipped x0 leaves an eps to re-derive", "ddim"),
    (dict(rederive=True, clip=1.0), "rederive: got True, but this sampler steps with x0 alone and never reads eps", "dpmpp_2m"),
    (dict(offset=1, spacing="trailing"), "offset: got 1 with spacing 'trailing', only valid with spacing 'leading'", "ddim"),
    (dict(offset=1), "offset: got 1 with spacing 'linspace'", "dpmpp_2m"),
    (dict(skip_last=True, spacing="karras"), "skip_last: got True with spacing 'karras', only valid with", "ddim"),
    (dict(rho=3.0), "rho: got 3.0 with spacing 'leading', only valid with spacing 'karras'", "ddim"),
    (dict(sigmas=[2.0, 1.0, 0.0], spacing="karras"), "spacing: got 'karras', which cannot be combined with sigmas", "euler"),
    (dict(sigmas=[2.0, 1.0, 0.0], final="zero"), "final: got 'zero', which cannot be combined with sigmas", "euler"),
    (dict(steps=[30, 10], offset=1), "offset: got 1, which cannot be combined with steps as a list of times", "ddim"),
    (dict(order=2), "order: got 2, but dpmpp_3s has order=3; use dpmpp_2s", "dpmpp_3s"),
    (dict(s_noise=1.003), "s_noise: got 1.003, only valid with s_churn > 0", "heun"),
    (dict(s_churn=1.0, s_min=2.0, s_max=1.0), "s_min, s_max: got 2.0, 1.0, expected s_min <= s_max", "heun"),
    (dict(spacing="karras"), "spacing: probability_flow chooses its steps by rtol and atol", "probability_flow"),
]  # fmt: skip


@pytest.mark.parametrize("options, message, name", REFUSED, ids=range(len(REFUSED)))
def test_options_that_do_not_go_together(options, message, name):
    with pytest.raises(ValueError) as caught:
        SAMPLERS[name].function(TRAP, X, **options)
    assert str(caught.value).startswith(message)


def test_rederive_applies_to_a_denoiser_that_is_clipped_already():
    plain = Denoiser(lambda x, t, c: 0.5 * np.sin(x), SCHEDULE)
    np.testing.assert_array_equal(
        run("ddim", {"rederive": True}, clip_x0(plain, 0.3)), run("ddim", {"rederive": True, "clip": 0.3}, plain)
    )


def test_a_process_has_real_times():
    denoiser = Denoiser(untouchable, VP())
    with pytest.raises(ValueError, match="whole: got False, which is only valid with a Schedule"):
        samplers.ddim(denoiser, X, steps=5, whole=False)
    with pytest.raises(ValueError, match="offset: got 1 with spacing 'linspace'"):
        samplers.ddim(denoiser, X, steps=5, offset=1)


# ---- unknown options -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLERS)
def test_unknown_options_name_the_sampler_the_option_and_the_nearest(name):
    for call in (lambda o: SAMPLERS[name].function(TRAP, X, **o), lambda o: minidiff.sample(name, TRAP, X.shape, **o)):
        with pytest.raises(ValueError, match=f"clip_skip: {name} has no such option; it has .*did you mean .*clip"):
            call({"clip_skip": 1})
        with pytest.raises(ValueError, match=f"uses: {name} has no such option"):  # what samplers set for themselves is not one
            call({"uses": "x0"})


def test_inversion_and_editing_name_themselves():
    for call, name in (
        (lambda: samplers.ddim_invert(TRAP, X, refines=1), "refines: ddim_invert has no such option.*did you mean refine"),
        (lambda: samplers.inpaint(TRAP, X, 0 * X, jump=3), "jump: inpaint has no such option"),
        (lambda: samplers.repaint(TRAP, X, 0 * X, jumps=3), "jumps: repaint has no such option.*did you mean jump"),
        (lambda: samplers.sdedit(TRAP, X, sampler="euler", etta=1), "etta: euler has no such option"),
        (lambda: samplers.sdedit(TRAP, X, start=3), "start: cannot be combined with strength"),
        (lambda: samplers.sdedit(TRAP, X, steps=[3, 1]), r"steps: got \[3, 1\], expected a whole number"),
    ):
        with pytest.raises(ValueError, match=name):
            call()


def test_what_sample_itself_would_ignore():
    for options, message in (
        (dict(from_clean=True), "from_clean: got True without x"), (dict(start=3), "start: got 3 without x"),
        (dict(x=X, dtype=np.float32), "dtype: got float32, but x is float64"),
        (dict(x=X, device="cuda"), "device: got 'cuda', but x is on 'cpu'"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            minidiff.sample("ddim", TRAP, X.shape, steps=5, **options)
    assert minidiff.sample("ddim", MIXTURE.denoiser(SCHEDULE), (3, 2), steps=5).dtype == np.float32


NET = UNet(sample_size=4, in_channels=1, out_channels=1, block_out_channels=(4,), norm_num_groups=2, layers_per_block=1,
           attention_head_dim=2, down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",), rng=0)  # fmt: skip


class Encoder:
    def predict(self, ids):
        raise AssertionError("the text was encoded before the options were checked")


def pipeline(**options):
    sampling = Sampling(Schedule.linear(), "eps", "ddim", {"spacing": "leading", "offset": 1, "final": "zero"})
    return interop.Pipeline(NET, sampling, text_encoder=Encoder(), tokenizer=lambda texts: (texts,), **options)


@pytest.mark.parametrize("options, message", [
    (dict(prompt="a cat", clip_skip=1), "clip_skip: ddim has no such option; .*did you mean .*clip"),
    (dict(prompt="a cat", num_inference_steps=5), "num_inference_steps: ddim has no such option"),
    (dict(guidance=2.0), "guidance: got 2.0 without prompt or cond"),
    (dict(negative="a dog"), "negative: only valid with prompt and guidance"),
    (dict(prompt="a cat", negative="a dog", guidance=0), "negative: only valid with prompt and guidance"),
    (dict(rescale=0.7), "rescale: got 0.7 without guidance"),
])  # fmt: skip
def test_pipelines_refuse_before_any_work(options, message):
    with pytest.raises(ValueError, match=message):
        pipeline().sample(**options)


def test_a_pipelines_settings_give_way_to_the_callers_own_steps():
    """The folder's offset belongs to its spacing; the caller's spacing, times or noise levels take the place of both."""
    x = np.random.default_rng(0).standard_normal((1, 4, 4, 1), dtype=np.float32)
    denoiser = Denoiser(NET, Schedule.linear())
    for options in (dict(steps=5, spacing="trailing"), dict(steps=[900, 500, 100]), dict(sigmas=[20.0, 5.0, 1.0, 0.0])):
        *_, last = samplers.ddim(denoiser, x, **options)
        np.testing.assert_array_equal(pipeline().sample(x=x, **options), last.x)


# ---- a learned variance under every sampler --------------------------------------------------------------------------


class TwoOutputs:
    """A model of 2 C channels: eps = tanh(x), and a variance that must not matter to a sampler without noise of its own."""

    def __init__(self, share=0.3):
        self.share = share

    def predict(self, x, t, cond=None):
        return self(x, t, cond)[0]

    def __call__(self, x, t, cond=None):
        def back(doutput):
            return doutput[..., : x.shape[-1]] * (1 - np.tanh(x) ** 2) + 1e6 * doutput[..., x.shape[-1] :]

        return np.concatenate([np.tanh(x), 0 * x + self.share], axis=-1), back

    def null_cond(self, cond):
        return cond


def learned(share=0.3):
    return Denoiser(TwoOutputs(share), SCHEDULE, learned_variance=True)


PLAIN = Denoiser(lambda x, t, c: np.tanh(x), SCHEDULE)
WRAPPED = {
    "plain": lambda d: d,
    "clipped": clip_x0,
    "guided": lambda d: minidiff.diffusion.cfg(d, 1, 2.0, null=0),
    "guided, clipped": lambda d: minidiff.diffusion.cfg(clip_x0(d), 1, 2.0, null=0, rescale=0.5),
}


@pytest.mark.parametrize("wrap", WRAPPED)
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_splits_off_the_learned_variance(name, wrap):
    """The sample is the one of a model of C channels with the same prediction."""
    np.testing.assert_array_equal(run(name, {}, WRAPPED[wrap](learned())), run(name, {}, WRAPPED[wrap](PLAIN)))


def test_editing_likelihood_and_gradients_split_it_too():
    def last(run):
        *_, step = run
        return step.x

    for edit in (
        lambda d: last(samplers.inpaint(d, X, np.array([1, 0]), steps=5, rng=0)),
        lambda d: last(samplers.ddim_invert(d, X, steps=5, refine=1)),
        lambda d: last(samplers.sdedit(d, X, steps=5, rng=0)),
        lambda d: samplers.interpolate(d, X[0], X[1], [0.5], steps=5),
    ):
        np.testing.assert_array_equal(edit(learned()), edit(PLAIN))
    eps, back = learned().eps_back(X, 5)
    np.testing.assert_array_equal(eps, np.tanh(X))
    np.testing.assert_allclose(back(np.ones_like(X)), 1 - np.tanh(X) ** 2, rtol=1e-15)  # nothing through the variance
    made = [minidiff.diffusion.ode_log_likelihood(learned(share), X, steps=20).log_p for share in (0.0, 0.9)]
    np.testing.assert_array_equal(*made)
    x0 = run("ddpm", {"variance": "learned"}, learned(0.9)) - run("ddpm", {"variance": "learned"}, learned(-0.9))
    assert abs(x0).max() > 1e-6  # and ddpm still reads it


def test_distillation_keeps_the_variance_channels():
    """The student's gradient is that of a plain student on the prediction, and 0 on the variance."""
    from minidiff.training import TwoStepLoss

    teacher = Denoiser(TwoOutputs(), SCHEDULE, "x0", learned_variance=True, time_scale=2.0)
    seen, times = [], []

    def student(x, t, cond=None):
        times.append(t)
        return np.concatenate([0.5 * x, 0 * x + 0.7], axis=-1), seen.append

    loss = TwoStepLoss(teacher, [40, 20], "simple", cond_dropout=0)
    value, back = loss(student, X, np.random.default_rng(0))
    back()
    plain = TwoStepLoss(Denoiser(lambda x, t, c: np.tanh(x), SCHEDULE, "x0"), [40, 20], "simple", cond_dropout=0)
    expected, back = plain(lambda x, t, c: (0.5 * x, seen.append), X, np.random.default_rng(0))
    back()
    np.testing.assert_array_equal(value, expected)
    np.testing.assert_array_equal(seen[0], np.concatenate([seen[1], 0 * seen[1]], axis=-1))
    np.testing.assert_array_equal(times[0], 80)  # the teacher's time scale is the student's too
    assert loss.denoiser(student).learned_variance and loss.denoiser(student).time_scale == 2.0


@pytest.mark.parametrize("C", (1, 3))
def test_a_learned_variance_that_was_not_declared_is_rejected(C):
    """Also for one channel, where (.., 2) and (.., 1) would broadcast to a wrong sample without an error."""
    x = np.zeros((2, 4, 4, C))
    denoiser = Denoiser(lambda x, t, c: np.concatenate([x, x], axis=-1), SCHEDULE)
    with pytest.raises(
        ValueError, match=rf"model: put out \(2, 4, 4, {2 * C}\), expected \(2, 4, 4, {C}\): .*learned_variance=True"
    ):
        denoiser(x, 3)
    with pytest.raises(ValueError, match=r"model: put out \(2, 4, 4, 1\), expected") if C > 1 else pytest.raises(ValueError):
        Denoiser(lambda x, t, c: x[..., :1] if C > 1 else x[..., 0], SCHEDULE)(x, 3)


@pytest.mark.parametrize("name", ["ddim", "dpmpp_2m", "euler", "heun", "plms", "unipc", "rk4"])
def test_a_pipelines_network_of_twice_the_channels_is_split(name):
    """The folder's DDIM configuration says nothing of it; the network's own channels do."""
    options = dict(NET.config) | {"out_channels": 2}
    net = UNet(**options, rng=0)
    x = np.random.default_rng(0).standard_normal((1, 4, 4, 1), dtype=np.float32)
    made = interop.Pipeline(net, Sampling(Schedule.linear(), "eps", "ddim", {})).sample(x=x, steps=4, sampler=name, rng=0)
    assert made.shape == x.shape and math.isfinite(made.sum())
    if name == "ddim":
        *_, last = samplers.ddim(Denoiser(lambda x, t, c: net.predict(x, t, c)[..., :1], Schedule.linear()), x, steps=4)
        np.testing.assert_allclose(made, last.x, rtol=1e-6)
