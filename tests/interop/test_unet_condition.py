"""UNet2DConditionModel against diffusers': forward and every gradient, on random configurations, odd sizes included."""

import random

import numpy as np
import pytest

from minidiff.models import TextCondition, UNet2DConditionModel

DOWN = ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D", "ResnetDownsampleBlock2D", "AttnDownBlock2D"]
UP = ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D", "ResnetUpsampleBlock2D", "AttnUpBlock2D"]


def configuration(seed):
    r = random.Random(seed)
    levels = r.choice([1, 2, 2, 3])

    def each(choices):
        return tuple(r.choice(choices) for _ in range(levels))

    config = dict(
        in_channels=r.choice([3, 4]), out_channels=r.choice([3, 4]), block_out_channels=each([8, 16, 24]), norm_num_groups=4,
        layers_per_block=r.choice([1, 2, each([1, 2])]), attention_head_dim=r.choice([2, 4, each([2, 4])]),
        down_block_types=("CrossAttnDownBlock2D", *each(DOWN)[1:]), up_block_types=(*each(UP)[1:], "CrossAttnUpBlock2D"),
        mid_block_type=r.choice(["UNetMidBlock2DCrossAttn", "UNetMidBlock2DCrossAttn", "UNetMidBlock2D", None]),
        cross_attention_dim=r.choice([5, 8]), transformer_layers_per_block=r.choice([1, 2]),
        use_linear_projection=r.random() < 0.5, only_cross_attention=r.choice([False, True, each([False, True])]),
        resnet_time_scale_shift=r.choice(["default", "scale_shift"]), act_fn=r.choice(["silu", "mish", "gelu"]),
        center_input_sample=r.random() < 0.3, mid_block_scale_factor=r.choice([1, 1.4]), upcast_attention=r.random() < 0.3,
        time_embedding_act_fn=r.choice([None, "silu"]), conv_in_kernel=r.choice([1, 3, 5]), conv_out_kernel=r.choice([1, 3]),
        resnet_skip_time_act=r.random() < 0.3, resnet_out_scale_factor=r.choice([1.0, 1.4]), flip_sin_to_cos=r.random() < 0.5,
        freq_shift=r.choice([0, 1]), downsample_padding=r.choice([0, 1]), time_embedding_dim=r.choice([None, 20]),
    )  # fmt: skip
    if r.random() < 0.3:
        config |= dict(encoder_hid_dim=6, encoder_hid_dim_type="text_proj")
    kinds = [{}, {"num_class_embeds": 7}, {"class_embed_type": "timestep"}, {"class_embed_type": "identity"},
             {"class_embed_type": "projection", "projection_class_embeddings_input_dim": 3},
             {"class_embed_type": "simple_projection", "projection_class_embeddings_input_dim": 3}]  # fmt: skip
    config |= kinds[seed % 6]
    if seed % 6 and r.random() < 0.4:
        config["class_embeddings_concat"] = True
    return config


def labels(config, torch):
    kind = config.get("class_embed_type")
    if kind == "identity":
        return torch.randn(2, config["time_embedding_dim"] or 4 * config["block_out_channels"][0])
    if kind in ("projection", "simple_projection"):
        return torch.randn(2, 3)
    return torch.tensor([2, 6]) if kind or "num_class_embeds" in config else None


@pytest.mark.parametrize("seed", range(18))
def test_random_configuration(seed, torch, diffusers, stir, same_weights, close, same_gradients, channels_first):
    config = configuration(seed)
    torch.manual_seed(seed)
    theirs = stir(diffusers.UNet2DConditionModel(**config), seed)
    ours = same_weights(UNet2DConditionModel(**config, rng=0), theirs)

    plain = all(kind in ("CrossAttnUpBlock2D", "UpBlock2D") for kind in config["up_block_types"])
    even = 4 << len(config["block_out_channels"])
    H, W = (even - 1, even + 2) if plain and config["downsample_padding"] else (even, even // 2)  # others fail there
    x, context = (
        torch.randn(2, config["in_channels"], H, W),
        torch.randn(2, 5, config.get("encoder_hid_dim") or config["cross_attention_dim"]),
    )
    t, label, mask = torch.tensor([3, 947]), labels(config, torch), None
    if seed % 2:
        mask = torch.tensor([[True] * 5, [True] * 2 + [False] * 3])
    x_ours = np.ascontiguousarray(x.numpy().transpose(0, 2, 3, 1))

    def cond(dtype):
        label_ours = label if label is None else label.detach().numpy()
        return TextCondition(context.detach().numpy().astype(dtype), mask if mask is None else mask.numpy(), label_ours)

    y = ours.predict(x_ours, t.numpy(), cond(np.float32))
    with torch.no_grad():
        expected = theirs(x, t, context, class_labels=label, encoder_attention_mask=mask).sample.numpy()
    close(channels_first(y), expected, 2e-5, what="y in float32")

    theirs, ours = theirs.double(), ours.astype(np.float64)
    x, context = x.double().requires_grad_(True), context.double().requires_grad_(True)
    vectors = label is not None and label.is_floating_point()
    label = label.double().requires_grad_(True) if vectors else label
    expected = theirs(x, t, context, class_labels=label, encoder_attention_mask=mask).sample
    dy = torch.randn(expected.shape, dtype=torch.float64)
    expected.backward(dy)
    _, back = ours(x_ours.astype(np.float64), t.numpy(), cond(np.float64))
    dx, dcontext, *dlabel = back(np.ascontiguousarray(dy.numpy().transpose(0, 2, 3, 1)))
    close(channels_first(dx), x.grad.numpy(), 1e-4, what="dx")
    close(dcontext, context.grad.numpy(), 1e-4, what="dcontext")
    assert len(dlabel) == vectors
    if vectors:
        close(dlabel[0], label.grad.numpy(), 1e-4, what="dlabels")
    same_gradients(ours, theirs, 1e-4)
