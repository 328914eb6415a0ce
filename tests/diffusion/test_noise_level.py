import numpy as np
import pytest

from minidiff.diffusion import EDM, VE, VP, Denoiser, GaussianMixture, Schedule, estimate_t, noise_std, t_of_noise_std

S = Schedule.linear(1000)
RNG = np.random.default_rng(0)
SMALL = GaussianMixture(RNG.standard_normal((3, 4)), stds=[0.2, 0.3, 0.4])


def discs(n=12, size=16):
    """Soft discs on a dark ground, in [-1, 1]."""
    y, x = np.mgrid[0:size, 0:size] * (2 / size) - 1
    places = np.random.default_rng(1).uniform([0.3, -0.5, -0.5], [0.8, 0.5, 0.5], (n, 3))
    return np.stack([np.tanh(6 * (r - np.hypot(x - a, y - b))) for r, a, b in places])[..., None]


PICTURES = GaussianMixture(discs(), stds=0.1)


@pytest.mark.parametrize("std", [0.02, 0.1, 0.5, 2.0, 30.0])
def test_noise_std_of_pure_noise(std):
    x = std * np.random.default_rng(0).standard_normal((40, 16, 16, 3))
    found = noise_std(x)
    assert found.shape == (40,)
    assert found.mean() == pytest.approx(std, rel=0.02) and found.std() / std < 0.12


def test_noise_std_does_not_see_lines_ramps_or_edges():
    y, x = np.mgrid[0:32, 0:32] / 16 - 1
    for plain in (0 * x, x, x + 2 * y, np.sign(x), np.sign(x) * np.sign(y), np.tanh(6 * (0.5 - np.hypot(x, y)))):
        noise = 0.1 * np.random.default_rng(0).standard_normal((50, 32, 32, 1))
        assert noise_std(plain[None, :, :, None] + noise).mean() == pytest.approx(0.1, rel=0.05)
        if plain.std() == 0 or (plain == x).all():
            assert noise_std(plain[None, :, :, None])[0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("shape", [(2, 5, 7, 1), (1, 2, 2, 3)])
def test_noise_std_of_odd_sizes(shape):
    assert (noise_std(np.random.default_rng(0).standard_normal(shape)) > 0).all()


@pytest.mark.parametrize("process", [S, Schedule.cosine(200), VP(), VE(), EDM()], ids=repr)
@pytest.mark.parametrize("scaled", [True, False])
def test_t_of_noise_std_is_the_inverse(process, scaled):
    high = process.T - 1 if hasattr(process, "T") else process.t_max
    t = np.array([0.1, 0.37, 0.8]) * high
    std = process.sigma(t) if scaled else process.sigma(t) / process.alpha(t)
    if scaled and process is not S and process.sigma(t[2]) > 0.9999:
        t, std = t[:2], std[:2]
    np.testing.assert_allclose(t_of_noise_std(process, std, scaled), t, rtol=2e-3)
    assert type(t_of_noise_std(process, float(std[0]), scaled)) is float
    assert t_of_noise_std(process, 1e-9, scaled) <= t[0] and t_of_noise_std(process, 1e6, scaled) == pytest.approx(high)


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize(
    "process, times", [(VP(), (0.1, 0.3, 0.6)), (VE(), (0.3, 0.6)), (S, (50, 300, 600))], ids=["VP", "VE", "S"]
)
def test_the_exact_estimate_is_the_most_likely_t(process, times, scaled):
    """On a mixture log p_t(x) is known for every t: the answer is its highest point, sample by sample."""
    low, high = (0, process.T - 1) if process is S else (process.t_min, process.t_max)
    u = np.linspace(-process.log_snr(low) / 2, -process.log_snr(high) / 2, 1501)
    grid = np.clip(process.t_of_log_snr(-2 * u), low, high)
    for t in times:
        alpha, sigma = process.alpha(t), process.sigma(t)
        x = SMALL.sample(1, 6) + sigma / alpha * np.random.default_rng(2).standard_normal((6, 4))
        x = alpha * x if scaled else x
        levels = [(process.alpha(q), process.sigma(q)) if scaled else (1.0, process.sigma(q) / process.alpha(q)) for q in grid]
        likely = grid[np.argmax([SMALL.log_prob(x, *level) for level in levels], axis=0)]
        found = estimate_t(SMALL.denoiser(process), x, scaled=scaled, divergence="exact", levels=150)
        assert found.shape == (6,) and found.dtype == np.float64
        np.testing.assert_allclose(found, likely, atol=0.003 * high)


@pytest.mark.parametrize("t", [30, 100, 300, 600])
@pytest.mark.parametrize("scaled", [True, False])
def test_one_probe_is_enough_on_pictures(t, scaled):
    x = PICTURES.sample(3, 20) + S.sigma(t) / S.alpha(t) * np.random.default_rng(4).standard_normal((20, 16, 16, 1))
    x = S.alpha(t) * x if scaled else x
    found = estimate_t(PICTURES.denoiser(S), x, scaled=scaled, rng=0)
    assert abs(found.mean() - t) < 4 * found.std() / 20**0.5 + 2
    assert found.std() < (0.3 if scaled else 0.1) * t + 5  # a shrunk picture hides its own scale as well


def test_unit_variance_is_right_above_the_picture_s_own_roughness_only():
    for t in (300, 600, 900):
        x = PICTURES.sample(3, 20) + S.sigma(t) / S.alpha(t) * np.random.default_rng(4).standard_normal((20, 16, 16, 1))
        assert estimate_t(PICTURES.denoiser(S), x, scaled=False, divergence="unit").mean() == pytest.approx(t, rel=0.02)
    x = PICTURES.sample(3, 20) + S.sigma(30) * np.random.default_rng(4).standard_normal((20, 16, 16, 1))
    assert estimate_t(PICTURES.denoiser(S), x, scaled=False, divergence="unit").mean() < 5


def test_the_two_ways_agree_on_smooth_pictures():
    smooth = GaussianMixture(discs(12, 32), stds=0.01)
    x = smooth.sample(0, 20) + 0.3 * np.random.default_rng(4).standard_normal((20, 32, 32, 1))
    alone = t_of_noise_std(S, noise_std(x), scaled=False)
    by_denoiser = estimate_t(smooth.denoiser(S), x, scaled=False, rng=0)
    assert alone.mean() == pytest.approx(by_denoiser.mean(), rel=0.03)


def test_zero_terminal_snr_and_float32():
    zero = S.rescale_zero_terminal_snr()
    x = (PICTURES.sample(3, 5) + 0.5 * np.random.default_rng(4).standard_normal((5, 16, 16, 1))).astype(np.float32)
    found = estimate_t(PICTURES.denoiser(zero), x, scaled=False, rng=0)
    assert found.dtype == np.float64 and np.exp(-zero.log_snr(found) / 2).mean() == pytest.approx(0.5, rel=0.1)


def test_bad_input():
    with pytest.raises(ValueError, match=r"x: got shape \(3, 4\)"):
        noise_std(np.zeros((3, 4)))
    with pytest.raises(ValueError, match=r"x: got shape \(3, 1, 4, 1\)"):
        noise_std(np.zeros((3, 1, 4, 1)))
    with pytest.raises(ValueError, match="divergence: got 'none'"):
        estimate_t(SMALL.denoiser(S), np.zeros((1, 4)), divergence="none")
    with pytest.raises(ValueError, match="levels: got 2"):
        estimate_t(SMALL.denoiser(S), np.zeros((1, 4)), levels=2)
    with pytest.raises(TypeError, match="a Layer"):
        estimate_t(Denoiser(lambda x, t, c: x, S), np.zeros((1, 4)))
