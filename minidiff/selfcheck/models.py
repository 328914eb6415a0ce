"""A gradient case for whole models: small ones over random shapes, and those of imported checkpoints in one tiny size."""

import numpy as np

from .. import models, nn
from ..backend import xp_of
from ..models import denoising_autoencoder
from . import text_models
from .inputs import classes, stirred


def Classifier(pick, randn):
    net = models.Classifier((pick(4, 7), pick(4, 6), pick(1, 2)), classes=3, width=2, features=4, rng=1)
    return net, [randn(2, *net.shape)]


def MLP(pick, randn):
    d, b = pick(1, 4), pick(2, 4)
    net = models.MLP(d, width=6, depth=pick(1, 2), num_class_embeds=3, null_class=2, rng=1)
    return net, [randn(b, d), np.arange(b) * 100, classes(b, 3)]


def UNet(pick, randn):
    b, heads = 2, pick(1, 2)
    net = models.UNet(in_channels=2, out_channels=pick(1, 3), block_out_channels=(4, 8), layers_per_block=1,
                      attention_head_dim=4 // heads, norm_num_groups=2, num_class_embeds=3, downsample_padding=pick(0, 1),
                      resnet_time_scale_shift=("default", "scale_shift")[pick(0, 1)], rng=1)  # fmt: skip
    x = randn(b, 2 * pick(1, 2) + 1, pick(3, 4), 2)
    return net, [x, np.array([3, 981]), classes(b, 3)]


def UNet_without_middle(pick, randn):
    """Its times are looked up in a learned table."""
    net = models.UNet(in_channels=1, out_channels=1, block_out_channels=(4,), layers_per_block=1, norm_num_groups=2,
                      attention_head_dim=2, down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",), rng=1,
                      mid_block_type=None, time_embedding_type="learned", num_train_timesteps=5)  # fmt: skip
    return stirred(net, randn), [randn(2, 3, 2, 1), np.array([0, 4])]


def NCSNpp(pick, randn):
    """The U-Net whose blocks carry the image, with Fourier times."""
    net = models.UNet(block_out_channels=(32, 32), layers_per_block=1, norm_num_groups=None, attention_head_dim=32,
                      down_block_types=("SkipDownBlock2D", "AttnSkipDownBlock2D"), time_embedding_type="fourier",
                      up_block_types=("AttnSkipUpBlock2D", "SkipUpBlock2D"), time_embedding_dim=4, rng=1)  # fmt: skip
    return stirred(net, randn), [randn(2, 5, 4, 3), np.array([1, 3])]


def KUNet(pick, randn):
    """The U-Net of k-diffusion's blocks."""
    net = models.UNet(in_channels=2, out_channels=1, block_out_channels=(32, 64), layers_per_block=1, norm_num_groups=8,
                      attention_head_dim=32, down_block_types=("KDownBlock2D",) * 2, up_block_types=("KUpBlock2D",) * 2,
                      act_fn="gelu", time_embedding_dim=4, class_embed_type="identity", rng=1)  # fmt: skip
    return stirred(net, randn), [randn(2, 4, 6, 2), np.array([3, 900]), randn(2, 4)]


def UNet2DConditionModel(pick, randn):
    net = models.UNet2DConditionModel(
        in_channels=2, out_channels=3, block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=2, attention_head_dim=2,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=3, time_embedding_dim=4, encoder_hid_dim=2, encoder_hid_dim_type="text_proj", rng=1)  # fmt: skip
    return stirred(net, randn), [randn(2, 5, 4, 2), np.array([3, 900]), randn(2, 3, 2)]


def DiT(pick, randn):
    net = models.DiT(num_attention_heads=pick(1, 2), attention_head_dim=4, in_channels=2, out_channels=pick(1, 3), num_layers=2,
                     patch_size=2, num_embeds_ada_norm=3, rng=1)  # fmt: skip
    return stirred(net, randn), [randn(2, 2 * pick(1, 3), 4, 2), np.array([3, 981]), classes(2, 4)]


def PixArt(pick, randn):
    net = models.PixArt(num_attention_heads=pick(1, 2), attention_head_dim=4, in_channels=2, out_channels=pick(1, 3),
                        num_layers=2, sample_size=4, cross_attention_dim=3, rng=1)  # fmt: skip
    return stirred(net, randn), [randn(2, 2 * pick(1, 3), 4, 2), np.array([3, 981]), randn(2, pick(1, 3), 3)]


