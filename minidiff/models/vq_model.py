"""The autoencoder with a codebook: each latent pixel becomes the nearest of a few hundred learned vectors.

Van den Oord et al. 2017 (arXiv:1711.00937); as first used for latent diffusion (arXiv:2112.10752). Option names and
parameter names are those of diffusers' VQModel; arrays are channels last here.
"""

import numpy as np

from ..nn import Conv2d, Embedding, Layer, chain, no_grad
from ..rng import as_rng
from .autoencoder_parts import Decoder, Encoder, check_image


class VectorQuantizer(Layer):
    """z (..., D)   ->   the nearest row of the codebook for each.   back(dy) -> dz = dy: the straight-through estimator

    The codebook gets its gradients from `losses`, not here.
    """

    def __init__(self, rows, features, rng=None):
        rng = as_rng(rng)
        self.embedding = Embedding(rows, features, rng)
        self.embedding.weight.value = (rng.random((rows, features), dtype=np.float32) * 2.0 - 1.0) * (1.0 / rows)

    def forward(self, z):
        return self.embedding.weight.value[self.nearest(z)], lambda dy: dy

    def nearest(self, z):
        """The number of the nearest row, squared Euclidean.   z (..., D)   ->   integers (...)"""
        table = self.embedding.weight.value
        scores = z.reshape(-1, z.shape[-1]) @ table.T - 0.5 * (table * table).sum(axis=1)  # largest where nearest
        return scores.argmax(axis=1).reshape(z.shape[:-1])

    def losses(self, z, beta=0.25):
        """mean((q - stop z)^2) + beta mean((stop q - z)^2).   ->   a 0-d array, back(dloss=1) -> dz. Equation 3."""
        index = self.nearest(z)
        q, back_table = self.embedding(index)
        gap = q - z

        def back(dloss=1.0):
            dgap = gap * (2.0 * dloss / gap.size)
            back_table(dgap)
            return -beta * dgap

        return (1.0 + beta) * (gap * gap).mean(), back


class VQModel(Layer):
    """x (B, H, W, in_channels)   ->   y (B, H, W, out_channels), through codebook vectors (B, H / f, W / f, vq_embed_dim).

    `encode`, `decode`, `to_latent` and `from_latent` as in `AutoencoderKL`. A latent here is not yet quantized, because the
    diffusion model generates such latents.   back(dy) -> dx
    """

    def __init__(self, in_channels=3, out_channels=3, down_block_types=("DownEncoderBlock2D",),
                 up_block_types=("UpDecoderBlock2D",), block_out_channels=(64,), layers_per_block=1, act_fn="silu",
                 latent_channels=3, sample_size=32, num_vq_embeddings=256, norm_num_groups=32, vq_embed_dim=None,
                 scaling_factor=0.18215, mid_block_add_attention=True, rng=None):  # fmt: skip
        self.config = dict(in_channels=in_channels, out_channels=out_channels, down_block_types=down_block_types,
                           up_block_types=up_block_types, block_out_channels=block_out_channels,
                           layers_per_block=layers_per_block, act_fn=act_fn, latent_channels=latent_channels,
                           sample_size=sample_size, num_vq_embeddings=num_vq_embeddings, norm_num_groups=norm_num_groups,
                           vq_embed_dim=vq_embed_dim, scaling_factor=scaling_factor,
                           mid_block_add_attention=mid_block_add_attention)  # fmt: skip
        rng, L, D = as_rng(rng), latent_channels, vq_embed_dim or latent_channels
        shared = (layers_per_block, norm_num_groups, act_fn, mid_block_add_attention, rng)
        self.encoder = Encoder(in_channels, L, down_block_types, block_out_channels, *shared)
        self.quant_conv = Conv2d(L, D, 1, rng=rng)
        self.quantize = VectorQuantizer(num_vq_embeddings, D, rng)
        self.post_quant_conv = Conv2d(D, L, 1, rng=rng)
        self.decoder = Decoder(L, out_channels, up_block_types, block_out_channels, *shared)

    def encode(self, x):
        """x   ->   z (B, h, w, D), not yet quantized; back(dz) -> dx"""
        check_image("x", x, self.config["in_channels"])
        return chain([self.encoder, self.quant_conv], x)

    def decode(self, z):
        """z (B, h, w, D), quantized here   ->   y, back(dy) -> dz"""
        return chain([self.quantize, self.post_quant_conv, self.decoder], z)

    def forward(self, x):
        return chain([self.encode, self.decode], x)

    def to_latent(self, x, rng=None):
        """The latent that a diffusion model is trained on, z scale."""
        with no_grad():
            return self.encode(x)[0] * self.config["scaling_factor"]

    def from_latent(self, z):
        """Decode a latent from `to_latent` into an image."""
        with no_grad():
            return self.decode(z * (1.0 / self.config["scaling_factor"]))[0]
