"""Folders of averaged weights (`unet_ema`), as diffusers' training scripts save them with EMAModel.save_pretrained.

Their config.json has the settings of the average (decay, power, ...) among the options of the model.
"""

import json

import numpy as np
import pytest

from minidiff import interop

UNET = dict(sample_size=8, block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1, attention_head_dim=4)
CONDITION = dict(cross_attention_dim=12, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
                 up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))  # fmt: skip
CODER = dict(block_out_channels=(8, 8), norm_num_groups=4, down_block_types=("DownEncoderBlock2D",) * 2,
             up_block_types=("UpDecoderBlock2D",) * 2)  # fmt: skip
CASES = {
    "UNet2DModel": UNET | dict(down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D",
                               "UpBlock2D")),
    "UNet2DConditionModel": UNET | CONDITION, "AutoencoderKL": CODER, "VQModel": CODER,
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_folder_opens_with_the_average(name, tmp_path):
    """The weights are decay * before + (1 - decay) * after, with diffusers' decay (1 + 1) / (10 + 1) at its second step."""
    torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    from diffusers.training_utils import EMAModel

    torch.manual_seed(0)
    kind = getattr(diffusers, name)
    model = kind(**CASES[name])
    ema = EMAModel(model.parameters(), decay=0.9999, power=0.75, inv_gamma=1.0, model_cls=kind, model_config=model.config)
    before = model.conv_in.weight if hasattr(model, "conv_in") else model.encoder.conv_in.weight
    old = before.detach().numpy().copy()
    ema.step(model.parameters())  # with decay 0: the weights themselves
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1.0)
    ema.step(model.parameters())
    ema.save_pretrained(tmp_path / "unet_ema")
    config = json.loads((tmp_path / "unet_ema/config.json").read_text())
    assert config["decay"] == 0.9999 and config["optimization_step"] == 2
    opened = interop.load(tmp_path / "unet_ema")
    ours = opened.conv_in.weight if hasattr(opened, "conv_in") else opened.encoder.conv_in.weight
    expected = old + (1 - 2 / 11)
    np.testing.assert_allclose(ours.value.transpose(3, 2, 0, 1), expected, rtol=0, atol=1e-6)
    theirs = {key: p.detach().numpy() for key, p in kind.from_pretrained(tmp_path / "unet_ema").named_parameters()}
    own = interop.to_torch(opened)
    for key in own:
        np.testing.assert_array_equal(own[key], theirs[key], err_msg=key)
    assert not {"decay", "power"} & set(opened.config)


def test_an_unknown_option_is_still_named(tmp_path):
    from minidiff import models

    interop.save_model(models.UNet(**CASES["UNet2DModel"], rng=0), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"decays": 0.99}))
    with pytest.raises(ValueError, match="option 'decays'"):
        interop.load(tmp_path)