def PixArt_with_caption_projection(pick, randn):
    net = models.PixArt(num_attention_heads=1, attention_head_dim=4, in_channels=1, out_channels=None, num_layers=1,
                        sample_size=4, cross_attention_dim=4, caption_channels=pick(1, 3), rng=1)  # fmt: skip
    return stirred(net, randn), [randn(2, 4, 2, 1), np.array([3, 981]), randn(2, 2, net.config["caption_channels"])]


def AutoencoderKL(pick, randn):
    net = models.AutoencoderKL(in_channels=1, out_channels=2, block_out_channels=(4, 4), norm_num_groups=2, latent_channels=2,
                               down_block_types=("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
                               up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"), rng=1)  # fmt: skip
    return stirred(net, randn), [randn(2, 6, 4, 1)]


def CLIPTextModel(pick, randn):
    net = models.CLIPTextModel(vocab_size=9, hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2,
                               max_position_embeddings=6, rng=1)  # fmt: skip
    return stirred(net, randn), [np.array([[1, 5, 3, 3], [0, 7, 7, 8]]), np.array([[1, 1, 1, 0], [1, 1, 1, 1]], bool)]


def T5EncoderModel(pick, randn):
    net = models.T5EncoderModel(vocab_size=9, d_model=8, d_kv=3, d_ff=10, num_layers=2, num_heads=2,
                                relative_attention_num_buckets=4, relative_attention_max_distance=6,
                                feed_forward_proj="gated-gelu", rng=1)  # fmt: skip
    return stirred(net, randn), [np.array([[1, 5, 3, 3], [0, 7, 7, 8]]), np.array([[1, 1, 1, 0], [1, 1, 1, 1]], bool)]


def VQModel(pick, randn):
    """Its gradient goes straight through the codebook, so it is not the slope: compared with itself elsewhere, no case here."""
    net = models.VQModel(in_channels=1, out_channels=2, block_out_channels=(4,), norm_num_groups=2, latent_channels=2,
                         num_vq_embeddings=5, rng=1)  # fmt: skip
    return net, [randn(2, 3, 4, 1)]


class _Joined(nn.Layer):
    """A layer with two answers as one with a single answer, (B, n): the two side by side."""

    def __init__(self, layer):
        self.layer = layer

    def forward(self, *arrays):
        (first, second), back_layer = self.layer(*arrays)
        flat = [answer.reshape(len(answer), -1) for answer in (first, second)]
        n = flat[0].shape[1]

        def back(dy):
            return back_layer(dy[:, :n].reshape(first.shape), dy[:, n:].reshape(second.shape))

        return xp_of(first).concatenate(flat, axis=1), back


_IDS = np.array([[1, 5, 3, 2, 0], [1, 7, 7, 8, 2]])


def _text_encoder(causal=True):
    return models.TextEncoder(vocab_size=9, length=6, features=4, layers=2, heads=2, causal=causal, rng=1)


def TextEncoder(pick, randn):
    return stirred(_Joined(_text_encoder(causal=bool(pick(0, 1)))), randn), [_IDS]


def MaskedLanguageModel(pick, randn):
    return stirred(models.MaskedLanguageModel(_text_encoder(causal=False), rng=1), randn), [_IDS]


def CLIP(pick, randn):
    image = models.ImageEncoder(8, 1, (4, 6), features=4, norm_num_groups=2, rng=1)
    return stirred(_Joined(models.CLIP(_text_encoder(), image, rng=1)), randn), [randn(2, 8, 8, 1), _IDS]


def ImageEncoder(pick, randn):
    net = models.ImageEncoder(4, 2, (4,), features=pick(1, 3), norm_num_groups=2, rng=1)
    return stirred(net, randn), [randn(2, 4, 4, 2)]


def DenoisingAutoencoder(pick, randn):
    net = denoising_autoencoder.DenoisingAutoencoder(pick(1, 2), width=2, groups=1, rng=1)
    return stirred(net, randn), [randn(2, 4, 2, net.config["channels"])]


SMALL = [Classifier, MLP, UNet]
MODELS = [UNet_without_middle, NCSNpp, KUNet, UNet2DConditionModel, DiT, PixArt, PixArt_with_caption_projection, AutoencoderKL,
          ImageEncoder, DenoisingAutoencoder, CLIPTextModel, T5EncoderModel, TextEncoder, MaskedLanguageModel, CLIP,
          *text_models.MODELS]  # fmt: skip
