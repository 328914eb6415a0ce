import numpy as np
import pytest

from minidiff.diffusion import VP, Denoiser, GaussianMixture, Schedule, cfg, classifier_gradient, classifier_guidance, clip_x0

S = Schedule.linear(1000)
X = np.random.default_rng(0).standard_normal((6, 2))
MIXTURE = GaussianMixture([[-1.0, 0], [1, 0.5], [0, 2]], stds=[0.4, 0.7, 0.3], weights=[1, 2, 1], labels=[0, 1, 1])


class Counting:
    """A model that answers with its condition's number and counts how often it was asked."""

    def __init__(self):
        self.calls = 0

    def __call__(self, x, t, cond):
        self.calls += 1
        return x * 0 + np.reshape(cond, (-1, 1))

    predict = __call__

    def null_cond(self, cond):
        return -10.0


def score(denoiser, x, t):
    return -denoiser(x, t)[1] / denoiser.schedule.sigma(t)


@pytest.mark.parametrize("weight", [0.0, -1.0, 0.5, 3.0, -0.3])
@pytest.mark.parametrize("process, t", [(S, 300), (S, 300.5), (VP(), 0.4)])
def test_guided_score_is_that_of_the_tilted_density(weight, process, t):
    """(1 + w) grad log p(x | c) - w grad log p(x): the score of p(x | c)^(1 + w) p(x)^(-w), at every noise level."""
    guided = cfg(MIXTURE.denoiser(process), 1, weight)
    level, h = (process.alpha(t), process.sigma(t)), 1e-6
    tilted = lambda x: (1 + weight) * MIXTURE.log_prob(x, *level, cond=1) - weight * MIXTURE.log_prob(x, *level)  # noqa: E731
    slopes = np.stack([(tilted(X + h * e) - tilted(X - h * e)) / (2 * h) for e in np.eye(2)], axis=1)
    np.testing.assert_allclose(score(guided, X, t), slopes, rtol=1e-6, atol=1e-7)
    x0, eps = guided(X, t)
    np.testing.assert_allclose(level[0] * x0 + level[1] * eps, X, atol=1e-12)


def test_the_formula_and_the_number_of_calls():
    model = Counting()
    guided = cfg(Denoiser(model, S), 3.0, 2.0)
    np.testing.assert_array_equal(guided(X, 5)[1], np.full_like(X, 3 * 3.0 - 2 * -10.0))
    assert model.calls == 2
    for weight, eps in ((0.0, 3.0), (-1.0, -10.0)):
        model.calls = 0
        np.testing.assert_array_equal(cfg(Denoiser(model, S), 3.0, weight)(X, 5)[1], np.full_like(X, eps))
        assert model.calls == 1


def test_one_weight_a_sample():
    weights = np.arange(6.0)
    eps = cfg(Denoiser(Counting(), S), 3.0, weights)(X, 5)[1]
    np.testing.assert_array_equal(eps, ((1 + weights) * 3 + weights * 10)[:, None] * np.ones((1, 2)))


def test_interval():
    model = Counting()
    guided = cfg(Denoiser(model, S), 3.0, 2.0, interval=(100, 500))
    values = [guided(X, t)[1][0, 0] for t in (99, 100, 500, 501)]
    assert values == [3, 29, 29, 3] and model.calls == 6


def test_explicit_null_wins():
    assert cfg(Denoiser(Counting(), S), 3.0, 1.0, null=1.0)(X, 5)[1][0, 0] == 2 * 3 - 1
    assert cfg(Denoiser(lambda x, t, c: 0 * x + c, S), 3.0, 1.0, null=1.0)(X, 5)[1][0, 0] == 5


def test_rescale_against_diffusers(diffusers_numbers, picture, sums, outside):
    x, noise = picture
    guided, text = 3 * x - noise**2, x
    # with w = 1 the unconditional output that leads to `guided` is 2 text - guided
    model = lambda a, t, c: text if c == "text" else 2 * text - guided  # noqa: E731
    eps = cfg(Denoiser(model, S), "text", 1.0, null="", rescale=0.7)(x, 5)[1]
    outside(sums(eps), diffusers_numbers["rescale_cfg"], atol=1e-9)


def test_rescale_works_on_what_the_model_predicts():
    outputs = {"a": X, "": X[::-1] * 0.5}
    guided = cfg(Denoiser(lambda x, t, c: outputs[c], S, "v"), "a", 2.0, null="", rescale=1.0)
    x0, eps = guided(X, 500)
    v = S.alpha(500) * eps - S.sigma(500) * x0
    mixed = 3 * outputs["a"] - 2 * outputs[""]
    np.testing.assert_allclose(v, mixed * (X.std(axis=1) / mixed.std(axis=1))[:, None], rtol=1e-10)
    np.testing.assert_allclose(S.alpha(500) * x0 + S.sigma(500) * eps, X, atol=1e-12)


def test_pure_noise_can_be_guided_where_the_model_predicts_v():
    zero = S.rescale_zero_terminal_snr()
    x0, eps = cfg(Denoiser(lambda x, t, c: 0 * x + c, zero, "v"), 3.0, 1.0, null=1.0)(X, 999)
    np.testing.assert_array_equal(x0, np.full_like(X, -5.0))
    np.testing.assert_array_equal(eps, X)


