import numpy as np
import pytest

from minidiff.diffusion import GaussianMixture, Schedule
from minidiff.samplers import ddim, ddim_invert

COSINE = Schedule.cosine(1000)  # its last step is nearly pure noise: alpha falls thirtyfold there
DATA = GaussianMixture([[-0.8, 0.3], [0.6, -0.5]], stds=0.2)
X = DATA.sample(0, 20)


def there_and_back(steps, refine, schedule=COSINE, **options):
    denoiser = DATA.denoiser(schedule)
    *_, up = ddim_invert(denoiser, X, steps=steps, refine=refine, **options)
    *_, down = ddim(denoiser, up.x, steps=steps, **options)
    return abs(down.x - X).max()


def test_with_one_refinement_a_thousand_steps_return_to_four_digits():
    assert there_and_back(1000, 1) < 1e-4 < there_and_back(1000, 0)


@pytest.mark.parametrize("steps", [10, 50, 1000])
def test_refined_to_the_end_it_is_exact_also_where_nearly_pure_noise_begins(steps):
    assert there_and_back(steps, 40 if steps < 1000 else 8) < 1e-8


def test_exactly_pure_noise_at_the_end():
    zero = Schedule.linear(100, scale_to_T=True).rescale_zero_terminal_snr()

    class PredictsX0:
        schedule = zero

        def __call__(self, x, t, cond=None):
            alpha, sigma = zero.alpha(t), zero.sigma(t)
            x0 = DATA.x0_mean(x, alpha, sigma)
            return x0, (x - alpha * x0) / sigma

    *_, up = ddim_invert(PredictsX0(), X, steps=100, refine=5)
    assert np.isfinite(up.x).all()
    *_, only = ddim_invert(PredictsX0(), X, steps=[99], refine=5)  # one step from clean to pure noise
    assert np.isfinite(only.x).all()
