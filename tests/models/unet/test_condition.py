"""UNet2DConditionModel as its users hold it: conditions and their parts, the empty text, sizes, what it rejects."""

import numpy as np
import pytest

from minidiff import models
from minidiff.diffusion import Schedule, SimpleLoss
from minidiff.rng import Rng
from minidiff.training import Trainer


def text_unet(levels=1):
    return models.UNet2DConditionModel(
        block_out_channels=(4,) * levels, norm_num_groups=2, layers_per_block=1, attention_head_dim=2, cross_attention_dim=3,
        down_block_types=("CrossAttnDownBlock2D",) + ("DownBlock2D",) * (levels - 1), rng=0,
        up_block_types=("UpBlock2D",) * (levels - 1) + ("CrossAttnUpBlock2D",))  # fmt: skip


def test_a_text_condition_and_its_parts():
    net = text_unet()
    x, context = Rng(0).standard_normal((2, 4, 4, 4)), Rng(1).standard_normal((2, 5, 3))
    plain = net.predict(x, 3, context)
    np.testing.assert_array_equal(net.predict(x, 3, models.TextCondition(context)), plain)
    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]], bool)
    masked = net.predict(x, 3, models.TextCondition(context, mask))
    np.testing.assert_allclose(masked[0], plain[0], atol=1e-5)
    changed = context.copy()
    changed[1, 2:] = 9  # what is masked cannot matter
    np.testing.assert_allclose(net.predict(x, 3, models.TextCondition(changed, mask)), masked, atol=1e-6)
    for cond, message in ((None, "context has shape None"), (context[:, :, :2], r"expected \(2, tokens, 3\)"),
                          (models.TextCondition(context, labels=np.array([1, 2])), "takes no labels")):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            net.predict(x, 3, cond)


def test_guidance_away_from_the_empty_text():
    net = text_unet()
    context = Rng(1).standard_normal((2, 5, 3))
    assert net.null_cond(context) is None
    net.null_context = Rng(2).standard_normal((1, 5, 3))
    null = np.repeat(net.null_context, 2, axis=0)
    np.testing.assert_array_equal(net.null_cond(context), null)
    mask = np.array([[True] * 5, [True, False, False, False, False]])
    for cond in ((context, mask), models.TextCondition(context, mask)):
        away = net.null_cond(cond)
        np.testing.assert_array_equal(away[0], null)
        assert type(away) is type(cond) and away[1].all() and not mask.all()


def test_training_with_texts_dropped_at_random():
    net = text_unet()
    net.null_context = np.zeros((1, 5, 3), np.float32)
    images, context = Rng(0).standard_normal((8, 4, 4, 4)), Rng(1).standard_normal((8, 5, 3))
    labels = (context, np.ones((8, 5), bool))
    trainer = Trainer(net, SimpleLoss(Schedule.linear(), cond_dropout=0.5), images, labels, steps=3, batch_size=4)
    assert all(np.isfinite(trainer.step()) for _ in range(3))


def test_images_of_any_size_through_the_text_unet():
    net = text_unet(levels=3)
    context = np.ones((1, 2, 3), np.float32)
    for H, W in ((7, 9), (5, 4), (8, 8), (13, 3)):
        y, back = net(np.ones((1, H, W, 4), np.float32), 5, context)
        dx, dcontext = back(y)
        assert y.shape == dx.shape == (1, H, W, 4) and dcontext.shape == context.shape
