import numpy as np
import pytest

from minidiff.diffusion import VP, Denoiser, GaussianMixture, Schedule
from minidiff.samplers import Trajectory
from minidiff.samplers.editing import inpaint, interpolate, noise_up, repaint, repaint_walk, sdedit, slerp

S = Schedule.linear(50, scale_to_T=True)
PAIR = GaussianMixture([[0.0, 0.0]], covs=[[[1.0, 0.9], [0.9, 1.0]]])
KNOWN = np.tile([[1.0, 7.0]], (1000, 1))  # the 7 is in the hole and must not matter


def last(run):
    *_, step = run
    return step.x


# ---- inpainting ----------------------------------------------------------------------------------------------------------


def test_repaint_draws_from_the_conditional_and_the_mask_alone_does_not():
    """x2 given x1 = 1 is N(0.9, 0.19). Putting the known back once a step reaches a mean of 0.59; going back and forth
    five times 0.84, and nearer the more often."""
    options = dict(steps=50, variance="fixed_large", rng=0)
    once = last(inpaint(PAIR.denoiser(S), KNOWN, [1, 0], **options))
    often, oftener = (last(repaint(PAIR.denoiser(S), KNOWN, [1, 0], jump=1, resamples=r, **options)) for r in (5, 25))
    means = [x[:, 1].mean() for x in (once, often, oftener)]
    assert means == pytest.approx([0.59, 0.84, 0.88], abs=0.05) and means[0] < means[1] < means[2]
    assert oftener[:, 1].var() == pytest.approx(0.19, abs=0.06) and once[:, 1].var() > 0.3
    for x in (once, often, oftener):
        np.testing.assert_array_equal(x[:, 0], 1.0)


def test_what_is_in_the_hole_does_not_matter_and_the_seed_does():
    runs = []
    for inside, seed in ((7.0, 0), (-3.0, 0), (7.0, 1)):
        known = np.tile([[1.0, inside]], (4, 1))
        runs.append(last(repaint(PAIR.denoiser(S), known, [1, 0], steps=20, jump=3, resamples=2, rng=seed)))
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_a_full_mask_gives_the_image_and_an_empty_one_gives_samples():
    np.testing.assert_array_equal(last(inpaint(PAIR.denoiser(S), KNOWN, 1, steps=10, rng=0)), KNOWN)
    x = last(inpaint(PAIR.denoiser(S), KNOWN, np.zeros(2, bool), steps=50, variance="fixed_large", rng=0))
    np.testing.assert_allclose(np.cov(x.T), [[1, 0.9], [0.9, 1]], atol=0.15)


def test_one_pass_is_inpaint():
    a, b = (last(run(PAIR.denoiser(S), KNOWN[:5], [1, 0], steps=10, rng=3)) for run in (inpaint, only_once))
    np.testing.assert_array_equal(a, b)


def only_once(*args, **options):
    return repaint(*args, jump=4, resamples=1, **options)


def test_known_pixels_carry_each_step_s_own_noise():
    """After every move down, x1 is alpha x1 + sigma eps at the level that was reached."""
    for step in repaint(PAIR.denoiser(S), KNOWN, [1, 0], steps=10, jump=2, resamples=2, rng=0):
        t = 45 - 5 * (step.i + 1)  # leading spacing: 45, 40, ..., 0
        alpha, sigma = (S.alpha(t), S.sigma(t)) if t >= 0 else (1.0, 0.0)
        assert step.x[:, 0].mean() == pytest.approx(alpha, abs=4 * sigma / 1000**0.5 + 1e-12)
        assert step.x[:, 0].std() == pytest.approx(sigma, rel=0.1, abs=1e-12)


def test_the_walk_against_diffusers(outside):
    """diffusers 0.42.1, RePaintScheduler.set_timesteps(steps, jump, resamples): how many, their sum, a weighted sum."""
    walks = {
        (250, 10, 10): [4570, 549525, 837948125],
        (50, 5, 3): [230, 5275, 407825],
        (20, 10, 2): [40, 290, 4330],
        (30, 1, 4): [204, 2958, 202246],
    }
    for (steps, jump, resamples), digest in walks.items():
        t = np.array([steps - 1] + [steps - 1 - p for p in repaint_walk(steps, jump, resamples)])
        assert t[-1] == -1
        outside([len(t) - 1, t[:-1].sum(), (t[:-1] * np.arange(1, len(t))).sum()], digest, atol=0)


def test_walk_by_hand():
    assert list(repaint_walk(4, 2, 2)) == [1, 2, 3, 2, 1, 2, 3, 4]
    assert list(repaint_walk(4, 2, 1)) == [1, 2, 3, 4]
    assert list(repaint_walk(4, 2, 2, start=2)) == [3, 4]


def test_noise_up_is_the_forward_process():
    path, n = Trajectory(PAIR.denoiser(S), np.zeros((200_000, 1)), 10, rng=0), 200_000
    clean, noisy = path.points[6], path.points[5]
    x = noise_up(path, clean.alpha * 1.5 + clean.sigma * path.noise(), clean, noisy)
    assert x.mean() == pytest.approx(noisy.alpha * 1.5, abs=4 / n**0.5)
    assert x.std() == pytest.approx(noisy.sigma, rel=0.01)


# ---- SDEdit --------------------------------------------------------------------------------------------------------------


