"""Param and Layer: names, gradients, what no_grad frees, what a bad state says."""

import copy
import threading
import tracemalloc

import numpy as np
import pytest

from minidiff import nn
from minidiff.models import UNet
from minidiff.rng import Rng


class Tied(nn.Layer):
    """One Linear under two names, others in a list and a dict."""

    def __init__(self):
        self.first = nn.Linear(2, 2, rng=0)
        self.again = self.first
        self.blocks = [nn.SiLU(), nn.Linear(2, 3, bias=False, rng=1)]
        self.heads = {"a": nn.Linear(3, 1, rng=2)}


def test_parameters_are_named_by_their_path_and_shared_ones_appear_once():
    names = list(Tied().parameters())
    assert names == ["first.weight", "first.bias", "blocks.1.weight", "heads.a.weight", "heads.a.bias"]


def test_a_layer_called_twice_keeps_both_calls_apart():
    """Why not self.cache: the second call must not change what the first one's back says."""
    layer = nn.Linear(3, 2, rng=0)
    x1, x2, dy = Rng(0).standard_normal((3, 4, 3))[0], Rng(1).standard_normal((4, 3)), Rng(2).standard_normal((4, 2))
    _, back1 = layer(x1)
    layer(x2)
    back1(dy)
    np.testing.assert_allclose(layer.weight.grad, x1.T @ dy, rtol=1e-6)


def test_gradients_are_added_until_they_are_zeroed():
    layer, x, dy = nn.Linear(3, 2, rng=0), Rng(0).standard_normal((4, 3)), Rng(1).standard_normal((4, 2))
    for times in (1, 2):
        layer(x)[1](dy)
        np.testing.assert_allclose(layer.bias.grad, times * dy.sum(axis=0), rtol=1e-6)
    layer.zero_grad()
    assert not layer.bias.grad.any() and not layer.weight.grad.any()


def test_back_after_no_grad_says_why_it_cannot():
    layer = nn.Linear(3, 2, rng=0)
    with nn.no_grad():
        y, back = layer(np.ones((1, 3), np.float32))
    with pytest.raises(RuntimeError, match="no_grad"):
        back(y)
    np.testing.assert_array_equal(layer.predict(np.ones((1, 3), np.float32)), y)


def test_no_grad_frees_activations_on_the_way():
    net = UNet(in_channels=1, out_channels=1, block_out_channels=(16, 16), norm_num_groups=4, rng=0)
    x = Rng(0).standard_normal((4, 32, 32, 1))

    def peak(call):
        tracemalloc.start()
        kept = call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak, kept

    with_back, _ = peak(lambda: net(x, 5))
    without, _ = peak(lambda: net.predict(x, 5))
    assert without < 0.5 * with_back


def test_modes_belong_to_their_thread():
    seen = {}
    layer = nn.Dropout(0.5)
    with nn.no_grad(), nn.training(Rng(0)):
        thread = threading.Thread(target=lambda: seen.update(rng=nn.training_rng(), back=layer(np.ones((2, 3)))[1](np.ones(3))))
        thread.start()
        thread.join()
        assert nn.training_rng() is not None
    assert seen["rng"] is None and seen["back"].all() and nn.training_rng() is None


def test_dropout_drops_inside_training_only_and_by_its_rng():
    layer, x = nn.Dropout(0.5), np.ones((100, 100), np.float32)
    np.testing.assert_array_equal(layer.predict(x), x)
    masks = []
    for seed in (0, 0, 1):
        with nn.training(Rng(seed)):
            y, back = layer(x)
        assert set(np.unique(y)) == {0.0, 2.0} and abs(y.mean() - 1) < 0.05
        np.testing.assert_array_equal(back(x), y)
        masks.append(y)
    assert np.array_equal(masks[0], masks[1]) and not np.array_equal(masks[0], masks[2])


