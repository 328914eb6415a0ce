"""Inpainting: masks from 0 to 1, and a hole whose contents do not matter."""

import numpy as np
import pytest

from minidiff import samplers
from minidiff.diffusion import GaussianMixture, Schedule

SCHEDULE = Schedule.linear(40, 2e-3, 0.4)
RHO = 0.9
DENOISER = GaussianMixture([[0.0, 0.0]], covs=[[[1.0, RHO], [RHO, 1.0]]]).denoiser(SCHEDULE)
PICTURE = np.array([[1.5, 0.0]] * 200)
MASK = np.array([1.0, 0.0])
EDITS = {
    "inpaint": lambda picture, mask, **o: samplers.inpaint(DENOISER, picture, mask, steps=40, rng=0, **o),
    "repaint": lambda picture, mask, **o: samplers.repaint(DENOISER, picture, mask, 40, 5, 3, rng=0, **o),
}


def last(run):
    *_, step = run
    return step.x


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("inside", (np.nan, np.inf, -1e30, 255.0))
def test_what_the_hole_holds_does_not_matter(edit, inside):
    picture = PICTURE.copy()
    picture[:, 1] = inside
    np.testing.assert_array_equal(last(EDITS[edit](picture, MASK)), last(EDITS[edit](PICTURE, MASK)))


@pytest.mark.parametrize("edit", EDITS)
def test_masks_of_any_kind_that_mean_the_same(edit):
    expected = last(EDITS[edit](PICTURE, MASK))
    for same in (MASK.astype(bool), MASK.astype(np.uint8), MASK.astype(np.float32), [1, 0], np.tile(MASK, (200, 1))):
        np.testing.assert_array_equal(last(EDITS[edit](PICTURE, same)), expected)


def test_a_mask_in_between_blends():
    """One step, which ends clean: x = m known + (1 - m) x0, where x0 is the best denoiser's."""
    x = np.random.default_rng(0).standard_normal(PICTURE.shape)
    made = last(samplers.inpaint(DENOISER, PICTURE, np.array([1.0, 0.25]), steps=[39], x=x, rng=0))
    x0, _ = DENOISER(x, 39)
    np.testing.assert_allclose(made[:, 1], 0.25 * PICTURE[:, 1] + 0.75 * x0[:, 1], rtol=1e-12)
    np.testing.assert_array_equal(made[:, 0], PICTURE[:, 0])


BAD = [
    (MASK * 255, "mask: got values from 0 to 255, expected 0 (hole) to 1 (known); divide a mask of 0 and 255 by 255"),
    ((MASK * 255).astype(np.uint8), "mask: got values from 0 to 255"), (MASK * 2 - 1, "mask: got values from -1 to 1"),
    (np.array([1.0, np.nan]), "mask: got values from nan to nan"), ([1, 0, 1], "mask: got shape (3,)"),
]  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("mask, message", BAD, ids=range(len(BAD)))
def test_other_masks_are_refused_at_the_call(edit, mask, message):
    with pytest.raises(ValueError) as caught:
        EDITS[edit](PICTURE, mask)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("edit", EDITS)
def test_nan_in_the_known_pixels(edit):
    picture = PICTURE.copy()
    picture[:3, 0] = np.nan
    with pytest.raises(ValueError, match="image: got 3 values that are NaN or infinite where the mask is not 0"):
        EDITS[edit](picture, MASK)


@pytest.mark.parametrize("edit", EDITS)
def test_other_arguments_are_checked_too(edit):
    with pytest.raises(ValueError, match="variance: got 'fixed'"):
        EDITS[edit](PICTURE, MASK, variance="fixed")
    with pytest.raises(ValueError, match=r"x: got shape \(2, 2\), expected the image's \(200, 2\)"):
        EDITS[edit](PICTURE, MASK, x=np.zeros((2, 2)))
