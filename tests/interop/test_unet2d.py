"""UNet against diffusers' UNet2DModel: forward and every gradient, on random configurations of every block type."""

import random

import numpy as np
import pytest

from minidiff.models import UNet

PLAIN_DOWN = ["DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"]
PLAIN_UP = ["UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"]


def configuration(seed):
    r = random.Random(seed)
    levels = r.choice([1, 2, 2, 3])

    def each(choices):
        return tuple(r.choice(choices) for _ in range(levels))

    config = dict(
        layers_per_block=r.choice([1, 2]), attention_head_dim=r.choice([4, 8, None]), norm_eps=r.choice([1e-5, 1e-6]),
        flip_sin_to_cos=r.random() < 0.5, freq_shift=r.choice([0, 1]), mid_block_scale_factor=r.choice([1, 1.5]),
        resnet_time_scale_shift=r.choice(["default", "scale_shift"]), act_fn=r.choice(["silu", "mish", "gelu", "relu"]),
        center_input_sample=r.random() < 0.3, add_attention=r.random() < 0.8, downsample_padding=r.choice([0, 1]),
        time_embedding_dim=r.choice([None, 24]), in_channels=3, out_channels=3,
    )  # fmt: skip
    if seed % 5 == 4:
        return config | dict(
            block_out_channels=each([32, 64]), down_block_types=("KDownBlock2D",) * levels, in_channels=2, out_channels=4,
            up_block_types=("KUpBlock2D",) * levels, norm_num_groups=r.choice([None, 8]),
        )  # fmt: skip
    if seed % 5 == 3:
        return config | dict(
            block_out_channels=each([32, 64]), down_block_types=each(["SkipDownBlock2D", "AttnSkipDownBlock2D"]),
            up_block_types=each(["SkipUpBlock2D", "AttnSkipUpBlock2D"]), norm_num_groups=r.choice([None, 8]),
            time_embedding_type=r.choice(["fourier", "positional"]),
        )  # fmt: skip
    config |= dict(
        block_out_channels=each([8, 16, 24]), down_block_types=each(PLAIN_DOWN), up_block_types=each(PLAIN_UP),
        norm_num_groups=r.choice([2, 4]), in_channels=r.choice([1, 3]), out_channels=r.choice([1, 3, 6]),
        downsample_type=r.choice(["conv", "resnet"]), upsample_type=r.choice(["conv", "resnet"]),
        attn_norm_num_groups=r.choice([None, 2]), mid_block_type=r.choice(["UNetMidBlock2D", "UNetMidBlock2D", None]),
    )  # fmt: skip
    kinds = [{}, {"num_class_embeds": 7}, {"class_embed_type": "timestep"}, {"class_embed_type": "identity"},
             {"time_embedding_type": "learned", "num_train_timesteps": 50}]  # fmt: skip
    return config | kinds[seed % 6 % 5]


def condition(config, torch):
    kind = config.get("class_embed_type")
    if kind == "identity":
        return torch.randn(2, config["time_embedding_dim"] or 4 * config["block_out_channels"][0])
    return torch.tensor([2, 6]) if kind or "num_class_embeds" in config else None


@pytest.mark.parametrize("seed", range(30))
def test_random_configuration(seed, torch, diffusers, stir, same_weights, close, same_gradients, channels_first):
    config = configuration(seed)
    torch.manual_seed(seed)
    theirs = stir(diffusers.UNet2DModel(**config), seed)
    if config.get("time_embedding_type") == "fourier":
        config["fourier_weights"] = theirs.time_proj.weight.tolist()
    ours = same_weights(UNet(**config, rng=0), theirs)

    halvings = len(config["block_out_channels"]) - 1
    x = torch.randn(2, config["in_channels"], 3 << halvings if halvings else 7, 4 << halvings if halvings else 9)
    t, cond = torch.tensor([3, 47]), condition(config, torch)
    x_ours = np.ascontiguousarray(x.numpy().transpose(0, 2, 3, 1))
    y = ours.predict(x_ours, t.numpy(), None if cond is None else cond.numpy())
    with torch.no_grad():
        close(channels_first(y), theirs(x, t, cond).sample.numpy(), 2e-5, what="y in float32")

    # the gradients in float64; their times stay float32 inside, so agreement stops at about 1e-5
    theirs.time_proj.register_forward_hook(lambda module, args, out: out.double())
    theirs, ours = theirs.double(), ours.astype(np.float64)
    x = x.double().requires_grad_(True)
    if cond is not None and cond.is_floating_point():
        cond = cond.double().requires_grad_(True)
    expected = theirs(x, t, cond).sample
    dy = torch.randn(expected.shape, dtype=torch.float64)
    expected.backward(dy)
    _, back = ours(x_ours.astype(np.float64), t.numpy(), None if cond is None else cond.detach().numpy())
    dx = back(np.ascontiguousarray(dy.numpy().transpose(0, 2, 3, 1)))
    if config.get("class_embed_type") == "identity":
        dx, dcond = dx
        close(dcond, cond.grad.numpy(), 1e-4, what="dcond")
    close(channels_first(dx), x.grad.numpy(), 1e-4, what="dx")
    same_gradients(ours, theirs, 1e-4)


