"""The plain U-Net as its users hold it: sizes, times, classes, names, what it rejects. And what MLP rejects."""

import numpy as np
import pytest

from minidiff.models import MLP, UNet
from minidiff.rng import Rng

SMALL = dict(in_channels=1, out_channels=1, block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4)


@pytest.fixture(scope="module")
def net():
    return UNet(**SMALL, num_class_embeds=4, null_class=3, rng=0)


def test_time_may_be_a_number_or_one_for_each(net):
    x, labels = Rng(0).standard_normal((2, 8, 8, 1)), np.array([0, 1])
    one = net.predict(x, 7, labels)
    np.testing.assert_array_equal(one, net.predict(x, np.array([7, 7]), labels))
    np.testing.assert_allclose(one, net.predict(x, 7.0, labels), atol=1e-6)
    np.testing.assert_allclose(one[:1], net.predict(x[:1], np.array([7]), labels[:1]), atol=1e-6)
    assert np.abs(one - net.predict(x, 400, labels)).max() > 1e-4  # the time matters
    assert np.abs(one - net.predict(x, 7, labels[::-1].copy())).max() > 1e-4  # and so does the class


@pytest.mark.parametrize("size", [(28, 28), (7, 5), (9, 16)])
def test_any_size_goes_in_and_comes_out(size):
    """Four levels halve three times; 28 = 4 * 7 is padded to 32."""
    net = UNet(**{**SMALL, "block_out_channels": (4, 4, 4, 4), "norm_num_groups": 2}, attention_head_dim=4, rng=0)
    x = Rng(0).standard_normal((2, *size, 1))
    y, back = net(x, 3)
    assert y.shape == x.shape and back(y).shape == x.shape


def test_padding_is_the_same_as_padding_by_hand():
    net = UNet(**SMALL, rng=0)
    x = Rng(0).standard_normal((1, 7, 8, 1))
    padded = np.pad(x, ((0, 0), (0, 1), (0, 0), (0, 0)))
    np.testing.assert_allclose(net.predict(x, 3), net.predict(padded, 3)[:, :7], atol=1e-6)


def test_parameter_names_are_those_of_diffusers(net):
    names = set(net.parameters())
    for name in ("conv_in.weight", "time_embedding.linear_1.weight", "class_embedding.weight", "conv_norm_out.bias",
                 "down_blocks.0.resnets.0.conv1.weight", "down_blocks.0.resnets.0.time_emb_proj.bias",
                 "down_blocks.0.downsamplers.0.conv.weight", "down_blocks.1.attentions.0.to_q.weight",
                 "mid_block.attentions.0.to_out.0.bias", "mid_block.resnets.1.norm2.weight",
                 "up_blocks.0.upsamplers.0.conv.bias", "up_blocks.1.resnets.1.conv_shortcut.weight"):  # fmt: skip
        assert name in names, name


def test_null_condition(net):
    np.testing.assert_array_equal(net.null_cond(np.array([0, 2])), [3, 3])
    assert UNet(**SMALL, rng=0).null_cond(None) is None


def test_the_same_seed_builds_the_same_net():
    nets = [UNet(**SMALL, rng=seed).state() for seed in (0, 0, 1)]
    assert all(np.array_equal(nets[0][name], nets[1][name]) for name in nets[0])
    assert not np.array_equal(nets[0]["conv_in.weight"], nets[2]["conv_in.weight"])


X = np.zeros((2, 8, 8, 1), np.float32)
MISTAKES = [
    (lambda net: net(X[..., 0], 3), r"UNet: x has shape \(2, 8, 8\), expected"),
    (lambda net: net(np.zeros((2, 8, 8, 3), np.float32), 3), r"expected \(B, H, W, 1\)"),
    (lambda net: net(X, np.array([1, 2, 3]), np.array([0, 1])), r"t has shape \(3,\)"),
    (lambda net: net(X, 3), "conditional: pass cond"),
    (lambda net: net(X, 3, np.array([0, 4])), r"index holds 0 to 4, expected \[0, 4\)"),
    (lambda net: net(X, 3, np.array([0])), "one class for each image"),
    (lambda net: UNet(**SMALL, rng=0)(X, 3, np.array([0, 1])), "unconditional"),
    (lambda net: UNet(**{**SMALL, "norm_num_groups": 3}), "8 is not divisible by norm_num_groups=3"),
    (lambda net: UNet(**SMALL, attention_head_dim=3), "not divisible by attention_head_dim=3"),
    (lambda net: UNet(**SMALL, down_block_types=("DownBlock2D",)), "down_block_types"),
    (lambda net: UNet(**SMALL, down_block_types=("DownBlock2D", "DwnBlock2D")), "down_block_types"),
    (lambda net: UNet(**SMALL, num_class_embeds=4, null_class=4), "null_class: got 4"),
    (lambda net: MLP(2, rng=0)(np.zeros((2, 3), np.float32), 1), r"MLP: x has shape \(2, 3\)"),
]


@pytest.mark.parametrize("call, words", MISTAKES, ids=range(len(MISTAKES)))
def test_mistake(net, call, words):
    with pytest.raises(ValueError, match=words):
        call(net)
