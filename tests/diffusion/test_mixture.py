import math

import numpy as np
import pytest

from minidiff.diffusion import VP, GaussianMixture, Schedule
from minidiff.rng import Rng

RNG = np.random.default_rng(0)
A = RNG.standard_normal((3, 2, 2))
MEANS, WEIGHTS = RNG.standard_normal((3, 2)) * 2, [0.2, 0.5, 0.3]
KINDS = {
    "one": dict(stds=0.4),
    "each": dict(stds=[0.3, 0.5, 0.7]),
    "diagonal": dict(stds=RNG.random((3, 2)) + 0.2),
    "full": dict(covs=A @ A.transpose(0, 2, 1) * 0.2 + 0.05 * np.eye(2)),
}
X = RNG.standard_normal((7, 2))


@pytest.fixture(params=KINDS)
def mixture(request):
    return GaussianMixture(MEANS, weights=WEIGHTS, labels=[0, 1, 1], **KINDS[request.param])


def covariances(kind):
    if "covs" in KINDS[kind]:
        return KINDS[kind]["covs"]
    stds = np.broadcast_to(np.reshape(KINDS[kind]["stds"], (-1, 2 if kind == "diagonal" else 1)), (3, 2))
    return [np.diag(s**2) for s in stds]


@pytest.mark.parametrize("kind", KINDS)
def test_density_by_the_textbook(kind):
    m, alpha, sigma = GaussianMixture(MEANS, weights=WEIGHTS, **KINDS[kind]), 0.8, 0.3
    p = np.zeros(7)
    for w, mean, cov in zip(WEIGHTS, MEANS, covariances(kind), strict=True):
        c = alpha**2 * cov + sigma**2 * np.eye(2)
        away = X - alpha * mean
        p += (
            w
            * np.exp(-0.5 * np.einsum("ni,ij,nj->n", away, np.linalg.inv(c), away))
            / (2 * math.pi * math.sqrt(np.linalg.det(c)))
        )
    np.testing.assert_allclose(m.log_prob(X, alpha, sigma), np.log(p), rtol=1e-12)
    np.testing.assert_allclose(m.log_prob(X, np.full(7, alpha), np.full(7, sigma)), np.log(p), rtol=1e-12)


@pytest.mark.parametrize("level", [(1.0, 0.0), (0.8, 0.6), (0.01, 1.0), (1.0, 30.0)])
@pytest.mark.parametrize("cond", [None, 1, -1, np.array([0, 1, 1, -1, 0, 0, 1])])
def test_score_and_hessian_are_derivatives_of_the_density(mixture, level, cond):
    h, v = 1e-5 * max(level[1], 0.3), RNG.standard_normal((7, 2))
    slopes = [
        (mixture.log_prob(X + h * e, *level, cond) - mixture.log_prob(X - h * e, *level, cond)) / (2 * h) for e in np.eye(2)
    ]
    np.testing.assert_allclose(mixture.score(X, *level, cond), np.stack(slopes, axis=1), rtol=1e-6, atol=1e-7)
    bend = (mixture.score(X + h * v, *level, cond) - mixture.score(X - h * v, *level, cond)) / (2 * h)
    np.testing.assert_allclose(mixture.hessian_product(X, v, *level, cond), bend, rtol=1e-6, atol=1e-7)


def test_best_denoiser_is_tweedie_s(mixture):
    for alpha, sigma in ((0.8, 0.6), (0.1, 2.0)):
        tweedie = (X + sigma**2 * mixture.score(X, alpha, sigma)) / alpha
        np.testing.assert_allclose(mixture.x0_mean(X, alpha, sigma), tweedie, rtol=1e-10, atol=1e-10)


def test_best_denoiser_beats_all_others_on_samples(mixture):
    """E[x0 | x_t] leaves an error that no function of x_t explains: the error is uncorrelated with x_t, its square, ..."""
    alpha, sigma, n = 0.7, 0.7, 50_000
    x0 = mixture.sample(1, n)
    xt = alpha * x0 + sigma * np.random.default_rng(2).standard_normal((n, 2))
    error = x0 - mixture.x0_mean(xt, alpha, sigma)
    for f in (np.ones_like, lambda x: x, np.tanh, lambda x: x**2 / 5):
        product = error * f(xt)
        assert (abs(product.mean(axis=0)) < 4.5 * product.std(axis=0) / n**0.5).all()


def test_samples_have_the_mixture_s_moments(mixture):
    n = 50_000
    x, labels = mixture.sample(3, n, with_labels=True)
    mean = mixture.weights @ mixture.means
    np.testing.assert_allclose(x.mean(axis=0), mean, atol=4 * x.std() / n**0.5)
    np.testing.assert_allclose(np.bincount(labels) / n, [0.2, 0.8], atol=4 * 0.4 / n**0.5)
    # log p averages to minus the entropy: the samples and the density must fit each other
    log_p, other = mixture.log_prob(x), mixture.log_prob(mixture.sample(4, n))
    assert log_p.mean() == pytest.approx(other.mean(), abs=4 * log_p.std() * (2 / n) ** 0.5)
    # and so does the score: its mean under p is 0, its square is minus the Hessian's trace (Fisher)
    s = mixture.score(x)
    np.testing.assert_allclose(s.mean(axis=0), 0, atol=4 * s.std() / n**0.5)
    trace = sum(mixture.hessian_product(x, np.broadcast_to(e, x.shape))[:, i] for i, e in enumerate(np.eye(2)))
    product = (s * s).sum(axis=1) + trace
    assert abs(product.mean()) < 4 * product.std() / n**0.5


