"""NaN and infinity: no sampler, loss or image writer hands them on in silence."""

import warnings

import numpy as np
import pytest

import minidiff
from minidiff import samplers, viz
from minidiff.diffusion import Denoiser, GaussianMixture, Schedule, SimpleLoss
from minidiff.diffusion.edm_loss import EDMLoss
from minidiff.diffusion.likelihood import ode_log_likelihood
from minidiff.diffusion.score_matching import ScoreMatching
from minidiff.diffusion.vlb_losses import HybridLoss, VLBLoss
from minidiff.finite import NotFiniteLoss
from minidiff.models import MLP
from minidiff.samplers import SAMPLERS, NotFinite
from minidiff.training import Trainer
from minidiff.training.errors import NotFinite as TrainingNotFinite

SCHEDULE = Schedule.linear(50, 2e-3, 0.4)
X = np.random.default_rng(0).standard_normal((3, 2))


def breaks_below(t_bad, value):
    """eps = x / 2, until t falls below t_bad: then one value of sample 1 is broken."""

    def model(x, t, cond):
        out = 0.5 * x
        if t < t_bad:
            out[1, 0] = value
        return out

    return Denoiser(model, SCHEDULE)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("value", (np.nan, np.inf))
@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "probability_flow"])
def test_every_sampler_names_itself_the_step_and_the_time(name, value):
    steps = 50 if name == "ddpm" else 10
    run, clean = SAMPLERS[name].function(breaks_below(20, value), X, steps=steps, rng=0), []
    with pytest.raises(NotFinite) as caught:
        for step in run:
            clean.append(step)
    error = caught.value
    assert all(np.isfinite(step.x).all() for step in clean) and clean  # what was handed on was good
    assert error.sampler == name and error.step == len(clean)
    assert clean[-1].t >= 20 or SAMPLERS[name].calls != 1 or name in ("plms", "unipc")  # found in the step that asked
    assert f"{name} stopped at step {error.step}, t = {error.t:g}"[:30] in str(error)
    assert "of 6 values of the sample are NaN or infinite" in str(error)


def test_the_count_and_the_step_by_hand():
    """DDIM in 5 steps asks at 40, 30, 20, 10, 0; a model broken below 20 breaks the step from t = 10, the fourth."""
    with pytest.raises(NotFinite, match=r"ddim stopped at step 3, t = 10: 1 of 6 values of the sample are NaN or infinite"):
        minidiff.sample("ddim", breaks_below(20, np.nan), X.shape, steps=5, x=X)
    with pytest.raises(NotFinite, match="dpmpp_3s stopped"):
        minidiff.sample("dpmpp_3s", breaks_below(20, np.nan), X.shape, steps=9, x=X)
    assert issubclass(NotFinite, ArithmeticError)  # which the command line turns into one line


def test_the_adaptive_solver_stops():
    with pytest.raises((NotFinite, RuntimeError)):
        list(samplers.probability_flow(breaks_below(20, np.nan), X))


def test_inversion_and_editing_are_watched_too():
    bad = breaks_below(20, np.nan)
    with pytest.raises(NotFinite, match="ddim_invert stopped"):
        list(samplers.ddim_invert(bad, X, steps=5))
    for run in (samplers.inpaint(bad, X, 0 * X, steps=5, rng=0), samplers.repaint(bad, X, 0 * X, steps=5, jump=2, rng=0)):
        with pytest.raises(NotFinite, match=r"(inpaint|repaint) stopped at step 3, t = 10"):
            list(run)
    with pytest.raises(NotFinite, match="euler stopped"):
        list(samplers.sdedit(bad, X, steps=5, sampler="euler", rng=0))
    with pytest.raises(FloatingPointError, match="log_p: 1 of 3 values are NaN or infinite"):
        x = X.copy()
        x[0, 0] = np.nan
        ode_log_likelihood(GaussianMixture([[0.0, 0.0]], stds=1.0).denoiser(SCHEDULE), x, steps=3)


def test_noise_that_is_nan_is_found_at_the_first_step():
    x = X.copy()
    x[2, 1] = np.nan
    with pytest.raises(NotFinite, match="step 0, t = 40: 1 of 6"):
        list(samplers.ddim(Denoiser(lambda x, t, c: 0.5 * x, SCHEDULE), x, steps=5))


# ---- losses ----------------------------------------------------------------------------------------------------------


