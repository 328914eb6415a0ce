"""DiT against diffusers' DiTTransformer2DModel: forward, every gradient, positions, and folders both ways."""

import random

import numpy as np
import pytest

from minidiff.interop import load_model, save_model
from minidiff.models import DiT
from minidiff.models.positions import sincos_positions


def configuration(seed):
    r = random.Random(seed)
    patch = r.choice([1, 2, 4])
    return dict(
        num_attention_heads=r.choice([1, 2, 3]), attention_head_dim=r.choice([4, 8]), in_channels=r.choice([1, 3]),
        out_channels=r.choice([None, 2, 6]), num_layers=r.choice([1, 2, 3]), attention_bias=r.random() < 0.7,
        sample_size=patch * r.choice([2, 3]), patch_size=patch, num_embeds_ada_norm=r.choice([1, 7]),
        activation_fn=r.choice(["gelu-approximate", "gelu", "geglu"]), norm_eps=r.choice([1e-5, 1e-3]),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_random_configuration(seed, torch, diffusers, stir, same_weights, close, same_gradients, channels_first):
    config = configuration(seed)
    torch.manual_seed(seed)
    theirs = stir(diffusers.DiTTransformer2DModel(**config), seed)
    ours = same_weights(DiT(**config, rng=0), theirs)
    size, classes = config["sample_size"], config["num_embeds_ada_norm"]
    x = torch.randn(3, config["in_channels"], size, size)
    t, cond = torch.tensor([3, 47, 999]), torch.tensor([0, classes - 1, classes])  # the last one is the null class
    x_ours = np.ascontiguousarray(x.numpy().transpose(0, 2, 3, 1))
    with torch.no_grad():
        expected = theirs(x, t, cond).sample.numpy()
    close(channels_first(ours.predict(x_ours, t.numpy(), cond.numpy())), expected, 2e-5, what="y in float32")

    for block in theirs.transformer_blocks:  # the times stay float32 inside, so agreement stops at about 1e-5
        block.norm1.emb.time_proj.register_forward_hook(lambda module, args, out: out.double())
    theirs, ours = theirs.double(), ours.astype(np.float64)
    x = x.double().requires_grad_(True)
    expected = theirs(x, t, cond).sample
    dy = torch.randn(expected.shape, dtype=torch.float64)
    expected.backward(dy)
    _, back = ours(x_ours.astype(np.float64), t.numpy(), cond.numpy())
    close(channels_first(back(np.ascontiguousarray(dy.numpy().transpose(0, 2, 3, 1)))), x.grad.numpy(), 1e-4, what="dx")
    same_gradients(ours, theirs, 1e-4)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_positions_of_another_size(times, torch, diffusers, stir, same_weights, close, channels_first):
    """Those of the size of the model, stretched: a larger image has patches at fractions."""
    config = configuration(3)
    theirs = stir(diffusers.DiTTransformer2DModel(**config), 3)
    ours, side = same_weights(DiT(**config, rng=0), theirs), times * config["sample_size"]
    x, cond = torch.randn(2, config["in_channels"], side, side), torch.tensor([0, 1])
    with torch.no_grad():
        expected = theirs(x, torch.tensor([3, 700]), cond).sample.numpy()
    y = ours.predict(np.ascontiguousarray(x.numpy().transpose(0, 2, 3, 1)), np.array([3, 700]), cond.numpy())
    close(channels_first(y), expected, 2e-5)


@pytest.mark.parametrize("grid, features", [(2, 8), (7, 96), (16, 1152)])
def test_positions(grid, features, diffusers, count):
    expected = diffusers.models.embeddings.get_2d_sincos_pos_embed(features, grid, base_size=grid, output_type="pt")
    np.testing.assert_allclose(sincos_positions(np, grid, grid, features), expected, rtol=0, atol=2e-6)
    count("outside")


def test_positions_by_hand():
    """Two rows, three columns, one frequency per axis: sin and cos of the column, then of the row."""
    row, column = np.divmod(np.arange(6), 3)
    expected = np.stack([np.sin(column), np.cos(column), np.sin(row), np.cos(row)], axis=1)
    np.testing.assert_allclose(sincos_positions(np, 2, 3, 4), expected, atol=1e-7)
    swapped = sincos_positions(np, 2, 3, 4, flip_sin_to_cos=True, rows_first=True)
    np.testing.assert_allclose(swapped, expected[:, [3, 2, 1, 0]], atol=1e-7)
    with pytest.raises(ValueError, match="features is 6, expected a multiple of 4"):
        sincos_positions(np, 2, 3, 6)


def test_folder_from_diffusers_and_back(tmp_path, diffusers, stir):
    theirs = stir(diffusers.DiTTransformer2DModel(**configuration(1)), 1)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = load_model(tmp_path / "theirs")
    assert type(ours) is DiT
    save_model(ours, tmp_path / "ours")
    again = diffusers.DiTTransformer2DModel.from_pretrained(tmp_path / "ours").eval()
    assert {n: p.tolist() for n, p in again.named_parameters()} == {n: p.tolist() for n, p in theirs.named_parameters()}


def test_a_new_model_answers_zero_and_its_first_step_reaches_the_last_layer():
    net = DiT(2, 4, in_channels=1, num_layers=2, patch_size=2, num_embeds_ada_norm=3, rng=0)
    x = np.random.default_rng(0).standard_normal((2, 4, 6, 1), dtype=np.float32)
    y, back = net(x, 5, np.array([0, 3]))
    assert y.shape == x.shape and not y.any()
    back(np.ones_like(y))
    moved = {name for name, p in net.parameters().items() if p.grad.any()}
    assert moved == {"proj_out_2.weight", "proj_out_2.bias"}


@pytest.mark.parametrize("shape", [(2, 4, 5, 1), (2, 3, 4, 1), (2, 4, 4, 2), (4, 4, 1)])
def test_an_image_that_patches_do_not_fit_is_refused(shape):
    net = DiT(1, 4, in_channels=1, num_layers=1, patch_size=2, num_embeds_ada_norm=3, rng=0)
    with pytest.raises(ValueError, match=r"DiT: x has shape .*, expected \(B, H, W, 1\), H and W multiples of 2"):
        net(np.zeros(shape, np.float32), 5, np.zeros(shape[0], int))


def test_options_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="num_layers is 0, expected at least 1"):
        DiT(2, 4, num_layers=0, rng=0)
    with pytest.raises(ValueError, match=r"num_attention_heads \* attention_head_dim is 6, expected a multiple of 4"):
        DiT(2, 3, rng=0)


def test_no_class_is_the_null_class():
    net = DiT(2, 4, in_channels=1, num_layers=1, patch_size=2, num_embeds_ada_norm=3, rng=0)
    rng = np.random.default_rng(0)
    for param in net.parameters().values():
        param.value[...] = rng.standard_normal(param.shape)
    x = rng.standard_normal((2, 4, 6, 1), dtype=np.float32)
    np.testing.assert_array_equal(net.predict(x, 5), net.predict(x, 5, np.array([3, 3])))
    assert np.abs(net.predict(x, 5) - net.predict(x, 5, np.array([0, 3])))[0].max() > 1e-3