CIFAR10 = dict(  # config.json of google/ddpm-cifar10-32
    act_fn="silu", attention_head_dim=None, block_out_channels=(128, 256, 256, 256), center_input_sample=False,
    down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"), downsample_padding=0,
    flip_sin_to_cos=False, freq_shift=1, in_channels=3, layers_per_block=2, mid_block_scale_factor=1, norm_eps=1e-6,
    norm_num_groups=32, out_channels=3, sample_size=32, time_embedding_type="positional",
    up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
)  # fmt: skip


@pytest.mark.slow
def test_ddpm_cifar10_32(torch, diffusers, same_weights, close, channels_first):
    torch.manual_seed(0)
    theirs = diffusers.UNet2DModel(**CIFAR10).eval()
    ours = same_weights(UNet(**CIFAR10, rng=0), theirs)
    assert ours.size() == 35_746_307  # the 35.7 M of DDPM's appendix B
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = theirs(x, torch.tensor([7, 900])).sample.numpy()
    y = ours.predict(np.ascontiguousarray(x.numpy().transpose(0, 2, 3, 1)), np.array([7, 900]))
    close(channels_first(y), expected, 2e-5)


@pytest.mark.parametrize(("options", "message"), [
    (dict(down_block_types=("DownBlok2D", "DownBlock2D")), "down_block_types.*did you mean DownBlock2D"),
    (dict(down_block_types=("CrossAttnDownBlock2D", "DownBlock2D")), "down_block_types"),
    (dict(up_block_types=("UpBlock2D",)), "up_block_types: got 1, expected 2"),
    (dict(act_fn="tanh"), "act_fn"),
    (dict(time_embedding_type="learned"), "num_train_timesteps"),
    (dict(norm_num_groups=None), "norm_num_groups"),
    (dict(norm_num_groups=5), "norm_num_groups=5"),
    (dict(attention_head_dim=12), "attention_head_dim=12"),
    (dict(resnet_time_scale_shift="spatial"), "resnet_time_scale_shift"),
    (dict(mid_block_type="UNetMidBlock2DCrossAttn"), "mid_block_type"),
    (dict(class_embed_type="projection"), "class_embed_type"),
    (dict(down_block_types=("DownBlock2D", "SkipDownBlock2D")), "Skip blocks come first"),
    (dict(up_block_types=("SkipUpBlock2D", "UpBlock2D")), "Skip blocks come last"),
    (dict(down_block_types=("KDownBlock2D", "DownBlock2D")), "do not mix"),
    (dict(attn_norm_num_groups=7), "attn_norm_num_groups"),
])  # fmt: skip
def test_an_option_that_is_not_supported_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        UNet(**(dict(block_out_channels=(32, 64), rng=0) | options))


def test_the_drawn_frequencies_become_part_of_the_configuration():
    config = dict(block_out_channels=(32,), down_block_types=("SkipDownBlock2D",), up_block_types=("SkipUpBlock2D",),
                  time_embedding_type="fourier")  # fmt: skip
    a = UNet(**config, rng=0)
    b = UNet(**a.config, rng=1)
    b.load_state(a.state())
    x = np.ones((1, 4, 4, 3), np.float32)
    np.testing.assert_array_equal(a.predict(x, 2.5), b.predict(x, 2.5))


def test_images_that_the_down_steps_do_not_divide():
    """28 x 28 through three halvings: padded, and the answer cut back; the picture that NCSN++ carries as well."""
    for kinds in (dict(), dict(down_block_types=("SkipDownBlock2D",) * 4, up_block_types=("SkipUpBlock2D",) * 4)):
        net = UNet(block_out_channels=(32,) * 4, layers_per_block=1, norm_num_groups=8, rng=0, **kinds)
        y, back = net(np.ones((2, 13, 10, 3), np.float32), 5)
        assert y.shape == (2, 13, 10, 3) == back(y).shape
