import numpy as np
import pytest

from minidiff.diffusion import EDM, VE, VP, GaussianMixture, Schedule, ScoreMatching, SimpleLoss

X0 = np.random.default_rng(0).standard_normal((6, 3, 3, 2))


@pytest.mark.parametrize("process", [VP(), VE(), EDM(), Schedule.linear(100)], ids=repr)
@pytest.mark.parametrize("weighting", ["sigma2", "likelihood", "none"])
def test_gradient(check_objective, tiny_net, process, weighting):
    if weighting == "likelihood" and isinstance(process, Schedule):
        with pytest.raises(ValueError, match="'likelihood' needs g"):
            ScoreMatching(process, weighting)
        return
    check_objective(ScoreMatching(process, weighting), tiny_net(2, 2), X0, tolerance=1e-6)


def test_by_the_formula(tiny_net):
    net, rng, p = tiny_net(2, 2), np.random.default_rng(5), VE()
    loss, _ = ScoreMatching(p)(net, X0, np.random.default_rng(5))
    t = 1e-5 + (1 - 1e-5) * rng.random(6)
    sigma = 0.01 * 5000 ** t.reshape(6, 1, 1, 1)
    eps = rng.standard_normal(X0.shape)
    assert loss == pytest.approx(((sigma * net.predict(X0 + sigma * eps, t) + eps) ** 2).mean(), rel=1e-10)


def test_weighted_by_sigma2_it_is_the_eps_loss_of_minus_sigma_times_the_score():
    """The same model in two languages, one loss."""
    s, m = Schedule.linear(100), GaussianMixture([[-1.0, 0.0], [1.0, 0.0]], stds=0.3)
    x0 = m.sample(0, 50)
    score = lambda x, t, c: (m.score(x, s.alpha(t), s.sigma(t)), None)  # noqa: E731
    eps = lambda x, t, c: (m.model(s).predict(x, t), None)  # noqa: E731
    a = ScoreMatching(s)(score, x0, np.random.default_rng(1))[0]
    b = SimpleLoss(s)(eps, x0, np.random.default_rng(1))[0]
    assert a == pytest.approx(b, rel=1e-10)


def test_likelihood_weight_is_g_squared(tiny_net):
    p, net = VP(), tiny_net(2, 2)
    fixed = lambda rng, B: (np.full(B, 0.3), None)  # noqa: E731
    plain, weighted = (
        ScoreMatching(p, w, t_sampler=fixed)(net, X0, np.random.default_rng(0))[0] for w in ("none", "likelihood")
    )
    assert weighted == pytest.approx(p.g(0.3) ** 2 * plain, rel=1e-12)


@pytest.mark.parametrize("weighting", ["sigma2", "likelihood"])
def test_the_true_score_is_the_best_of_a_family(weighting):
    """Score matching does not see the true score, yet no scaled or shifted version of it has a lower loss (Vincent 2011)."""
    p, m = VP(), GaussianMixture([[-1.0, 0.3], [1.0, -0.2]], stds=[0.4, 0.7])
    x0 = m.sample(0, 20_000)
    t_sampler = lambda rng, B: (0.1 + 0.8 * rng.random(B, dtype=np.float64), None)  # noqa: E731

    def loss(scale, shift):
        model = lambda x, t, c: (scale * m.score(x, p.alpha(t), p.sigma(t)) + shift, None)  # noqa: E731
        return ScoreMatching(p, weighting, t_sampler=t_sampler)(model, x0, np.random.default_rng(2))[0]

    best = loss(1.0, 0.0)
    assert all(loss(scale, shift) > best for scale, shift in ((1.1, 0), (0.9, 0), (1, 0.15), (1, -0.15)))


def test_unknown_weighting_and_its_denoiser(tiny_net):
    with pytest.raises(ValueError, match="weighting: got 'sigma'"):
        ScoreMatching(VP(), "sigma")
    assert ScoreMatching(VP()).denoiser(tiny_net(2, 2)).predicts == "score"
