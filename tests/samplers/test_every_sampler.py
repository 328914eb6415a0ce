"""What every sampler must do for its caller: checks first, starts anywhere, keeps dtypes, repeats itself, can be stopped."""

import inspect
import itertools

import numpy as np
import pytest

import minidiff
from minidiff import samplers
from minidiff.diffusion import Denoiser, Schedule
from minidiff.diffusion.continuous import EDM, VE, VP, SubVP
from minidiff.diffusion.mixture import GaussianMixture
from minidiff.samplers import SAMPLERS

NAMES = list(SAMPLERS)
ONE_STEP = ["ddim", "ddpm", "euler", "heun", "rk4", "dpm_solver_1", "ddpm_subset", "reverse_diffusion"]  # no memory


@pytest.fixture
def denoiser():
    return GaussianMixture([[0.5, -0.5], [-0.5, 0.5]], stds=0.4).denoiser(Schedule.linear(50, 2e-3, 0.4))


def untouchable(x, t, cond):
    raise AssertionError("the network was asked before the arguments were checked")


@pytest.fixture
def trap():
    return Denoiser(untouchable, Schedule.linear(50, 2e-3, 0.4))


X = np.random.default_rng(0).standard_normal((6, 2), dtype=np.float32)


def options(name, steps=10):
    return {} if name == "probability_flow" else {"steps": steps}


@pytest.mark.parametrize("name", NAMES)
def test_makes_samples_of_the_data(name, denoiser):
    """Ten to fifty steps bring points near the two blobs; float32 stays float32, and seeds repeat."""
    steps = 50 if SAMPLERS[name].order is None else 25
    made = minidiff.sample(name, denoiser, (200, 2), rng=3, **options(name, steps))
    assert made.dtype == np.float32 and made.shape == (200, 2) and np.isfinite(made).all()
    if name != "ddpm_subset":
        assert 0.5 < made.std() / np.sqrt(0.25 + 0.16) < 1.2
        assert np.corrcoef(made.T)[0, 1] < -0.3
    again = minidiff.sample(name, denoiser, (200, 2), rng=3, **options(name, steps))
    np.testing.assert_array_equal(made, again)
    double = minidiff.sample(name, denoiser, (5, 2), rng=3, dtype=np.float64, **options(name, steps))
    assert double.dtype == np.float64


@pytest.mark.parametrize("process", [VP(), SubVP(), VE(), EDM()], ids=repr)
@pytest.mark.parametrize("name", NAMES)
def test_runs_on_real_valued_time(name, process):
    if name in ("ddpm", "ddpm_subset"):
        return  # these are about whole steps; see the next test
    denoiser = GaussianMixture([[0.5, -0.5], [-0.5, 0.5]], stds=0.4).denoiser(process)
    steps = 200 if SAMPLERS[name].order is None else 40
    spacing = {} if name == "probability_flow" else {"spacing": "karras"}
    made = minidiff.sample(name, denoiser, (300, 2), rng=0, **options(name, steps), **spacing)
    assert np.isfinite(made).all()
    assert 0.8 < made.std() / np.sqrt(0.25 + 0.16) < 1.2


def test_ddpm_in_continuous_time_wants_a_number_of_steps():
    denoiser = GaussianMixture([[0.0]], stds=1.0).denoiser(VP())
    with pytest.raises(ValueError, match="steps"):
        samplers.ddpm(denoiser, X[:, :1])
    with pytest.raises(ValueError, match="ddpm_respaced"):
        samplers.ddpm_subset(denoiser, X[:, :1], steps=10)
    assert len(list(samplers.ddpm(denoiser, X[:, :1], steps=10, rng=0))) == 10


BAD = [
    (dict(steps=0), "steps"), (dict(steps=51), "T = 50"), (dict(steps=-3), "steps"), (dict(steps=2.5), "steps"),
    (dict(steps=[10, 20]), "descending"), (dict(steps=[60, 20]), "t: got 60"), (dict(steps=10, start=10), "start"),
    (dict(steps=10, start=-1), "start"), (dict(steps=10, start=1.5), "start"), (dict(steps=10, clip=-1.0), "clip"),
    (dict(steps=10, clip="dynamo"), "clip"), (dict(steps=10, final="zeros"), "zero"),
    (dict(steps=10, spacing="kerras"), "karras"), (dict(sigmas=[1.0]), "sigmas"),
    (dict(sigmas=[1.0, 2.0]), "sigmas"), (dict(sigmas=[1e6, 1.0]), "go from"),
    (dict(steps=10, stpes=3), "stpes"),
]  # fmt: skip


