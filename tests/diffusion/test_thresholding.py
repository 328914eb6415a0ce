import numpy as np
import pytest

from minidiff.diffusion import Denoiser, Schedule, clip_x0, dynamic_threshold

S = Schedule.linear(100)
X = np.random.default_rng(0).standard_normal((3, 4, 4, 2))


def plain(x0):
    return Denoiser(lambda x, t, c: x0, S, "x0")


def test_clip_holds_x0_and_leaves_eps():
    inner = plain(3 * X)
    x0, eps = clip_x0(inner)(X, 50)
    np.testing.assert_array_equal(x0, np.clip(3 * X, -1, 1))
    np.testing.assert_array_equal(eps, inner(X, 50)[1])
    np.testing.assert_array_equal(clip_x0(inner, bound=0.5)(X, 50)[0], np.clip(3 * X, -0.5, 0.5))


@pytest.mark.parametrize("wrap", [clip_x0, dynamic_threshold])
@pytest.mark.parametrize("t", [50, 50.5, np.array([3, 50, 99])])
def test_rederived_eps_agrees_with_the_new_x0(wrap, t):
    x0, eps = wrap(plain(3 * X), rederive=True)(X, t)
    np.testing.assert_allclose(S.add_noise(x0, eps, t), X, atol=1e-12)
    assert not np.allclose(eps, plain(3 * X)(X, t)[1])


def test_dynamic_threshold_against_diffusers(diffusers_numbers, picture, sums, outside):
    x = 4 * picture[0] - 1
    for quantile, top, *theirs in diffusers_numbers["threshold"]:
        x0, eps = dynamic_threshold(plain(x), quantile, top)(x, 50)
        outside(sums(x0), theirs, atol=1e-9)
        np.testing.assert_array_equal(eps, plain(x)(x, 50)[1])


def test_dynamic_threshold_has_no_default_maximum_and_leaves_images_in_range_alone():
    x0, _ = dynamic_threshold(plain(100 * X), 1.0)(X, 50)
    np.testing.assert_allclose(abs(x0).reshape(3, -1).max(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(x0 * abs(100 * X).reshape(3, -1).max(axis=1).reshape(3, 1, 1, 1), 100 * X)
    calm = X / abs(X).max()
    np.testing.assert_array_equal(dynamic_threshold(plain(calm))(X, 50)[0], calm)


def test_everything_else_passes_through():
    inner = Denoiser(lambda x, t, c: np.concatenate([x, 0 * x + 1], -1), S, "v", learned_variance=True)
    outer = dynamic_threshold(clip_x0(inner, 2.0))
    assert outer.schedule is S and outer.predicts == "v" and outer.learned_variance and outer.null_cond(1) is None
    x0, _eps, share = outer.predict(X, 50)
    np.testing.assert_array_equal(share, np.ones_like(X))
    np.testing.assert_array_equal(x0, outer(X, 50)[0])
    with pytest.raises(AttributeError, match="no_such_thing"):
        outer.no_such_thing  # noqa: B018
    with pytest.raises(TypeError, match="has no backward pass"):
        outer.eps_back(X, 50)


def test_a_plain_function_can_be_wrapped_too():
    x0, eps = clip_x0(lambda x, t, cond: (5 * x, cond))(X, 3, "cond")
    assert abs(x0).max() == 1 and eps == "cond"


def test_float32_stays_float32():
    x = X.astype(np.float32)
    for wrap in (clip_x0, dynamic_threshold):
        for rederive in (False, True):
            for t in (50, np.array([3, 50, 99])):
                for array in wrap(plain(3 * x), rederive=rederive)(x, t):
                    assert array.dtype == np.float32


@pytest.mark.parametrize(
    "make, match",
    [
        (lambda: clip_x0(plain(X), 0), "bound: got 0"),
        (lambda: clip_x0(plain(X), np.nan), "bound: got nan"),
        (lambda: dynamic_threshold(plain(X), 0), "quantile: got 0"),
        (lambda: dynamic_threshold(plain(X), 99.5), "quantile: got 99.5"),
        (lambda: dynamic_threshold(plain(X), 0.9, -1), "sample_max_value: got -1"),
    ],
)
def test_bad_input(make, match):
    with pytest.raises(ValueError, match=match):
        make()
