import numpy as np
import pytest

from minidiff.diffusion import EDM, VP, Schedule, SimpleLoss
from minidiff.diffusion.timesteps import ByLoss, LogNormal, Stratified, Uniform, make_t_sampler
from minidiff.rng import Rng

S = Schedule.linear(10)
RNGS = [lambda: np.random.default_rng(0), lambda: Rng(0)]


@pytest.mark.parametrize("rng", RNGS)
@pytest.mark.parametrize("kind", [Uniform, Stratified])
def test_whole_t_are_uniform_over_all_steps(kind, rng):
    t, w = kind(S)(rng(), 100_000)
    assert w is None and t.dtype == np.int64 and t.min() == 0 and t.max() == 9
    np.testing.assert_allclose(np.bincount(t) / 100_000, 0.1, atol=4 * (0.09 / 100_000) ** 0.5)


@pytest.mark.parametrize("kind", [Uniform, Stratified])
def test_real_t_are_uniform_over_the_range(kind):
    for schedule, low, high in ((S, 0, 9), (VP(), 1e-5, 1)):
        t, _ = kind(schedule, real=True)(np.random.default_rng(0), 100_000)
        assert t.dtype == np.float64 and low <= t.min() and t.max() <= high
        quarters = np.histogram(t, bins=4, range=(low, high))[0] / 100_000
        np.testing.assert_allclose(quarters, 0.25, atol=4 * (0.19 / 100_000) ** 0.5)


def test_stratified_has_one_in_each_stratum():
    t, _ = Stratified(S)(np.random.default_rng(0), 10)
    np.testing.assert_array_equal(t, np.arange(10))
    t, _ = Stratified(VP())(np.random.default_rng(0), 64)
    np.testing.assert_array_equal(np.floor((t - 1e-5) / (1 - 1e-5) * 64), np.arange(64))
    assert len(set(np.round((t * 64) % 1, 6))) == 64  # and a draw of its own in each


def test_a_process_always_has_real_t():
    assert Uniform(EDM())(np.random.default_rng(0), 5)[0].dtype == np.float64


def test_log_normal():
    t, w = LogNormal()(np.random.default_rng(0), 100_000)
    assert w is None
    assert np.log(t).mean() == pytest.approx(-1.2, abs=4 * 1.2 / 316) and np.log(t).std() == pytest.approx(1.2, abs=0.011)


def test_by_loss_is_uniform_until_its_histories_are_full():
    s = ByLoss(S, history=2)
    s.update(np.repeat(np.arange(9), 2), np.arange(18.0))
    np.testing.assert_array_equal(s.probabilities(), np.full(10, 0.1))
    s.update(np.array([9, 9]), np.array([3.0, 4.0]))
    history = np.append(np.arange(18.0), [3, 4]).reshape(10, 2)
    p = np.sqrt((history**2).mean(axis=1))
    np.testing.assert_allclose(s.probabilities(), 0.999 * p / p.sum() + 0.0001, rtol=1e-13)


def test_by_loss_forgets_the_oldest():
    s = ByLoss(Schedule.linear(1), history=3)
    s.update(np.zeros(5, int), np.array([1.0, 2, 3, 4, 5]))
    np.testing.assert_array_equal(s.losses, [[3, 4, 5]])


@pytest.mark.parametrize("rng", RNGS)
def test_by_loss_draws_in_proportion_and_its_weights_keep_the_mean(rng):
    s = ByLoss(S, history=1)
    values = np.arange(1.0, 11)
    s.update(np.arange(10), values)
    t, w = s(rng(), 200_000)
    share = np.bincount(t, minlength=10) / 200_000
    np.testing.assert_allclose(share, s.probabilities(), atol=4 * (0.25 / 200_000) ** 0.5)
    assert (w * values[t]).mean() == pytest.approx(values.mean(), rel=0.003)
    np.testing.assert_allclose(w, 1 / (10 * s.probabilities()[t]), rtol=1e-14)


def test_state_is_saved_and_taken_over(tiny_net):
    x0 = np.random.default_rng(0).standard_normal((40, 2))
    a, b = (SimpleLoss(S, t_sampler="loss") for _ in range(2))
    for step in range(60):
        a(tiny_net(2, 2), x0, Rng(0, step=step))
    assert not np.allclose(a.t_sampler.probabilities(), 0.1)
    b.load_state({name: array.copy() for name, array in a.state().items()})
    losses = [float(o(tiny_net(2, 2), x0, Rng(0, step=60))[0]) for o in (a, b)]
    assert losses[0] == losses[1]
    np.testing.assert_array_equal(a.t_sampler.probabilities(), b.t_sampler.probabilities())
    with pytest.raises(ValueError, match=r"losses: got shape \(10, 10\), expected \(20, 10\)"):
        ByLoss(Schedule.linear(20)).load_state(a.state())
    assert SimpleLoss(S).state() == {}


def test_the_loss_passes_each_sample_s_loss_to_the_sampler(tiny_net):
    objective, x0 = SimpleLoss(S, t_sampler="loss"), np.random.default_rng(0).standard_normal((5, 2))
    net = tiny_net(2, 2)
    loss, _ = objective(net, x0, np.random.default_rng(1))
    told = objective.t_sampler.losses.sum()
    assert told == pytest.approx(5 * float(loss), rel=1e-12) and objective.t_sampler.counts.sum() == 5


def test_weights_scale_the_loss_and_its_gradient(check_objective, tiny_net):
    x0, weights = np.random.default_rng(0).standard_normal((4, 2)), np.array([0.0, 1.0, 2.0, 5.0])
    told = []

    class Fixed(Uniform):
        def __call__(self, rng, B):
            return np.arange(B), weights

        def update(self, t, losses):
            told.append(losses)

    loss = check_objective(SimpleLoss(S, t_sampler=Fixed(S)), tiny_net(2, 2), x0)
    assert loss == pytest.approx((weights * told[0]).mean(), rel=1e-13)


@pytest.mark.parametrize(
    "make, match",
    [
        (lambda: make_t_sampler("stratifed", S), "did you mean stratified"),
        (lambda: make_t_sampler("loss", VP()), "needs a Schedule"),
        (lambda: make_t_sampler("loss", S, real=True), "cannot draw real-valued t"),
    ],
)
def test_bad_input(make, match):
    with pytest.raises(ValueError, match=match):
        make()