def test_guided_eps_has_a_backward_pass():
    guided, h = cfg(MIXTURE.denoiser(VP()), 1, 1.5), 1e-6
    d, deps = np.random.default_rng(1).standard_normal((2, 6, 2))
    eps, back = guided.eps_back(X, 0.4)
    np.testing.assert_allclose(eps, guided(X, 0.4)[1], rtol=1e-12)
    numerical = (deps * (guided(X + h * d, 0.4)[1] - guided(X - h * d, 0.4)[1])).sum() / (2 * h)
    assert (back(deps) * d).sum() == pytest.approx(numerical, rel=1e-7)
    with pytest.raises(TypeError, match="rescale has no backward"):
        cfg(MIXTURE.denoiser(VP()), 1, 1.5, rescale=0.5).eps_back(X, 0.4)


def test_wraps_and_is_wrapped():
    guided = clip_x0(cfg(MIXTURE.denoiser(S), 1, 2.0))
    assert guided.schedule is S and abs(guided(X, 900)[0]).max() <= 1
    assert cfg(clip_x0(MIXTURE.denoiser(S)), 1, 2.0)(X, 900)[0].shape == X.shape


@pytest.mark.parametrize(
    "make, match",
    [
        (lambda d: cfg(d, None, 1.0), "cond: got None"),
        (lambda d: cfg(d, 1, np.nan), "weight: got nan"),
        (lambda d: cfg(d, 1, 1.0, rescale=1.5), "rescale: got 1.5"),
        (lambda d: cfg(d, 1, 1.0, interval=(5, 3)), r"interval: got \(5, 3\)"),
        (lambda d: classifier_guidance(d, lambda x, t: x, np.inf), "weight: got inf"),
    ],
)
def test_bad_input_before_any_call(make, match):
    model = Counting()
    with pytest.raises(ValueError, match=match):
        make(Denoiser(model, S))
    assert model.calls == 0


def test_guidance_without_a_null_condition_is_an_error_before_any_call():
    calls = []
    with pytest.raises(ValueError, match="no 'no condition'"):
        cfg(Denoiser(lambda x, t, c: calls.append(1), S), 1, 2.0)
    assert not calls
    with pytest.raises(ValueError, match="this guided denoiser already has a condition"):
        cfg(Denoiser(Counting(), S), 1.0, 2.0)(X, 5, 2)


# ---- by a classifier -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [1.0, 2.5, np.arange(6.0)])
def test_classifier_guidance_gives_the_tilted_score(weight):
    """On grad log p(c | x_t), known for a mixture, weight 1 gives the conditional score itself."""
    t = 300
    level = S.alpha(t), S.sigma(t)
    gradient = lambda x, t: MIXTURE.score(x, *level, cond=1) - MIXTURE.score(x, *level)  # noqa: E731
    guided = classifier_guidance(MIXTURE.denoiser(S), gradient, weight)
    w = np.reshape(weight, (-1, 1))
    expected = w * MIXTURE.score(X, *level, cond=1) + (1 - w) * MIXTURE.score(X, *level)
    np.testing.assert_allclose(score(guided, X, t), expected, rtol=1e-10, atol=1e-12)
    x0, eps = guided(X, t)
    np.testing.assert_allclose(level[0] * x0 + level[1] * eps, X, atol=1e-12)


def test_guided_by_an_exponential_reward_the_samples_are_the_tilted_mixture():
    """With h(x_t) = E[exp(b . x0) | x_t] as "classifier", guidance is exact: the guided flow is the tilted mixture's."""
    b, t, h = np.array([0.8, -0.5]), 0.4, 1e-6
    process, tilted = VP(), MIXTURE.tilted(b)
    alpha, sigma = level = process.alpha(t), process.sigma(t)
    gradient = lambda x, t: tilted.score(x, *level) - MIXTURE.score(x, *level)  # noqa: E731

    def log_reward(x):  # each component's posterior of x0 is Gaussian, and the mean of exp(b . x0) under it is known
        s2 = np.array([0.4, 0.7, 0.3]) ** 2
        total = alpha**2 * s2 + sigma**2
        mean = (alpha * s2[:, None] * x[:, None] + sigma**2 * MIXTURE.means) / total[:, None]  # (B, K, D)
        inside = np.exp(mean @ b + 0.5 * (b @ b) * s2 * sigma**2 / total)
        return np.log((MIXTURE.responsibilities(x, *level) * inside).sum(axis=1))

    slopes = np.stack([(log_reward(X + h * e) - log_reward(X - h * e)) / (2 * h) for e in np.eye(2)], axis=1)
    np.testing.assert_allclose(gradient(X, t), slopes, rtol=1e-5, atol=1e-7)
    guided = classifier_guidance(MIXTURE.denoiser(process), gradient, 1.0)
    np.testing.assert_allclose(guided(X, t)[0], tilted.denoiser(process)(X, t)[0], rtol=1e-9, atol=1e-10)


def test_classifier_gradient_is_that_of_log_softmax(tiny_net):
    classifier, labels, h = tiny_net(2, 4), np.array([0, 3, 1, 1, 2, 0]), 1e-6

    def log_p(x):
        logits = classifier.predict(x, 7)
        return logits[np.arange(6), labels] - np.log(np.exp(logits).sum(axis=1))

    slopes = np.stack([(log_p(X + h * e) - log_p(X - h * e)) / (2 * h) for e in np.eye(2)], axis=1)
    np.testing.assert_allclose(classifier_gradient(classifier, labels)(X, 7), slopes, rtol=1e-6, atol=1e-9)


def test_a_gradient_that_is_no_function():
    with pytest.raises(TypeError, match="gradient: got float"):
        classifier_guidance(MIXTURE.denoiser(S), 3.0, 1.0)