@pytest.mark.parametrize("name", [name for name in NAMES if name != "probability_flow"])
def test_bad_input_is_refused_at_the_call(name, trap):
    for bad, message in BAD:
        with pytest.raises((ValueError, TypeError), match=message):
            SAMPLERS[name].function(trap, X, **bad)


@pytest.mark.parametrize("call, message", [
    (lambda d: samplers.ddim(d, X, 10, eta=1.1), "eta"), (lambda d: samplers.ddim(d, X, 10, eta=-0.1), "eta"),
    (lambda d: samplers.euler_ancestral(d, X, 10, eta=2), "eta"), (lambda d: samplers.dpmpp_sde(d, X, 10, eta=-1), "eta"),
    (lambda d: samplers.dpmpp_sde(d, X, 10, r=1.0), "r: got"), (lambda d: samplers.heun(d, X, 10, s_churn=-1), "s_churn"),
    (lambda d: samplers.lms(d, X, 10, order=5), "order"), (lambda d: samplers.dpm_solver(d, X, 10, order=4), "order"),
    (lambda d: samplers.dpmpp_2m(d, X, 10, solver="huen"), "heun"), (lambda d: samplers.unipc(d, X, 10, solver="bh3"), "bh2"),
    (lambda d: samplers.ddpm(d, X, variance="fixed_smal"), "fixed_small"),
    (lambda d: samplers.ddpm(d, X, variance="learned"), "learned_variance"),
    (lambda d: samplers.plms(d, X, 10, warm_up="rk"), "runge-kutta"),
    (lambda d: samplers.ddim_invert(d, X, refine=-1), "refine"),
    (lambda d: samplers.predictor_corrector(d, X, 10, snr=0), "snr"),
    (lambda d: samplers.predictor_corrector(d, X, 10, corrector_steps=-1), "corrector_steps"),
    (lambda d: samplers.probability_flow(d, X, rtol=-1.0), "rtol"),
    (lambda d: samplers.probability_flow(d, X, steps=0), "steps"),
    (lambda d: samplers.probability_flow(d, X, clip=0), "clip"),
    (lambda d: samplers.probability_flow(d, X, sigmas=[1]), "sigmas"),
    (lambda d: samplers.ddim(lambda x, t, c: x, X), "schedule"), (lambda d: samplers.ddim(d, [1.0, 2.0]), "x: got"),
    (lambda d: samplers.ddim(d, np.arange(4)), "x: got int"), (lambda d: minidiff.sample("dimm", d, (2, 2)), "ddim"),
    (lambda d: minidiff.sample("ddim", d, (2, 2), start=3), "start"),
    (lambda d: minidiff.sample("ddim", d, (2, 2), x=X), "x: got"),
    (lambda d: minidiff.sample("zzz", d, (2, 2)), "expected one of"),
])  # fmt: skip
def test_bad_options(call, message, trap):
    with pytest.raises((ValueError, TypeError), match=message):
        call(trap)


def test_pure_noise_has_no_sigma_space():
    schedule = Schedule.linear().rescale_zero_terminal_snr()
    for sampler in (samplers.euler, samplers.heun, samplers.lms):
        with pytest.raises(ValueError, match="zero-terminal-SNR"):
            sampler(Denoiser(untouchable, schedule, "v"), X, 10, spacing="trailing")
    v = Denoiser(lambda x, t, c: 0.1 * x, schedule, "v")
    for sampler in (samplers.ddim, samplers.ddpm_respaced, samplers.dpmpp_2m):
        *_, step = sampler(v, X, 10, spacing="trailing", rng=0)
        assert np.isfinite(step.x).all()