def test_sdedit_keeps_what_the_noise_leaves():
    """Data: two clusters. A sketch near one becomes a sample of it; with full strength either may come out."""
    clusters = GaussianMixture([[-1.0, 0.0], [1.0, 0.0]], stds=0.1)
    sketch = np.tile([[0.8, 0.5]], (400, 1))
    x = last(sdedit(clusters.denoiser(S), sketch, strength=0.1, steps=50, rng=0))
    assert (x[:, 0] > 0.5).mean() > 0.95 and abs(x[:, 1]).mean() < 0.2
    x = last(sdedit(clusters.denoiser(S), sketch, strength=1.0, steps=50, sampler="ddpm", rng=0))
    assert 0.35 < (x[:, 0] > 0).mean() < 0.65


def test_sdedit_walks_its_share_of_the_steps():
    denoiser = PAIR.denoiser(S)
    for strength, walked in ((0.01, 1), (0.5, 5), (0.52, 5), (1.0, 10)):
        steps = list(sdedit(denoiser, KNOWN[:2], strength, steps=10, sampler="dpmpp_2m", rng=0))
        assert len(steps) == walked and steps[-1].i == 9


# ---- interpolation -------------------------------------------------------------------------------------------------------


def test_slerp_stays_on_the_sphere():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 3, 16, 16, 3))
    np.testing.assert_allclose(slerp(a, b, 0.0), a, atol=1e-12)
    np.testing.assert_allclose(slerp(a, b, 1.0), b, atol=1e-12)
    middle = slerp(a, b, 0.5)
    assert middle.std() == pytest.approx(1, rel=0.03) and (0.5 * a + 0.5 * b).std() < 0.75
    u, v = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    np.testing.assert_allclose(slerp(u, v, 1 / 3), [[np.cos(np.pi / 6), np.sin(np.pi / 6)]], atol=1e-14)
    assert slerp(a.astype(np.float32), b.astype(np.float32), 0.3).dtype == np.float32


def test_slerp_of_parallel_ones_is_a_straight_line():
    a = np.array([[1.0, 2.0], [0.0, 0.0]])
    np.testing.assert_allclose(slerp(a, a, 0.3), a, atol=1e-14)
    np.testing.assert_allclose(slerp(a[:1], 3 * a[:1], 0.5), 2 * a[:1], atol=1e-12)


def test_interpolation_goes_from_one_image_to_the_other():
    """On N(m, s^2 I) the way is known: the flow is linear, so what slerp does to the noise it does to (x - m) / s."""
    m, s = np.array([0.5, -0.5, 1.0]), 0.4
    gaussian = GaussianMixture(m[None], stds=s)
    a, b = m + s * np.array([1.0, 0.2, -0.5]), m + s * np.array([-0.3, 1.5, 0.4])
    shares = (0.0, 0.25, 0.5, 1.0)
    way = interpolate(gaussian.denoiser(VP(beta_max=40.0)), a, b, shares, steps=1500, spacing="exponential")
    assert way.shape == (4, 3)
    np.testing.assert_allclose(way[[0, 3]], [a, b], atol=0.01)
    inner = [m + s * slerp((a - m)[None] / s, (b - m)[None] / s, share)[0] for share in shares]
    np.testing.assert_allclose(way, inner, atol=0.01)


def test_interpolated_images_keep_their_shape():
    model = Denoiser(lambda x, t, c: 0.5 * x, S)
    a, b = np.random.default_rng(0).standard_normal((2, 4, 4, 1)).astype(np.float32)
    way = interpolate(model, a, b, [0.2, 0.8], steps=5)
    assert way.shape == (2, 4, 4, 1) and way.dtype == np.float32


@pytest.mark.parametrize(
    "make, match",
    [
        (lambda d: sdedit(d, KNOWN, strength=0), "strength: got 0"),
        (lambda d: sdedit(d, KNOWN, strength=1.5), "strength: got 1.5"),
        (lambda d: sdedit(d, KNOWN, sampler="ddmi"), "did you mean .*ddim"),
        (lambda d: repaint(d, KNOWN, [1, 0], jump=0), "jump: got 0"),
        (lambda d: repaint(d, KNOWN, [1, 0], resamples=2.5), "resamples: got 2.5"),
        (lambda d: inpaint(d, KNOWN, [1, 0, 1]), r"mask: got shape .3,."),
        (lambda d: inpaint(d, KNOWN, [1, 0], steps=51), "steps: got 51"),
        (lambda d: interpolate(d, KNOWN[0], KNOWN, [0.5]), "a, b: got shapes"),
    ],
)
def test_bad_input_is_an_error_at_the_call(make, match):
    calls = []
    with pytest.raises(ValueError, match=match):
        make(Denoiser(lambda x, t, c: calls.append(1), S))
    assert not calls


# ---- the argument's former name ------------------------------------------------------------------------------------------


def test_the_former_name_of_the_image_still_works_and_warns():
    start = {"steps": 5, "rng": 0}
    for edit, options in ((sdedit, start), (inpaint, {"mask": [1, 0], **start}), (repaint, {"mask": [1, 0], **start})):
        with pytest.warns(DeprecationWarning, match="`picture=` was renamed, use `image=`"):
            former = last(edit(PAIR.denoiser(S), picture=KNOWN[:4], **options))
        np.testing.assert_array_equal(former, last(edit(PAIR.denoiser(S), image=KNOWN[:4], **options)))
