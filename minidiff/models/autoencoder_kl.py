"""The autoencoder of Stable Diffusion: encodes images as Gaussian distributions over small latents.

Rombach et al. 2022 (arXiv:2112.10752), section 3.1; the variational part is Kingma and Welling 2014 (arXiv:1312.6114).
Option names and parameter names are those of diffusers' AutoencoderKL; arrays are channels last here.
"""

from functools import partial

from .. import ops
from ..backend import xp_of
from ..complex_step import clip
from ..nn import Conv2d, Layer, chain, no_grad
from ..rng import as_rng
from .autoencoder_parts import Decoder, Encoder, check_image


class AutoencoderKL(Layer):
    """x (B, H, W, in_channels)   ->   y (B, H, W, out_channels), through latents (B, H / f, W / f, latent_channels).

        moments, back = model.encode(x)      mean and log-variance side by side (B, H / f, W / f, 2 latent_channels)
        z, back = sample_posterior(moments, noise);   kl, back = kl_divergence(moments)
        y, back = model.decode(z)
        z = model.to_latent(x);  x = model.from_latent(z)      latents for a diffusion model: scaled, nothing saved

    f is 2 to the power of one less than the number of stages. Calling the model decodes the mean: a reconstruction.
    Raises ValueError that names an option it does not know.
    """

    def __init__(self, in_channels=3, out_channels=3, down_block_types=("DownEncoderBlock2D",),
                 up_block_types=("UpDecoderBlock2D",), block_out_channels=(64,), layers_per_block=1, act_fn="silu",
                 latent_channels=4, norm_num_groups=32, sample_size=32, scaling_factor=0.18215, shift_factor=None,
                 force_upcast=True, use_quant_conv=True, use_post_quant_conv=True, mid_block_add_attention=True,
                 rng=None):  # fmt: skip
        self.config = dict(in_channels=in_channels, out_channels=out_channels, down_block_types=down_block_types,
                           up_block_types=up_block_types, block_out_channels=block_out_channels,
                           layers_per_block=layers_per_block, act_fn=act_fn, latent_channels=latent_channels,
                           norm_num_groups=norm_num_groups, sample_size=sample_size, scaling_factor=scaling_factor,
                           shift_factor=shift_factor, force_upcast=force_upcast, use_quant_conv=use_quant_conv,
                           use_post_quant_conv=use_post_quant_conv,
                           mid_block_add_attention=mid_block_add_attention)  # fmt: skip
        rng, L = as_rng(rng), latent_channels
        shared = (layers_per_block, norm_num_groups, act_fn, mid_block_add_attention, rng)
        self.encoder = Encoder(in_channels, 2 * L, down_block_types, block_out_channels, *shared)
        self.decoder = Decoder(L, out_channels, up_block_types, block_out_channels, *shared)
        self.quant_conv = Conv2d(2 * L, 2 * L, 1, rng=rng) if use_quant_conv else None
        self.post_quant_conv = Conv2d(L, L, 1, rng=rng) if use_post_quant_conv else None

    def encode(self, x):
        """x   ->   moments (B, h, w, 2 L), back(dmoments) -> dx"""
        check_image("x", x, self.config["in_channels"])
        return chain([self.encoder, self.quant_conv], x)

    def decode(self, z):
        """z (B, h, w, L)   ->   y, back(dy) -> dz"""
        if z.ndim != 4 or z.shape[3] != self.config["latent_channels"]:
            raise ValueError(
                f"AutoencoderKL: z has shape {tuple(z.shape)}, expected (B, h, w, {self.config['latent_channels']})"
            )
        return chain([self.post_quant_conv, self.decoder], z)

    def forward(self, x, noise=None):
        """noise (B, h, w, L), standard normal: decode a sample in place of the mean.   back(dy) -> dx"""
        return chain([self.encode, partial(sample_posterior, noise=noise), self.decode], x)

    def to_latent(self, x, rng=None):
        """The latent that a diffusion model is trained on, (z - shift) scale; the mean, or with an `rng` a sample."""
        with no_grad():
            moments = self.encode(x)[0]
        noise = None
        if rng is not None:
            shape = (*moments.shape[:3], moments.shape[3] // 2)
            noise = xp_of(x).asarray(as_rng(rng).standard_normal(shape, dtype=x.real.dtype))
        return (sample_posterior(moments, noise)[0] - (self.config["shift_factor"] or 0.0)) * self.config["scaling_factor"]

    def from_latent(self, z):
        """Decode a latent from `to_latent` into an image."""
        with no_grad():
            return self.decode(z * (1.0 / self.config["scaling_factor"]) + (self.config["shift_factor"] or 0.0))[0]


def sample_posterior(moments, noise=None):
    """z = mean + exp(log-variance / 2) noise, or the mean.   moments (B, h, w, 2 L)   ->   z (B, h, w, L), back(dz)"""
    mean, logvar, inside = _split(moments)
    std = xp_of(moments).exp(0.5 * logvar)

    def back(dz):
        dlogvar = dz * 0 if noise is None else dz * noise * std * 0.5 * inside
        return ops.concat([dz, dlogvar])[0]

    return mean if noise is None else mean + std * noise, back


def kl_divergence(moments):
    """KL(N(mean, variance) || N(0, 1)), summed over an image, mean over the batch.   ->   a 0-d array, back(dloss=1)"""
    mean, logvar, inside = _split(moments)
    variance = xp_of(moments).exp(logvar)
    loss = (0.5 * (mean * mean + variance - 1.0 - logvar)).sum() / len(moments)

    def back(dloss=1.0):
        share = dloss / len(moments)
        return ops.concat([mean * share, 0.5 * (variance - 1.0) * share * inside])[0]

    return loss, back


def _split(moments):
    """The mean, the log-variance clipped to [-30, 20], and where it was not clipped."""
    L = moments.shape[-1] // 2
    logvar = moments[..., L:]
    return moments[..., :L], clip(logvar, -30.0, 20.0), ((logvar > -30.0) & (logvar < 20.0)).astype(moments.dtype)