@pytest.mark.parametrize("name", ONE_STEP)
def test_a_run_from_the_middle_is_the_rest_of_a_whole_run(name, denoiser):
    function, seed = SAMPLERS[name].function, np.random.default_rng
    steps = 50 if name == "ddpm" else 10
    rng = seed(0)
    whole = list(function(denoiser, X, steps=steps, rng=rng))
    rng = seed(0)
    for _ in range(4 if not SAMPLERS[name].deterministic else 0):
        rng.standard_normal(X.shape, dtype=X.dtype)
    rest = list(function(denoiser, whole[3].x, steps=steps, start=4, rng=rng))
    assert [step.i for step in rest] == list(range(4, steps)) and len(rest) == steps - 4
    assert [step.t for step in rest] == [step.t for step in whole[4:]]
    np.testing.assert_allclose(rest[-1].x, whole[-1].x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "probability_flow"])
def test_sdedit(name, denoiser):
    """From a clean picture noised half way: it stays near it when little noise is added, and less so with much."""
    picture = np.tile(np.array([[0.5, -0.5]], dtype=np.float32), (400, 1))
    moved = []
    for start in (49, 43, 10):
        made = minidiff.sample(name, denoiser, picture.shape, steps=50, rng=0, x=picture, start=start, from_clean=True)
        moved.append(np.abs(made - picture).mean())
    assert moved[0] < moved[1] < moved[2], moved


@pytest.mark.parametrize("name", NAMES)
def test_clip_and_condition_reach_the_network(name):
    seen = []

    def model(x, t, cond):
        seen.append(cond)
        return x * 0

    denoiser = Denoiser(model, Schedule.linear(50, 2e-3, 0.4), "eps")  # it sees no noise: its x0 is far out
    for clip in (0.5, "dynamic"):
        steps = list(SAMPLERS[name].function(denoiser, 3 * X, **options(name), clip=clip, cond="seven", rng=0))
        bound = clip if clip == 0.5 else 1.0
        assert max(np.abs(step.x0).max() for step in steps) <= bound + 1e-6
        assert np.abs(steps[-1].x).max() < 3 * bound
    assert set(seen) == {"seven"}


def test_steps_hold_their_index_and_timestep(denoiser):
    steps = list(samplers.ddim(denoiser, X, steps=5))
    assert [step.i for step in steps] == [0, 1, 2, 3, 4] and [step.t for step in steps] == [40, 30, 20, 10, 0]
    assert all(type(step.t) is int for step in steps)
    np.testing.assert_array_equal(steps[-1].x, steps[-1].x0)  # the last lands on the prediction
    assert all(type(step.t) is float for step in list(samplers.heun(denoiser, X, steps=6))[1:-1])


def test_a_run_is_lazy_and_can_be_stopped():
    asked = []
    denoiser = Denoiser(lambda x, t, c: asked.append(t) or x, Schedule.linear(50, 2e-3, 0.4))
    run = samplers.ddim(denoiser, X, steps=10)
    assert asked == []
    assert [step.i for step in itertools.islice(run, 3)] == [0, 1, 2]
    assert asked == [45, 40, 35]


def test_x_is_not_written_to(denoiser):
    for name in NAMES:
        x = X.copy()
        list(SAMPLERS[name].function(denoiser, x, **options(name), rng=0))
        np.testing.assert_array_equal(x, X)


def test_calls_a_step_are_as_listed():
    calls = []
    denoiser = Denoiser(lambda x, t, c: calls.append(t) or 0.1 * x, Schedule.linear(50, 2e-3, 0.4))
    for name, row in SAMPLERS.items():
        if name in ("probability_flow", "plms", "predictor_corrector"):
            continue  # 6 a step and rejected ones; a warm-up; two
        calls.clear()
        steps = 50 if name == "ddpm" else 20
        list(row.function(denoiser, X, steps=steps, rng=0))
        whole = steps * row.calls
        assert whole - (row.calls - 1) <= len(calls) <= whole, name  # the step to clean may need only one


def test_an_adaptive_run_raises_after_its_limit_of_steps(denoiser):
    with pytest.raises(RuntimeError, match="3 steps reached only"):
        list(samplers.probability_flow(denoiser, X, steps=3))
    taken = len(list(samplers.probability_flow(denoiser, X)))
    assert len(list(samplers.probability_flow(denoiser, X, steps=taken))) == taken
    assert len(list(samplers.probability_flow(denoiser, X, rtol=1e-3, atol=1e-3))) < taken