def test_covariance_of_samples():
    m = GaussianMixture([[0.0, 0.0]], covs=[[[1.0, 0.8], [0.8, 2.0]]])
    np.testing.assert_allclose(np.cov(m.sample(Rng(0), 200_000).T), [[1.0, 0.8], [0.8, 2.0]], atol=0.03)


def test_conditions_are_labels(mixture):
    part = mixture.given(1)
    assert len(part.means) == 2 and part.weights.sum() == pytest.approx(1)
    for f in ("log_prob", "score"):
        np.testing.assert_allclose(getattr(mixture, f)(X, 0.7, 0.5, cond=1), getattr(part, f)(X, 0.7, 0.5), rtol=1e-12)
        np.testing.assert_allclose(getattr(mixture, f)(X, 0.7, 0.5, cond=-1), getattr(mixture, f)(X, 0.7, 0.5), rtol=1e-12)
    bayes = 0.2 * np.exp(mixture.log_prob(X, cond=0)) + 0.8 * np.exp(mixture.log_prob(X, cond=1))
    np.testing.assert_allclose(np.log(bayes), mixture.log_prob(X), rtol=1e-12)
    with pytest.raises(ValueError, match=r"label: got 5, expected one of \[0, 1\]"):
        mixture.given(5)


def test_tilted_density_is_in_proportion(mixture):
    b = np.array([0.7, -1.3])
    gap = mixture.tilted(b).log_prob(X) - mixture.log_prob(X) - X @ b
    assert np.ptp(gap) < 1e-12
    x = mixture.sample(5, 100_000)
    weight = np.exp(x @ b)
    z = weight.mean()
    assert gap.mean() == pytest.approx(-math.log(z), abs=4 * weight.std() / z / 316)


def test_arrays_of_any_shape():
    means = RNG.standard_normal((2, 3, 3, 1))
    m = GaussianMixture(means, stds=[0.2, 0.5])
    flat = GaussianMixture(means.reshape(2, 9), stds=[0.2, 0.5])
    x = m.sample(0, 5)
    assert x.shape == (5, 3, 3, 1) and m.score(x, 0.5, 0.5).shape == x.shape
    np.testing.assert_array_equal(m.x0_mean(x, 0.5, 0.5).reshape(5, 9), flat.x0_mean(x.reshape(5, 9), 0.5, 0.5))


def test_float32_stays_float32(mixture):
    x = X.astype(np.float32)
    for a in (0.8, np.full(7, 0.8)):
        for f in (mixture.log_prob, mixture.score, mixture.x0_mean):
            assert f(x, a, a).dtype == np.float32
    assert mixture.sample(0, 3, dtype=np.float32).dtype == np.float32
    assert all(a.dtype == np.float32 for a in mixture.denoiser(VP())(x, 0.5))


@pytest.mark.parametrize("process, t", [(Schedule.linear(100), 40), (VP(), 0.3), (VP(), np.full(7, 0.3))])
def test_the_model_has_the_interface_of_a_layer(mixture, process, t):
    model, h = mixture.model(process), 1e-6
    d, deps = RNG.standard_normal((2, 7, 2))
    eps, back = model(X, t, 1)
    np.testing.assert_array_equal(eps, model.predict(X, t, 1))
    numerical = (deps * (model.predict(X + h * d, t, 1) - model.predict(X - h * d, t, 1))).sum() / (2 * h)
    assert (back(deps) * d).sum() == pytest.approx(numerical, rel=1e-6)
    assert model.null_cond(3) == -1
    np.testing.assert_array_equal(model.null_cond(np.array([0, 1])), [-1, -1])


@pytest.mark.parametrize(
    "make, match",
    [
        (lambda: GaussianMixture([1.0, 2.0], stds=1), r"means: got shape \(2,\)"),
        (lambda: GaussianMixture(MEANS), "stds, covs: expected exactly one"),
        (lambda: GaussianMixture(MEANS, stds=1, covs=np.eye(2)), "stds, covs: expected exactly one"),
        (lambda: GaussianMixture(MEANS, covs=np.eye(2)), "covs: got shape"),
        (lambda: GaussianMixture(MEANS, covs=[-np.eye(2)] * 3), "a variance is negative"),
        (lambda: GaussianMixture(MEANS, stds=1, weights=[1, 2]), "weights: got"),
        (lambda: GaussianMixture(MEANS, stds=1, weights=[1, 2, 0]), "weights: got"),
        (lambda: GaussianMixture(MEANS, stds=1, labels=[1, 2]), "labels: got shape"),
    ],
)
def test_bad_input(make, match):
    with pytest.raises(ValueError, match=match):
        make()
