"""`config` holds every option of a model as it was given, so that type(model)(**model.config) builds the same model."""

import inspect

import pytest

from minidiff import models
from minidiff.models.denoising_autoencoder import DenoisingAutoencoder

CROSS = dict(block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=2, attention_head_dim=2,
             down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
             up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"))  # fmt: skip
CODER = dict(in_channels=1, out_channels=2, block_out_channels=(4,), norm_num_groups=2, latent_channels=5, scaling_factor=0.3)
GIVEN = [
    (models.UNet, dict(sample_size=8, in_channels=1, out_channels=2, block_out_channels=(8, 4), norm_num_groups=2,
                       attention_head_dim=4, num_class_embeds=4, null_class=3, time_embedding_dim=6, dropout=0.1,
                       down_block_types=("AttnDownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2)),
    (models.UNet2DConditionModel, CROSS | dict(sample_size=8, in_channels=1, out_channels=2, cross_attention_dim=3)),
    (models.TextUNet, CROSS | dict(conditioning="both", in_channels=1, out_channels=2, context_features=3, pooled_features=4,
                                   patch=2, maps=5)),
    (models.SuperResolutionUNet, CROSS | dict(in_channels=1, out_channels=2, low_channels=3, context_features=4, patch=2)),
    (models.EmbeddingUNet, CROSS | dict(features=5, in_channels=1, out_channels=2, tokens=3, token_features=4, patch=2)),
    (models.Prior, dict(features=3, context_features=5, pooled_features=6, length=7, width=8, layers=1, heads=2)),
    (models.DiT, dict(num_attention_heads=2, attention_head_dim=4, in_channels=1, out_channels=2, num_layers=1, dropout=0.1,
                      sample_size=8, patch_size=4, num_embeds_ada_norm=3, norm_eps=1e-4, activation_fn="gelu")),
    (models.PixArt, dict(num_attention_heads=2, attention_head_dim=4, in_channels=1, out_channels=2, num_layers=1, dropout=0.1,
                         sample_size=8, patch_size=4, cross_attention_dim=8, caption_channels=3, interpolation_scale=2,
                         norm_eps=1e-4, activation_fn="gelu", attention_bias=False)),
    (models.AutoencoderKL, CODER | dict(use_quant_conv=False, sample_size=8, shift_factor=0.5)),
    (models.VQModel, CODER | dict(num_vq_embeddings=6, vq_embed_dim=3, sample_size=8)),
    (models.CLIPTextModel, dict(vocab_size=9, hidden_size=8, intermediate_size=7, num_hidden_layers=1, num_attention_heads=2,
                                max_position_embeddings=6, eos_token_id=5, bos_token_id=4)),
    (models.T5EncoderModel, dict(vocab_size=9, d_model=8, d_kv=3, d_ff=10, num_layers=1, num_heads=2,
                                 relative_attention_num_buckets=4, relative_attention_max_distance=6, dropout_rate=0.2)),
    (models.TextEncoder, dict(vocab_size=9, length=6, features=8, layers=1, heads=2, causal=False, pad_token_id=3)),
    (models.ImageEncoder, dict(sample_size=8, in_channels=1, block_out_channels=(4, 6), features=5, norm_num_groups=2)),
    (models.MLP, dict(features=3, out_features=2, width=8, depth=1, num_class_embeds=4, null_class=1)),
    (models.Classifier, dict(shape=(4, 5, 1), classes=3, width=2, features=4, timed=True)),
    (DenoisingAutoencoder, dict(channels=2, width=4, groups=1)),
]  # fmt: skip


@pytest.mark.parametrize("build, given", GIVEN, ids=lambda value: getattr(value, "__name__", ""))
def test_config_holds_every_option_as_given(build, given):
    net, bound = build(**given, rng=0), inspect.signature(build).bind(**given)
    bound.apply_defaults()
    options = bound.arguments
    expected = {name: value for name, value in options.items() if name not in ("rng", "options")} | options.get("options", {})
    assert list(net.config.items()) == list(expected.items())
    again = build(**net.config, rng=0).state()
    assert {name: value.shape for name, value in again.items()} == {name: value.shape for name, value in net.state().items()}