def test_a_numpy_generator_and_a_seed_both_do(denoiser):
    a = minidiff.sample("ddpm", denoiser, (4, 2), rng=np.random.default_rng(1))
    b = minidiff.sample("ddpm", denoiser, (4, 2), rng=np.random.default_rng(1))
    np.testing.assert_array_equal(a, b)
    assert minidiff.sample("ddpm", denoiser, (4, 2)).shape == (4, 2)  # no seed: fresh numbers


def test_signatures_name_the_options_and_what_they_may_be():
    described = str(inspect.signature(samplers.heun))
    assert described.startswith("(denoiser, x, steps=50, s_churn: <a number, at least 0> = 0.0, s_min: ")
    assert described.endswith("= 1.0, rng=None, **stepping)")
    assert str(inspect.signature(SAMPLERS["dpm_solver_2"].function).parameters["order"]) == "order: <1 | 2 | 3> = 2"
    assert "Trajectory" in samplers.heun.__doc__


def test_options_by_position(denoiser):
    """denoiser, x, steps, the sampler's own, rng: as help() prints them."""
    *_, a = samplers.ddim(denoiser, X, 5, 1.0, 3)
    *_, b = samplers.ddim(denoiser, X, steps=5, eta=1.0, rng=3)
    np.testing.assert_array_equal(a.x, b.x)
    with pytest.raises(ValueError, match=r"order: got 2, but dpmpp_3s has order=3"):
        SAMPLERS["dpmpp_3s"].function(denoiser, X, 5, 2)


def test_inversion_starts_from_a_clean_image_anyway(denoiser):
    with pytest.raises(ValueError, match="from_clean: ddim_invert starts from a clean image anyway"):
        samplers.ddim_invert(denoiser, X, steps=5, from_clean=True)


def test_the_list():
    lines = samplers.table()
    assert lines[0].startswith("name") and len(lines) == 1 + len(NAMES)
    for name, row in SAMPLERS.items():
        assert row.name == name and row.paper and row.function.__doc__
        assert any(line.startswith(name) for line in lines)
    assert not SAMPLERS["ddpm"].deterministic and SAMPLERS["ddim"].deterministic


def test_progress_bar(denoiser, capsys, monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    minidiff.sample("ddim", denoiser, (2, 2), steps=7, rng=0, progress=True)
    assert "ddim" in capsys.readouterr().err
    minidiff.sample("ddim", denoiser, (2, 2), steps=7, rng=0)
    assert capsys.readouterr().err == ""


def test_progress_of_runs_whose_length_is_not_a_number(denoiser, capsys):
    pytest.importorskip("tqdm")
    for options in (dict(steps=[40, 20, 0]), dict(sigmas=[2.0, 1.0, 0.0]), dict(steps=5, start=2, x=X)):
        minidiff.sample("ddim", denoiser, X.shape, rng=0, progress=True, **options)
    minidiff.sample("probability_flow", denoiser, X.shape, rng=0, progress=True)


def test_noise_of_the_right_size_for_levels_of_one_s_own():
    """Data of variance 1 on a process that lets variance grow: the start has the variance that such data has there."""
    seen = []
    one = GaussianMixture([[0.0]], stds=1.0).denoiser(EDM())
    model = lambda x, t, c: seen.append(x.std()) or one(x, t)[1]  # noqa: E731
    for top in (80.0, 3.0):
        made = minidiff.sample("heun", Denoiser(model, EDM()), (20_000, 1), rng=0, sigmas=np.geomspace(top, 0.01, 30))
        assert seen[0] == pytest.approx(np.hypot(1.0, top), rel=0.02)
        assert made.std() == pytest.approx(1.0, rel=0.02)
        seen.clear()


def test_import_is_light():
    import subprocess
    import sys

    heavy = "matplotlib", "tqdm", "scipy", "torch", "PIL"
    code = f"import minidiff.samplers, sys; print([name for name in {heavy} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
