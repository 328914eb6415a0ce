"""Models hand their ops arrays in order: another view is computed by the slow reference, without a word."""

import importlib
import pkgutil

import numpy as np
import pytest

from minidiff import cpu, models
from minidiff.cpu.fits import fits
from minidiff.interop.frugal import slice_attention
from minidiff.nn import Layer
from minidiff.rng import Rng

TEXT_UNET = dict(
    block_out_channels=(16, 32), layers_per_block=1, cross_attention_dim=8, attention_head_dim=2, norm_num_groups=4,
    down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    in_channels=4, out_channels=4,
)  # fmt: skip
CODER = dict(block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=4,
             down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2)  # fmt: skip


class Both(Layer):
    """An autoencoder from image to image."""

    def __init__(self):
        self.vae = models.AutoencoderKL(**CODER, rng=0)

    def forward(self, x):
        moments, back_encode = self.vae.encode(x)
        y, back_decode = self.vae.decode(np.ascontiguousarray(moments[..., : moments.shape[3] // 2]))
        return y, lambda dy: back_encode(np.concatenate([back_decode(dy)] * 2, axis=-1))


def noise(*shape):
    return Rng(1).standard_normal(shape)


T = np.array([3, 50])
MODELS = {  # name: a model, its arguments
    "U-Net": lambda: (models.UNet(block_out_channels=(16, 32), norm_num_groups=4, attention_head_dim=8, rng=0),
                      noise(2, 12, 16, 3), T),
    "text U-Net": lambda: (models.UNet2DConditionModel(**TEXT_UNET, rng=0), noise(2, 12, 16, 4), T, noise(2, 7, 8)),
    "DiT": lambda: (models.DiT(sample_size=16, patch_size=2, in_channels=3, out_channels=3, num_layers=1, num_attention_heads=2,
                               attention_head_dim=16, num_embeds_ada_norm=10, rng=0), noise(2, 16, 16, 3), T, np.array([1, 9])),
    "autoencoder": lambda: (Both(), noise(2, 16, 24, 3)),
    "CLIP": lambda: (models.CLIPTextModel(vocab_size=30, hidden_size=32, intermediate_size=64, num_hidden_layers=1,
                                          num_attention_heads=4, eos_token_id=2), np.arange(40).reshape(2, 20) % 30),
}  # fmt: skip


@pytest.fixture
def refused(monkeypatch):
    """Arrays of more than a few numbers that a fast version did not take because they are not in order."""
    found = []

    def noting(x, *others):
        if x.size >= 512 and not x.flags.c_contiguous:
            found.append((x.shape, x.strides))
        return fits(x, *others)

    for name in (module.name for module in pkgutil.iter_modules(cpu.__path__, "minidiff.cpu.")):
        module = importlib.import_module(name)
        if getattr(module, "fits", None) is fits:
            monkeypatch.setattr(module, "fits", noting)
    return found


@pytest.mark.parametrize("sliced", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_every_op_gets_arrays_in_order(refused, name, sliced):
    model, *arguments = MODELS[name]()
    if sliced:
        slice_attention(model, max_scores=1 << 10)
    model.predict(*arguments)
    y, back = model(*arguments)
    back(noise(*y.shape))
    assert not refused