def test_load_state_lists_everything_that_does_not_fit_and_writes_nothing():
    layer = nn.Sequential(nn.Linear(2, 3, rng=0), nn.Linear(3, 1, rng=1))
    before = copy.deepcopy(layer.state())
    state = {"layers.0.weight": np.zeros((3, 2)), "layers.0.bias": np.zeros(3), "layers.9.bias": np.zeros(1)}
    with pytest.raises(ValueError) as caught:
        layer.load_state(state)
    said = str(caught.value)
    for words in ("missing layers.1.weight (3, 1)", "unexpected layers.9.bias", "layers.0.weight is (3, 2), expected (2, 3)"):
        assert words in said
    assert all(np.array_equal(layer.state()[name], before[name]) for name in before)


def test_a_param_in_an_arena_cannot_be_replaced():
    p = nn.Param(np.ones(3, np.float32))
    values, grads = np.zeros(3, np.float32), np.zeros(3, np.float32)
    p.share(values, grads)
    np.testing.assert_array_equal(values, 1)
    p.value += 1
    p.grad += 2
    np.testing.assert_array_equal(values, 2)
    np.testing.assert_array_equal(grads, 2)
    with pytest.raises(ValueError, match="arena"):
        p.value = np.ones(3, np.float32)
    with pytest.raises(ValueError, match="arena"):
        p.grad = np.ones(3, np.float32)
    p2 = copy.deepcopy(p)
    p2.value = np.zeros(3, np.float32)  # a copy lives outside
    with pytest.raises(ValueError, match=r"grad: got \(2,\)"):
        p2.grad = np.ones(2, np.float32)


def test_initial_weights_are_torchs_defaults():
    bound = 1 / np.sqrt(3 * 3 * 8)
    w = nn.Conv2d(8, 64, 3, rng=0).weight.value
    assert np.abs(w).max() <= bound and abs(w.std() - bound / np.sqrt(3)) < 0.02 * bound
    assert abs(nn.Embedding(200, 50, rng=0).weight.value.std() - 1) < 0.02
    assert (nn.GroupNorm(2, 4).weight.value == 1).all() and (nn.LayerNorm(4).bias.value == 0).all()
    assert not np.array_equal(nn.Linear(4, 4).weight.value, nn.Linear(4, 4).weight.value)  # no seed: different each time


def test_a_new_value_starts_without_a_gradient_and_the_same_one_keeps_it():
    p = nn.Param(np.ones(2, np.float32))
    p.grad += 3
    p.value += 1  # in place, which ends in an assignment of the same array
    np.testing.assert_array_equal(p.grad, 3)
    p.value = np.ones(2, np.float32)
    np.testing.assert_array_equal(p.grad, 0)


def test_a_gradient_may_be_given_taken_away_and_must_fit():
    p = nn.Param(np.ones(2, np.float32), np.full(2, 5, np.float32))
    np.testing.assert_array_equal(p.grad, 5)
    p.grad = None
    np.testing.assert_array_equal(p.grad, 0)
    given = np.full(2, 7, np.float32)
    p.grad = given
    assert p.grad is given
    for wrong in (np.ones(3, np.float32), np.ones(2, np.float64)):
        with pytest.raises(ValueError, match=r"grad: got .*, expected \(2,\) float32"):
            p.grad = wrong


def test_an_arena_takes_over_the_gradient_that_was_there():
    for grad, expected in ((None, 0), (np.full(2, 4, np.float32), 4)):
        p, values, grads = nn.Param(np.ones(2, np.float32), grad), np.zeros(2, np.float32), np.zeros(2, np.float32)
        p.share(values, grads)
        np.testing.assert_array_equal(grads, expected)
        assert p.grad is grads and p.value is values


def test_a_replaced_value_comes_back_and_the_gradient_stays():
    p = nn.Param(np.ones(2, np.float32), np.full(2, 4, np.float32))
    before = p.value
    with pytest.raises(KeyError), p.replaced(np.zeros(2)):
        assert p.value.dtype == np.float64 and not p.value.any()
        raise KeyError
    assert p.value is before
    np.testing.assert_array_equal(p.grad, 4)


