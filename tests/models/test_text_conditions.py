"""The models that draw what a text says: how the text comes in, what stands for no text, and what they reject."""

import numpy as np
import pytest

from minidiff import models
from minidiff.gradcheck import check_layer
from minidiff.models.unet.text import CONDITIONINGS, WAYS
from minidiff.nn import Layer
from minidiff.rng import Rng

SMALL = dict(
    block_out_channels=(4, 8),
    layers_per_block=1,
    norm_num_groups=2,
    attention_head_dim=2,
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
)


def text(B=2, L=5, seed=0):
    rng = Rng(seed)
    mask = np.arange(L)[None, :] < np.array([L, L - 2])[:B, None]
    return models.TextCondition(rng.standard_normal((B, L, 6)), mask, rng.standard_normal((B, 6)))


def text_unet(conditioning, **options):
    return models.TextUNet(conditioning, context_features=6, pooled_features=6, rng=0, **{**SMALL, **options})


@pytest.mark.parametrize("conditioning", WAYS)
def test_gradients_of_each_conditioning(conditioning):
    class Told(Layer):
        def __init__(self):
            self.net = text_unet(conditioning, patch=2, maps=3, time_embedding_dim=4)

        def forward(self, x, t, context, vector):
            return self.net(x, t, models.TextCondition(context, None, vector))

    rng = Rng(3)
    x, context, vector = (rng.standard_normal(shape, np.float64) for shape in ((2, 4, 4, 3), (2, 5, 6), (2, 6)))
    errors = check_layer(Told(), x, np.array([3, 700]), context, vector, tolerance=1e-12)
    assert {0, 2, 3} <= set(errors)


@pytest.mark.parametrize("conditioning", WAYS)
def test_only_its_own_part_of_the_text_matters(conditioning):
    net, x, a, b = text_unet(conditioning), Rng(1).standard_normal((2, 8, 8, 3)), text(), text(seed=9)
    y = net.predict(x, 5, a)
    other_tokens, other_vector = (
        net.predict(x, 5, a._replace(context=b.context)),
        net.predict(x, 5, a._replace(labels=b.labels)),
    )
    assert (abs(other_tokens - y).max() > 1e-4) == (conditioning in ("cross", "both"))
    assert (abs(other_vector - y).max() > 1e-4) == (conditioning != "cross")


def test_the_three_models_differ_only_in_how_the_text_enters():
    inside = [
        {name: p.shape for name, p in text_unet(c).unet.parameters().items() if "class_embedding" not in name}
        for c in CONDITIONINGS
    ]
    assert inside[0] == inside[2]
    assert {name for name in inside[1] if inside[1][name] != inside[2][name]} == {"conv_in.weight"}


def test_masked_tokens_are_not_attended_to():
    net, x, cond = text_unet("cross"), Rng(1).standard_normal((2, 8, 8, 3)), text()
    changed = cond.context.copy()
    changed[1, 3:] += 5
    np.testing.assert_array_equal(net.predict(x, 5, cond._replace(context=changed)), net.predict(x, 5, cond))
    prior, x = models.Prior(6, 6, 6, length=5, width=8, layers=1, heads=2, rng=0), Rng(1).standard_normal((2, 6))
    np.testing.assert_array_equal(prior.predict(x, 5, cond._replace(context=changed)), prior.predict(x, 5, cond))
    assert abs(prior.predict(x, 5, cond._replace(context=cond.context + 1)) - prior.predict(x, 5, cond)).max() > 1e-4


def test_null_conditions_are_unmasked_zeros():
    null = text_unet("cross").null_cond(text())
    assert not null.context.any() and not null.labels.any() and null.mask.all() and null.mask.shape == (2, 5)
    net = models.SuperResolutionUNet(context_features=6, rng=0, **SMALL)
    cond = models.LowResolution(np.ones((2, 4, 4, 3), np.float32), np.array([1, 2]), *text()[:2])
    null = net.null_cond(cond)
    assert null.low is cond.low and null.level is cond.level and not null.context.any() and null.mask.all()
    net = models.EmbeddingUNet(6, token_features=6, rng=0, **SMALL)
    assert not net.null_cond(np.ones((2, 6))).any() and net.null_cond(None) is None


def test_patches_leave_the_shape():
    x, cond = Rng(1).standard_normal((2, 8, 12, 3)), text()
    for patch in (1, 2):
        assert text_unet("cross", patch=patch).predict(x, 5, cond).shape == x.shape
        low = models.LowResolution(x[:, ::2, ::2], np.array([1, 2]), cond.context, cond.mask)
        net = models.SuperResolutionUNet(context_features=6, patch=patch, rng=0, **SMALL)
        assert net.predict(x, 5, low).shape == x.shape


def test_super_resolution_reads_the_level():
    net, x, cond = models.SuperResolutionUNet(context_features=6, rng=0, **SMALL), Rng(1).standard_normal((2, 8, 8, 3)), text()
    low = models.LowResolution(x[:, ::2, ::2], np.array([1, 1]), *cond[:2])
    y = net.predict(x, 5, low)
    changed = net.predict(x, 5, low._replace(level=np.array([1, 500])))
    np.testing.assert_array_equal(changed[0], y[0])
    assert abs(changed[1] - y[1]).max() > 1e-4


def test_errors():
    x, cond = np.zeros((2, 8, 8, 3), np.float32), text()
    with pytest.raises(ValueError, match="conditioning: got 'film', expected one of add, concat, cross, both"):
        models.TextUNet("film")
    with pytest.raises(ValueError, match="cond: expected TextCondition"):
        text_unet("add").predict(x, 5, cond.context)
    with pytest.raises(ValueError, match=r"low: got \(2, 3, 3, 3\)"):
        net = models.SuperResolutionUNet(context_features=6, rng=0, **SMALL)
        net.predict(x, 5, models.LowResolution(x[:, :3, :3], np.array([1, 2]), *cond[:2]))
    with pytest.raises(ValueError, match=r"cond: got \(2, 5, 6\), expected vectors"):
        models.EmbeddingUNet(6, token_features=6, rng=0, **SMALL).predict(x, 5, cond.context)
    with pytest.raises(ValueError, match="a text of 5 tokens"):
        models.Prior(6, 6, 6, rng=0).predict(np.zeros((2, 6), np.float32), 5, cond)