class Broken:
    """Outputs 0, and NaN for sample 2."""

    def __init__(self, channels):
        self.channels = channels

    def __call__(self, x, t, cond=None):
        out = np.zeros((*x.shape[:-1], self.channels), x.dtype)
        out[2] = np.nan
        return out, lambda dy: None


@pytest.mark.parametrize("loss, channels", [
    (SimpleLoss(SCHEDULE, "v", "min_snr"), 2), (VLBLoss(SCHEDULE, variance="fixed_small"), 2), (HybridLoss(SCHEDULE), 4),
    (EDMLoss(), 2), (ScoreMatching(SCHEDULE), 2),
], ids=lambda v: type(v).__name__)  # fmt: skip
def test_a_loss_names_the_bad_samples(loss, channels):
    x0 = np.random.default_rng(0).standard_normal((4, 2))
    with pytest.raises(NotFiniteLoss, match=rf"{type(loss).__name__}: the loss is nan, in 1 of 4 samples, first at t = "):
        loss(Broken(channels), x0, np.random.default_rng(0))
    clean, _ = loss(lambda x, t, c: (np.zeros((*x.shape[:-1], channels)), None), x0, np.random.default_rng(0))
    assert np.isfinite(clean)


def test_training_still_names_its_step():
    net = MLP(features=2, width=4, depth=1, rng=0)
    trainer = Trainer(net, SimpleLoss(SCHEDULE), X.astype(np.float32), steps=3, batch_size=2)
    net.output.weight.value[...] = np.nan
    with pytest.raises(TrainingNotFinite, match="training stopped at step 1: the loss is nan"):
        trainer.run(progress=False)


# ---- images ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def broken():
    images = np.zeros((2, 4, 4, 1), np.float32)
    images[0, 0, 0], images[1, 2] = np.nan, np.inf
    return images  # 1 + 4 of 32


WRITERS = {
    "save_png": lambda images, folder: viz.save_png(images, folder / "a.png"),
    "save_gif": lambda images, folder: viz.save_gif([images, images], folder / "a.gif"),
    "show_grid": lambda images, folder: viz.show_grid(images),
    "denoising_strip": lambda images, folder: viz.denoising_strip([images, images]),
    "image_grid": lambda images, folder: viz.image_grid(images),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_image_writers_count_what_is_not_finite(writer, broken, tmp_path):
    with pytest.warns(RuntimeWarning, match="images: 5 of 32 values are NaN or infinite, drawn black or white"):
        WRITERS[writer](broken, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        WRITERS[writer](np.nan_to_num(broken, posinf=0), tmp_path)


def test_points_and_curves():
    with pytest.warns(RuntimeWarning, match="points: 1 of 6 values are NaN or infinite, left out"):
        viz.plot_points(np.array([[0, 1], [np.nan, 2], [3, 4]], dtype=float))
    with pytest.warns(RuntimeWarning, match="losses: 1 of 3 values are NaN or infinite, left out"):
        viz.plot_loss([1.0, np.nan, 3.0])
    smooth = viz._smooth(np.array([1.0] * 100 + [np.nan] + [3.0] * 100))  # running means over 6 values
    np.testing.assert_array_equal(smooth[[50, 100, 110, 200]], [1, 1, 3, 3])  # one NaN is not the end of the curve


# ---- cost ------------------------------------------------------------------------------------------------------------


def test_a_check_costs_less_than_a_hundredth_of_a_small_unets_step():
    """The look at 4 x 16 x 16 x 3 values against one evaluation of the small U-Net that `minidiff train` uses on digits."""
    from time import perf_counter

    from minidiff.models import UNet
    from minidiff.samplers.not_finite import check

    net = UNet(sample_size=16, in_channels=3, out_channels=3, block_out_channels=(32, 64), layers_per_block=1,
               norm_num_groups=8, attention_head_dim=32, rng=0)  # fmt: skip
    x = np.random.default_rng(0).standard_normal((4, 16, 16, 3), dtype=np.float32)
    step = samplers.Step(0, 1, x, x)

    def best(f, n):
        times = []
        for _ in range(n):
            start = perf_counter()
            f()
            times.append(perf_counter() - start)
        return min(times)

    assert best(lambda: check(step, "ddim"), 200) < 0.01 * best(lambda: net.predict(x, 5), 5)