def test_a_copy_has_its_own_value_and_gradient():
    p = nn.Param(np.ones(2, np.float32), np.full(2, 4, np.float32))
    for made in (copy.deepcopy(p), copy.deepcopy(nn.Param(np.ones(2, np.float32)))):
        made.value += 1
        made.grad += 1
    np.testing.assert_array_equal(p.value, 1)
    np.testing.assert_array_equal(p.grad, 4)
    np.testing.assert_array_equal(copy.deepcopy(p).grad, 4)


def test_size_counts_numbers_and_dtype_and_device_follow_the_parameters():
    layer = nn.Sequential(nn.Conv2d(2, 3, (1, 4), rng=0), None, nn.Linear(3, 5, bias=False, rng=1))
    assert layer.size() == 2 * 3 * 4 + 3 + 15
    assert layer.astype(np.float64) is layer and {p.value.dtype for p in layer.parameters().values()} == {np.dtype("float64")}
    assert layer.device == "cpu" and layer.to("cpu") is layer


def test_initial_weights_fill_their_interval():
    """Uniform in +-1 / sqrt(fan_in), torch's default, biases too."""
    for layer, fan_in in ((nn.Linear(25, 400, rng=0), 25), (nn.Conv2d(4, 100, (2, 3), rng=0), 24)):
        for value in (layer.weight.value, layer.bias.value):
            bound = 1 / np.sqrt(fan_in)
            assert 0.9 * bound < value.max() <= bound and -bound <= value.min() < -0.9 * bound
            assert value.dtype == np.float32


def test_options_of_layers_that_do_not_fit():
    for p in (-0.1, 1.0):
        with pytest.raises(ValueError, match="expected a probability"):
            nn.Dropout(p)
    with pytest.raises(ValueError, match="groups is 3, expected a divisor of the 4"):
        nn.GroupNorm(3, 4)
    with pytest.raises(ValueError, match="heads is 3, expected a divisor of the 4"):
        nn.Attention(4, heads=3)
    assert nn.Attention(4, heads=3, head_dim=2, rng=0).to_q.weight.shape == (4, 6)
    with nn.training(Rng(0)):
        x = np.ones(3)
        assert nn.Dropout(0.0)(x)[0] is x


def test_large_attention_goes_in_slices_with_the_same_result():
    layer, x = nn.Attention(6, heads=2, rng=0).astype(np.float64), Rng(1).standard_normal((2, 5, 6), dtype=np.float64)
    whole, back = layer(x)
    for most in (2 * 2 * 5 * 5, 2 * 2 * 5 * 2 + 1, 1):  # all at once, two rows at a time, one
        layer.max_scores = most
        y, back_slices = layer(x)
        np.testing.assert_allclose(y, whole, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(back_slices(x), back(x), rtol=1e-12, atol=1e-14)


def test_causal_mask_and_the_parts_of_a_block_that_share_the_context():
    np.testing.assert_array_equal(nn.causal_mask(4), np.tril(np.ones((4, 4), bool)))
    block = nn.BasicTransformerBlock(4, 1, 4, context_features=3, double_self_attention=True, rng=0)
    assert block.attn2.to_k.weight.shape[0] == 4  # the second attention is over the tokens too
    block = nn.BasicTransformerBlock(4, 1, 4, context_features=3, only_cross_attention=True, rng=0)
    assert block.attn1.to_k.weight.shape[0] == block.attn2.to_k.weight.shape[0] == 3
    with pytest.raises(ValueError, match="looks at a context"):
        block(np.ones((1, 2, 4), np.float32))


def test_rescaled_spatial_attention_is_the_plain_one_divided():
    plain = nn.SpatialAttention(4, groups=2, rng=0).astype(np.float64)
    half = nn.SpatialAttention(4, groups=2, rescale=2.0, rng=0).astype(np.float64)
    x = Rng(1).standard_normal((1, 2, 3, 4), dtype=np.float64)
    (y, back), (y2, back2) = plain(x), half(x)
    np.testing.assert_allclose(y2, y / 2, rtol=1e-12)
    np.testing.assert_allclose(back2(x), back(x) / 2, rtol=1e-12)
    assert plain.group_norm.eps == 1e-5 and nn.LayerNorm(4).eps == 1e-5 and nn.RMSNorm(4).eps == 1e-6
