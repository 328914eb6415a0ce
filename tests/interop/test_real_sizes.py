"""The exact configurations of models that people use: every tensor's name and shape as the other library has them.

No numbers are drawn on either side. That the numbers agree at these sizes is shown by
`python benchmarks/stable_diffusion.py --compare` and by the slow tests beside this one.
"""

import pytest

from minidiff import models
from minidiff.interop.frugal import slice_attention
from minidiff.interop.layout import slots
from minidiff.nn.blank import Blank

SD1 = dict(
    sample_size=64, block_out_channels=(320, 640, 1280, 1280), cross_attention_dim=768, attention_head_dim=8, norm_eps=1e-5,
    down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
)  # fmt: skip
SD2 = SD1 | dict(sample_size=96, cross_attention_dim=1024, attention_head_dim=(5, 10, 20, 20), use_linear_projection=True,
                 upcast_attention=True)  # fmt: skip
LDM_CELEBA = dict(
    sample_size=64, block_out_channels=(224, 448, 672, 896), attention_head_dim=32, norm_eps=1e-5, out_channels=3,
    down_block_types=("DownBlock2D",) + ("AttnDownBlock2D",) * 3, up_block_types=("AttnUpBlock2D",) * 3 + ("UpBlock2D",),
)  # fmt: skip
DDPM_256 = dict(  # google/ddpm-cat-256 and its kin
    sample_size=256, block_out_channels=(128, 128, 256, 256, 512, 512), attention_head_dim=None, norm_eps=1e-6,
    down_block_types=("DownBlock2D",) * 4 + ("AttnDownBlock2D", "DownBlock2D"), downsample_padding=0, flip_sin_to_cos=False,
    up_block_types=("UpBlock2D", "AttnUpBlock2D") + ("UpBlock2D",) * 4, freq_shift=1,
)  # fmt: skip
NCSNPP_256 = dict(  # google/ncsnpp-celebahq-256 and its kin
    sample_size=256, block_out_channels=(128, 128, 256, 256, 256, 256, 256), attention_head_dim=None, norm_num_groups=None,
    down_block_types=("SkipDownBlock2D",) * 4 + ("AttnSkipDownBlock2D",) + ("SkipDownBlock2D",) * 2, norm_eps=1e-6,
    up_block_types=("SkipUpBlock2D",) * 2 + ("AttnSkipUpBlock2D",) + ("SkipUpBlock2D",) * 4, time_embedding_type="fourier",
    mid_block_scale_factor=1.41421356237,
)  # fmt: skip
VQ_CELEBA = dict(block_out_channels=(128, 256, 512), down_block_types=("DownEncoderBlock2D",) * 3, layers_per_block=2,
                 num_vq_embeddings=8192, up_block_types=("UpDecoderBlock2D",) * 3, sample_size=256)  # fmt: skip


@pytest.mark.parametrize(("kind", "options", "size"), [
    ("UNet2DConditionModel", SD1, 859_520_964), ("UNet2DConditionModel", SD2, 865_910_724), ("UNet2DModel", LDM_CELEBA, None),
    ("UNet2DModel", DDPM_256, 113_673_219), ("UNet2DModel", NCSNPP_256, None), ("VQModel", VQ_CELEBA, None),
])  # fmt: skip
def test_names_and_shapes(kind, options, size, torch, diffusers):
    with torch.device("meta"):
        theirs = getattr(diffusers, kind)(**options)
    ours = getattr(models, {"UNet2DModel": "UNet"}.get(kind, kind))(**options, rng=Blank())
    expected = {name: tuple(p.shape) for name, p in theirs.named_parameters() if p.requires_grad}
    assert {path: slot.torch_shape for path, slot in slots(ours).items()} == expected
    assert ours.size() == sum(p.numel() for p in theirs.parameters() if p.requires_grad) and size in (None, ours.size())


def test_attention_in_slices_reaches_every_layer():
    unet = slice_attention(models.UNet2DConditionModel(**SD1, rng=Blank()), 1000)
    layers = [layer for block in (*unet.down_blocks, unet.mid_block, *unet.up_blocks) for layer in block.attentions or []]
    inner = [a for layer in layers for block in layer.transformer_blocks for a in (block.attn1, block.attn2)]
    assert len(inner) == 32 and all(a.max_scores == 1000 for a in inner)
