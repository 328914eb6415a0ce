"""AutoencoderKL and VQModel against diffusers': encode, decode and every gradient; a seed's own weights as well."""

import random

import numpy as np
import pytest

from minidiff.models import AutoencoderKL, VQModel
from minidiff.models.autoencoder_kl import kl_divergence, sample_posterior


def configuration(seed):
    r = random.Random(seed)
    levels = r.choice([1, 2, 3])

    def each(choices):
        return tuple(r.choice(choices) for _ in range(levels))

    return dict(
        in_channels=r.choice([1, 3]), out_channels=r.choice([1, 3]), block_out_channels=each([8, 16, 24]), norm_num_groups=4,
        down_block_types=each(["DownEncoderBlock2D", "DownEncoderBlock2D", "AttnDownEncoderBlock2D"]),
        up_block_types=each(["UpDecoderBlock2D", "UpDecoderBlock2D", "AttnUpDecoderBlock2D"]),
        layers_per_block=r.choice([1, 2]), latent_channels=r.choice([2, 4]), act_fn=r.choice(["silu", "mish"]),
        mid_block_add_attention=r.random() < 0.7,
    )  # fmt: skip


def last(x):
    return np.ascontiguousarray(np.moveaxis(x.detach().numpy(), 1, -1))


@pytest.mark.parametrize("seed", range(10))
def test_autoencoder_kl(seed, torch, diffusers, stir, same_weights, close, same_gradients, channels_first):
    config = configuration(seed)
    if seed % 4 == 3:
        config |= dict(use_quant_conv=False, use_post_quant_conv=False)
    torch.manual_seed(seed)
    theirs = stir(diffusers.AutoencoderKL(**config), seed)
    ours = same_weights(AutoencoderKL(**config, rng=0), theirs)
    f = 1 << (len(config["block_out_channels"]) - 1)
    x = torch.randn(2, config["in_channels"], 5 * f + f // 2, 4 * f)  # a height that the halvings do not divide
    z = torch.randn(2, config["latent_channels"], 3, 5)
    with torch.no_grad():
        expected = theirs.encode(x).latent_dist
        close(channels_first(ours.encode(last(x))[0]), expected.parameters.numpy(), 2e-5, what="moments")
        close(channels_first(ours.decode(last(z))[0]), theirs.decode(z).sample.numpy(), 2e-5, what="decoded")
        close(channels_first(ours.to_latent(last(x))), expected.mean.numpy() * 0.18215, 2e-5, what="latent")
        close(channels_first(ours.from_latent(last(z))), theirs.decode(z / 0.18215).sample.numpy(), 2e-5, what="picture")

    theirs, ours = theirs.double(), ours.astype(np.float64)
    x, noise = x.double().requires_grad_(True), torch.randn(expected.mean.shape, dtype=torch.float64)
    posterior = theirs.encode(x).latent_dist
    y = theirs.decode(posterior.mean + posterior.std * noise).sample
    dy = torch.randn(y.shape, dtype=torch.float64)
    ((y * dy).sum() + 0.3 * posterior.kl().mean()).backward()
    moments, back_encode = ours.encode(last(x))
    sample, back_sample = sample_posterior(moments, last(noise))
    kl, back_kl = kl_divergence(moments)
    assert float(kl) == pytest.approx(posterior.kl().mean().item(), rel=1e-9)
    _, back_decode = ours.decode(sample)
    dx = back_encode(back_sample(back_decode(last(dy))) + back_kl(0.3))
    close(channels_first(dx), x.grad.numpy(), 1e-8, what="dx")
    same_gradients(ours, theirs, 1e-7)


@pytest.mark.parametrize("seed", range(4))
def test_vq_model(seed, torch, diffusers, stir, same_weights, close, same_gradients, channels_first):
    config = configuration(seed) | dict(num_vq_embeddings=11, vq_embed_dim=(None, 5)[seed % 2])
    torch.manual_seed(seed)
    theirs = stir(diffusers.VQModel(**config), seed)
    ours = same_weights(VQModel(**config, rng=0), theirs)
    f = 1 << (len(config["block_out_channels"]) - 1)
    x, z = (
        torch.randn(2, config["in_channels"], 5 * f, 4 * f),
        torch.randn(2, config["vq_embed_dim"] or config["latent_channels"], 3, 5),
    )
    with torch.no_grad():
        close(channels_first(ours.encode(last(x))[0]), theirs.encode(x).latents.numpy(), 2e-5, what="encoded")
        close(channels_first(ours.decode(last(z))[0]), theirs.decode(z).sample.numpy(), 2e-5, what="decoded")

    theirs, ours = theirs.double(), ours.astype(np.float64)
    x = x.double().requires_grad_(True)
    latent = theirs.encode(x).latents
    decoded = theirs.decode(latent)
    dy = torch.randn(decoded.sample.shape, dtype=torch.float64)
    # theirs weighs the two halves of the loss the other way round ("legacy"): written out here as the paper has it
    table = theirs.quantize.embedding.weight
    z_ours, back_encode = ours.encode(last(x))
    q = table[torch.tensor(ours.quantize.nearest(z_ours).ravel())].view(last(latent).shape)
    gap = (q - latent.permute(0, 2, 3, 1).detach()).pow(2).mean() + 0.25 * (q.detach() - latent.permute(0, 2, 3, 1)).pow(
        2
    ).mean()
    ((decoded.sample * dy).sum() + gap).backward()
    loss, back_loss = ours.quantize.losses(z_ours, beta=0.25)
    assert float(loss) == pytest.approx(gap.item(), rel=1e-9)
    _, back_decode = ours.decode(z_ours)
    dx = back_encode(back_decode(last(dy)) + back_loss())
    close(channels_first(dx), x.grad.numpy(), 1e-8, what="dx")
    same_gradients(ours, theirs, 1e-7)


SD15 = dict(  # config.json of the vae of Stable Diffusion 1.x
    act_fn="silu", block_out_channels=(128, 256, 512, 512), down_block_types=("DownEncoderBlock2D",) * 4, in_channels=3,
    latent_channels=4, layers_per_block=2, norm_num_groups=32, out_channels=3, sample_size=512,
    up_block_types=("UpDecoderBlock2D",) * 4,
)  # fmt: skip


@pytest.mark.slow
def test_the_autoencoder_of_stable_diffusion(torch, diffusers, same_weights, close, channels_first):
    torch.manual_seed(0)
    theirs = diffusers.AutoencoderKL(**SD15).eval()
    ours = same_weights(AutoencoderKL(**SD15, rng=0), theirs)
    assert ours.size() == 83_653_863
    x, z = torch.randn(1, 3, 64, 48), torch.randn(1, 4, 8, 6)
    with torch.no_grad():
        close(channels_first(ours.predict(last(x))), theirs(x).sample.numpy(), 1e-4)
        close(channels_first(ours.from_latent(last(z))), theirs.decode(z / 0.18215).sample.numpy(), 1e-4)


def test_options_are_checked():
    with pytest.raises(ValueError, match=r"down_block_types.*did you mean DownEncoderBlock2D"):
        AutoencoderKL(down_block_types=("DownBlock2D",))
    with pytest.raises(ValueError, match="up_block_types: got 2, expected 1"):
        AutoencoderKL(up_block_types=("UpDecoderBlock2D",) * 2)
    with pytest.raises(ValueError, match=r"x: got shape \(1, 8, 8, 4\)"):
        AutoencoderKL(rng=0).predict(np.zeros((1, 8, 8, 4), np.float32))
